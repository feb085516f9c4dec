import contextlib
import email.utils
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import madtest
from fetching import Bundle, FetchCase
from servers import (OLD_DATE, FaultyServer, afterwards, answer_with, cut, endless, meanwhile,
                     no_ranges, raw, redirect, reset, stall, status)

PATH = "/runs/sim.npz"
MANIFEST = PATH + ".manifest.json"


class FaultyCase(FetchCase):
    def setUp(self):
        super().setUp()
        self.server = FaultyServer().__enter__()
        self.addCleanup(self.server.__exit__)
        self.server.put_snapshot(PATH, self.npz, etag='"v1"')

    def fetch_url(self, *words, path=PATH, env=None):
        return self.fetch(*words, self.server.url(path), env=env)

    def ranges(self):
        return [request.headers.get("range") for request in self.server.requests(PATH)]


class Cuts(FaultyCase):
    def test_a_cut_transfer_goes_on_by_range_under_the_same_etag(self):
        self.server.fail(PATH, cut(700), reset(100), cut(20))
        bundle = self.assert_fetched(self.fetch_url())
        self.assertEqual(bundle.restarts, 0)
        self.assertEqual(self.ranges(), [None, "bytes=700-", "bytes=800-", "bytes=820-"])
        self.assertEqual([r.headers.get("if-range") for r in self.server.requests(PATH)],
                         [None, '"v1"', '"v1"', '"v1"'])

    def test_a_strong_last_modified_pins_as_well(self):
        self.server.put(PATH, self.bytes, last_modified=OLD_DATE)
        self.server.fail(PATH, cut(700))
        self.assertEqual(self.assert_fetched(self.fetch_url()).restarts, 0)
        self.assertEqual(self.server.requests(PATH)[1].headers.get("if-range"), OLD_DATE)

    def test_without_a_pin_the_stream_starts_again(self):
        pins = ({}, {"etag": 'W/"v1"'},
                {"last_modified": email.utils.formatdate(time.time() + 60, usegmt=True)})
        for validators in pins:
            with self.subTest(validators=validators):
                self.server.put(PATH, self.bytes, **validators)
                self.server.fail(PATH, cut(700))
                self.assertEqual(self.assert_fetched(self.fetch_url()).restarts, 1)
        self.assertEqual(set(self.ranges()), {None})

    def test_a_server_without_ranges_is_read_past_what_is_there_already(self):
        self.server.fail(PATH, cut(700), no_ranges(limit=300), no_ranges())
        self.assertEqual(self.assert_fetched(self.fetch_url()).restarts, 0)

    def test_a_transfer_that_is_always_cut_ends_with_code_7(self):
        self.server.always(PATH, cut(0))
        done = self.fetch_url("--retries", "3")
        self.assert_failed(done, 7, "transfer-cut", "gave up after 4 attempts")
        self.assertEqual(len(self.server.requests(PATH)), 4)

    def test_a_server_that_sends_a_byte_an_attempt_is_given_up(self):
        self.server.always(PATH, cut(1))
        self.assert_failed(self.fetch_url("--retries", "3"), 7, "transfer-cut", "after 4 of")

    def test_a_stalled_transfer_is_cut_and_goes_on(self):
        self.server.fail(PATH, stall(700))
        done = self.fetch_url("--stall-timeout", "0.3")
        self.assert_fetched(done)
        self.assertIn("no byte came for 0.3 s", done.stderr)

    def test_a_transfer_that_always_stalls_ends_with_code_7(self):
        self.server.always(PATH, stall(0))
        done = self.fetch_url("--stall-timeout", "0.2", "--retries", "1")
        self.assert_failed(done, 7, "timeout", "no byte came for 0.2 s")

    def test_a_short_range_is_followed_by_the_rest(self):
        part = self.bytes[700:900]
        total = len(self.bytes)
        self.server.fail(PATH, cut(700), answer_with(206, [
            ("ETag", '"v1"'), ("Content-Range", f"bytes 700-899/{total}"),
            ("Content-Length", "200")], part))
        self.assert_fetched(self.fetch_url())
        self.assertEqual(self.ranges(), [None, "bytes=700-", "bytes=900-"])

    def test_a_lying_content_range_is_refused(self):
        total = len(self.bytes)
        rest = self.bytes[700:]
        for lie in (f"bytes 600-{total - 1}/{total}", f"bytes 700-{total}/{total}",
                    f"bytes 700-{total - 1}/*", f"bytes 700-{total - 2}/{total}",
                    f"items 700-{total - 1}/{total}", "bytes", None):
            with self.subTest(lie=lie):
                headers = [("ETag", '"v1"'), ("Content-Length", str(len(rest)))]
                if lie:
                    headers.append(("Content-Range", lie))
                self.server.fail(PATH, cut(700), answer_with(206, headers, rest))
                done = self.fetch_url()
                self.assert_failed(done, 7, "http-status", "asked for the bytes from 700",
                                   f"found Content-Range '{lie or 'none'}'")

    def test_a_range_of_another_total_is_another_version(self):
        total = len(self.bytes)
        self.server.fail(PATH, cut(700), answer_with(206, [
            ("Content-Range", f"bytes 700-{total}/{total + 1}"),
            ("Content-Length", str(total - 699))], b"x" * (total - 699)))
        self.assertEqual(self.assert_fetched(self.fetch_url()).restarts, 1)

    def test_206_where_nothing_was_asked_for_is_refused(self):
        self.server.fail(PATH, answer_with(206, [
            ("Content-Range", "bytes 0-9/10"), ("Content-Length", "10")], b"0123456789"))
        self.assert_failed(self.fetch_url(), 7, "http-status", "206")


