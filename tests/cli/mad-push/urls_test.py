"""mad-push to URLs that allow little: presigned for one object, write-only, without deletion."""

import json
import pathlib
import unittest

import madtest
from azurite import Azurite
from fault_proxy import FaultProxy, s3_error
from radosgw import RadosGW
from servers import WEBDAV, Nginx

MIB = 1 << 20
QUICK = {"MAD_PUSH_RETRY_DELAY": "0.01", "MAD_FETCH_RETRY_DELAY": "0.01"}


def setUpModule():
    global S3, AZURE
    S3, AZURE = RadosGW().start(), Azurite().start()
    unittest.addModuleCleanup(S3.stop)
    unittest.addModuleCleanup(AZURE.stop)


class UrlCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.environment = {"HOME": self.tmp, **QUICK}

    def snapshot(self, step, elements=60):
        arrays = {"heat/field": madtest.np.random.default_rng(step).random(elements)}
        state = madtest.make_state(self.tmp / f"state-{step}", arrays)
        npz = self.tmp / f"made-{step}" / "sim.npz"
        npz.parent.mkdir(exist_ok=True)
        done = madtest.run("mad-snapshot", "-q", "-o", npz, state)
        self.assertEqual(done.returncode, 0, done.stderr)
        return npz

    def push(self, *words, stdin=b"", **changes):
        report = self.tmp / "report.json"
        report.unlink(missing_ok=True)
        done = madtest.run("mad-push", "--report", report, *words, stdin=stdin,
                           env={**self.environment, **changes})
        self.report = json.loads(report.read_text())
        for secret in ("Signature", "sig=", "hunter2"):
            self.assertNotIn(secret, done.stderr + report.read_text())
        return done

    def pushed(self, *words, **more):
        done = self.push(*words, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def assert_reason(self, done, code, reason, *needles):
        self.assert_refused(done, code, *needles)
        self.assertEqual((self.report["code"], self.report["reason"]), (code, reason))


def manifest_of(npz):
    return pathlib.Path(f"{npz}.manifest.json").read_bytes()


class Presigned(UrlCase):
    """For PUT, of one object each; no other credentials."""

    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.proxy = self.enterContext(FaultProxy(S3.port))
        self.places = {"MAD_PUSH_URL": self.sign("sim.npz"),
                       "MAD_PUSH_MANIFEST_URL": self.sign("sim.npz.manifest.json")}

    def sign(self, key, method="PUT", **more):
        return S3.presigned(self.bucket, key, method, port=self.proxy.port, **more)

    def assert_stored(self, npz):
        self.assertEqual(sorted(S3.keys(self.bucket)), ["sim.npz", "sim.npz.manifest.json"])
        self.assertTrue(S3.get(self.bucket, "sim.npz") == npz.read_bytes(), "other bytes")
        self.assertEqual(S3.get(self.bucket, "sim.npz.manifest.json"), manifest_of(npz))

    def writes(self):
        return [(seen.method, seen.path.rpartition("/")[2]) for seen in self.proxy.requests()
                if seen.method != "GET" and seen.method != "HEAD"]

    def test_two_urls_take_a_pair_npz_first_and_nothing_else_is_written(self):
        for step in (1, 2):
            self.proxy.seen.clear()
            npz = self.snapshot(step)
            done = self.pushed(npz, **self.places)
            self.assert_stored(npz)
            self.assertEqual(self.writes(), [("PUT", "sim.npz"), ("PUT", "sim.npz.manifest.json")])
            self.assertIn("may not be read", done.stderr)
            self.assertTrue(self.report["url"].endswith("/sim.npz?…"), self.report["url"])
        done = madtest.run(
            "mad-fetch", "-o", self.tmp / "back.npz", self.sign("sim.npz", "GET"),
            env={**self.environment,
                 "MAD_FETCH_MANIFEST_URL": self.sign("sim.npz.manifest.json", "GET")})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.tmp / "back.npz").read_bytes() == npz.read_bytes())

    def test_a_stream_goes_there_as_well_in_one_put(self):
        npz = self.snapshot(1, 3 * MIB)
        bundle = madtest.run("mad-fetch", npz).stdout
        self.pushed("--manifest-url", self.places["MAD_PUSH_MANIFEST_URL"], "-",
                    self.places["MAD_PUSH_URL"], stdin=bundle)
        self.assert_stored(npz)

    def test_what_fails_on_the_way_is_put_again(self):
        npz = self.snapshot(1)
        self.proxy.fail(s3_error(503, "SlowDown"), method="PUT", times=2)
        self.pushed(npz, **self.places)
        self.assert_stored(npz)

    def test_one_url_without_the_manifests_is_code_8_and_writes_nothing(self):
        done = self.push(self.snapshot(1), MAD_PUSH_URL=self.places["MAD_PUSH_URL"])
        self.assert_reason(done, 8, "access-denied", "--manifest-url")
        self.assertEqual(S3.keys(self.bucket), {})

    def test_a_manifests_url_that_has_expired_is_code_8_and_what_is_there_is_said(self):
        late = self.sign("sim.npz.manifest.json", seconds=-60)
        done = self.push(self.snapshot(1), **{**self.places, "MAD_PUSH_MANIFEST_URL": late})
        self.assert_reason(done, 8, "access-denied", "the npz is in its place, its manifest is not")
        self.assertEqual(sorted(S3.keys(self.bucket)), ["sim.npz"])

    def test_what_cannot_be_promised_blind_is_refused_before_anything_is_sent(self):
        npz = self.snapshot(1)
        for words in (["--if-absent"], ["--verify"]):
            with self.subTest(words=words):
                self.assert_reason(self.push(*words, npz, **self.places), 8, "access-denied",
                                   "answers 403")
        done = self.push(npz, MAD_RESUME_STATUS="failed", **self.places)
        self.assert_reason(done, 1, "resume-failed", "no other name to write to")
        self.assertEqual(self.writes(), [])
        self.assertEqual(S3.keys(self.bucket), {})

    def test_a_signature_has_no_place_there_and_that_is_said(self):
        npz = self.snapshot(1)
        pathlib.Path(f"{npz}.manifest.json.sig").write_bytes(b"signature")
        done = self.pushed(npz, **self.places)
        self.assertIn("its signature is not pushed", done.stderr)
        self.assert_stored(npz)

    def test_urls_that_are_none_are_usage_errors(self):
        npz = self.snapshot(1)
        for url, manifest, needle in (
                (self.places["MAD_PUSH_URL"], "/tmp/m.json", "expected a URL of a store"),
                (self.places["MAD_PUSH_URL"], "file:///tmp/m.json", "expected a URL of a store"),
                (self.sign("runs/"), self.places["MAD_PUSH_MANIFEST_URL"], "before a query")):
            done = self.push("--manifest-url", manifest, npz, url)
            self.assert_reason(done, 2, "usage", needle)


