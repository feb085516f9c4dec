"""Holds the fake of Google Cloud Storage against a client that was written for the real one."""

import gzip
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

from fake_gcs import CHUNK, JWT_BEARER, FakeGCS, crc32c
import madtest
from madtest import run

MIB = 1 << 20


class Rclone(madtest.Case):
    """rclone checks the MD5 and the size of what it sends and gets."""

    def setUp(self):
        super().setUp()
        self.gcs = FakeGCS(page_size=7).start()
        self.addCleanup(self.gcs.stop)
        self.gcs.bucket("bucket")
        self.environment = self.gcs.rclone_environment()

    def rclone(self, *words, code=0):
        done = run("rclone", "--config", os.devnull, "--retries", 1, *words,
                   env={"HOME": self.tmp, **self.environment})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode()

    def file(self, size):
        path = self.tmp / "file"
        path.write_bytes(os.urandom(size))
        return path

    def test_a_small_object_goes_up_and_comes_down(self):
        path = self.file(1000)
        self.rclone("copyto", path, "GS:bucket/a b+c/ü&=.npz")
        self.assertEqual(self.gcs.get("bucket", "a b+c/ü&=.npz"), path.read_bytes())
        self.assertIn("uploadType=multipart", self.gcs.seen[-1].query)
        self.rclone("copyto", "GS:bucket/a b+c/ü&=.npz", self.tmp / "back")
        self.assertEqual((self.tmp / "back").read_bytes(), path.read_bytes())

    def test_a_large_object_goes_up_in_chunks_of_a_resumable_upload(self):
        path = self.file(21 * MIB + 5)
        self.rclone("copyto", path, "GS:bucket/large")
        self.assertEqual(self.gcs.get("bucket", "large"), path.read_bytes())
        chunks = [seen for seen in self.gcs.seen if "upload_id=" in seen.query]
        self.assertGreater(len(chunks), 1)
        self.assertIn(f"/{21 * MIB + 5}", chunks[-1].headers["content-range"])
        self.assertEqual(self.gcs.sessions, {})
        self.rclone("copyto", "GS:bucket/large", self.tmp / "back")
        self.assertEqual((self.tmp / "back").read_bytes(), path.read_bytes())

    def test_a_range_is_read(self):
        self.gcs.put("bucket", "k", bytes(range(100)))
        self.assertEqual(self.rclone("cat", "--offset", 10, "--count", 5, "GS:bucket/k"),
                         "\n\x0b\x0c\r\x0e")
        self.assertEqual(self.rclone("cat", "--tail", 3, "GS:bucket/k"), "abc")

    def test_a_list_comes_in_pages(self):
        for number in range(20):
            self.gcs.put("bucket", f"d/{number:02}", b"x" * number)
        lines = self.rclone("lsl", "GS:bucket").splitlines()
        self.assertEqual(sorted(line.split()[-1] for line in lines),
                         [f"d/{number:02}" for number in range(20)])
        self.assertEqual(sum(int(line.split()[0]) for line in lines), sum(range(20)))
        self.assertIn("d/", self.rclone("lsf", "GS:bucket"))

    def test_an_object_is_deleted(self):
        self.gcs.put("bucket", "k", b"x")
        self.rclone("deletefile", "GS:bucket/k")
        self.assertEqual(self.gcs.keys("bucket"), {})

    def test_its_hashes_are_those_that_rclone_computes(self):
        path = self.file(100_000)
        self.gcs.put("bucket", "file", path.read_bytes())
        local = self.rclone("md5sum", path).split()[0]
        self.assertEqual(self.rclone("md5sum", "GS:bucket/file").split()[0], local)

    def test_a_service_account_gets_a_token_for_its_signature(self):
        self.gcs.auth = True
        self.assertIn("401", run("rclone", "--config", os.devnull, "--retries", 1,
                                 "--low-level-retries", 1, "cat", "GS:bucket/k",
                                 env={"HOME": self.tmp, **self.environment}).stderr)
        key = self.gcs.service_account(self.tmp)["GOOGLE_APPLICATION_CREDENTIALS"]
        self.environment = self.gcs.rclone_environment(service_account=key)
        self.gcs.put("bucket", "k", b"in reach")
        self.assertEqual(self.rclone("cat", "GS:bucket/k"), "in reach")
        self.assertGreater(self.gcs.grants, 0)


