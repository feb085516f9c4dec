"""NumPy and the tools, there and back: the same dtype, shape, order and bytes."""

import hashlib
import json
import sys
import unittest
import warnings
import zipfile

import every_dtype
import madtest
import numpy as np

BOOT = 'mad-fetch "$1" | mad-verify | mad-resume --durability none --state-dir "$2"'


def write_tree(directory, files):
    for key, data in files.items():
        path = directory / (key + ".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def members(npz):
    """{key: the bytes of its .npy}, as Python's zipfile reads them (CRC checked)."""
    with zipfile.ZipFile(npz) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


class Roundtrip(madtest.Case):
    def setUp(self):
        super().setUp()
        warnings.simplefilter("ignore")

    def ok(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assert_loads(self, npz, files):
        """np.load sees each array as NumPy reads it from its original bytes."""
        with np.load(npz, allow_pickle=False) as archive:
            self.assertEqual(sorted(archive.files), sorted(files))
            for key, data in files.items():
                self.assertTrue(every_dtype.same_array(archive[key], every_dtype.load_npy(data)), key)

    def assert_tree(self, directory, files):
        found = madtest.tree(directory)
        self.assertEqual(sorted(found), sorted(key + ".npy" for key in files))
        for key, data in files.items():
            self.assertEqual(found[key + ".npy"], data, key)

    def boot(self, npz):
        state = self.tmp / "resumed"
        self.ok(madtest.dash(BOOT, npz, state))
        return state

    def reference_boot(self, npz):
        """A reference snapshot verifies, resumes, and gives back its members' bytes."""
        madtest.reference_manifest(npz)
        self.ok(madtest.run("mad-verify", npz))
        state = self.boot(npz)
        files = members(npz)
        self.assert_tree(state, files)
        return state, files


class FromFiles(Roundtrip):
    def test_every_array_in_every_format_version_goes_through_a_snapshot_to_np_load(self):
        files = every_dtype.every_npy()
        state = write_tree(self.tmp / "state", files)
        npz = self.tmp / "sim.npz"
        done = self.ok(madtest.run("mad-snapshot", "-o", npz, state))
        self.assertEqual(done.stdout.decode(), f"{npz}\n")
        self.assertEqual(members(npz), files)
        self.assert_loads(npz, files)
        with np.load(npz) as archive:
            for key, array in every_dtype.every_array().items():
                self.assertEqual(archive[key].shape, array.shape, key)
                self.assertEqual(archive[key].dtype, every_dtype.saved_dtype(array), key)
        madtest.reference_verify(npz)
        self.ok(madtest.run("mad-verify", npz))
        self.assert_tree(self.boot(npz), files)

    def test_every_array_goes_through_a_deflated_snapshot(self):
        files = every_dtype.every_npy()
        state = write_tree(self.tmp / "state", files)
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "--compress", "-o", npz, state))
        with zipfile.ZipFile(npz) as archive:
            self.assertEqual({info.compress_type for info in archive.infolist()},
                             {zipfile.ZIP_DEFLATED})
        self.assertEqual(members(npz), files)
        self.assert_loads(npz, files)
        madtest.reference_verify(npz)
        self.assert_tree(self.boot(npz), files)

    def test_every_array_goes_through_a_bundle_that_never_touches_a_disk(self):
        files = every_dtype.every_npy()
        state = write_tree(self.tmp / "state", files)
        self.ok(madtest.dash('mad-snapshot -o - "$1" | mad-verify | mad-resume --durability none --state-dir "$2"',
                             state, self.tmp / "resumed"))
        self.assert_tree(self.tmp / "resumed", files)

    def test_the_bytes_of_a_python_2_header_are_not_rewritten(self):
        text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }"
        text += b" " * (117 - len(text)) + b"\n"
        data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)
        files = {"old/field": data}
        state = write_tree(self.tmp / "state", files)
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "-o", npz, state))
        self.assertEqual(members(npz), files)
        self.assertEqual(np.load(npz)["old/field"].shape, (3,))
        self.assert_tree(self.boot(npz), files)

    def test_headers_that_numpy_reads_and_does_not_write_keep_their_bytes(self):
        texts = {
            "x/unaligned": "{'descr': '<i4', 'fortran_order': False, 'shape': (2,)}\n",
            "x/order": "{'shape': (2,), 'descr': '<i4', 'fortran_order': True}\n",
            "x/double_quotes": '{"descr": "<i4", "fortran_order": False, "shape": (2,), }\n',
            "x/spaces": "  {  'descr' : 'i4' , 'fortran_order':False,'shape':( 2 , )}  \n".strip(),
            "x/native": "{'descr': '=i4', 'fortran_order': False, 'shape': (2,), }\n",
            "x/no_newline": "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }",
            "x/list_shape": "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,), }",
        }
        files = {}
        for key, text in texts.items():
            text = text.encode()
            data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(range(8))
            every_dtype.load_npy(data)  # NumPy reads it
            files[key] = data
        state = write_tree(self.tmp / "state", files)
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "-o", npz, state))
        self.assertEqual(members(npz), files)
        self.assert_loads(npz, files)
        self.assert_tree(self.boot(npz), files)

    def test_an_empty_state_gives_an_empty_archive(self):
        (self.tmp / "state").mkdir()
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "-o", npz, self.tmp / "state"))
        self.assertEqual(np.load(npz).files, [])
        madtest.reference_verify(npz)
        self.ok(madtest.run("mad-verify", npz))


