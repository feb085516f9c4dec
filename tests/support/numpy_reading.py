"""What NumPy makes of bytes, and whether a writer would have made them."""

import ast
import io
import re
import tokenize
import warnings

import numpy as np


def numpy_reads(data):
    """{key: array or bytes} of every member, or None where NumPy refuses one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        except Exception:  # noqa: BLE001  # NumPy and zipfile raise whatever comes
            return None


def spelled_as_a_writer_does(text):
    """Whether a header that NumPy reads is one that a writer makes: a plain literal
    (no comment, string prefix, joined strings or signs) and a type as dtype.descr
    spells it ('<f8', where NumPy also reads 'f', '1f8' and '<f08')."""
    value = ast.literal_eval(text.strip())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dtype = np.lib.format.descr_to_dtype(value["descr"])
    tokens = [(t.type, t.string) for t in tokenize.generate_tokens(io.StringIO(text.strip())
                                                                   .readline)]
    strings = [kind == tokenize.STRING for kind, _ in tokens]
    plain = not any(
        kind == tokenize.COMMENT or word in ("+", "-") or
        (kind == tokenize.STRING and word[0] not in "'\"") for kind, word in tokens
    ) and not any(a and b for a, b in zip(strings, strings[1:]))
    numbers = all(re.fullmatch(r"0|[1-9][0-9]*L?", word) for kind, word in tokens
                  if kind == tokenize.NUMBER)
    # Time counted in steps of nothing is a type to NumPy, but no arithmetic works on it.
    timeless = re.search(r"[mM]8\[0", text) is not None
    once = sum(word.strip("'\"") in value for kind, word in tokens if kind == tokenize.STRING) == 3
    return (plain and numbers and once and not timeless and
            np.lib.format.dtype_to_descr(dtype) == value["descr"])


def header_text(npy):
    """The text of a `.npy`'s header as NumPy decodes it."""
    wide = npy[6] > 1
    size = int.from_bytes(npy[8:12 if wide else 10], "little")
    return npy[12 if wide else 10:][:size].decode("utf-8" if npy[6] > 2 else "latin-1")
