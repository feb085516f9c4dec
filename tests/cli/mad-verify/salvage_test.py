"""mad-verify --salvage DIR FILE: what is intact of a damaged snapshot, as files again."""

import json
import os
import stat
import zipfile

import damaging
import madtest
import numpy as np


class Salvaging(damaging.Case):
    def salvage(self, *words, code=1, out="out", path="sim.npz"):
        """The object in salvage.json, held against the files and the man page."""
        evidence = {name: data for name, data in madtest.tree(self.tmp).items()
                    if not name.startswith("out")}
        stamps = self.stamps()
        done = madtest.run("mad-verify", "--salvage", out, *words, path, cwd=self.tmp)
        self.assertEqual(done.returncode, code, done.stderr)
        left = madtest.tree(self.tmp)
        self.assertEqual({name: data for name, data in left.items()
                          if not name.startswith("out")}, evidence, "the evidence changed")
        self.assertEqual(self.stamps(), stamps)
        listing = json.loads((self.tmp / out / "salvage.json").read_text())
        self.assertLessEqual({"version", "path", "size_bytes", "sha256", "counts", "arrays",
                              "more_arrays"}, set(listing))
        self.assertLessEqual(set(listing), {"version", "path", "size_bytes", "sha256", "reason",
                                            "counts", "arrays", "more_arrays"})
        self.assertEqual((listing["version"], listing["path"]), (1, path))
        files = {"salvage.json"}
        for array in listing["arrays"]:
            self.assertLessEqual(set(array), {"name", "status", "offset", "length", "text", "file",
                                              "not_written"})
            if "file" in array:
                self.assertEqual(array["file"], f"{array['status']}/{array['name']}.npy")
                self.assertIn(array["status"], ("proven", "consistent"))
                files.add(array["file"])
            else:
                self.assertTrue(array["status"] in ("damaged", "lost") or "not_written" in array)
        self.assertEqual(set(madtest.tree(self.tmp / out)), files)
        self.said = done.stderr
        return listing

    def assert_arrays(self, place, names, seed=7, out="out"):
        expected = damaging.arrays(seed)
        directory = self.tmp / out / place
        found = {name[:-4] for name in madtest.tree(directory)} if directory.exists() else set()
        self.assertEqual(found, set(names))
        for name in names:
            array = np.load(directory / f"{name}.npy")
            self.assertTrue(madtest.same_array(array, expected[name]), name)