class FromNumPy(Roundtrip):
    def test_np_savez_to_a_file_verifies_and_resumes(self):
        npz = self.tmp / "sim.npz"
        arrays = every_dtype.every_array()
        np.savez(npz, **arrays)
        state, files = self.reference_boot(npz)
        self.assert_loads(npz, files)
        self.assertEqual(len(files), len(arrays))
        for key, array in arrays.items():
            found = every_dtype.load_npy((state / (key + ".npy")).read_bytes())
            self.assertEqual(found.shape, array.shape, key)
            self.assertEqual(found.dtype, every_dtype.saved_dtype(array), key)
            if not array.dtype.names:
                self.assertEqual(found.tobytes(), array.tobytes(), key)

    def test_np_savez_compressed_verifies_and_resumes(self):
        npz = self.tmp / "sim.npz"
        np.savez_compressed(npz, **every_dtype.every_array())
        self.reference_boot(npz)

    def savez_through_a_pipe(self, call, command):
        """`python (np.CALL to its standard output) | COMMAND`, a real pipe between them."""
        program = ("import sys, warnings, numpy, every_dtype; warnings.simplefilter('ignore'); "
                   f"numpy.{call}(sys.stdout.buffer, **every_dtype.every_array())")
        return madtest.dash(f'"$1" -c "$2" | {command}', sys.executable, program, self.tmp,
                            env={"PYTHONPATH": madtest.SOURCE / "tests" / "support"})

    def test_np_savez_to_a_pipe_verifies_and_resumes(self):
        for call in ("savez", "savez_compressed"):
            with self.subTest(call):
                npz = self.tmp / f"{call}.npz"
                self.ok(self.savez_through_a_pipe(call, f'cat > "$3/{call}.npz"'))
                with zipfile.ZipFile(npz) as archive:
                    self.assertTrue(all(i.flag_bits & 8 for i in archive.infolist()))
                madtest.reference_manifest(npz)
                self.ok(madtest.run("mad-verify", npz))
                state = self.tmp / f"{call}-state"
                self.ok(madtest.dash(BOOT, npz, state))
                self.assert_tree(state, members(npz))

    def test_np_savez_straight_into_mad_snapshot_is_taken_byte_for_byte(self):
        for call in ("savez", "savez_compressed"):
            with self.subTest(call):
                npz = self.tmp / f"{call}.npz"
                self.ok(self.savez_through_a_pipe(
                    call, f'tee "$3/copy" | mad-snapshot -o "$3/{call}.npz" -'))
                self.assertEqual(npz.read_bytes(), (self.tmp / "copy").read_bytes())
                madtest.reference_verify(npz)
                self.ok(madtest.run("mad-verify", npz))

    def test_an_npz_given_as_state_is_taken_byte_for_byte(self):
        source = self.tmp / "source.npz"
        np.savez(source, **every_dtype.every_array())
        npz = self.tmp / "out" / "sim.npz"
        npz.parent.mkdir()
        self.ok(madtest.run("mad-snapshot", "-o", npz, source))
        self.assertEqual(npz.read_bytes(), source.read_bytes())
        manifest = madtest.reference_verify(npz)
        self.assertEqual(manifest["step"], 12)
        self.assertIn("chunks", manifest)

    def test_zip64_members_made_by_force_verify_and_resume(self):
        for limit in (10, 300, 100_000):  # everything, some sizes, some offsets
            with self.subTest(limit):
                npz = self.tmp / f"{limit}.npz"
                program = (f"import zipfile; zipfile.ZIP64_LIMIT = {limit}; "
                           "zipfile.ZIP_FILECOUNT_LIMIT = 5\n"
                           "import sys, warnings, numpy, every_dtype\n"
                           "warnings.simplefilter('ignore')\n"
                           "numpy.savez(sys.argv[1], **every_dtype.every_array())")
                self.ok(madtest.run(sys.executable, "-c", program, npz,
                                    env={"PYTHONPATH": madtest.SOURCE / "tests" / "support"}))
                self.assertIn(b"PK\x06\x06", npz.read_bytes())
                madtest.reference_manifest(npz)
                self.ok(madtest.run("mad-verify", npz))
                state = self.tmp / f"state-{limit}"
                self.ok(madtest.dash(BOOT, npz, state))
                self.assert_tree(state, members(npz))

    def test_an_empty_archive_of_numpy_verifies(self):
        npz = self.tmp / "sim.npz"
        np.savez(npz)
        self.assertEqual(npz.read_bytes()[:4], b"PK\x05\x06")
        madtest.reference_manifest(npz)
        self.ok(madtest.run("mad-verify", npz))


