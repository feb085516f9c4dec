"""Further `.npy` headers with one defect each."""

from hostile import header, npy, npy_case


def every_case():
    texts = {
        # name: (header text, data)
        "shape-trailing-text": (header(shape="(2,) + (3,)"), bytes(16)),
        "shape-list": (header(shape="[2]"), bytes(16)),
        "shape-none": (header(shape="None"), bytes(16)),
        "shape-true": (header(shape="(True,)"), bytes(8)),
        "shape-hex": (header(shape="(0x2,)"), bytes(16)),
        "shape-underscore": (header(shape="(1_0,)"), bytes(80)),
        "shape-leading-zero": (header(shape="(02,)"), bytes(16)),
        "shape-nested": (header(shape="((2,),)"), bytes(16)),
        "shape-expression": (header(shape="(1+1,)"), bytes(16)),
        "shape-no-comma": (header(shape="(2)"), bytes(16)),
        "shape-empty-product": (header(shape=f"(0, {2**63})"), b""),
        "dtype-empty": (header("''"), bytes(16)),
        "dtype-blank": (header("' <f8'"), bytes(16)),
        "dtype-comma": (header("'<f8,<f8'"), bytes(32)),
        "dtype-negative-size": (header("'<f-8'"), bytes(16)),
        "dtype-huge-size": (header("'|S99999999999999999999'"), bytes(16)),
        "dtype-void-of-nothing-huge": (header("'|V2147483648'"), bytes(16)),
        "dtype-datetime-unit": (header("'<M8[parsec]'"), bytes(16)),
        "dtype-datetime-zero": (header("'<M8[0s]'"), bytes(16)),
        "dtype-none": (header("None"), bytes(16)),
        "dtype-tuple": (header("('<f8', (2,))"), bytes(32)),
        "dtype-empty-list-of-a-string": (header("['<f8']"), bytes(16)),
        "dtype-field-of-one": (header("[('a',)]"), bytes(16)),
        "dtype-field-of-four": (header("[('a', '<f8', (1,), 0)]"), bytes(16)),
        "dtype-field-name-number": (header("[(1, '<f8')]"), bytes(16)),
        "dtype-field-shape-negative": (header("[('a', '<f8', (-1,))]"), bytes(16)),
        "dtype-nul": (header("'<f8\\x00'"), bytes(16)),
        "dtype-object-array": (header("[('a', '<f8'), ('b', '|O8')]"), bytes(32)),
        "order-string": (header(fortran="'False'"), bytes(16)),
        "order-none": (header(fortran="None"), bytes(16)),
        "key-twice": ("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, "
                      "'shape': (2,), }\n", bytes(16)),
        "key-bytes": ("{b'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", bytes(16)),
        "key-missing-descr": ("{'fortran_order': False, 'shape': (2,), }\n", bytes(16)),
        "set": ("{'descr', 'fortran_order', 'shape'}\n", bytes(16)),
        "call": ("dict(descr='<f8', fortran_order=False, shape=(2,))\n", bytes(16)),
        "comprehension": ("{k: v for k, v in []}\n", bytes(16)),
        "f-string": ("{f'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", bytes(16)),
        "two-dictionaries": (header() + header(), bytes(16)),
        "nul-inside": (header().replace(",", ",\0", 1), bytes(16)),
        "string-unclosed": ("{'descr': '<f8, 'fortran_order': False, 'shape': (2,), }\n",
                            bytes(16)),
        "brackets-crossed": ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,]), }\n",
                             bytes(16)),
        "only-blanks": (" " * 100 + "\n", bytes(16)),
        "deep-parentheses": (header(shape="(" * 4000 + "2," + ")" * 4000), bytes(16)),
    }
    reasons = {"dtype-object-array": "npy-object"}
    cases = [npy_case("npy-" + name, npy(text, data), reasons.get(name, "npy-invalid"),
                      "ball/pos") for name, (text, data) in texts.items()]
    text = header()
    return cases + [
        npy_case("npy-2.0-length-cut", b"\x93NUMPY\x02\x00\x10\x00", "npy-invalid", "ball/pos"),
        npy_case("npy-3.0-bom", npy("\ufeff" + text, bytes(16), version=3), "npy-invalid",
                 "ball/pos"),
        npy_case("npy-version-255", npy(text, bytes(16), version=255), "npy-invalid", "ball/pos",
                 "255"),
        npy_case("npy-header-length-zero", npy("", bytes(76)), "npy-invalid", "ball/pos"),
        npy_case("npy-one-byte-more", npy(text, bytes(17)), "npy-size", "ball/pos", "16"),
        npy_case("npy-one-byte-less", npy(text, bytes(15)), "npy-size", "ball/pos", "16"),
        npy_case("npy-data-behind-an-empty-array", npy(header(shape="(0,)"), bytes(8)),
                 "npy-size", "ball/pos"),
        npy_case("npy-twice", npy(text, bytes(16)) * 2, "npy-size", "ball/pos"),
    ]
