"""Topology files (mad-manifest(1)) with one defect each."""

import json

GOOD = {"ball/pos": {"dtype": "<f8", "shape": [2]}, "ball/vel": {"dtype": "<i4", "shape": [2]}}


def every_case():
    """name: the bytes."""
    plain = json.dumps(GOOD)

    def one(array, key="ball/pos"):
        return json.dumps({key: array})

    cases = {
        "empty": "", "blank": " \n", "cut": plain[:-5], "twice": plain + plain,
        "trailing-nul": plain + "\0", "array": "[]", "null": "null", "number": "5",
        "single-quotes": plain.replace('"', "'"), "trailing-comma": plain[:-1] + ",}",
        "key-twice": plain[:-1] + ', "ball/pos": {"dtype": "<f8", "shape": [2]}}',
        "nan": one({"dtype": "<f8", "shape": [float("nan")]}),
        "no-node": one(GOOD["ball/pos"], "pos"), "empty-node": one(GOOD["ball/pos"], "/pos"),
        "empty-field": one(GOOD["ball/pos"], "ball/"), "empty-key": one(GOOD["ball/pos"], ""),
        "array-no-object": one([]), "array-null": one(None),
        "no-dtype": one({"shape": [2]}), "dtype-number": one({"dtype": 8, "shape": [2]}),
        "dtype-empty-list": one({"dtype": [], "shape": [2]}),
        "no-shape": one({"dtype": "<f8"}), "shape-number": one({"dtype": "<f8", "shape": 2}),
        "shape-negative": one({"dtype": "<f8", "shape": [-2]}),
        "shape-fraction": one({"dtype": "<f8", "shape": [2.5]}),
        "shape-string": one({"dtype": "<f8", "shape": ["2"]}),
        "shape-beyond-64-bits": one({"dtype": "<f8", "shape": [2**64]}),
        "deep": '{"ball/pos": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        "a-manifest": json.dumps({"schema_version": 1, "sha256": "0" * 64, "extra": {}}),
    }
    return {name: text.encode() for name, text in cases.items()} | {
        "invalid-utf8": plain.encode().replace(b"pos", b"p\xffs"),
        "utf-16": plain.encode("utf-16"), "byte-order-mark": b"\xef\xbb\xbf" + plain.encode(),
        "binary": bytes(range(256)) * 8,
    }
