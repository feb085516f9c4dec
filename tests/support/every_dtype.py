"""Arrays of every kind that NumPy saves without pickling, by key (`node/field`)."""

import io
import warnings

import madtest
import numpy as np


def _numbers():
    kinds = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
    arrays = {}
    for kind in kinds:
        for order, name in (("<", "little"), (">", "big")):
            dtype = np.dtype(order + kind)
            values = np.array([0, 1, 0, 1, 1, 0] if kind == "?" else [0, 1, 2, 3, 100, 127])
            arrays[f"{name}/{kind.replace('?', 'bool')}"] = values.astype(dtype).reshape(2, 3)
    for order, name in (("<", "little"), (">", "big")):
        arrays[f"{name}/longdouble"] = np.array([np.pi, -0.0, np.inf]).astype(
            np.dtype(np.longdouble).newbyteorder(order))
        arrays[f"{name}/clongdouble"] = np.array([1 + 2j, complex(np.nan, -0.0)]).astype(
            np.dtype(np.clongdouble).newbyteorder(order))
    arrays["bits/nan_payload"] = np.array([0x7FF0DEADBEEF0001, 0xFFF8000000000001],
                                          dtype="u8").view("f8")
    arrays["bits/minus_zero"] = np.array([-0.0, 0.0, 5e-324])
    arrays["bits/half_nan"] = np.array([0x7E01, 0xFC00, 0x0001], dtype="u2").view("f2")
    arrays["bits/odd_bool"] = np.array([0, 1, 2, 255], dtype="u1").view("?")
    return arrays


def _text():
    nothing = np.zeros(3, dtype=[("s", "S0"), ("u", "U0"), ("v", "V0"), ("n", "i4")])
    return {
        "text/bytes": np.array([b"a", b"", b"nul\0in", b"\xff\xfe"]),
        "text/empty_bytes": np.array([b"", b""]),
        "text/zero_length_bytes": nothing["s"],
        "text/unicode": np.array(["", "ascii", "gr\u00fc\u00df", "\u65e5\u672c\u8a9e", "\U0001f680"]),
        "text/unicode_big": np.array(["\u00e9", "\U0010ffff"]).astype(">U3"),
        "text/zero_length_unicode": nothing["u"],
        "text/scalar": np.array("\u65e5"),
        "void/bytes": np.frombuffer(bytes(range(12)), dtype="V3"),
        "void/zero_length": nothing["v"],
        "void/bfloat16": np.frombuffer(b"\x80\x3f\x00\x40", dtype="V2"),
    }


def _times():
    arrays = {}
    for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s",
                 "7D"):
        arrays[f"time/at_{unit}"] = np.array([0, 1, -1, 2**40], dtype="i8").view(f"M8[{unit}]")
        arrays[f"time/span_{unit}"] = np.array([0, 1, -1, 2**40], dtype="i8").view(f"m8[{unit}]")
    arrays["time/nat"] = np.array(["NaT", "2024-02-29"], dtype="M8[D]")
    arrays["time/generic_at"] = np.array(["NaT"], dtype="M8")
    arrays["time/generic_span"] = np.array([1, 2], dtype="m8")
    arrays["time/big_at"] = np.array(["1969-07-20T20:17:40"], dtype=">M8[s]")
    arrays["time/big_span"] = np.array([-(2**62)], dtype=">m8[ns]")
    return arrays


def _filled(dtype, shape=4):
    """An array whose every byte is set, padding included."""
    array = np.empty(shape, dtype=dtype)
    count = array.nbytes
    array.reshape(-1).view("u1")[:] = (np.arange(count) * 7 % 251).astype("u1")
    return array


