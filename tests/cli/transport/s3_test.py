"""The calls of the s3 transport against Ceph's radosgw, and with faults in between."""

import base64
import hashlib
import json
import signal
import unittest

import madtest
from fault_proxy import (FaultProxy, content_range, cut, etag, flip_upload, lost_answer, meanwhile,
                         no_ranges, other_range, reset, reset_upload, s3_error, slow_down, stall,
                         status, together)
from radosgw import RadosGW
from storing import MIB, StoreCase, noise, wait_until

KEYS = ["a b+c", "d//e", "p%25", "q?x#1", "s&=;:@!$'()*,~", "x/../y", "ü日本", "\"<>|{}"]


def setUpModule():
    global S3
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)


class S3Case(StoreCase):
    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.environment = S3.environment()

    def url(self, key="object"):
        return f"s3://{self.bucket}/{key}"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(S3.port))
        self.environment = S3.environment(endpoint=proxy.endpoint())
        return proxy


class Objects(S3Case):
    def test_stat_tells_size_version_metadata_and_time(self):
        version = S3.put(self.bucket, "object", b"12345", {"x-amz-meta-sha256": "abc"})
        info = self.result("stat", self.url())
        self.assertEqual((info["size"], info["version"], info["metadata"]),
                         (5, version, {"sha256": "abc"}))
        self.assertGreater(info["modified"], 1_600_000_000)
        S3.put(self.bucket, "empty", b"", {"x-amz-meta-sha256": "abc"})
        info = self.result("stat", self.url("empty"))
        self.assertEqual((info["size"], info["metadata"]), (0, {"sha256": "abc"}))
        self.assertIsNone(self.result("stat", self.url("none")))

    def test_put_and_remove_any_key(self):
        for key in KEYS:
            with self.subTest(key=key):
                info = self.result("put", self.url(key), "--meta", "sha256=abc", stdin=b"bytes")
                self.assertEqual(S3.get(self.bucket, key), b"bytes")
                head = S3.head(self.bucket, key)
                self.assertEqual((head["x-amz-meta-sha256"], head["etag"]),
                                 ("abc", info["version"]))
                self.assertEqual(self.result("stat", self.url(key))["version"], info["version"])
                self.result("remove", self.url(key))
                self.assertIsNone(S3.head(self.bucket, key))
        self.result("remove", self.url("none"))

    def test_one_version_is_removed_and_no_other(self):
        self.assert_removed_by_version(self.url(), requests=2)

    def test_list_is_paged_and_decodes_any_key(self):
        for key in KEYS:
            S3.put(self.bucket, key, key.encode())
        self.result("list", self.url(""))
        rows = [line.split("\t") for line in self.output.decode().splitlines()]
        names = {row[0] for row in rows}
        self.assertEqual(names, {self.url(key.split("?")[0] + ("?…" if "?" in key else ""))
                                 for key in KEYS})
        self.assertIn([self.url("ü日本"), str(len("ü日本".encode()))], [row[:2] for row in rows])
        self.result("list", self.url("d/"))
        self.assertEqual(self.output.decode().split("\t")[0], self.url("d//e"))
        self.assertGreater(int(rows[0][3]), 1_600_000_000)

    def test_a_listing_of_more_than_a_page_goes_on_and_ends_where_it_is_enough(self):
        for i in range(1005):
            S3.put(self.bucket, f"k/{i:04}+ü", b"")
        self.assertEqual(self.result("list", self.url("k/"))["pages"], 2)
        lines = self.output.decode().splitlines()
        self.assertEqual([line.split("\t")[0] for line in lines],
                         [self.url(f"k/{i:04}+ü") for i in range(1005)])
        self.assertEqual(self.result("list", self.url("k/"), "--limit", 1)["pages"], 1)

    def test_what_is_in_no_bucket_is_code_5(self):
        for words in (["stat", "s3://no-such-bucket/k"], ["put", "s3://no-such-bucket/k"],
                      ["upload", "s3://no-such-bucket/k"], ["list", "s3://no-such-bucket/"],
                      ["remove", "s3://no-such-bucket/k"]):
            with self.subTest(words=words):
                done = self.store(*words, stdin=b"x")
                self.assert_refused(done, 5, "no bucket 'no-such-bucket'")

    def test_conditions_on_put(self):
        self.assertIsNotNone(self.result("put", self.url(), "--if-absent", stdin=b"one"))
        self.assertIsNone(self.result("put", self.url(), "--if-absent", stdin=b"two"))
        self.assertEqual(S3.get(self.bucket, "object"), b"one")
        version = self.result("stat", self.url())["version"]
        new = self.result("put", self.url(), "--if-version", version, stdin=b"three")
        self.assertIsNone(self.result("put", self.url(), "--if-version", version, stdin=b"four"))
        self.assertEqual(S3.get(self.bucket, "object"), b"three")
        self.assertEqual(self.result("stat", self.url())["version"], new["version"])
        self.assertIsNone(self.result("put", self.url("none"), "--if-version", version, stdin=b"x"))


