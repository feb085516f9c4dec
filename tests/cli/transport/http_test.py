"""The calls of the http transport against nginx with WebDAV, and with faults in between."""

import os
import signal
import time

import contract
import madtest
from fault_proxy import (FaultProxy, etag, lost_answer, reset, reset_upload, stall, stall_upload,
                         status)
from servers import WEBDAV, Nginx, make_ca
from storing import MIB, StoreCase, noise, wait_until

LOCATIONS = WEBDAV + """
    location /read-only/ { dav_methods off; }
    location /denied/ { return 403; }
    location /moved/ { rewrite ^/moved/(.*)$ http://$host:$server_port/$1 redirect; }
    location /private/ { auth_basic "snapshots"; auth_basic_user_file USERS; }
"""


class HttpCase(StoreCase, contract.StoreContract):
    DENIED, BUSY = "answers 403", "answers 503"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = madtest.tempfile.mkdtemp(prefix="mad-test-")
        cls.addClassCleanup(madtest.shutil.rmtree, directory, ignore_errors=True)
        place = madtest.pathlib.Path(directory)
        cls.root = place / "www"
        for name in ("", "read-only", "private"):
            (cls.root / name).mkdir()
        (place / "users").write_text("user:{PLAIN}word\n")
        cls.nginx = Nginx(place, cls.root, LOCATIONS.replace("USERS", str(place / "users")))
        cls.nginx.__enter__()
        cls.addClassCleanup(cls.nginx.__exit__)

    def setUp(self):
        super().setUp()
        self.base = self.nginx.url("/" + self.id())
        self.directory = self.root / self.id()

    def url(self, key="object"):
        return f"{self.base}/{key}"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(self.nginx.port))
        self.base = f"{proxy.endpoint()}/{self.id()}"
        return proxy

    def put(self, body, key="object"):
        self.place(body, key)
        return self.result("stat", self.nginx.url(f"/{self.id()}/{key}"))["version"]

    def delete(self, key="object"):
        (self.directory / key).unlink()

    def pinned_to(self, seen):
        return seen.headers["if-range"]

    def busy(self, **options):
        return status(503, **options)

    def denied(self):
        return status(403)

    def other_version(self):
        return etag('"other"')

    def place(self, body, key="object"):
        path = self.directory / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        return path

    def stored(self, key="object"):
        return (self.directory / key).read_bytes()

    def assert_nothing_stored(self):
        self.assertEqual(madtest.tree(self.directory), {})


