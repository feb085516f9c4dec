"""mad-verify FILE on a damaged snapshot: what is wrong with it, and where."""

import json
import os
import shutil
import struct

import damaging
import madtest
import numpy as np
from damaging import CHUNK


class WhereTheDamageIs(damaging.Case):
    def test_a_flipped_bit(self):
        for tables in self.each_table():
            data = self.take(tables)
            first, end = self.extents["heat/field"]
            data[first + 9000] ^= 4
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            status = self.status(damage)
            self.assertEqual(status.pop("heat/field"), "damaged")
            self.assertEqual(damage["arrays_from"], "directory")
            found = self.finding(damage, "array")
            self.assertEqual((found["arrays"], found["offset"], found["offset"] + found["length"]),
                             (["heat/field"], first, end))
            self.assertIn("CRC-32", found["text"])
            if tables in ("both", "chunks"):
                chunk = self.finding(damage, "chunks-differ")
                at = (first + 9000) // CHUNK * CHUNK
                self.assertEqual((chunk["offset"], chunk["length"]), (at, CHUNK))
                self.assertEqual(chunk["arrays"], ["heat/field"])
                self.assertEqual(set(status.values()), {"proven"})
                self.assertIn(f"chunk {at // CHUNK} differs (bytes {at} to {at + CHUNK}); "
                              "in heat/field", text)
            else:
                self.assert_no_finding(damage, "chunks-differ")
                self.assertEqual(set(status.values()), {"consistent"})
            self.assertIn("damaged: heat/field: CRC-32: expected", text)
            self.assert_no_finding(damage, "zero-filled", "cut-off", "directory", "other-snapshot")

    def test_an_array_in_a_damaged_chunk_may_be_intact_but_is_not_proven(self):
        data = self.take()
        data[self.extents["heat/field"][0] + 200] ^= 4
        self.npz.write_bytes(data)
        status = self.status(self.damaged()[1])
        self.assertEqual(status["heat/field"], "damaged")
        self.assertEqual(status["ball/pos"], "consistent")
        self.assertEqual(status["wind/u"], "proven")

    def test_cut_off_within_an_array(self):
        for tables in self.each_table():
            data = self.take(tables)
            first, _ = self.extents["heat/zeros"]
            self.npz.write_bytes(data[:first + 5000])
            text, damage = self.damaged()
            found = self.finding(damage, "cut-off")
            missing = len(data) - first - 5000
            self.assertEqual((found["offset"], found["length"]), (first + 5000, missing))
            self.assertIn(f"cut off: {missing} bytes of {len(data)} are missing", text)
            status = self.status(damage)
            self.assertEqual(status["heat/zeros"], "lost")
            self.assertIn("5000 of its", text)
            self.finding(damage, "directory")
            proven = "proven" if tables in ("both", "chunks") else "consistent"
            for name in ("_meta/step_count", "ball/pos", "heat/field"):
                self.assertEqual(status[name], proven, name)
            if tables in ("both", "members"):
                self.assertEqual(damage["arrays_from"], "members")
                self.assertEqual(status["wind/u"], "lost")
                self.assertEqual(found["arrays"], ["heat/zeros", "wind/u"])
            else:
                self.assertEqual(damage["arrays_from"], "headers")
                self.assertNotIn("wind/u", status)
            self.assert_no_finding(damage, "zero-filled")

    def test_cut_off_within_the_directory(self):
        for tables in self.each_table():
            data = self.take(tables)
            self.npz.write_bytes(data[:-20])
            text, damage = self.damaged()
            self.assertIn(f"cut off: 20 bytes of {len(data)} are missing", text)
            self.assertEqual(len(damage["arrays"]), 5)
            self.assertEqual(damage["counts"]["damaged"] + damage["counts"]["lost"], 0)

    def test_cut_off_and_nobody_promised_a_length(self):
        data = self.take()
        self.manifest.unlink()
        self.npz.write_bytes(data[:self.extents["heat/zeros"][0] + 5000])
        text, damage = self.damaged()
        self.assertIn("cut off: it ends within an array", text)
        self.assertEqual(self.finding(damage, "cut-off")["arrays"], ["heat/zeros"])

    def test_an_empty_file(self):
        for tables in self.each_table():
            size = len(self.take(tables))
            self.npz.write_bytes(b"")
            text, damage = self.damaged()
            self.assertIn(f"cut off: {size} bytes of {size} are missing", text)
            self.assertEqual((damage["arrays"], damage["arrays_from"]), ([], "nothing"))

    def test_bytes_appended(self):
        for tables in self.each_table():
            data = self.take(tables)
            self.npz.write_bytes(data + b"garbage")
            text, damage = self.damaged()
            found = self.finding(damage, "appended")
            self.assertEqual((found["offset"], found["length"]), (len(data), 7))
            self.assertIn(f"7 bytes follow the {len(data)} that were promised; those are right",
                          text)
            self.assertEqual(damage["counts"]["proven"], 5)
        self.manifest.unlink()
        text, damage = self.damaged()
        self.assertIn("7 bytes follow the archive's end", text)
        self.assertEqual(damage["counts"]["consistent"], 5)

    def test_bytes_put_in_front(self):
        data = self.take("none")
        self.npz.write_bytes(b"x" * 100 + data)
        text, damage = self.damaged()
        self.assertIn("100 bytes that are no array stand before the first one (bytes 0 to 100)",
                      text)
        self.assertEqual(damage["counts"]["consistent"], 5)

    def test_zero_filled(self):
        for tables in self.each_table():
            data = self.take(tables)
            first, _ = self.extents["heat/field"]
            data[first + 4096:first + 12288] = bytes(8192)
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            found = self.finding(damage, "zero-filled")
            self.assertEqual(found["arrays"], ["heat/field"])
            self.assertLessEqual(found["offset"], first + 4096)
            self.assertGreaterEqual(found["offset"] + found["length"], first + 12288)
            self.assertLess(found["length"], 8192 + 16)
            self.assertIn("bytes are zeros (bytes", text)
            self.assertEqual(sum(f["kind"] == "zero-filled" for f in damage["findings"]), 1,
                             "the honest zeros of heat/zeros are no damage")

    def test_a_hole_of_the_file_is_told_from_written_zeros(self):
        data = self.take()
        first, end = self.extents["wind/u"]
        hole = (first + 4095) // 4096 * 4096
        with open(self.npz, "r+b") as file:
            file.truncate(hole)
            file.seek(hole + 8192)
            file.write(data[hole + 8192:])
        text, damage = self.damaged()
        self.assertIn("never written (a hole of the file)", text)
        self.assertEqual(self.finding(damage, "zero-filled")["arrays"], ["wind/u"])

    def test_the_directory_is_gone(self):
        for tables in self.each_table():
            data = self.take(tables)
            data[self.directory:] = bytes(len(data) - self.directory)
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            with_table = tables in ("both", "members")
            self.assertEqual(damage["arrays_from"], "members" if with_table else "headers")
            self.assertIn("directory cannot be read", text)
            self.assertIn("manifest's members" if with_table else "by their local headers", text)
            self.assertEqual(len(damage["arrays"]), 5)
            self.assertEqual(damage["counts"]["damaged"] + damage["counts"]["lost"], 0)

    def test_a_local_header_is_gone(self):
        for tables in self.each_table():
            data = self.take(tables)
            at = data.index(b"PK\3\4", self.extents["ball/pos"][1])
            data[at:at + 30] = bytes(30)
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            self.assertIn("heat/field: its local header is damaged", text)
            self.assertEqual(self.finding(damage, "record")["arrays"], ["heat/field"])
            status = self.status(damage)
            self.assertEqual(set(status.values()) - {"proven"}, {"consistent"})

    def test_directory_and_local_headers_are_gone_and_the_table_still_knows(self):
        data = self.take()
        at = data.index(b"PK\3\4", self.extents["ball/pos"][1])
        data[at:at + 30] = bytes(30)
        data[self.directory:] = bytes(len(data) - self.directory)
        self.npz.write_bytes(data)
        _, damage = self.damaged()
        self.assertEqual(damage["arrays_from"], "members")
        self.assertEqual(len(damage["arrays"]), 5)
        self.assertEqual(damage["counts"]["lost"] + damage["counts"]["damaged"], 0)

    def test_compressed_arrays(self):
        for tables in self.each_table():
            data = self.take(tables, save=np.savez_compressed)
            first, end = self.extents["heat/field"]
            data[(first + end) // 2] ^= 0x40
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            status = self.status(damage)
            self.assertEqual(status.pop("heat/field"), "damaged")
            self.assertNotIn("damaged", status.values())
            self.assertNotIn("lost", status.values())
            if tables in ("both", "chunks"):
                self.assertIn("proven", status.values())

    def test_numpys_own_archives_and_those_written_to_a_pipe(self):
        self.take("chunks", save=np.savez)
        with open(self.npz, "rb+") as file:
            file.seek(self.extents["heat/field"][0] + 6000)
            file.write(b"????")
        status = self.status(self.damaged()[1])
        self.assertEqual(status["heat/field"], "damaged")
        self.assertEqual(status["wind/u"], "proven")
        with open(self.npz, "wb") as file:
            done = madtest.run("/usr/bin/python3", "-c",
                               "import numpy as np, sys, io\n"
                               "class P(io.RawIOBase):\n"
                               "  def writable(self): return True\n"
                               "  def write(self, b): return sys.stdout.buffer.write(b)\n"
                               "np.savez(P(), **{'a/b': np.arange(3000.), 'a/c': np.ones(2000)})")
            file.write(done.stdout)
        damaging.write_manifest(self.npz, "none")
        extents, directory = damaging.extents(self.npz)
        data = bytearray(self.npz.read_bytes())
        data[directory:] = b""
        data[extents["a/b"][0] + 600] ^= 1
        self.npz.write_bytes(data)
        _, damage = self.damaged()
        self.assertEqual(self.status(damage), {"a/b": "damaged", "a/c": "consistent"})


class Pairs(damaging.Case):
    def test_a_right_npz_beside_another_ones_manifest(self):
        for tables in self.each_table():
            self.take(tables, seed=7)
            old = self.manifest.read_text()
            self.take(tables, seed=8)
            self.manifest.write_text(old)
            text, damage = self.damaged()
            found = self.finding(damage, "other-snapshot")
            self.assertIn("whole by its own CRC-32s", text)
            self.assertIn("it is of step 8, the manifest of step 7", text)
            if tables in ("both", "members"):
                self.assertIn("5 of 5 arrays are in the manifest too, 1 with the same content",
                              found["text"])
            self.assert_no_finding(damage, "cut-off", "appended", "zero-filled")
            self.assertEqual(damage["counts"]["damaged"] + damage["counts"]["lost"], 0)

    def test_a_flipped_bit_that_no_check_of_zip_sees(self):
        for tables in self.each_table():
            data = self.take(tables)
            data[self.directory + 12] ^= 1  # the time of the first member
            self.npz.write_bytes(data)
            text, damage = self.damaged()
            self.assertIn("whole by its own CRC-32s, and is not the one", text)
            if tables in ("both", "members"):
                self.assertIn("5 of 5 arrays are in the manifest too, 5 with the same content",
                              text)
            if tables in ("both", "chunks"):
                found = self.finding(damage, "chunks-differ")
                self.assertEqual(found["offset"], self.directory // CHUNK * CHUNK)
                self.assertEqual(damage["counts"]["proven"], 4)
            self.assertEqual(damage["counts"]["damaged"], 0)

    def test_a_given_manifest_is_wrong_and_the_one_beside_the_npz_is_right(self):
        self.take(seed=7)
        shutil.copy(self.manifest, self.tmp / "old.json")
        self.take(seed=8)
        text, damage = self.damaged("--manifest", "old.json")
        self.assertIn("the npz is whole and right: it is the one that sim.npz.manifest.json "
                      "promises", text)
        self.finding(damage, "other-manifest")

    def test_a_torn_manifest_beside_a_right_npz(self):
        self.take()
        self.manifest.write_text(self.manifest.read_text()[:300])
        text, damage = self.damaged()
        self.assertIn("the manifest cannot be used; the npz is whole by its own CRC-32s", text)
        self.assertEqual(damage["counts"]["consistent"], 5)

    def test_a_manifest_that_contradicts_itself_proves_nothing(self):
        self.take()
        manifest = json.loads(self.manifest.read_text())
        self.manifest.write_text(json.dumps({**manifest, "sha256": "0" * 64}))
        text, damage = self.damaged()
        self.assertIn("the manifest is wrong; the npz is whole by its own CRC-32s", text)
        self.assertEqual(damage["counts"]["consistent"], 5)
        manifest["members"][1]["crc32"] = "00000000"
        self.manifest.write_text(json.dumps(manifest))
        text, damage = self.damaged()
        self.assertIn("the manifest is wrong", text)
        self.assertEqual(damage["counts"]["proven"], 5)

    def splice(self, tables):
        """The first half of one snapshot and the second half of the next, which a writer that
        died would have published: its manifest waits beside them."""
        old = self.take(tables, seed=7)
        old_manifest = self.manifest.read_text()
        new = self.take(tables, seed=8)
        self.assertEqual(len(old), len(new))
        shutil.move(self.manifest, self.tmp / "sim.npz.manifest.json.next")
        self.manifest.write_text(old_manifest)
        at = self.extents["heat/zeros"][0] // CHUNK * CHUNK + CHUNK
        self.npz.write_bytes(old[:at] + new[at:])
        return at, len(new)

    def test_two_snapshots_spliced_and_both_manifests_there(self):
        for tables in ("both", "chunks"):
            with self.subTest(tables=tables):
                at, size = self.splice(tables)
                text, damage = self.damaged()
                found = self.finding(damage, "spliced")
                self.assertEqual(found["offset"] + found["length"], size)
                self.assertGreaterEqual(found["offset"], at)
                self.assertIn("are those that sim.npz.manifest.json.next promises: the file is "
                              "made of two snapshots", text)
                self.finding(damage, "interrupted-write")
                status = self.status(damage)
                self.assertEqual(status["heat/field"], "proven")
                self.assertNotEqual(status["wind/u"], "proven")

    def test_two_snapshots_spliced_is_seen_by_the_archives_own_records_too(self):
        at, _ = self.splice("none")
        (self.tmp / "sim.npz.manifest.json.next").unlink()
        text, damage = self.damaged()
        found = self.finding(damage, "spliced")
        self.assertIn("the directory is another archive's", text)
        self.assertIn("fit its local header", text)
        self.assertLess(found["offset"], at)

    def test_a_next_that_is_torn_is_named(self):
        data = self.take()
        data[self.extents["wind/u"][0] + 300] ^= 1
        self.npz.write_bytes(data)
        (self.tmp / "sim.npz.manifest.json.next").write_text("{\"schema_ver")
        text, damage = self.damaged()
        self.assertIn("sim.npz.manifest.json.next was left by an interrupted writer, and is torn",
                      text)
        self.finding(damage, "interrupted-write")

    def test_a_trusted_digest_trusts_no_chunk(self):
        data = self.take()
        data[self.extents["wind/u"][0] + 3000] ^= 1
        self.npz.write_bytes(data)
        digest = json.loads(self.manifest.read_text())["sha256"]
        _, damage = self.damaged("--sha256", digest)
        self.assertEqual(damage["counts"]["proven"], 0)
        self.assertEqual(self.status(damage)["wind/u"], "damaged")


class Manners(damaging.Case):
    def test_a_sound_snapshot_has_no_damage_in_its_verdict(self):
        self.take()
        done = madtest.run("mad-verify", "--json", "sim.npz", cwd=self.tmp)
        verdict = json.loads(done.stdout)
        damaging.check_schema(self, verdict)
        self.assertNotIn("damage", verdict)

    def test_the_report_holds_the_same(self):
        data = self.take()
        self.npz.write_bytes(data[:-100])
        report = self.tmp / "report.json"
        madtest.run("mad-verify", "--report", report, "sim.npz", cwd=self.tmp)
        verdict = json.loads(report.read_text())["files"][0]
        damaging.check_schema(self, verdict)
        self.finding(verdict["damage"], "cut-off")

    def test_hostile_names_cannot_steer_the_terminal(self):
        name = b"a/\x1b[31mb"
        data = self.take("none", save=np.savez)
        at = data.index(b"ball/pos.npy")
        data[at:at + 12] = b"b/\x1b[31m.npy"[:12].ljust(12, b"y")
        data[self.directory:] = b""
        self.npz.write_bytes(data)
        text, _ = self.damaged()
        self.assertNotIn("\x1b", text)
        self.assertNotIn(name.decode(), text)

    def test_read_only_media(self):
        data = self.take()
        data[self.extents["heat/field"][0] + 9000] ^= 4
        media = self.tmp / "media"
        media.mkdir()
        (media / "sim.npz").write_bytes(data)
        shutil.copy(self.manifest, media / "sim.npz.manifest.json")
        script = "mount --bind media media; mount -o remount,bind,ro media; " \
                 "! touch media/x 2>/dev/null; mad-verify media/sim.npz || echo code $?; " \
                 "mad-verify -q --salvage out media/sim.npz >salvage.txt 2>&1 || echo code $?"
        done = madtest.run(*damaging.as_root_or_namespace(), "sh", "-ec", script, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stdout.decode()
        self.assertIn("damaged: heat/field", text)
        self.assertEqual(text.splitlines().count("code 1"), 2, text)
        self.assertTrue((self.tmp / "out/proven/wind/u.npy").exists())

    def test_of_very_many_arrays_memory_stays_bounded(self):
        npz = self.npz
        count = 5_000 if madtest.SANITIZED else 20_000
        np.savez(npz, **{f"n{i % 10}/field{i}": np.zeros(0, "u1") for i in range(count)})
        damaging.write_manifest(npz, "both")
        data = bytearray(npz.read_bytes())
        data[len(data) // 3] ^= 1
        npz.write_bytes(data)
        done = madtest.run("/usr/bin/python3", "-c",
                           "import resource, subprocess, sys\n"
                           "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
                           "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                           madtest.tool("mad-verify"), "--json", npz)
        if not madtest.SANITIZED:
            self.assertLess(int(done.stdout), 64 << 10, "KiB resident")
        verdict = json.loads(madtest.run("mad-verify", "--json", npz).stdout)
        damage = verdict["damage"]
        self.assertEqual(sum(damage["counts"].values()), count)
        self.assertLess(len(damage["arrays"]), 10)
        self.assertEqual(damage["more_arrays"], count - len(damage["arrays"]))

    def test_files_that_are_no_archive_at_all(self):
        self.take()
        for data in (b"\0" * 100_000, os.urandom(100_000), b"PK\3\4" * 20_000,
                     b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 2 ** 31, 0, 0)):
            self.npz.write_bytes(data)
            _, damage = self.damaged()
            self.assertEqual(damage["counts"]["proven"], 0)


if __name__ == "__main__":
    madtest.main()