class Ranges(S3Case):
    def setUp(self):
        super().setUp()
        self.data = noise(3 * MIB + 17)
        S3.put(self.bucket, "object", self.data)

    def test_parallel_ranges_give_the_object(self):
        proxy = self.through_proxy()
        proxy.fail(together(4), method="GET", when=lambda seen: seen.headers["range"] != "bytes=0-0",
                   times=4)
        self.assertEqual(self.result("ranges", self.url(), 300_000, 4), "complete")
        self.assertEqual(self.output, self.data)
        self.assertEqual(self.figures["requests"], 1 + 11)
        for seen in proxy.requests(method="GET")[1:]:
            self.assertEqual(seen.headers["if-match"], f'"{hashlib.md5(self.data).hexdigest()}"')

    def test_each_range_is_tried_again_from_where_it_was_cut(self):
        proxy = self.through_proxy()
        for fault in (cut(after=100_000), reset(after=200_000), slow_down(), reset(),
                      status(500), s3_error(400, "RequestTimeout")):
            proxy.fail(fault, method="GET", skip=2)
        # No range, nor what is left of one, is too short for a fault to strike.
        self.assertEqual(self.result("ranges", self.url(), 700_000, 3), "complete")
        self.assertEqual(self.output, self.data)
        self.assertLess(self.figures["received"], len(self.data) + 300_000)
        self.assertGreaterEqual(len(proxy.requests(method="GET")), 1 + 4 + 6)

    def test_another_version_is_noticed_in_the_first_range_that_meets_it(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: S3.put(self.bucket, "object", self.data[::-1])), skip=2)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")
        S3.put(self.bucket, "object", self.data)
        proxy.fail(meanwhile(lambda: S3.delete(self.bucket, "object")), skip=2)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_an_answer_of_another_version_is_noticed_whatever_its_status(self):
        proxy = self.through_proxy()
        proxy.fail(etag('"other"'), skip=1)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_a_server_without_ranges_is_told_apart(self):
        proxy = self.through_proxy()
        proxy.fail(no_ranges(), skip=1, times=None)
        self.assertEqual(self.result("ranges", self.url(), MIB, 2), "no ranges")

    def test_a_range_that_was_not_asked_for_is_refused(self):
        size = len(self.data)
        for fault in (content_range(f"bytes 1-{MIB}/{size}"), content_range(None),
                      content_range(f"bytes 0-{MIB - 1}/*"), content_range("bytes 0-9"),
                      content_range(f"bytes 0-{MIB}/{size}"), other_range(5)):
            proxy = self.through_proxy()
            proxy.fail(fault, skip=1)
            done = self.store("ranges", self.url(), MIB, 1)
            self.assert_refused(done, 7, f"asked for the bytes 0-{MIB - 1} of {size}",
                                "found Content-Range")

    def test_a_failure_of_one_ends_all_at_once(self):
        proxy = self.through_proxy()
        proxy.fail(stall(after=10), skip=1, times=3)
        proxy.fail(s3_error(403, "AccessDenied"), skip=1)
        done = self.store("ranges", self.url(), 400_000, 4)
        self.assert_refused(done, 8, "AccessDenied", self.url())

    def test_a_signal_ends_all_at_once(self):
        proxy = self.through_proxy()
        proxy.fail(stall(after=10), skip=1, times=None)
        process = self.start("ranges", self.url(), 400_000, 4, stdin=b"")
        wait_until(lambda: len(proxy.requests()) == 5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(3), -signal.SIGTERM)


