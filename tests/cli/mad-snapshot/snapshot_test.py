"""mad-snapshot from outside: what it writes, where, and what it refuses."""

import fcntl
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import time

import numpy as np

import madtest


class SnapshotCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.arrays = madtest.small_arrays()
        self.state = madtest.make_state(self.tmp / "state", self.arrays)
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = self.place / "sim.npz"

    def take(self, *options, state=None, env=None, stdin=b""):
        return madtest.run("mad-snapshot", "-o", self.npz, *options, state or self.state,
                           env=env, stdin=stdin)

    def manifest(self, npz=None):
        return json.loads(pathlib.Path(f"{npz or self.npz}.manifest.json").read_text())

    def assert_taken(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_nothing_left(self, done, code, *needles):
        self.assert_refused(done, code, *needles)
        self.assertEqual(madtest.tree(self.place), {}, done.stderr)


class WhatIsWritten(SnapshotCase):
    def test_numpy_reads_the_same_arrays_back(self):
        self.assert_taken(self.take())
        with np.load(self.npz, allow_pickle=False) as npz:
            self.assertEqual(sorted(npz.files), sorted(self.arrays))
            for key, array in self.arrays.items():
                self.assertTrue(madtest.same_array(npz[key], array), key)

    def test_the_reference_and_mad_verify_accept_it(self):
        self.assert_taken(self.take())
        madtest.reference_verify(self.npz)
        done = madtest.run("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_same_state_gives_the_same_bytes(self):
        self.assert_taken(self.take())
        first = self.npz.read_bytes()
        again = madtest.make_state(self.tmp / "again", dict(reversed(self.arrays.items())))
        self.assert_taken(self.take(state=again))
        self.assertEqual(self.npz.read_bytes(), first)

    def test_standard_output_is_the_path_and_nothing_else(self):
        done = self.take()
        self.assertEqual(done.stdout.decode(), f"{self.npz}\n")

    def test_the_manifest_tells_size_digest_step_and_chunks(self):
        self.assert_taken(self.take())
        manifest = self.manifest()
        self.assertEqual(list(manifest)[:4], ["schema_version", "sha256", "size_bytes", "extra"])
        self.assertEqual(manifest["size_bytes"], self.npz.stat().st_size)
        self.assertEqual(manifest["step"], 42)
        self.assertEqual(manifest["chunks"]["digests"], [manifest["sha256"]])

    def test_the_table_of_arrays_can_be_left_out(self):
        self.assert_taken(self.take())
        whole = self.manifest()
        self.assert_taken(self.take("--no-members"))
        short = self.manifest()
        self.assertEqual(len(whole.pop("members")), 4)
        for each in (whole, short):
            del each["created_at"]
        self.assertEqual(short, whole)

    def test_extra_holds_what_was_given_and_the_two_keys_win(self):
        extra = self.tmp / "extra.json"
        extra.write_text('{"commit": "abc", "n": 1, "session_id": "file", "odd": NaN}')
        done = self.take("--extra-file", extra, "--extra", "n=[1,2]", "--extra", "word=a=b",
                         "--extra", "stage_at_snapshot=mine", "--stage", "checkpoint")
        self.assert_taken(done)
        got = self.manifest()["extra"]
        self.assertNotEqual(got.pop("odd"), 0)
        self.assertEqual(got, {"commit": "abc", "n": [1, 2], "session_id": None, "word": "a=b",
                               "stage_at_snapshot": "checkpoint"})

    def test_the_session_id_stays_a_string(self):
        self.assert_taken(self.take("--session-id", "17"))
        self.assertEqual(self.manifest()["extra"], {"session_id": "17",
                                                    "stage_at_snapshot": "preempted"})

    def test_a_compressed_snapshot_is_smaller_and_holds_the_same(self):
        madtest.make_state(self.state, {"heat/big": np.zeros(100_000)})
        self.assert_taken(self.take("--compress"))
        self.assertLess(self.npz.stat().st_size, 100_000)
        madtest.reference_verify(self.npz)
        with np.load(self.npz) as npz:
            self.assertEqual(npz["heat/big"].shape, (100_000,))
            self.assertTrue(madtest.same_array(npz["ball/pos"], self.arrays["ball/pos"]))

    def test_a_compressed_snapshot_takes_no_more_of_the_disk_than_its_bytes(self):
        state = madtest.make_state(self.tmp / "zeros", {"n/x": np.zeros(1 << 20)})
        self.assert_taken(self.take("--compress", state=state))
        status = self.npz.stat()
        self.assertLess(status.st_size, 100_000)
        self.assertLess(512 * status.st_blocks, 1 << 20)

    def test_a_compressed_snapshot_fits_where_its_state_would_not(self):
        state = madtest.make_state(self.tmp / "zeros", {"n/x": np.zeros(1 << 20)})
        script = ('mount -t tmpfs -o size=2m none "$1" && shift || exit 99; "$@" && '
                  'cp "$OUT".npz* "$COPY"')
        copy = self.tmp / "copy"
        copy.mkdir()
        done = madtest.run(
            "unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script, "sh", self.place,
            madtest.tool("mad-snapshot"), "--compress", "-o", self.place / "sim", state,
            env={"OUT": self.place / "sim", "COPY": copy})
        self.assert_taken(done)
        madtest.reference_verify(copy / "sim.npz")

    def test_an_npz_is_taken_byte_for_byte(self):
        given = self.tmp / "given.npz"
        np.savez_compressed(given, **self.arrays)
        self.assert_taken(self.take(state=given))
        self.assertEqual(self.npz.read_bytes(), given.read_bytes())
        self.assertEqual(self.manifest()["step"], 42)

    def test_an_npz_on_standard_input_is_taken_byte_for_byte(self):
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays)
        self.assert_taken(self.take(state="-", stdin=buffer.getvalue()))
        self.assertEqual(self.npz.read_bytes(), buffer.getvalue())
        self.assertEqual(madtest.reference_verify(self.npz)["step"], 42)

    def test_an_npz_with_hidden_keys_is_taken_with_a_warning(self):
        given = self.tmp / "given.npz"
        np.savez(given, **self.arrays, **{"ball/.old": np.zeros(2), ".cache/x": np.zeros(1)})
        for state, stdin in ((given, b""), ("-", given.read_bytes())):
            with self.subTest(state=state):
                done = self.take("-q", state=state, stdin=stdin)
                self.assert_taken(done)
                self.assertEqual(self.npz.read_bytes(), given.read_bytes())
                self.assertEqual(done.stderr.count("warning: "), 1, done.stderr)
                self.assertRegex(done.stderr, r"ball/\.old \(and 1 more\): .* --state-dir")
        self.assertEqual(madtest.run("mad-verify", self.npz).returncode, 0)
        boot = 'mad-fetch "$1" | mad-verify | mad-resume "$2" "$3"'
        done = madtest.dash(boot, self.npz, "--snapshot", self.tmp / "in.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "in.npz").read_bytes(), given.read_bytes())
        done = madtest.dash(boot, self.npz, "--state-dir", self.tmp / "new")
        self.assert_refused(done, 1, "ball/.old", "begins with '.'")

    def test_an_npz_without_hidden_keys_is_taken_without_a_warning(self):
        given = self.tmp / "given.npz"
        np.savez(given, **self.arrays, **{"a.b/c.d": np.zeros(2)})
        self.assertNotIn("warning", self.take(state=given).stderr)

    def test_the_report_holds_the_figures(self):
        report = self.tmp / "report.json"
        self.assert_taken(self.take("--report", report))
        got = json.loads(report.read_text())
        self.assertEqual((got["tool"], got["status"], got["code"]), ("mad-snapshot", "ok", 0))
        self.assertEqual((got["path"], got["step"], got["arrays"], got["after_failed"]),
                         (str(self.npz), 42, 4, False))
        self.assertEqual(got["sha256"], self.manifest()["sha256"])
        self.assertGreater(got["seconds"], 0)


class WhereItIsWritten(SnapshotCase):
    def test_the_environment_says_where_without_an_option(self):
        for env, path in (
            ({"MADDENING_SNAPSHOT_PATH": self.place / "p.npz",
              "MADDENING_SNAPSHOT_DIR": "/nonexistent"}, "p.npz"),
            ({"MADDENING_SNAPSHOT_DIR": self.place}, "maddening_preempt_snapshot.npz"),
        ):
            done = madtest.run("mad-snapshot", self.state, env=env)
            self.assertEqual(done.stdout.decode(), f"{self.place / path}\n", done.stderr)
            madtest.reference_verify(self.place / path)

    def test_npz_is_appended_to_a_name_that_lacks_it(self):
        done = madtest.run("mad-snapshot", "-o", self.place / "bare", self.state)
        self.assertEqual(done.stdout.decode(), f"{self.place / 'bare.npz'}\n", done.stderr)

    def test_a_directory_gets_a_new_name_each_time_in_the_order_of_commits(self):
        names = []
        for _ in range(3):
            done = madtest.run("mad-snapshot", "-o", f"{self.place}/", self.state)
            names.append(os.path.basename(done.stdout.decode().strip()))
        self.assertEqual(names, sorted(names))
        for number, name in enumerate(names, 1):
            self.assertRegex(name, rf"^snapshot-{number:010d}-\d{{8}}T\d{{6}}Z\.npz$")
            madtest.reference_verify(self.place / name)
        self.assertEqual(len(madtest.tree(self.place)), 6)

    def test_ten_writers_into_one_directory_make_ten_snapshots(self):
        command = [madtest.tool("mad-snapshot"), "--lock-timeout", "60", "-o", self.place,
                   self.state]
        writers = [subprocess.Popen(command, env=madtest.clean_environment(),
                                    stdout=subprocess.PIPE) for _ in range(10)]
        names = {writer.communicate()[0].decode().strip() for writer in writers}
        self.assertEqual(len(names), 10)
        self.assertEqual(len(madtest.tree(self.place)), 20)
        for name in names:
            madtest.reference_verify(name)

    def test_after_a_resume_that_failed_the_unread_snapshot_is_spared(self):
        self.assert_taken(self.take("--extra", "n=1"))
        before = madtest.tree(self.place)
        report = self.tmp / "report.json"
        done = self.take("--report", report, env={"MAD_RESUME_STATUS": "failed"})
        self.assert_taken(done)
        spared = done.stdout.decode().strip()
        self.assertRegex(spared, r"/sim-after-failed-\d{8}T\d{6}Z\.npz$")
        self.assertIn("not replaced", done.stderr)
        madtest.reference_verify(spared)
        self.assertTrue(json.loads(report.read_text())["after_failed"])
        after = madtest.tree(self.place)
        self.assertEqual({name: after[name] for name in before}, before)

    def test_after_a_resume_that_failed_with_nothing_there_the_name_is_the_usual(self):
        self.assert_taken(self.take(env={"MAD_RESUME_STATUS": "failed"}))
        self.assertTrue(self.npz.exists())

    def test_a_missing_directory_is_refused_with_a_hint(self):
        done = madtest.run("mad-snapshot", "-o", self.tmp / "no" / "sim.npz", self.state)
        self.assert_refused(done, 9, f"{self.tmp}/no: cannot open the directory: ",
                            f"mkdir -p {self.tmp}/no")
        done = madtest.run("mad-snapshot", "-o", f"{self.tmp}/new/", self.state)
        self.assert_refused(done, 9, f"{self.tmp}/new: cannot open the directory: ",
                            f"mkdir -p {self.tmp}/new")

    def test_a_url_is_no_place_for_a_snapshot(self):
        for argv, env in (
            (["-o", "s3://b/k.npz"], {}),
            (["-o", "s3://b/k/"], {}),
            (["-o", "https://me:secret@h/k.npz?sig=secret"], {}),
            (["-o", "file:///k.npz"], {}),
            ([], {"MADDENING_SNAPSHOT_PATH": "gs://b/k"}),
            ([], {"MADDENING_SNAPSHOT_DIR": "az://b"}),
            ([], {"MAD_SNAPSHOT_OUTPUT": "s3://b/k.npz"}),
        ):
            with self.subTest(argv=argv, env=env):
                done = madtest.run("mad-snapshot", *argv, self.state, env=env)
                self.assert_refused(done, 2, "expected a path", "found a URL",
                                    "mad-snapshot -o - STATE | mad-push - URL")
                self.assertNotIn("secret", done.stderr)
        done = madtest.run("mad-snapshot", "-o", "-", self.state,
                           env={"MADDENING_SNAPSHOT_PATH": "s3://b/k.npz"})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_link_or_a_directory_under_the_name_is_refused(self):
        victim = self.tmp / "victim"
        victim.write_text("precious")
        for name in ("sim.npz", "sim.npz.manifest.json"):
            (self.place / name).symlink_to(victim)
            self.assert_refused(self.take(), 1, name, "symbolic link")
            (self.place / name).unlink()
        (self.place / "sim.npz.manifest.json").mkdir()
        self.assert_refused(self.take(), 1, "sim.npz.manifest.json", "a directory")
        self.assertEqual(victim.read_text(), "precious")
        self.assertEqual(madtest.tree(self.place), {})


class Modes(SnapshotCase):
    def modes(self):
        return {path.stat().st_mode & 0o7777 for path in self.place.iterdir()}

    def test_a_new_snapshot_is_for_its_owner_alone(self):
        self.assert_taken(self.take())
        self.assertEqual(self.modes(), {0o600})

    def test_a_replaced_snapshot_keeps_its_mode(self):
        self.assert_taken(self.take())
        self.npz.chmod(0o640)
        self.assert_taken(self.take())
        self.assertEqual(self.modes(), {0o640})

    def test_an_option_beats_it(self):
        self.assert_taken(self.take("--mode", "604"))
        self.assertEqual(self.modes(), {0o604})
        self.assert_refused(self.take("--mode", "9"), 2, "--mode")

    def test_nothing_is_inherited_where_anyone_may_write(self):
        self.place.chmod(0o1777)
        self.assert_taken(self.take())
        self.npz.chmod(0o666)
        self.assert_taken(self.take())
        self.assertEqual(self.modes(), {0o600})


class Locks(SnapshotCase):
    def test_a_holder_of_the_lock_makes_it_give_up_in_time_and_keep_the_old(self):
        self.assert_taken(self.take())
        before = madtest.tree(self.place)
        holder = os.open(self.place, os.O_RDONLY)
        self.addCleanup(os.close, holder)
        fcntl.flock(holder, fcntl.LOCK_SH)
        self.assert_refused(self.take("--lock-timeout", "0.1", "--extra", "n=2"), 9,
                            str(self.place), "lock")
        self.assertEqual(madtest.tree(self.place), before)

    def test_it_waits_for_a_copier_and_goes_on_when_that_ends(self):
        copier = subprocess.Popen(["flock", self.place, "sh", "-c", "echo held; read line"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(copier.stdout.readline(), b"held\n")
        writer = subprocess.Popen(
            [madtest.tool("mad-snapshot"), "-v", "-o", self.npz, self.state],
            env=madtest.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = b""
        while b"waiting for the lock" not in said:
            line = writer.stderr.readline()
            self.assertTrue(line, "it ended without waiting")
            said += line
        self.assertFalse(self.npz.exists())
        copier.communicate(b"\n")
        writer.communicate()
        self.assertEqual(writer.returncode, 0)
        madtest.reference_verify(self.npz)


class Refusals(SnapshotCase):
    def test_a_state_that_is_not_there_is_code_5(self):
        self.assert_nothing_left(self.take(state=self.tmp / "none"), 5, "none")

    def states_without_arrays(self):
        """(STATE, standard input, what a message calls it) of each kind."""
        empty = self.tmp / "empty"
        empty.mkdir()
        npz = self.tmp / "empty.npz"
        np.savez(npz)
        return ((empty, b"", str(empty)), (npz, b"", str(npz)),
                ("-", npz.read_bytes(), "standard input"))

    def test_a_state_without_arrays_does_not_replace_a_snapshot(self):
        self.assert_taken(self.take())
        before = madtest.tree(self.place)
        for state, stdin, subject in self.states_without_arrays():
            with self.subTest(subject):
                self.assert_refused(self.take(state=state, stdin=stdin), 1, f"{subject}: ",
                                    "found none", f"{self.npz} is not replaced by nothing")
                self.assertEqual(madtest.tree(self.place), before)

    def test_a_state_without_arrays_does_not_become_the_newest_of_a_sequence(self):
        def take(state, stdin=b""):
            return madtest.run("mad-snapshot", "-o", f"{self.place}/", "--keep", "1", state,
                               stdin=stdin)
        done = take(self.state)
        self.assert_taken(done)
        newest = done.stdout.decode().strip()
        before = madtest.tree(self.place)
        for state, stdin, subject in self.states_without_arrays():
            with self.subTest(subject):
                self.assert_refused(take(state, stdin), 1, f"{subject}: ", "found none",
                                    f"{newest} is not replaced by nothing")
                self.assertEqual(madtest.tree(self.place), before)

    def test_a_state_without_arrays_may_be_the_first_under_its_name(self):
        for number, (state, stdin, subject) in enumerate(self.states_without_arrays()):
            for out in (self.place / f"{number}.npz", f"{self.place}/dir{number}/"):
                with self.subTest(subject, out=out):
                    (self.place / f"dir{number}").mkdir(exist_ok=True)
                    done = madtest.run("mad-snapshot", "-o", out, state, stdin=stdin)
                    self.assert_taken(done)
                    self.assertEqual(np.load(done.stdout.decode().strip()).files, [])

    def test_a_state_without_arrays_is_never_streamed(self):
        for state, stdin, subject in self.states_without_arrays():
            with self.subTest(subject):
                self.assert_only_a_failed_seal(state, stdin, "state-invalid", "found none")

    def assert_only_a_failed_seal(self, state, stdin, reason, *needles):
        done = madtest.run("mad-snapshot", "-o", "-", state, stdin=stdin)
        self.assert_refused(done, 1, *needles)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            self.assertEqual(tar.getnames(), [".mad-seal.json"])
            seal = json.loads(tar.extractfile(".mad-seal.json").read())
        self.assertEqual((seal["stage"], seal["code"], seal["reason"]), ("failed", 1, reason))

    def test_what_no_reader_would_take_is_refused_as_a_file_and_as_a_stream(self):
        long = "/".join(name * 250 for name in "abc")
        wide = [(f"f{i:06}", "<f8") for i in range(450)]

        def collide(node):
            shutil.copy(self.state / "ball" / "pos.npy", node / "x.npy")
            os.link(node / "x.npy", node / "x.npy.npy")

        def name_at_length(node):
            (node / long).mkdir(parents=True)
            shutil.copy(self.state / "ball" / "pos.npy", node / long / "x.npy")
            for i in range((16 << 20) // 1024):
                os.link(node / long / "x.npy", node / long / f"{i:0240}.npy")

        def describe_at_length(node):
            for i in range((4 << 20) // 9000):
                np.save(node / f"{i}.npy", np.zeros(0, [(f"n{i}", "<f8"), *wide]))

        for spoil, reason, needle in (
            (collide, "member-collision", "x.npy.npy"),
            (name_at_length, "too-large", "bytes of the directory"),
            (describe_at_length, "too-large", "bytes of all dtypes and shapes"),
        ):
            with self.subTest(spoil.__name__):
                state = self.tmp / spoil.__name__
                (state / "n").mkdir(parents=True)
                spoil(state / "n")
                # All three ask the same; a state that large takes the sanitizers seconds.
                for options in ((),) if madtest.SANITIZED else ((), ("--compress",)):
                    self.assert_nothing_left(self.take(*options, state=state), 1, str(state),
                                             needle)
                self.assert_only_a_failed_seal(state, b"", reason, str(state), needle)

    def test_an_object_array_is_refused(self):
        np.save(self.state / "ball" / "objects.npy", np.array([{}], dtype=object))
        self.assert_nothing_left(self.take(), 1, "ball/objects", "object")

    def test_a_symbolic_link_inside_is_refused(self):
        (self.state / "ball" / "link.npy").symlink_to(self.state / "ball" / "pos.npy")
        self.assert_nothing_left(self.take(), 1, "ball/link.npy", "symbolic link")

    def test_a_linked_node_is_refused(self):
        (self.state / "linked").symlink_to(self.state / "ball")
        self.assert_nothing_left(self.take(), 1, "linked", "symbolic link")

    def test_the_state_itself_may_be_a_link(self):
        link = self.tmp / "current"
        link.symlink_to(self.state)
        self.assert_taken(self.take(state=link))

    def test_a_fifo_inside_is_refused_and_never_waited_for(self):
        os.mkfifo(self.state / "ball" / "fifo.npy")
        self.assert_nothing_left(self.take(), 1, "ball/fifo.npy", "FIFO")

    def test_a_file_that_is_no_npy_is_refused(self):
        (self.state / "ball" / "notes.txt").write_text("hello")
        self.assert_nothing_left(self.take(), 1, "ball/notes.txt", "begins with '.'")
        (self.state / "ball" / "notes.txt").rename(self.state / "ball" / ".notes.txt")
        self.assert_taken(self.take())

    def test_npy_bytes_that_are_none_are_refused(self):
        (self.state / "ball" / "pos.npy").write_bytes(b"not an array")
        self.assert_nothing_left(self.take(), 1, "ball/pos")

    def test_a_header_that_does_not_match_the_size_is_refused(self):
        with open(self.state / "ball" / "pos.npy", "ab") as file:
            file.write(b"x")
        self.assert_nothing_left(self.take(), 1, "ball/pos", "128 bytes of header and 16 of data", "145 bytes")

    def test_a_truncated_npz_is_refused(self):
        given = self.tmp / "given.npz"
        np.savez(given, **self.arrays)
        given.write_bytes(given.read_bytes()[:-30])
        self.assert_nothing_left(self.take(state=given), 1, "given.npz")

    def test_a_flipped_bit_in_an_npz_is_refused_on_every_way_in(self):
        given = self.tmp / "given.npz"
        np.savez(given, **self.arrays)
        data = bytearray(given.read_bytes())
        at = data.index(self.arrays["heat/field"].tobytes())
        data[at + 100] ^= 1
        given.write_bytes(data)
        self.assert_nothing_left(self.take(state=given), 1, "heat/field", "CRC")
        self.assert_nothing_left(self.take(state="-", stdin=bytes(data)), 1, "standard input", "CRC")

    def test_a_refused_state_leaves_the_old_snapshot(self):
        self.assert_taken(self.take())
        before = madtest.tree(self.place)
        os.mkfifo(self.state / "fifo.npy")
        self.assert_refused(self.take(), 1, "fifo")
        self.assertEqual(madtest.tree(self.place), before)

    def test_extra_that_is_no_object_is_usage(self):
        bad = self.tmp / "bad.json"
        bad.write_text("[1]")
        self.assert_nothing_left(self.take("--extra-file", bad), 2, "object")
        self.assert_nothing_left(self.take("--extra", "novalue"), 2, "KEY=VALUE")

    def test_no_state_is_usage(self):
        self.assert_refused(madtest.run("mad-snapshot"), 2, "STATE")

    def changed_while_read(self, change):
        """Runs `change` while mad-snapshot is stopped between its first write and the next."""
        big = np.arange(300_000, dtype="<f8")
        madtest.make_state(self.state, {"heat/big": big})
        trace = self.tmp / "trace"
        writer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", trace, "-e", "trace=pwrite64",
             "-e", "inject=pwrite64:signal=STOP:when=1", madtest.tool("mad-snapshot"),
             "-o", self.npz, self.state],
            env=madtest.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while "stopped by SIGSTOP" not in (trace.read_text() if trace.exists() else ""):
            self.assertIsNone(writer.poll(), "it ended without stopping")
            time.sleep(0.002)
        change()
        pid = int(re.match(r"\d+", trace.read_text())[0])
        os.kill(pid, signal.SIGCONT)
        _, stderr = writer.communicate(timeout=60)
        writer.stderr = stderr.decode()
        return writer

    def test_an_array_written_to_while_it_is_read_is_refused(self):
        def change():
            with open(self.state / "heat" / "big.npy", "r+b") as file:
                file.seek(1000)
                file.write(b"changed!")
        done = self.changed_while_read(change)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("heat/big", done.stderr)
        self.assertEqual(madtest.tree(self.place), {})

    def test_an_array_that_appears_while_it_is_read_is_refused(self):
        done = self.changed_while_read(
            lambda: np.save(self.state / "heat" / "late.npy", np.zeros(3)))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("changed while it was read", done.stderr)
        self.assertEqual(madtest.tree(self.place), {})


class Ends(SnapshotCase):
    def test_a_signal_ends_it_with_that_signal_and_nothing_left(self):
        reader, writer = os.pipe()
        done = subprocess.Popen([madtest.tool("mad-snapshot"), "-o", self.npz, "-"], stdin=reader,
                                env=madtest.clean_environment(), stdout=subprocess.DEVNULL)
        os.close(reader)
        self.addCleanup(os.close, writer)
        os.write(writer, b"PK")
        while not any(".mad-" in name for name in madtest.tree(self.place)):
            self.assertIsNone(done.poll())
        done.send_signal(signal.SIGTERM)
        self.assertEqual(done.wait(timeout=30), -signal.SIGTERM)
        self.assertEqual(madtest.tree(self.place), {})

    def test_a_paused_process_runs_again_afterwards(self):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assert_taken(self.take("--pause", child.pid))
        self.assertEqual(child.communicate(b"alive", timeout=30)[0], b"alive")

    def test_pausing_a_process_that_is_not_there_takes_no_snapshot(self):
        child = subprocess.Popen(["true"])
        child.wait()
        self.assert_nothing_left(self.take("--pause", child.pid), 9, str(child.pid))

    def test_a_report_and_one_json_line_tell_of_a_failure(self):
        report = self.tmp / "report.json"
        done = self.take("--report", report, "--log-format", "json", state=self.tmp / "none")
        self.assertEqual(json.loads(done.stderr)["reason"], "state-missing")
        got = json.loads(report.read_text())
        self.assertEqual((got["status"], got["code"], got["reason"]), ("error", 5, "state-missing"))


class Bundles(SnapshotCase):
    def bundle(self, *options, state=None, stdin=b"", code=0):
        done = madtest.run("mad-snapshot", "-o", "-", *options, state or self.state, stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            members = [(member.name, tar.extractfile(member).read()) for member in tar]
        return members, json.loads(members[-1][1])

    def assert_bundle_of(self, members, npz):
        parts = [data for name, data in members if ".npz.parts/" in name]
        self.assertEqual(b"".join(parts), npz)
        names = [name for name, _ in members]
        self.assertEqual(names[-2:], ["maddening_preempt_snapshot.npz.manifest.json",
                                      ".mad-seal.json"])

    def test_a_bundle_holds_the_npz_then_its_manifest_then_the_seal(self):
        self.assert_taken(self.take())
        members, seal = self.bundle()
        self.assert_bundle_of(members, self.npz.read_bytes())
        self.assertEqual((seal["stage"], seal["size_bytes"]),
                         ("created", self.npz.stat().st_size))
        manifest = json.loads(members[-2][1])
        self.assertEqual((manifest["sha256"], manifest["step"]),
                         (self.manifest()["sha256"], 42))

    def test_an_npz_from_a_file_or_from_standard_input_comes_byte_for_byte(self):
        given = self.tmp / "given.npz"
        np.savez(given, **self.arrays)
        for state, stdin in ((given, b""), ("-", given.read_bytes())):
            members, seal = self.bundle(state=state, stdin=stdin)
            self.assert_bundle_of(members, given.read_bytes())
            self.assertEqual(seal["stage"], "created")

    def test_mad_verify_seals_it(self):
        done = madtest.dash('mad-snapshot -o - "$1" | mad-verify > "$2"', self.state,
                            self.tmp / "out")
        self.assertEqual(done.returncode, 0, done.stderr)
        with tarfile.open(self.tmp / "out") as tar:
            seal = json.loads(tar.extractfile(".mad-seal.json").read())
        self.assertEqual(seal["stage"], "verified")

    def test_a_failure_is_in_the_seal(self):
        os.mkfifo(self.state / "ball" / "fifo.npy")
        members, seal = self.bundle(code=1)
        self.assertEqual((seal["stage"], seal["tool"], seal["code"], seal["reason"]),
                         ("failed", "mad-snapshot", 1, "state-invalid"))
        self.assertEqual([name for name, _ in members], [".mad-seal.json"])

    def test_a_name_may_be_given(self):
        report = self.tmp / "report.json"
        members, _ = self.bundle("--name", "ball.npz", "--report", report)
        self.assertEqual(members[-2][0], "ball.npz.manifest.json")
        got = json.loads(report.read_text())
        self.assertEqual(got["name"], "ball.npz")
        self.assertNotIn("path", got)

    def test_a_terminal_gets_no_bundle(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        done = subprocess.run([madtest.tool("mad-snapshot"), "-o", "-", str(self.state)],
                              env=madtest.clean_environment(), stdout=slave,
                              stderr=subprocess.PIPE, check=False)
        os.close(slave)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"terminal", done.stderr)

    def test_a_full_output_is_code_9(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([madtest.tool("mad-snapshot"), "-o", "-", str(self.state)],
                                  env=madtest.clean_environment(), stdout=full,
                                  stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 9)
        self.assertIn(b"No space left on device", done.stderr)


if __name__ == "__main__":
    madtest.main()
