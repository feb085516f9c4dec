"""mad-snapshot --sign-key: a snapshot and who vouches for it, all or nothing."""

import io
import json
import os
import stat
import tarfile

import madtest
from signing import KeyPair, must


class Signing(madtest.Case):
    def setUp(self):
        super().setUp()
        self.key = KeyPair(self.tmp)
        self.state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = self.place / "sim.npz"
        self.manifest = self.place / "sim.npz.manifest.json"
        self.signature = self.place / "sim.npz.manifest.json.sig"

    def take(self, *options, key=None, **kwargs):
        sign = ["--sign-key", key or self.key.private]
        return madtest.run("mad-snapshot", *sign, "-o", self.npz, *options, self.state, **kwargs)

    def test_it_signs_the_manifest_that_it_writes(self):
        done = self.take("--report", self.tmp / "report", "--mode", "640")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))
        self.assertEqual(stat.S_IMODE(self.signature.stat().st_mode), 0o640)
        self.assertIs(json.loads((self.tmp / "report").read_text())["signed"], True)
        again = madtest.run("mad-snapshot", "-o", self.npz, self.state,
                            env={"MAD_SNAPSHOT_SIGN_KEY": self.key.private})
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertTrue(self.key.verifies(self.signature, self.manifest))

    def test_an_unsigned_snapshot_over_a_signed_one_leaves_no_signature(self):
        self.take()
        done = madtest.run("mad-snapshot", "-o", self.npz, self.state)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(madtest.tree(self.place)), [self.npz.name, self.manifest.name])

    def test_each_of_a_sequence_has_its_signature(self):
        for _ in range(2):
            done = madtest.run("mad-snapshot", "--sign-key", self.key.private, "-o",
                               f"{self.place}/", self.state)
            path = done.stdout.decode().strip()
            self.assertTrue(self.key.verifies(path + ".manifest.json.sig", path + ".manifest.json"))
        self.assertEqual(len(list(self.place.iterdir())), 6)

    def test_a_bundle_carries_the_signature_behind_the_manifest(self):
        done = madtest.run("mad-snapshot", "--sign-key", self.key.private, "--name", "sim", "-o",
                           "-", self.state)
        self.assertEqual(done.returncode, 0, done.stderr)
        with tarfile.open(fileobj=io.BytesIO(done.stdout), mode="r:") as tar:
            members = {info.name: tar.extractfile(info).read() for info in tar}
        names = list(members)
        at = names.index("sim.npz.manifest.json")
        self.assertEqual(names[at + 1], "sim.npz.manifest.json.sig")
        self.assertEqual(members["sim.npz.manifest.json.sig"],
                         self.key.sign(members["sim.npz.manifest.json"]))

    def test_a_key_that_is_none_fails_early_and_leaves_the_old_snapshot(self):
        self.take()
        before = madtest.tree(self.place)
        locked = self.tmp / "locked.pem"
        must("pkey", "-in", self.key.private, "-aes256", "-passout", "pass:secret", "-out", locked)
        for path, code, needle in [(locked, 11, "found an encrypted one"),
                                   (self.key.public, 11, "found a public one"),
                                   (self.tmp / "none.pem", 9, "No such file")]:
            with self.subTest(path=path.name):
                # Known before the state is looked at: this one is not even there.
                done = madtest.run("mad-snapshot", "--sign-key", path, "-o", self.npz,
                                   self.tmp / "no-state")
                self.assert_refused(done, code, str(path), needle)
                self.assertEqual(madtest.tree(self.place), before)

    def test_a_bundle_without_its_key_is_sealed_failed(self):
        done = madtest.run("mad-snapshot", "--sign-key", self.key.public, "-o", "-", self.state)
        self.assert_refused(done, 11, "found a public one")
        with tarfile.open(fileobj=io.BytesIO(done.stdout), mode="r:") as tar:
            self.assertEqual(tar.getnames(), [".mad-seal.json"])
            seal = json.load(tar.extractfile(".mad-seal.json"))
        self.assertEqual((seal["stage"], seal["code"], seal["reason"]), ("failed", 11, "key-invalid"))

    def test_the_key_never_shows(self):
        os.chmod(self.key.private, 0o644)
        secret = "".join(self.key.private.read_text().splitlines()[1:-1])
        done = self.take("-v", "--report", self.tmp / "report")
        self.assertIn("warning", done.stderr)
        for text in (done.stdout.decode(), done.stderr, (self.tmp / "report").read_text()):
            self.assertNotIn(secret, text)


if __name__ == "__main__":
    madtest.main()
