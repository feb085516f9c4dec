"""Publishing survives a power loss between any two calls."""

import random
import re

import madtest
from power_loss import Disk, replay
from publishing import CALLS, Publishing, Torn, found_in

TRACE = ("-e", f"trace={CALLS}")


def kind_of(files):
    """The same for states that differ in random names and times of day alone."""
    def plain(name, data):
        return (".temporary" if name.startswith(".") else name,
                re.sub(rb'"created_at": "[^"]*"', b"", data))
    return tuple(sorted(plain(*item) for item in files.items()))


class PowerLoss(Publishing):
    def setUp(self):
        super().setUp()
        self.seen = {}

    def trace(self, label, files, *inject):
        self.fill(files)
        _, trace = self.strace(label, *TRACE, *inject)
        return trace

    def check(self, disk, labels, context):
        """Each state that a power loss may leave now holds one of `labels` (or None)."""
        count = 0
        for files in disk.crash_states():
            count += 1
            try:
                label = found_in(files)
            except Torn as torn:
                self.fail(f"{torn} after {context}")
            self.assertIn(label, labels, context)
            self.seen.setdefault(kind_of(files), (files, label))
        return count

    def replay_all(self, disk, trace, labels, new):
        """Replays a whole run; the power may be lost after each of its calls."""
        calls = 0
        count = self.check(disk, labels, "the start")
        for line in replay(disk, trace, self.place):
            calls += 1
            count += self.check(disk, labels | {new}, line[:120])
        return calls, count

    def snapshots(self):
        files = {}
        for label in "ABC":
            self.fill({})
            self.take(label)
            files[label] = self.files()
        return files

    def check_seen_with_the_real_reader_and_writer(self):
        """mad-verify on every distinct state; then a second writer must bring it to rest."""
        states = list(self.seen.values())
        random.Random(7).shuffle(states)
        for files, label in states if not madtest.SANITIZED else states[:12]:
            context = str([(name, len(data)) for name, data in files.items()])
            self.fill(files)
            self.assert_finds({label}, context)
            self.take("A", "--durability", "none")
            self.assert_at_rest("A", context)

    def test_a_power_loss_after_any_call_leaves_the_old_or_the_new_snapshot(self):
        snapshots = self.snapshots()
        for old, files in ((None, {}), ("A", snapshots["A"])):
            trace = self.trace("B", files)
            disk = Disk(files)
            calls, count = self.replay_all(disk, trace, {old}, "B")
            self.assertGreaterEqual(calls, 11)
            self.assertGreater(count, 25)
            self.assertEqual(disk.pending, [], "the last call syncs the directory")
            self.assertEqual({n: f.now for n, f in disk.names.items()}, self.files())
        self.check_seen_with_the_real_reader_and_writer()

    def test_a_writer_killed_and_the_power_lost_in_the_next_one_leaves_a_whole_snapshot(self):
        snapshots = self.snapshots()
        for old, files in ((None, {}), ("A", snapshots["A"])):
            self.fill(files)
            points = self.calls("B")
            for call, number, _ in points if not madtest.SANITIZED else points[::4]:
                killed = self.trace("B", files, "-e",
                                    f"inject={call}:signal=KILL:when={number}")
                left = self.files()
                disk = Disk(files)
                for _line in replay(disk, killed, self.place):
                    pass
                self.assertEqual({n: f.now for n, f in disk.names.items()}, left)
                found = found_in(left)
                # What was found before may come back: it was never promised to last.
                trace = self.trace("C", left)
                self.replay_all(disk, trace, {old, found}, "C")
        self.check_seen_with_the_real_reader_and_writer()

    def test_a_second_power_loss_in_the_writer_after_the_first_leaves_a_whole_snapshot(self):
        snapshots = self.snapshots()
        disk = Disk(snapshots["A"])
        self.replay_all(disk, self.trace("B", snapshots["A"]), {"A"}, "B")
        first, self.seen = self.seen, {}
        self.assertGreaterEqual(len(first), 10)
        for files, label in list(first.values())[:: 1 if not madtest.SANITIZED else 8]:
            self.replay_all(Disk(files), self.trace("C", files), {label}, "C")
        self.check_seen_with_the_real_reader_and_writer()

    def test_the_model_itself_condemns_a_writer_without_the_sync_between_its_renames(self):
        snapshots = self.snapshots()
        trace = self.trace("B", snapshots["A"])
        lines = trace.splitlines()
        renames = [i for i, line in enumerate(lines) if "renameat" in line]
        syncs = [i for i, line in enumerate(lines) if "fsync(" in line]
        between = [i for i in syncs if renames[0] < i < renames[1]]
        self.assertEqual(len(between), 1)
        del lines[between[0]]
        with self.assertRaises(AssertionError):
            self.replay_all(Disk(snapshots["A"]), "\n".join(lines), {"A"}, "B")


if __name__ == "__main__":
    madtest.main()
