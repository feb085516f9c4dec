"""What the proofs of publishing share: runs under strace, and the reader's rule."""

import hashlib
import json
import re

import numpy as np

import madtest

NPZ = "sim.npz"
MANIFEST = NPZ + ".manifest.json"
NEXT = MANIFEST + ".next"

# Every call that writes, renames, syncs or unlinks; openat where it creates.
CALLS = (
    "openat,write,pwrite64,writev,pwritev,rename,renameat,renameat2,fsync,fdatasync,"
    "sync_file_range,unlink,unlinkat,ftruncate,fallocate,fchmod,close"
)


class Torn(AssertionError):
    """A reader would find neither a whole old nor a whole new snapshot."""


def found_in(files):
    """The label of the snapshot that the documented rule finds in {name: bytes}.

    The manifest that matches, else the `.next` that does; None without an npz.
    """
    if NPZ not in files:
        return None
    digest = hashlib.sha256(files[NPZ]).hexdigest()
    for name in (MANIFEST, NEXT):
        try:
            manifest = json.loads(files.get(name, b""))
        except ValueError:
            continue
        if manifest["sha256"] == digest and manifest["size_bytes"] == len(files[NPZ]):
            return manifest["extra"]["label"]
    raise Torn(f"no manifest belongs to the npz among {sorted(files)}")


class Publishing(madtest.Case):
    """States A, B and C, and a directory that snapshots of them are published in."""

    def setUp(self):
        super().setUp()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.states = {}
        for step, label in enumerate("ABC"):
            arrays = {"_meta/step_count": np.array(step), "n/f": np.full(4, float(step))}
            self.states[label] = madtest.make_state(self.tmp / f"state-{label}", arrays)

    def fill(self, files):
        """Makes the directory hold exactly {name: bytes}."""
        for path in self.place.iterdir():
            path.unlink()
        for name, data in files.items():
            (self.place / name).write_bytes(data)

    def command(self, label, *options):
        return ["mad-snapshot", "-q", "--extra", f'label="{label}"', *options,
                "-o", self.place / NPZ, self.states[label]]

    def take(self, label, *options):
        done = madtest.run(*self.command(label, *options))
        self.assertEqual(done.returncode, 0, done.stderr)

    def strace(self, label, *strace_options, options=()):
        trace = self.tmp / "trace"
        argv = self.command(label, *options)
        done = madtest.run("strace", "-f", "-qq", "-y", "-xx", "-s", "100000", "-o", trace,
                           "-e", "signal=none", *strace_options,
                           madtest.tool(argv[0]), *argv[1:])
        # -xx makes the data exact, and the descriptors' paths unreadable.
        readable = re.sub(r"<((?:\\x[0-9a-f]{2})+)>",
                          lambda m: "<" + bytes.fromhex(m[1].replace("\\x", "")).decode() + ">",
                          trace.read_text())
        return done, readable

    def calls(self, label, options=()):
        """[(call, its number among the main thread's calls of that name, line)] of a run.

        strace counts a call for each thread alone; all that publishes is in the main one.
        """
        done, trace = self.strace(label, "-e", f"trace={CALLS}", options=options)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = trace.splitlines()
        main_thread = lines[0].split()[0]
        numbers = {}
        calls = []
        for line in lines:
            matched = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not matched:
                continue
            thread, call, rest = matched.groups()
            in_place = f"<{self.place}" in line
            if thread != main_thread:
                self.assertFalse(in_place, f"another thread touches the directory: {line}")
                continue
            numbers[call] = numbers.get(call, 0) + 1
            if in_place and (call != "openat" or "O_CREAT" in rest):
                calls.append((call, numbers[call], rest))
        return calls

    def inject(self, label, call, number, what, options=()):
        done, _ = self.strace(label, "-e", f"trace={call}",
                              "-e", f"inject={call}:{what}:when={number}", options=options)
        return done

    def files(self):
        return {path.name: path.read_bytes() for path in self.place.iterdir()}

    def assert_finds(self, labels, context):
        """mad-verify and the documented rule find the same one of `labels` (or None)."""
        label = found_in(self.files())
        self.assertIn(label, labels, context)
        done = madtest.run("mad-verify", "-q", self.place / NPZ)
        self.assertEqual(done.returncode, 5 if label is None else 0, f"{context}: {done.stderr}")
        return label

    def assert_at_rest(self, label, context):
        """The directory holds the snapshot `label` and nothing else."""
        self.assertEqual(sorted(self.files()), [NPZ, MANIFEST], context)
        self.assertEqual(self.assert_finds({label}, context), label)
