"""mad-verify --trusted-key: without a good signature nothing passes, in either mode."""

import datetime
import json
import os
import shutil

import madtest
from filter_test import END, Filter, manifest_of, member, parts, seal_member
from signing import KeyPair, must

MANIFEST = "sim.npz.manifest.json"
SIGNATURE = MANIFEST + ".sig"


def flipped(data, at=5):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Trust:
    """Keys, and what is wrong with signatures: (name, of a good one, reason)."""

    def make_keys(self):
        self.key, self.other = KeyPair(self.tmp), KeyPair(self.tmp, "other")
        self.trust = ("--trusted-key", self.key.public)

    def defects(self, manifest):
        good = self.key.sign(manifest)
        return [
            ("missing", None, "signature-missing"),
            ("empty", b"", "signature-missing"),
            ("truncated", good[:63], "signature-invalid"),
            ("longer", good + b"\n", "signature-invalid"),
            ("oversized", good * 1500, "signature-invalid"),
            ("damaged", flipped(good), "signature-untrusted"),
            ("foreign", self.other.sign(manifest), "signature-untrusted"),
            ("of another manifest", self.key.sign(manifest + b"\n"), "signature-untrusted"),
        ]


class TrustingFilter(Filter, Trust):
    def setUp(self):
        super().setUp()
        self.make_keys()

    def bundle(self, manifest, signature, order=("manifest", "signature", "data")):
        pieces = {
            "manifest": member(MANIFEST, manifest), "data": parts("sim.npz", self.npz),
            "signature": b"" if signature is None else member(SIGNATURE, signature),
        }
        return (b"".join(pieces[kind] for kind in order) + seal_member(size_bytes=len(self.npz))
                + END)

    def signed(self, manifest, **options):
        return self.bundle(manifest, self.key.sign(manifest), **options)

    def assert_nothing_passed(self, done, reason):
        opened = self.assert_failed(done, 11, reason)
        self.assertEqual(opened.names, [".mad-seal.json"])

    def test_a_good_signature_is_checked_said_and_passed_on(self):
        for chunks in (True, False):
            for order in [("manifest", "signature", "data"), ("data", "manifest", "signature")]:
                for options in ((), ("--stream",)):
                    with self.subTest(chunks=chunks, order=order, options=options):
                        manifest = manifest_of(self.npz, chunks)
                        stream = self.signed(manifest, order=order)
                        done = self.verify(stream, *self.trust, *options, "--report", "report")
                        opened = self.assert_verified(done)
                        self.assertEqual(opened.seal["checked"][:2], ["signature", "schema"])
                        self.assertEqual(opened.names.count(SIGNATURE), 1)
                        self.assertEqual(opened.names[opened.names.index(MANIFEST) + 1], SIGNATURE)
                        report = json.loads((self.tmp / "report").read_text())
                        self.assertEqual(report["signed_by"], str(self.key.public))
                        again = self.assert_verified(self.verify(done.stdout, *self.trust))
                        self.assertIn("signature", again.seal["checked"])

    def test_of_several_keys_any_will_do(self):
        manifest = manifest_of(self.npz)
        keys = self.tmp / "keys"
        keys.mkdir()
        shutil.copy(self.other.public, keys / "a.pem")
        (keys / "README").write_text("not a key")
        for options in [("--trusted-key", self.other.public, *self.trust),
                        ("--trusted-key", keys, *self.trust)]:
            self.assert_verified(self.verify(self.signed(manifest), *options))
        self.assert_nothing_passed(self.verify(self.signed(manifest), "--trusted-key", keys),
                                   "signature-untrusted")
        os.symlink(self.key.public, keys / "b.pem")  # as mounted secrets are
        self.assert_verified(
            self.verify(self.signed(manifest), env={"MAD_VERIFY_TRUSTED_KEY": keys}))

    def test_nothing_passes_without_a_good_signature(self):
        for chunks in (True, False):
            manifest = manifest_of(self.npz, chunks)
            for name, signature, reason in self.defects(manifest):
                for order in [("manifest", "signature", "data"), ("data", "manifest", "signature")]:
                    for options in ((), ("--stream",)):
                        with self.subTest(chunks=chunks, name=name, order=order, options=options):
                            done = self.verify(self.bundle(manifest, signature, order),
                                               *self.trust, *options)
                            self.assert_nothing_passed(done, reason)

    def test_nothing_passes_of_a_manifest_that_was_changed_with_its_npz(self):
        signature = self.key.sign(manifest_of(self.npz))
        forged = manifest_of(flipped(self.npz, 900))
        self.npz = flipped(self.npz, 900)
        self.assert_nothing_passed(self.verify(self.bundle(forged, signature), *self.trust),
                                   "signature-untrusted")

    def test_a_signature_that_is_left_out_is_refused_before_the_data_is_read(self):
        # The second part would be refused for its number; it is never looked at.
        stream = member(MANIFEST, manifest_of(self.npz)) + parts("sim.npz", self.npz)
        stream += parts("sim.npz", self.npz) + END
        self.assert_nothing_passed(self.verify(stream, *self.trust), "signature-missing")

    def test_a_restart_needs_a_signature_again(self):
        manifest = manifest_of(self.npz)
        first = member(MANIFEST, manifest) + member(SIGNATURE, self.key.sign(manifest))
        begun = first + parts("sim.npz", self.npz) + member(".mad-restart", b"")
        self.assert_verified(self.verify(begun + self.signed(manifest), *self.trust))
        done = self.verify(begun + self.bundle(manifest, None), *self.trust)
        self.assertEqual(self.assert_failed(done, 11, "signature-missing").names[-2:],
                         [".mad-restart", ".mad-seal.json"])

    def test_a_right_signature_does_not_excuse_wrong_bytes(self):
        manifest = manifest_of(self.npz)
        self.npz = flipped(self.npz, 200)
        done = self.verify(self.signed(manifest), *self.trust)
        self.assertEqual(self.assert_failed(done, 1, "chunk-mismatch").npz, b"")

    def test_a_pair_tarred_by_hand_has_its_signature_anywhere_behind_the_manifest(self):
        manifest = manifest_of(self.npz)
        whole = member("sim.npz", self.npz)
        pair = member(MANIFEST, manifest), member(SIGNATURE, self.key.sign(manifest))
        for pieces in [(whole, *pair), (pair[0], whole, pair[1]), (*pair, whole)]:
            self.assert_verified(
                self.verify(b"".join(pieces) + END, "--unsealed", *self.trust))
        for pieces in [(whole, pair[0]), (pair[0], whole)]:
            self.assert_nothing_passed(
                self.verify(b"".join(pieces) + END, "--unsealed", *self.trust),
                "signature-missing")

    def test_a_given_manifest_has_its_signature_beside_it(self):
        given = self.tmp / "given.json"
        given.write_bytes(manifest_of(self.npz, extra={"given": True}))
        stream = self.signed(manifest_of(self.npz))
        options = ("--manifest", given, *self.trust)
        self.assert_nothing_passed(self.verify(stream, *options), "signature-missing")
        (self.tmp / "given.json.sig").write_bytes(self.key.sign(given.read_bytes()))
        done = self.verify(stream, *options)
        self.assertEqual(self.assert_verified(done).manifest, given.read_bytes())
        (self.tmp / "given.json.sig").write_bytes(self.other.sign(given.read_bytes()))
        self.assert_nothing_passed(self.verify(stream, *options), "signature-untrusted")

    def test_a_key_that_is_none_is_in_the_seal(self):
        done = self.verify(self.signed(manifest_of(self.npz)), "--trusted-key", self.key.private)
        self.assert_nothing_passed(done, "key-invalid")

    def test_an_earlier_stages_failure_and_nothing_to_resume_are_passed_on(self):
        absent = seal_member("absent", reason="no-url", message="nothing") + END
        self.assertEqual(self.verify(absent, *self.trust).returncode, 0)
        failed = seal_member("failed", code=7, reason="dns", message="no") + END
        self.assertEqual(self.verify(failed, *self.trust).returncode, 7)

    def test_without_a_trusted_key_a_signature_is_passed_on_unlooked_at(self):
        manifest = manifest_of(self.npz)
        opened = self.assert_verified(self.verify(self.bundle(manifest, b"whatever")))
        self.assertIn(SIGNATURE, opened.names)
        self.assertNotIn("signature", opened.seal["checked"])

    def test_an_old_snapshot_is_not_replayed(self):
        made = "2026-03-01T12:00:00.500Z"
        manifest = manifest_of(self.npz, created_at=made, step=42)
        seconds = int(datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc).timestamp())
        stream = self.signed(manifest)
        for fine in [("--not-before", made), ("--not-before", "2026-03-01T13:00:00+01:00"),
                     ("--not-before", seconds), ("--min-step", 42),
                     ("--min-step", 0, "--not-before", 0)]:
            opened = self.assert_verified(self.verify(stream, *self.trust, *fine))
            self.assertIn("freshness", opened.seal["checked"])
        for late in [("--not-before", "2026-03-01T12:00:00.501Z"), ("--not-before", seconds + 1),
                     ("--min-step", 43)]:
            self.assert_nothing_passed(self.verify(stream, *self.trust, *late), "snapshot-too-old")
        for silent in (manifest_of(self.npz), manifest_of(self.npz, created_at="yesterday")):
            for wanted in [("--not-before", 0), ("--min-step", 0)]:
                self.assert_nothing_passed(
                    self.verify(self.signed(silent), *self.trust, *wanted), "snapshot-too-old")

    def test_an_old_snapshot_without_a_trusted_key_is_refused_as_any_wrong_one(self):
        done = self.verify(self.bundle(manifest_of(self.npz, step=41), None), "--min-step", 42)
        self.assertEqual(self.assert_failed(done, 1, "snapshot-too-old").names, [".mad-seal.json"])


