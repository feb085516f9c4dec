"""What the tests of mad-resume share: bundles made by Python's tarfile, and boots."""

import hashlib
import io
import json
import tarfile

import madtest
import numpy as np

PIECE = 4 << 20


def npz_bytes(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def manifest_bytes(npz):
    return json.dumps({
        "schema_version": 1, "sha256": hashlib.sha256(npz).hexdigest(), "size_bytes": len(npz),
        "extra": {"session_id": None, "stage_at_snapshot": "preempted"},
    }, indent=2).encode()


def seal_of(npz, stage="verified", **fields):
    seal = {"stage": stage, "tool": "mad-verify", "size_bytes": len(npz)}
    if stage == "verified":
        seal["sha256"] = hashlib.sha256(npz).hexdigest()
        seal["checked"] = ["schema", "size", "sha256"]
    seal.update(fields)
    return seal


def failed_seal(tool="mad-fetch", code=5, reason="snapshot-missing", message="/x/sim.npz: gone"):
    return {"stage": "failed", "tool": tool, "code": code, "reason": reason, "message": message}


def absent_seal(reason="no-url", message="RESUME_FROM_URL is empty"):
    return {"stage": "absent", "tool": "mad-fetch", "reason": reason, "message": message}


def tar(members):
    """A pax stream of (name, bytes)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def pieces(npz, name="sim.npz", size=PIECE):
    return [(f"{name}.parts/{i:010d}", npz[at:at + size])
            for i, at in enumerate(range(0, len(npz), size))]


def bundle(npz=None, seal=None, name="sim.npz", manifest=True):
    """A whole bundle; by default a verified one of `npz`."""
    members = []
    if npz is not None:
        if manifest:
            members.append((name + ".manifest.json", manifest_bytes(npz)))
        members += pieces(npz, name)
        seal = seal or seal_of(npz)
    if seal is not None:
        members.append((".mad-seal.json", json.dumps(seal).encode()))
    return tar(members)


def arrays(step):
    """A small state that tells one step from another in every array."""
    return {
        "ball/pos": np.array([step, 1.5]),
        "heat/field": np.full((6, 10), step, dtype="<f8"),
        "_meta/step_count": np.array(step, dtype="<i8"),
    }


def files_of(arrays_):
    """{relative path: bytes} that a state of these arrays consists of."""
    files = {}
    for key, array in arrays_.items():
        file = io.BytesIO()
        np.save(file, array)
        files[key + ".npy"] = file.getvalue()
    return files


def visible(directory):
    """The files of a state, without what begins with a dot."""
    return {path: data for path, data in madtest.tree(directory).items()
            if not any(part.startswith(".") for part in path.split("/"))}


SHOW = 'printf "%s|%s|%s\\n" "$MAD_RESUME_STATUS" "${RESUME_FROM_URL-unset}" "$MAD_RESUME_REASON"'


class Case(madtest.Case):
    """Boots: mad-resume with a bundle on standard input and a command that shows its lot."""

    def resume(self, stdin, *options, env=None, command=SHOW, cwd=None):
        words = ["mad-resume", *options]
        if command is not None:
            words += ["--", "sh", "-c", command]
        return madtest.run(*words, stdin=stdin, env=env, cwd=cwd or self.tmp)

    def lot(self, done):
        """status, RESUME_FROM_URL and reason as COMMAND found them."""
        self.assertEqual(done.stdout.count(b"\n"), 1, (done.stdout, done.stderr))
        status, url, reason = done.stdout.decode().rstrip("\n").split("|", 2)
        return status, url, reason

    def assert_failed(self, done, *needles):
        """COMMAND started, was told of a failure, and its reason holds every needle."""
        status, url, reason = self.lot(done)
        self.assertEqual((done.returncode, status, url), (0, "failed", "unset"), done.stderr)
        for needle in needles:
            self.assertIn(needle, reason)
        self.assertEqual(done.stderr.count(": error: "), 1, done.stderr)

    def leftovers(self, directory=None):
        """What lies about that begins with a dot."""
        return sorted(str(path) for path in (directory or self.tmp).rglob(".*"))


