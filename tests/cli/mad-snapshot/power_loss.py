"""A directory as a power loss may leave it, from the calls that a program made.

The model is POSIX's, at its most hostile.  A file's bytes are certain once it was
synced; until then it may be empty, of full length but zero, cut, or whole.  A name
made, moved or removed is certain once the directory was synced; until then any of
the changes may have happened or not, in any order.
"""

import itertools
import re

CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
NAME = r'"((?:\\x[0-9a-f]{2})*)"'


def text(escaped):
    return bytes.fromhex(escaped.replace("\\x", "")).decode()


class File:
    def __init__(self, data=b""):
        self.now = data
        self.synced = data
        self.dirty = False

    def outcomes(self):
        """What the file may hold after a power loss."""
        if not self.dirty:
            return [self.now]
        size = len(self.now)
        cut = self.synced[: size // 2] + self.now[len(self.synced[: size // 2]):size // 2]
        return list(dict.fromkeys([self.now, self.synced, b"", bytes(size), cut]))


class Disk:
    """One directory: its names as they were last synced, and what changed since."""

    def __init__(self, files):
        self.names = {name: File(data) for name, data in files.items()}
        self.synced = dict(self.names)
        self.pending = []
        self.open = {}

    def change(self, *change):
        self.pending.append(change)
        apply(self.names, change)

    def crash_states(self):
        """Every {name: bytes} that a power loss now may leave."""
        for count in range(len(self.pending) + 1):
            for changes in itertools.permutations(self.pending, count):
                names = dict(self.synced)
                for change in changes:
                    apply(names, change)
                for contents in itertools.product(*(f.outcomes() for f in names.values())):
                    yield dict(zip(names, contents))


def apply(names, change):
    kind, name, file, old = change
    if kind == "set":
        names[name] = file
        # A rename takes the old name away, unless something else has it by now.
        if old is not None and names.get(old) is file:
            del names[old]
    elif names.get(name) is file:
        del names[name]


def replay(disk, trace, place):
    """Runs the traced calls of one process on `disk`; yields after each that counts."""
    here = re.escape(str(place))
    disk.open = {}
    for line in trace.splitlines():
        matched = CALL.search(line)
        if not matched or int(matched[3]) < 0:
            continue
        call, arguments, result = matched[1], matched[2], int(matched[3])
        first = arguments.split(",")[0].split("<")[0]
        in_place = re.search(here + r">", arguments) is not None
        if call == "openat" and in_place:
            name = text(re.search(NAME, arguments)[1])
            if "O_CREAT" in arguments:
                disk.change("set", name, File(), None)
            disk.open[result] = disk.names if name == "." else disk.names[name]
        elif call == "openat" and f"= {result}<{place}>" in line:
            disk.open[result] = disk.names
            continue
        elif call in ("renameat", "renameat2") and in_place:
            old, new = (text(name) for name in re.findall(NAME, arguments))
            disk.change("set", new, disk.names[old], old)
        elif call == "unlinkat" and in_place:
            name = text(re.search(NAME, arguments)[1])
            disk.change("unset", name, disk.names[name], None)
        elif first.isdigit() and int(first) in disk.open:
            target = disk.open[int(first)]
            if call == "close":
                del disk.open[int(first)]
                continue
            if call in ("fsync", "fdatasync"):
                if target is disk.names:
                    disk.synced, disk.pending = dict(disk.names), []
                else:
                    target.synced, target.dirty = target.now, False
            elif call == "pwrite64":
                data = bytes.fromhex(re.search(NAME, arguments)[1].replace("\\x", ""))
                offset = int(arguments.rsplit(",", 1)[1])
                target.now = target.now[:offset].ljust(offset, b"\0") + data + target.now[
                    offset + len(data):]
                target.dirty = True
            elif call in ("write", "writev", "pwritev", "ftruncate"):
                raise NotImplementedError(f"teach this model {call}: {line}")
            else:
                continue
        else:
            continue
        yield line
