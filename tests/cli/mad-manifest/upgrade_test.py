"""mad-manifest write --upgrade: an older manifest gets what it lacks, and loses nothing."""

import hashlib
import json
import unittest

import madtest
import numpy as np
from strace import whole_calls


class Upgrade(madtest.Case):
    def setUp(self):
        super().setUp()
        self.npz = madtest.reference_snapshot(
            self.tmp / "sim.npz", madtest.small_arrays(), {"commit": "abc"})
        self.path = self.tmp / "sim.npz.manifest.json"

    def upgrade(self, *options):
        return madtest.run("mad-manifest", "write", "--upgrade", *options, self.npz)

    def test_chunks_members_and_step_are_added_and_the_rest_stays(self):
        old = json.loads(self.path.read_text())
        done = self.upgrade()
        self.assertEqual(done.returncode, 0, done.stderr)
        new = madtest.reference_verify(self.npz)
        self.assertEqual({key: new[key] for key in old}, old)
        self.assertEqual(set(new) - set(old), {"step", "chunks", "members"})
        self.assertEqual(new["step"], 42)
        self.assertEqual(new["chunks"]["digests"], [old["sha256"]])
        self.assertEqual(len(new["members"]), 4)
        self.assertEqual(madtest.run("mad-verify", self.npz).returncode, 0)

    def test_once_is_enough(self):
        self.upgrade()
        once = self.path.read_bytes()
        self.assertEqual(self.upgrade().returncode, 0)
        self.assertEqual(self.path.read_bytes(), once)

    def test_what_only_python_writes_and_what_is_unknown_is_kept(self):
        manifest = json.loads(self.path.read_text())
        manifest["extra"]["nan"] = float("nan")
        manifest["created_at"] = "yesterday"
        manifest["x-other"] = {"a": [1, {"b": None}], "\u00e9": "\u00e9"}
        manifest["chunks"] = None
        del manifest["size_bytes"]
        self.path.write_text(json.dumps(manifest))
        self.assertEqual(self.upgrade().returncode, 0)
        text = self.path.read_text()
        new = json.loads(text)
        self.assertIn('"nan": NaN', text)
        self.assertEqual(new["x-other"], manifest["x-other"])
        self.assertEqual(new["created_at"], "yesterday")
        self.assertEqual(new["size_bytes"], self.npz.stat().st_size)
        self.assertEqual(list(new)[:4], ["schema_version", "sha256", "size_bytes", "extra"])
        self.assertEqual(madtest.run("mad-verify", self.npz).returncode, 0)

    def test_another_npzs_manifest_is_not_upgraded(self):
        np.savez(self.npz, **{"a/b": np.zeros(3)})
        before = madtest.tree(self.tmp)
        digest = hashlib.sha256(self.npz.read_bytes()).hexdigest()
        self.assert_refused(self.upgrade(), 1, "SHA-256 mismatch", digest,
                            json.loads(self.path.read_text())["sha256"])
        self.assertEqual(madtest.tree(self.tmp), before)

    def test_a_broken_archive_is_not_vouched_for(self):
        data = bytearray(self.npz.read_bytes())
        data[200] ^= 1
        self.npz.write_bytes(data)
        madtest.reference_manifest(self.npz)
        before = madtest.tree(self.tmp)
        self.assert_refused(self.upgrade(), 1, "CRC-32 mismatch")
        self.assertEqual(madtest.tree(self.tmp), before)

    def test_without_a_manifest_there_is_nothing_to_upgrade(self):
        self.path.unlink()
        self.assert_refused(self.upgrade(), 5, "sim.npz.manifest.json")
        self.assertEqual(set(madtest.tree(self.tmp)), {"sim.npz"})

    def test_it_may_go_elsewhere(self):
        before = self.path.read_bytes()
        self.assertEqual(self.upgrade("-o", self.tmp / "new.json").returncode, 0)
        self.assertEqual(self.path.read_bytes(), before)
        done = madtest.run("mad-verify", "--manifest", self.tmp / "new.json", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("members", done.stdout.decode())
        self.assert_refused(self.upgrade("-o", self.tmp / "new.json"), 2, "is there already")

    def test_a_signature_is_not_voided_unasked(self):
        (self.tmp / "sim.npz.manifest.json.sig").write_bytes(b"x" * 64)
        before = madtest.tree(self.tmp)
        self.assert_refused(self.upgrade(), 2, "is signed", "--force")
        self.assert_refused(self.upgrade("-o", f"{self.tmp}/./sim.npz.manifest.json"), 2,
                            "is signed", "--force")
        self.assertEqual(madtest.tree(self.tmp), before)
        self.assertEqual(self.upgrade("--force").returncode, 0)

    def test_the_options_that_make_a_manifest_have_no_place_here(self):
        self.assertEqual(self.upgrade("--extra", "a=b").returncode, 2)
        self.assertEqual(self.upgrade("--skip-structure-check").returncode, 2)

    def test_a_table_without_room_is_left_out_and_the_rest_is_written(self):
        """8 MiB are a manifest's most; 8,500 arrays with long names want more."""
        node = "/".join(["x" * 200] * 5)
        state = {f"{node}/{i}": np.zeros(0, "u1") for i in range(8_500)}
        np.savez(self.npz, **state)
        madtest.reference_manifest(self.npz)
        done = self.upgrade("-v")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no room for the table of its 8500 arrays", done.stderr)
        new = madtest.reference_verify(self.npz)
        self.assertIn("chunks", new)
        self.assertNotIn("members", new)

    @unittest.skipIf(madtest.SANITIZED, "LeakSanitizer does not work under ptrace")
    def test_the_archive_is_read_once(self):
        np.savez(self.npz, **{"a/b": np.zeros(1 << 20)})
        madtest.reference_manifest(self.npz)
        trace = self.tmp / "trace"
        done = madtest.run("strace", "-f", "-e", "trace=pread64,read", "-y", "-o", trace,
                           madtest.tool("mad-manifest"), "write", "--upgrade", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        read = sum(int(line.rsplit("= ", 1)[1]) for line in whole_calls(trace.read_text())
                   if f"{self.npz}>" in line and "= " in line)
        self.assertLess(read, self.npz.stat().st_size * 1.1)
        self.assertGreaterEqual(read, self.npz.stat().st_size)


if __name__ == "__main__":
    madtest.main()
