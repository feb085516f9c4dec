"""Publishing survives a kill, a full disk and a bad one at every call that matters."""

import os
import random
import shutil
import signal
import subprocess

import madtest
from publishing import MANIFEST, NEXT, NEXT_SIGNATURE, NPZ, SIGNATURE, Publishing

FULL = not madtest.SANITIZED


def thinned(points, stride):
    """Every `stride`-th of them; under the sanitizers, whose runs are slow, every eighth."""
    return points[::stride if FULL else 8]


class KilledWriters(Publishing):
    STRIDE = 1

    def starts(self):
        """What may lie in the directory: nothing, a snapshot, or an interrupted writer's."""
        self.take("A")
        old = self.files()
        self.take("B")
        new = self.files()
        yield "nothing", {}, None
        yield "an old snapshot", old, "A"
        yield "a writer killed before it renamed the npz", {
            **self.interrupted(old, new), NPZ: old[NPZ],
            f".{NPZ}.mad-abcdefgh": new[NPZ][:100]}, "B" if self.SAME else "A"
        yield "a writer killed after it renamed the npz", self.interrupted(old, new), "B"

    def test_a_kill_at_every_call_and_again_in_the_next_writer_leaves_a_whole_snapshot(self):
        rng = random.Random(20)
        for start, files, old in list(self.starts()):
            self.fill(files)
            points = self.calls("C")
            self.assertGreaterEqual(len(points), 10)
            for call, number, _ in thinned(points, self.STRIDE):
                context = f"over {start}, killed at {call} {number}"
                self.fill(files)
                self.assertEqual(self.inject("C", call, number, "signal=KILL").returncode, -9,
                                 context)
                first = self.assert_finds({old, "C"}, context)
                again = rng.choice(points)[:2]
                context += f", then at {again}"
                self.inject("A", *again, "signal=KILL")
                self.assert_finds({first, "A"}, context)
                self.take("B")
                self.assert_at_rest("B", context)

    def test_a_kill_while_writing_back_early_leaves_the_old_snapshot(self):
        self.take("A")
        old = self.files()
        big = self.states["B"] / "n" / "big.npy"
        madtest.np.save(big, madtest.np.zeros(40 << 20, dtype="u1"))
        points = [point for point in self.calls("B") if point[0] == "sync_file_range"]
        self.assertEqual(len(points), 1)
        self.fill(old)
        self.inject("B", *points[0][:2], "signal=KILL")
        self.assert_finds({"A"}, "killed at sync_file_range")
        done = self.inject("B", *points[0][:2], "error=EIO")
        self.assertEqual(done.returncode, 0, "it is advice; fsync reports what failed")
        self.assert_at_rest("B", "after sync_file_range failed")


class SignedKilledWriters(KilledWriters):
    """A signed snapshot is replaced by an unsigned one, and that by a signed one."""

    SIGNED = "AC"
    STRIDE = 2


class SameStateKilledWriters(KilledWriters):
    """The npz is the same throughout: each manifest matches, and has a signature of its own."""

    SIGNED = "ABC"
    SAME = True
    STRIDE = 2