class ManyArrays(Roundtrip):
    def test_ten_thousand_arrays_go_round(self):
        count = 2_000 if madtest.SANITIZED else 10_000
        arrays = {f"node{i % 100}/field{i:05}": np.array([i, i + 1]) for i in range(count)}
        source = self.tmp / "sim.npz"
        np.savez(source, **arrays)
        state, files = self.reference_boot(source)
        self.assertEqual(len(files), count)

        again = self.tmp / "again.npz"
        self.ok(madtest.run("mad-snapshot", "--durability", "none", "-o", again, state))
        self.assertEqual(members(again), files)
        madtest.reference_verify(again)
        self.ok(madtest.run("mad-verify", again))
        with np.load(again) as archive:
            for key in (min(arrays), max(arrays)):
                self.assertTrue(every_dtype.same_array(archive[key], arrays[key]))

    @unittest.skipIf(madtest.SANITIZED, "a minute of processor time, and nothing of its own")
    def test_more_arrays_than_a_plain_zip_can_count(self):
        state = self.tmp / "state"
        count = 0x10000 + 5
        for i in range(count):
            path = state / f"node{i // 5000:02}" / f"f{i:05}.npy"
            if i % 5000 == 0:
                path.parent.mkdir(parents=True)
                np.save(path, np.array(i))
                first = path
            else:
                path.hardlink_to(first)
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "--durability", "none", "-o", npz, state))
        self.assertIn(b"PK\x06\x06", npz.read_bytes()[-200:])
        with np.load(npz) as archive:
            self.assertEqual(len(archive.files), count)
            self.assertEqual(archive[f"node13/f{count - 1}"], 65_000)
        self.ok(madtest.run("mad-verify", npz))


class Snapshots(Roundtrip):
    def test_the_same_state_gives_the_same_bytes_each_time_and_anywhere(self):
        files = every_dtype.every_npy()
        one = write_tree(self.tmp / "one", files)
        two = write_tree(self.tmp / "elsewhere" / "two", dict(reversed(list(files.items()))))
        for path in two.rglob("*.npy"):
            path.chmod(0o640)
        for options in ((), ("--compress",)):
            digests = set()
            for index, state in enumerate((one, two, one)):
                npz = self.tmp / f"{index}.npz"
                self.ok(madtest.run("mad-snapshot", *options, "-o", npz, state,
                                    env={"TZ": f"UTC+{index * 5}"}))
                digests.add(hashlib.sha256(npz.read_bytes()).hexdigest())
                npz.unlink()
            self.assertEqual(len(digests), 1, options)

    def test_every_array_can_be_mapped_where_it_lies(self):
        files = every_dtype.every_npy()
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "-o", npz, write_tree(self.tmp / "state", files)))
        data = npz.read_bytes()
        with zipfile.ZipFile(npz) as archive:
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                local = info.header_offset
                start = local + 30 + sum(
                    int.from_bytes(data[local + at:local + at + 2], "little") for at in (26, 28))
                self.assertEqual(data[start:start + len(files[key])], files[key], key)
                header = data.index(b"\n", start) + 1 - start if b"\n" in files[key] else 0
                array = every_dtype.load_npy(files[key])
                header = len(files[key]) - array.nbytes
                self.assertEqual((start + header) % 64, 0, key)

    def test_our_manifest_is_what_the_reference_expects(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        npz = self.tmp / "sim.npz"
        self.ok(madtest.run("mad-snapshot", "--extra", "commit=abc", "--session-id", "s1",
                            "-o", npz, state))
        manifest = madtest.reference_verify(npz)
        self.assertEqual(list(manifest)[:4], ["schema_version", "sha256", "size_bytes", "extra"])
        self.assertIs(type(manifest["schema_version"]), int)
        self.assertEqual(manifest["size_bytes"], npz.stat().st_size)
        self.assertEqual(manifest["extra"], {"commit": "abc", "session_id": "s1",
                                             "stage_at_snapshot": "preempted"})

    def test_manifests_of_the_reference_verify_whatever_its_json_holds_in_extra(self):
        npz = self.tmp / "sim.npz"
        for extra in ({}, {"loss": float("nan"), "best": float("inf")}, {"big": 10**400},
                      {"lone": "\ud800"}, {"deep": {"a": [{"b": None}] * 20}},
                      {"name": "gr\u00fc\u00df \u65e5"}):
            with self.subTest(str(extra)[:40]):
                madtest.reference_snapshot(npz, madtest.small_arrays(), extra)
                self.ok(madtest.run("mad-verify", npz))
                state = self.tmp / "state"
                self.ok(madtest.dash(BOOT, npz, state))
                self.assertEqual(len(madtest.tree(state)), 4)

    def test_a_reference_manifest_without_size_verifies_with_a_warning(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        path = self.tmp / "sim.npz.manifest.json"
        manifest = json.loads(path.read_text())
        del manifest["size_bytes"]
        path.write_text(json.dumps(manifest))
        done = self.ok(madtest.run("mad-verify", npz))
        self.assertIn("size_bytes", done.stderr + done.stdout.decode())


if __name__ == "__main__":
    madtest.main()
