"""What the tests of mad-fetch share: a snapshot, and a look into a bundle."""

import io
import json
import tarfile

import madtest

# Waits short enough for a test; what is waited for is the same.
QUICK = {"MAD_FETCH_RETRY_DELAY": "0.01", "MAD_FETCH_CONNECT_TIMEOUT": "5",
         "MAD_FETCH_STALL_TIMEOUT": "5"}


class Bundle:
    """A bundle's members, read by Python's tarfile; parts before a restart are void."""

    def __init__(self, data):
        self.manifest = self.signature = None
        self.npz = b""
        self.seal = None
        self.restarts = 0
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member).read()
                if member.name == ".mad-seal.json":
                    self.seal = json.loads(content)
                elif member.name == ".mad-restart":
                    self.manifest, self.signature, self.npz = None, None, b""
                    self.restarts += 1
                elif member.name.endswith(".manifest.json.sig"):
                    self.signature = content
                elif member.name.endswith(".manifest.json"):
                    assert self.manifest is None, "two manifests without a restart"
                    self.manifest = content
                else:
                    self.npz += content


class FetchCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        self.bytes = self.npz.read_bytes()
        self.manifest = (self.tmp / "sim.npz.manifest.json").read_bytes()

    def fetch(self, *words, env=None):
        return madtest.run("mad-fetch", *words, env={"HOME": self.tmp, **QUICK, **(env or {})},
                           timeout=300)

    def assert_fetched(self, done):
        """The bundle holds this snapshot, sealed; returns it."""
        self.assertEqual(done.returncode, 0, done.stderr)
        bundle = Bundle(done.stdout)
        self.assertEqual(bundle.seal, {"stage": "fetched", "tool": "mad-fetch",
                                       "size_bytes": len(self.bytes)})
        self.assertEqual(bundle.manifest, self.manifest)
        self.assertEqual(bundle.npz, self.bytes)
        return bundle

    def assert_failed(self, done, code, reason, *needles):
        """Refused with the code, and the stream's seal says the same."""
        self.assert_refused(done, code, *needles)
        seal = Bundle(done.stdout).seal
        self.assertEqual((seal["stage"], seal["tool"], seal["code"], seal["reason"]),
                         ("failed", "mad-fetch", code, reason), done.stderr)
        for needle in needles:
            self.assertIn(needle, seal["message"])
