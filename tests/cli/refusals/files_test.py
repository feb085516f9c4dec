"""Files that are no regular files, or not where and what they should be."""

import os
import socket

import every_dtype
import hostile
import madtest
import numpy as np
import refusal


def irregular(path, kind):
    """Puts a file of this kind at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        # Bound by a short relative name: a socket's path has at most 107 bytes.
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)
    elif kind == "symlink":
        path.symlink_to(path.parent / "target")
        (path.parent / "target").touch()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "symlink-to-device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "device":
        os.mknod(path, 0o020600, os.makedev(1, 5))  # zero
    else:
        raise ValueError(kind)


KINDS = ["fifo", "socket", "symlink", "dangling", "loop", "symlink-to-device", "directory"]
if os.geteuid() == 0:  # only root makes devices
    KINDS.append("device")


def identity(path):
    """What a replacement or a write would change; reading may move st_atime."""
    status = os.lstat(path)
    return (status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)


class InAState(refusal.Refusals):
    """mad-snapshot refuses the state and keeps the old snapshot."""

    def setUp(self):
        super().setUp()
        self.out = self.tmp / "out"
        self.out.mkdir()
        madtest.reference_snapshot(self.out / "sim.npz", madtest.small_arrays())
        self.before = madtest.tree(self.out)
        self.count = 0

    def assert_state_refused(self, spoil, reason, *needles):
        self.count += 1
        state = madtest.make_state(self.tmp / f"state{self.count}", madtest.small_arrays())
        spoil(state)
        done = refusal.measured("mad-snapshot", "-o", self.out / "sim.npz", state)
        self.assert_refusal(done, 1, reason, *needles)
        self.assertEqual(madtest.tree(self.out), self.before)
        self.assertEqual(len(list(self.out.iterdir())), 2)

    def test_irregular_files_among_the_arrays(self):
        for kind in KINDS:
            if kind == "directory":
                continue  # a directory `x.npy` may be a field's prefix
            with self.subTest(kind):
                self.assert_state_refused(lambda s: irregular(s / "ball" / "bad.npy", kind),
                                          ("state-invalid", "not-regular"), "ball/bad.npy")

    def test_irregular_files_in_place_of_a_node(self):
        for kind in KINDS:
            if kind == "directory":
                continue
            with self.subTest(kind):
                self.assert_state_refused(lambda s: irregular(s / "node", kind),
                                          ("state-invalid", "not-regular"), "node")

    def test_a_node_that_is_a_symbolic_link_to_a_directory(self):
        self.assert_state_refused(lambda s: (s / "other").symlink_to(s / "ball"),
                                  "state-invalid", "other")

    def test_files_that_are_no_npy(self):
        good = every_dtype.npy_bytes(np.arange(3))
        cases = {
            "ball/readme.txt": (b"hello", "state-invalid"),
            "ball/empty.npy": (b"", "npy-invalid"),
            "ball/short.npy": (good[:-1], "npy-size"),
            "ball/long.npy": (good + b"\0", "npy-size"),
            "ball/magic.npy": (b"\x94" + good[1:], "npy-invalid"),
            "ball/zip.npy": (hostile.pair(), "npy-invalid"),
            "top.npy": (good, None),
            "ball/back\\slash.npy": (good, None),
            "ball/new\nline.npy": (good, None),
        }
        for name, (data, reason) in cases.items():
            with self.subTest(name):
                self.assert_state_refused(lambda s: (s / name).write_bytes(data), reason,
                                          name.split("/")[-1].split("\\")[0].split("\n")[0]
                                          .removesuffix(".npy"))

    def test_a_field_that_numpy_takes_for_another(self):
        def spoil(state):
            (state / "ball/pos.npy.npy").write_bytes((state / "ball/vel.npy").read_bytes())
        self.assert_state_refused(spoil, "member-collision", "ball/pos.npy.npy", "NumPy")

    def test_a_name_that_is_not_utf8(self):
        def spoil(state):
            with open(os.fsencode(state / "ball") + b"/\xff.npy", "wb") as file:
                file.write(every_dtype.npy_bytes(np.arange(3)))
        self.assert_state_refused(spoil, None, "ball/")

    def test_every_defect_of_a_header(self):
        for case in hostile.npy_lies():
            data = case["npy"]
            with self.subTest(case["name"]):
                self.assert_state_refused(
                    lambda s: (s / "ball" / "bad.npy").write_bytes(data), case["reason"],
                    "ball/bad")

    def test_a_state_that_is_a_special_file_is_refused_and_not_waited_for(self):
        for kind in KINDS:
            if kind in ("directory", "symlink"):
                continue
            with self.subTest(kind):
                path = self.tmp / kind / "state"
                irregular(path, kind)
                done = refusal.measured("mad-snapshot", "-o", self.out / "sim.npz", path)
                self.assertIn(done.returncode, (1, 5, 9), done.stderr)
                self.assertIn(str(path), done.stderr)
                self.assertEqual(madtest.tree(self.out), self.before)

    def test_a_state_that_is_not_there_is_not_found(self):
        done = refusal.measured("mad-snapshot", "-o", self.out / "sim.npz", self.tmp / "none")
        self.assert_refusal(done, 5, "state-missing", "none")
        self.assertEqual(madtest.tree(self.out), self.before)


class WhereASnapshotIsExpected(refusal.BootRefusals):
    def test_mad_verify_refuses_irregular_files_and_waits_for_none(self):
        for kind in KINDS:
            with self.subTest(kind):
                path = self.tmp / kind / "sim.npz"
                irregular(path, kind)
                path.with_name("sim.npz.manifest.json").write_text("{}")
                done = refusal.measured("mad-verify", path)
                self.assert_refusal(done, 1, "not-regular", "sim.npz")

    def test_mad_verify_refuses_irregular_manifests(self):
        for kind in KINDS:
            with self.subTest(kind):
                npz = madtest.reference_snapshot(self.directory(kind) / "sim.npz",
                                                 madtest.small_arrays())
                manifest = npz.with_name("sim.npz.manifest.json")
                manifest.unlink()
                irregular(manifest, kind)
                done = refusal.measured("mad-verify", npz)
                self.assert_refusal(done, 1, "not-regular", "sim.npz.manifest.json")

    def directory(self, name):
        path = self.tmp / name
        path.mkdir()
        return path

    def test_the_boot_line_goes_on_fresh(self):
        self.fresh_machine(madtest.small_arrays())
        for kind in KINDS:
            with self.subTest(kind):
                path = self.tmp / kind / "sim.npz"
                irregular(path, kind)
                path.with_name("sim.npz.manifest.json").write_text("{}")
                self.assert_boot_goes_on_fresh(path, "not-regular")

    def test_mad_snapshot_replaces_only_a_regular_file(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        for kind in KINDS:
            if kind == "directory":
                continue  # a directory means: a new name in it
            for name in ("sim.npz", "sim.npz.manifest.json"):
                with self.subTest(f"{kind} at {name}"):
                    place = self.directory(f"{kind}-{name}")
                    irregular(place / name, kind)
                    before = sorted(os.listdir(place))
                    target = identity(place / name)
                    done = refusal.measured("mad-snapshot", "-o", place / "sim.npz", state)
                    self.assert_refusal(done, 1, "not-regular", name)
                    self.assertEqual(sorted(os.listdir(place)), before)
                    self.assertEqual(identity(place / name), target)

    def test_mad_resume_publishes_over_no_irregular_file(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        for kind in KINDS:
            with self.subTest(kind):
                place = self.tmp / kind
                irregular(place / "in.npz", kind)
                before = sorted(os.listdir(place))
                done = madtest.dash('mad-fetch "$1" | mad-verify | mad-resume --snapshot "$2"',
                                    npz, place / "in.npz")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("in.npz", done.stderr)
                self.assertEqual(sorted(os.listdir(place)), before)

    def test_a_missing_npz_and_a_missing_manifest_are_told_apart(self):
        done = refusal.measured("mad-verify", self.tmp / "none.npz")
        self.assert_refusal(done, 5, "snapshot-missing", "none.npz")
        npz = self.tmp / "bare.npz"
        np.savez(npz, **madtest.small_arrays())
        done = refusal.measured("mad-verify", npz)
        self.assert_refusal(done, 5, "manifest-missing", "bare.npz")
        self.fresh_machine(madtest.small_arrays())
        self.assert_boot_goes_on_fresh(self.tmp / "none.npz", "snapshot-missing")
        self.assert_boot_goes_on_fresh(npz, "manifest-missing")

    def test_a_snapshot_truncated_or_appended_after_its_manifest_was_written(self):
        for name, change in {
            "truncated": lambda d: d[:-1], "halved": lambda d: d[:len(d) // 2],
            "emptied": lambda d: b"", "appended": lambda d: d + b"\0",
            "flipped-first": lambda d: bytes([d[0] ^ 1]) + d[1:],
            "flipped-last": lambda d: d[:-1] + bytes([d[-1] ^ 0x80]),
            "flipped-middle": lambda d: d[:300] + bytes([d[300] ^ 4]) + d[301:],
        }.items():
            with self.subTest(name):
                place = self.directory(name)
                npz = madtest.reference_snapshot(place / "sim.npz", madtest.small_arrays())
                data = npz.read_bytes()
                npz.write_bytes(change(data))
                reason = "sha256-mismatch" if name.startswith("flipped") else "size-mismatch"
                values = [] if name.startswith("flipped") else [str(len(data)),
                                                                str(npz.stat().st_size)]
                done = refusal.measured("mad-verify", npz)
                self.assert_refusal(done, 1, reason, "sim.npz", *values)
                out = place / "out.npz"
                done = refusal.measured("mad-fetch", "-o", out, npz)
                self.assert_refusal(done, 1, (reason, "sha256-mismatch"), str(npz), *values)
                self.assertNotIn(str(out), done.stderr)
                self.assertEqual(len(os.listdir(place)), 2)

    def test_the_boot_line_notices_the_same_with_and_without_chunks(self):
        self.fresh_machine(madtest.small_arrays())
        state = madtest.make_state(self.tmp / "source", madtest.small_arrays())
        ours = self.tmp / "ours.npz"
        self.assertEqual(madtest.run("mad-snapshot", "-o", ours, state).returncode, 0)
        theirs = madtest.reference_snapshot(self.tmp / "theirs.npz", madtest.small_arrays())
        for npz in (ours, theirs):
            data = npz.read_bytes()
            for at in (0, 40, len(data) // 2, len(data) - 1):
                changed = bytearray(data)
                changed[at] ^= 1
                for new in (bytes(changed), data[:at], data + b"\0"):
                    npz.write_bytes(new)
                    for options in ("", "--stream"):
                        self.assert_boot_goes_on_fresh(
                            npz, ("sha256-mismatch", "size-mismatch", "chunk-mismatch"), options)


if __name__ == "__main__":
    madtest.main()
