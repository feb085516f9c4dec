"""mad-fetch and the signature of a manifest: from a disk, from radosgw, from a web server."""

import os
import pathlib
import shutil
import unittest

import madtest
from fault_proxy import FaultProxy, meanwhile
from fetching import FetchCase
from radosgw import RadosGW
from servers import FaultyServer, afterwards

SIGNATURE = b"signature of the first\n"
OTHER = b"signature of the second\n"
TRIPLE = ["out.npz", "out.npz.manifest.json", "out.npz.manifest.json.sig"]


def setUpModule():
    global S3
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)


class SignedCase(FetchCase):
    def setUp(self):
        super().setUp()
        self.out = self.tmp / "out"
        self.out.mkdir()

    def assert_signed(self, done, signature=SIGNATURE):
        self.assertEqual(self.assert_fetched(done).signature, signature)

    def assert_published(self, done, signature=SIGNATURE):
        """All three, of one mode; without a signature the pair alone."""
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(self.out)), TRIPLE if signature else TRIPLE[:2])
        if signature:
            self.assertEqual((self.out / TRIPLE[2]).read_bytes(), signature)
        self.assertEqual(len({(self.out / name).stat().st_mode for name in os.listdir(self.out)}), 1)


class FromDisk(SignedCase):
    def setUp(self):
        super().setUp()
        self.beside = pathlib.Path(f"{self.npz}.manifest.json.sig")

    def test_the_signature_beside_the_manifest_comes_along(self):
        self.assert_fetched(self.fetch(self.npz))
        self.beside.write_bytes(SIGNATURE)
        self.assert_signed(self.fetch(self.npz))
        self.assert_published(self.fetch("-o", self.out / "out.npz", f"file://{self.npz}"))
        done = madtest.dash('mad-fetch "$1" | mad-verify | tar t', self.npz)
        self.assertIn(b".manifest.json.sig\n", done.stdout)

    def test_an_older_ones_signature_does_not_stay(self):
        self.beside.write_bytes(SIGNATURE)
        self.assert_published(self.fetch("-o", self.out / "out.npz", self.npz))
        self.beside.unlink()
        self.assert_published(self.fetch("-o", self.out / "out.npz", self.npz), None)

    def test_a_manifest_elsewhere_has_its_signature_there(self):
        elsewhere = self.tmp / "m.json"
        shutil.copy(f"{self.npz}.manifest.json", elsewhere)
        self.beside.write_bytes(OTHER)
        (self.tmp / "m.json.sig").write_bytes(SIGNATURE)
        self.assert_signed(self.fetch("--manifest-url", elsewhere, self.npz))

    def test_of_an_interrupted_writer_it_is_the_one_that_was_to_come(self):
        old = self.tmp / "sim.npz.manifest.json"
        old.rename(self.tmp / "sim.npz.manifest.json.next")
        old.write_bytes(other_manifest(self.manifest))
        self.beside.write_bytes(OTHER)
        (self.tmp / "sim.npz.manifest.json.sig.next").write_bytes(SIGNATURE)
        self.assert_signed(self.fetch(self.npz))

    def test_what_cannot_be_read_is_warned_of_and_taken_for_none(self):
        self.beside.mkdir()
        done = self.fetch(self.npz)
        self.assertIsNone(self.assert_fetched(done).signature)
        self.assertIn("warning: " + str(self.beside), done.stderr)


def other_manifest(manifest):
    """That of another npz, of the same size."""
    digest = manifest.split(b'"sha256": "')[1][:64]
    return manifest.replace(digest, digest[::-1])


