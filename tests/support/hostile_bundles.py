"""Makes bundles (mad-bundle(5)) with one defect each, every byte of the tar under control."""

import hashlib
import json
import tarfile

import hostile

END = bytes(1024)
NAME = "sim.npz"
NPZ = hostile.pair()


def tar_member(name, data=b"", size=None, kind=tarfile.REGTYPE, tar_format=tarfile.PAX_FORMAT,
               link="", **pax):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname = len(data), 0o600, kind, link
    info.pax_headers = pax
    head = bytearray(info.tobuf(tar_format))
    if size is not None:  # a lie, with a right checksum
        at = len(head) - 512
        head[at + 124:at + 136] = size if isinstance(size, bytes) else b"%011o\0" % size
        checksum(head, at)
    return bytes(head) + data + bytes(-len(data) % 512)


def checksum(head, at):
    head[at + 148:at + 156] = b" " * 8
    head[at + 148:at + 156] = b"%06o\0 " % sum(head[at:at + 512])


def manifest(npz=NPZ, **changes):
    value = {"schema_version": 1, "sha256": hashlib.sha256(npz).hexdigest(),
             "size_bytes": len(npz), "extra": {}} | changes
    return tar_member(NAME + ".manifest.json",
                      json.dumps({k: v for k, v in value.items() if v is not ...}).encode())


def part(number, data, name=NAME):
    return tar_member(f"{name}.parts/{number:010d}", data)


def seal(text=None, **fields):
    value = {"stage": "fetched", "tool": "test", "size_bytes": len(NPZ)} | fields
    if text is None:
        text = json.dumps({k: v for k, v in value.items() if v is not ...})
    return tar_member(".mad-seal.json", text if isinstance(text, bytes) else text.encode())


def verified(npz=NPZ):
    """A bundle that says of itself that it was verified, whatever the npz is."""
    parts = b"".join(part(i, npz[at:at + (4 << 20)])
                     for i, at in enumerate(range(0, len(npz), 4 << 20)))
    return manifest(npz) + parts + seal(
        stage="verified", sha256=hashlib.sha256(npz).hexdigest(), size_bytes=len(npz),
        checked=["schema", "size", "sha256", "structure"]) + END


def sound(npz=NPZ):
    return manifest(npz) + part(0, npz) + seal(size_bytes=len(npz)) + END


def structure():
    """name: the bytes; all of them are no bundle, for whoever reads them."""
    m, p, s = manifest(), part(0, NPZ), seal()
    signature = tar_member(NAME + ".manifest.json.sig", b"x" * 64)
    half = len(NPZ) // 2
    broken = bytearray(m + p + s + END)
    broken[150] ^= 1  # of the first checksum
    return {
        "no-tar": b"#!/bin/sh\necho hello\n" * 60,
        "gzip": b"\x1f\x8b\x08\x00" + bytes(600),
        "an-npz": NPZ * 3,
        "checksum": bytes(broken),
        "part-1-first": m + part(1, NPZ) + s + END,
        "part-twice": m + part(0, NPZ[:half]) + part(0, NPZ[half:]) + s + END,
        "part-left-out": m + part(0, NPZ[:half]) + part(2, NPZ[half:]) + s + END,
        "part-empty": m + part(0, b"") + p + s + END,
        "part-too-large": m + part(0, bytes((4 << 20) + 1)) + s + END,
        "part-number-of-9-digits": m + tar_member(f"{NAME}.parts/000000000", NPZ) + s + END,
        "part-number-of-letters": m + tar_member(f"{NAME}.parts/000000000x", NPZ) + s + END,
        "part-number-negative": m + tar_member(f"{NAME}.parts/-000000001", NPZ) + s + END,
        "part-number-beyond": m + tar_member(f"{NAME}.parts/9999999999", NPZ) + s + END,
        "part-of-another": m + part(0, NPZ, "other.npz") + s + END,
        "part-below-a-directory": m + part(0, NPZ, "dir/sim.npz") + s + END,
        "name-climbs": manifest() + part(0, NPZ, "../sim.npz") + s + END,
        "name-absolute": part(0, NPZ, "/sim.npz") + s + END,
        "name-hidden": part(0, NPZ, ".sim.npz") + s + END,
        "name-of-control-bytes": part(0, NPZ, "si\x1bm.npz") + s + END,
        "name-too-long": part(0, NPZ, "x" * 250 + ".npz") + s + END,
        "name-backslash": part(0, NPZ, "a\\sim.npz") + s + END,
        "name-without-npz": part(0, NPZ, "sim") + s + END,
        "unknown-member": m + tar_member("readme.txt", b"hello") + p + s + END,
        "npz-as-one-member": m + tar_member(NAME, NPZ) + s + END,
        "second-manifest": m + m + p + s + END,
        "manifest-too-large": tar_member(NAME + ".manifest.json", bytes((8 << 20) + 1)) + p + s +
        END,
        "signature-first": signature + m + p + s + END,
        "signature-between-parts": m + part(0, NPZ[:half]) + signature + part(1, NPZ[half:]) + s + END,
        "signature-twice": m + signature + signature + p + s + END,
        "restart-with-bytes": m + p + tar_member(".mad-restart", b"x") + m + p + s + END,
        "seal-too-large": m + p + tar_member(".mad-seal.json", b" " * 65537) + END,
        "seal-twice": m + p + s + s + END,
        "bytes-behind-the-seal": m + p + s + END + b"x",
        "part-behind-the-seal": m + p + s + part(1, b"x") + END,
        "megabytes-behind-the-seal": m + p + s + bytes(2 << 20),
        "directory": m + tar_member("sim.npz.parts", kind=tarfile.DIRTYPE) + p + s + END,
        "symbolic-link": m + tar_member(f"{NAME}.parts/0000000000", kind=tarfile.SYMTYPE,
                                        link="/etc/passwd") + s + END,
        "hard-link": m + tar_member(f"{NAME}.parts/0000000000", kind=tarfile.LNKTYPE,
                                    link=NAME + ".manifest.json") + s + END,
        "fifo": m + tar_member(f"{NAME}.parts/0000000000", kind=tarfile.FIFOTYPE) + s + END,
        "device": m + tar_member(f"{NAME}.parts/0000000000", kind=tarfile.CHRTYPE) + s + END,
        "sparse": m + tar_member(f"{NAME}.parts/0000000000", b"1\n0\n4\n".ljust(512, b"\0") +
                                 b"data", **{
            "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999"})
        + s + END,
        "size-negative": m + tar_member(f"{NAME}.parts/0000000000", NPZ,
                                        size=b"\xff" * 12) + s + END,
        "size-of-exabytes": m + tar_member(f"{NAME}.parts/0000000000", NPZ,
                                           size=b"\x80\0\0\0\x7f" + b"\xff" * 7) + s + END,
        "pax-path-climbs": m + tar_member(f"{NAME}.parts/0000000000", NPZ,
                                          path="../../evil") + s + END,
        "pax-path-of-no-utf8": m + tar_member(f"{NAME}.parts/0000000000", NPZ,
                                              path="\udcff\udcfe") + s + END,
    }


