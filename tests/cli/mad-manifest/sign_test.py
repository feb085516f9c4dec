"""mad-manifest sign: a detached signature that OpenSSL alone can check."""

import os
import shutil
import stat

import madtest
import numpy as np
from signing import KeyPair, must


class Sign(madtest.Case):
    def setUp(self):
        super().setUp()
        self.key = KeyPair(self.tmp)
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = madtest.reference_snapshot(self.place / "sim.npz", madtest.small_arrays())
        self.manifest = self.place / "sim.npz.manifest.json"
        self.signature = self.place / "sim.npz.manifest.json.sig"

    def sign(self, file=None, key=None, **kwargs):
        return madtest.run("mad-manifest", "sign", "--key", key or self.key.private,
                           file or self.npz, **kwargs)

    def test_openssl_alone_checks_what_it_writes(self):
        before = madtest.tree(self.place)
        done = self.sign()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), f"{self.signature}\n")
        self.assertEqual(self.signature.stat().st_size, 64)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))
        self.assertFalse(KeyPair(self.tmp, "other").verifies(self.signature, self.manifest))
        self.assertEqual(self.signature.read_bytes(), self.key.sign(self.manifest.read_bytes()))
        after = madtest.tree(self.place)
        del after[self.signature.name]
        self.assertEqual(after, before)

    def test_the_manifest_itself_may_be_named_and_stand_alone(self):
        self.npz.unlink()
        self.assertEqual(self.sign(self.manifest).returncode, 0)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))
        elsewhere = self.tmp / "kept.json"
        shutil.copy(self.manifest, elsewhere)
        done = self.sign(elsewhere)
        self.assertEqual(done.stdout.decode(), f"{elsewhere}.sig\n", done.stderr)
        self.assertTrue(self.key.verifies(f"{elsewhere}.sig", elsewhere))

    def test_a_signature_that_is_there_is_replaced_and_has_the_manifests_mode(self):
        os.chmod(self.manifest, 0o640)
        self.signature.write_bytes(b"old")
        self.assertEqual(self.sign().returncode, 0)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))
        self.assertEqual(stat.S_IMODE(self.signature.stat().st_mode), 0o640)

    def test_what_an_interrupted_writer_left_is_recovered_first(self):
        new = madtest.reference_snapshot(self.tmp / "new.npz", {"a/b": np.arange(3)})
        shutil.copy(new, self.npz)
        shutil.copy(f"{new}.manifest.json", f"{self.manifest}.next")
        self.assertEqual(self.sign().returncode, 0)
        self.assertEqual(sorted(madtest.tree(self.place)),
                         [self.npz.name, self.manifest.name, self.signature.name])
        self.assertEqual(self.manifest.read_bytes(), (self.tmp / "new.npz.manifest.json").read_bytes())
        self.assertTrue(self.key.verifies(self.signature, self.manifest))

    def test_another_manifest_takes_the_signature_of_the_one_before_away(self):
        self.sign()
        done = madtest.run("mad-manifest", "write", "--force", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("sim.npz.manifest.json.sig: was of the manifest before", done.stderr)
        self.assertEqual(sorted(madtest.tree(self.place)), [self.npz.name, self.manifest.name])

    def test_what_is_no_manifest_is_not_signed(self):
        self.manifest.write_text('{"schema_version": 1}')
        self.assert_refused(self.sign(), 1, "sha256: expected")
        self.manifest.unlink()
        self.assert_refused(self.sign(), 5, "sim.npz.manifest.json")
        self.assertFalse(self.signature.exists())

    def test_a_key_that_is_none_is_said_by_name_and_nothing_is_written(self):
        rsa = self.tmp / "rsa.pem"
        must("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024", "-out", rsa)
        locked = self.tmp / "locked.pem"
        must("pkey", "-in", self.key.private, "-aes256", "-passout", "pass:secret", "-out", locked)
        noise = self.tmp / "noise.pem"
        noise.write_bytes(bytes(range(256)))
        huge = self.tmp / "huge.pem"
        huge.write_bytes(self.key.private.read_bytes() + b"#" * 20000)
        cases = [
            (rsa, 11, "found one for RSA"), (locked, 11, "found an encrypted one"),
            (self.key.public, 11, "found a public one"), (noise, 11, "found no PEM"),
            (huge, 11, "at most 16384 bytes"), (self.tmp / "none.pem", 9, "No such file"),
            (self.tmp, 9, "Is a directory"),
        ]
        for path, code, needle in cases:
            with self.subTest(path=path.name):
                self.assert_refused(self.sign(key=path), code, str(path), needle)
                self.assertFalse(self.signature.exists())

    def test_a_key_that_others_can_read_is_warned_of(self):
        self.assertNotIn("warning", self.sign().stderr)
        os.chmod(self.key.private, 0o644)
        done = self.sign()
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"warning: {self.key.private}: others than its owner can get at", done.stderr)

    def test_the_key_may_come_through_a_pipe_and_a_variable(self):
        done = madtest.run("bash", "-c", 'mad-manifest sign --key <(cat "$1") "$2"', "bash",
                           self.key.private, self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.signature.unlink()
        done = madtest.run("mad-manifest", "sign", self.npz,
                           env={"MAD_MANIFEST_KEY": self.key.private})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))


if __name__ == "__main__":
    madtest.main()
