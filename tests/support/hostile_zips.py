"""Further archives with one defect each: ZIP64, extra fields, descriptors, the end record,
names that collide, and packed data."""

import struct
import zlib

import hostile
from hostile import DEFLATED, GOOD, MAX16, MAX32, Member, archive, case, good, pair, zip64_extra

N = len(GOOD)
CRC = zlib.crc32(GOOD)


def extra(number, data=b""):
    return struct.pack("<HH", number, len(data)) + data


def second_name(name, of=b"ball/pos.npy", version=1):
    name = name.encode() if isinstance(name, str) else name
    return extra(0x7075, struct.pack("<BI", version, zlib.crc32(of)) + name)


def masked(**fields):
    return {field: MAX32 for field in ("size", "compressed")} | fields


def extra_fields():
    """The same in either header, where a reader of the one may see another thing."""
    cases = {
        "second-name-differs": second_name("ball/pox.npy"),
        "second-name-of-another": second_name("ball/pos.npy", of=b"ball/pox.npy"),
        "second-name-of-a-later-version": second_name("ball/pos.npy", version=2),
        "second-name-twice": second_name("ball/pos.npy") * 2,
        "second-name-empty": extra(0x7075),
        "second-name-climbs": second_name("../evil.npy"),
        "zip64-twice": zip64_extra(N, N) * 2,
        "strong-encryption": extra(0x0017, bytes(8)),
        "aes": extra(0x9901, b"\x02\x00AE\x03\x00\x00"),
        "runs-over-by-one": struct.pack("<HH", 0xCAFE, 5) + b"abcd",
        "three-bytes": b"\xfe\xca\x00",
        "one-byte": b"\x00",
        "second-one-runs-over": extra(0xCAFE, b"abcd") + struct.pack("<HH", 0xCAFE, MAX16),
    }
    reasons = {"strong-encryption": "member-encrypted", "aes": "member-encrypted"}
    return [case(f"{where}-extra-{name}", pair(good(**{where: {"extra": data}})),
                 reasons.get(name, "archive-invalid"), "ball/pos")
            for where in ("local", "central") for name, data in cases.items()]


def zip64():
    both = masked(extra=zip64_extra(N, N))
    return [
        case("central-zip64-of-other-sizes", pair(good(central={"extra": zip64_extra(7, 7)})),
             "archive-invalid", "ball/pos", "ZIP64", "7"),
        case("central-zip64-of-another-offset", pair(good(
            central={"extra": zip64_extra(N, N, 99)})), "archive-invalid", "ball/pos", "99"),
        case("central-zip64-cut-short", pair(good(central=masked(extra=zip64_extra(N)))),
             "archive-invalid", "ball/pos", "ZIP64"),
        case("local-zip64-of-one-size", pair(good(
            local={"size": MAX32, "extra": zip64_extra(N, N)})), "archive-invalid", "ball/pos"),
        case("local-zip64-missing", pair(good(local=masked())), "archive-invalid", "ball/pos"),
        case("local-zip64-differs-unmasked", pair(good(local={"extra": zip64_extra(N + 1, N)})),
             "archive-invalid", "ball/pos", str(N + 1)),
        case("local-zip64-compressed-differs", pair(good(
            local=masked(extra=zip64_extra(N, N - 1)), central=both)), "archive-invalid",
            "ball/pos", str(N - 1)),
        case("both-zip64-sizes-differ", pair(good(
            local=masked(extra=zip64_extra(N, N - 1)), central=masked(extra=zip64_extra(N, N - 1)))),
            "archive-invalid", "ball/pos", str(N - 1)),
        case("central-zip64-size-wraps", pair(good(
            central=masked(extra=zip64_extra(2**64 - 1, 2**64 - 1)))), "archive-invalid",
            "ball/pos"),
        case("central-zip64-offset-of-another", archive([good(), good("ball/vel", central={
            "offset": MAX32, "extra": zip64_extra(0)})]), "archive-invalid", "ball/"),
    ]


def end64(sound, locate=None, length=44, version=45, disks=(0, 0), entries=None, size=None,
          offset=None, total_disks=1, extensible=b"", plain=None, locator_disk=0):
    """`sound` with ZIP64 end records that say these things."""
    at = sound.rindex(b"PK\x05\x06")
    here, count, directory, start = struct.unpack_from("<HHII", sound, at + 8)
    entries = (here, count) if entries is None else entries
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, length, 45, version, *disks, *entries,
                         directory if size is None else size, start if offset is None else offset)
    locator = struct.pack("<IIQI", 0x07064B50, locator_disk, at if locate is None else locate,
                          total_disks)
    plain = plain or (MAX16, MAX16, MAX32, MAX32)
    return sound[:at] + record + extensible + locator + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, *plain, 0)


