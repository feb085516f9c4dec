"""The reference's procedures, for comparison: what a user of NumPy does today.

`save`, `push` and `load` print the seconds that they took, without starting Python, importing
NumPy, or (save) reading the arrays, which a simulation has in memory.

    reference.py save STATE NPZ       np.savez, then hash the file and write the manifest
    reference.py push STATE NPZ URL   the same, then `aws s3 cp` of both files
    reference.py load URL NPZ         fetch both to memory, write, hash, np.load every array
    reference.py make STATE SIZE N    a state of N random arrays, SIZE bytes together
    reference.py same STATE STATE     compare two states array by array
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

import numpy as np


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_arrays(state):
    state = pathlib.Path(state)
    return {str(path.relative_to(state))[:-4]: np.load(path)
            for path in sorted(state.rglob("*.npy"))}


def save_arrays(arrays, npz):
    np.savez(npz, **arrays)
    manifest = {"schema_version": 1, "sha256": sha256_of(npz),
                "size_bytes": pathlib.Path(npz).stat().st_size,
                "extra": {"session_id": None, "stage_at_snapshot": "preempted"}}
    pathlib.Path(npz + ".manifest.json").write_text(json.dumps(manifest, indent=2))


def save(state, npz):
    arrays = read_arrays(state)
    start = time.perf_counter()
    save_arrays(arrays, npz)
    print(time.perf_counter() - start)


def push(state, npz, url):
    arrays = read_arrays(state)
    start = time.perf_counter()
    save_arrays(arrays, npz)
    for suffix in ("", ".manifest.json"):
        subprocess.run(["aws", "s3", "cp", "--only-show-errors", npz + suffix, url + suffix],
                       check=True)
    print(time.perf_counter() - start)


def fetch(url):
    if "://" in url:
        with urllib.request.urlopen(url) as answer:
            return answer.read()
    return pathlib.Path(url).read_bytes()


def load(url, npz):
    start = time.perf_counter()
    pathlib.Path(npz).write_bytes(fetch(url))
    pathlib.Path(npz + ".manifest.json").write_bytes(fetch(url + ".manifest.json"))
    manifest = json.loads(pathlib.Path(npz + ".manifest.json").read_text())
    if manifest["sha256"] != sha256_of(npz):
        raise SystemExit("reference: the SHA-256 differs")
    with np.load(npz, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if not arrays:
        raise SystemExit("reference: nothing was loaded")
    print(time.perf_counter() - start)


def make(state, size, count):
    chance = np.random.default_rng(1)
    each = int(size) // int(count) // 8
    for index in range(int(count)):
        path = pathlib.Path(state) / f"node{index % 4}" / f"field{index:02}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, chance.random(each))


def same(one, other):
    names = [sorted(str(p.relative_to(d)) for p in pathlib.Path(d).rglob("*.npy"))
             for d in (one, other)]
    if names[0] != names[1] or any(
            (pathlib.Path(one) / n).read_bytes() != (pathlib.Path(other) / n).read_bytes()
            for n in names[0]):
        raise SystemExit("reference: the two states differ")


if __name__ == "__main__":
    procedures = {f.__name__: f for f in (save, push, load, make, same)}
    procedures[sys.argv[1]](*sys.argv[2:])