class Protocol(madtest.Case):
    """What rclone does not exercise, against Google's reference."""

    def setUp(self):
        super().setUp()
        self.gcs = FakeGCS().start()
        self.addCleanup(self.gcs.stop)
        self.gcs.bucket("b")

    def ask(self, method, path, body=None, **headers):
        """(status, headers, body)"""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(self.gcs.endpoint() + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def test_generation_zero_means_that_there_is_none(self):
        upload = "/upload/storage/v1/b/b/o?uploadType=media&name=k&ifGenerationMatch="
        self.assertEqual(self.ask("POST", upload + "0", b"1")[0], 200)
        self.assertEqual(self.ask("POST", upload + "0", b"2")[0], 412)
        generation = self.gcs.find("b", "k").generation
        self.assertEqual(self.ask("POST", f"{upload}{generation}", b"3")[0], 200)
        self.assertEqual(self.ask("POST", f"{upload}{generation}", b"4")[0], 412)
        self.assertEqual(self.gcs.get("b", "k"), b"3")

    def test_a_generation_that_was_replaced_is_gone(self):
        old = self.gcs.put("b", "k", b"old")
        path = f"/storage/v1/b/b/o/k?alt=media&generation={old}"
        status, headers, body = self.ask("GET", path, Range="bytes=1-1")
        self.assertEqual((status, headers["Content-Range"], body), (206, "bytes 1-1/3", b"l"))
        self.gcs.put("b", "k", b"new")
        self.assertEqual(self.ask("GET", path)[0], 404)

    def test_a_range_beyond_the_end_is_416(self):
        self.gcs.put("b", "k", b"abc")
        status, headers, _ = self.ask("GET", "/storage/v1/b/b/o/k?alt=media", Range="bytes=3-9")
        self.assertEqual((status, headers["Content-Range"]), (416, "bytes */3"))

    def test_a_resumable_upload_says_how_far_it_is(self):
        chunk = os.urandom(256 * 1024)
        status, headers, _ = self.ask(
            "POST", "/upload/storage/v1/b/b/o?uploadType=resumable&name=k&ifGenerationMatch=0",
            b'{"metadata":{"sha256":"1234"}}')
        self.assertEqual(status, 200)
        place = headers["Location"].removeprefix(self.gcs.endpoint())
        status, headers, _ = self.ask("PUT", place, b"", Content_Range="bytes */*")
        self.assertEqual((status, headers["Range"]), (308, None))
        status, headers, _ = self.ask("PUT", place, chunk, Content_Range="bytes 0-262143/*")
        self.assertEqual((status, headers["Range"]), (308, "bytes=0-262143"))
        self.assertEqual(self.ask("PUT", place, b"x", Content_Range="bytes 262144-262144/*")[0],
                         400, "a chunk that is no multiple of 256 KiB")
        self.assertEqual(self.gcs.keys("b"), {}, "nothing is visible before the end")
        status, _, _ = self.ask("PUT", place, b"end", Content_Range="bytes 262144-262146/262147")
        self.assertEqual(status, 200)
        self.assertEqual(self.gcs.get("b", "k"), chunk + b"end")
        self.assertEqual(self.gcs.find("b", "k").metadata, {"sha256": "1234"})

    def test_a_cancelled_upload_leaves_nothing(self):
        _, headers, _ = self.ask("POST", "/upload/storage/v1/b/b/o?uploadType=resumable&name=k",
                                 b"{}")
        place = headers["Location"].removeprefix(self.gcs.endpoint())
        self.assertEqual(self.ask("DELETE", place)[0], 499)
        self.assertEqual((self.gcs.sessions, self.gcs.keys("b")), ({}, {}))
        self.assertEqual(self.ask("PUT", place, b"x")[0], 404)

    def session(self, **more):
        """The place of a new resumable upload of `k`."""
        _, headers, _ = self.ask("POST", "/upload/storage/v1/b/b/o?uploadType=resumable&name=k",
                                 b"{}", **more)
        return headers["Location"].removeprefix(self.gcs.endpoint())

    def test_a_completed_upload_says_so_to_who_asks_again(self):
        place = self.session()
        self.assertEqual(self.ask("PUT", place, b"all", Content_Range="bytes 0-2/3")[0], 200)
        status, _, body = self.ask("PUT", place, b"", Content_Range="bytes */3")
        self.assertEqual((status, json.loads(body)["size"]), (200, "3"))

    def test_a_chunk_may_be_kept_in_part(self):
        self.gcs.kept_bytes = CHUNK
        place = self.session()
        _, headers, _ = self.ask("PUT", place, bytes(2 * CHUNK),
                                 Content_Range=f"bytes 0-{2 * CHUNK - 1}/*")
        self.assertEqual(headers["Range"], f"bytes=0-{CHUNK - 1}")
        # What it has already is passed over.
        status, _, _ = self.ask("PUT", place, bytes(CHUNK) + b"end",
                                Content_Range=f"bytes 0-{CHUNK + 2}/{CHUNK + 3}")
        self.assertEqual(status, 308)
        status, _, _ = self.ask("PUT", place, b"end",
                                Content_Range=f"bytes {CHUNK}-{CHUNK + 2}/{CHUNK + 3}")
        self.assertEqual((status, self.gcs.get("b", "k")), (200, bytes(CHUNK) + b"end"))

    def test_the_hash_with_the_last_chunk_is_checked_before_there_is_an_object(self):
        place = self.session()
        status, _, body = self.ask("PUT", place, b"123456789", Content_Range="bytes 0-8/9",
                                   X_Goog_Hash="crc32c=AAAAAA==")
        self.assertEqual((status, self.gcs.keys("b")), (400, {}))
        self.assertIn(b"doesn't match calculated CRC32C", body)
        self.assertEqual(self.ask("PUT", place, b"", Content_Range="bytes */9",
                                  X_Goog_Hash="crc32c=4waSgw==")[0], 200)

    def test_a_session_needs_no_token(self):
        self.gcs.auth = True
        place = self.session(Authorization="Bearer " + self.gcs.token())
        self.gcs.expire_tokens()
        self.assertEqual(self.ask("PUT", place, b"x", Content_Range="bytes 0-0/1")[0], 200)

    def test_what_is_stored_compressed_is_decompressed_for_who_does_not_take_it(self):
        packed = gzip.compress(b"plain")
        self.gcs.put("b", "k", packed, encoding="gzip")
        path = "/storage/v1/b/b/o/k?alt=media"
        _, headers, body = self.ask("GET", path, Accept_Encoding="identity", Range="bytes=1-2")
        self.assertEqual((headers["Content-Encoding"], body), (None, b"plain"))
        self.assertEqual(headers["x-goog-stored-content-encoding"], "gzip")
        status, headers, body = self.ask("GET", path, Accept_Encoding="gzip", Range="bytes=1-2")
        self.assertEqual((status, headers["Content-Encoding"], body), (206, "gzip", packed[1:3]))

    def test_a_patch_changes_the_metadata_and_not_the_generation(self):
        generation = self.gcs.put("b", "k", b"x", {"a": "1", "b": "2"})
        status, _, body = self.ask("PATCH", f"/storage/v1/b/b/o/k?generation={generation}",
                                   b'{"metadata":{"a":null,"c":"3"}}')
        told = json.loads(body)
        self.assertEqual((status, told["metadata"], told["generation"], told["metageneration"]),
                         (200, {"b": "2", "c": "3"}, str(generation), "2"))

    def test_fields_are_what_is_answered(self):
        self.gcs.put("b", "k", b"x")
        path = "/storage/v1/b/b/o?fields=items(name,size)"
        self.assertEqual(json.loads(self.ask("GET", path)[2]),
                         {"items": [{"name": "k", "size": "1"}]})

    def test_a_wrong_hash_is_refused(self):
        body = (b'--cut\r\nContent-Type: application/json\r\n\r\n{"name":"k","md5Hash":"AAAA"}\r\n'
                b"--cut\r\nContent-Type: text/plain\r\n\r\nhello\r\n--cut--")
        status, _, _ = self.ask("POST", "/upload/storage/v1/b/b/o?uploadType=multipart", body,
                                Content_Type="multipart/related; boundary=cut")
        self.assertEqual((status, self.gcs.keys("b")), (400, {}))

    def test_crc32c_has_the_known_answers(self):
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)  # RFC 3720, B.4
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        body, crc = os.urandom(4096 * 3 + 7), 0xFFFFFFFF
        for byte in body:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        self.assertEqual(crc32c(body), crc ^ 0xFFFFFFFF)

    def test_a_token_lasts_as_long_as_it_says(self):
        self.gcs.put("b", "k", b"x")
        path = "/storage/v1/b/b/o/k?alt=media"
        token = self.gcs.token()
        self.assertEqual(self.ask("GET", path, Authorization=f"Bearer {token}")[0], 200)
        self.gcs.tokens[token] = time.time() - 1
        self.assertEqual(self.ask("GET", path, Authorization=f"Bearer {token}")[0], 401)
        self.assertEqual(self.ask("GET", path, Authorization="Bearer invented")[0], 401)

    def test_metadata_are_not_changed_with_a_token_for_reading_and_writing(self):
        self.gcs.put("b", "k", b"x")
        for scope, status in (("read_write", 403), ("full_control", 200)):
            token = self.gcs.token(scope="https://www.googleapis.com/auth/devstorage." + scope)
            self.assertEqual(self.ask("PATCH", "/storage/v1/b/b/o/k", b'{"metadata": {"a": "1"}}',
                                      Authorization=f"Bearer {token}")[0], status)
        self.assertEqual(self.gcs.find("b", "k").metadata, {"a": "1"})

    def test_an_assertion_of_another_key_is_refused(self):
        self.gcs.service_account(self.tmp)
        form = urllib.parse.urlencode({"grant_type": JWT_BEARER, "assertion": "e30.e30.AAAA"})
        status, _, body = self.ask("POST", "/token", form.encode())
        self.assertEqual((status, self.gcs.grants), (400, 0))
        self.assertIn(b"invalid_grant", body)

    def test_the_metadata_server_wants_its_header(self):
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        self.assertEqual(self.ask("GET", path)[0], 403)
        status, _, body = self.ask("GET", path, Metadata_Flavor="Google")
        self.assertEqual(status, 200)
        self.assertIn(b"access_token", body)


if __name__ == "__main__":
    madtest.main()
