"""The proxy that the tests of faults put in front of real servers does what its faults say."""

import email.utils
import http.client
import os
import threading
import time
import unittest

from fault_proxy import (
    FaultProxy, content_range, cut, date, etag, expired_token, flip, flip_upload, lost_answer,
    meanwhile, no_ranges, other_range, reset, reset_upload, skewed_clock, slow_down, stall, status,
    stall_upload, together)
import madtest
from madtest import run
from radosgw import RadosGW
from servers import Nginx

SIZE = 1 << 20


def setUpModule():
    global S3
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)


class Signed(madtest.Case):
    """In front of a server that checks signatures."""

    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.proxy = FaultProxy(S3.port)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)

    def rclone(self, *words):
        return run("rclone", "--config", os.devnull, "--retries", 1, "--low-level-retries", 5,
                   *words, env={"HOME": self.tmp,
                                **S3.rclone_environment(endpoint=self.proxy.endpoint())})

    def ask(self, method, key, body=b"", headers=None):
        return ask(self.proxy, method, f"/{self.bucket}/{key}", body,
                   S3.sign_again(method, f"/{self.bucket}/{key}", [
                       ("host", f"127.0.0.1:{self.proxy.port}"),
                       *(headers or {}).items()]))

    def test_a_client_does_not_notice_it(self):
        path = self.tmp / "file"
        path.write_bytes(os.urandom(12 << 20))
        name = f"S3:{self.bucket}/a b+c"
        done = self.rclone("--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi",
                           "--s3-upload-concurrency", 3, "copyto", path, name)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(S3.get(self.bucket, "a b+c"), path.read_bytes())
        done = self.rclone("copyto", name, self.tmp / "back")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "back").read_bytes(), path.read_bytes())
        parts = self.proxy.requests("PUT", "partNumber=")
        self.assertEqual(sum(part.length for part in parts), 12 << 20)

    def test_what_it_remembers_holds_no_secret(self):
        S3.put(self.bucket, "k", b"x")
        self.rclone("cat", f"S3:{self.bucket}/k")
        seen = self.proxy.requests("GET", "/k$")[-1]
        self.assertEqual(seen.credential, S3.credentials.access_key)
        self.assertEqual(seen.headers["authorization"], "…")
        self.assertNotIn("Signature", repr(self.proxy.seen))

    def test_a_real_client_tries_again_after_slow_down(self):
        S3.put(self.bucket, "k", b"patience")
        self.proxy.fail(slow_down(), path="/k$", times=2)
        self.assertEqual(self.rclone("cat", f"S3:{self.bucket}/k").stdout, b"patience")
        self.assertEqual([seen.status for seen in self.proxy.requests(path="/k$")[:2]],
                         [503, 503])

    def test_flipped_bytes_on_the_way_up_are_refused_by_the_server(self):
        self.proxy.fail(flip_upload(at=5), method="PUT")
        answer = self.ask("PUT", "k", b"0123456789", {
            "x-amz-content-sha256":
                "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"})
        self.assertEqual(answer.status, 400)
        self.assertIsNone(S3.head(self.bucket, "k"))

    def test_a_clock_that_is_an_hour_off_is_told_and_then_believed(self):
        S3.put(self.bucket, "k", b"later")
        self.proxy.fail(skewed_clock(3600, S3.sign_again), times=None)

        def get(seconds):
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + seconds))
            return ask(self.proxy, "GET", f"/{self.bucket}/k", headers=[("x-amz-date", stamp)])

        refused = get(0)
        self.assertEqual(refused.status, 403)
        self.assertIn(b"RequestTimeTooSkewed", refused.body)
        there = email.utils.parsedate_to_datetime(refused.headers["date"]).timestamp()
        self.assertAlmostEqual(there - time.time(), 3600, delta=60)
        self.assertEqual(get(3600).body, b"later")

    def test_the_server_acts_though_its_answer_is_lost(self):
        self.proxy.fail(lost_answer(), method="PUT")
        with self.assertRaises(ConnectionResetError):
            self.ask("PUT", "k", b"done")
        self.assertEqual(S3.get(self.bucket, "k"), b"done")

    def test_an_upload_is_broken_in_the_middle(self):
        self.proxy.fail(reset_upload(after=300_000), method="PUT")
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            self.ask("PUT", "k", b"x" * (8 << 20))
        self.assertIsNone(S3.head(self.bucket, "k"))
        self.proxy.fail(stall_upload(after=0), method="PUT")
        threading.Timer(0.1, self.proxy.release).start()
        self.assertEqual(self.ask("PUT", "k", b"y" * 100_000).status, 200)

    def test_credentials_expire_in_its_answer(self):
        self.proxy.fail(expired_token())
        answer = self.ask("GET", "k")
        self.assertEqual((answer.status, b"ExpiredToken" in answer.body), (400, True))


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()