def end_records():
    sound = pair()
    at = sound.rindex(b"PK\x05\x06")
    directory = sound.index(b"PK\x01\x02")
    signature = struct.pack("<IH", 0x05054B50, 4) + b"sign"
    return [
        case("end64-locator-elsewhere", end64(sound, locate=4), "archive-invalid", "4"),
        case("end64-length", end64(sound, length=45), "archive-invalid", "44", "45"),
        case("end64-extensible-data", end64(sound, length=52, extensible=bytes(8)),
             "archive-invalid"),
        case("end64-disk", end64(sound, disks=(1, 1)), "archive-invalid", "disk"),
        case("end64-disks-in-all", end64(sound, total_disks=2), "archive-invalid", "disk"),
        case("end64-locator-disk", end64(sound, locator_disk=1), "archive-invalid", "disk"),
        case("end64-entries-differ", end64(sound, entries=(2, 3)), "archive-invalid", "2", "3"),
        case("end64-too-few-entries", end64(sound, entries=(1, 1)), "archive-invalid", "1", "2"),
        case("end64-countless-entries", end64(sound, entries=(2**63, 2**63)),
             ("archive-invalid", "too-large")),
        case("end64-directory-size", end64(sound, size=10), "archive-invalid", "10"),
        case("end64-directory-offset", end64(sound, offset=4), "archive-invalid", "4"),
        case("end64-directory-offset-wraps", end64(sound, offset=2**64 - 1, size=at),
             "archive-invalid"),
        case("end64-against-the-plain-entries", end64(sound, plain=(1, 1, MAX32, MAX32)),
             "archive-invalid", "1", "2"),
        case("end64-against-the-plain-size", end64(sound, plain=(MAX16, MAX16, 7, MAX32)),
             "archive-invalid", "7"),
        case("end64-against-the-plain-offset", end64(sound, plain=(MAX16, MAX16, MAX32, 7)),
             "archive-invalid", "7"),
        case("end64-without-its-record", sound[:at] + struct.pack(
            "<IIQI", 0x07064B50, 0, at, 1) + sound[at:], "archive-invalid", "ZIP64"),
        case("end-record-only", sound[at:], "archive-invalid"),
        case("end-record-first-disk", pair(end={"first_disk": 1}), "archive-invalid", "disk"),
        case("end-record-signature-in-the-comment", pair(comment=b"x PK\x05\x06 y"),
             "archive-invalid"),
        case("end-record-twice", sound + sound[at:], "archive-invalid"),
        case("comment-of-nothing-but-end-records", pair(comment=sound[at:] * 2),
             "archive-invalid"),
        case("directory-signature-record", sound[:at] + signature + struct.pack(
            "<IHHHHIIH", 0x06054B50, 0, 0, 2, 2, at - directory + len(signature), directory, 0),
            "archive-invalid", "entry 3"),
        case("bytes-behind-the-directory", sound[:at] + b"hidden" + sound[at:],
             "archive-invalid"),
        case("empty-with-bytes-before", b"hidden" + archive([]), "archive-invalid"),
        case("only-zeros", bytes(4096), "archive-invalid"),
        case("tar", b"ball/pos.npy".ljust(512, b"\0") + GOOD.ljust(512, b"\0") + bytes(1024),
             "archive-invalid"),
        case("gzip", b"\x1f\x8b\x08\x00" + bytes(60), "archive-invalid"),
    ]


def descriptors():
    signed = struct.pack("<IIII", 0x08074B50, CRC, N, N)
    cases = {
        "crc-in-64-bits": struct.pack("<IIQQ", 0x08074B50, CRC ^ 1, N, N),
        "sizes-swapped-for-others": struct.pack("<III", CRC, N + 1, N + 1),
        "signature-differs": struct.pack("<IIII", 0x08074B51, CRC, N, N),
        "one-byte-short": signed[:-1], "one-byte-more": signed + b"\0",
        "twice": signed * 2, "bytes-behind": signed + bytes(4),
    }
    built = [case(f"descriptor-{name}", pair(good(descriptor=data)), "archive-invalid",
                  "ball/pos") for name, data in cases.items()]
    return built + [
        case("descriptor-flag-in-the-directory-alone", pair(good(central={"flags": 8})),
             "archive-invalid", "ball/pos", "flags", "8"),
        case("descriptor-flag-in-the-header-alone", pair(good(local={"flags": 8})),
             "archive-invalid", "ball/pos", "flags", "8"),
        case("descriptor-and-other-sizes-before-it", pair(good(
            descriptor=signed, local={"size": N - 1, "compressed": N - 1})), "archive-invalid",
            "ball/pos", str(N - 1)),
        case("descriptor-and-another-crc-before-it", pair(good(
            descriptor=signed, local={"crc": CRC ^ 1})), "archive-invalid", "ball/pos"),
    ]


