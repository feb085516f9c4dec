"""The calls of the gs transport against the fake of GCS that rclone holds to account
(tests/interop/fake_gcs_test.py), and with faults in between."""

import gzip
import json
import os
import re
import signal

import contract
import madtest
from fake_gcs import CHUNK, FakeGCS, format_crc32c
from fault_proxy import (FaultProxy, cut, etag, flip, flip_upload, gcs_error, header, lost_answer,
                         meanwhile, reset_upload, stall_upload, status)
from storing import MIB, StoreCase, noise, wait_until


class GsCase(StoreCase, contract.StoreContract):
    KEYS = [*contract.AWKWARD, "^`\\[]", "/slash", "./z", "%41", "trailing/", "a" * 900]
    PAGE = 20
    THREADS = 1
    PUT = "POST"
    DENIED, BUSY = "403 forbidden", "503 backendError"
    FAULTS = (gcs_error(429, "rateLimitExceeded"),)
    LEFT = "could not be aborted"
    auth = False

    def setUp(self):
        self.gcs = self.enterContext(FakeGCS(auth=self.auth, page_size=self.PAGE))
        self.bucket = self.gcs.bucket("bucket")
        self.environment = self.gcs.environment()
        super().setUp()

    def url(self, key="object"):
        return f"gs://{self.bucket}/{key}"

    def nowhere(self):
        return "gs://no-such-bucket/", "no-such-bucket"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        self.environment = self.gcs.environment(endpoint=proxy.endpoint())
        return proxy

    def put(self, body, key="object", **metadata):
        return str(self.gcs.put(self.bucket, key, body, metadata))

    def find(self, key="object"):
        found = self.gcs.find(self.bucket, key)
        return found and (found.body, found.metadata, str(found.generation))

    def delete(self, key="object"):
        self.gcs.delete(self.bucket, key)

    def unfinished(self):
        return self.gcs.sessions

    def assert_nothing_left(self):
        self.assertEqual((self.gcs.keys(self.bucket), self.gcs.sessions), ({}, {}))

    def is_read(self, seen):
        return "alt=media" in seen.query

    def pinned_to(self, seen):
        return re.search(r"generation=(\d+)", seen.query)[1]

    def busy(self, **options):
        return gcs_error(503, "backendError", **options)

    def denied(self):
        return gcs_error(403, "forbidden")

    def other_version(self):
        return header("x-goog-generation", "1")

    def assert_keeps_secrets(self, text):
        for secret in ("upload_id", "ya29.", "Bearer"):
            self.assertNotIn(secret, text)


class Objects(contract.Objects, GsCase):
    def test_a_put_carries_its_crc_and_type_and_any_bytes(self):
        for body in (b"", b"\r\n--mad-1--\r\n", bytes(range(256)) * 3):
            with self.subTest(body=body[:8]):
                proxy = self.through_proxy()
                info = self.result("put", self.url(), stdin=body)
                self.assertEqual((self.gcs.get(self.bucket, "object"), info["size"]),
                                 (body, len(body)))
                self.assertEqual(self.gcs.find(self.bucket, "object").content_type,
                                 "application/octet-stream")
                self.assertEqual(self.figures["requests"], 1)
                self.assertNotIn("expect", proxy.requests()[0].headers)

    def test_metadata_of_any_characters_comes_back(self):
        for value in ('"quoted\\"', "a,b=c", "ü"):
            info = self.result("put", self.url(), "--meta", "k=" + value, stdin=b"x")
            self.assertEqual(info["metadata"], {"k": value})
            self.assertEqual(self.gcs.find(self.bucket, "object").metadata, {"k": value})

    def test_who_may_not_list_still_learns_that_an_object_is_missing(self):
        proxy = self.through_proxy()
        proxy.fail(gcs_error(403, "forbidden"), path="maxResults=1", times=None)
        self.assertIsNone(self.result("stat", self.url("none")))
        self.assertEqual(len(proxy.requests(path="maxResults=1")), 1)

    def test_a_put_that_is_damaged_or_refused_for_a_moment_is_sent_again(self):
        for fault in (flip_upload(at=2000), reset_upload(after=1000), gcs_error(503, "backendError"),
                      gcs_error(429, "rateLimitExceeded", retry_after=0), status(408), lost_answer(),
                      gcs_error(403, "userRateLimitExceeded")):
            proxy = self.through_proxy()
            proxy.fail(fault, method="POST")
            self.result("put", self.url(), stdin=b"x" * 4000)
            self.assertEqual(self.figures["retries"], 1)
            self.assertEqual(self.gcs.get(self.bucket, "object"), b"x" * 4000)

    def test_a_store_that_keeps_something_else_is_found_out(self):
        body = json.dumps({"generation": "1", "size": "3", "crc32c": "AAAAAA=="}).encode()
        for answer, needle in ((body, "the store has AAAAAA=="),
                               (body.replace(b'"3"', b'"4"'), "the store has 4"),
                               (b"{}", "no generation"), (b"\xff{", "no JSON object"),
                               (b"[" * 100_000, "no JSON object")):
            with self.subTest(needle=needle):
                proxy = self.through_proxy()
                proxy.fail(status(200, body=answer))
                self.assert_refused(self.store("put", self.url(), stdin=b"one"), 7, needle)