class Objects(HttpCase):
    def test_stat_tells_size_version_and_time(self):
        path = self.place(b"12345")
        info = self.result("stat", self.url())
        self.assertEqual((info["size"], info["modified"], info["metadata"]),
                         (5, int(path.stat().st_mtime), {}))
        self.assertTrue(info["version"].startswith('"'))
        path.write_bytes(b"")
        self.assertEqual(self.result("stat", self.url())["size"], 0)
        self.assertIsNone(self.result("stat", self.url("none")))

    def test_stat_of_a_server_that_knows_no_head_asks_for_the_first_byte(self):
        self.place(b"12345")
        version = self.result("stat", self.url())["version"]
        for code in (403, 405, 501):
            with self.subTest(code=code):
                proxy = self.through_proxy()
                proxy.fail(status(code), method="HEAD", times=None)
                info = self.result("stat", self.url())
                self.assertEqual((info["size"], info["version"]), (5, version))
                self.assertEqual(self.figures["requests"], 2)
        self.place(b"")
        self.assertEqual(self.result("stat", self.url())["size"], 0)

    def test_put_get_and_remove(self):
        proxy = self.through_proxy()
        for key in ("object", "a%20b+c", "d/e", "%C3%BC", "q%3Fx%231"):
            with self.subTest(key=key):
                self.assertEqual(self.result("put", self.url(key), stdin=b"bytes")["size"], 5)
                self.assertEqual(list(madtest.tree(self.directory).values()), [b"bytes"])
                self.assertEqual(self.result("get", self.url(key)), "complete")
                self.assertEqual(self.output, b"bytes")
                self.result("remove", self.url(key))
                self.assert_nothing_stored()
        self.result("remove", self.url("none"))
        seen = proxy.requests(method="PUT")[0].headers
        self.assertEqual((seen["content-type"], seen["content-length"]),
                         ("application/octet-stream", "5"))
        self.assertNotIn("expect", seen)
        self.assertNotIn("transfer-encoding", seen)

    def test_a_put_replaces_and_may_be_empty(self):
        self.place(b"a longer one")
        self.assertEqual(self.result("put", self.url(), stdin=b"short")["size"], 5)
        self.assertEqual(self.stored(), b"short")
        self.assertEqual(self.result("put", self.url(), stdin=b"")["size"], 0)
        self.assertEqual(self.stored(), b"")

    def test_conditions_on_put_are_looks_beforehand(self):
        for verb in ("put", "upload"):
            with self.subTest(verb=verb):
                key = "object-" + verb
                self.assertIsNotNone(self.result(verb, self.url(key), "--if-absent", stdin=b"one"))
                self.assertIsNone(self.result(verb, self.url(key), "--if-absent", stdin=b"two"))
                self.assertEqual(self.stored(key), b"one")
                version = self.result("stat", self.url(key))["version"]
                words = [verb, self.url(key), "--if-version", version]
                self.assertIsNotNone(self.result(*words, stdin=b"three"))
                self.assertIsNone(self.result(*words, stdin=b"four"))
                self.assertEqual(self.stored(key), b"three")
                self.assertIsNone(self.result(verb, self.url("none"), "--if-version", version,
                                              stdin=b"x"))
        self.assertEqual(sorted(madtest.tree(self.directory)), ["object-put", "object-upload"])

    def test_a_server_that_does_look_at_conditions_is_heard(self):
        proxy = self.through_proxy()
        proxy.fail(status(412), method="PUT", times=2)
        self.assertIsNone(self.result("put", self.url(), "--if-absent", stdin=b"one"))
        self.assertIsNone(self.result("upload", self.url(), "--if-absent", stdin=b"one"))

    def test_a_listing_is_a_usage_error(self):
        self.assert_refused(self.store("list", self.url("")), 2, "no way to list")


class Refusals(HttpCase):
    def test_a_server_without_webdav_is_code_7_at_once_and_says_what_it_lacks(self):
        (self.root / "read-only/object").write_bytes(b"kept")
        url = self.nginx.url("/read-only/object")
        for words in (["put", url], ["upload", url], ["remove", url]):
            with self.subTest(words=words):
                before = len(self.nginx.log())
                done = self.store(*words, stdin=b"x")
                self.assert_refused(done, 7, url, "the server answers 405",
                                    "hint: to be written to, it has to take PUT and DELETE")
                self.assertEqual(len(self.nginx.log()), before + 1)
        self.assertEqual((self.root / "read-only/object").read_bytes(), b"kept")

    def test_what_is_not_implemented_is_not_tried_again(self):
        proxy = self.through_proxy()
        proxy.fail(status(501), method="PUT", times=None)
        self.assert_refused(self.store("put", self.url(), stdin=b"x"), 7, "answers 501", "PUT")
        self.assertEqual(len(proxy.requests()), 1)

    def test_other_refusals_are_final(self):
        for code in (400, 409, 413, 423):
            with self.subTest(code=code):
                proxy = self.through_proxy()
                proxy.fail(status(code), method="PUT", times=None)
                self.assert_refused(self.store("put", self.url(), stdin=b"x"), 7, self.url(),
                                    f"answers {code}")
                self.assertEqual(len(proxy.requests()), 1)

    def test_access_denied_is_code_8_and_keeps_the_secret(self):
        for words in (["put"], ["upload"], ["remove"], ["stat"], ["get"]):
            with self.subTest(words=words):
                done = self.store(*words, self.nginx.url("/denied/object"), stdin=b"x")
                self.assert_refused(done, 8, "answers 403", "/denied/object")
        url = self.nginx.url("/private/object", userinfo="user:hunter2@")
        done = self.store("put", url, stdin=b"x")
        self.assert_refused(done, 8, "answers 401", "/private/object")
        self.assertNotIn("hunter2", done.stderr)
        self.assertEqual(madtest.tree(self.root / "private"), {})

    def test_credentials_in_the_url_open(self):
        url = self.nginx.url("/private/mine", userinfo="user:word@")
        self.addCleanup((self.root / "private/mine").unlink)
        self.result("upload", url, stdin=b"x")
        self.assertEqual(self.result("stat", url)["size"], 1)

    def test_a_name_that_is_unknown_and_a_port_that_is_closed_are_code_7(self):
        done = self.store("put", "http://store.invalid/object", "--retries", 1, stdin=b"x")
        self.assert_refused(done, 7, "http://store.invalid/object", "2 attempts")
        done = self.store("put", "http://127.0.0.1:9/object", "--retries", 1, stdin=b"x")
        self.assert_refused(done, 7, "http://127.0.0.1:9/object", "2 attempts")


