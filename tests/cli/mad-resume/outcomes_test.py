"""mad-resume: what COMMAND is told, for every end that a bundle can come to."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import madtest
import numpy as np
import resumes
from resumes import absent_seal, arrays, bundle, failed_seal, npz_bytes, seal_of


class Outcomes(resumes.Case):
    def setUp(self):
        super().setUp()
        self.npz = npz_bytes(arrays(7))
        self.path = self.tmp / "in.npz"
        self.state = madtest.make_state(self.tmp / "state", arrays(0))
        self.fresh = resumes.files_of(arrays(0))

    def boot(self, stdin, *options, **more):
        return self.resume(stdin, "--snapshot", self.path, "--state-dir", self.state, *options,
                           **more)

    def assert_untouched(self):
        self.assertFalse(self.path.exists())
        self.assertFalse(pathlib.Path(f"{self.path}.manifest.json").exists())
        self.assertEqual(madtest.tree(self.state), self.fresh)
        self.assertEqual(self.leftovers(), [])

    def test_a_verified_bundle_is_published_and_the_state_replaced(self):
        done = self.boot(bundle(self.npz))
        status, url, reason = self.lot(done)
        self.assertEqual((done.returncode, status, url), (0, "resumed", str(self.path)), done.stderr)
        self.assertTrue(reason.startswith("mad-resume: resumed: sim.npz: SHA-256 "), reason)
        self.assertEqual(self.path.read_bytes(), self.npz)
        madtest.reference_verify(self.path)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))
        self.assertEqual(self.leftovers(), [])

    def test_the_manifest_is_published_byte_for_byte(self):
        odd = resumes.manifest_bytes(self.npz).replace(b'"extra": {', b'"extra": {"x": NaN, ')
        members = [("sim.npz.manifest.json", odd), *resumes.pieces(self.npz),
                   (".mad-seal.json", json.dumps(seal_of(self.npz)).encode())]
        self.assertEqual(self.boot(resumes.tar(members)).returncode, 0)
        self.assertEqual(pathlib.Path(f"{self.path}.manifest.json").read_bytes(), odd)

    def test_an_absent_bundle_starts_fresh(self):
        done = self.boot(bundle(seal=absent_seal()))
        self.assertEqual(self.lot(done),
                         ("fresh", "unset", "mad-fetch: no-url: RESUME_FROM_URL is empty"))
        self.assertNotIn("error", done.stderr)
        self.assert_untouched()

    def test_a_failed_bundle_starts_fresh_and_names_the_stage_and_the_cause(self):
        done = self.boot(bundle(seal=failed_seal()))
        self.assert_failed(done, "mad-fetch: snapshot-missing: /x/sim.npz: gone")
        self.assertIn("mad-resume: error: mad-fetch: /x/sim.npz: gone", done.stderr)
        self.assert_untouched()

    def test_a_bundle_that_failed_after_its_data_is_not_published(self):
        done = self.boot(bundle(self.npz, failed_seal("mad-verify", 1, "sha256-mismatch", "no")))
        self.assert_failed(done, "mad-verify: sha256-mismatch: no")
        self.assert_untouched()

    def test_no_bundle_at_all_is_put_down_to_the_stage_before(self):
        self.assert_failed(self.boot(b""), "mad-verify: no-bundle: ")
        self.assert_untouched()

    def test_a_stream_cut_at_any_place_is_a_failure(self):
        whole = bundle(self.npz)
        end = whole.index(b".mad-seal.json") - (whole.index(b".mad-seal.json") % 512)
        for cut in (100, 700, 3000, end - 512, end, end + 100, end + 512):
            with self.subTest(cut=cut):
                self.assert_failed(self.boot(whole[:cut]), "mad-verify: ")
                self.assert_untouched()

    def test_a_bundle_without_a_seal_is_a_failure(self):
        members = [("sim.npz.manifest.json", resumes.manifest_bytes(self.npz)),
                   *resumes.pieces(self.npz)]
        self.assert_failed(self.boot(resumes.tar(members)), "mad-verify: no-seal: ")
        self.assert_untouched()

    def test_noise_is_no_bundle(self):
        self.assert_failed(self.boot(b"hello\n" * 1000), "mad-resume: bundle-invalid: ")
        self.assert_untouched()

    def test_bytes_after_the_seal_are_refused(self):
        self.assert_failed(self.boot(bundle(self.npz) + b"x" * 512), "bundle-invalid")
        self.assert_untouched()

    def test_an_unverified_stage_means_that_mad_verify_is_missing(self):
        for stage in ("created", "fetched"):
            done = self.boot(bundle(self.npz, seal_of(self.npz, stage, tool="mad-fetch")))
            self.assert_failed(done, f"mad-verify: stage-missing: expected a bundle sealed "
                                     f"'verified', found '{stage}': mad-verify is missing")
            self.assertIn("hint: put mad-verify between mad-fetch and mad-resume", done.stderr)
            self.assert_untouched()

    def test_a_skipped_check_wants_its_own_option_and_is_loud(self):
        skipped = bundle(self.npz, seal_of(self.npz, "unverified"), manifest=False)
        self.assert_failed(self.boot(skipped), "mad-verify: stage-missing: ")
        self.assert_untouched()
        done = self.boot(skipped, "--skip-integrity-check")
        status, url, reason = self.lot(done)
        self.assertEqual((status, url), ("resumed", str(self.path)))
        self.assertIn("not verified", reason)
        self.assertIn("warning: the snapshot was not verified", done.stderr)
        self.assertEqual(self.path.read_bytes(), self.npz)
        self.assertFalse(pathlib.Path(f"{self.path}.manifest.json").exists())

    def test_everything_before_a_restart_is_void(self):
        other = npz_bytes(arrays(3))
        members = [("sim.npz.manifest.json", resumes.manifest_bytes(other)),
                   *resumes.pieces(other), (".mad-restart", b""),
                   ("sim.npz.manifest.json", resumes.manifest_bytes(self.npz)),
                   *resumes.pieces(self.npz),
                   (".mad-seal.json", json.dumps(seal_of(self.npz)).encode())]
        self.assertEqual(self.boot(resumes.tar(members)).returncode, 0)
        self.assertEqual(self.path.read_bytes(), self.npz)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_a_restart_without_a_state_of_its_own_is_void_too(self):
        other = npz_bytes({**arrays(3), "more/data": np.arange(1000)})
        members = [*resumes.pieces(other), (".mad-restart", b""), *resumes.pieces(self.npz),
                   (".mad-seal.json", json.dumps(seal_of(self.npz)).encode())]
        done = self.resume(resumes.tar(members), "--state-dir", self.state)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_a_broken_archive_is_refused_even_when_it_was_verified(self):
        at = self.npz.index(arrays(7)["ball/pos"].tobytes())
        broken = self.npz[:at] + bytes([self.npz[at] ^ 1]) + self.npz[at + 1:]
        for checked in (["schema", "size", "sha256"], ["schema", "size", "sha256", "structure"]):
            done = self.boot(bundle(broken, seal_of(broken, checked=checked)))
            self.assert_failed(done, "mad-resume: ", "ball/pos")
            self.assert_untouched()

    def test_a_snapshot_larger_than_allowed_is_refused(self):
        done = self.boot(bundle(self.npz), "--max-size", "1K")
        self.assert_failed(done, "mad-resume: too-large: ", "1024")
        self.assert_untouched()

    def test_a_state_with_another_topology_is_refused_with_every_difference(self):
        other = {"ball/pos": np.zeros(3), "ball/vel": np.zeros(2), "cold/field": np.zeros(1)}
        npz = npz_bytes(other)
        done = self.boot(bundle(npz))
        self.assert_failed(done, "mad-resume: topology-mismatch: sim.npz: ", "ball/pos",
                           "ball/vel", "cold", "heat")
        self.assertNotIn("_meta", done.stderr)
        self.assert_untouched()

    def test_an_expected_topology_wins_over_what_is_there(self):
        other = {"ball/pos": np.zeros(3)}
        expected = self.tmp / "expected.npz"
        np.savez(expected, **other)
        done = self.boot(bundle(npz_bytes(other)), "--expect", expected)
        self.assertEqual(self.lot(done)[0], "resumed", done.stderr)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(other))
        done = self.boot(bundle(self.npz), "--expect", expected)
        self.assert_failed(done, "topology-mismatch", "heat")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(other))

    def test_a_topology_that_cannot_be_read_is_a_failure(self):
        done = self.boot(bundle(self.npz), "--expect", self.tmp / "nothing.json")
        self.assert_failed(done, "mad-resume: ", "nothing.json")
        self.assert_untouched()

    def test_the_bookkeeping_is_replaced_or_dropped(self):
        without = {k: v for k, v in arrays(7).items() if not k.startswith("_meta")}
        self.assertEqual(self.lot(self.boot(bundle(npz_bytes(without))))[0], "resumed")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(without))
        self.assertFalse((self.state / "_meta").exists())
        self.assertEqual(self.lot(self.boot(bundle(self.npz)))[0], "resumed")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_keys_that_collide_as_paths_are_refused(self):
        npz = npz_bytes({"a/b": np.zeros(1), "a/b.npy/c": np.zeros(1)})
        done = self.resume(bundle(npz), "--state-dir", self.tmp / "new")
        self.assert_failed(done, "mad-resume: member-collision: ", "a/b.npy/c")
        self.assertFalse((self.tmp / "new").exists())
        self.assertEqual(self.leftovers(), [])

    def test_keys_that_no_reader_would_see_are_refused(self):
        for key in (".mad-swap/old", "a/.b"):
            npz = npz_bytes({key: np.zeros(1)})
            done = self.resume(bundle(npz), "--state-dir", self.tmp / "new")
            self.assert_failed(done, "mad-resume: member-name: ", key)
            self.assertEqual(self.leftovers(), [])

    def test_an_array_in_the_state_that_is_none_is_named(self):
        (self.state / "ball/pos.npy").write_bytes(b"no array")
        done = self.boot(bundle(self.npz))
        self.assert_failed(done, "mad-resume: npy-invalid: ", "ball/pos.npy")

    def test_without_a_command_the_exit_code_is_the_outcome(self):
        for stdin, code in ((bundle(self.npz), 0), (bundle(seal=absent_seal()), 0),
                            (bundle(seal=failed_seal(code=7)), 7), (b"", 6),
                            (bundle(self.npz, seal_of(self.npz, "fetched")), 6)):
            self.assertEqual(self.boot(stdin, command=None).returncode, code)

    def test_require_turns_failed_and_absent_into_a_refusal_to_start(self):
        env_file = self.tmp / "env"
        for stdin, status in ((bundle(seal=failed_seal()), "failed"),
                              (bundle(seal=absent_seal()), "fresh"), (b"", "failed")):
            done = self.boot(stdin, "--require", "--env-file", env_file)
            self.assertEqual((done.returncode, done.stdout), (125, b""), done.stderr)
            self.assertIn(f"MAD_RESUME_STATUS='{status}'", env_file.read_text())
            self.assert_untouched_but(env_file)
        done = self.boot(bundle(self.npz), "--require")
        self.assertEqual(self.lot(done)[0], "resumed")

    def assert_untouched_but(self, file):
        file.unlink()
        self.assert_untouched()

    def test_the_snapshot_goes_to_a_fresh_private_directory_by_default(self):
        for name in ("sim.npz", "other run.npz"):
            done = self.resume(bundle(self.npz, name=name), env={"TMPDIR": self.tmp})
            status, url, _ = self.lot(done)
            self.assertEqual(status, "resumed", done.stderr)
            path = pathlib.Path(url)
            self.assertEqual((path.name, path.parent.parent), (name, self.tmp))
            self.assertTrue(path.parent.name.startswith("mad-resume-"))
            self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
            self.assertEqual(path.read_bytes(), self.npz)
            madtest.reference_verify(path)
        before = sorted(self.tmp.iterdir())
        self.assert_failed(self.resume(bundle(seal=failed_seal()), env={"TMPDIR": self.tmp}))
        self.assert_failed(self.resume(bundle(self.npz)[:3000], env={"TMPDIR": self.tmp}))
        self.assertEqual(sorted(self.tmp.iterdir()), before)

    def test_only_a_state_leaves_no_url(self):
        done = self.resume(bundle(self.npz), "--state-dir", self.state,
                           env={"RESUME_FROM_URL": "https://example.org/sim.npz?token=1"})
        self.assertEqual(self.lot(done)[:2], ("resumed", "unset"))
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))
        self.assertEqual(self.leftovers(), [])

    def test_the_url_is_unset_whenever_nothing_was_resumed(self):
        for stdin in (b"", bundle(seal=absent_seal())):
            done = self.boot(stdin, env={"RESUME_FROM_URL": "https://example.org/sim.npz"})
            self.assertEqual(self.lot(done)[1], "unset")

    def test_the_path_is_made_absolute(self):
        done = self.resume(bundle(self.npz), "--snapshot", "in.npz")
        self.assertEqual(self.lot(done)[:2], ("resumed", str(self.path)))

    def test_options_come_from_the_environment_too(self):
        done = self.resume(bundle(self.npz), env={"MAD_RESUME_SNAPSHOT": self.path,
                                                 "MAD_RESUME_STATE_DIR": self.state})
        self.assertEqual(self.lot(done)[:2], ("resumed", str(self.path)))
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_local_failures_start_the_command_too(self):
        (self.tmp / "file").write_text("x")
        for options, needle in ((("--snapshot", "none/in.npz"), "none: cannot open the directory: "),
                                (("--snapshot", "state"), "not-regular"),
                                (("--state-dir", "file"), "state-invalid"),
                                (("--state-dir", "none/state"), "none/state"),
                                (("--env-file", "none/env"), "none/env")):
            done = self.resume(bundle(self.npz), *options, env={"TMPDIR": self.tmp})
            self.assert_failed(done, "mad-resume: ", needle)
            self.assert_untouched()
            self.assertEqual(sorted(p.name for p in self.tmp.iterdir()), ["file", "state"])

    def test_a_full_disk_starts_the_command_and_leaves_nothing(self):
        npz = npz_bytes({"big/one": np.random.default_rng(1).random(1 << 17)})
        script = f"mount -t tmpfs -o size=512k none {self.tmp}/full && " \
                 f"mad-resume --snapshot {self.tmp}/full/in.npz -- sh -c '{resumes.SHOW}; " \
                 f"ls -A {self.tmp}/full >&2'"
        (self.tmp / "full").mkdir()
        done = madtest.run("unshare", "-m", "sh", "-c", script, stdin=bundle(npz))
        self.assert_failed(done, "mad-resume: no-space: ")
        self.assertTrue(done.stderr.rstrip().endswith("No space left on device"), done.stderr)

    def test_usage_errors_do_not_start_the_command(self):
        for options in (("--no-such-option",), ("--max-size", "much"), ("--durability", "some"),
                        ("--notify-timeout", "0"), ("--snapshot", self.state / "in.npz"), ("word",)):
            done = self.boot(bundle(self.npz), *options) if options[0] != "--snapshot" else \
                self.resume(bundle(self.npz), "--state-dir", self.state, *options)
            self.assert_refused(done, 2)
            self.assertEqual(done.stdout, b"")
            self.assert_untouched()
        done = madtest.run("mad-resume", "--", stdin=b"")
        self.assert_refused(done, 2, "expected a command after '--'")

    def test_a_terminal_is_no_bundle(self):
        leader, follower = os.openpty()
        done = subprocess.run([madtest.tool("mad-resume"), "--", "echo", "started"],
                              stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, timeout=60, env=madtest.clean_environment())
        os.close(leader)
        os.close(follower)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"terminal", done.stderr)

    def test_the_report_is_written_before_the_command_starts(self):
        report = self.tmp / "report.json"
        cases = ((bundle(self.npz), "resumed", 0, "resumed", "mad-resume"),
                 (bundle(seal=absent_seal()), "fresh", 0, "no-url", "mad-fetch"),
                 (bundle(seal=failed_seal(code=7)), "failed", 7, "snapshot-missing", "mad-fetch"),
                 (b"", "failed", 6, "no-bundle", "mad-verify"))
        for stdin, status, code, reason, stage in cases:
            done = self.boot(stdin, "--report", report, command=f"cat {report}; exit 3")
            self.assertEqual(done.returncode, 3)
            found = json.loads(done.stdout)
            self.assertEqual((found["tool"], found["status"], found["code"], found["reason"],
                              found["stage"]), ("mad-resume", status, code, reason, stage))
            report.unlink()
        self.assertEqual(self.path.read_bytes(), self.npz)

    def test_the_report_of_a_resume_says_what_was_delivered(self):
        report = self.tmp / "report.json"
        self.boot(bundle(self.npz), "--report", report, command=None)
        found = json.loads(report.read_text())
        self.assertEqual(found["snapshot"], str(self.path))
        self.assertEqual(found["state"], str(self.state.resolve()))
        self.assertEqual((found["size_bytes"], found["arrays"]), (len(self.npz), 3))
        self.assertEqual(found["swap"], "exchange")
        self.assertIs(found["verified"], True)

    def test_a_signal_while_the_bundle_is_awaited_ends_it_and_leaves_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            running = subprocess.Popen(
                [madtest.tool("mad-resume"), "--snapshot", self.path, "--state-dir", self.state,
                 "--env-file", self.tmp / "env", "--", "echo", "started"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=madtest.clean_environment())
            running.stdin.write(bundle(self.npz)[:3000])
            running.stdin.flush()
            deadline = time.monotonic() + 30
            while not any(p.name.startswith(".in.npz") for p in self.tmp.iterdir()):
                self.assertLess(time.monotonic(), deadline)
            running.send_signal(number)
            out, _ = running.communicate(timeout=30)
            self.assertEqual((running.returncode, out), (-number, b""))
            self.assert_untouched()

    def test_state_is_written_with_the_owner_and_mode_of_what_it_replaces(self):
        os.chmod(self.state, 0o750)
        os.chmod(self.state / "ball", 0o710)
        os.chmod(self.state / "ball/pos.npy", 0o640)
        owner = (12345, 12346) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        for path in (self.state, self.state / "ball", self.state / "ball/pos.npy"):
            os.chown(path, *owner)
        extra = {**arrays(7), "_meta/other": np.zeros(1)}
        self.assertEqual(self.lot(self.boot(bundle(npz_bytes(extra))))[0], "resumed")
        for name, mode in ((".", 0o750), ("ball", 0o710), ("ball/pos.npy", 0o640)):
            found = (self.state / name).stat()
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid),
                             (mode, *owner), name)
        # What is new belongs to the directory's owner.
        self.assertEqual((self.state / "_meta/other.npy").stat().st_uid, owner[0])


if __name__ == "__main__":
    madtest.main()
