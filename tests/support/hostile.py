"""Makes npz archives with one defect each, every byte of the ZIP structure under control.

The layout is APPNOTE 6.3.10's; a field that a case does not set is what an honest
writer puts there.
"""

import re
import struct
import zlib

import numpy as np

import every_dtype

STORED, DEFLATED = 0, 8
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF


class Member:
    """One member: `name` and `data` (the unpacked bytes), and lies about them.

    `local` and `central` override header fields by name: version, flags, method, time,
    date, crc, compressed, size, name, extra, and (central) made_by, comment, disk,
    internal, external, offset.
    """

    def __init__(self, name, data, method=STORED, local=None, central=None, packed=None,
                 descriptor=None, after=b"", hidden=False):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data = data
        self.method = method
        self.local = local or {}
        self.central = central or {}
        if packed is None:
            packed = deflate(data) if method == DEFLATED else data
        self.packed = packed
        self.descriptor = descriptor  # bytes after the data, with flag bit 3
        self.after = after            # bytes between this member and the next
        self.hidden = hidden          # not in the central directory

    def fields(self):
        flags = 0 if self.name.isascii() else 0x800
        return {
            "version": 20, "flags": flags | (8 if self.descriptor is not None else 0),
            "method": self.method, "time": 0, "date": 0x21, "crc": zlib.crc32(self.data),
            "compressed": len(self.packed), "size": len(self.data), "name": self.name,
            "extra": b"", "made_by": 0x314, "comment": b"", "disk": 0, "internal": 0,
            "external": 0o100644 << 16,
        }

    def local_header(self):
        f = self.fields()
        if self.descriptor is not None:
            f.update(crc=0, compressed=0, size=0)
        f.update(self.local)
        return struct.pack(
            "<IHHHHHIIIHH", f.get("signature", 0x04034B50), f["version"], f["flags"], f["method"],
            f["time"], f["date"], f["crc"], f["compressed"], f["size"],
            f.get("name_bytes", len(f["name"])), f.get("extra_bytes", len(f["extra"])),
        ) + f["name"] + f["extra"]

    def central_header(self, offset):
        f = self.fields() | {"offset": offset} | self.central
        return struct.pack(
            "<IHHHHHHIIIHHHHHII", f.get("signature", 0x02014B50), f["made_by"], f["version"],
            f["flags"], f["method"], f["time"], f["date"], f["crc"], f["compressed"], f["size"],
            f.get("name_bytes", len(f["name"])), f.get("extra_bytes", len(f["extra"])),
            f.get("comment_bytes", len(f["comment"])), f["disk"], f["internal"], f["external"],
            f["offset"],
        ) + f["name"] + f["extra"] + f["comment"]


def deflate(data, level=6):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def archive(members, end=None, before=b"", gap=b"", after=b"", comment=b""):
    """The archive's bytes.  `before` stands before the first member without being
    counted in offsets where `end` says so; `gap` between members and directory."""
    out = bytearray(before)
    offsets = []
    for member in members:
        offsets.append(len(out))
        out += member.local_header() + member.packed
        if member.descriptor is not None:
            out += member.descriptor
        out += member.after
    out += gap
    start = len(out)
    listed = [(m, at) for m, at in zip(members, offsets) if not m.hidden]
    for member, offset in listed:
        out += member.central_header(offset)
    fields = {"disk": 0, "first_disk": 0, "here": len(listed), "entries": len(listed),
              "bytes": len(out) - start, "offset": start, "comment_bytes": len(comment)}
    fields.update(end or {})
    out += struct.pack("<IHHHHIIH", 0x06054B50, fields["disk"], fields["first_disk"],
                       fields["here"], fields["entries"], fields["bytes"], fields["offset"],
                       fields["comment_bytes"]) + comment
    return bytes(out + after)


def npy(text=None, data=b"", version=1, magic=b"\x93NUMPY", minor=0, length=None):
    """A `.npy` with this header text, whatever it says."""
    text = text.encode("latin-1" if version < 3 else "utf-8") if isinstance(text, str) else text
    size = len(text) if length is None else length
    return magic + bytes([version, minor]) + size.to_bytes(2 if version == 1 else 4,
                                                            "little") + text + data


