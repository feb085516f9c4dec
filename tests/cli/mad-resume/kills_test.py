"""mad-resume, killed at every system call that changes the disk: the state is the old one or
the new one, then or after the next run, and nothing temporary outlives that."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import madtest
import resumes
from resumes import absent_seal, arrays, bundle, npz_bytes

CALLS = ("rename", "renameat", "renameat2", "unlinkat", "mkdirat", "linkat", "fsync")
# Under the sanitizers, whose runs are slow, every third call of a name.
STRIDE = 3 if madtest.SANITIZED else 1
# Memory, so that the syncs of thousands of runs cost nothing.
PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Kills(resumes.Case):
    def setUp(self):
        super().setUp()
        self.new = bundle(npz_bytes(arrays(7)))
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="mad-test-", dir=PLACE))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.work = self.place / "work"
        self.olds = {"README": b"kept", **resumes.files_of(arrays(0))}
        self.news = {"README": b"kept", **resumes.files_of(arrays(7))}

    def furnish(self):
        shutil.rmtree(self.work, ignore_errors=True)
        madtest.make_state(self.work / "state", arrays(0))
        (self.work / "state/README").write_bytes(b"kept")

    def strace(self, cwd, *options, stdin=None):
        log = self.tmp / "trace"
        done = subprocess.run(
            ["strace", "-o", log, *options, madtest.tool("mad-resume"),
             "--snapshot", self.work / "in.npz", "--state-dir", self.work / "state", "--",
             "sh", "-c", 'echo "$MAD_RESUME_STATUS"'],
            input=stdin or self.new, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            check=False, timeout=60,
            env=madtest.clean_environment(ASAN_OPTIONS="detect_leaks=0"))
        return done, log.read_text(errors="replace")

    def calls_of(self, cwd):
        """{call: how often mad-resume makes it on its way to COMMAND}."""
        self.furnish()
        done, log = self.strace(cwd(), "-e", "trace=" + ",".join(CALLS) + ",execve")
        self.assertEqual(done.stdout, b"resumed\n", done.stderr)
        own = re.split(r"^execve\(.*", log, flags=re.M)[1]
        counts = {}
        for name in re.findall(r"^(\w+)\(", own, flags=re.M):
            counts[name] = counts.get(name, 0) + 1
        return counts

    def recover(self, cwd):
        """The next boot, of a server that has nothing to resume."""
        return self.resume(bundle(seal=absent_seal()), "--snapshot", self.work / "in.npz",
                           "--state-dir", self.work / "state", cwd=cwd)

    def check_recovered(self, cwd):
        done = self.recover(cwd)
        self.assertEqual(self.lot(done)[0], "fresh", done.stderr)
        state = madtest.tree(self.work / "state")
        self.assertIn(state, (self.olds, self.news))
        self.assertEqual(self.leftovers(self.work), [])
        if (self.work / "in.npz").exists():
            madtest.reference_verify(self.work / "in.npz")
        return state == self.news

    def kill_everywhere(self, cwd, whole):
        outcomes = set()
        for call, count in self.calls_of(cwd).items():
            for n in range(1, count + 1, STRIDE):
                with self.subTest(call=call, n=n):
                    self.furnish()
                    done, _ = self.strace(cwd(), "-e", f"trace={call}",
                                          "-e", f"inject={call}:signal=KILL:when={n}")
                    self.assertEqual((done.returncode, done.stdout), (-signal.SIGKILL, b""))
                    if whole:
                        found = resumes.visible(self.work / "state")
                        self.assertIn(found, (self.olds, self.news))
                    outcomes.add(self.check_recovered(cwd()))
        self.assertEqual(outcomes, {True, False})

    def test_killed_during_an_exchange(self):
        self.kill_everywhere(lambda: self.tmp, whole=True)

    def test_killed_during_a_swap_in_place(self):
        self.kill_everywhere(lambda: self.work / "state", whole=False)

    def test_killed_during_the_rollback_of_a_swap_in_place(self):
        cwd = self.work / "state"
        self.furnish()
        self.half_swap()
        done, log = self.strace(cwd, "-e", "trace=" + ",".join(CALLS) + ",execve",
                                stdin=bundle(seal=absent_seal()))
        self.assertEqual(done.stdout, b"fresh\n", done.stderr)
        self.assertEqual(madtest.tree(cwd), self.olds)
        own = re.split(r"^execve\(.*", log, flags=re.M)[1]
        names = re.findall(r"^(\w+)\(", own, flags=re.M)
        self.assertGreater(len(names), 5)
        for call in set(names):
            for n in range(1, names.count(call) + 1, STRIDE):
                with self.subTest(call=call, n=n):
                    self.furnish()
                    self.half_swap()
                    self.strace(cwd, "-e", f"trace={call}",
                                "-e", f"inject={call}:signal=KILL:when={n}",
                                stdin=bundle(seal=absent_seal()))
                    self.assertFalse(self.check_recovered(cwd))

    def test_what_was_cut_off_is_rolled_back_however_late_it_is(self):
        self.furnish()
        self.half_swap()
        done = madtest.run("mad-resume", "--state-dir", self.work / "state", "--", "sh", "-c",
                           'echo "$MAD_RESUME_STATUS"', stdin=self.new,
                           cwd=self.work / "state", env={"MAD_DEADLINE": "1000000000"})
        self.assertEqual(done.stdout, b"failed\n", done.stderr)
        self.assertIn("deadline: it had passed", done.stderr)
        self.assertEqual(madtest.tree(self.work / "state"), self.olds)

    def half_swap(self):
        """Kills a swap in place once some of the new arrays are in."""
        self.strace(self.work / "state", "-e", "trace=renameat2",
                    "-e", "inject=renameat2:signal=KILL:when=3")
        self.assertTrue((self.work / "state/.mad-swap").exists())
        self.assertNotIn(madtest.tree(self.work / "state"), (self.olds, self.news))

    def fail_everywhere(self, cwd, error):
        """Makes each call fail: COMMAND starts on the old state or the new one, and is told
        which; or, where it is neither, is not started."""
        seen = set()
        for call, count in self.calls_of(cwd).items():
            for n in range(1, count + 1, STRIDE):
                with self.subTest(call=call, n=n, error=error):
                    self.furnish()
                    done, _ = self.strace(cwd(), "-e", f"trace={call}",
                                          "-e", f"inject={call}:error={error}:when={n}")
                    found = resumes.visible(self.work / "state")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn(done.stdout, (b"resumed\n", b"failed\n"))
                    expected = self.news if done.stdout == b"resumed\n" else self.olds
                    self.assertEqual(found, expected, done.stderr)
                    seen.add(done.stdout)
                    self.check_recovered(cwd())
        self.assertEqual(seen, {b"resumed\n", b"failed\n"})

    def test_each_call_of_an_exchange_fails_for_want_of_space(self):
        self.fail_everywhere(lambda: self.tmp, "ENOSPC")

    def test_each_call_of_a_swap_in_place_fails_with_an_io_error(self):
        self.fail_everywhere(lambda: self.work / "state", "EIO")

    def test_a_rollback_that_fails_starts_nothing_until_it_succeeds(self):
        cwd = self.work / "state"
        self.furnish()
        done, _ = self.strace(cwd, "-e", "trace=renameat2,renameat",
                              "-e", "inject=renameat2:error=EIO:when=3",
                              "-e", "inject=renameat:error=EIO:when=7+")
        self.assertEqual((done.returncode, done.stdout), (125, b""), done.stderr)
        self.assertIn(b"could not be rolled back", done.stderr)
        self.assertIn(b"nothing must be started", done.stderr)
        self.assertTrue((cwd / ".mad-swap").exists())
        # Neither does the next run, as long as the cause is there.
        done, _ = self.strace(cwd, "-e", "trace=renameat",
                              "-e", "inject=renameat:error=EIO:when=1+",
                              stdin=bundle(seal=absent_seal()))
        self.assertEqual((done.returncode, done.stdout), (125, b""), done.stderr)
        self.assertFalse(self.check_recovered(cwd))

    def test_a_signal_during_a_swap_in_place_rolls_back_or_completes(self):
        cwd = self.work / "state"
        outcomes = []
        for call, count in (("renameat", 7), ("renameat2", 3)):
            for n in range(1, count + 1, STRIDE):
                self.furnish()
                done, _ = self.strace(cwd, "-e", f"trace={call}",
                                      "-e", f"inject={call}:signal=TERM:when={n}")
                self.assertEqual((done.returncode, done.stdout), (-signal.SIGTERM, b""))
                found = madtest.tree(cwd)
                self.assertIn(found, (self.olds, self.news))
                outcomes.append(found == self.news)
                self.assertEqual(self.leftovers(self.work), [])
        self.assertEqual(set(outcomes), {True, False})

    def test_the_dead_are_removed_from_the_default_place_too(self):
        self.work.mkdir()
        for call, when in (("renameat", 1), ("renameat2", 1), ("fsync", 1)):
            done = subprocess.run(
                ["strace", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}",
                 madtest.tool("mad-resume")], input=self.new, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, check=False, timeout=60,
                env=madtest.clean_environment(TMPDIR=self.work))
            self.assertEqual(done.returncode, -signal.SIGKILL)
            self.assertEqual(len(os.listdir(self.work)), 1)
            done = self.resume(bundle(seal=absent_seal()), env={"TMPDIR": self.work})
            self.assertEqual(self.lot(done)[0], "fresh")
            self.assertEqual(os.listdir(self.work), [])

    def test_a_live_run_is_not_taken_for_a_dead_one(self):
        self.furnish()
        running = subprocess.Popen(
            [madtest.tool("mad-resume"), "--state-dir", self.work / "state"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=madtest.clean_environment())
        end = self.new.index(b".mad-seal.json")
        running.stdin.write(self.new[:end])
        running.stdin.flush()
        while not any(p.name.startswith(".state.mad-") for p in self.work.iterdir()):
            self.assertIsNone(running.poll())
        self.assertEqual(self.lot(self.recover(self.tmp))[0], "fresh")
        running.stdin.write(self.new[end:])
        running.stdin.close()
        running.stdin = None
        _, err = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 0, err)
        self.assertEqual(madtest.tree(self.work / "state"), self.news)


if __name__ == "__main__":
    madtest.main()