def seals():
    """name: a seal that is none."""
    digest = hashlib.sha256(NPZ).hexdigest()
    return {
        "empty": b"", "no-json": b"sealed", "array": b"[]", "cut": b'{"stage":"fetched"',
        "nul": b'{"stage":"fetched","tool":"t","size_bytes":1}\0x',
        "deep": b"[" * 60000,
        "stage-missing": seal_text(stage=...), "stage-unknown": seal_text(stage="done"),
        "stage-number": seal_text(stage=1), "tool-missing": seal_text(tool=...),
        "tool-number": seal_text(tool=5), "size-missing": seal_text(size_bytes=...),
        "size-negative": seal_text(size_bytes=-1), "size-fraction": seal_text(size_bytes=1.5),
        "size-string": seal_text(size_bytes=str(len(NPZ))),
        "size-too-small": seal_text(size_bytes=len(NPZ) - 1),
        "size-too-large": seal_text(size_bytes=len(NPZ) + 1),
        "size-wraps": seal_text(size_bytes=2**64 + len(NPZ)),
        "verified-without-digest": seal_text(stage="verified"),
        "verified-digest-short": seal_text(stage="verified", sha256=digest[:-1]),
        "verified-digest-capitals": seal_text(stage="verified", sha256=digest.upper()),
        "checked-no-list": seal_text(stage="verified", sha256=digest, checked="all"),
        "checked-numbers": seal_text(stage="verified", sha256=digest, checked=[1]),
        "failed-without-code": seal_text(stage="failed", reason="x", message="y"),
        "failed-code-0": seal_text(stage="failed", reason="x", message="y", code=0),
        "failed-code-126": seal_text(stage="failed", reason="x", message="y", code=126),
        "failed-without-reason": seal_text(stage="failed", message="y", code=1),
        "failed-reason-empty": seal_text(stage="failed", reason="", message="y", code=1),
        "failed-tool-empty": seal_text(stage="failed", tool="", reason="x", message="y", code=1),
        "absent-reason-empty": seal_text(stage="absent", reason="", message="y"),
        "failed-without-message": seal_text(stage="failed", reason="x", code=1),
        "absent-without-reason": seal_text(stage="absent", message="y"),
    }


def seal_text(**fields):
    value = {"stage": "fetched", "tool": "test", "size_bytes": len(NPZ)} | fields
    return json.dumps({k: v for k, v in value.items() if v is not ...}).encode()


def incomplete():
    """name: a bundle that is cut, or never began."""
    whole = manifest() + part(0, NPZ) + seal() + END
    return {
        "nothing": b"", "one-byte": whole[:1], "in-a-header": whole[:300],
        "between-two-members": manifest(), "in-the-manifest": whole[:600],
        "in-a-part": whole[:2200], "before-the-seal": manifest() + part(0, NPZ),
        "before-the-seal-ended": manifest() + part(0, NPZ) + END,
        "in-the-seal": whole[:-1024 - 512 - 100], "before-the-end": whole[:-1024],
        "in-the-end": whole[:-512],
    }


def every_case():
    """(name, bytes, exit code, reason): for whichever tool reads the bundle."""
    head = manifest() + part(0, NPZ)
    invalid = [(name, data, 1, "bundle-invalid") for name, data in structure().items()]
    invalid += [("seal-" + name, head + seal(text) + END, 1, "bundle-invalid")
                for name, text in seals().items()]
    return invalid + [("cut-" + name, data, 6, ("no-bundle", "no-seal", "stream-cut"))
                      for name, data in incomplete().items()]