class TrustingFiles(madtest.Case, Trust):
    def setUp(self):
        super().setUp()
        self.make_keys()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = madtest.reference_snapshot(self.place / "sim.npz", madtest.small_arrays())
        self.manifest = self.place / MANIFEST
        self.signature = self.place / SIGNATURE
        self.signature.write_bytes(self.key.sign(self.manifest.read_bytes()))

    def verify(self, *options, **kwargs):
        before = madtest.tree(self.place)
        done = madtest.run("mad-verify", *options, self.npz, cwd=self.tmp, **kwargs)
        self.assertEqual(madtest.tree(self.place), before)
        return done

    def test_a_good_signature_is_said_with_its_key(self):
        done = self.verify(*self.trust)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"  signature  ok   by {self.key.public}\n", done.stdout.decode())
        checks = json.loads(self.verify(*self.trust, "--json").stdout)["checks"]
        self.assertEqual(checks[0], {"check": "signature", "result": "ok",
                                     "detail": f"by {self.key.public}"})

    def test_each_defect_is_refused_and_the_other_checks_are_made(self):
        for name, signature, reason in self.defects(self.manifest.read_bytes()):
            with self.subTest(name=name):
                self.signature.unlink(missing_ok=True)
                if signature is not None:
                    self.signature.write_bytes(signature)
                done = self.verify(*self.trust)
                self.assert_refused(done, 11, str(self.signature))
                out = done.stdout.decode()
                self.assertIn("signature  BAD", out)
                self.assertIn("sha256     ok", out)
                self.assertIn(f"NOT VERIFIED: {reason}, exit code 11", out)
                self.assertEqual(self.verify().returncode, 0, "nobody asked")

    def test_that_nobody_asked_for_a_signature_is_said(self):
        self.assertIn("signature  -    no --trusted-key", self.verify().stdout.decode())

    def test_a_signature_without_its_manifest_vouches_for_nothing(self):
        self.manifest.unlink()
        self.assert_refused(self.verify(*self.trust), 5, "there is no manifest")

    def test_what_an_interrupted_writer_left_is_found_with_its_signature(self):
        shutil.copy(self.manifest, f"{self.manifest}.next")
        os.rename(self.signature, f"{self.signature}.next")
        self.manifest.write_text(self.manifest.read_text().replace("a", "b"))
        done = self.verify(*self.trust)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def test_an_old_snapshot_is_refused(self):
        done = self.verify(*self.trust, "--min-step", 1)
        self.assert_refused(done, 11, "step: expected at least 1, found none")
        self.assertIn("freshness  BAD", done.stdout.decode())
        self.assert_refused(self.verify("--not-before", "2026-01-01T00:00:00Z"), 1, "created_at")

    def test_keys_that_are_none_are_a_failure_before_anything_is_looked_at(self):
        empty = self.tmp / "empty"
        empty.mkdir()
        rsa, private = self.tmp / "rsa.pem", self.tmp / "private.pem"
        must("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", private)
        must("pkey", "-in", private, "-pubout", "-out", rsa)
        both = self.tmp / "both.pem"
        both.write_bytes(self.key.public.read_bytes() + self.other.public.read_bytes())
        for path, code, needle in [
                (empty, 11, "found none"), (rsa, 11, "found one for RSA"),
                (both, 11, "found more than one"), (self.key.private, 11, "found a private one"),
                (self.tmp / "none.pem", 9, "No such file"), ("", 9, "No such file")]:
            with self.subTest(path=path):
                done = self.verify(*self.trust, "--trusted-key", path)
                self.assert_refused(done, code, str(path), needle)
                self.assertEqual(done.stdout, b"")

    def test_options_that_contradict_each_other_are_usage_errors(self):
        for options, needle in [
                ((*self.trust, "--skip-integrity-check"), "need the integrity check"),
                (("--min-step", "1", "--skip-integrity-check"), "need the integrity check"),
                ((*self.trust, "--sha256", "0" * 64), "exclude each other"),
                (("--not-before", "yesterday"), "--not-before: expected a time"),
                (("--not-before", "2026-02-30T00:00:00Z"), "--not-before: expected a time"),
                (("--min-step", "many"), "--min-step: expected a whole number")]:
            with self.subTest(options=options):
                self.assert_refused(self.verify(*options), 2, needle)


del Filter

if __name__ == "__main__":
    madtest.main()
