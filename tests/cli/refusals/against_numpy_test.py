"""What mad-verify accepts is what NumPy reads; what it refuses beyond that is explained."""

import io
import random
import zipfile

import every_dtype
import hostile
import hostile_archives
import hostile_zips
import madtest
import numpy as np
import refusal
from numpy_reading import numpy_reads, spelled_as_a_writer_does

EXTRAS = {name.removeprefix("local-extra-") for name in (
    case["name"] for case in hostile_zips.extra_fields()) if name.startswith("local-")}
# Why NumPy reads what is refused here: it ...
EXPLAINED = {
    "never looks at local headers": {
        "local-crc", "local-compressed", "local-size", "local-method", "local-flags",
        "central-flags", "local-zip64-size-differs", "local-zip64-cut-short", "descriptor-missing",
        "descriptor-crc-differs", "descriptor-size-differs", "hidden-member-first",
        "member-missing-from-the-directory", "local-zip64-of-one-size", "local-zip64-missing",
        "local-zip64-differs-unmasked", "local-zip64-compressed-differs",
        "descriptor-crc-in-64-bits", "descriptor-sizes-swapped-for-others",
        "descriptor-signature-differs", "descriptor-one-byte-short", "descriptor-one-byte-more",
        "descriptor-twice", "descriptor-bytes-behind", "descriptor-flag-in-the-directory-alone",
        "descriptor-flag-in-the-header-alone", "descriptor-and-other-sizes-before-it",
        "descriptor-and-another-crc-before-it"} | {
            f"local-extra-{name}" for name in EXTRAS},
    "looks at ZIP64 fields only, and only at what it needs of them": {
        "central-zip64-of-other-sizes", "central-zip64-of-another-offset"} | {
            f"central-extra-{name}" for name in EXTRAS - {
                "runs-over-by-one", "second-one-runs-over"}},
    "finds the directory from its end and takes what it can": {
        "central-comment-length", "central-disk", "central-zip64-missing", "appended-byte",
        "appended-archive", "bytes-between-members", "bytes-before-the-directory",
        "end-record-counts-too-few", "end-record-counts-too-many", "end-record-counts-differ",
        "end-record-other-disk", "end-record-comment-too-long",
        "end-record-inside-the-comment", "end64-locator-elsewhere", "end64-length", "end64-disk",
        "end64-entries-differ", "end64-too-few-entries", "end64-countless-entries",
        "end64-against-the-plain-entries", "end64-against-the-plain-size",
        "end64-against-the-plain-offset", "end-record-first-disk"},
    "has keys, not paths": {
        "dotdot-name", "dotdot-inside", "absolute-name", "no-node", "empty-node",
        "empty-component", "dot-component", "backslash", "nul", "newline", "escape", "empty-name",
        "only-npy", "long-component", "long-name", "drive", "trailing-slash", "symlink-member",
        "volume-label", "dos-directory", "fifo-member", "device-member"} | {
            f"name-{name}" for name in (
                "tab", "delete", "carriage-return", "dotdot-at-the-end", "two-dots-node",
                "current-directory", "unc", "only-slashes", "slash-before-npy")},
    "looks keys up among the members' whole names first": {
        "key-is-another-members-name", "key-is-another-members-name-reversed"},
    "takes the last of two": {
        "duplicate", "duplicate-identical", "duplicate-in-two-encodings", "duplicate-far-apart"},
    "gives members without the magic as bytes": {
        "directory-entry", "not-npy", "npy-in-capitals", "npy-magic", "npy-empty-member",
        "npy-cut-in-magic", "name-npz-inside", "name-npy-twice-removed"},
    "does not read a member to its end": {
        "deflate-bytes-after-its-end", "deflate-shorter-than-promised",
        "npy-shape-shorter-than-data", "deflate-without-an-end", "npy-one-byte-more",
        "npy-data-behind-an-empty-array", "npy-twice"},
    "evaluates Python, where a writer writes plain literals and types": {
        "npy-shape-hex", "npy-shape-underscore", "npy-dtype-comma", "npy-dtype-datetime-zero",
        "npy-key-twice"},
    "lets a string's length wrap": {"npy-unicode-length-wraps"},
    "ignores flags that it does not know": {"masked-directory"},
}
# Read by some versions of Python (3.11 and 3.13 seen) or NumPy (1.24 and 2.2) and not by others.
VARYING = {"npy-unicode-length-wraps", "central-extra-second-name-empty", "end64-locator-elsewhere",
           "end64-length", "end64-extensible-data"}