def _structured():
    point = [("x", "<f4"), ("y", ">f4")]
    dtypes = {
        "plain": point,
        "nested": [("id", "<i4"), ("at", point), ("deep", [("a", [("b", [("c", "u1")])])])],
        "subarray": [("m", "<f8", (2, 3)), ("v", ">i2", (3,)), ("one", "u1", (1,))],
        "nested_subarray": [("p", point, (2, 2))],
        "titles": [(("the long title", "t"), "<i4"), (("another", "u"), "<f8")],
        "aligned": np.dtype([("a", "i1"), ("b", "<f8"), ("c", "<i2")], align=True),
        "offsets": np.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [3, 16],
                             "itemsize": 40}),
        "nested_padding": [("q", np.dtype([("a", "u1"), ("b", "<u4")], align=True)), ("z", "u1")],
        "text_and_time": [("s", "S5"), ("u", "<U2"), ("t", "<M8[ms]"), ("d", ">m8"), ("v", "V3")],
        "numbers": [("b", "?"), ("h", "<f2"), ("g", "<f16"), ("c", ">c8"), ("G", "<c32")],
        "zero_length_fields": [("s", "S0"), ("u", "U0"), ("v", "V0"), ("n", "<i4")],
        "no_fields": [],
        "odd_names": [("it's\"q", "<i4"), ("a b", "u1"), ("back\\slash", "u1"), ("{'}", "u1"),
                      ("tab\tnew\nline", "u1")],
        "latin_names": [("gr\u00fc\u00df", "<i4"), ("\u00e9", "u1")],
        "other_names": [("\u65e5\u672c", "<i4"), ("\U0001f680", "u1")],
        "many_fields": [(f"f{i}", "<i2") for i in range(300)],
    }
    arrays = {}
    for name, descr in dtypes.items():
        dtype = np.dtype(descr)
        arrays[f"struct/{name}"] = _filled(dtype) if dtype.itemsize else np.zeros(4, dtype)
    arrays["struct/scalar"] = _filled(np.dtype(point), ())
    arrays["struct/fortran"] = np.asfortranarray(_filled(np.dtype(point), (2, 3)))
    arrays["struct/record"] = _filled(np.dtype(point)).view(np.recarray)
    return arrays


def _shapes():
    cube = np.arange(24, dtype="<i4").reshape(2, 3, 4)
    return {
        "shape/zero_d": np.array(3.5),
        "shape/zero_d_int": np.array(-7, dtype=">i2"),
        "shape/one": np.array([1], dtype="u1"),
        "shape/none": np.zeros(0),
        "shape/none_2d": np.zeros((0, 3), dtype="<f4"),
        "shape/none_inside": np.zeros((3, 0, 2)),
        "shape/none_huge": np.zeros((0, 2**31, 2**20), dtype="u1"),
        "shape/none_fortran": np.zeros((0, 3), order="F"),
        "shape/deep": np.ones((1,) * 32, dtype="i2"),
        "shape/fortran": np.asfortranarray(cube),
        "shape/fortran_2d": np.arange(6, dtype=">f8").reshape(2, 3, order="F"),
        "shape/fortran_row": np.asfortranarray(np.ones((1, 5))),
        "shape/strided": cube[:, ::2, 1:],
        "shape/reversed": np.arange(9)[::-1],
        "shape/swapped": cube.transpose(1, 0, 2),
        "shape/transposed": cube.T,
        "shape/broadcast": np.broadcast_to(np.array([1.0, 2.0]), (3, 2)),
        "shape/matrix": np.ones((2, 2)).view(np.matrix),
        "shape/large": np.arange(300_000, dtype="<f4"),
    }


def every_array():
    arrays = {**_numbers(), **_text(), **_times(), **_structured(), **_shapes()}
    arrays["deep/field/with/slashes"] = np.arange(3)
    arrays["names/gr\u00fc\u00df \u65e5"] = np.arange(2)
    arrays["names/a b,c;d'e\"f"] = np.arange(2)
    arrays["names/x.npy"] = np.arange(2)
    arrays["_meta/step_count"] = np.array(12, dtype="<i8")
    return arrays


def npy_bytes(array, version=None):
    """The `.npy` that NumPy writes; None where that version cannot hold the dtype."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            np.lib.format.write_array(file, array, version=version, allow_pickle=False)
        except UnicodeEncodeError:
            return None
    return file.getvalue()


def every_npy():
    """{key: bytes} of every array in each format version that can hold it."""
    files = {}
    for key, array in every_array().items():
        files[key] = npy_bytes(array)
        node, field = key.split("/", 1)
        if node in ("_meta", "deep", "names"):
            continue
        for version in ((1, 0), (2, 0), (3, 0)):
            data = npy_bytes(array, version)
            if data is not None:
                files[f"{node}_v{version[0]}/{field}"] = data
    return files


def load_npy(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def load_npy_rest(data):
    """The bytes that NumPy leaves after the array, or None where it refuses it."""
    file = io.BytesIO(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            np.lib.format.read_array(file, allow_pickle=False)
        except Exception:  # noqa: BLE001  # NumPy raises whatever comes
            return None
    return file.read()


def saved_dtype(array):
    """The dtype as NumPy itself gives it back: a record array's becomes a plain one."""
    return np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(array.dtype))


def same_array(a, b):
    """The same dtype, shape, order and bytes; but for the padding of structured types,
    which NumPy leaves to chance when it reads an array."""
    def packed(array):
        order = "F" if array.flags.fnc else "C"
        clean = np.zeros(array.shape, array.dtype, order=order)
        clean[...] = array
        return clean

    if a.dtype.names and a.dtype == b.dtype:
        a, b = packed(a), packed(b)
    return madtest.same_array(a, b)