class Salvage(Salvaging):
    def test_proven_consistent_and_damaged_arrays_are_kept_apart(self):
        data = self.take()
        data[self.extents["heat/field"][0] + 200] ^= 4
        self.npz.write_bytes(data)
        listing = self.salvage()
        self.assertEqual(listing["reason"], "sha256-mismatch")
        self.assertEqual(listing["counts"],
                         {"proven": 2, "consistent": 2, "damaged": 1, "lost": 0})
        self.assert_arrays("proven", ["heat/zeros", "wind/u"])
        self.assert_arrays("consistent", ["_meta/step_count", "ball/pos"])
        self.assertIn("2 proven and 2 consistent of 5 arrays", self.said)

    def test_without_chunks_nothing_is_proven(self):
        for tables in ("members", "none"):
            with self.subTest(tables=tables):
                data = self.take(tables)
                data[self.extents["wind/u"][0] + 5000] ^= 4
                self.npz.write_bytes(data)
                self.salvage(out=f"out-{tables}")
                self.assert_arrays("proven", [], out=f"out-{tables}")
                self.assert_arrays("consistent", ["_meta/step_count", "ball/pos", "heat/field",
                                                  "heat/zeros"], out=f"out-{tables}")

    def test_what_was_cut_off_is_listed_as_lost(self):
        data = self.take()
        self.npz.write_bytes(data[:self.extents["heat/zeros"][0] + 5000])
        listing = self.salvage()
        self.assert_arrays("proven", ["_meta/step_count", "ball/pos", "heat/field"])
        self.assertEqual({a["name"] for a in listing["arrays"] if a["status"] == "lost"},
                         {"heat/zeros", "wind/u"})

    def test_from_local_headers_alone(self):
        data = self.take("none")
        self.manifest.unlink()
        self.npz.write_bytes(data[:self.extents["wind/u"][0] + 5000])
        self.salvage()
        self.assert_arrays("consistent", ["_meta/step_count", "ball/pos", "heat/field",
                                          "heat/zeros"])

    def test_with_nothing_but_the_table_to_go_by(self):
        data = self.take()
        at = data.index(b"PK\3\4", self.extents["ball/pos"][1])
        data[at:at + 30] = bytes(30)
        data[self.directory:] = bytes(len(data) - self.directory)
        self.npz.write_bytes(data)
        self.salvage()
        self.assert_arrays("consistent", ["_meta/step_count", "ball/pos", "heat/field",
                                          "wind/u"])
        self.assert_arrays("proven", ["heat/zeros"])

    def test_compressed_arrays_are_unpacked(self):
        data = self.take(save=np.savez_compressed)
        data[self.extents["wind/u"][0] + 9000] ^= 4
        self.npz.write_bytes(data)
        self.salvage()
        self.assert_arrays("proven", ["_meta/step_count", "ball/pos", "heat/field", "heat/zeros"])

    def test_what_is_proven_is_a_state_again(self):
        data = self.take()
        data[self.extents["heat/field"][0] + 9000] ^= 4
        self.npz.write_bytes(data)
        self.salvage()
        done = madtest.run("mad-snapshot", "-q", "-o", self.tmp / "again.npz",
                           self.tmp / "out/proven")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(set(np.load(self.tmp / "again.npz")),
                         {"_meta/step_count", "ball/pos", "heat/zeros", "wind/u"})

    def test_a_sound_snapshot_is_written_out_whole(self):
        self.take()
        listing = self.salvage(code=0)
        self.assertNotIn("reason", listing)
        self.assert_arrays("proven", damaging.arrays())

    def test_without_a_manifest_everything_is_consistent(self):
        self.take()
        self.manifest.unlink()
        self.salvage(code=5)
        self.assert_arrays("consistent", damaging.arrays())

    def test_a_directory_that_is_in_use_is_left_alone(self):
        data = self.take()
        self.npz.write_bytes(data[:-5])
        (self.tmp / "out").mkdir()
        (self.tmp / "out/precious").write_text("precious")
        (self.tmp / "file").write_text("precious")
        (self.tmp / "link").symlink_to("out")
        before = madtest.tree(self.tmp)
        for out in ("out", "out/", "file", "link"):
            done = madtest.run("mad-verify", "--salvage", out, "sim.npz", cwd=self.tmp)
            self.assert_refused(done, 2, out.rstrip("/"))
            self.assertEqual(done.stdout, b"")
        self.assertEqual(madtest.tree(self.tmp), before)

    def test_an_empty_directory_is_taken_and_its_mode_is_the_umasks(self):
        data = self.take()
        self.npz.write_bytes(data[:-5])
        (self.tmp / "out").mkdir()
        self.salvage(out="out")
        self.assertEqual(stat.S_IMODE((self.tmp / "out").stat().st_mode), 0o777 & ~umask())

    def test_what_a_killed_run_left_is_removed(self):
        data = self.take()
        self.npz.write_bytes(data[:-5])
        left = self.tmp / ".out.mad-abcdefgh"
        (left / "proven/a").mkdir(parents=True)
        (left / "proven/a/b.npy").write_bytes(b"half")
        done = madtest.run("mad-verify", "-q", "--salvage", "out", "sim.npz", cwd=self.tmp)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse(left.exists())
        self.assertEqual([p.name for p in self.tmp.iterdir() if p.name.startswith(".")], [])

    def test_no_room_leaves_nothing(self):
        data = self.take()
        self.npz.write_bytes(data[:-5])
        (self.tmp / "small").mkdir()
        script = "mount -t tmpfs -o size=64k none small; " \
                 "mad-verify --salvage small/out sim.npz || echo code $?; ls -A small"
        done = madtest.run(*damaging.as_root_or_namespace(), "sh", "-ec", script, cwd=self.tmp)
        self.assertEqual(done.stdout.decode().splitlines()[-1], "code 1", done.stderr)
        self.assertIn("No space left", done.stderr)

    def test_where_there_is_no_place_the_error_is_said_and_the_refusal_stays(self):
        data = self.take()
        self.npz.write_bytes(data[:-5])
        done = madtest.run("mad-verify", "--salvage", "no/such/out", "sim.npz", cwd=self.tmp)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("no/such/out", done.stderr)
        self.assertIn("NOT SALVAGED: io-error, exit code 9", done.stdout.decode())

    def test_a_sound_snapshot_that_cannot_be_written_out_is_verified_all_the_same(self):
        self.take()
        report = self.tmp / "report.json"
        done = madtest.run("mad-verify", "--report", report, "--salvage", "no/such/out", "sim.npz",
                           cwd=self.tmp)
        self.assert_refused(done, 9, "no/such/out")
        self.assertEqual(done.stdout.decode().splitlines()[-2:],
                         ["  verified", "  NOT SALVAGED: io-error, exit code 9"])
        outcome = json.loads(report.read_text())
        self.assertEqual((outcome["code"], outcome["reason"]), (9, "io-error"))
        verdict, = outcome["files"]
        damaging.check_schema(self, verdict)
        self.assertEqual((verdict["status"], verdict["code"]), ("verified", 9))
        self.assertEqual(verdict["salvage_error"]["reason"], "io-error")
        self.assertNotIn("reason", verdict)

    def test_it_is_for_one_file(self):
        self.take()
        for words in (["sim.npz", "sim.npz"], []):
            done = madtest.run("mad-verify", "--salvage", "out", *words, cwd=self.tmp)
            self.assertEqual(done.returncode, 2)
        self.assertFalse((self.tmp / "out").exists())