def header(descr="'<f8'", shape="(2,)", fortran="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


GOOD = every_dtype.npy_bytes(np.array([1.0, 2.0]))
OTHER = every_dtype.npy_bytes(np.array([3, 4], dtype="<i4"))
ARRAY_BYTES = len(GOOD)


def good(key="ball/pos", data=GOOD, **lies):
    return Member(key + ".npy", data, **lies)


def pair(first=None, **lies):
    """An archive of a defective member and a sound one after it."""
    return archive([first or good(), good("ball/vel", OTHER)], **lies)


def zip64_extra(*values):
    data = b"".join(struct.pack("<Q", value) for value in values)
    return struct.pack("<HH", 1, len(data)) + data


def case(name, data, reason, *needles, code=1):
    return {"name": name, "data": data, "reason": reason, "needles": needles, "code": code}


def header_lies():
    """Each field of a local header against the central directory, and the reverse."""
    n = ARRAY_BYTES
    crc = zlib.crc32(GOOD)
    disagreements = {
        "crc": (crc ^ 1, (f"{crc:08x}", str(crc)), (f"{crc ^ 1:08x}", str(crc ^ 1))),
        "compressed": (n + 1, str(n), str(n + 1)),
        "size": (n - 8, str(n), str(n - 8)),
        "method": (DEFLATED, "0", "8"),
        "flags": (0x0002, "0", "2"),
        "name": (b"ball/pox.npy", "ball/pos", "ball/pox"),
    }
    cases = []
    for field, (lie, true, false) in disagreements.items():
        for where in ("local", "central"):
            needles = ["ball/po", true, false]
            cases.append(case(f"{where}-{field}", pair(good(**{where: {field: lie}})),
                              "archive-invalid", *needles))
    cases += [
        case("local-name-length", pair(good(local={"name_bytes": 200})), "archive-invalid",
             "ball/pos", "name"),
        case("local-extra-length", pair(good(local={"extra_bytes": 9})), "archive-invalid",
             "ball/pos", "extra field", "9"),
        case("local-signature", pair(good(local={"signature": 0x04034B51})), "archive-invalid",
             "ball/pos"),
        case("central-signature", pair(good(central={"signature": 0x02014B51})),
             "archive-invalid", "entry 1", "116"),
        case("central-name-length", pair(good(central={"name_bytes": 300})), "archive-invalid",
             "entry 1", "346", "116"),
        case("central-extra-length", pair(good(central={"extra_bytes": 300})), "archive-invalid",
             "entry 1", "358", "116"),
        case("central-comment-length", pair(good(central={"comment_bytes": 60000})),
             "archive-invalid", "entry 1", "60058", "116"),
        case("central-disk", pair(good(central={"disk": 1})), "archive-invalid", "ball/pos",
             "disk", "0", "1"),
        case("central-offset-elsewhere", pair(good(central={"offset": 7})), "archive-invalid",
             "ball/pos", "0", "7"),
        case("central-offset-beyond-the-file", pair(good(central={"offset": 0x7FFFFFFF})),
             "archive-invalid", "ball/", "0", "186"),
        case("central-offset-of-another", archive(
            [good(), good("ball/vel", OTHER, central={"offset": 0})]), "archive-invalid",
            "ball/"),
        case("local-zip64-size-differs", pair(good(
            local={"size": MAX32, "compressed": MAX32, "extra": zip64_extra(n - 8, n)})),
            "archive-invalid", "ball/pos", str(n), str(n - 8)),
        case("local-zip64-cut-short", pair(good(
            local={"size": MAX32, "compressed": MAX32, "extra": b"\x01\x00\x04\x00abcd"})),
            "archive-invalid", "ball/pos", "ZIP64", "8", "4"),
        case("central-zip64-missing", pair(good(central={"size": MAX32})), "archive-invalid",
             "ball/pos", "ZIP64", "8", "0"),
        case("central-zip64-absurd", pair(good(
            central={"size": MAX32, "compressed": MAX32,
                     "extra": zip64_extra(2**63 + 5, 2**63 + 5)})), "archive-invalid",
            "ball/pos", str(2**63 + 5), str(n)),
        case("central-zip64-offset-overflows", pair(good(
            central={"offset": MAX32, "extra": zip64_extra(2**64 - 10)})), "archive-invalid",
            "ball/", "0", "186"),
        case("extra-field-runs-over", pair(good(
            central={"extra": b"\xfe\xca\xff\x00abc"})), "archive-invalid", "ball/pos",
            "extra field", "7"),
        case("descriptor-crc-differs", pair(good(descriptor=struct.pack(
            "<IIII", 0x08074B50, crc ^ 1, n, n))), "archive-invalid", "ball/pos"),
        case("descriptor-size-differs", pair(good(descriptor=struct.pack(
            "<IIII", 0x08074B50, crc, n, n + 1))), "archive-invalid", "ball/pos"),
        case("descriptor-missing", pair(good(descriptor=b"")), "archive-invalid", "ball/pos"),
    ]
    return cases


def layout_lies():
    """The directory, the end record, and bytes that belong to nothing."""
    hidden = good("ball/hidden", OTHER, hidden=True)
    sound = pair()
    end = sound.rindex(b"PK\x05\x06")
    start = sound.index(b"PK\x01\x02")
    first = sound.index(b"PK\x03\x04", 1)  # where the first member ends
    fake_end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, 0, 0)
    return [
        case("truncated-by-one", sound[:-1], "archive-invalid"),
        case("truncated-in-the-middle", sound[:len(sound) // 2], "archive-invalid"),
        case("truncated-to-nothing", b"", "archive-invalid", "22", "0"),
        case("truncated-before-the-end-record", sound[:end], "archive-invalid"),
        case("appended-byte", sound + b"\0", "archive-invalid", "comment", "1", "0"),
        case("appended-archive", sound + archive([good("node/evil")]), "archive-invalid"),
        case("prefixed", b"#!/bin/sh\n" + sound, "archive-invalid", str(end + 10),
             str(start)),
        case("prefixed-and-counted", archive([good()], before=b"#!/bin/sh\n"),
             "archive-invalid", "ball/pos", "0", "10"),
        case("member-missing-from-the-directory", archive([good(), hidden]), "archive-invalid",
             str(first), "367"),
        case("hidden-member-first", archive([hidden, good()]), "archive-invalid", "ball/pos",
             "0", "181"),
        case("bytes-between-members", archive([good(after=b"hidden"), good("ball/vel")]),
             "archive-invalid", "ball/vel", str(first), str(first + 6)),
        case("bytes-before-the-directory", archive([good()], gap=b"hidden"), "archive-invalid",
             str(first), str(first + 6)),
        case("end-record-counts-too-few", pair(end={"here": 1, "entries": 1}), "archive-invalid",
             "1", "2"),
        case("end-record-counts-too-many", pair(end={"here": 3, "entries": 3}),
             "archive-invalid", "2", "3"),
        case("end-record-counts-differ", pair(end={"here": 1}), "archive-invalid", "2", "1"),
        case("end-record-directory-size", pair(end={"bytes": 10}), "archive-invalid", str(end),
             "10"),
        case("end-record-directory-offset", pair(end={"offset": 4}), "archive-invalid", str(end),
             "4"),
        case("end-record-other-disk", pair(end={"disk": 1, "first_disk": 1}), "archive-invalid"),
        case("end-record-comment-too-long", pair(end={"comment_bytes": 9}), "archive-invalid",
             "comment", "0", "9"),
        case("end-record-inside-the-comment", pair(comment=b"x" * 10 + fake_end),
             "archive-invalid"),
        case("overlapping-members", archive(
            [good(), good("ball/vel", central={"offset": 0, "name": b"ball/vel.npy"})]),
            "archive-invalid", "ball/"),
        case("not-a-zip", b"\x93NUMPY" + bytes(400), "archive-invalid"),
        case("zip64-locator-to-nowhere", sound[:end] + struct.pack(
            "<IIQI", 0x07064B50, 0, 2**60, 1) + struct.pack(
            "<IHHHHIIH", 0x06054B50, 0, 0, MAX16, MAX16, MAX32, MAX32, 0), "archive-invalid"),
    ]


def name_lies():
    names = {
        "dotdot-name": "../evil.npy", "dotdot-inside": "ball/../../evil.npy",
        "absolute-name": "/etc/evil.npy",
        "no-node": "pos.npy", "empty-node": "/pos.npy", "empty-component": "ball//pos.npy",
        "dot-component": "ball/./pos.npy", "backslash": "ball/..\\evil.npy",
        "nul": b"ball/pos\0.npy", "newline": "ball/po\ns.npy", "escape": "ball/\x1b[31m.npy",
        "empty-name": "", "only-npy": "ball/.npy", "invalid-utf8": b"ball/\xff\xfe.npy",
        "long-component": "ball/" + "x" * 300 + ".npy", "long-name": "a/" * 600 + "x.npy",
        "drive": "C:\\evil.npy", "trailing-slash": "ball/pos.npy/",
    }
    cases = []
    for title, name in names.items():
        flags = {"flags": 0x800}
        member = Member(name, GOOD, local=flags, central=flags)
        shown = name.decode("latin-1") if isinstance(name, bytes) else name
        words = re.findall(r"[\w.:]+", shown, re.ASCII)
        cases.append(case(title, archive([member]), "member-name", "NODE/FIELD.npy",
                          *(word[:100] for word in words[:2])))
    directory = Member("ball/", b"", central={"external": 0o40755 << 16 | 0x10})
    cases += [
        case("directory-entry", archive([directory, good()]), "member-name", "ball/"),
        case("symlink-member", archive([good(central={"external": 0o120777 << 16})]),
             "archive-invalid", "ball/pos", "0xa1ff0000"),
        case("not-npy", archive([good(), Member("ball/readme.txt", b"hello")]), "member-name",
             "readme.txt"),
        case("npy-in-capitals", archive([Member("ball/pos.NPY", GOOD)]), "member-name",
             "ball/pos.NPY"),
        case("duplicate", archive([good(), good(data=OTHER)]), "member-duplicate", "ball/pos"),
        case("duplicate-identical", archive([good(), good()]), "member-duplicate", "ball/pos"),
        case("encrypted", pair(good(local={"flags": 1}, central={"flags": 1})),
             "member-encrypted", "ball/pos"),
        case("strong-encryption", pair(good(local={"flags": 0x41}, central={"flags": 0x41})),
             "member-encrypted", "ball/pos"),
        case("masked-directory", pair(good(local={"flags": 0x2000}, central={"flags": 0x2000})),
             "member-encrypted", "ball/pos"),
        case("patched-data", pair(good(local={"flags": 0x20}, central={"flags": 0x20})),
             "archive-invalid", "ball/pos", "flags", "32"),
    ]
    cases.append(case("method-aes", pair(good(local={"method": 99}, central={"method": 99})),
                      "member-encrypted", "ball/pos"))
    for number, title in ((1, "shrunk"), (9, "deflate64"), (12, "bzip2"), (14, "lzma"),
                          (93, "zstd"), (95, "xz"), (0xFFFF, "unknown")):
        cases.append(case(f"method-{title}", pair(good(local={"method": number},
                                                       central={"method": number})),
                          "member-method", "ball/pos", str(number)))
    return cases


def data_lies():
    """The packed bytes of a member."""
    n = ARRAY_BYTES
    zeros = every_dtype.npy_bytes(np.zeros(1000))
    packed = deflate(zeros)
    flipped = bytearray(GOOD)
    flipped[-1] ^= 1
    real = zlib.crc32(GOOD)
    seen = zlib.crc32(bytes(flipped))
    fields = {"crc": real}
    return [
        case("flipped-bit", pair(good(data=bytes(flipped), local=fields, central=fields)),
             "member-crc", "ball/pos", (f"{real:08x}", str(real)), (f"{seen:08x}", str(seen))),
        case("deflate-cut-short", pair(Member("ball/pos.npy", zeros, DEFLATED,
                                              packed=packed[:-3])), "archive-invalid",
             "ball/pos"),
        case("deflate-bytes-after-its-end", pair(Member("ball/pos.npy", zeros, DEFLATED,
                                                        packed=packed + b"hidden")),
             "archive-invalid", "ball/pos", "6"),
        case("deflate-longer-than-promised", pair(Member(
            "ball/pos.npy", zeros, DEFLATED, local={"size": n, "crc": zlib.crc32(zeros[:n])},
            central={"size": n, "crc": zlib.crc32(zeros[:n])})), "npy-size", "ball/pos",
            "128", "8000", str(n)),
        case("deflate-shorter-than-promised", pair(Member(
            "ball/pos.npy", zeros, DEFLATED, local={"size": len(zeros) + 8},
            central={"size": len(zeros) + 8})), "npy-size", "ball/pos", "8000",
            str(len(zeros) + 8)),
        case("deflate-garbage", pair(Member("ball/pos.npy", zeros, DEFLATED,
                                            packed=b"\xff" * 40)), "archive-invalid",
             "ball/pos"),
        case("stored-sizes-differ", pair(good(local={"compressed": n - 8},
                                              central={"compressed": n - 8})), "archive-invalid",
             "ball/pos", str(n), str(n - 8)),
        case("size-of-petabytes", pair(good(
            local={"size": MAX32, "compressed": MAX32, "extra": zip64_extra(2**50, 2**50)},
            central={"size": MAX32, "compressed": MAX32, "extra": zip64_extra(2**50, 2**50)})),
            "archive-invalid", "ball/pos", str(2**50), "206"),
    ]


def npy_case(name, data, reason, *needles):
    return case(name, pair(good(data=data)), reason, *needles) | {"npy": data}


def npy_lies():
    f8 = "'<f8'"
    texts = {
        # name: (header text, data, reason, what is named beside the array)
        "object": (header("'|O'"), bytes(16), "npy-object", "dtype '|O'"),
        "object-in-struct": (header("[('a', '<i4'), ('b', '|O')]"), bytes(24),
                             "npy-object", "dtype '|O'"),
        "object-deep-in-struct": (header("[('a', [('b', [('c', 'O', (2,))])])]"), bytes(32),
                                  "npy-object", "dtype 'O'"),
        "object-pickled": (header("'O'", "(1,)"), b"\x80\x04N.", "npy-object", "dtype 'O'"),
        "shape-longer-than-data": (header(shape="(3,)"), bytes(16),
                                   "npy-size", "24", "(3,)", "84"),
        "shape-shorter-than-data": (header(shape="(1,)"), bytes(16),
                                    "npy-size", "8", "(1,)", "84"),
        "data-missing": (header(), b"", "npy-size", "16", "(2,)", "68"),
        "shape-overflows": (header(shape=f"({2**62}, 4)"), bytes(16),
                            "npy-invalid", "shape", "2**63", "(4611686018427387904, 4)"),
        "shape-wraps-to-fit": (header(shape=f"({2**61 + 2},)", descr=f8), bytes(16),
                               "npy-invalid", "shape", "2**63", "(2305843009213693954,)"),
        "shape-dimension-beyond-64-bits": (header(shape=f"({2**64 + 2},)"), bytes(16),
                                           "npy-invalid", "2**63"),
        "shape-negative": (header(shape="(-2,)"), bytes(16), "npy-invalid", "-2"),
        "shape-negative-pair": (header(shape="(-1, -2)"), bytes(16), "npy-invalid", "-1, -2"),
        "shape-float": (header(shape="(2.0,)"), bytes(16), "npy-invalid", ".0"),
        "shape-string": (header(shape="('2',)"), bytes(16), "npy-invalid", "shape", "('2',)"),
        "shape-number": (header(shape="2"), bytes(16), "npy-invalid", "shape", "2"),
        "shape-missing": ("{'descr': '<f8', 'fortran_order': False, }\n", bytes(16),
                          "npy-invalid", "shape"),
        "shape-of-33-dimensions": (header(shape="(" + "1, " * 64 + "2, )"), bytes(16),
                                   "npy-invalid", "shape", "64", "65"),
        "unicode-length-wraps": (header("'<U4294967297'"), bytes(8),
                                 "npy-invalid", "2147483647", "<U4294967297"),
        "item-size-overflows": (header("'|V9223372036854775807'"), bytes(16),
                                "npy-invalid", "2147483647", "9223372036854775807"),
        "struct-size-overflows": (header("[('a', '|V2147483647'), ('b', '|V2147483647')]"),
                                  bytes(16), "npy-invalid", "2147483647", "4294967294"),
        "subarray-overflows": (header(f"[('a', '<f8', ({2**40}, {2**40}))]"), bytes(16),
                               "npy-invalid", "2147483647", "1099511627776"),
        "dtype-unknown": (header("'<z9'"), bytes(16), "npy-invalid", "<z9"),
        "dtype-odd-size": (header("'<f7'"), bytes(16), "npy-invalid", "<f7"),
        "dtype-number": (header("8"), bytes(16), "npy-invalid", "descr", "8"),
        "dtype-code": (header("__import__('os').system('true')"), bytes(16),
                       "npy-invalid", "__import__"),
        "dtype-duplicate-fields": (header("[('a', '<i4'), ('a', '<i4')]"), bytes(16),
                                   "npy-invalid", "'a' twice"),
        "dtype-nested-too-deep": (header("[('a', " * 500 + "'<i4'" + ")]" * 500), bytes(16),
                                  "npy-invalid", "64"),
        "order-number": (header(fortran="0"), bytes(16), "npy-invalid", "fortran_order", "0"),
        "order-missing": ("{'descr': '<f8', 'shape': (2,), }\n", bytes(16),
                          "npy-invalid", "fortran_order"),
        "extra-key": ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'x': 1}\n",
                      bytes(16), "npy-invalid", "'x'"),
        "no-dictionary": ("['<f8', False, (2,)]\n", bytes(16),
                          "npy-invalid", "dictionary", "['<f8', False, (2,)]"),
        "text-after-dictionary": (header().strip() + " ; x\n", bytes(16), "npy-invalid", "; x"),
        "unclosed": ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,", bytes(16),
                     "npy-invalid", "its end"),
        "empty-header": ("", bytes(16), "npy-invalid", "its end"),
        "header-over-numpys-limit": (header().strip() + " " * 12_000 + "\n", bytes(16),
                                     "npy-invalid", "10000", "12058"),
    }
    cases = [npy_case("npy-" + title, npy(text, data), reason, "ball/pos", *needles)
             for title, (text, data, reason, *needles) in texts.items()]
    text = header()
    cases += [
        npy_case("npy-magic", npy(text, bytes(16), magic=b"\x93NUMPX"), "npy-invalid",
                 "ball/pos", "NUMPX'"),
        npy_case("npy-version-4", npy(text, bytes(16), version=4), "npy-invalid", "ball/pos", "4"),
        npy_case("npy-version-0", npy(text, bytes(16), version=0), "npy-invalid", "ball/pos",
                 "0.0"),
        npy_case("npy-version-1.1", npy(text, bytes(16), minor=1), "npy-invalid", "ball/pos",
                 "1.1"),
        npy_case("npy-empty-member", b"", "npy-invalid", "ball/pos", "nothing"),
        npy_case("npy-cut-in-magic", b"\x93NUM", "npy-invalid", "ball/pos", "NUM'"),
        npy_case("npy-cut-in-length", b"\x93NUMPY\x01\x00\x10", "npy-invalid", "ball/pos",
                 "length", "9"),
        npy_case("npy-cut-in-header", npy(text[:20], length=118), "npy-invalid", "ball/pos",
                 "118", "20"),
        npy_case("npy-header-length-beyond-the-member",
                 npy(text, bytes(16), version=2, length=0xFFFFFFF0), "npy-invalid", "ball/pos",
                 "10000", str(0xFFFFFFF0)),
        npy_case("npy-3.0-invalid-utf8",
                 npy(header("[('a\udcff', '<i4')]").encode("utf-8", "surrogateescape"), bytes(8),
                     version=3), "npy-invalid", "ball/pos", "UTF-8"),
    ]
    return cases