class Tls(HttpCase):
    def test_with_its_own_ca_all_calls_work(self):
        url = self.nginx.url(f"/{self.id()}/object", tls=True)
        ca = ["--cacert", self.nginx.ca]
        data = noise(MIB)
        self.assertEqual(self.result("upload", url, 400_000, *ca, stdin=data)["size"], MIB)
        self.assertEqual(self.stored(), data)
        self.assertEqual(self.result("stat", url, *ca)["size"], MIB)
        self.assertEqual(self.result("ranges", url, 300_000, 2, *ca), "complete")
        self.assertEqual(self.output, data)
        self.result("remove", url, *ca)
        self.assert_nothing_stored()

    def test_a_certificate_that_cannot_be_trusted_is_code_7_before_a_byte_goes_out(self):
        before = len(self.nginx.log())
        url = self.nginx.url(f"/{self.id()}/object", tls=True)
        other = make_ca(self.tmp / "other")
        for words in ([], ["--cacert", other.ca]):
            with self.subTest(words=words):
                done = self.store("put", url, *words, "--header", "X-Secret: hunter2", stdin=b"x")
                self.assert_refused(done, 7, url, "certificate", "hint: ")
                self.assertNotIn("hunter2", done.stderr)
        self.assertEqual(len(self.nginx.log()), before)


