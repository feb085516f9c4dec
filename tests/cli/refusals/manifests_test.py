"""Malformed manifests beside a sound npz, through every tool that reads one."""

import hashlib
import json

import madtest
import numpy as np
import refusal

INVALID = "manifest-invalid"


def table(npz):
    """name: (the manifest's bytes, exit code, reason, what the message names)"""
    data = npz.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    size = len(data)
    good = {"schema_version": 1, "sha256": sha256, "size_bytes": size, "extra": {"a": 1}}
    chunks = {"algorithm": "sha256", "chunk_bytes": 4 << 20, "digests": [sha256]}

    def text(**changes):
        value = {**good, **changes}
        return json.dumps({k: v for k, v in value.items() if v is not Ellipsis}).encode()

    def raw(key, literal):
        value = {**good, key: "@@"}
        return json.dumps(value).replace('"@@"', literal).encode()

    def keys(count):
        return ",".join(['"\\n":0'] * count)

    plain = text()
    cases = {
        "empty": (b"", 1, INVALID, []),
        "no-json": (b"sha256: abc\n", 1, INVALID, []),
        "cut": (plain[:-10], 1, INVALID, []),
        "trailing-bytes": (plain + b" x", 1, INVALID, []),
        "trailing-object": (plain + plain, 1, INVALID, []),
        "trailing-nul": (plain + b"\0", 1, INVALID, []),
        "byte-order-mark": (b"\xef\xbb\xbf" + plain, 1, INVALID, []),
        "utf-16": (plain.decode().encode("utf-16"), 1, INVALID, []),
        "invalid-utf8": (raw("extra", '{"a": "\udcff"}'.encode("utf-8", "surrogateescape")
                             .decode("latin-1")).replace(b"\xc3\xbf", b"\xff"), 1, INVALID, []),
        "overlong-utf8": (plain.replace(b'"a"', b'"\xc0\xaf"'), 1, INVALID, []),
        "control-byte-in-string": (plain.replace(b'"a"', b'"a\x01"'), 1, INVALID, []),
        "single-quotes": (plain.replace(b'"', b"'"), 1, INVALID, []),
        "comment": (b"// a comment\n" + plain, 1, INVALID, []),
        "trailing-comma": (plain[:-1] + b",}", 1, INVALID, []),
        "top-level-array": (b"[" + plain + b"]", 1, INVALID, []),
        "top-level-null": (b"null", 1, INVALID, []),
        "top-level-string": (b'"manifest"', 1, INVALID, []),
        "duplicate-sha256": (plain[:-1] + f', "sha256": "{sha256}"}}'.encode(), 1, INVALID,
                             ["sha256"]),
        "duplicate-schema": (plain[:-1] + b', "schema_version": 1}', 1, INVALID,
                             ["schema_version"]),
        "duplicate-unknown": (plain[:-1] + b', "x": 1, "x": 2}', 1, INVALID, ["x"]),
        "duplicate-by-escape": (plain[:-1] + b', "sha25\\u0036": "x"}', 1, INVALID, ["sha256"]),
        "deep": (raw("extra", "[" * 100_000 + "]" * 100_000), 1, INVALID, []),
        "deep-unknown-key": (raw("x", '{"a":' * 100_000 + "1" + "}" * 100_000), 1, INVALID, []),
        "too-large": (text(extra={"a": "x" * (9 << 20)}), 1, "too-large", []),
        "many-keys": (raw("x", "{" + keys(1_100_000) + "}"), 1, "too-large", ["300000"]),
        "many-keys-one-in-another": (raw("x", "{" + keys(200_000) + ', "a": {' + keys(200_000) +
                                         "}}"), 1, "too-large", ["300000"]),
        "schema-missing": (text(schema_version=...), 1, INVALID, ["schema_version"]),
        "schema-null": (raw("schema_version", "null"), 1, INVALID, ["schema_version", "null"]),
        "schema-true": (raw("schema_version", "true"), 1, INVALID, ["schema_version", "true"]),
        "schema-string": (raw("schema_version", '"1"'), 1, INVALID, ["schema_version"]),
        "schema-fraction": (raw("schema_version", "1.5"), 1, INVALID, ["schema_version", "1.5"]),
        "schema-float": (raw("schema_version", "1.0"), 1, INVALID, ["schema_version", "1.0"]),
        "schema-exponent": (raw("schema_version", "1e0"), 1, INVALID, ["schema_version"]),
        "schema-nan": (raw("schema_version", "NaN"), 1, INVALID, []),
        "schema-leading-zero": (raw("schema_version", "01"), 1, INVALID, []),
        "schema-list": (raw("schema_version", "[1]"), 1, INVALID, ["schema_version"]),
        "schema-zero": (raw("schema_version", "0"), 3, "schema-too-old", ["0", "1"]),
        "schema-negative": (raw("schema_version", "-1"), 3, "schema-too-old", ["-1", "1"]),
        "schema-next": (raw("schema_version", "2"), 3, "schema-too-new", ["2", "1"]),
        "schema-wraps": (raw("schema_version", str(2**32 + 1)), 1, INVALID,
                         ["schema_version", str(2**32 + 1)]),
        "schema-comes-first": (text(schema_version=7, sha256="nonsense"), 3, "schema-too-new",
                               ["7"]),
        "sha256-missing": (text(sha256=...), 1, INVALID, ["sha256"]),
        "sha256-null": (text(sha256=None), 1, INVALID, ["sha256", "null"]),
        "sha256-number": (text(sha256=12), 1, INVALID, ["sha256"]),
        "sha256-short": (text(sha256=sha256[:-1]), 1, INVALID, ["sha256", "64"]),
        "sha256-long": (text(sha256=sha256 + "0"), 1, INVALID, ["sha256", "64"]),
        "sha256-capitals": (text(sha256="A" * 64), 1, INVALID, ["sha256"]),
        "sha256-not-hex": (text(sha256="g" * 64), 1, INVALID, ["sha256"]),
        "sha256-blank": (text(sha256=" " + sha256[1:]), 1, INVALID, ["sha256"]),
        "sha256-prefixed": (text(sha256="sha256:" + sha256), 1, INVALID, ["sha256"]),
        "sha256-of-another-file": (text(sha256="0" * 64), 1, "sha256-mismatch",
                                   ["0" * 16, sha256[:16]]),
        "size-too-small": (text(size_bytes=size - 1), 1, "size-mismatch",
                           [str(size), str(size - 1)]),
        "size-too-large": (text(size_bytes=size + 1), 1, "size-mismatch",
                           [str(size), str(size + 1)]),
        "size-zero": (text(size_bytes=0), 1, "size-mismatch", [str(size), "0"]),
        "size-wraps": (text(size_bytes=size + 2**64), 1, None, ["size_bytes"]),
        "size-negative": (text(size_bytes=-5), 1, INVALID, ["size_bytes", "-5"]),
        "size-fraction": (text(size_bytes=size + 0.5), 1, INVALID, ["size_bytes"]),
        "size-string": (text(size_bytes=str(size)), 1, INVALID, ["size_bytes"]),
        "size-true": (text(size_bytes=True), 1, INVALID, ["size_bytes", "true"]),
        "chunks-string": (text(chunks="abc"), 1, INVALID, ["chunks"]),
        "chunks-without-digests": (text(chunks={"algorithm": "sha256", "chunk_bytes": 4 << 20}),
                                   1, INVALID, ["digests"]),
        "chunks-of-nothing": (text(chunks={**chunks, "chunk_bytes": 0}), 1, INVALID,
                              ["chunk_bytes", "0"]),
        "chunks-negative": (text(chunks={**chunks, "chunk_bytes": -4}), 1, INVALID,
                            ["chunk_bytes", "-4"]),
        "chunks-too-many": (text(chunks={**chunks, "digests": [sha256, sha256]}), 1, INVALID,
                            ["chunks"]),
        "chunks-too-few": (text(chunks={**chunks, "digests": []}), 1, INVALID, ["chunks"]),
        "chunks-digest-short": (text(chunks={**chunks, "digests": [sha256[:-2]]}), 1, INVALID,
                                ["digests"]),
        "chunks-digest-number": (text(chunks={**chunks, "digests": [1]}), 1, INVALID,
                                 ["digests"]),
        "chunks-of-another-file": (text(chunks={**chunks, "digests": ["0" * 64]}), 1,
                                   "digests-contradict",
                                   ["0" * 16, sha256[:16]]),
    }
    return cases