def ask(proxy, method, path, body=b"", headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    try:
        connection.request(method, path, body or None, dict(headers))
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Plain(madtest.Case):
    """In front of nginx: what each fault looks like from the client's side."""

    def setUp(self):
        super().setUp()
        self.data = os.urandom(SIZE)
        (self.tmp / "file").write_bytes(self.data)
        nginx = Nginx(self.tmp, self.tmp)
        nginx.__enter__()
        self.addCleanup(nginx.__exit__)
        self.proxy = FaultProxy(nginx.port)
        self.proxy.__enter__()
        self.addCleanup(self.proxy.__exit__)

    def get(self, fault=None, headers=(), times=1):
        if fault:
            self.proxy.fail(fault, method="GET", path="^/file$", times=times)
        return ask(self.proxy, "GET", "/file", headers=headers)

    def test_rules_are_taken_in_turn_and_run_out(self):
        self.proxy.fail(status(500), path="/other")
        self.proxy.fail(status(503), skip=1, times=1)
        self.proxy.fail(status(429, retry_after=7), when=lambda seen: seen.path == "/file")
        answers = [self.get() for _ in range(4)]
        self.assertEqual([answer.status for answer in answers], [429, 503, 200, 200])
        self.assertEqual(answers[0].headers["retry-after"], "7")
        self.assertEqual([seen.status for seen in self.proxy.requests(path="file")],
                         [429, 503, 200, 200])

    def test_a_connection_serves_many_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=30)
        self.addCleanup(connection.close)
        self.proxy.fail(status(503))
        connection.connect()
        socket = connection.sock
        for expected in (503, 200, 200):
            connection.request("GET", "/file")
            response = connection.getresponse()
            response.read()
            self.assertEqual(response.status, expected)
            self.assertIs(connection.sock, socket)

    def test_it_resets_before_and_inside_the_answer(self):
        with self.assertRaises(ConnectionResetError):
            self.get(reset())
        with self.assertRaises((ConnectionResetError, http.client.IncompleteRead)):
            self.get(reset(after=100_000))
        self.assertEqual([seen.sent for seen in self.proxy.seen], [0, 100_000])

    def test_it_cuts_an_answer_short(self):
        with self.assertRaises(http.client.IncompleteRead) as cut_short:
            self.get(cut(after=100_001))
        self.assertEqual(cut_short.exception.partial, self.data[:100_001])

    def test_a_stalled_answer_goes_on_when_it_is_released(self):
        got = []
        reader = threading.Thread(target=lambda: got.append(self.get(stall(after=70_000))))
        reader.start()
        while not (self.proxy.seen and self.proxy.seen[0].sent == 70_000):
            time.sleep(0.01)
        self.assertEqual(got, [])
        self.proxy.release()
        reader.join()
        self.assertEqual(got[0].body, self.data)

    def test_it_flips_one_bit(self):
        body = self.get(flip(at=500_000)).body
        different = [at for at in range(SIZE) if body[at] != self.data[at]]
        self.assertEqual(different, [500_000])

    def test_it_lies_about_ranges(self):
        headers = {"Range": "bytes=100-199"}.items()
        answer = self.get(other_range(by=1000), headers)
        self.assertEqual(answer.headers["content-range"], f"bytes 1100-1199/{SIZE}")
        self.assertEqual(answer.body, self.data[1100:1200])
        answer = self.get(other_range(by=1000, lying=True), headers)
        self.assertEqual(answer.headers["content-range"], f"bytes 100-199/{SIZE}")
        self.assertEqual(answer.body, self.data[1100:1200])
        answer = self.get(content_range("bytes 0-99/7"), headers)
        self.assertEqual(answer.headers["content-range"], "bytes 0-99/7")
        self.assertEqual(answer.body, self.data[100:200])
        answer = self.get(no_ranges(), headers)
        self.assertEqual((answer.status, answer.body), (200, self.data))

    def test_it_says_another_etag_and_another_date(self):
        self.assertEqual(self.get(etag('"other"')).headers["etag"], '"other"')
        text = self.get(date(-3600)).headers["date"]
        there = email.utils.parsedate_to_datetime(text).timestamp()
        self.assertAlmostEqual(time.time() - there, 3600, delta=60)

    def test_an_object_is_replaced_as_a_request_comes(self):
        replace = meanwhile(lambda: (self.tmp / "file").write_bytes(b"new"))
        self.assertEqual(self.get(replace).body, b"new")

    def test_it_proves_that_requests_come_together(self):
        self.proxy.fail(together(4), times=4)
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.get().status))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(got, [200] * 4)
        self.assertEqual(self.proxy.most_at_once, 4)


if __name__ == "__main__":
    madtest.main()
