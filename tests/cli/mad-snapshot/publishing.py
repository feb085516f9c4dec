"""What the proofs of publishing share: runs under strace, and the reader's rule."""

import hashlib
import json
import re

import numpy as np

import madtest
from signing import KeyPair
from strace import whole_calls

NPZ = "sim.npz"
MANIFEST = NPZ + ".manifest.json"
NEXT = MANIFEST + ".next"
SIGNATURE = MANIFEST + ".sig"
NEXT_SIGNATURE = SIGNATURE + ".next"

# Every call that writes, renames, syncs or unlinks; openat where it creates.
CALLS = (
    "openat,write,pwrite64,writev,pwritev,rename,renameat,renameat2,fsync,fdatasync,"
    "sync_file_range,unlink,unlinkat,ftruncate,fallocate,fchmod,close"
)


class Torn(AssertionError):
    """A reader would find neither a whole old nor a whole new snapshot."""


def found_in(files, signature_of=lambda label, manifest: b""):
    """The label of the snapshot that the documented rule finds in {name: bytes}.

    The `.next` that matches, with the signature's `.next` where there is one, else the
    manifest that does; None without an npz.  An empty signature is none.
    """
    if NPZ not in files:
        return None
    digest = hashlib.sha256(files[NPZ]).hexdigest()
    for name, signatures in ((NEXT, (NEXT_SIGNATURE, SIGNATURE)), (MANIFEST, (SIGNATURE,))):
        try:
            manifest = json.loads(files.get(name, b""))
        except ValueError:
            continue
        if manifest["sha256"] != digest or manifest["size_bytes"] != len(files[NPZ]):
            continue
        label = manifest["extra"]["label"]
        signature = next((files[sig] for sig in signatures if sig in files), b"")
        if signature != signature_of(label, files[name]):
            raise Torn(f"the signature found is not that of {name} among {sorted(files)}")
        return label
    raise Torn(f"no manifest belongs to the npz among {sorted(files)}")


class Publishing(madtest.Case):
    """States A, B and C, and a directory that snapshots of them are published in."""

    SIGNED = ""  # the labels whose snapshots are signed
    SAME = False  # all three are one state, so that only the manifests differ

    def setUp(self):
        super().setUp()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.states = {}
        self.key = KeyPair(self.tmp) if self.SIGNED else None
        for number, label in enumerate("ABC"):
            step = 0 if self.SAME else number
            arrays = {"_meta/step_count": np.array(step), "n/f": np.full(4, float(step))}
            self.states[label] = madtest.make_state(self.tmp / f"state-{label}", arrays)

    def fill(self, files):
        """Makes the directory hold exactly {name: bytes}."""
        for path in self.place.iterdir():
            path.unlink()
        for name, data in files.items():
            (self.place / name).write_bytes(data)

    def command(self, label, *options):
        sign = ["--sign-key", self.key.private] if label in self.SIGNED else []
        return ["mad-snapshot", "-q", "--extra", f'label="{label}"', *sign, *options,
                "-o", self.place / NPZ, self.states[label]]

    def signature_of(self, label, manifest):
        return self.key.sign(manifest) if label in self.SIGNED else b""

    def found_in(self, files):
        return found_in(files, self.signature_of)

    def trust(self):
        return ["--trusted-key", self.key.public] if self.SIGNED else []

    def names_of(self, label):
        return [NPZ, MANIFEST] + ([SIGNATURE] if label in self.SIGNED else [])

    def interrupted(self, old, new):
        """What a writer leaves that dies after it renamed the npz of `new` over `old`."""
        left = {**old, NPZ: new[NPZ], NEXT: new[MANIFEST]}
        if SIGNATURE in new or SIGNATURE in old:
            left[NEXT_SIGNATURE] = new.get(SIGNATURE, b"")
        return left

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
        return done, "\n".join(whole_calls(readable))

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
        label = self.found_in(self.files())
        self.assertIn(label, labels, context)
        trust = ["--trusted-key", self.key.public] if label and label in self.SIGNED else []
        done = madtest.run("mad-verify", "-q", *trust, self.place / NPZ)
        self.assertEqual(done.returncode, 5 if label is None else 0, f"{context}: {done.stderr}")
        return label

    def assert_at_rest(self, label, context):
        """The directory holds the snapshot `label` and nothing else."""
        self.assertEqual(sorted(self.files()), self.names_of(label), context)
        self.assertEqual(self.assert_finds({label}, context), label)