class FromS3(SignedCase):
    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.environment = S3.environment()
        self.url = f"s3://{self.bucket}/sim.npz"
        self.put(self.manifest, SIGNATURE)

    def put(self, manifest, signature, suffix=""):
        S3.put(self.bucket, "sim.npz", self.bytes)
        S3.put(self.bucket, f"sim.npz.manifest.json{suffix}", manifest)
        S3.put(self.bucket, f"sim.npz.manifest.json.sig{suffix}", signature)

    def fetch_s3(self, *words):
        return self.fetch(*words, env=self.environment)

    def test_the_signature_beside_the_manifest_comes_along(self):
        self.assert_signed(self.fetch_s3(self.url))
        self.assert_published(self.fetch_s3("-o", self.out / "out.npz", self.url))
        self.assert_signed(self.fetch_s3("--part-size", "64K", self.url))
        S3.delete(self.bucket, "sim.npz.manifest.json.sig")
        done = self.fetch_s3("-o", self.out / "out.npz", self.url)
        self.assert_published(done, None)
        self.assertIsNone(self.assert_fetched(self.fetch_s3(self.url)).signature)

    def test_of_an_interrupted_writer_it_is_the_one_that_was_to_come(self):
        self.put(self.manifest, SIGNATURE, ".next")
        self.put(other_manifest(self.manifest), OTHER)
        self.assert_signed(self.fetch_s3(self.url))

    def test_of_a_writer_that_died_with_its_signature_in_place_it_is_that(self):
        """The same npz under another manifest, whose own place is still to be taken."""
        newer = self.manifest.replace(b"preempted", b"scheduled")
        self.put(newer, SIGNATURE, ".next")
        self.put(self.manifest, SIGNATURE)
        self.manifest = newer
        self.assert_signed(self.fetch_s3(self.url))

    def test_a_pair_that_changes_meanwhile_is_read_again_with_its_signature(self):
        proxy = self.enterContext(FaultProxy(S3.port))
        self.environment = S3.environment(endpoint=proxy.endpoint())
        newer = self.manifest.replace(b"preempted", b"scheduled")
        proxy.fail(meanwhile(lambda: self.put(newer, OTHER)), path=r"sim\.npz$")
        self.manifest = newer
        self.assert_signed(self.fetch_s3(self.url), OTHER)

    def test_presigned_urls_show_none_and_need_none(self):
        done = self.fetch("--manifest-url", S3.presigned(self.bucket, "sim.npz.manifest.json"),
                          S3.presigned(self.bucket, "sim.npz"))
        self.assertIsNone(self.assert_fetched(done).signature)
        self.assertNotIn("Signature", done.stderr)


class FromWeb(SignedCase):
    def test_its_path_is_the_manifests_before_any_query(self):
        with FaultyServer() as server:
            server.put_snapshot("/sim.npz", self.npz, etag='"v1"')
            server.put("/sim.npz.manifest.json.sig", SIGNATURE)
            self.assert_signed(self.fetch(server.url("/sim.npz") + "?token=hunter2"))
            [asked] = server.requests("/sim.npz.manifest.json.sig")
            self.assertEqual(asked.query, "token=hunter2")

    def test_one_that_is_too_long_to_be_one_is_none(self):
        with FaultyServer() as server:
            server.put_snapshot("/sim.npz", self.npz, etag='"v1"')
            server.put("/sim.npz.manifest.json.sig", b"x" * 65537)
            self.assertIsNone(self.assert_fetched(self.fetch(server.url("/sim.npz"))).signature)

    def test_a_manifest_that_changes_after_its_signature_was_read_is_read_again_with_it(self):
        with FaultyServer() as server:
            server.put_snapshot("/sim.npz", self.npz, etag='"v1"')
            server.put("/sim.npz.manifest.json.sig", SIGNATURE)
            newer = self.manifest.replace(b"preempted", b"scheduled")

            def replace():
                server.put("/sim.npz.manifest.json", newer)
                server.put("/sim.npz.manifest.json.sig", OTHER)
            server.fail("/sim.npz.manifest.json.sig", afterwards(replace))
            self.manifest = newer
            self.assert_signed(self.fetch(server.url("/sim.npz")), OTHER)


if __name__ == "__main__":
    madtest.main()
