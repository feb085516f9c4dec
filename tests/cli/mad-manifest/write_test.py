"""mad-manifest write: a manifest for an npz that has none."""

import hashlib
import json
import os
import stat
import subprocess
import zipfile
import zlib

import madtest
import numpy as np


class Write(madtest.Case):
    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "sim.npz"
        np.savez(self.npz, **madtest.small_arrays())
        self.path = self.tmp / "sim.npz.manifest.json"

    def write(self, *options, **kwargs):
        return madtest.run("mad-manifest", "write", self.npz, *options, **kwargs)

    def test_the_references_procedure_accepts_what_it_writes(self):
        done = self.write("--extra", "commit=abc123", "--session-id", "7", "--stage", "manual")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), f"{self.path}\n")
        manifest = madtest.reference_verify(self.npz)
        self.assertEqual(list(manifest)[:4], ["schema_version", "sha256", "size_bytes", "extra"])
        self.assertEqual(manifest["size_bytes"], self.npz.stat().st_size)
        self.assertEqual(manifest["extra"], {
            "commit": "abc123", "session_id": "7", "stage_at_snapshot": "manual"})
        self.assertEqual(manifest["step"], 42)
        self.assertRegex(manifest["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(manifest["chunks"], {
            "algorithm": "sha256", "chunk_bytes": 4 << 20, "digests": [manifest["sha256"]]})

    def test_its_layout_is_that_of_json_dumps_with_an_indent_of_2(self):
        self.write("--extra", 'a={"b":[1,{"c":null}],"d":{}}', "--extra", "e=[]")
        text = self.path.read_text()
        manifest = json.loads(text)
        members = manifest.pop("members")
        expected = json.dumps(manifest, indent=2)[:-2] + ',\n  "members": [\n    ' + \
            ",\n    ".join(map(json.dumps, members)) + "\n  ]\n}\n"
        self.assertEqual(text, expected)

    def test_extra_is_json_where_it_parses_else_a_string(self):
        self.write("--extra", "n=1.50", "--extra", "s=1.5.0", "--extra", "t=true", "--extra",
                   "list=[1,2,3]", "--extra", "eq=a=b", "--extra", "empty=", "--extra", 'q="x"',
                   "--extra", "é=ü", "--extra", "n=2")
        self.assertEqual(json.loads(self.path.read_text())["extra"], {
            "n": 2, "s": "1.5.0", "t": True, "list": [1, 2, 3], "eq": "a=b", "empty": "",
            "q": "x", "é": "ü"})

    def test_an_extra_file_is_the_base_and_keeps_what_only_python_writes(self):
        base = self.tmp / "extra.json"
        base.write_text(json.dumps({"nan": float("nan"), "half": "\ud800", "a": 1}))
        done = self.write("--extra-file", base, "--extra", "a=2")
        self.assertEqual(done.returncode, 0, done.stderr)
        text = self.path.read_text()
        self.assertIn('"nan": NaN', text)
        self.assertIn(r'"half": "\ud800"', text)
        self.assertEqual(json.loads(text)["extra"]["a"], 2)

    def test_the_file_of_extra_may_be_a_pipe(self):
        done = madtest.run("bash", "-c", 'mad-manifest write "$0" --extra-file <(echo "{\\"a\\": 1}")',
                           self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(self.path.read_text())["extra"], {"a": 1})

    def test_bad_extras_are_usage_errors_and_nothing_is_written(self):
        bad = self.tmp / "bad.json"
        bad.write_text("[1]")
        for options in (["--extra", "novalue"], ["--extra", "=x"], ["--extra", b"a=\xff"],
                        ["--extra-file", bad]):
            with self.subTest(options=options):
                done = subprocess.run(
                    [madtest.tool("mad-manifest"), "write", str(self.npz), *options],
                    env=madtest.clean_environment(), capture_output=True, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertFalse(self.path.exists())

    def test_a_missing_file_of_extra_is_not_found(self):
        self.assert_refused(self.write("--extra-file", self.tmp / "none.json"), 5, "none.json")
        self.assertFalse(self.path.exists())

    def test_a_manifest_that_is_there_is_replaced_only_by_force(self):
        self.path.write_text("mine")
        self.assert_refused(self.write(), 2, "sim.npz.manifest.json: is there already", "--force")
        self.assertEqual(self.path.read_text(), "mine")
        os.chmod(self.path, 0o640)
        self.assertEqual(self.write("--force").returncode, 0)
        madtest.reference_verify(self.npz)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o640)

    def test_the_mode_is_the_npzs_or_the_one_given(self):
        os.chmod(self.npz, 0o604)
        self.write()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o604)
        self.write("--force", "--mode", "0444")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o444)
        self.assert_refused(self.write("--force", "--mode", "999"), 2, "--mode")

    def test_a_link_in_the_manifests_place_is_refused_even_by_force(self):
        target = self.tmp / "precious"
        target.write_text("precious")
        self.path.symlink_to(target)
        self.assert_refused(self.write("--force"), 1, "a symbolic link")
        self.assertEqual(target.read_text(), "precious")
        self.assertTrue(self.path.is_symlink())

    def test_a_broken_archive_gets_no_manifest(self):
        data = bytearray(self.npz.read_bytes())
        data[len(data) // 2] ^= 1
        self.npz.write_bytes(data)
        self.assert_refused(self.write(), 1, "sim.npz")
        self.assertEqual(set(madtest.tree(self.tmp)), {"sim.npz"})

    def test_the_structure_check_can_be_skipped_which_is_said(self):
        self.npz.write_bytes(b"no archive")
        self.assert_refused(self.write(), 1, "sim.npz")
        done = self.write("--skip-structure-check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: ", done.stderr)
        manifest = madtest.reference_verify(self.npz)
        self.assertNotIn("step", manifest)

    def test_a_missing_npz_is_not_found(self):
        self.npz.unlink()
        self.assert_refused(self.write(), 5, "sim.npz")
        self.assertEqual(madtest.tree(self.tmp), {})
        done = madtest.run("mad-manifest", "write", self.tmp / "no" / "sim.npz")
        self.assert_refused(done, 5, "no/sim.npz")
        self.assertNotIn("mkdir", done.stderr)

    def test_a_directory_and_a_fifo_are_no_npz(self):
        self.npz.unlink()
        os.mkfifo(self.npz)
        self.assert_refused(self.write(), 1, "a FIFO")
        self.npz.unlink()
        self.npz.mkdir()
        self.assert_refused(self.write(), 1, "a directory")

    def test_output_elsewhere_and_to_standard_output(self):
        done = self.write("-o", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["size_bytes"], self.npz.stat().st_size)
        other = self.tmp / "other.json"
        self.assertEqual(self.write("-o", other).returncode, 0)
        self.assertEqual(json.loads(other.read_text())["step"], 42)
        self.assertFalse(self.path.exists())
        self.assert_refused(self.write("-o", other), 2, "is there already")
        self.assert_refused(self.write("-o", self.tmp / "no" / "such.json"), 9, "no/such.json")

    def test_its_own_place_is_known_however_it_is_spelt(self):
        (self.tmp / "link").symlink_to(self.tmp)
        for way in ("./", ".//", f"../{self.tmp.name}/", "link/", f"{self.tmp}/"):
            with self.subTest(way=way):
                self.path.write_text("old")
                for left in (".sig", ".next", ".sig.next"):
                    (self.tmp / (self.path.name + left)).write_text("of an older one")
                done = madtest.run("mad-manifest", "write", "--force", "-o", way + self.path.name,
                                   "sim.npz", cwd=self.tmp)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout.decode(), way + self.path.name + "\n")
                self.assertIn("sim.npz.manifest.json.sig: was of the manifest before", done.stderr)
                self.assertEqual(set(madtest.tree(self.tmp)), {self.npz.name, self.path.name})
                madtest.reference_verify(self.npz)

    def test_the_same_name_in_another_directory_is_another(self):
        other = self.tmp / "other"
        other.mkdir()
        (self.tmp / "sim.npz.manifest.json.sig").write_text("of an older one")
        self.assertEqual(self.write("-o", other / self.path.name).returncode, 0)
        self.assertEqual(set(madtest.tree(self.tmp)), {
            "sim.npz", "sim.npz.manifest.json.sig", "other/sim.npz.manifest.json"})

    def test_more_than_a_manifest_may_hold_is_refused_and_nothing_is_written(self):
        base = self.tmp / "extra.json"
        base.write_text(json.dumps({"a": "x" * (8 << 20)}))
        self.assert_refused(self.write("--extra-file", base), 1, "8388608")
        self.assertFalse(self.path.exists())

    def test_a_lock_that_is_held_is_waited_for_in_bounds(self):
        holder = subprocess.Popen(
            ["flock", str(self.tmp), "sh", "-c", "echo held; read line"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        self.assert_refused(self.write("--lock-timeout", "0.1"), 9, "lock")
        self.assertFalse(self.path.exists())
        holder.communicate(b"\n")
        self.assertEqual(self.write().returncode, 0)

    def test_several_chunks_have_the_digests_of_their_bytes(self):
        np.savez(self.npz, **{"a/b": np.arange(1_200_000, dtype="<f8")})
        self.assertEqual(self.write().returncode, 0)
        data = self.npz.read_bytes()
        chunks = json.loads(self.path.read_text())["chunks"]
        step = chunks["chunk_bytes"]
        self.assertEqual(chunks["digests"], [
            hashlib.sha256(data[i:i + step]).hexdigest() for i in range(0, len(data), step)])
        self.assertEqual(len(chunks["digests"]), 3)

    def test_the_table_says_where_each_array_is(self):
        arrays = {**madtest.small_arrays(), "heat/f": np.asfortranarray(np.arange(6.).reshape(2, 3)),
                  "a/\u00e9": np.zeros(2, dtype=[("x", "<f4"), ("y", "<i2", (3,))])}
        np.savez(self.npz, **arrays)
        self.assertEqual(self.write().returncode, 0)
        members = madtest.reference_verify(self.npz)["members"]
        self.assertEqual([m["name"] for m in members], list(arrays))
        with zipfile.ZipFile(self.npz) as archive:
            for m in members:
                array = arrays[m["name"]]
                self.assertEqual(m["dtype"], madtest.descr_text(array.dtype))
                mapped = np.memmap(self.npz, array.dtype, "r", m["offset"], tuple(m["shape"]),
                                   "F" if m.get("fortran_order") else "C")
                np.testing.assert_array_equal(mapped, array)
                self.assertEqual(m["size_bytes"], array.nbytes)
                info = archive.getinfo(m["name"] + ".npy")
                self.assertEqual(m["header_bytes"] + m["size_bytes"], info.file_size)
                self.assertEqual(m["crc32"], f"{info.CRC:08x}")
                self.assertNotIn("packed_bytes", m)

    def test_the_table_of_a_compressed_archive(self):
        np.savez_compressed(self.npz, **madtest.small_arrays())
        self.assertEqual(self.write().returncode, 0)
        data = self.npz.read_bytes()
        for m in madtest.reference_verify(self.npz)["members"]:
            npy = zlib.decompress(data[m["offset"]:m["offset"] + m["packed_bytes"]], -15)
            self.assertEqual(len(npy), m["header_bytes"] + m["size_bytes"])
            self.assertEqual(f"{zlib.crc32(npy):08x}", m["crc32"])

    def test_the_report_and_the_environment(self):
        report = self.tmp / "report.json"
        done = self.write("--report", report, env={"MAD_MANIFEST_STAGE": "from-env",
                                                   "MAD_MANIFEST_DURABILITY": "none"})
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(report.read_text())
        self.assertEqual((said["status"], said["code"], said["step"], said["arrays"]),
                         ("ok", 0, 42, 4))
        self.assertEqual(said["path"], str(self.path))
        manifest = madtest.reference_verify(self.npz)
        self.assertEqual(said["sha256"], manifest["sha256"])
        self.assertEqual(manifest["extra"], {"stage_at_snapshot": "from-env"})


if __name__ == "__main__":
    madtest.main()
