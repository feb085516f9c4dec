"""mad-verify FILE: what it tells a person, and a program, of a snapshot on disk."""

import hashlib
import json
import os
import shutil

import madtest
import numpy as np

CHUNK = 4096


class Files(madtest.Case):
    def setUp(self):
        super().setUp()
        arrays = {**madtest.small_arrays(), "heat/noise": np.random.default_rng(7).random(3000)}
        self.npz = madtest.reference_snapshot(self.tmp / "sim.npz", arrays)
        self.manifest = self.tmp / "sim.npz.manifest.json"

    def verify(self, *words, env=None):
        before = madtest.tree(self.tmp)
        done = madtest.run("mad-verify", *words, cwd=self.tmp, env=env)
        self.assertEqual(madtest.tree(self.tmp), before, "it wrote something")
        done.stdout = done.stdout.decode()
        return done

    def edit(self, change):
        manifest = json.loads(self.manifest.read_text())
        change(manifest)
        self.manifest.write_text(json.dumps(manifest))

    def add_chunks(self):
        data = self.npz.read_bytes()
        digests = [hashlib.sha256(data[i:i + CHUNK]).hexdigest()
                   for i in range(0, len(data), CHUNK)]
        self.edit(lambda m: m.update(
            chunks={"algorithm": "sha256", "chunk_bytes": CHUNK, "digests": digests}))

    def flip(self, at):
        data = bytearray(self.npz.read_bytes())
        data[at] ^= 0x10
        self.npz.write_bytes(data)

    def assert_line(self, done, check, result, *needles):
        lines = [line for line in done.stdout.splitlines() if line.split()[:1] == [check]]
        self.assertEqual(len(lines), 1, done.stdout)
        self.assertEqual(lines[0].split()[1], result, done.stdout)
        for needle in needles:
            self.assertIn(needle, lines[0])

    def test_each_check_is_a_line(self):
        self.add_chunks()
        done = self.verify("sim.npz")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        digest = hashlib.sha256(self.npz.read_bytes()).hexdigest()
        self.assertEqual(done.stdout.splitlines()[0], "sim.npz")
        self.assert_line(done, "schema", "ok", "version 1", "sim.npz.manifest.json")
        self.assert_line(done, "size", "ok", str(self.npz.stat().st_size))
        self.assert_line(done, "sha256", "ok", digest)
        self.assert_line(done, "chunks", "ok", "7 of 4.00 KiB")
        self.assert_line(done, "structure", "ok", "5 arrays")
        self.assertEqual(done.stdout.splitlines()[-1], "  verified")

    def test_the_manifest_names_its_snapshot_too(self):
        self.assertEqual(self.verify("sim.npz.manifest.json").returncode, 0)

    def test_a_flipped_bit_is_located(self):
        self.add_chunks()
        self.flip(10000)
        done = self.verify("sim.npz")
        self.assert_refused(done, 1, "sim.npz: SHA-256 mismatch",
                            json.loads(self.manifest.read_text())["sha256"],
                            hashlib.sha256(self.npz.read_bytes()).hexdigest())
        self.assert_line(done, "size", "ok")
        self.assert_line(done, "sha256", "BAD", "expected")
        self.assert_line(done, "chunks", "BAD", "chunk 2 differs: bytes 8192 to 12288")
        self.assert_line(done, "structure", "BAD", "heat/noise", "CRC-32")

    def test_a_short_and_a_long_file_say_by_how_much(self):
        self.add_chunks()
        data = self.npz.read_bytes()
        for other, words in ((data[:-4096], "4096 bytes shorter"), (data + b"x", "1 byte longer")):
            self.npz.write_bytes(other)
            done = self.verify("sim.npz")
            self.assert_refused(done, 1, "size mismatch", str(len(data)), str(len(other)),
                                "hint: the file is " + words)
            self.assert_line(done, "size", "BAD", f"expected {len(data)} bytes")
            self.assert_line(done, "sha256", "BAD")
            self.assert_line(done, "chunks", "BAD")

    def test_wrong_chunks_beside_a_right_digest_are_refused(self):
        self.add_chunks()
        self.edit(lambda m: m["chunks"]["digests"].__setitem__(1, "0" * 64))
        done = self.verify("--json", "sim.npz")
        self.assert_refused(done, 1, "contradict each other: the whole is right",
                            "chunk 1 (bytes 4096 to 8192)", "0" * 64)
        self.assertEqual(json.loads(done.stdout)["reason"], "digests-contradict")

    def test_right_chunks_beside_a_wrong_digest_are_refused(self):
        self.add_chunks()
        self.edit(lambda m: m.update(sha256="0" * 64))
        done = self.verify("--json", "sim.npz")
        self.assert_refused(done, 1, "contradict each other: every chunk is right", "0" * 64)
        self.assertEqual(json.loads(done.stdout)["reason"], "digests-contradict")

    def test_a_table_that_is_not_the_archives_is_refused_with_the_array_named(self):
        done = madtest.run("mad-manifest", "write", "--upgrade", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_line(self.verify("sim.npz"), "members", "ok")
        right = self.manifest.read_text()
        for key, value in (("name", "ball/x"), ("dtype", "<f4"), ("shape", [1, 2]),
                           ("crc32", "00000000"), ("fortran_order", True), ("packed_bytes", 16)):
            with self.subTest(key=key):
                self.manifest.write_text(right)
                self.edit(lambda m: m["members"][0].update({key: value}))
                done = self.verify("sim.npz")
                self.assert_refused(done, 1, "sim.npz: ball/pos: the manifest's members", key[:5])
                self.assert_line(done, "members", "BAD", "ball/pos")
        self.manifest.write_text(right)
        self.edit(lambda m: m["members"].pop())
        self.assert_refused(self.verify("sim.npz"), 1, "expected no such array")
        self.manifest.write_text(right)
        self.edit(lambda m: m["members"].append(
            {**m["members"][-1], "name": "x/y", "offset": m["size_bytes"], "shape": [0],
             "size_bytes": 0, "header_bytes": 0}))
        self.assert_refused(self.verify("sim.npz"), 1, "x/y", "expected this array, found none")

    def test_a_missing_file(self):
        self.assert_refused(self.verify("nix.npz"), 5, "nix.npz: no such file")

    def test_a_missing_manifest_still_has_its_structure_checked(self):
        self.manifest.unlink()
        done = self.verify("sim.npz")
        self.assert_refused(done, 5, "sim.npz: there is no manifest")
        self.assert_line(done, "structure", "ok", "5 arrays")
        self.flip(10000)
        self.assert_refused(self.verify("sim.npz"), 1, "heat/noise")

    def test_a_trusted_digest_replaces_the_manifest(self):
        digest = hashlib.sha256(self.npz.read_bytes()).hexdigest()
        self.manifest.unlink()
        self.assertEqual(self.verify("--sha256", digest, "sim.npz").returncode, 0)
        self.assert_refused(self.verify("--sha256", "0" * 64, "sim.npz"), 1,
                            "--sha256: " + "0" * 64, "file:     " + digest)

    def test_a_manifest_elsewhere(self):
        elsewhere = self.tmp / "elsewhere.json"
        shutil.move(self.manifest, elsewhere)
        self.assertEqual(self.verify("--manifest", elsewhere, "sim.npz").returncode, 0)
        self.assert_refused(self.verify("--manifest", "nix.json", "sim.npz"), 5, "nix.json")
        self.assertEqual(self.verify("--manifest", elsewhere, "sim.npz", "sim.npz").returncode, 2)

    def test_a_schema_from_the_future(self):
        self.edit(lambda m: m.update(schema_version=9))
        done = self.verify("sim.npz")
        self.assert_refused(done, 3, "sim.npz.manifest.json", "9")
        self.assert_line(done, "schema", "BAD")
        self.assert_line(done, "structure", "ok")

    def test_all_cores_check_the_chunks_and_not_the_whole(self):
        self.add_chunks()
        done = self.verify("--all-cores", "sim.npz")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        count = -(-self.npz.stat().st_size // CHUNK)
        self.assert_line(done, "chunks", "ok", f"{count} of 4.00 KiB")
        self.assert_line(done, "sha256", "-", "--all-cores")
        self.assert_line(done, "structure", "ok")
        verdict = json.loads(self.verify("--all-cores", "--json", "sim.npz").stdout)
        self.assertEqual(verdict["status"], "verified")
        self.assertIsNone(verdict.get("sha256"))
        self.assertEqual({c["check"]: c["result"] for c in verdict["checks"]}["sha256"],
                         "not-checked")
        # What is given up, as the man page says.
        self.edit(lambda m: m.update(sha256="0" * 64))
        self.assertEqual(self.verify("--all-cores", "sim.npz").returncode, 0)
        self.assert_refused(self.verify("sim.npz"), 1, "contradict each other")

    def test_all_cores_tell_as_much_of_what_is_wrong(self):
        self.add_chunks()
        good = self.npz.read_bytes()
        beyond_crc = bytearray(good)
        beyond_crc[10] ^= 1
        for name, bad in (("flipped", None), ("cut", good[:-5000]), ("longer", good + b"x"),
                          ("header", bytes(beyond_crc))):
            with self.subTest(name):
                self.npz.write_bytes(good)
                if bad is None:
                    self.flip(good.index(b"heat/noise.npy") + 5000)
                else:
                    self.npz.write_bytes(bad)
                usual = self.verify("sim.npz")
                done = self.verify("--all-cores", "sim.npz")
                self.assertEqual(usual.returncode, 1)
                self.assertEqual((done.returncode, done.stdout, done.stderr),
                                 (1, usual.stdout, usual.stderr))

    def test_all_cores_refuse_an_archive_whose_chunks_are_right(self):
        data = bytearray(self.npz.read_bytes())
        data[data.index(b"heat/noise.npy") + 5000] ^= 1
        self.npz.write_bytes(data)
        self.edit(lambda m: m.update(sha256=hashlib.sha256(data).hexdigest()))
        self.add_chunks()
        done = self.verify("--all-cores", "sim.npz")
        self.assert_refused(done, 1, "heat/noise", "CRC-32")
        self.assert_line(done, "chunks", "ok")

    def test_all_cores_without_chunks_say_so_and_check_the_whole(self):
        done = self.verify("--all-cores", "sim.npz")
        self.assertEqual(done.returncode, 0)
        self.assertIn("lists no chunks", done.stderr)
        self.assert_line(done, "sha256", "ok")
        for other in (["--sha256", "0" * 64], ["--skip-integrity-check"]):
            done = self.verify("--all-cores", *other, "sim.npz")
            self.assert_refused(done, 2, "--all-cores", other[0])

    def test_topology_from_each_kind_of_source(self):
        state = madtest.make_state(self.tmp / "state", {
            **madtest.small_arrays(), "heat/noise": np.zeros(3000)})
        listing = {key: {"dtype": np.lib.format.dtype_to_descr(a.dtype), "shape": list(a.shape)}
                   for key, a in np.load(self.npz).items()}
        (self.tmp / "topology.json").write_text(json.dumps(listing))
        for source in (state, "topology.json", "sim.npz"):
            done = self.verify("--expect", source, "sim.npz")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_line(done, "topology", "ok")
        os.unlink(state / "ball" / "pos.npy")
        np.save(state / "ball" / "vel.npy", np.zeros(2))
        done = self.verify("--expect", state, "sim.npz")
        self.assert_refused(done, 4, "field 'ball/pos' is unexpected",
                            "dtype expected '<f8', found '<f4'")

    def test_a_topology_that_cannot_be_used_is_said_of_it_before_any_file_is_read(self):
        (self.tmp / "broken.json").write_text('{"ball/pos": 1}')
        (self.tmp / "broken.npz").write_bytes(b"PK")
        state = madtest.make_state(self.tmp / "stray", madtest.small_arrays())
        (state / "ball" / "notes.txt").write_text("mine")
        for topology, code, reason, subject in (
            ("nix", 5, "not-found", "nix"), ("broken.json", 1, "topology-invalid", "broken.json"),
            ("broken.npz", 1, "archive-invalid", "broken.npz"),
            ("stray", 1, "state-invalid", "stray/ball/notes.txt"),
        ):
            with self.subTest(topology):
                done = self.verify("--json", "--report", "/dev/fd/2", "--expect", topology,
                                   "sim.npz")
                self.assert_refused(done, code, f"error: {subject}: ")
                self.assertEqual(done.stdout, "")
                report = json.loads(done.stderr.splitlines()[-1])
                self.assertEqual((report["reason"], report["subject"]), (reason, subject))
                self.assertNotIn("files", report)

    def test_only_what_is_wrong_with_the_bytes_is_damage(self):
        self.edit(lambda m: m.update(step=8))
        for at, damaged in ((None, False), (9000, True)):
            if at:
                self.flip(at)
            done = self.verify("--min-step", "9", "sim.npz")
            self.assert_refused(done, 1, "step: expected at least 9")
            self.assertEqual("\n  damage " in done.stdout, damaged, done.stdout)
            verdict = json.loads(self.verify("--json", "--min-step", "9", "sim.npz").stdout)
            self.assertEqual((verdict["code"], verdict["reason"]), (1, "snapshot-too-old"))
            self.assertEqual("damage" in verdict, damaged)

    def test_of_several_the_lowest_code_wins_and_all_are_looked_at(self):
        bad = self.tmp / "bad.npz"
        shutil.copy(self.npz, bad)
        shutil.copy(self.manifest, str(bad) + ".manifest.json")
        with open(bad, "r+b") as f:
            f.seek(10000)
            f.write(b"????")
        done = self.verify("nix.npz", "bad.npz", "sim.npz")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stderr.count(": error: "), 2, done.stderr)
        self.assertEqual([line for line in done.stdout.splitlines() if not line.startswith(" ")],
                         ["nix.npz", "bad.npz", "sim.npz"])

    def test_json_is_one_object_a_file(self):
        self.add_chunks()
        done = self.verify("--json", "sim.npz", "nix.npz")
        good, missing = map(json.loads, done.stdout.splitlines())
        self.assertEqual((good["status"], good["code"], good["arrays"]), ("verified", 0, 5))
        self.assertEqual([c["check"] for c in good["checks"]],
                         ["schema", "size", "sha256", "chunks", "structure"])
        self.assertEqual((missing["status"], missing["code"], missing["reason"]),
                         ("not-verified", 5, "snapshot-missing"))

    def test_the_report_lists_the_files(self):
        report = self.tmp / "report.json"
        madtest.run("mad-verify", "--report", report, "sim.npz", "nix.npz", cwd=self.tmp)
        outcome = json.loads(report.read_text())
        self.assertEqual((outcome["status"], outcome["code"], outcome["reason"]),
                         ("error", 5, "snapshot-missing"))
        self.assertEqual([f["status"] for f in outcome["files"]], ["verified", "not-verified"])

    def test_a_skipped_check_never_says_verified(self):
        self.manifest.unlink()
        done = self.verify("--skip-integrity-check", "sim.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: --skip-integrity-check", done.stderr)
        self.assertNotIn("verified", done.stdout)

    def test_compressed_archives_are_checked_too(self):
        np.savez_compressed(self.npz, **{"a/b": np.arange(10000.0), "a/c": np.zeros(9)})
        madtest.reference_manifest(self.npz)
        self.assert_line(self.verify("sim.npz"), "structure", "ok", "2 arrays")
        self.manifest.unlink()
        self.flip(2000)
        self.assertEqual(self.verify("sim.npz").returncode, 1)

    def test_what_an_interrupted_writer_left_is_understood(self):
        following = self.tmp / "sim.npz.manifest.json.next"
        shutil.copy(self.manifest, following)
        self.edit(lambda m: m.update(sha256="0" * 64))
        done = self.verify("sim.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("manifest.json.next", done.stdout)

    def test_special_files_are_refused_and_not_waited_for(self):
        os.symlink("sim.npz", self.tmp / "link.npz")
        os.mkfifo(self.tmp / "pipe.npz")
        (self.tmp / "directory.npz").mkdir()
        for name in ("link.npz", "pipe.npz", "directory.npz"):
            done = madtest.run("mad-verify", name, cwd=self.tmp, timeout=60)
            self.assert_refused(done, 1, name)

    def test_too_large(self):
        self.assert_refused(self.verify("--max-size", "9K", "sim.npz"), 1, "9216 bytes", "sim.npz")

    def test_a_hostile_name_cannot_steer_the_terminal(self):
        name = "\x1b[31m\u202esim.npz"
        done = self.verify(name)
        self.assertEqual(done.returncode, 5)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertNotIn("\u202e", done.stdout + done.stderr)


if __name__ == "__main__":
    madtest.main()