def explained(data, reason, seen):
    """Whether a refusal for `reason` of what NumPy reads as `seen` has its cause there."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if reason == "member-name":
            return any("/" not in n or not n.endswith(".npy") or "//" in n or not n.isprintable()
                       or n.startswith("/") or "\\" in n or "/." in n for n in names)
        if reason == "member-duplicate":
            return len(set(names)) < len(names)
        if reason in ("npy-invalid", "npy-size"):
            return any(isinstance(value, bytes) for value in seen.values()) or any(
                archive.getinfo(n).file_size > value.nbytes + 10_012
                or every_dtype.load_npy_rest(archive.read(n))
                for n, value in zip(names, seen.values()))
        if reason == "member-crc":
            try:
                return archive.testzip() is not None
            except Exception:  # noqa: BLE001
                return True
    return reason in ("archive-invalid", "member-method", "member-encrypted")


class AgainstNumPy(refusal.Refusals):
    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "sim.npz"
        self.count = 0

    def verify(self, data):
        self.npz.write_bytes(data)
        madtest.reference_manifest(self.npz)
        done = refusal.measured("mad-verify", "-q", self.npz)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        if not madtest.SANITIZED:
            self.assert_cheap(done)
        return done

    def assert_same_as_numpy(self, data, context):
        """What was accepted unpacks to exactly what NumPy reads."""
        seen = numpy_reads(data)
        self.assertIsNotNone(seen, f"{context}: accepted, and NumPy refuses it")
        self.count += 1
        state = self.tmp / f"state{self.count}"
        done = madtest.dash('mad-fetch "$1" | mad-verify | mad-resume --durability none --state-dir "$2"',
                            self.npz, state)
        self.assertEqual(done.returncode, 0, f"{context}: {done.stderr}")
        found = {name.removesuffix(".npy"): every_dtype.load_npy(raw)
                 for name, raw in madtest.tree(state).items()}
        self.assertEqual(sorted(found), sorted(seen), context)
        for key, array in found.items():
            self.assertTrue(every_dtype.same_array(array, seen[key]), f"{context}: {key}")

    def test_every_refusal_of_the_table_that_numpy_does_not_share_is_explained(self):
        names = set().union(*EXPLAINED.values())
        for case in hostile_archives.every_case():
            with self.subTest(case["name"]):
                reads = numpy_reads(case["data"]) is not None
                if case["name"] not in VARYING:
                    self.assertEqual(reads, case["name"] in names)
        self.assertLessEqual(names, {case["name"] for case in hostile_archives.every_case()})

    def test_archives_with_random_bytes_changed(self):
        arrays = {"a/x": np.arange(3), "a/y": np.array([1.5], dtype=">f4"),
                  "b/z": np.array(["ab", "c"])}
        bases = []
        for call in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            call(file, **arrays)
            bases.append(file.getvalue())
        state = madtest.make_state(self.tmp / "state", arrays)
        self.assertEqual(madtest.run("mad-snapshot", "-o", self.npz, state).returncode, 0)
        bases.append(self.npz.read_bytes())
        crc, n = hostile.zlib.crc32(hostile.GOOD), len(hostile.GOOD)
        bases.append(hostile.pair(hostile.good(descriptor=hostile.struct.pack(
            "<IIII", 0x08074B50, crc, n, n))))
        accepted = 0
        for base_number, base in enumerate(bases):
            # Half of the changes go where the ZIP structure is.
            structure = [at for at in range(len(base))
                         if any(base.rfind(mark, max(0, at - 90), at + 4) >= 0
                                for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\7\x08"))]
            for seed in range(40):
                context = f"base {base_number}, seed {seed}"
                chance = random.Random(f"{base_number}/{seed}")
                data = bytearray(base)
                for _ in range(chance.choice((1, 1, 2, 3))):
                    at = chance.choice(structure) if seed % 2 else chance.randrange(len(data))
                    at = min(at, len(data) - 1)
                    change = chance.randrange(10)
                    if change < 5:
                        data[at] ^= 1 << chance.randrange(8)
                    elif change < 8:
                        data[at] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
                    elif change == 8:
                        data[at:at] = bytes(chance.randrange(1, 5))
                    else:
                        del data[at:at + chance.randrange(1, 5)]
                data = bytes(data)
                done = self.verify(data)
                if done.returncode == 0:
                    accepted += 1
                    self.assert_same_as_numpy(data, context)
                else:
                    seen = numpy_reads(data)
                    if seen is not None:
                        self.assertTrue(explained(data, done.report["reason"], seen),
                                        f"{context}: NumPy reads it: {done.stderr}")
        self.assertGreater(accepted, 2)  # time stamps and attributes change nothing

    def test_headers_with_random_characters_changed(self):
        texts = [
            hostile.header(), hostile.header("'>i4'", "(2, 2)", "True"),
            hostile.header("'|S8'"), hostile.header("'<U2'"), hostile.header("'<M8[25s]'"),
            hostile.header("[('x', '<f4'), ('y', '|u1', (2, 2))]"),
            hostile.header("[(('t', 'n'), '<i2'), ('', '|V2'), ('m', [('c', '|b1')])]"),
        ]
        sizes = [16, 16, 16, 16, 16, 16, 10]
        alphabet = "0123456789()[]{},:'\"<>|=?bBhilqfdgcSUVOmMTFrue -+.\\#_L\n\t\x00\xe9"
        agreed = 0
        for number, (text, size) in enumerate(zip(texts, sizes)):
            for seed in range(25):
                chance = random.Random(f"{number}/{seed}")
                letters = list(text)
                for _ in range(chance.choice((1, 1, 1, 2))):
                    at = chance.randrange(len(letters))
                    change = chance.randrange(4)
                    if change == 0:
                        del letters[at]
                    elif change == 1:
                        letters.insert(at, chance.choice(alphabet))
                    else:
                        letters[at] = chance.choice(alphabet)
                changed = "".join(letters)
                context = f"header {number}, seed {seed}: {changed!r}"
                npy = hostile.npy(changed, bytes(range(size)))
                data = hostile.archive([hostile.good(data=npy)])
                done = self.verify(data)
                rest = every_dtype.load_npy_rest(npy)
                if done.returncode == 0:
                    self.assert_same_as_numpy(data, context)
                    agreed += 1
                elif rest == b"":
                    self.assertFalse(spelled_as_a_writer_does(changed),
                                     f"{context}: NumPy reads it: {done.stderr}")
        self.assertGreater(agreed, 2)


if __name__ == "__main__":
    madtest.main()