class Apart(UrlCase):
    def test_a_manifest_elsewhere_gets_its_signature_beside_it_and_no_headers(self):
        for name in ("a", "b"):
            (self.tmp / name).mkdir()
        npz = self.snapshot(1)
        pathlib.Path(f"{npz}.manifest.json.sig").write_bytes(b"signature")
        with Nginx(self.tmp / "na", self.tmp / "a", WEBDAV) as one, \
                Nginx(self.tmp / "nb", self.tmp / "b", WEBDAV) as other:
            self.pushed("-H", "X-Secret: hunter2", "--manifest-url", other.url("/m.json"), npz,
                        one.url("/sim.npz"))
            self.assertEqual(madtest.tree(self.tmp / "a"), {"sim.npz": npz.read_bytes()})
            self.assertEqual(madtest.tree(self.tmp / "b"),
                             {"m.json": manifest_of(npz), "m.json.sig": b"signature"})
            self.assertTrue(all("hunter2" in line for line in one.log()))
            self.assertFalse(any("hunter2" in line for line in other.log()))
            done = madtest.run("mad-fetch", "--manifest-url", other.url("/m.json"), "-o",
                               self.tmp / "back.npz", one.url("/sim.npz"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual((self.tmp / "back.npz.manifest.json.sig").read_bytes(), b"signature")


class WriteOnly(UrlCase):
    """A store that may be written to and shows nothing."""

    def setUp(self):
        super().setUp()
        self.container = AZURE.container()
        self.url = f"az://{self.container}/sim.npz"

    def allow(self, permissions):
        self.environment.update(AZURE.environment(sas=AZURE.sas(self.container, permissions)))

    def assert_found(self, npz):
        done = madtest.run("mad-fetch", "-o", self.tmp / "back.npz", self.url,
                           env={"HOME": self.tmp, **AZURE.environment()})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.tmp / "back.npz").read_bytes() == npz.read_bytes(), "other bytes")

    def test_a_signature_for_writing_alone_pushes_small_and_large_over_what_is_there(self):
        self.allow("cw")
        for step, elements in ((1, 60), (2, 60), (3, 2 * MIB)):
            npz = self.snapshot(step, elements)
            done = self.pushed("--part-size", "4M", npz, self.url)
            self.assertIn("may not be read", done.stderr)
            self.assert_found(npz)
            # Which may not be deleted, and says the same as the manifest.
            self.assertEqual(AZURE.get(self.container, "sim.npz.manifest.json.next"),
                             manifest_of(npz))
        self.allow("racwd")
        self.pushed(self.snapshot(4), self.url)
        self.assertEqual(sorted(AZURE.blobs(self.container)), ["sim.npz", "sim.npz.manifest.json"])

    def test_one_that_allows_no_writing_over_is_code_8_the_second_time(self):
        self.allow("c")
        first = self.snapshot(1)
        self.pushed(first, self.url)
        self.assert_reason(self.push(self.snapshot(2), self.url), 8, "access-denied",
                           "manifest.json.next")
        self.assert_found(first)

    def test_one_for_reading_alone_is_code_8(self):
        self.allow("r")
        self.assert_reason(self.push(self.snapshot(1), self.url), 8, "access-denied")
        self.assertEqual(AZURE.blobs(self.container), {})

    def test_if_absent_holds_by_the_condition_where_the_look_is_not_allowed(self):
        AZURE.put(self.container, "sim.npz", b"theirs")
        self.allow("cw")
        done = self.push("--if-absent", self.snapshot(1), self.url)
        self.assert_reason(done, 1, "already-there", "another writer")
        self.assertEqual(AZURE.get(self.container, "sim.npz"), b"theirs")

    def test_after_a_failed_resume_what_may_be_there_is_spared(self):
        old = self.snapshot(1)
        self.allow("racwd")
        self.pushed(old, self.url)
        self.allow("cw")
        self.pushed(self.snapshot(2), self.url, MAD_RESUME_STATUS="failed")
        self.assert_found(old)
        self.assertIn("-after-failed-", self.report["url"])

    def test_a_bucket_whose_policy_allows_putting_alone_takes_parts_too(self):
        bucket = S3.bucket()
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": ["s3:PutObject",
                                                            "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{bucket}/*"}]}
        S3.request("PUT", f"/{bucket}", {"policy": ""}, body=json.dumps(policy).encode())
        self.environment.update(S3.environment(), AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
        for step, elements in ((1, 60), (2, 2 * MIB)):
            npz = self.snapshot(step, elements)
            self.pushed("--no-sign-request", "--part-size", "5M", npz, f"s3://{bucket}/sim.npz")
            self.assertTrue(S3.request("GET", f"/{bucket}/sim.npz").body == npz.read_bytes())
            self.assertEqual(S3.get(bucket, "sim.npz.manifest.json"), manifest_of(npz))
            self.assertEqual(S3.uploads(bucket), [])


if __name__ == "__main__":
    madtest.main()