class Changes(FaultyCase):
    def other_version(self):
        npz = madtest.reference_snapshot(self.tmp / "sim2.npz",
                                         {**madtest.small_arrays(), "a/b": madtest.np.zeros(9)})
        return lambda: self.server.put_snapshot(PATH, npz, etag='"v2"'), npz

    def assert_other(self, done, npz, restarts):
        self.assertEqual(done.returncode, 0, done.stderr)
        bundle = Bundle(done.stdout)
        self.assertEqual(bundle.npz, npz.read_bytes())
        self.assertEqual(bundle.manifest, pathlib.Path(f"{npz}.manifest.json").read_bytes())
        self.assertEqual(bundle.restarts, restarts)

    def test_an_object_that_changes_in_a_cut_transfer_restarts_the_pair(self):
        change, npz = self.other_version()
        self.server.fail(PATH, cut(700), meanwhile(change))
        self.assert_other(self.fetch_url(), npz, restarts=1)

    def test_an_object_that_shrinks_below_what_is_there_restarts_the_pair(self):
        for code in (412, 416, 404):
            with self.subTest(code=code):
                self.server.fail(PATH, cut(700), status(code))
                self.assertEqual(self.assert_fetched(self.fetch_url()).restarts, 1)

    def test_a_manifest_that_changes_while_the_npz_is_read_restarts_the_pair(self):
        change, npz = self.other_version()
        self.server.fail(PATH, afterwards(change))
        self.assert_other(self.fetch_url(), npz, restarts=1)

    def test_a_manifest_that_goes_away_meanwhile_is_noticed(self):
        self.server.fail(PATH, afterwards(lambda: self.server.remove(MANIFEST)))
        self.assert_failed(self.fetch_url(), 5, "manifest-missing", "manifest.json")

    def test_a_pair_that_never_rests_is_given_up_with_code_7(self):
        def touch():
            self.server.put(MANIFEST, str(time.time_ns()).encode())

        self.server.always(PATH, afterwards(touch))
        report = self.tmp / "report.json"
        done = self.fetch_url("--retry-delay", "0.001", "--report", report)
        self.assert_failed(done, 7, "object-changing", "6 times in a row")
        self.assertEqual(json.loads(report.read_text())["reason"], "object-changing")

    def test_output_holds_the_version_that_belongs_together(self):
        change, npz = self.other_version()
        self.server.fail(PATH, cut(700), meanwhile(change))
        done = self.fetch_url("-o", self.tmp / "out.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), npz.read_bytes())
        madtest.reference_verify(self.tmp / "out.npz")


class Failures(FaultyCase):
    def test_transient_statuses_are_tried_again(self):
        self.server.fail(PATH, *(status(code) for code in (500, 502, 503, 504, 408, 429)))
        self.server.fail(MANIFEST, status(503), reset(None))
        self.assert_fetched(self.fetch_url())
        self.assertEqual(len(self.server.requests(PATH)), 7)

    def test_a_server_that_stays_ill_is_given_up_with_code_7(self):
        self.server.always(MANIFEST, status(503))
        done = self.fetch_url("--retries", "2")
        self.assert_failed(done, 7, "http-status", "answers 503", "gave up after 3 attempts")

    def test_retry_after_in_seconds_and_as_a_date_is_waited_for(self):
        soon = email.utils.formatdate(time.time() + 2, usegmt=True)
        for value in ("1", soon):
            with self.subTest(value=value):
                self.server.fail(PATH, status(429, [("Retry-After", value)]))
                start = time.monotonic()
                self.assert_fetched(self.fetch_url())
                self.assertGreaterEqual(time.monotonic() - start, 0.9 if value == "1" else 0.0)

    def test_a_retry_after_beyond_the_budget_is_final_at_once(self):
        self.server.fail(MANIFEST, status(503, [("Retry-After", "3600")]))
        done = self.fetch_url("--retry-budget", "10")
        self.assert_failed(done, 7, "http-status", "asks to wait 3600 s")
        self.assertEqual(len(self.server.requests(MANIFEST)), 1)

    def test_other_statuses_are_final(self):
        for code in (400, 402, 405, 407, 409, 204, 300, 304):
            with self.subTest(code=code):
                before = len(self.server.requests(MANIFEST))
                self.server.fail(MANIFEST, status(code, body=b""))
                self.assert_failed(self.fetch_url(), 7, "http-status", f"answers {code}")
                self.assertEqual(len(self.server.requests(MANIFEST)), before + 1)

    def test_denied_is_code_8_and_final(self):
        for code in (401, 403):
            self.server.fail(MANIFEST, status(code))
            self.assert_failed(self.fetch_url(), 8, "access-denied", f"answers {code}")
        self.assertEqual(len(self.server.requests(MANIFEST)), 2)

    def test_what_is_missing_is_named(self):
        self.server.always(MANIFEST, status(404))
        self.assert_failed(self.fetch_url(), 5, "manifest-missing", "sim.npz.manifest.json")
        self.assert_failed(self.fetch_url("--if-exists"), 5, "manifest-missing")
        self.server.always(PATH, status(410))
        self.assert_failed(self.fetch_url(), 5, "snapshot-missing", "sim.npz: there is no such")
        self.server.always(MANIFEST, None)
        self.assert_failed(self.fetch_url("--if-exists"), 5, "snapshot-missing", "only its manifest")

    def test_if_exists_takes_a_missing_pair_for_absent(self):
        done = self.fetch_url("--if-exists", path="/none.npz")
        self.assertEqual(done.returncode, 0, done.stderr)
        seal = Bundle(done.stdout).seal
        self.assertEqual((seal["stage"], seal["reason"]), ("absent", "not-there-yet"))

    def test_skip_integrity_check_fetches_a_bare_npz(self):
        self.server.always(MANIFEST, status(404))
        done = self.fetch_url("--skip-integrity-check")
        self.assertEqual((done.returncode, Bundle(done.stdout).npz), (0, self.bytes), done.stderr)

    def test_a_refused_connection_is_tried_again_and_then_code_7(self):
        done = self.fetch("--retries", "2", "http://127.0.0.1:9/sim.npz")
        self.assert_failed(done, 7, "connect", "gave up after 3 attempts")

    def test_a_peer_that_closes_before_tls_is_agreed_on_is_tried_again_and_then_code_7(self):
        listener = socket.create_server(("127.0.0.1", 0))
        connections = []

        def close_each():
            with contextlib.suppress(OSError):
                while True:
                    connection, address = listener.accept()
                    connections.append(address)
                    with connection:
                        connection.recv(65536)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass

        peer = threading.Thread(target=close_each)
        peer.start()
        try:
            done = self.fetch("--retries", "2",
                              f"https://127.0.0.1:{listener.getsockname()[1]}{PATH}")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            peer.join()
        self.assert_failed(done, 7, "connect", "gave up after 3 attempts")
        self.assertEqual(len(connections), 3)

    def test_a_name_that_is_looked_up_for_long_holds_up_no_limit_and_no_signal(self):
        slow = madtest.slow_names()
        url = "http://store.slow/sim.npz"
        done = self.fetch("--connect-timeout", "0.2", "--retries", "1", url, env=slow)
        self.assert_failed(done, 7, "timeout", "gave up after 2 attempts")
        self.assert_failed(self.fetch("--deadline", "2", url, env=slow), 10, "deadline-passed")
        process = subprocess.Popen(
            [madtest.tool("mad-fetch"), url], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=madtest.clean_environment(**slow))
        with process:
            try:
                self.assertEqual(process.stderr.readline(), b"mad-test-resolver: store.slow\n")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(30), -signal.SIGTERM)
            finally:
                process.kill()

    def test_an_unknown_name_is_code_7(self):
        done = self.fetch("--retries", "2", "http://no-such-host.invalid/sim.npz")
        self.assert_failed(done, 7, "dns", "no-such-host.invalid", "gave up after 3 attempts")

    def test_an_encoded_answer_is_refused(self):
        self.server.put(PATH, self.bytes, etag='"v1"', headers=[("Content-Encoding", "gzip")])
        self.assert_failed(self.fetch_url(), 7, "http-status", "found Content-Encoding 'gzip'")
        self.assertEqual(self.server.requests(PATH)[0].headers["accept-encoding"], "identity")

    def test_what_is_no_http_is_refused(self):
        for text in (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000 + b"\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyy\r\n" * 40_000 + b"\r\n"):
            with self.subTest(text=text[:40]):
                self.server.fail(MANIFEST, raw(text))
                self.assert_failed(self.fetch_url("--retries", "0"), 7, "http-status", "answer")

    def test_a_body_without_end_is_cut_off_at_max_size(self):
        self.server.always(PATH, endless())
        self.assert_failed(self.fetch_url("--max-size", "1M"), 1, "too-large",
                           "at most 1048576 bytes")

    def test_a_manifest_without_end_is_cut_off(self):
        self.server.always(MANIFEST, endless())
        self.assert_failed(self.fetch_url(), 1, "too-large", "at most 8388608 bytes")

    def test_a_length_above_max_size_is_refused_before_the_body(self):
        done = self.fetch_url("--max-size", "1000")
        self.assert_failed(done, 1, "too-large", f"found {len(self.bytes)}")
        self.assertEqual(Bundle(done.stdout).manifest, None)

    def test_a_failed_output_leaves_nothing(self):
        self.server.always(PATH, cut(100))
        out = self.tmp / "out"
        out.mkdir()
        done = self.fetch_url("--retries", "1", "-o", out)
        self.assert_refused(done, 7, "gave up after 2 attempts")
        self.assertEqual(madtest.tree(out), {})

    def test_a_signal_ends_a_wait_at_once_and_leaves_nothing(self):
        out = self.tmp / "out"
        out.mkdir()
        waits = {"stalled": ("stall", ()), "retrying": ("retry", ("--retry-delay", "3600",
                                                                  "--retry-budget", "100000"))}
        for name, (kind, words) in waits.items():
            with self.subTest(name=name):
                self.server.fail(PATH, stall(100) if kind == "stall"
                                 else status(503, [("Retry-After", "3600")]))
                seen = len(self.server.requests(PATH))
                process = subprocess.Popen(
                    [madtest.tool("mad-fetch"), *words, "-o", str(out), self.server.url(PATH)],
                    stderr=subprocess.PIPE, env=madtest.clean_environment())
                while len(self.server.requests(PATH)) == seen:
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                said = process.communicate(timeout=10)[1]
                self.assertEqual(process.returncode, -signal.SIGTERM, said)
                self.assertEqual(madtest.tree(out), {})


