"""Bundles and manifests with one defect each, through mad-push: the store keeps what it has."""

import hostile_bundles
import madtest
import refusal
from fake_gcs import FakeGCS
from manifests_test import table

OLD = b"the snapshot before"
NAME = "runs/sim.npz"


class Pushed(refusal.Refusals):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = FakeGCS().start()
        cls.addClassCleanup(cls.server.stop)
        cls.bucket = "runs"
        cls.server.bucket(cls.bucket)
        cls.server.bucket("elsewhere")
        cls.server.put(cls.bucket, NAME, OLD)

    def setUp(self):
        super().setUp()
        self.stream = self.tmp / "stream"
        self.url = f"gs://{self.bucket}/{NAME}"
        self.environment = self.server.environment()

    def push(self, snapshot, stdin=None, url=None):
        return refusal.measured("mad-push", "--retries", "0", snapshot, url or self.url,
                                stdin=stdin, cwd=str(self.tmp), env=self.environment)

    def assert_the_store_is_as_before(self):
        self.assertEqual(list(self.server.keys(self.bucket)), [NAME])
        self.assertEqual(self.server.find(self.bucket, NAME).body, OLD)
        self.assertEqual(list(self.server.sessions), [], "an upload was left open")

    def test_no_bundle_with_a_defect_gets_there(self):
        for name, data, code, reason in hostile_bundles.every_case():
            with self.subTest(name):
                self.stream.write_bytes(data)
                self.assert_refusal(self.push("-", self.stream), code, reason)
                self.assert_the_store_is_as_before()

    def test_no_malformed_manifest_gets_there(self):
        npz = self.tmp / "sim.npz"
        npz.write_bytes(hostile_bundles.NPZ)
        manifest = self.tmp / "sim.npz.manifest.json"
        for name, (data, code, reason, needles) in table(npz).items():
            with self.subTest(name):
                manifest.write_bytes(data)
                if reason == "digests-contradict":
                    reason = "chunk-mismatch"  # it ends there, before it knows the whole
                self.assert_refusal(self.push(npz), code, reason, "sim.npz", *needles)
                self.assert_the_store_is_as_before()

    def test_those_without_a_defect_do(self):
        """So that the tests above can fail."""
        elsewhere = "gs://elsewhere/sim.npz"
        self.stream.write_bytes(hostile_bundles.sound())
        done = self.push("-", self.stream, elsewhere)
        self.assertEqual(done.returncode, 0, done.stderr)
        npz = self.tmp / "sim.npz"
        npz.write_bytes(hostile_bundles.NPZ)
        madtest.reference_manifest(npz)
        done = self.push(npz, url=elsewhere)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(self.server.keys("elsewhere")),
                         ["sim.npz", "sim.npz.manifest.json"])


if __name__ == "__main__":
    madtest.main()
