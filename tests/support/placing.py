"""Places full of snapshots, for the tests of what lists, prunes and searches them."""

import io
import json
import os
import pathlib
import time

import numpy as np

import madtest

OLD = 7200  # longer ago than the default grace


def npz_bytes(step, size=10):
    """A small archive as np.savez makes it."""
    buffer = io.BytesIO()
    np.savez(buffer, **{"heat/field": np.random.default_rng(step).random(size),
                        "_meta/step_count": np.array(step, dtype="<i8")})
    return buffer.getvalue()


def name_of(number):
    return f"run-{number:010d}-20260131T120000Z.npz"


class PlaceCase(madtest.Case):
    """`self.place` is a directory; `make(n)` puts the n-th snapshot of a run there."""

    def setUp(self):
        super().setUp()
        self.place = self.tmp / "place"
        self.place.mkdir()

    def make(self, number, name=None, age=0, created_at=None, session="run", **extra):
        """An ordinary snapshot; returns its npz."""
        npz = self.place / (name or name_of(number))
        npz.write_bytes(npz_bytes(number))
        manifest = madtest.reference_manifest(npz, {"session_id": session, **extra})
        content = json.loads(manifest.read_text())
        content["created_at"] = created_at or f"2026-02-{number:02d}T00:00:00Z"
        content["step"] = number
        manifest.write_text(json.dumps(content))
        self.age(npz, age)
        self.age(manifest, age)
        return npz

    @staticmethod
    def age(path, seconds):
        then = time.time() - seconds
        os.utime(path, (then, then), follow_symlinks=False)

    @staticmethod
    def damage(npz):
        """One bit, and the time stamp as it was."""
        status = npz.stat()
        data = bytearray(npz.read_bytes())
        data[len(data) // 2] ^= 1
        npz.write_bytes(data)
        os.utime(npz, ns=(status.st_atime_ns, status.st_mtime_ns))

    def run_tool(self, *words, env=None, code=0):
        """Its standard output, with `self.report` and `self.said`."""
        report = self.tmp / "report.json"
        report.unlink(missing_ok=True)
        done = madtest.run(*words, "--report", report, env={"HOME": self.tmp, **(env or {})})
        self.assertEqual(done.returncode, code, done.stderr)
        self.report = json.loads(report.read_text())
        self.said = done.stderr
        return done.stdout

    def listed(self, place=None, *words, code=0, env=None):
        """{name: entry}, in the order of the list."""
        out = self.run_tool("mad-list", "--json", place or self.place, *words, code=code, env=env)
        entries = [json.loads(line) for line in out.splitlines()]
        return {entry["name"]: entry for entry in entries}

    def pruned(self, *words, place=None, code=0, env=None):
        """What was told, a list of (kind, name, reason)."""
        out = self.run_tool("mad-prune", "--json", *words, place or self.place, code=code, env=env)
        acts = [json.loads(line) for line in out.splitlines()]
        return [(act["kind"], act["name"], act["reason"]) for act in acts]

    def names(self):
        return sorted(path.name for path in pathlib.Path(self.place).iterdir())


def pair(*numbers):
    """The names of the files of these snapshots, sorted."""
    return sorted(name_of(number) + suffix for number in numbers
                  for suffix in ("", ".manifest.json"))
