import json
import os
import pathlib
import pty
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import madtest
from fetching import Bundle, FetchCase


class Files(FetchCase):
    def test_a_bare_path_and_each_form_of_a_file_url_are_fetched(self):
        for url in (str(self.npz), f"file://{self.npz}", f"file:{self.npz}",
                    f"FILE://localhost{self.npz}", f"file://{self.tmp}/%73im.npz"):
            with self.subTest(url=url):
                self.assert_fetched(self.fetch(url))

    def test_the_url_is_taken_from_the_environment(self):
        self.assert_fetched(self.fetch(env={"RESUME_FROM_URL": self.npz}))

    def test_an_operand_beats_the_environment(self):
        self.assert_fetched(self.fetch(self.npz, env={"RESUME_FROM_URL": "/nowhere.npz"}))

    def test_no_url_is_an_absent_bundle(self):
        for words in ((), ("",)):
            done = self.fetch(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            seal = Bundle(done.stdout).seal
            self.assertEqual((seal["stage"], seal["reason"]), ("absent", "no-url"))

    def test_no_url_with_an_output_writes_nothing(self):
        done = self.fetch("-o", self.tmp / "out.npz")
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        self.assertFalse((self.tmp / "out.npz").exists())

    def test_where_there_is_nothing_to_fetch_the_output_is_not_touched_nor_reported(self):
        old = self.tmp / "out.npz"
        report = self.tmp / "report.json"
        for words in (("",), ("--if-exists", self.tmp / "none.npz"),
                      ("--if-exists", "--latest", self.tmp / "none")):
            with self.subTest(words):
                old.write_bytes(b"old")
                done = self.fetch("-o", old, "--report", report, *words)
                self.assertEqual(done.returncode, 0, done.stderr)
                found = json.loads(report.read_text())
                self.assertEqual(found["stage"], "absent")
                self.assertNotIn("path", found)
                self.assertEqual(old.read_bytes(), b"old")
        old.unlink()
        self.assertEqual(self.fetch("-o", old, "--report", report, self.npz).returncode, 0)
        self.assertEqual(json.loads(report.read_text())["path"], str(old))

    def test_a_missing_snapshot_is_code_5(self):
        done = self.fetch(self.tmp / "none.npz")
        self.assert_failed(done, 5, "snapshot-missing", "none.npz")

    def test_a_missing_manifest_is_code_5(self):
        os.unlink(f"{self.npz}.manifest.json")
        self.assert_failed(self.fetch(self.npz), 5, "manifest-missing", "sim.npz")

    def test_if_exists_takes_a_missing_pair_for_absent_and_half_a_pair_for_missing(self):
        done = self.fetch("--if-exists", self.tmp / "none.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Bundle(done.stdout).seal["reason"], "not-there-yet")
        os.unlink(f"{self.npz}.manifest.json")
        self.assert_failed(self.fetch("--if-exists", self.npz), 5, "manifest-missing")
        (self.tmp / "half.npz.manifest.json").write_bytes(self.manifest)
        self.assert_failed(self.fetch("--if-exists", self.tmp / "half.npz"), 5, "snapshot-missing")

    def test_skip_integrity_check_fetches_a_bare_npz_and_is_loud(self):
        os.unlink(f"{self.npz}.manifest.json")
        done = self.fetch("--skip-integrity-check", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        bundle = Bundle(done.stdout)
        self.assertEqual((bundle.manifest, bundle.npz), (None, self.bytes))
        self.assertIn("warning: integrity check skipped", done.stderr)

    def test_what_is_no_regular_file_is_refused_and_never_waited_for(self):
        os.mkfifo(self.tmp / "fifo.npz")
        (self.tmp / "directory.npz").mkdir()
        (self.tmp / "link.npz").symlink_to(self.npz)
        for name in ("fifo.npz", "directory.npz", "link.npz"):
            with self.subTest(name=name):
                (self.tmp / f"{name}.manifest.json").write_bytes(self.manifest)
                self.assert_failed(self.fetch(self.tmp / name), 1, "not-regular", name)

    def test_urls_that_cannot_be_fetched_are_usage_errors_with_a_failed_seal(self):
        for url, needle in (("sftp://host/sim.npz", "expected file, http, https, s3, gs, az"),
                            ("ftp://host/sim.npz", "'ftp' is not supported"),
                            ("file://otherhost/sim.npz", "another host"),
                            ("file:///sim%zz.npz", "bad escape"),
                            ("http:///sim.npz", "no host"),
                            ("http://ho st/sim.npz", "host"),
                            ("http://host:99999/sim.npz", "port")):
            with self.subTest(url=url):
                self.assert_failed(self.fetch(url), 2, "usage", needle)

    def test_a_file_above_max_size_is_refused(self):
        done = self.fetch("--max-size", "100", self.npz)
        self.assert_failed(done, 1, "too-large", "at most 100 bytes", str(len(self.bytes)))

    def test_a_file_that_grows_while_it_is_read_is_read_again(self):
        # A reader that takes a little leaves mad-fetch in the middle of the file.
        big = self.tmp / "big.npz"
        big.write_bytes(bytes(8 << 20))
        madtest.reference_manifest(big)
        process = subprocess.Popen(
            [madtest.tool("mad-fetch"), "--retry-delay", "0.01", str(big)],
            bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=madtest.clean_environment())
        head = process.stdout.read(4096)
        with open(big, "ab") as file:
            file.write(b"more")
        madtest.reference_manifest(big)
        rest, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        bundle = Bundle(head + rest)
        self.assertEqual(bundle.restarts, 1)
        self.assertEqual(bundle.npz, big.read_bytes())
        self.assertEqual(bundle.manifest, (self.tmp / "big.npz.manifest.json").read_bytes())

    def test_a_manifest_that_changes_while_the_npz_is_read_has_the_pair_read_again(self):
        big = self.tmp / "big.npz"
        big.write_bytes(bytes(8 << 20))
        (self.tmp / "big.npz.manifest.json").write_text("{}")
        process = subprocess.Popen(
            [madtest.tool("mad-fetch"), "--retry-delay", "0.01", str(big)],
            bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=madtest.clean_environment())
        head = process.stdout.read(4096)
        manifest = madtest.reference_manifest(big)
        rest, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        bundle = Bundle(head + rest)
        self.assertEqual((bundle.restarts, bundle.manifest), (1, manifest.read_bytes()))

    def test_a_file_that_never_rests_is_given_up(self):
        big = self.tmp / "big.npz"
        big.write_bytes(bytes(8 << 20))
        madtest.reference_manifest(big)
        process = subprocess.Popen(
            [madtest.tool("mad-fetch"), "--retry-delay", "0.001", str(big)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=madtest.clean_environment())
        data = []
        with open(big, "ab", buffering=0) as file:
            while more := process.stdout.read1(1 << 20):
                data.append(more)
                file.write(b"x")
        said = process.stderr.read().decode()
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(process.wait(), 7, said)
        self.assertEqual(Bundle(b"".join(data)).seal["reason"], "object-changing")

    def test_output_publishes_a_verified_pair_with_the_manifests_exact_bytes(self):
        done = self.fetch("-o", self.tmp / "out.npz", "--mode", "0640", self.npz)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), self.bytes)
        self.assertEqual((self.tmp / "out.npz.manifest.json").read_bytes(), self.manifest)
        self.assertEqual((self.tmp / "out.npz").stat().st_mode & 0o777, 0o640)

    def test_output_to_a_directory_takes_the_name_from_the_url(self):
        (self.tmp / "in").mkdir()
        done = self.fetch("-o", self.tmp / "in", f"file://{self.tmp}/%73im.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(madtest.tree(self.tmp / "in")), ["sim.npz", "sim.npz.manifest.json"])

    def test_output_refuses_what_its_manifest_does_not_vouch_for_and_leaves_the_old(self):
        out = self.tmp / "out"
        out.mkdir()
        (out / "a.npz").write_bytes(b"old")
        flipped = bytearray(self.bytes)
        flipped[40] ^= 1
        manifest = json.loads(self.manifest)
        npz = str(self.tmp / "a.npz")
        cases = (
            ("sha256-mismatch", 1, bytes(flipped), manifest, npz),
            ("size-mismatch", 1, self.bytes[:-1], manifest, npz),
            ("manifest-invalid", 1, self.bytes, {**manifest, "sha256": "0"},
             npz + ".manifest.json"),
            ("schema-too-new", 3, self.bytes, {**manifest, "schema_version": 2},
             npz + ".manifest.json"),
        )
        for reason, code, data, content, blamed in cases:
            with self.subTest(reason=reason):
                (self.tmp / "a.npz").write_bytes(data)
                (self.tmp / "a.npz.manifest.json").write_text(json.dumps(content))
                report = self.tmp / "report.json"
                done = self.fetch("-o", out, "--report", report, self.tmp / "a.npz")
                self.assert_refused(done, code, f"error: {blamed}: ")
                self.assertNotIn(str(out), done.stderr)
                self.assertEqual(json.loads(report.read_text())["reason"], reason)
                self.assertEqual(madtest.tree(out), {"a.npz": b"old"})

    def test_an_empty_npz_is_delivered_as_one(self):
        (self.tmp / "empty.npz").write_bytes(b"")
        madtest.reference_manifest(self.tmp / "empty.npz")
        bundle = Bundle(self.fetch(self.tmp / "empty.npz").stdout)
        self.assertEqual((bundle.npz, bundle.seal["size_bytes"]), (b"", 0))

    def test_a_manifest_elsewhere_is_taken_from_there(self):
        moved = self.tmp / "elsewhere.json"
        os.rename(f"{self.npz}.manifest.json", moved)
        self.assert_fetched(self.fetch("--manifest-url", moved, self.npz))
        self.assert_fetched(self.fetch(self.npz, env={"MAD_FETCH_MANIFEST_URL": f"file://{moved}"}))

    def test_a_bundle_is_not_written_to_a_terminal(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        try:
            done = subprocess.run([madtest.tool("mad-fetch"), str(self.npz)], stdout=theirs,
                                  stderr=subprocess.PIPE, env=madtest.clean_environment(),
                                  check=False)
        finally:
            os.close(theirs)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(b"terminal", done.stderr)

    def test_a_reader_that_goes_away_ends_it_as_a_filter(self):
        big = self.tmp / "big.npz"
        big.write_bytes(bytes(8 << 20))
        madtest.reference_manifest(big)
        process = subprocess.Popen([madtest.tool("mad-fetch"), str(big)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=madtest.clean_environment())
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), -13)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_the_report_tells_what_was_done(self):
        report = self.tmp / "report.json"
        self.fetch("--report", report, self.npz)
        found = json.loads(report.read_text())
        self.assertEqual((found["tool"], found["status"], found["code"], found["stage"],
                          found["size_bytes"]), ("mad-fetch", "ok", 0, "fetched", len(self.bytes)))

    def test_the_report_has_the_name_as_it_is_and_messages_what_could_steer_a_terminal(self):
        report = self.tmp / "report.json"
        named = madtest.reference_snapshot(self.tmp / "new\nline.npz", madtest.small_arrays())
        os.unlink(f"{named}.manifest.json")
        done = self.fetch("--skip-integrity-check", "--report", report, named)
        self.assertEqual(json.loads(report.read_text())["url"], str(named))
        self.assertIn(r"new\x0aline.npz", done.stderr)
        self.fetch("--report", report, f"https://user:hunter2@127.0.0.1:1/{'x' * 300}?sig=hunter2",
                   "--retries", "0")
        self.assertEqual(json.loads(report.read_text())["url"],
                         f"https://127.0.0.1:1/{'x' * 300}?…")


if __name__ == "__main__":
    madtest.main()