class Uploads(S3Case):
    def setUp(self):
        super().setUp()
        self.data = noise(12 * MIB + 5)

    def upload(self, *words, threads=3, **changes):
        return self.result("upload", self.url(), 5 * MIB, threads, *words, stdin=self.data,
                           **changes)

    def assert_stored(self, info):
        self.assertEqual(S3.get(self.bucket, "object"), self.data)
        self.assertEqual(S3.uploads(self.bucket), [])
        head = S3.head(self.bucket, "object")
        self.assertEqual((head["etag"], int(head["content-length"])),
                         (info["version"], info["size"]))

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
        self.assert_stored(self.upload(threads=1))
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

    def test_keys_with_every_awkward_character(self):
        self.data = b"small"
        for key in KEYS:
            with self.subTest(key=key):
                self.result("upload", self.url(key), 5 * MIB, 1, stdin=b"small")
                self.assertEqual(S3.get(self.bucket, key), b"small")

    def test_an_upload_without_bytes_is_an_empty_object(self):
        self.data = b""
        self.assertEqual(self.upload()["size"], 0)
        self.assertEqual(S3.get(self.bucket, "object"), b"")
        self.assertEqual(S3.uploads(self.bucket), [])

    def test_a_failed_part_is_sent_again(self):
        for fault in (reset_upload(after=MIB), slow_down(), lost_answer(), status(500),
                      flip_upload(at=MIB)):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT", skip=1)
            self.assert_stored(self.upload())
            self.assertGreater(len(proxy.requests(method="PUT")), 3)
            S3.delete(self.bucket, "object")

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

    def test_a_failed_upload_leaves_no_parts(self):
        proxy = self.through_proxy()
        proxy.fail(s3_error(403, "AccessDenied"), method="PUT", skip=2, times=None)
        done = self.store("upload", self.url(), 5 * MIB, 1, stdin=self.data)
        self.assert_refused(done, 8, "AccessDenied", self.url())
        self.assertEqual(S3.uploads(self.bucket), [])
        self.assertEqual(S3.keys(self.bucket), {})

    def test_an_abort_that_fails_is_tried_again_and_else_said(self):
        proxy = self.through_proxy()
        proxy.fail(s3_error(403, "AccessDenied"), method="PUT", times=None)
        proxy.fail(reset(), method="DELETE", times=2)
        self.assertEqual(self.store("upload", self.url(), stdin=b"x").returncode, 8)
        self.assertEqual(S3.uploads(self.bucket), [])
        proxy.fail(status(500), method="DELETE", times=None)
        done = self.store("upload", self.url(), stdin=b"x")
        self.assert_refused(done, 8, "parts may be left in the store")

    def test_a_signal_aborts_the_upload(self):
        process = self.start("upload", self.url(), 5 * MIB, 3, "--hold", stdin=self.data)
        self.assertEqual(process.stderr.readline(), b"parts are there\n")
        self.assertEqual(S3.uploads(self.bucket), ["object"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assertEqual(S3.uploads(self.bucket), [])
        self.assertEqual(S3.keys(self.bucket), {})

    def test_a_signal_in_the_middle_of_parts_aborts_too(self):
        proxy = self.through_proxy()
        proxy.fail(stall(), method="PUT", times=None)
        process = self.start("upload", self.url(), 5 * MIB, 3, stdin=self.data)
        wait_until(lambda: len(proxy.requests(method="PUT")) == 3)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        proxy.release()
        self.assertEqual(len(proxy.requests(method="DELETE")), 1)

    def test_if_absent_looks_before_it_completes(self):
        S3.put(self.bucket, "object", b"old")
        self.assertIsNone(self.upload("--if-absent"))
        self.assertEqual(S3.get(self.bucket, "object"), b"old")
        self.assertEqual(S3.uploads(self.bucket), [])
        S3.delete(self.bucket, "object")
        self.assert_stored(self.upload("--if-absent"))

    def test_a_conditional_put_whose_answer_is_lost_was_ours(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method="PUT")
        info = self.result("put", self.url(), "--if-absent", "--meta", "sha256=abc", stdin=b"one")
        self.assertEqual(info["size"], 3)
        proxy.fail(reset(), method="PUT")
        self.assertIsNone(self.result("put", self.url(), "--if-absent", "--meta", "sha256=abd",
                                      stdin=b"two"))
        self.assertEqual(S3.get(self.bucket, "object"), b"one")


if __name__ == "__main__":
    madtest.main()
