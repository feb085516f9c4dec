"""The calls of the s3 transport against Ceph's radosgw, and with faults in between."""

import base64
import hashlib
import unittest

import contract
import madtest
from fault_proxy import (FaultProxy, etag, flip_upload, lost_answer, reset, s3_error, slow_down,
                         together)
from radosgw import RadosGW
from storing import MIB, StoreCase


def setUpModule():
    global S3
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)


class S3Case(StoreCase, contract.StoreContract):
    PART = 5 * MIB
    REMOVAL = 2  # a look, for radosgw's DELETE knows no If-Match
    DENIED, BUSY = "403 AccessDenied", "503 SlowDown"
    FAULTS = (s3_error(400, "RequestTimeout"),)
    PART_FAULTS = (flip_upload(at=MIB),)
    LEFT = "parts may be left in the store"

    def setUp(self):
        self.bucket = S3.bucket()
        self.environment = S3.environment()
        super().setUp()

    def url(self, key="object"):
        return f"s3://{self.bucket}/{key}"

    def nowhere(self):
        return "s3://no-such-bucket/", "no-such-bucket"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(S3.port))
        self.environment = S3.environment(endpoint=proxy.endpoint())
        return proxy

    def put(self, body, key="object", **metadata):
        headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        return S3.put(self.bucket, key, body, headers)

    def find(self, key="object"):
        head = S3.head(self.bucket, key)
        if head is None:
            return None
        metadata = {name.removeprefix("x-amz-meta-"): value for name, value in head.items()
                    if name.startswith("x-amz-meta-")}
        return S3.get(self.bucket, key), metadata, head["etag"]

    def delete(self, key="object"):
        S3.delete(self.bucket, key)

    def unfinished(self):
        return S3.uploads(self.bucket)

    def assert_nothing_left(self):
        self.assertEqual((S3.keys(self.bucket), S3.uploads(self.bucket)), ({}, []))

    def is_read(self, seen):
        # The first byte tells what there is.
        return seen.method == "GET" and seen.headers.get("range") != "bytes=0-0"

    def busy(self, **options):
        return slow_down(**options)

    def denied(self):
        return s3_error(403, "AccessDenied")

    def other_version(self):
        return etag('"other"')


class Objects(contract.Objects, S3Case):
    pass


class Ranges(contract.Ranges, S3Case):
    pass


class Uploads(contract.Uploads, contract.Aborts, S3Case):
    def parts(self):
        return [self.data[at:at + 5 * MIB] for at in range(0, len(self.data), 5 * MIB)]

    def test_parts_go_up_in_parallel_each_with_its_digest_in_the_signature(self):
        proxy = self.through_proxy()
        proxy.fail(together(3), method="PUT", times=3)
        info = self.upload("--meta", "sha256=abc")
        self.assert_stored(info)
        self.assertEqual(info["metadata"], {"sha256": "abc"})
        self.assertTrue(info["version"].endswith('-3"'))
        sent = proxy.requests(method="PUT")
        self.assertEqual({seen.headers["x-amz-content-sha256"] for seen in sent},
                         {hashlib.sha256(part).hexdigest() for part in self.parts()})
        for seen in sent:
            self.assertNotIn("content-md5", seen.headers)
            self.assertNotIn("expect", seen.headers)
            self.assertNotIn("transfer-encoding", seen.headers)

    def test_a_store_that_wants_the_md5_of_a_part_gets_it(self):
        """As one with object locks does; radosgw has none that it asks for it."""
        proxy = self.through_proxy()
        proxy.fail(s3_error(400, "InvalidRequest"), method="PUT", path="partNumber=1&")
        self.assert_stored(self.result("upload", self.url(), self.PART, 1, stdin=self.data))
        sent = [(seen.query.split("partNumber=")[1][0], seen.headers.get("content-md5"))
                for seen in proxy.requests(method="PUT")]
        md5s = [base64.b64encode(hashlib.md5(part).digest()).decode() for part in self.parts()]
        self.assertEqual(sent, [("1", None), *zip("123", md5s, strict=True)])

    def test_a_part_that_is_refused_with_its_md5_too_ends_the_upload(self):
        proxy = self.through_proxy()
        proxy.fail(s3_error(400, "InvalidRequest"), method="PUT", times=None)
        done = self.store("upload", self.url(), 5 * MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "InvalidRequest", self.url())
        self.assertEqual(len(proxy.requests(method="PUT")), 2)
        self.assertEqual(S3.uploads(self.bucket), [])

    def test_a_completion_whose_answer_is_lost_has_happened(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method="POST", path="uploadId=")
        self.assert_stored(self.upload())

    def test_a_completion_that_fails_behind_its_200_is_tried_again(self):
        proxy = self.through_proxy()
        proxy.fail(s3_error(200, "InternalError"), method="POST", path="uploadId=")
        self.assert_stored(self.upload())
        proxy.fail(s3_error(200, "InvalidPart"), method="POST", path="uploadId=")
        done = self.store("upload", self.url("other"), 5 * MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "InvalidPart")
        self.assertEqual(S3.uploads(self.bucket), [])

    def test_a_completion_that_the_condition_forbids_is_told_by_any_status(self):
        self.put(b"old")
        version = self.find()[2]
        for refusal in (s3_error(412, "PreconditionFailed"), s3_error(200, "PreconditionFailed"),
                        s3_error(409, "ConditionalRequestConflict"),
                        s3_error(200, "ConditionalRequestConflict"), s3_error(404, "NoSuchKey")):
            proxy = self.through_proxy()
            proxy.fail(refusal, method="POST", path="uploadId=")
            self.assertIsNone(self.upload("--if-version", version))
            self.assertEqual(self.find()[0], b"old")
            self.assertEqual(self.unfinished(), [])

    def test_a_completion_that_stands_in_its_own_way_has_happened(self):
        for refusal in (s3_error(412, "PreconditionFailed"),
                        s3_error(409, "ConditionalRequestConflict")):
            proxy = self.through_proxy()
            proxy.fail(lost_answer(), method="POST", path="uploadId=")
            proxy.fail(refusal, method="POST", path="uploadId=")
            self.assert_stored(self.upload("--if-absent"))
            self.delete()

    def test_a_completion_that_may_still_happen_is_not_taken_for_refused(self):
        proxy = self.through_proxy()
        proxy.fail(reset(), method="POST", path="uploadId=")
        proxy.fail(s3_error(409, "ConditionalRequestConflict"), method="POST", path="uploadId=")
        self.assert_refused(self.refused_upload(), 7, "another write of it is under way")
        self.assert_nothing_left()


if __name__ == "__main__":
    madtest.main()