class Redirects(HttpCase):
    """`proxy` is the origin that the user gave, nginx the other one."""

    def setUp(self):
        super().setUp()
        self.proxy = self.through_proxy()
        self.elsewhere = self.nginx.url(f"/{self.id()}/object")

    def send_elsewhere(self, code, method):
        self.proxy.fail(status(code, [("Location", self.elsewhere)]), method=method, times=None)

    def last_requests(self):
        return [line for line in self.nginx.log() if self.id() in line]

    def test_a_put_keeps_its_body_and_loses_what_is_secret(self):
        data = noise(2 * MIB)
        for code in (307, 308):
            for verb in ("put", "upload"):
                with self.subTest(code=code, verb=verb):
                    self.send_elsewhere(code, "PUT")
                    url = self.url().replace("http://", "http://user:word@")
                    self.result(verb, url, "--header", "X-Secret: token", stdin=data)
                    self.assertEqual(self.stored(), data)
                    put = [line for line in self.last_requests() if " PUT " in line][-1]
                    self.assertTrue(put.endswith("auth=- secret=-"), put)
                    seen = self.proxy.requests(method="PUT")[-1]
                    self.assertTrue(seen.credential.startswith("Basic "))
                    self.result("remove", self.elsewhere)

    def test_a_put_that_would_become_a_get_is_refused(self):
        for code in (301, 302, 303):
            with self.subTest(code=code):
                self.proxy.honest()
                self.send_elsewhere(code, "PUT")
                self.assert_refused(self.store("put", self.url(), stdin=b"x"), 7,
                                    f"answers {code}")
        self.assertFalse(self.directory.exists())

    def test_ranges_are_led_elsewhere_without_what_is_secret(self):
        data = noise(MIB)
        self.place(data)
        self.send_elsewhere(302, "GET")
        self.send_elsewhere(302, "HEAD")
        self.assertEqual(self.result("ranges", self.url(), 300_000, 3, "--header",
                                     "X-Secret: token"), "complete")
        self.assertEqual(self.output, data)
        self.assertEqual(len(self.last_requests()), 1 + 4)
        for line in self.last_requests():
            self.assertTrue(line.endswith("auth=- secret=-"), line)
        for seen in self.proxy.requests():
            self.assertIn("x-secret", seen.headers)

    def test_the_same_origin_keeps_them(self):
        self.place(b"12345")
        url = self.nginx.url(f"/moved/{self.id()}/object")
        self.assertEqual(self.result("stat", url, "--header", "X-Secret: token")["size"], 5)
        self.assertTrue(self.last_requests()[-1].endswith("auth=- secret=token"))

    def test_a_redirect_of_the_removal_is_followed_only_as_a_removal(self):
        self.place(b"x")
        self.send_elsewhere(302, "DELETE")
        self.assert_refused(self.store("remove", self.url()), 7, "answers 302")
        self.assertEqual(self.stored(), b"x")
        self.proxy.honest()
        self.send_elsewhere(307, "DELETE")
        self.result("remove", self.url())
        self.assert_nothing_stored()


class Ranges(contract.Ranges, HttpCase):
    def test_a_range_that_stalls_is_asked_for_again(self):
        self.proxy.fail(stall(after=100_000), method="GET")
        self.assertEqual(self.result("ranges", self.url(), MIB, 2, "--timeout", 3000), "complete")
        self.assertEqual(self.output, self.data)
        self.assertEqual(self.figures["retries"], 1)
        self.proxy.fail(stall(after=0), method="GET", times=None)
        done = self.store("ranges", self.url(), MIB, 1, "--timeout", 200, "--retries", 1)
        self.assert_refused(done, 7, "no byte came for 0.2 s", "after 2 attempts")

    def test_retry_after_is_waited_for(self):
        self.proxy.fail(status(503, retry_after=1), method="GET")
        begin = time.monotonic()
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "complete")
        self.assertGreaterEqual(time.monotonic() - begin, 1)
        self.proxy.fail(status(503, retry_after=86400), method="GET", times=None)
        done = self.store("ranges", self.url(), MIB, 1)
        self.assert_refused(done, 7, "answers 503", "86400 s")