def names():
    cases = {
        "tab": "ball/po\ts.npy", "delete": "ball/po\x7fs.npy", "carriage-return": "ball/\r.npy",
        "dotdot-at-the-end": "ball/...npy", "two-dots-node": "../ball.npy",
        "current-directory": "./ball/pos.npy", "unc": "\\\\host\\share\\x.npy",
        "overlong-slash": b"ball\xc0\xafpos.npy", "surrogate": b"ball/\xed\xa0\x80.npy",
        "beyond-unicode": b"ball/\xf4\x90\x80\x80.npy", "cut-utf8": b"ball/\xe2\x82.npy",
        "npz-inside": "ball/pos.npz", "npy-twice-removed": "ball/pos.npy.gz",
        "only-slashes": "///.npy", "slash-before-npy": "ball/pos/.npy",
    }
    built = []
    for title, name in cases.items():
        flags = {"flags": 0x800}
        built.append(case("name-" + title, archive([Member(name, GOOD, local=flags,
                                                           central=flags)]),
                          "member-name", "NODE/FIELD.npy"))
    other = hostile.OTHER
    return built + [
        case("key-is-another-members-name", archive([good("a/x"), good("a/x.npy", other)]),
             "member-collision", "a/x.npy", "NumPy"),
        case("key-is-another-members-name-reversed",
             archive([good("a/x.npy", other), good("a/x")]), "member-collision", "a/x.npy"),
        case("duplicate-in-two-encodings", archive([
            Member(b"n/\x82.npy", GOOD, local={"flags": 0}, central={"flags": 0}),
            Member("n/\u00e9.npy", other)]), "member-duplicate", "n/"),
        case("duplicate-far-apart", archive([good(), good("b/x"), good("c/x"), good()]),
             "member-duplicate", "ball/pos"),
        case("volume-label", pair(good(central={"external": 0x08})), "archive-invalid",
             "ball/pos"),
        case("dos-directory", pair(good(central={"external": 0x10})), "archive-invalid",
             "ball/pos"),
        case("fifo-member", pair(good(central={"external": 0o010644 << 16})), "archive-invalid",
             "ball/pos"),
        case("device-member", pair(good(central={"external": 0o020644 << 16})),
             "archive-invalid", "ball/pos"),
        case("version-beyond-zipfile", pair(good(central={"version": 64})), "member-method",
             "ball/pos", "64"),
    ]


def packed_data():
    return [
        case("deflate-empty", pair(good(method=DEFLATED, packed=b"")), "npy-invalid", "ball/pos"),
        case("deflate-reserved-block", pair(good(method=DEFLATED, packed=b"\x07" + bytes(20))),
             "archive-invalid", "ball/pos"),
        case("deflate-distance-before-the-start",
             pair(good(method=DEFLATED, packed=b"\x63\x00\x83\x01\x00")),
             ("archive-invalid", "npy-invalid"), "ball/pos"),
        case("deflate-zlib-header", pair(good(method=DEFLATED, packed=zlib.compress(GOOD))),
             "archive-invalid", "ball/pos"),
        case("deflate-crc", pair(good(method=DEFLATED, local={"crc": 1}, central={"crc": 1})),
             "member-crc", "ball/pos"),
        case("deflate-without-an-end", pair(good(
            method=DEFLATED, packed=b"\x00" + struct.pack("<HH", N, N ^ MAX16) + GOOD)),
            "archive-invalid", "ball/pos"),
        case("deflated-and-called-stored", pair(good(packed=hostile.deflate(GOOD))),
             "archive-invalid", "ball/pos"),
        case("stored-and-called-deflated", pair(good(packed=GOOD, local={"method": DEFLATED},
                                                     central={"method": DEFLATED})),
             ("archive-invalid", "npy-invalid"), "ball/pos"),
        case("crc-of-the-packed-bytes", pair(good(method=DEFLATED, **{
            where: {"crc": zlib.crc32(hostile.deflate(GOOD))} for where in ("local", "central")})),
            "member-crc", "ball/pos"),
    ]


def every_case():
    return (extra_fields() + zip64() + end_records() + descriptors() + names() + packed_data())