class Manifests(refusal.BootRefusals):
    def setUp(self):
        super().setUp()
        arrays = {"ball/pos": np.array([1.0, 2.0])}
        self.npz = madtest.reference_snapshot(self.tmp / "sim.npz", arrays)
        self.manifest = self.tmp / "sim.npz.manifest.json"
        self.cases = table(self.npz)
        self.fresh_arrays = {"ball/pos": np.zeros(2)}

    def each(self, check):
        for name, (data, code, reason, needles) in self.cases.items():
            self.manifest.write_bytes(data)
            with self.subTest(name):
                check(code, reason, needles)

    def test_mad_verify_refuses_each_and_says_why(self):
        before = set(madtest.tree(self.tmp))
        def check(code, reason, needles):
            done = refusal.measured("mad-verify", self.npz)
            self.assert_refusal(done, code, reason, "sim.npz", *needles)
            self.assertEqual(set(madtest.tree(self.tmp)), before)

        self.each(check)

    def test_the_boot_line_starts_the_command_from_its_fresh_state(self):
        self.fresh_machine(self.fresh_arrays)
        def check(code, reason, needles):
            self.assert_boot_goes_on_fresh(self.npz, reason)

        self.each(check)

    def test_mad_fetch_publishes_nothing(self):
        def check(code, reason, needles):
            if reason == "digests-contradict":
                return  # the whole digest, which mad-fetch checks, is right
            done = refusal.measured("mad-fetch", "-o", self.tmp / "out.npz", self.npz)
            self.assert_refusal(done, code, reason, str(self.npz), *needles)
            self.assertNotIn("out.npz", done.stderr)
            self.assertEqual(sorted(madtest.tree(self.tmp)), ["sim.npz", "sim.npz.manifest.json"])

        self.each(check)

    def test_mad_manifest_shows_no_malformed_manifest(self):
        def check(code, reason, needles):
            done = refusal.measured("mad-manifest", "show", self.manifest)
            if reason in ("sha256-mismatch", "size-mismatch", "digests-contradict"):
                self.assertEqual(done.returncode, 0, done.stderr)
            elif done.returncode != 0 or reason != INVALID or "chunks" not in needles:
                self.assert_refusal(done, code, reason, "sim.npz.manifest.json")

        self.each(check)

    def test_a_large_manifest_that_is_sound_costs_no_memory(self):
        manifest = json.loads(self.table_entry_of_a_sound_manifest())
        manifest["extra"] = {"a": ["x" * 1000] * 7000}
        self.manifest.write_text(json.dumps(manifest))
        done = refusal.measured("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_cheap(done)

    def test_as_many_keys_as_are_read_cost_no_memory(self):
        manifest = json.loads(self.table_entry_of_a_sound_manifest())
        others = len(manifest) + 1
        manifest["x"] = {f"\n{i:020}": 0 for i in range(300_000 - others)}
        self.manifest.write_text(json.dumps(manifest, separators=(",", ":")))
        done = refusal.measured("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_cheap(done)

    def table_entry_of_a_sound_manifest(self):
        madtest.reference_manifest(self.npz)
        return self.manifest.read_text()


if __name__ == "__main__":
    madtest.main()
