"""The tools on an old kernel, below a filter of system calls and on file systems that have less
than ext4: what is there for speed or comfort is done without.

What is missing is played by strace, call by call; each tool's other calls are real.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import numpy as np

import madtest
import strace
from pipeline import SIM, step_of, wait_until
from servers import Nginx

# What older kernels, gVisor, and seccomp filters of containers have been seen without.
MISSING = ("splice", "fallocate", "fchmod", "fadvise64", "sync_file_range", "flock",
           "close_range", "pidfd_open", "pidfd_send_signal", "fstatfs", "statx",
           "landlock_create_ruleset")
# Which the sanitizers' own library needs.
IF_PLAIN = () if madtest.SANITIZED else ("madvise", "sched_getaffinity")
ANSWERS = {
    "ENOSYS": MISSING + IF_PLAIN + ("renameat2",),
    "EPERM": MISSING + IF_PLAIN,
}


def setUpModule():
    global NGINX, ARRAYS, NPZ
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mad-restricted-"))
    unittest.addModuleCleanup(shutil.rmtree, directory)
    noise = np.random.default_rng(7)
    ARRAYS = {f"heat/field{i}": noise.integers(0, 255, 5 << 20, dtype="u1") for i in range(4)}
    ARRAYS["_meta/step_count"] = np.int64(7)
    (directory / "www").mkdir()
    NPZ = directory / "www/sim.npz"
    state = madtest.make_state(directory / "state", ARRAYS)
    done = madtest.run("mad-snapshot", "-o", NPZ, state)
    assert done.returncode == 0, done.stderr
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    NGINX = Nginx(directory, directory / "www").__enter__()
    unittest.addModuleCleanup(NGINX.__exit__)


class Restricted(madtest.Case):
    def injected(self, calls, answer, tool, *argv, stdin=b"", **env):
        self.trace = self.tmp / "trace"
        return madtest.run(
            "strace", "-f", "-qq", "-o", self.trace, "-e", f"trace={','.join(calls)},kill",
            "-e", f"inject={','.join(calls)}:error={answer}", madtest.tool(tool), *argv,
            stdin=stdin, env={"ASAN_OPTIONS": "detect_leaks=0", **env})

    def without(self, answer, tool, *argv, stdin=b""):
        """Runs a tool to which the kernel gives `answer` to all that is missing; it must do."""
        done = self.injected(ANSWERS[answer], answer, tool, *argv, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def without_threads(self, tool, *argv, stdin=b""):
        """As where a limit of processes is reached."""
        done = self.injected(("clone", "clone3"), "EAGAIN", tool, *argv, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("INJECTED", self.trace.read_text())
        return done

    def assert_asked_for(self, *calls):
        """Or the test would be of nothing."""
        trace = self.trace.read_text(errors="replace")
        for call in calls:
            self.assertIn(f" {call}(", trace)

    def assert_snapshot(self, npz):
        self.assertEqual(npz.read_bytes(), NPZ.read_bytes())
        madtest.reference_verify(npz)
        self.assertEqual(sorted(path.name for path in npz.parent.iterdir() if path.name[0] == "."),
                         [])

    def place(self, answer):
        directory = self.tmp / answer / "place"
        directory.mkdir(parents=True)
        return directory

    def test_a_snapshot_is_taken(self):
        for answer in ANSWERS:
            with self.subTest(answer=answer):
                state = madtest.make_state(self.tmp / answer / "state", ARRAYS)
                npz = self.place(answer) / "sim.npz"
                for _ in ("first", "over another"):
                    self.without(answer, "mad-snapshot", "-o", npz, state)
                    self.assert_asked_for("fallocate", "fchmod", "flock")
                    self.assert_snapshot(npz)

    def test_a_snapshot_is_fetched_from_a_file_and_verified(self):
        for answer in ANSWERS:
            with self.subTest(answer=answer):
                bundle = self.without(answer, "mad-fetch", NPZ).stdout
                self.assert_asked_for("splice")
                bundle = self.without(answer, "mad-verify", stdin=bundle).stdout
                npz = self.place(answer) / "sim.npz"
                done = madtest.run("mad-resume", "--snapshot", npz, stdin=bundle)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_snapshot(npz)

    def test_a_snapshot_is_fetched_from_a_server_into_place(self):
        for answer in ANSWERS:
            with self.subTest(answer=answer):
                npz = self.place(answer) / "sim.npz"
                self.without(answer, "mad-fetch", "-o", npz, NGINX.url("/sim.npz"))
                self.assert_asked_for("fallocate", "fchmod", "fadvise64", *IF_PLAIN)
                self.assert_snapshot(npz)

    def test_a_snapshot_is_put_in_place_and_unpacked(self):
        bundle = madtest.run("mad-fetch", NPZ).stdout
        bundle = madtest.run("mad-verify", stdin=bundle).stdout
        for answer in ANSWERS:
            with self.subTest(answer=answer):
                npz, state = self.place(answer) / "sim.npz", self.tmp / answer / "state"
                for _ in ("first", "over another"):
                    self.without(answer, "mad-resume", "--snapshot", npz, "--state-dir", state,
                                 stdin=bundle)
                    self.assert_asked_for("splice", "fchmod")
                    self.assert_snapshot(npz)
                    for key, array in ARRAYS.items():
                        found = np.load(state / f"{key}.npy")
                        self.assertTrue(madtest.same_array(found, np.asarray(array)), key)

    def test_a_simulation_is_held_still_without_pidfds(self):
        for answer in ANSWERS:
            with self.subTest(answer=answer):
                place = self.place(answer)
                child, below = self.start_sim(place)
                self.without(answer, "mad-snapshot", "--pause", child.pid, "-o",
                             place / "sim.npz", place / "state")
                trace = "\n".join(strace.whole_calls(self.trace.read_text()))
                for pid in (child.pid, below):
                    self.assertRegex(trace, rf"kill\({pid}, SIGSTOP\) += 0")
                    self.assertRegex(trace, rf"kill\({pid}, SIGCONT\) += 0")
                madtest.reference_verify(place / "sim.npz")
                before = step_of(place / "state")
                wait_until(lambda: step_of(place / "state") > before, "the simulation to go on")

    def test_where_no_thread_can_be_started_one_does_all_the_work(self):
        state = madtest.make_state(self.tmp / "state", ARRAYS)
        npz = self.place("file") / "sim.npz"
        self.without_threads("mad-snapshot", "-o", npz, state)
        self.assert_snapshot(npz)
        for options in ((), ("--all-cores",)):
            self.without_threads("mad-verify", *options, npz)

        url = NGINX.url("/sim.npz")
        npz = self.place("fetched") / "sim.npz"
        self.without_threads("mad-fetch", "-o", npz, url)
        self.assert_snapshot(npz)

        for source in (("mad-snapshot", "-o", "-", state), ("mad-fetch", url)):
            bundle = self.without_threads(*source).stdout
            for options in ((), ("--stream",)):
                verified = self.without_threads("mad-verify", *options, stdin=bundle).stdout
                npz = self.tmp / "resumed.npz"
                done = madtest.run("mad-resume", "--snapshot", npz, stdin=verified)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(npz.read_bytes(), NPZ.read_bytes())
                npz.unlink()

    def limited(self, *argv, stdin=b""):
        """Where no file may be larger than a megabyte."""
        return madtest.run("prlimit", f"--fsize={1 << 20}", *argv, stdin=stdin)

    def test_a_limit_of_file_sizes_is_as_a_full_disk(self):
        state = madtest.make_state(self.tmp / "state", ARRAYS)
        place = self.place("small")
        (place / "sim.npz").write_bytes(b"old")
        for argv in (("mad-snapshot", "-o", place / "sim.npz", state),
                     ("mad-fetch", "-o", place / "sim.npz", NPZ),
                     ("mad-fetch", "-o", place / "sim.npz", NGINX.url("/sim.npz"))):
            done = self.limited(madtest.tool(argv[0]), *argv[1:])
            self.assert_refused(done, 9, str(place / "sim.npz"), "File too large")
            self.assertEqual(madtest.tree(place), {"sim.npz": b"old"})

    def test_a_command_starts_below_a_limit_of_file_sizes_and_has_its_signal(self):
        bundle = madtest.run("mad-verify", stdin=madtest.run("mad-fetch", NPZ).stdout).stdout
        place = self.place("small")
        done = self.limited(
            madtest.tool("mad-resume"), "--state-dir", place / "state", "--", "sh", "-c",
            'echo "$MAD_RESUME_STATUS $MAD_RESUME_REASON"; grep SigIgn /proc/self/status',
            stdin=bundle)
        self.assertEqual(done.returncode, 0, done.stderr)
        said, ignored = done.stdout.decode().splitlines()
        self.assertRegex(said, "^failed mad-resume: no-space: .*File too large")
        self.assertEqual(int(ignored.split()[1], 16) >> (signal.SIGXFSZ - 1) & 1, 0)
        self.assertEqual(madtest.tree(place), {})

    def test_what_cannot_do_without_a_thread_says_so(self):
        done = self.injected(("clone", "clone3"), "EAGAIN", "mad-watch", "--endpoint",
                             NGINX.url("").rstrip("/"))
        self.assert_refused(done, 9, "a further thread: cannot be started: Resource temporarily "
                            "unavailable", "pids.max")

    def start_sim(self, place):
        """Below a shell; both, by process and by PID."""
        child = subprocess.Popen(
            ["sh", "-c", '"$@" >said & echo $! >pid; wait', "sh", SIM, "--state", place / "state",
             "--heat-bytes", "4096"], cwd=place, env=madtest.clean_environment())
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        wait_until(lambda: step_of(place / "state") > 3, "the simulation's first steps")
        pid = place / "pid"
        below = int(wait_until(lambda: pid.exists() and pid.read_text(), "its PID"))
        self.addCleanup(os.kill, below, signal.SIGKILL)
        return child, below


if __name__ == "__main__":
    madtest.main()