def collisions():
    """Sound archives whose keys collide as paths: refused where they would be unpacked."""
    return [
        case("file-and-directory", archive([good("ball/pos"), good("ball/pos.npy/x")]),
             "member-collision", "ball/pos"),
    ]


def every_case():
    return header_lies() + layout_lies() + name_lies() + data_lies() + npy_lies()


def many(count):
    """A sound archive of `count` arrays, which takes no long time to make."""
    data, crc = GOOD, zlib.crc32(GOOD)
    local = struct.pack("<IHHHHHIIIH", 0x04034B50, 20, 0, 0, 0, 0x21, crc, len(data), len(data), 14)
    central = struct.pack("<IHHHHHHIIIHHHHHI", 0x02014B50, 0x314, 20, 0, 0, 0, 0x21, crc, len(data),
                          len(data), 14, 0, 0, 0, 0, 0o100644 << 16)
    names = [b"n/%08d.npy" % number for number in range(count)]
    size = len(local) + 2 + 14 + len(data)
    out = bytearray(b"".join(local + b"\0\0" + name + data for name in names))
    start = len(out)
    out += b"".join(central + struct.pack("<I", number * size) + name
                    for number, name in enumerate(names))
    end = len(out)
    out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, end - start, start)
    out += struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    return bytes(out + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, MAX16, MAX16, end - start, start,
                                   0))


def deflate_zeros(head, count):
    """`head` and `count` zeros deflated, and their CRC; neither is ever held whole."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    crc, packed = zlib.crc32(head), bytearray(packer.compress(head))
    zeros = bytes(1 << 20)
    for _ in range(count >> 20):
        crc = zlib.crc32(zeros, crc)
        packed += packer.compress(zeros)
    return bytes(packed + packer.flush()), crc


def bomb(unpacked_bytes):
    """A sound archive of zeros that unpacks to `unpacked_bytes` of data."""
    head = npy(header("'|u1'", f"({unpacked_bytes},)"))
    packed, crc = deflate_zeros(head, unpacked_bytes)
    fields = {"size": len(head) + unpacked_bytes, "crc": crc}
    return archive([Member("ball/bomb.npy", b"", DEFLATED, local=fields, central=fields,
                           packed=packed)])