class HostileNames(Salvaging):
    def archive(self, *names):
        """An archive with these names, in which the last array is damaged."""
        with zipfile.ZipFile(self.npz, "w") as archive:
            for name in names:
                with archive.open(zipfile.ZipInfo(name), "w") as member:
                    np.lib.format.write_array(member, np.arange(10.0))
        madtest.reference_manifest(self.npz)
        data = bytearray(self.npz.read_bytes())
        self.npz.write_bytes(data[:-3])

    def test_names_cannot_leave_the_directory(self):
        self.archive("a/b.npy", "../../x/y.npy", "/etc/x.npy", "a/../../z.npy", "a/./b.npy",
                     "a\\b/c.npy", "a/b\n.npy")
        listing = self.salvage()
        self.assertEqual([a["name"] for a in listing["arrays"] if "file" in a], ["a/b"])
        self.assertEqual(sorted(p.name for p in self.tmp.iterdir()),
                         ["out", "sim.npz", "sim.npz.manifest.json"])

    def test_a_table_with_such_names_does_not_help(self):
        data = self.take()
        manifest = json.loads(self.manifest.read_text())
        manifest["members"][1]["name"] = "../x"
        manifest["members"][2]["name"] = "a/../../x"
        self.manifest.write_text(json.dumps(manifest))
        self.npz.write_bytes(data[:-5])
        listing = self.salvage()
        named = {a["name"]: a for a in listing["arrays"]}
        self.assertNotIn("file", named["../x"])
        self.assertNotIn("file", named["a/../../x"])
        self.assertEqual(listing["counts"]["damaged"], 2)

    def test_names_that_collide_are_listed_as_not_written(self):
        self.archive("a/b.npy", "a/b.npy/c.npy", "a/d.npy/e.npy", "a/d.npy")
        listing = self.salvage()
        self.assertEqual([("file" in a, "not_written" in a) for a in listing["arrays"]],
                         [(True, False), (False, True), (True, False), (False, True)])

    def test_the_same_name_twice(self):
        with zipfile.ZipFile(self.npz, "w") as archive:
            for value in (1.0, 2.0):
                with archive.open(zipfile.ZipInfo("a/b.npy"), "w") as member:
                    np.lib.format.write_array(member, np.full(3, value))
        madtest.reference_manifest(self.npz)
        listing = self.salvage()
        self.assertEqual(listing["reason"], "member-duplicate")
        self.assertEqual(["file" in a for a in listing["arrays"]], [True, False])

    def test_the_directory_and_a_local_header_disagree_on_the_name(self):
        data = self.take("none")
        at = data.index(b"heat/field.npy", self.directory)
        data[at:at + 4] = b"cold"
        self.npz.write_bytes(data)
        listing = self.salvage()
        named = {a["name"]: a["status"] for a in listing["arrays"]}
        self.assertEqual(named["cold/field"], "damaged")


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


if __name__ == "__main__":
    madtest.main()