class Redirects(FaultyCase):
    def setUp(self):
        super().setUp()
        self.other = FaultyServer().__enter__()
        self.addCleanup(self.other.__exit__)
        self.other.put_snapshot(PATH, self.npz, etag='"v1"')

    def redirect_pair(self, target, code=302):
        self.server.always(PATH, redirect(target + PATH, code))
        self.server.always(MANIFEST, redirect(target + MANIFEST, code))

    def test_each_kind_of_redirect_is_followed(self):
        for code in (301, 302, 303, 307, 308):
            with self.subTest(code=code):
                self.redirect_pair(self.other.url(""), code)
                self.assert_fetched(self.fetch_url())

    def test_relative_redirects_are_followed(self):
        for location in ("/other/sim.npz", "../other/sim.npz", "//127.0.0.1:%d/other/sim.npz"
                         % self.server.port):
            with self.subTest(location=location):
                self.server.put_snapshot("/other/sim.npz", self.npz, etag='"v1"')
                self.server.fail(PATH, redirect(location))
                self.assert_fetched(self.fetch_url())

    def test_another_origin_gets_no_header_and_no_credential(self):
        (self.tmp / ".netrc").write_text(
            "machine 127.0.0.1 login netrc-user password netrc-word\n"
            "machine localhost login netrc-user password netrc-word\n")
        (self.tmp / ".netrc").chmod(0o600)
        self.redirect_pair(self.other.url("", userinfo="evil:evil@"))
        for words, url in (
                (("-H", "Authorization: Bearer TOKEN", "-H", "X-Secret: s"), self.server.url(PATH)),
                ((), self.server.url(PATH, userinfo="user:WORD@")),
                (("--netrc",), self.server.url(PATH))):
            with self.subTest(words=words):
                self.server.seen.clear()
                self.other.seen.clear()
                self.assert_fetched(self.fetch(*words, url))
                self.assertTrue(all("authorization" in r.headers for r in self.server.seen))
                for request in self.other.seen:
                    self.assertNotIn("authorization", request.headers)
                    self.assertNotIn("x-secret", request.headers)

    def test_another_port_or_host_name_is_another_origin_and_a_way_back_changes_nothing(self):
        self.other.always(MANIFEST, redirect(self.server.url("/back")))
        self.server.put("/back", self.manifest)
        self.server.always(MANIFEST, redirect(self.other.url(MANIFEST)))
        self.server.fail(PATH, redirect(self.server.url(PATH, host="localhost")))
        self.assert_fetched(self.fetch_url("-H", "X-Secret: s"))
        self.assertNotIn("x-secret", self.server.requests("/back")[0].headers)
        first, second = self.server.requests(PATH)
        self.assertIn("x-secret", first.headers)
        self.assertNotIn("x-secret", second.headers)

    def test_the_same_origin_keeps_headers_and_credentials(self):
        self.server.put_snapshot("/moved.npz", self.npz)
        self.server.fail(PATH, redirect("/moved.npz"))
        self.assert_fetched(self.fetch("-H", "X-Secret: s",
                                       self.server.url(PATH, userinfo="user:p%40ss@")))
        moved = self.server.requests("/moved.npz")[0]
        self.assertEqual((moved.headers["x-secret"], moved.headers["authorization"]),
                         ("s", "Basic dXNlcjpwQHNz"))

    def test_a_loop_ends_after_ten_redirects(self):
        self.server.always(MANIFEST, redirect(MANIFEST))
        self.assert_failed(self.fetch_url(), 7, "http-status", "more than 10 times")
        self.assertEqual(len(self.server.requests(MANIFEST)), 11)

    def test_targets_that_are_never_followed(self):
        for target, needle in (
                ("file:///etc/passwd", "only http and https are"),
                ("ftp://127.0.0.1/x", "only http and https are"),
                ("gopher://127.0.0.1/x", "only http and https are"),
                ("data:text/plain,x", "no URL"),
                ("http://169.254.169.254/latest/meta-data/", "link-local or metadata"),
                ("http://2852039166/latest/", "link-local or metadata"),
                ("http://0xa9fea9fe/latest/", "link-local or metadata"),
                ("http://[::ffff:169.254.169.254]/", "link-local or metadata"),
                ("http://[fe80::1]/", "link-local or metadata"),
                ("http://metadata.google.internal./computeMetadata/", "link-local or metadata"),
                ("http://ho\tst/", "no URL")):
            with self.subTest(target=target):
                self.server.fail(MANIFEST, redirect(target))
                self.assert_failed(self.fetch_url(), 7, "http-status", needle)

    def test_a_redirect_whose_target_fails_is_told_about_the_url_given(self):
        self.server.always(MANIFEST, redirect(self.other.url("/gone?sig=SIGNATURE")))
        done = self.fetch_url()
        self.assert_failed(done, 5, "manifest-missing", self.server.url(MANIFEST))
        self.assertNotIn("SIGNATURE", done.stderr)

    def test_a_continued_transfer_goes_through_its_redirect_again(self):
        self.redirect_pair(self.other.url(""))
        self.other.fail(PATH, cut(700))
        self.assert_fetched(self.fetch_url())
        self.assertEqual(len(self.server.requests(PATH)), 2)
        self.assertEqual(self.other.requests(PATH)[1].headers.get("range"), "bytes=700-")


