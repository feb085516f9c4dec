"""mad-snapshot against a deadline: what it says early, drops, and leaves; and --first."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import time
import zipfile

import numpy as np

import madtest

MIB = 1 << 20


class DeadlineCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = self.place / "sim.npz"
        self.report = self.tmp / "report.json"

    def take(self, state, *options, out=None, env=None):
        return madtest.run("mad-snapshot", "--report", self.report, *options, "-o",
                           out or self.npz, state, env=env)

    def put_old(self):
        done = self.take(madtest.make_state(self.tmp / "old", madtest.small_arrays()))
        self.assertEqual(done.returncode, 0, done.stderr)
        return madtest.tree(self.place)

    def sparse_state(self, size):
        """An array of zeros that takes no room."""
        state = madtest.make_state(self.tmp / "sparse", {"heat/field": np.zeros(0, "<f8")})
        path = state / "heat/field.npy"
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f8", "fortran_order": False, "shape": (size // 8,)})
            file.truncate(file.tell() + size)
        return state


    def take_from_a_slow_disk(self, state, fault, seconds):
        return subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync",
             "-e", f"inject=fsync:{fault}",
             madtest.tool("mad-snapshot"), "--deadline", seconds, "-o", self.npz, state],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60,
            env=madtest.clean_environment(ASAN_OPTIONS="detect_leaks=0"))


class NoTime(DeadlineCase):
    def test_a_state_too_large_is_said_early_and_leaves_the_old_snapshot_whole(self):
        old = self.put_old()
        state = self.sparse_state(3 << 30)
        seconds = 3 if madtest.SANITIZED else 1
        for _ in range(3):
            self.report.unlink(missing_ok=True)
            begin = time.time()
            done = self.take(state, env={"MAD_DEADLINE": begin + seconds})
            # The file system may need more than the time that is kept to take it all away.
            if self.report.exists():
                break
        self.assert_refused(done, 10, "deadline: there is no time left")
        if not madtest.SANITIZED:
            self.assertLess(self.report.stat().st_mtime, begin + seconds)
            self.assertRegex(done.stderr, r"warning: .*sparse: 3\.00 GiB at [\d.]+ .iB/s: "
                                          r"[\d.]+ s to go, more than the 0\.\d s that are left\n")
        self.assertEqual(madtest.tree(self.place), old)
        self.assertEqual(json.loads(self.report.read_text())["reason"], "deadline-passed")

    def test_a_lock_that_somebody_holds_is_waited_for_until_then_only(self):
        old = self.put_old()
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        directory = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, directory)
        fcntl.flock(directory, fcntl.LOCK_EX)
        done = self.take(state, "--deadline", "2", "--lock-timeout", "60")
        self.assert_refused(done, 10, "deadline")
        self.assertEqual(madtest.tree(self.place), old)

    def test_a_disk_that_hangs_ends_it_at_the_deadline_and_the_next_run_cleans_up(self):
        old = self.put_old()
        state = madtest.make_state(self.tmp / "state", {"a/b": np.ones(3)})
        hung = self.take_from_a_slow_disk(state, "delay_enter=1500000", "0.6")
        self.assertEqual(hung.returncode, -signal.SIGKILL, hung.stderr)
        found = {name: data for name, data in madtest.tree(self.place).items()
                 if not name.startswith(".")}
        self.assertEqual(found, old)
        self.assertEqual(self.take(state).returncode, 0)
        self.assertEqual(sorted(madtest.tree(self.place)), ["sim.npz", "sim.npz.manifest.json"])

    def test_what_is_ready_when_the_time_is_over_is_not_published_and_leaves_nothing(self):
        old = self.put_old()
        state = madtest.make_state(self.tmp / "state", {"a/b": np.ones(3)})
        # The last sync before the commit is done in the second that is kept for ending.
        late = self.take_from_a_slow_disk(state, "delay_exit=3050000:when=2", "4")
        self.assertEqual(late.returncode, 10, late.stderr)
        self.assertIn(b"deadline", late.stderr)
        self.assertEqual(madtest.tree(self.place), old)


class WhatIsDropped(DeadlineCase):
    def test_compression_that_takes_too_long_is_given_up_on_the_way(self):
        # A quiet machine deflates 20 to 40 MiB a second.
        size_mib, seconds = (160, "10") if madtest.SANITIZED else (128, "3.4")
        noise = np.random.default_rng(5).random(size_mib * MIB // 8)
        arrays = {"a/quick": np.zeros(1000), "b/slow": noise, "c/after": np.zeros(1000)}
        state = madtest.make_state(self.tmp / "state", arrays)
        done = self.take(state, "--compress", "--deadline", seconds)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--compress: too slow for the deadline", done.stderr)
        self.check_dropped(arrays)
        if madtest.SANITIZED:
            return  # three of them at once are too slow for any time that is right elsewhere
        out = self.tmp / "in.npz"
        done = madtest.dash(
            'mad-snapshot --report "$4" --compress --deadline "$1" -o - "$2" | mad-verify | '
            'mad-resume --snapshot "$3"', seconds, state, out, self.report)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.npz = out
        self.check_dropped(arrays)

    def check_dropped(self, arrays):
        with zipfile.ZipFile(self.npz) as archive:
            methods = {info.filename: info.compress_type for info in archive.infolist()}
        self.assertEqual(methods, {"a/quick.npy": zipfile.ZIP_DEFLATED,
                                   "b/slow.npy": zipfile.ZIP_STORED,
                                   "c/after.npy": zipfile.ZIP_STORED})
        self.assertEqual(json.loads(self.report.read_text())["not_compressed"], 2)
        with np.load(self.npz) as npz:
            for key, array in arrays.items():
                self.assertTrue(madtest.same_array(npz[key], array), key)
        done = madtest.run("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("members    ok", done.stdout.decode())

    def test_it_is_kept_where_there_is_time_for_it(self):
        state = madtest.make_state(self.tmp / "state", {"a/b": np.zeros(1_000_000)})
        done = self.take(state, "--compress", "--deadline", "600")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLess(self.npz.stat().st_size, 100_000)
        self.assertEqual(json.loads(self.report.read_text())["not_compressed"], 0)


class First(DeadlineCase):
    def names(self):
        with zipfile.ZipFile(self.npz) as archive:
            return [info.filename[:-4] for info in archive.infolist()]

    def test_what_is_named_is_read_first_and_every_reader_takes_it(self):
        arrays = madtest.small_arrays()
        state = madtest.make_state(self.tmp / "state", arrays)
        done = self.take(state, "--first", "heat/field", "--first", "ball/vel")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        order = ["heat/field", "ball/vel", "_meta/step_count", "ball/pos"]
        self.assertEqual(self.names(), order)
        manifest = json.loads(pathlib.Path(f"{self.npz}.manifest.json").read_text())
        self.assertEqual([member["name"] for member in manifest["members"]], order)
        self.assertEqual(manifest["step"], 42)
        self.assertEqual(madtest.run("mad-verify", self.npz, "--expect", state).returncode, 0)
        self.assertEqual(madtest.run("mad-manifest", "diff", self.npz, state).returncode, 0)
        boot = ('mad-snapshot --first heat/field -o - "$1" | mad-verify | '
                'mad-resume --state-dir "$2"')
        done = madtest.dash(boot, state, self.tmp / "resumed")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.tmp / "resumed"), madtest.tree(state))
        with np.load(self.npz) as npz:
            for key, array in arrays.items():
                self.assertTrue(madtest.same_array(npz[key], array), key)

    def test_what_the_state_does_not_have_is_warned_of_and_costs_no_snapshot(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        done = self.take(state, "--first", "no/such", "--first", "heat/field")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, "warning: --first: .*state has no array no/such\n")
        self.assertEqual(self.names()[0], "heat/field")
        again = self.take(self.npz, "--first", "heat/field", out=self.tmp / "copy.npz")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("warning: --first: an npz is taken in the order that it has", again.stderr)


if __name__ == "__main__":
    madtest.main()
