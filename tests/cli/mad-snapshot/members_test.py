"""The table of arrays that mad-snapshot puts into the manifest, however the npz goes out."""

import io
import json
import tarfile
import zipfile
import zlib

import madtest
import numpy as np


def arrays():
    return {
        **madtest.small_arrays(),
        "heat/f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "heat/none": np.zeros((0, 3)),
        "a/\u00e9": np.zeros(2, dtype=[("x", "<f4"), ("y", "<i2", (3,))]),
    }


class Members(madtest.Case):
    def setUp(self):
        super().setUp()
        self.arrays = arrays()
        self.state = madtest.make_state(self.tmp / "state", self.arrays)
        self.npz = self.tmp / "sim.npz"

    def take(self, *options, state=None, stdin=b""):
        done = madtest.run("mad-snapshot", "-o", self.npz, *options, state or self.state,
                           stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_right(madtest.reference_verify(self.npz), self.npz.read_bytes())

    def stream(self, *options, state=None, stdin=b""):
        """The manifest and the npz of a bundle."""
        done = madtest.run("mad-snapshot", "-o", "-", *options, state or self.state, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        parts, manifest = b"", None
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as bundle:
            for member in bundle:
                data = bundle.extractfile(member).read()
                if ".parts/" in member.name:
                    parts += data
                elif member.name.endswith(".manifest.json"):
                    manifest = json.loads(data)
        self.assert_right(manifest, parts)
        return done.stdout

    def assert_right(self, manifest, npz):
        """Holds the table against the archive as Python reads it."""
        archive = zipfile.ZipFile(io.BytesIO(npz))
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        self.assertEqual([m["name"] + ".npy" for m in manifest["members"]],
                         [info.filename for info in infos])
        for m, info in zip(manifest["members"], infos):
            array = self.arrays[m["name"]]
            self.assertEqual(m["dtype"], madtest.descr_text(array.dtype))
            self.assertEqual(m["shape"], list(array.shape))
            self.assertEqual(m["size_bytes"], array.nbytes)
            self.assertEqual(m["crc32"], f"{info.CRC:08x}")
            if "packed_bytes" in m:
                npy = zlib.decompress(npz[m["offset"]:m["offset"] + m["packed_bytes"]], -15)
            else:
                npy = npz[m["offset"] - m["header_bytes"]:m["offset"] + m["size_bytes"]]
            self.assertEqual(npy, archive.read(info.filename))
            data = npy[m["header_bytes"]:]
            order = "F" if m.get("fortran_order") else "C"
            found = np.ndarray(m["shape"], array.dtype, data, order=order)
            np.testing.assert_array_equal(found, array)
            self.assertEqual(m.get("fortran_order", False),
                             array.flags.f_contiguous and not array.flags.c_contiguous)

    def test_of_a_state(self):
        self.take()

    def test_of_a_state_compressed(self):
        self.take("--compress")

    def test_of_an_npz(self):
        np.savez(self.tmp / "other.npz", **self.arrays)
        self.take(state=self.tmp / "other.npz")
        np.savez_compressed(self.tmp / "other.npz", **self.arrays)
        self.take(state=self.tmp / "other.npz")

    def test_of_an_npz_on_standard_input(self):
        np.savez(self.tmp / "other.npz", **self.arrays)
        self.take(state="-", stdin=(self.tmp / "other.npz").read_bytes())

    def test_of_streams(self):
        np.savez(self.tmp / "other.npz", **self.arrays)
        npz = (self.tmp / "other.npz").read_bytes()
        for words in ({}, {"state": self.tmp / "other.npz"}, {"state": "-", "stdin": npz}):
            done = madtest.run("mad-verify", stdin=self.stream(**words))
            self.assertEqual(done.returncode, 0, done.stderr)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as bundle:
                seal = json.load(bundle.extractfile(".mad-seal.json"))
            self.assertIn("members", seal["checked"])
        self.stream("--compress")

    def test_mad_verify_finds_it_right(self):
        self.take()
        done = madtest.run("mad-verify", "--json", self.npz)
        checks = {c["check"]: c["result"] for c in json.loads(done.stdout)["checks"]}
        self.assertEqual(checks["members"], "ok")

    def test_a_stream_whose_table_is_another_archives_is_refused(self):
        self.take()
        manifest = json.loads(open(f"{self.npz}.manifest.json").read())
        manifest["members"][0]["crc32"] = "00000000"
        open(f"{self.npz}.manifest.json", "w").write(json.dumps(manifest))
        fetched = madtest.run("mad-fetch", self.npz).stdout
        done = madtest.run("mad-verify", stdin=fetched)
        self.assert_refused(done, 1, "sim.npz: _meta/step_count: the manifest's members against")
        self.assertIn(b"members-mismatch", done.stdout)


if __name__ == "__main__":
    madtest.main()