class Ranges(contract.Ranges, GsCase):
    pass


class Downloads(GsCase):
    def setUp(self):
        super().setUp()
        self.data = noise(3 * MIB + 17)
        self.generation = self.gcs.put(self.bucket, "object", self.data)

    def get(self, *words):
        return self.result("get", self.url(), *words)

    def test_another_version_in_the_middle_is_noticed(self):
        for change in (lambda: self.gcs.put(self.bucket, "object", self.data[::-1]),
                       lambda: self.gcs.delete(self.bucket, "object")):
            proxy = self.through_proxy()
            proxy.fail(cut(after=MIB), path="alt=media")
            proxy.fail(meanwhile(change), path="alt=media")
            self.assertEqual(self.get(), "not complete")

    def test_new_metadata_in_the_middle_does_not_disturb(self):
        """ETag and date change with them; the bytes do not."""
        proxy = self.through_proxy()
        proxy.fail(cut(after=MIB), path="alt=media")
        proxy.fail(etag('"other"'), path="alt=media")
        self.assertEqual(self.get(), "complete")
        self.assertEqual(self.output, self.data)

    def test_flipped_bytes_are_noticed_and_come_again_once(self):
        proxy = self.through_proxy()
        proxy.fail(flip(at=MIB), path="alt=media")
        self.assertEqual(self.get(), "complete")
        self.assertEqual(self.output, self.data)
        proxy.fail(flip(at=MIB), path="alt=media", times=2)
        done = self.store("get", self.url())
        self.assert_refused(done, 7, "CRC-32C", format_crc32c(self.data), self.url())
        self.assertEqual(done.stdout, b"")

    def test_a_hash_beside_others_in_one_header_counts_and_none_is_no_matter(self):
        crc = format_crc32c(self.data)
        for value in (f"md5=AAAA, crc32c={crc}", None, "md5=AAAA"):
            proxy = self.through_proxy()
            proxy.fail(header("x-goog-hash", value), path="alt=media")
            self.assertEqual(self.get(), "complete")
            self.assertEqual(self.figures["requests"], 1)
        proxy.fail(header("x-goog-hash", "crc32c=AAAAAA==,md5=AAAA"), path="alt=media", times=2)
        self.assert_refused(self.store("get", self.url()), 7, "CRC-32C AAAAAA==")

    def test_what_is_stored_compressed_is_never_decompressed(self):
        self.gcs.put(self.bucket, "object", gzip.compress(self.data), encoding="gzip")
        for words in (["get", self.url()], ["ranges", self.url(), MIB, 1]):
            done = self.store(*words)
            self.assert_refused(done, 7, "the bytes as they are", "Content-Encoding 'gzip'")
            self.assertEqual(done.stdout, b"")

    def test_a_redirect_is_not_followed(self):
        proxy = self.through_proxy()
        proxy.fail(status(307, [("Location", self.gcs.endpoint() + "/elsewhere")]), times=None)
        self.assert_refused(self.store("get", self.url()), 7, "answers 307")
        self.assertEqual(self.gcs.seen, [])


