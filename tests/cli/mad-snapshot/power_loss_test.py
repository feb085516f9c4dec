"""Publishing survives a power loss between any two calls."""

import random
import re

import madtest
from power_loss import Disk, replay
from publishing import CALLS, MANIFEST, NEXT, NEXT_SIGNATURE, SIGNATURE, Publishing, Torn

TRACE = ("-e", f"trace={CALLS}")


class PowerLoss(Publishing):
    MOST_STATES = None
    STRIDE = 1

    def setUp(self):
        super().setUp()
        self.seen = {}

    def kind_of(self, files):
        """The same for states that differ in random names and times of day alone."""
        def whose(data):
            for name in (MANIFEST, NEXT):
                if data.strip(b"\0") and files.get(name) and data == self.key.sign(files[name]):
                    return name.encode()
            return b"%d bytes, %d of them zero" % (len(data), data.count(0))

        def plain(name, data):
            if name in (SIGNATURE, NEXT_SIGNATURE):
                return name, whose(data)
            return (".temporary" if name.startswith(".") else name,
                    re.sub(rb'"created_at": "[^"]*"', b"", data))

        return tuple(sorted(plain(*item) for item in files.items()))

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
                label = self.found_in(files)
            except Torn as torn:
                self.fail(f"{torn} after {context}")
            self.assertIn(label, labels, context)
            self.seen.setdefault(self.kind_of(files), (files, label))
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
        for files, label in states[:self.MOST_STATES if not madtest.SANITIZED else 12]:
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
            for call, number, _ in points[::self.STRIDE if not madtest.SANITIZED else 4]:
                killed = self.trace("B", files, "-e",
                                    f"inject={call}:signal=KILL:when={number}")
                left = self.files()
                disk = Disk(files)
                for _line in replay(disk, killed, self.place):
                    pass
                self.assertEqual({n: f.now for n, f in disk.names.items()}, left)
                found = self.found_in(left)
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
        for files, label in list(first.values())[:: self.STRIDE if not madtest.SANITIZED else 8]:
            self.replay_all(Disk(files), self.trace("C", files), {label}, "C")
        self.check_seen_with_the_real_reader_and_writer()

    def needed_syncs(self, lines):
        """Which syncs of the directory must not be left out, by their place among `lines`."""
        def found(what):
            return [i for i, line in enumerate(lines) if what in line]
        syncs = found(f"<{self.place}>)")
        renames = found("renameat")
        gaps = list(zip(renames, renames[1:]))
        if self.SAME:
            # Which npz it is does not matter then; that each `.next` is there does.
            gaps = [*zip(found("O_CREAT")[1:], found("O_CREAT")[2:]), *gaps[1:]]
        for first, second in gaps:
            between = [i for i in syncs if first < i < second and "fsync" in lines[i]]
            self.assertEqual(len(between), 1)
            yield between[0]

    def test_the_model_itself_condemns_a_writer_without_one_of_its_syncs(self):
        snapshots = self.snapshots()
        lines = self.trace("B", snapshots["A"]).splitlines()
        needed = list(self.needed_syncs(lines))
        self.assertEqual(len(needed), 2 if self.SIGNED else 1)
        for sync in needed:
            with self.assertRaises(AssertionError, msg=lines[sync - 1]):
                self.replay_all(Disk(snapshots["A"]), "\n".join(lines[:sync] + lines[sync + 1:]),
                                {"A"}, "B")


class SignedPowerLoss(PowerLoss):
    """A signed snapshot is replaced by an unsigned one, and that by a signed one."""

    SIGNED = "AC"
    MOST_STATES = 60
    STRIDE = 2


class SameStatePowerLoss(PowerLoss):
    """The npz is the same throughout: each manifest matches, and has a signature of its own."""

    SIGNED = "ABC"
    SAME = True
    MOST_STATES = 60
    STRIDE = 2


if __name__ == "__main__":
    madtest.main()