class Secrets(FaultyCase):
    def test_headers_come_from_options_files_and_the_environment(self):
        (self.tmp / "headers").write_bytes(b"Authorization: Bearer TOKEN\r\n\nX-Secret:  two words \n")
        self.assert_fetched(self.fetch_url("-H", f"@{self.tmp}/headers", "--header", "X-More: a,b"))
        request = self.server.requests(PATH)[0]
        self.assertEqual(request.headers["authorization"], "Bearer TOKEN")
        self.assertEqual(request.headers["x-secret"], "two words")
        self.assertEqual(request.headers["x-more"], "a,b")
        self.assert_fetched(self.fetch_url(env={"MAD_FETCH_HEADER": f"@{self.tmp}/headers"}))
        self.assertEqual(self.server.requests(PATH)[1].headers["authorization"], "Bearer TOKEN")

    def test_headers_that_are_none_are_refused_without_being_quoted(self):
        for header in ("X: a\r\nY: SECRET", "X: a\nY: SECRET", "X: SECRET\x01", "SECRET", ": SECRET",
                       "X Y: SECRET", "X:", "Range: bytes=SECRET", "accept-encoding: SECRET"):
            with self.subTest(header=header):
                done = self.fetch_url("-H", header)
                self.assert_failed(done, 2, "usage")
                self.assertNotIn("SECRET", done.stderr + done.stdout.decode())
        done = self.fetch_url("-H", "Authorization: a SECRET", "-H", "authorization: SECRET")
        self.assert_failed(done, 2, "usage", "found two")
        self.assertNotIn("SECRET", done.stderr)
        self.assertEqual(self.server.seen, [])
        done = self.fetch_url("-H", f"@{self.tmp}/none")
        self.assertEqual(done.returncode, 5, done.stderr)

    def test_secrets_are_in_no_message_no_report_and_no_seal(self):
        report = self.tmp / "report.json"
        secret = "SeCrEt"
        url = self.server.url(f"{PATH}?X-Amz-Signature={secret}", userinfo=f"user:{secret}@")
        for faults in ((), (cut(10),), (status(403),), (status(503),) * 9, (status(404),)):
            with self.subTest(faults=len(faults)):
                self.server.fail(PATH, *faults)
                done = self.fetch("-v", "--retries", "2", "-H", f"X-Token: {secret}",
                                  "--report", report, url)
                said = done.stderr + done.stdout.decode("latin-1") + report.read_text()
                self.assertNotIn(secret, said)
                self.assertIn("sim.npz?…", report.read_text())
                self.server._once[PATH].clear()
        for bad in (f"http://user:{secret}@/x", f"http://user:{secret}@ho st/x?{secret}",
                    f"zz://user:{secret}@host/x?sig={secret}",
                    f"http://user:{secret}@host:99999/?{secret}"):
            done = self.fetch("--report", report, bad)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertNotIn(secret, done.stderr + done.stdout.decode() + report.read_text())

    def test_an_output_that_is_refused_blames_the_url_and_not_the_path(self):
        self.server.put(PATH, self.bytes[:-1])
        url = f"{self.server.url(PATH)}?sig=SECRET"
        out = self.tmp / "out.npz"
        done = self.fetch("-o", out, url)
        self.assert_refused(done, 1, f"error: {self.server.url(PATH)}?…: size mismatch",
                            str(len(self.bytes)), str(len(self.bytes) - 1))
        self.server.put(MANIFEST, b"{}")
        manifest = f"{self.server.url(MANIFEST)}?…"
        self.assert_refused(self.fetch("-o", out, url), 1, f"error: {manifest}: ")
        elsewhere = self.server.url("/elsewhere.json")
        self.server.put("/elsewhere.json", b"{}")
        self.assert_refused(self.fetch("-o", out, "--manifest-url", elsewhere + "?k=SECRET", url),
                            1, f"error: {elsewhere}?…: ")
        self.assertFalse(out.exists())

    def test_the_manifests_url_keeps_the_query_of_a_signed_one(self):
        self.assert_fetched(self.fetch(self.server.url(PATH + "?sig=1&a=b")))
        self.assertEqual(self.server.requests(MANIFEST)[0].query, "sig=1&a=b")

    def test_a_manifest_url_may_be_on_another_origin_which_gets_no_headers(self):
        with FaultyServer() as other:
            other.put("/m.json", self.manifest)
            self.assert_fetched(self.fetch_url("-H", "X-Secret: s", "--manifest-url",
                                               other.url("/m.json?sig=2")))
            self.assertNotIn("x-secret", other.requests("/m.json")[0].headers)
            self.assertEqual(self.server.requests(MANIFEST), [])

    def test_paths_and_queries_are_sent_as_they_are_given(self):
        strange = "/a%2Fb/../c//d/%41%7e;x=1,2/sim.npz"
        self.server.put_snapshot(strange, self.npz)
        self.assert_fetched(self.fetch(self.server.url(strange + "?q=%2B+%20'~#fragment")))
        self.assertEqual(self.server.requests(strange)[0].query, "q=%2B+%20'~")

    def test_a_proxy_of_the_environment_is_used(self):
        self.server.put_snapshot("http://snapshots.invalid/sim.npz", self.npz)
        done = self.fetch("http://snapshots.invalid/sim.npz",
                          env={"http_proxy": self.server.url("")})
        self.assert_fetched(done)


if __name__ == "__main__":
    madtest.main()
