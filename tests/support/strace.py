"""What strace wrote, to be read a call at a time."""

import re

BEGUN = " <unfinished ...>"


def whole_calls(trace):
    """The lines of a trace with -f, each call on one line, at the place where it returned.

    strace splits a call in two where it saw another thread meanwhile.
    """
    begun = {}
    for line in trace.splitlines():
        thread = line.split(" ", 1)[0]
        resumed = re.match(r"\d+ +<\.\.\. \w+ resumed>(.*)", line)
        if line.endswith(BEGUN):
            begun[thread] = line.removesuffix(BEGUN)
        elif resumed:
            yield begun.pop(thread) + resumed[1]
        else:
            yield line
    yield from begun.values()  # which never returned
