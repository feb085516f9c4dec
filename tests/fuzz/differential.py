#!/usr/bin/python3
"""What becomes of a mutated archive with NumPy, and what with us: differential.py [SECONDS]
[SEED] tries archives until the time is up, and ends with 1 where a difference has no class.

NumPy is in this process, our auditor and reader in one other (npz_server_main.cpp).
What both take must be the same arrays.  What NumPy takes and we refuse must fall into one of
CLASSES; what we take and NumPy refuses has none.
"""

import ast
import collections
import io
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import every_dtype  # noqa: E402
import hostile  # noqa: E402
import madtest  # noqa: E402
import numpy as np  # noqa: E402
from numpy_reading import header_text, numpy_reads, spelled_as_a_writer_does  # noqa: E402

# (reason, what its message says): why NumPy takes what is refused for it.
CLASSES = {
    "NumPy never looks at local headers or data descriptors":
        ("archive-invalid", r"local header|data descriptor|expected a local header|overlap"),
    "NumPy takes no notice of bytes that no member accounts for":
        ("archive-invalid", r"where the bytes before it end|where the last member ends|"
                            r"only \d+ members"),
    "NumPy finds the directory from its end and takes what it can of the end record":
        ("archive-invalid", r"end record|ZIP64 locator|on one disk|expected a ZIP "),
    "NumPy ignores extra fields, all but what it needs of ZIP64":
        ("archive-invalid", r"extra field|ZIP64 field"),
    "NumPy ignores what it does not need of a directory entry":
        ("archive-invalid", r"directory: (disk|expected no flags|attributes|stored|expected entry|"
                            r"entry \d+)|: directory: "),
    "NumPy does not read a member to its end":
        ("archive-invalid", r"deflate stream|unpacks to|more bytes of the archive|deflate"),
    "NumPy does not look whether a member ends with its array":
        ("npy-size", r"bytes of header and"),
    "NumPy decrypts nothing, and takes what only says that it is encrypted":
        ("member-encrypted", r"plain member"),
    "NumPy has keys, not paths, and gives members without .npy as bytes":
        ("member-name", r"NODE/FIELD.npy"),
    "NumPy takes the last of two of a name":
        ("member-duplicate", r"once"),
    "NumPy looks a key up among whole names first":
        ("member-collision", r"NumPy reads in its place"),
    "an archive beyond what we take":
        ("too-large", r"expected at most"),
}


class Server:
    def __init__(self):
        self.process = subprocess.Popen([madtest.tool("mad-npz-server")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, data):
        self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"mad-npz-server ended with {self.process.wait()}")
        return json.loads(line)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


INTERESTING = (0, 1, 2, 7, 8, 9, 20, 45, 63, 64, 0x7F, 0x80, 0xFF, 0x800, 0x808, hostile.MAX16,
               hostile.MAX16 - 1, hostile.MAX32, hostile.MAX32 - 1)
TYPES = (("'<f8'", 8), ("'>i4'", 4), ("'|b1'", 1), ("'|S3'", 3), ("'<U2'", 8), ("'<M8[25s]'", 8),
         ("'<c16'", 16), ("'|V5'", 5), ("[('x', '<f4'), ('y', '|u1', (2, 2))]", 8),
         ("[(('t', 'n'), '<i2'), ('', '|V2'), ('m', [('c', '|b1')])]", 5))
LETTERS = "0123456789()[]{},:'\"<>|=?bBhilqfdgcSUVOmMTFrue -+.\\#_L\n\t\x00\xe9"


