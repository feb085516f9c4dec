"""What the tests that look at the tools from outside share.

Run by ctest with MAD_BIN_DIR (the binaries), MAD_SOURCE_DIR (the checkout) and,
under the sanitizers, MAD_SANITIZED.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import numpy as np

BIN = pathlib.Path(os.environ.get("MAD_BIN_DIR", "build/bin")).resolve()
SOURCE = pathlib.Path(
    os.environ.get("MAD_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2])
)
SANITIZED = bool(os.environ.get("MAD_SANITIZED"))


def tool(name):
    return str(BIN / name)


def clean_environment(**extra):
    """The environment without what would steer a tool, plus `extra`."""
    steering = ("MAD_", "MADDENING_", "RESUME_FROM_URL", "http_proxy", "https_proxy", "all_proxy",
                "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "GCE_", "STORAGE_EMULATOR_", "RCLONE_",
                "CURL_CA_BUNDLE", "SSL_CERT_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(steering)}
    env["PATH"] = f"{BIN}:{env['PATH']}"
    env.update({k: str(v) for k, v in extra.items()})
    return env


def preload(library):
    changed = {"LD_PRELOAD": str(BIN / library)}
    if SANITIZED:
        # The sanitizer's own library wants to be the first that is loaded.
        changed["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return changed


def clock_wrong_by(seconds):
    """The environment of a tool whose time of day is `seconds` ahead of everyone else's."""
    return {**preload("mad-test-clock.so"), "MAD_TEST_CLOCK": str(seconds)}


def slow_names():
    """The environment of a tool that looks for a name below `.slow` for a minute, in vain."""
    return preload("mad-test-resolver.so")


def run(*argv, stdin=b"", env=None, cwd=None, timeout=500):
    """Runs a tool (or any program) to its end; stdout and stderr are bytes and text."""
    argv = [str(word) for word in argv]
    if argv[0].startswith("mad-"):
        argv[0] = tool(argv[0])
    done = subprocess.run(
        argv, input=stdin, env=clean_environment(**(env or {})), cwd=cwd,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False,
    )
    done.stderr = done.stderr.decode("utf-8", "replace")
    return done


def dash(script, *args, env=None, cwd=None, timeout=500):
    """Runs `script` in plain dash, as cloud-init would, the binaries on PATH."""
    return run("dash", "-c", script, "dash", *args, env=env, cwd=cwd, timeout=timeout)


def wait_until_it_polls(pid):
    """Until the process sleeps in poll(2), which a tool does with its handlers installed."""
    poll_numbers = {"x86_64": ("7",), "aarch64": ("73",)}[os.uname().machine]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            if file.read().split()[0] in poll_numbers:
                return
    raise AssertionError("it does not wait")


def make_state(directory, arrays):
    """Writes {'node/field': ndarray} as DIRECTORY/NODE/FIELD.npy."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for key, array in arrays.items():
        path = directory / (key + ".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
    return directory


def small_arrays():
    return {
        "ball/pos": np.array([0.25, 1.5]),
        "ball/vel": np.array([1.0, -2.0], dtype="<f4"),
        "heat/field": np.arange(60, dtype="<f8").reshape(6, 10),
        "_meta/step_count": np.array(42, dtype="<i8"),
    }


def reference_manifest(npz, extra=None):
    """The reference's procedure: hash the file, json.dumps with indent=2."""
    data = pathlib.Path(npz).read_bytes()
    manifest = {
        "schema_version": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "extra": {"session_id": None, "stage_at_snapshot": "preempted", **(extra or {})},
    }
    path = pathlib.Path(str(npz) + ".manifest.json")
    path.write_text(json.dumps(manifest, indent=2))
    return path


def chunked_by(chunk_bytes, npz, manifest):
    """The manifest, its `chunks` of so many bytes each."""
    found = json.loads(manifest)
    found["chunks"] = {"algorithm": "sha256", "chunk_bytes": chunk_bytes, "digests": [
        hashlib.sha256(npz[at:at + chunk_bytes]).hexdigest()
        for at in range(0, len(npz), chunk_bytes)]}
    return json.dumps(found).encode()


def reference_verify(npz):
    """The reference's verification; raises where it would."""
    manifest = json.loads(pathlib.Path(str(npz) + ".manifest.json").read_text())
    version = manifest.get("schema_version")
    if not isinstance(version, int):
        raise ValueError("schema_version must be an integer")
    if version != 1:
        raise ValueError(f"schema version {version}")
    if manifest.get("sha256") != hashlib.sha256(pathlib.Path(npz).read_bytes()).hexdigest():
        raise ValueError("sha256 mismatch")
    return manifest


def reference_snapshot(npz, arrays, extra=None):
    """A snapshot as the reference makes it: np.savez and a manifest."""
    np.savez(npz, **arrays)
    reference_manifest(npz, extra)
    return pathlib.Path(npz)


def same_array(a, b):
    """The same dtype, shape, order and bytes."""
    return (
        a.dtype == b.dtype and a.shape == b.shape
        and a.flags.f_contiguous == b.flags.f_contiguous
        and a.tobytes(order="A") == b.tobytes(order="A")
    )


def descr_text(dtype):
    """A dtype as manifests and topologies write it."""
    descr = np.lib.format.dtype_to_descr(dtype)
    return descr if isinstance(descr, str) else repr(descr)


def tree(directory):
    """{relative path: bytes} of every file below a directory, hidden ones included."""
    directory = pathlib.Path(directory)
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()
    }


class Case(unittest.TestCase):
    """A test with a directory of its own, `self.tmp`, gone afterwards."""

    longMessage = True
    maxDiff = 4000

    def setUp(self):
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="mad-test-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def assert_refused(self, done, code, *needles):
        """Exit code `code`, one error that holds every needle, no traceback of a bug."""
        self.assertEqual(done.returncode, code, done.stderr)
        for needle in needles:
            self.assertIn(needle, done.stderr)
        self.assertEqual(done.stderr.count(": error: "), 1, done.stderr)


def main():
    unittest.main(verbosity=2)