class Uploads(contract.Uploads, contract.Aborts, GsCase):
    def setUp(self):
        super().setUp()
        self.data = noise(2 * MIB + 5)

    def test_parts_go_up_in_order_and_the_last_says_that_it_is(self):
        proxy = self.through_proxy()
        info = self.upload("--meta", "sha256=abc")
        self.assert_stored(info)
        self.assertEqual(info["metadata"], {"sha256": "abc"})
        puts = proxy.requests(method="PUT")
        size = len(self.data)
        self.assertEqual([seen.headers["content-range"] for seen in puts],
                         [f"bytes 0-{MIB - 1}/*", f"bytes {MIB}-{2 * MIB - 1}/*",
                          f"bytes {2 * MIB}-{size - 1}/{size}"])
        self.assertEqual([seen.headers.get("x-goog-hash") for seen in puts],
                         [None, None, "crc32c=" + format_crc32c(self.data)])
        self.assertEqual(self.figures["requests"], 4)

    def test_any_length_is_an_object(self):
        for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, MIB, MIB + CHUNK, 2 * MIB):
            with self.subTest(size=size):
                self.data = noise(size)
                self.assert_stored(self.upload())
                self.gcs.delete(self.bucket, "object")

    def test_a_store_that_keeps_less_of_a_chunk_gets_the_rest_again(self):
        proxy = self.through_proxy()
        self.gcs.kept_bytes = CHUNK
        self.assert_stored(self.upload())
        begins = [int(seen.headers["content-range"].split()[1].split("-")[0])
                  for seen in proxy.requests(method="PUT")]
        self.assertEqual(begins, [n * CHUNK for n in range(9)])
        self.assertEqual(self.figures["retries"], 0)

    def test_a_lost_answer_is_made_up_for_by_asking_how_far_it_is(self):
        for skip in (0, 1, 2):
            proxy = self.through_proxy()
            proxy.fail(lost_answer(), method="PUT", skip=skip)
            self.assert_stored(self.upload())
            self.gcs.delete(self.bucket, "object")
            # Done, and told as a failure.
            proxy = self.through_proxy()
            proxy.fail(header("Range", None, code=503), method="PUT", skip=skip)
            self.assert_stored(self.upload())
            self.assertEqual(self.figures["retries"], 1)
            asked = [seen for seen in proxy.requests(method="PUT") if seen.length == 0]
            self.assertEqual([seen.headers["content-range"] for seen in asked],
                             ["bytes */*" if skip < 2 else f"bytes */{len(self.data)}"])
            # No byte went up twice.
            self.assertEqual(sum(seen.length for seen in proxy.requests(method="PUT")),
                             len(self.data))
            self.gcs.delete(self.bucket, "object")

    def test_a_chunk_that_was_cut_goes_on_where_the_store_has_it(self):
        for fault in (reset_upload(after=600_000), stall_upload(after=600_000)):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT", skip=1)
            self.assert_stored(self.upload())
            self.gcs.delete(self.bucket, "object")
        self.assertEqual(self.figures["retries"], 1)
        places = [seen.headers["content-range"] for seen in proxy.requests(method="PUT")]
        self.assertEqual(places[2], "bytes */*")
        begin = MIB + 600_000 // CHUNK * CHUNK
        self.assertIn(places[3], (f"bytes {begin}-{2 * MIB - 1}/*", f"bytes {MIB}-{2 * MIB - 1}/*"))

    def test_a_storm_of_refusals_is_sat_out(self):
        proxy = self.through_proxy()
        for method in ("POST", "PUT"):
            proxy.fail(gcs_error(503, "backendError"), method=method, times=3)
            proxy.fail(gcs_error(429, "rateLimitExceeded", retry_after=0), method=method, skip=1)
        self.assert_stored(self.upload())
        proxy.fail(gcs_error(503, "backendError"), method="PUT", times=None)
        done = self.store("upload", self.url("other"), MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "503 backendError", "5 attempts")
        self.assertEqual(self.gcs.sessions, {})

    def test_a_store_that_takes_nothing_is_given_up(self):
        proxy = self.through_proxy()
        self.gcs.kept_bytes = 0
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "took none of the bytes", "5 attempts")
        self.assertEqual(len(proxy.requests(method="PUT")), 5)
        self.assert_nothing_left()

    def test_a_store_that_lies_about_how_far_it_is_is_refused(self):
        for told in (f"bytes=0-{2 * MIB}", "bytes=0-x", "bytes=5-9", f"bytes=0-{2**64 - 1}"):
            proxy = self.through_proxy()
            proxy.fail(header("Range", told), method="PUT")
            done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
            self.assert_refused(done, 7, "the store says that it has")
            self.assert_nothing_left()

    def test_an_end_whose_session_is_forgotten_is_found_by_the_object(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method="PUT", skip=2)
        proxy.fail(gcs_error(410, "gone"), method="PUT", skip=2)
        self.assert_stored(self.upload("--if-absent", "--meta", "sha256=abc"))
        # Without a lost answer it is what it looks like.
        proxy = self.through_proxy()
        proxy.fail(gcs_error(410, "gone"), method="PUT", skip=2)
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "answers 410 gone")

    def test_flipped_bytes_never_become_an_object(self):
        proxy = self.through_proxy()
        proxy.fail(flip_upload(at=MIB // 2), method="PUT", skip=1)
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "damaged on their way", self.url())
        self.assert_nothing_left()

    def test_a_damaged_object_is_taken_away_where_the_store_let_it_through(self):
        proxy = self.through_proxy()
        proxy.fail(flip_upload(at=MIB // 2), method="PUT", skip=1)
        proxy.fail(without_hash(), method="PUT", skip=1)
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 7, "CRC-32C " + format_crc32c(self.data))
        self.assert_nothing_left()

    def test_conditions_hold_at_the_start_and_at_the_end(self):
        self.gcs.put(self.bucket, "object", b"old")
        self.assertIsNone(self.upload("--if-absent"))
        self.assertEqual(self.figures["requests"], 1)
        version = self.result("stat", self.url())["version"]
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: self.gcs.put(self.bucket, "object", b"theirs")),
                   method="PUT", skip=2)
        self.assertIsNone(self.upload("--if-version", version))
        self.assertEqual(self.gcs.get(self.bucket, "object"), b"theirs")
        self.assertEqual(self.gcs.sessions, {})
        version = self.result("stat", self.url())["version"]
        self.assert_stored(self.upload("--if-version", version))

    def test_late_metadata_is_a_patch_of_the_generation(self):
        proxy = self.through_proxy()
        info = self.upload("--meta", "a=1", "--late-meta", "sha256=abc")
        self.assert_stored(info)
        self.assertEqual(info["metadata"], {"a": "1", "sha256": "abc"})
        self.assertEqual(self.gcs.find(self.bucket, "object").metadata, info["metadata"])
        self.assertIn("generation=" + info["version"], proxy.requests(method="PATCH")[0].query)
        # What is there already needs none.
        self.upload("--meta", "a=1", "--late-meta", "a=1")
        self.assertEqual(len(proxy.requests(method="PATCH")), 1)

    def test_late_metadata_of_an_object_that_was_replaced_or_may_not_be_changed(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: self.gcs.put(self.bucket, "object", b"theirs")),
                   method="PATCH")
        self.assertEqual(self.upload("--late-meta", "sha256=abc")["metadata"], {})
        self.assertEqual(self.gcs.find(self.bucket, "object").metadata, {})
        proxy.fail(gcs_error(403, "forbidden"), method="PATCH")
        done = self.store("upload", self.url(), MIB, 1, "--late-meta", "sha256=abc",
                          stdin=self.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("without its late metadata", done.stderr)
        self.assertEqual(self.gcs.get(self.bucket, "object"), self.data)

    def test_a_failed_upload_leaves_no_session(self):
        proxy = self.through_proxy()
        proxy.fail(gcs_error(403, "forbidden"), method="PUT", skip=1)
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 8, "403 forbidden", self.url())
        self.assert_keeps_secrets(done.stderr)
        self.assert_nothing_left()

    def test_a_signal_in_the_middle_of_a_part_aborts_too(self):
        proxy = self.through_proxy()
        proxy.fail(stall_upload(after=MIB // 2), method="PUT", skip=1, times=None)
        process = self.start("upload", self.url(), MIB, 1, stdin=self.data)
        wait_until(lambda: len(proxy.requests(method="PUT")) == 2)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assert_nothing_left()

    def test_a_session_that_leads_elsewhere_is_refused(self):
        for place in ("gs://bucket/x", "nonsense", "http://169.254.169.254/?upload_id=1",
                      "http://user@metadata.google.internal/?upload_id=1", None):
            proxy = self.through_proxy()
            proxy.fail(header("Location", place), method="POST")
            done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
            self.assert_refused(done, 7, "upload session")
            self.assert_keeps_secrets(done.stderr)


class Tokens(GsCase):
    auth = True

    def setUp(self):
        super().setUp()
        self.environment = self.gcs.service_account(self.tmp)
        self.endpoint = ["--endpoint-url", self.gcs.endpoint()]
        self.gcs.put(self.bucket, "object", b"in reach")

    def test_a_service_account_reads_and_writes(self):
        self.assertEqual(self.result("get", self.url(), *self.endpoint), "complete")
        self.assertEqual(self.output, b"in reach")
        data = noise(MIB + 1)
        self.result("upload", self.url("new"), MIB, 1, *self.endpoint, stdin=data)
        self.assertEqual(self.gcs.get(self.bucket, "new"), data)
        self.assertEqual(self.gcs.grants, 2)
        for seen in self.gcs.seen:
            self.assertEqual("authorization" in seen.headers,
                             "upload_id" not in seen.query and seen.path != "/token")

    def test_a_service_account_changes_the_metadata_of_what_it_wrote(self):
        info = self.result("upload", self.url("new"), MIB, 1, "--late-meta", "sha256=abc",
                           *self.endpoint, stdin=b"new")
        self.assertEqual(info["metadata"], {"sha256": "abc"})
        self.assertEqual(self.gcs.find(self.bucket, "new").metadata, {"sha256": "abc"})

    def test_a_token_that_ended_is_renewed_once(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        proxy.fail(meanwhile(self.gcs.expire_tokens), path="alt=media")
        endpoint = ["--endpoint-url", proxy.endpoint()]
        self.assertEqual(self.result("get", self.url(), *endpoint), "complete")
        self.assertEqual((self.gcs.grants, self.figures["requests"]), (2, 2))
        proxy.fail(meanwhile(self.gcs.expire_tokens), path="alt=media", times=None)
        done = self.store("get", self.url(), *endpoint)
        self.assert_refused(done, 8, "401")
        self.assertEqual(self.gcs.grants, 4)
        self.assert_keeps_secrets(done.stderr)

    def test_an_upload_goes_on_when_the_token_ends(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        proxy.fail(meanwhile(self.gcs.expire_tokens), method="PUT", skip=1)
        data = noise(2 * MIB + 1)
        self.result("upload", self.url(), MIB, 1, "--endpoint-url", proxy.endpoint(), stdin=data)
        self.assertEqual(self.gcs.get(self.bucket, "object"), data)

    def test_denied_is_code_8_and_says_whose_credentials_and_why(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        proxy.fail(gcs_error(403, "forbidden"), path="/b/", times=None)
        for verb in ("stat", "get", "put", "upload", "list", "remove"):
            done = self.store(verb, self.url(), "--endpoint-url", proxy.endpoint(), stdin=b"x")
            self.assert_refused(done, 8, self.url(), "service-account.json")
            self.assert_keeps_secrets(done.stderr)
        self.assertIn("403 forbidden", done.stderr)
        # An emulator is asked without.
        done = self.store("stat", self.url(), **self.gcs.environment())
        self.assert_refused(done, 8, "401 authError")

    def test_a_token_is_not_sent_in_the_clear(self):
        done = self.store("stat", self.url(), "--endpoint-url", "http://store.invalid:1")
        self.assert_refused(done, 8, "expected https")


class Rclone(GsCase):
    def rclone(self, *words):
        done = madtest.run("rclone", "--config", os.devnull, "--retries", 1, *words,
                           env={"HOME": self.tmp, **self.gcs.rclone_environment()})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_what_is_sent_here_is_read_there_and_back(self):
        data = noise(2 * MIB + 5)
        key = "a b+c/ü&=.npz"
        self.result("upload", self.url(key), MIB, 1, stdin=data)
        self.rclone("copyto", f"GS:{self.bucket}/{key}", self.tmp / "there")
        self.assertEqual((self.tmp / "there").read_bytes(), data)
        self.rclone("copyto", self.tmp / "there", f"GS:{self.bucket}/back/{key}")
        self.assertEqual(self.result("ranges", self.url(f"back/{key}"), 300_000, 3), "complete")
        self.assertEqual(self.output, data)
        self.assertEqual(self.result("get", self.url(f"back/{key}")), "complete")
        self.assertEqual(self.output, data)


def without_hash():
    """The upload's last chunk without what the store would hold it against."""
    def fault(exchange):
        exchange.set_header("X-Goog-Hash", None)
        exchange.forward()
    return fault


if __name__ == "__main__":
    madtest.main()