class Mutator:
    """Makes an archive from a seed: a sound one, and some changes that know its structure."""

    def __init__(self, seed):
        self.chance = random.Random(seed)

    def make(self):
        chance = self.chance
        members = [self.member(number) for number in range(chance.choice((0, 1, 2, 2, 3)))]
        lies = {}
        for _ in range(chance.choice((0, 1, 1, 1, 1, 2))):
            if members and chance.random() < 0.75:
                self.change_member(chance.choice(members), members)
            else:
                self.change_end(lies)
        if chance.random() < 0.1:
            chance.shuffle(members)
        data = hostile.archive(members, **lies)
        return self.change_bytes(data) if chance.random() < 0.2 else data

    def member(self, number):
        chance = self.chance
        descr, size = chance.choice(TYPES)
        shape = chance.choice(((), (0,), (1,), (2,), (2, 3), (3, 0, 2)))
        text = hostile.header(descr, str(shape), chance.choice(("False", "False", "True")))
        if chance.random() < 0.15:
            text = self.change_text(text)
        count = int(np.prod(shape, dtype=int))
        values = bytes(chance.randrange(2) for _ in range(count * size))
        version = chance.choice((1, 1, 1, 2, 3))
        try:
            npy = hostile.npy(text, values, version=version)
        except UnicodeEncodeError:
            npy = hostile.npy(text.encode("utf-8", "surrogatepass"), values, version=version)
        if chance.random() < 0.02:
            npy = npy[:chance.randrange(len(npy))]
        member = hostile.Member(f"n{number}/\u00e9.npy" if chance.random() < 0.1
                                else f"n{number}/x.npy", npy,
                                chance.choice((hostile.STORED, hostile.DEFLATED)))
        crc, packed = zlib.crc32(npy), len(member.packed)
        if chance.random() < 0.2:
            member.descriptor = chance.choice((
                struct.pack("<IIII", 0x08074B50, crc, packed, len(npy)),
                struct.pack("<III", crc, packed, len(npy)),
                struct.pack("<IIQQ", 0x08074B50, crc, packed, len(npy))))
        elif chance.random() < 0.2:
            member.local = {"size": hostile.MAX32, "compressed": hostile.MAX32,
                            "extra": hostile.zip64_extra(len(npy), packed)}
        return member

    def change_text(self, text):
        chance = self.chance
        letters = list(text)
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(letters))
            change = chance.randrange(3)
            if change == 0:
                del letters[at]
            elif change == 1:
                letters.insert(at, chance.choice(LETTERS))
            else:
                letters[at] = chance.choice(LETTERS)
        return "".join(letters)

    def number(self, near):
        chance = self.chance
        return max(0, chance.choice((near + 1, near - 1, near ^ 1 << chance.randrange(16),
                                     chance.choice(INTERESTING))))

    def change_member(self, member, members):
        chance = self.chance
        places = chance.choice((("local",), ("central",), ("local", "central")))
        change = chance.randrange(10)
        fields = {}
        if change < 4:
            field = chance.choice(("version", "flags", "method", "time", "crc", "compressed",
                                   "size", "made_by", "disk", "internal", "external", "offset"))
            wide = field in ("crc", "compressed", "size", "external", "offset")
            value = self.number(member.fields().get(field, 0))
            fields[field] = value & (hostile.MAX32 if wide else hostile.MAX16)
        elif change == 4:
            fields["name"] = chance.choice((
                b"n0/x.npy", b"n0/x.npy.npy", b"../x.npy", b"n0/x", b"n1\\x.npy", b"n\x82/x.npy",
                b"n0/x.npy\0y", b"/x.npy", b"n0/" + bytes([chance.randrange(256)]) + b".npy",
                chance.choice(members).name))
        elif change == 5:
            fields["extra"] = self.extra(member)
        elif change == 6:
            member.after = bytes(chance.randrange(1, 30))
        elif change == 7 and member.packed:
            at = chance.randrange(len(member.packed))
            member.packed = chance.choice((
                member.packed[:at], member.packed + b"x",
                member.packed[:at] + bytes([chance.randrange(256)]) + member.packed[at + 1:]))
        elif change == 8:
            member.hidden = True
        else:
            member.descriptor = chance.choice((None, b"", struct.pack(
                "<III", zlib.crc32(member.data), len(member.packed), len(member.data) + 1)))
        for place in places:
            setattr(member, place, getattr(member, place) | fields)

    def extra(self, member):
        chance = self.chance
        size, packed = len(member.data), len(member.packed)
        fields = [hostile.zip64_extra(*chance.choice(((size, packed), (size,), (0, 0),
                                                      (size, packed, 0), (size + 1, packed)))),
                  struct.pack("<HHBI", 0x7075, 5 + 8, 1, zlib.crc32(member.name)) + b"n0/y.npy",
                  struct.pack("<HHBI", 0x7075, 5 + len(member.name), 1, zlib.crc32(member.name)) +
                  member.name,
                  struct.pack("<HH", 0x5455, 5) + bytes(5), struct.pack("<HH", 0xCAFE, 9) + b"ab",
                  b"\x01", b""]
        return b"".join(chance.sample(fields, chance.choice((1, 1, 2))))

    def change_end(self, lies):
        chance = self.chance
        change = chance.randrange(5)
        if change == 0:
            field = chance.choice(("disk", "first_disk", "here", "entries", "bytes", "offset",
                                   "comment_bytes"))
            mask = hostile.MAX32 if field in ("bytes", "offset") else hostile.MAX16
            lies.setdefault("end", {})[field] = self.number(chance.randrange(200)) & mask
        elif change == 1:
            lies["comment"] = chance.choice((b"comment", b"PK\5\6", b"x" * 22 + b"PK\5\6" + b"\0" * 18,
                                             b"PK\5\6" + b"\0" * 18))
        else:
            lies[("before", "gap", "after")[change - 2]] = chance.choice((
                b"\0", b"PK\3\4", b"hidden bytes"))

    def change_bytes(self, data):
        chance = self.chance
        data = bytearray(data)
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(data))
            change = chance.randrange(6)
            if change < 4:
                data[at] = chance.choice((0, 0xFF, data[at] ^ 1 << chance.randrange(8),
                                          chance.randrange(256)))
            elif change == 4:
                data[at:at] = bytes(chance.randrange(1, 5))
            else:
                del data[at:at + chance.randrange(1, 5)]
                if not data:
                    break
        return bytes(data)


