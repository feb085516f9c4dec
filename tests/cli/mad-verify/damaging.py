"""Snapshots with small chunks, ways to damage them, and the published schema of the JSON."""

import hashlib
import json
import os
import pathlib
import struct
import zipfile

import madtest
import numpy as np

CHUNK = 4096
TABLES = ("both", "chunks", "members", "none")

STATES = ("proven", "consistent", "damaged", "lost")
KINDS = {"other-manifest", "other-snapshot", "cut-off", "appended", "prepended", "spliced",
         "chunks-differ", "zero-filled", "directory", "array", "record", "manifest",
         "interrupted-write", "not-located"}


def arrays(seed=7):
    noise = np.random.default_rng(seed)
    return {
        "_meta/step_count": np.array(seed),
        "ball/pos": noise.random(2),
        "heat/field": noise.random(3000),
        "heat/zeros": np.zeros(4000),
        "wind/u": noise.random(5000).astype("<f4"),
    }


def write_manifest(npz, tables="both", **changes):
    """The manifest that mad-manifest writes, with chunks of 4 KiB, and less where asked."""
    path = pathlib.Path(f"{npz}.manifest.json")
    done = madtest.run("mad-manifest", "write", "--force", "--durability", "none", npz)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(path.read_text())
    data = pathlib.Path(npz).read_bytes()
    manifest["chunks"] = {"algorithm": "sha256", "chunk_bytes": CHUNK, "digests": [
        hashlib.sha256(data[i:i + CHUNK]).hexdigest() for i in range(0, len(data), CHUNK)]}
    if tables not in ("both", "chunks"):
        del manifest["chunks"]
    if tables not in ("both", "members"):
        del manifest["members"]
    manifest.update(changes)
    path.write_text(json.dumps(manifest))
    return manifest


def extents(npz):
    """{key: (first byte of its .npy, its end)} by Python's zipfile; and the directory's start."""
    found = {}
    data = pathlib.Path(npz).read_bytes()
    with zipfile.ZipFile(npz) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            first = info.header_offset + 30 + name + extra
            found[info.filename[:-4]] = (first, first + info.compress_size)
        return found, archive.start_dir


def check_schema(case, verdict):
    """Holds one object of --json against what mad-verify(1) publishes."""
    strings = ("path", "status", "reason", "subject", "message", "sha256")
    for key, value in verdict.items():
        case.assertIn(key, strings + ("version", "code", "size_bytes", "arrays", "checks", "damage",
                                      "salvage_error"))
        case.assertIsInstance(value, str if key in strings else list if key == "checks" else
                              dict if key in ("damage", "salvage_error") else int, key)
    case.assertEqual(verdict["version"], 1)
    for check in verdict["checks"]:
        case.assertLessEqual(set(check), {"check", "result", "expected", "found", "detail"})
        case.assertIn(check["result"], ("ok", "bad", "not-checked"))
    damage = verdict.get("damage")
    case.assertEqual(damage is not None, verdict["code"] == 1, verdict)
    if damage is None:
        return
    case.assertEqual(set(damage), {"arrays_from", "findings", "more_findings", "counts", "arrays",
                                   "more_arrays"})
    case.assertIn(damage["arrays_from"], ("directory", "members", "headers", "nothing"))
    case.assertTrue(damage["findings"], "nothing is said of the damage")
    for finding in damage["findings"]:
        case.assertIn(finding["kind"], KINDS)
        case.assertLessEqual(set(finding),
                             {"kind", "offset", "length", "arrays", "more_arrays", "text"})
        case.assertLessEqual({"kind", "arrays", "more_arrays", "text"}, set(finding))
        case.assertEqual("offset" in finding, "length" in finding)
    case.assertEqual(set(damage["counts"]), set(STATES))
    for array in damage["arrays"]:
        case.assertLessEqual({"name", "status", "offset", "length"}, set(array))
        case.assertLessEqual(set(array), {"name", "status", "offset", "length", "text"})
    for state in STATES:
        case.assertEqual(damage["counts"][state],
                         sum(a["status"] == state for a in damage["arrays"]))


class Case(madtest.Case):
    tables = "both"

    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "sim.npz"
        self.manifest = self.tmp / "sim.npz.manifest.json"

    def take(self, tables="both", seed=7, save=None):
        """A sound snapshot; its bytes, and where its arrays are."""
        if save is None:
            state = madtest.make_state(self.tmp / f"state{seed}", arrays(seed))
            done = madtest.run("mad-snapshot", "-q", "-o", self.npz, state)
            self.assertEqual(done.returncode, 0, done.stderr)
        else:
            save(self.npz, **arrays(seed))
        write_manifest(self.npz, tables)
        self.extents, self.directory = extents(self.npz)
        return bytearray(self.npz.read_bytes())

    def stamps(self):
        return {path.name: (path.stat().st_mtime_ns, path.stat().st_ino)
                for path in self.tmp.iterdir() if path.is_file()}

    def damaged(self, *words, code=1, path="sim.npz"):
        """(what a person sees, the object that a program sees) of a refused snapshot."""
        before = madtest.tree(self.tmp), self.stamps()
        text = madtest.run("mad-verify", *words, path, cwd=self.tmp)
        self.assertEqual(text.returncode, code, text.stderr)
        done = madtest.run("mad-verify", "--json", *words, path, cwd=self.tmp)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual((madtest.tree(self.tmp), self.stamps()), before, "the evidence changed")
        verdict = json.loads(done.stdout)
        check_schema(self, verdict)
        return text.stdout.decode(), verdict["damage"]

    def status(self, damage):
        return {array["name"]: array["status"] for array in damage["arrays"]}

    def finding(self, damage, kind):
        found = [each for each in damage["findings"] if each["kind"] == kind]
        self.assertTrue(found, damage["findings"])
        return found[0]

    def assert_no_finding(self, damage, *kinds):
        self.assertFalse([f for f in damage["findings"] if f["kind"] in kinds], damage)

    def each_table(self):
        """Each kind of manifest in turn, named where the test fails."""
        for tables in TABLES:
            self.tables = tables
            yield tables

    def _formatMessage(self, message, standard):
        return f"[tables: {self.tables}] {super()._formatMessage(message, standard)}"


def as_root_or_namespace():
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