class FailingDisks(Publishing):
    STRIDE = 1

    def check_failures(self, files, old, error):
        self.fill(files)
        points = self.calls("C")
        for call, number, line in thinned(points, self.STRIDE):
            context = f"{error} at {call} {number} ({line[:80]})"
            self.fill(files)
            done = self.inject("C", call, number, f"error={error}")
            if done.returncode == 0:
                # Closing what was only read, or was synced already, decides nothing.
                self.assertEqual(call, "close", context)
                self.assert_at_rest("C", context)
                continue
            self.assert_refused(done, 9, NPZ)
            strerror = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}[error]
            self.assertIn(strerror, done.stderr, context)
            label = self.assert_finds({old, "C"}, context)
            if "readers find the new" in done.stderr or "of the published" in done.stderr:
                self.assertEqual(label, "C", context)
                self.assertLessEqual(
                    set(self.files()), {NPZ, MANIFEST, NEXT, SIGNATURE, NEXT_SIGNATURE}, context)
            else:
                self.assertEqual(label, old, context)
                self.assertFalse([name for name in self.files() if ".mad-" in name], context)
                if NEXT not in files:
                    self.assertEqual(self.files(), files, context)
            self.take("B")
            self.assert_at_rest("B", context)
        return {call for call, _, _ in points}

    def test_a_full_disk_at_every_call_keeps_a_whole_snapshot_and_says_which(self):
        self.take("A")
        calls = self.check_failures(self.files(), "A", "ENOSPC")
        self.assertLessEqual({"pwrite64", "fsync", "renameat", "fchmod", "openat"}, calls)

    def test_a_bad_disk_at_every_call_keeps_a_whole_snapshot_and_says_which(self):
        self.take("A")
        self.check_failures(self.files(), "A", "EIO")

    def test_a_bad_disk_under_the_first_snapshot_leaves_nothing_or_the_whole(self):
        self.check_failures({}, None, "EIO")

    def test_a_bad_disk_while_recovering_keeps_what_readers_find(self):
        self.take("A")
        old = self.files()
        self.take("B")
        new = self.files()
        self.check_failures(self.interrupted(old, new), "B", "EIO")
        self.check_failures({**old, NEXT: new[MANIFEST]}, "A", "EIO")

    def test_a_disk_that_is_really_full_keeps_the_old_snapshot(self):
        self.take("A")
        old = self.files()
        madtest.np.save(self.states["B"] / "n" / "big.npy", madtest.np.zeros(3 << 20, dtype="u1"))
        shutil.copytree(self.place, self.tmp / "copy")
        script = (
            'mount -t tmpfs -o size=2m none "$1" && cp "$2"/* "$1"/ && shift 2 || exit 99; '
            '"$@"; code=$?; cp -a "$PLACE" "$OUT"; exit $code')
        command = self.command("B")
        done = madtest.run(
            "unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script, "sh", self.place, self.tmp / "copy",
            madtest.tool(command[0]), *command[1:],
            env={"PLACE": self.place, "OUT": self.tmp / "out"})
        self.assert_refused(done, 9, NPZ, "No space left on device")
        left = {path.name: path.read_bytes() for path in (self.tmp / "out").iterdir()}
        self.assertEqual(left, old)
        self.assertEqual(self.found_in(left), "A")


class SignedFailingDisks(FailingDisks):
    SIGNED = "AC"
    STRIDE = 2


class HashingReaders(Publishing):
    """A reader that is stopped while it hashes the npz to find the manifest that is its own."""

    def read_while(self, write):
        """Runs `write` meanwhile; the label of the snapshot that the reader finds."""
        self.take("A")
        old = self.files()
        self.take("B")
        self.fill(self.interrupted(old, self.files()))
        trace = self.tmp / "trace"
        trace.touch()
        reader = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", trace, "-P", self.place / NPZ, "-e", "trace=pread64",
             "-e", "inject=pread64:signal=STOP:when=1", madtest.tool("mad-manifest"), "get",
             self.place / NPZ, "extra.label"],
            env=madtest.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while "stopped by SIGSTOP" not in trace.read_text():
            self.assertIsNone(reader.poll(), "it ended without stopping")
        try:
            write()
        finally:
            os.kill(int(trace.read_text().split()[0]), signal.SIGCONT)
            stdout, stderr = reader.communicate(timeout=60)
        self.assertIn(b"hashing the file", stderr)
        self.assertEqual(reader.returncode, 0, stderr)
        return stdout.decode().strip()

    def test_it_keeps_no_writer_of_another_snapshot_in_its_directory_waiting(self):
        def write():
            done = madtest.run("mad-snapshot", "-q", "--lock-timeout", "0",
                               "-o", self.place / "other.npz", self.states["C"])
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.read_while(write), "B")
        self.assertEqual(madtest.run("mad-verify", "-q", self.place / "other.npz").returncode, 0)

    def test_it_finds_what_a_writer_puts_there_meanwhile(self):
        self.assertEqual(self.read_while(lambda: self.take("C", "--lock-timeout", "0")), "C")
        self.assert_at_rest("C", "after the reader")


class ManyWriters(Publishing):
    def test_twenty_writers_to_one_name_leave_a_whole_snapshot_at_every_instant(self):
        self.take("A")
        writers = []
        for i in range(20 if FULL else 6):
            command = self.command("ABC"[i % 3], "--lock-timeout", "60")
            writers.append(subprocess.Popen(
                [madtest.tool(command[0]), *map(str, command[1:])],
                env=madtest.clean_environment(), stdout=subprocess.DEVNULL))
        running = True
        while running:
            running = any(writer.poll() is None for writer in writers)
            done = madtest.run("mad-verify", "-q", *self.trust(), self.place / NPZ)
            self.assertIn(done.returncode, (0, 11) if self.SIGNED else (0,), done.stderr)
            if done.returncode == 11:
                self.assertIn("found none", done.stderr, "an unsigned one, never a wrong one")
        self.assertEqual([writer.returncode for writer in writers], [0] * len(writers))
        label = self.assert_finds({"A", "B", "C"}, "after twenty writers")
        self.assertEqual(sorted(self.files()), self.names_of(label))


class ManySigningWriters(ManyWriters):
    SIGNED = "AC"


if __name__ == "__main__":
    madtest.main()