def difference(data, seen, answer):
    """(class, or None where there is none; what differs), or None where both agree."""
    if seen is None:
        return None if "reason" in answer else (None, "taken, and NumPy refuses it")
    if "reason" in answer:
        return refused_alone(data, seen, answer["reason"], answer["message"]), answer["message"]
    found = {array["key"]: array for array in answer["arrays"]}
    if list(found) != list(seen) and sorted(found) != sorted(seen):
        return None, f"keys: {sorted(found)}, to NumPy {sorted(seen)}"
    for key, array in found.items():
        restored = every_dtype.load_npy(bytes.fromhex(array["npy"]))
        if not every_dtype.same_array(restored, seen[key]):
            return None, f"{key}: another array than NumPy's"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dtype = np.lib.format.descr_to_dtype(ast.literal_eval(array["descr"]))
        if dtype != restored.dtype or tuple(array["shape"]) != restored.shape:
            return None, f"{key}: {array['descr']} {array['shape']} is not what NumPy says"
    return None


def refused_alone(data, seen, reason, message):
    if reason in ("npy-invalid", "npy-object"):
        if any(isinstance(value, bytes) for value in seen.values()):
            return "NumPy gives members without the magic as bytes"
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Names as zipfile cuts them, at a NUL: another member stands for the defective one.
            names = archive.namelist()
            keys = [name.removesuffix(".npy") for name in names]
            if len(set(names)) < len(names):
                return "NumPy takes the last of two of a name"
            if len(set(keys)) < len(keys):
                return "NumPy looks a key up among whole names first"
            texts = [header_text(archive.read(name)) for name in archive.namelist()]
        if all(spelled_as_a_writer_does(text) for text in texts):
            return None
        return "NumPy evaluates Python, where a writer writes plain literals and types"
    for name, (of, pattern) in CLASSES.items():
        if reason == of and re.search(pattern, message):
            return name
    return None


def run(inputs, server=None):
    """Tries each (name, archive); returns the classes' counts and what has no class."""
    own = server is None
    server = server or Server()
    counts, unexplained = collections.Counter(), []
    try:
        for name, data in inputs:
            seen, answer = numpy_reads(data), server.ask(data)
            counts["tried"] += 1
            counts["taken by both"] += seen is not None and "reason" not in answer
            counts["refused by both"] += seen is None and "reason" in answer
            differs = difference(data, seen, answer)
            if differs is None:
                continue
            counts[differs[0]] += 1
            if differs[0] is None:
                unexplained.append((name, differs[1]))
    finally:
        if own:
            server.stop()
    return counts, unexplained


def mutated(first, count):
    for number in range(first, first + count):
        yield f"seed {number}", Mutator(number).make()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    end = time.monotonic() + seconds
    server, total, failed = Server(), collections.Counter(), False
    while time.monotonic() < end:
        counts, unexplained = run(mutated(first, 500), server)
        total += counts
        for name, what in unexplained:
            print(f"{name}: {what}")
            failed = True
        first += 500
    server.stop()
    for name, count in total.most_common():
        print(f"{count:9} {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