class Uploads(HttpCase):
    def setUp(self):
        super().setUp()
        self.data = noise(12 * MIB + 5)

    def upload(self, *words, **changes):
        return self.result("upload", self.url(), 5 * MIB, *words, stdin=self.data, **changes)

    def assert_stored(self, info):
        self.assertEqual(self.stored(), self.data)
        self.assertEqual(info["size"], len(self.data))
        self.assertEqual(self.result("stat", self.url()), info)

    def test_an_upload_of_known_length_or_not_is_one_put_with_its_length(self):
        for words in ([], ["--unknown-length"]):
            with self.subTest(words=words):
                proxy = self.through_proxy()
                self.assert_stored(self.upload(*words))
                [seen] = proxy.requests(method="PUT")
                self.assertEqual(seen.headers["content-length"], str(len(self.data)))
                self.assertNotIn("transfer-encoding", seen.headers)
                self.assertNotIn("expect", seen.headers)

    def test_an_upload_without_bytes_is_an_empty_object(self):
        self.data = b""
        self.assert_stored(self.upload())

    def test_what_it_collects_has_no_name_and_is_gone_with_it(self):
        spool = self.tmp / "spool"
        spool.mkdir()
        process = self.start("upload", self.url(), 5 * MIB, "--hold", stdin=self.data,
                             TMPDIR=spool)
        self.assertEqual(process.stderr.readline(), b"parts are there\n")
        self.assertEqual(os.listdir(spool), [])
        held = [os.stat(f"/proc/{process.pid}/fd/{fd}").st_size
                for fd, target in links(process.pid) if target.startswith(str(spool))]
        self.assertEqual(held, [len(self.data)])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assertFalse(self.directory.exists())

    def test_no_room_to_collect_it_is_code_9_and_nothing_is_sent(self):
        script = ('mount -t tmpfs -o size=1m none "$TMPDIR" || exit 99; '
                  'exec "$0" upload "$1" 5242880')
        before = len(self.nginx.log())
        (self.tmp / "spool").mkdir()
        done = madtest.run("unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script,
                           madtest.tool("mad-test-store"), self.url(), stdin=self.data,
                           env={"TMPDIR": self.tmp / "spool"})
        self.assert_refused(done, 9, "No space left on device")
        self.assertEqual(len(self.nginx.log()), before)

    def test_what_fails_on_the_way_is_sent_again_from_its_start(self):
        for fault in (reset_upload(after=MIB), reset(), lost_answer(), status(500), status(503),
                      status(408), status(507)):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT")
            self.assert_stored(self.upload())
            self.assertEqual(len(proxy.requests(method="PUT")), 2)
            self.result("remove", self.url())

    def test_a_server_that_takes_nothing_more_is_left_after_a_while(self):
        proxy = self.through_proxy()
        proxy.fail(stall_upload(after=MIB), method="PUT")
        self.assert_stored(self.upload("--timeout", 3000))
        self.assertEqual(len(proxy.requests(method="PUT")), 2)

    def test_a_cut_upload_leaves_what_was_there(self):
        self.place(b"old")
        proxy = self.through_proxy()
        proxy.fail(reset_upload(after=MIB), method="PUT", times=None)
        done = self.store("upload", self.url(), 5 * MIB, "--retries", 2, stdin=self.data)
        self.assert_refused(done, 7, self.url(), "after 3 attempts")
        self.assertEqual(madtest.tree(self.directory), {"object": b"old"})

    def test_a_signal_in_the_middle_leaves_what_was_there(self):
        self.place(b"old")
        proxy = self.through_proxy()
        proxy.fail(stall_upload(after=MIB), method="PUT")
        process = self.start("upload", self.url(), 5 * MIB, stdin=self.data)
        wait_until(lambda: proxy.requests(method="PUT") and
                   proxy.requests(method="PUT")[0].length > MIB)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assertEqual(madtest.tree(self.directory), {"object": b"old"})

    def test_a_conditional_put_whose_answer_is_lost_is_sent_again_without_a_look(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method="PUT")
        self.assert_stored(self.upload("--if-absent"))

    def test_a_server_that_says_yes_and_keeps_less_is_found_out(self):
        proxy = self.through_proxy()
        proxy.fail(status(201), method="PUT", times=None)
        done = self.store("upload", self.url(), 5 * MIB, stdin=self.data)
        self.assert_refused(done, 7, self.url(), f"sent {len(self.data)} bytes", "unknown number")
        self.place(self.data[:-1])
        done = self.store("upload", self.url(), 5 * MIB, stdin=self.data)
        self.assert_refused(done, 7, f"the store has {len(self.data) - 1}")


def links(pid):
    """[(descriptor, what it is open on)]"""
    directory = f"/proc/{pid}/fd"
    return [(fd, os.readlink(f"{directory}/{fd}")) for fd in os.listdir(directory)]


if __name__ == "__main__":
    madtest.main()
