"""The calls of the az transport against azurite, and with faults in between."""

import email.utils
import hashlib
import json
import os
import signal
import time
import unittest

import madtest
from azurite import Azurite
from fault_proxy import (FaultProxy, azure_error, content_range, cut, etag, flip_upload, header,
                         lost_answer, meanwhile, reset, reset_upload, stall, status, together)
from servers import FaultyServer, answer_with, make_ca
from storing import MIB, StoreCase, noise, wait_until

NAMES = ["a b+c", "d//e", "p%25", "q?x#1", "s&=;:@!$'()*,~", "x/../y", "ü日本", "\"<>|{}^`"]


def setUpModule():
    global AZURE
    AZURE = Azurite().start()
    unittest.addModuleCleanup(AZURE.stop)


class AzCase(StoreCase):
    def setUp(self):
        super().setUp()
        self.container = AZURE.container()
        self.environment = AZURE.environment()

    def url(self, name="blob"):
        return f"az://{self.container}/{name}"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(AZURE.port))
        self.environment = AZURE.environment(AZURE.endpoint(proxy.port))
        return proxy


class Objects(AzCase):
    def test_stat_tells_size_version_metadata_and_time(self):
        version = AZURE.put(self.container, "blob", b"12345", {"x-ms-meta-our_digest": "abc"})
        info = self.result("stat", self.url())
        self.assertEqual((info["size"], info["version"], info["metadata"]),
                         (5, version, {"our-digest": "abc"}))
        self.assertGreater(info["modified"], 1_600_000_000)
        AZURE.put(self.container, "empty", b"", {"x-ms-meta-sha256": "abc"})
        info = self.result("stat", self.url("empty"))
        self.assertEqual((info["size"], info["metadata"]), (0, {"sha256": "abc"}))
        self.assertIsNone(self.result("stat", self.url("none")))

    def test_put_get_and_remove_any_name(self):
        for name in NAMES:
            with self.subTest(name=name):
                info = self.result("put", self.url(name), "--meta", "our-digest=abc",
                                   stdin=b"bytes")
                self.assertEqual(AZURE.get(self.container, name), b"bytes")
                head = AZURE.head(self.container, name)
                self.assertEqual((head["x-ms-meta-our_digest"], head["etag"]),
                                 ("abc", info["version"]))
                self.assertEqual(self.result("stat", self.url(name))["version"], info["version"])
                self.assertEqual(self.result("get", self.url(name)), "complete")
                self.assertEqual(self.output, b"bytes")
                self.result("remove", self.url(name))
                self.assertIsNone(AZURE.head(self.container, name))
        self.result("remove", self.url("none"))

    def test_one_version_is_removed_and_no_other(self):
        self.assert_removed_by_version(self.url(), requests=1)

    def test_list_decodes_any_name(self):
        for name in NAMES:
            AZURE.put(self.container, name, name.encode())
        self.result("list", self.url(""))
        rows = [line.split("\t") for line in self.output.decode().splitlines()]
        names = {row[0] for row in rows}
        self.assertEqual(names, {self.url(name.split("?")[0] + ("?…" if "?" in name else ""))
                                 for name in NAMES})
        found = {row[0]: row for row in rows}[self.url("ü日本")]
        self.assertEqual(found[1:3], [str(len("ü日本".encode())),
                                      AZURE.head(self.container, "ü日本")["etag"]])
        self.assertGreater(int(found[3]), 1_600_000_000)
        self.result("list", self.url("d/"))
        self.assertEqual(self.output.decode().split("\t")[0], self.url("d//e"))

    def test_a_listing_of_more_than_a_page_goes_on_and_ends_where_it_is_enough(self):
        for i in range(1005):
            AZURE.put(self.container, f"k/{i:04}+ü", b"")
        self.assertEqual(self.result("list", self.url("k/"))["pages"], 2)
        lines = self.output.decode().splitlines()
        self.assertEqual([line.split("\t")[0] for line in lines],
                         [self.url(f"k/{i:04}+ü") for i in range(1005)])
        self.assertEqual(self.result("list", self.url("k/"), "--limit", 1)["pages"], 1)

    def test_what_is_in_no_container_is_code_5(self):
        for words in (["stat", "az://no-such-one/k"], ["put", "az://no-such-one/k"],
                      ["upload", "az://no-such-one/k"], ["list", "az://no-such-one/"],
                      ["remove", "az://no-such-one/k"], ["get", "az://no-such-one/k"]):
            with self.subTest(words=words):
                done = self.store(*words, stdin=b"x")
                self.assert_refused(done, 5, "no bucket 'no-such-one'")

    def test_conditions_on_put(self):
        self.assertIsNotNone(self.result("put", self.url(), "--if-absent", stdin=b"one"))
        self.assertIsNone(self.result("put", self.url(), "--if-absent", stdin=b"two"))
        self.assertEqual(AZURE.get(self.container, "blob"), b"one")
        version = self.result("stat", self.url())["version"]
        new = self.result("put", self.url(), "--if-version", version, stdin=b"three")
        self.assertIsNone(self.result("put", self.url(), "--if-version", version, stdin=b"four"))
        self.assertEqual(AZURE.get(self.container, "blob"), b"three")
        self.assertEqual(self.result("stat", self.url())["version"], new["version"])
        self.assertIsNone(self.result("put", self.url("none"), "--if-version", version,
                                      stdin=b"x"))

    def test_urls_that_name_no_blob_are_usage_errors(self):
        for url, needle in ((f"az://{self.container}", "found no blob"),
                            (f"az://{self.container}/", "found no blob"),
                            ("az://Not_One/blob", "expected a container")):
            with self.subTest(url=url):
                self.assert_refused(self.store("stat", url), 2, needle)


class Ranges(AzCase):
    def setUp(self):
        super().setUp()
        self.data = noise(3 * MIB + 17)
        self.version = AZURE.put(self.container, "blob", self.data)

    def test_parallel_ranges_give_the_object(self):
        proxy = self.through_proxy()
        proxy.fail(together(4), method="GET", times=4)
        self.assertEqual(self.result("ranges", self.url(), 300_000, 4), "complete")
        self.assertEqual(self.output, self.data)
        self.assertEqual(self.figures["requests"], 1 + 11)
        for seen in proxy.requests(method="GET"):
            self.assertEqual(seen.headers["if-match"], self.version)

    def test_each_range_is_tried_again_from_where_it_was_cut(self):
        proxy = self.through_proxy()
        for fault in (cut(after=100_000), reset(after=200_000), azure_error(503, "ServerBusy"),
                      reset(), status(500), azure_error(500, "OperationTimedOut"),
                      status(429, retry_after=0)):
            proxy.fail(fault, method="GET", skip=1)
        self.assertEqual(self.result("ranges", self.url(), MIB, 3), "complete")
        self.assertEqual(self.output, self.data)
        self.assertLess(self.figures["received"], len(self.data) + 300_000)
        self.assertGreaterEqual(len(proxy.requests(method="GET")), 4 + 7)

    def test_a_whole_that_is_cut_goes_on_under_its_version(self):
        proxy = self.through_proxy()
        proxy.fail(reset(after=MIB))
        self.assertEqual(self.result("get", self.url()), "complete")
        self.assertEqual(self.output, self.data)
        second = proxy.requests(method="GET")[1]
        self.assertEqual((second.headers["range"][:6], second.headers["if-match"]),
                         ("bytes=", self.version))
        self.assertLess(self.figures["received"], len(self.data) + MIB)

    def test_a_storm_is_waited_out_as_the_server_asks_and_then_given_up(self):
        proxy = self.through_proxy()
        proxy.fail(azure_error(503, "ServerBusy", retry_after=1))
        start = time.monotonic()
        self.assertEqual(self.result("get", self.url()), "complete")
        self.assertGreaterEqual(time.monotonic() - start, 1)
        proxy.fail(azure_error(503, "ServerBusy"), times=None)
        self.assert_refused(self.store("get", self.url()), 7, "503 ServerBusy", "5 attempts")

    def test_a_stall_is_given_up_and_tried_again(self):
        proxy = self.through_proxy()
        proxy.fail(stall(after=1000))
        self.assertEqual(self.result("get", self.url()), "complete")
        self.assertEqual(self.output, self.data)

    def test_another_version_is_noticed_in_the_first_range_that_meets_it(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: AZURE.put(self.container, "blob", self.data[::-1])), skip=2)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")
        AZURE.put(self.container, "blob", self.data)
        proxy.fail(meanwhile(lambda: AZURE.delete(self.container, "blob")), skip=2)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_an_answer_of_another_version_is_noticed_whatever_its_status(self):
        proxy = self.through_proxy()
        proxy.fail(etag('"other"'), skip=1)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_a_server_without_ranges_is_told_apart(self):
        proxy = self.through_proxy()
        # The signature covers the range, so it is the answer that is changed.
        proxy.fail(header("Content-Range", None, code=200), skip=1, times=None)
        self.assertEqual(self.result("ranges", self.url(), MIB, 2), "no ranges")

    def test_a_range_that_was_not_asked_for_is_refused(self):
        size = len(self.data)
        for fault in (content_range(f"bytes 1-{MIB}/{size}"), content_range(None),
                      content_range(f"bytes 0-{MIB - 1}/*"), content_range("bytes 0-9")):
            proxy = self.through_proxy()
            proxy.fail(fault, skip=1)
            done = self.store("ranges", self.url(), MIB, 1)
            self.assert_refused(done, 7, f"asked for the bytes 0-{MIB - 1} of {size}",
                                "found Content-Range")

    def test_a_signal_ends_all_at_once(self):
        proxy = self.through_proxy()
        proxy.fail(stall(after=10), skip=1, times=None)
        process = self.start("ranges", self.url(), 400_000, 4, stdin=b"")
        wait_until(lambda: len(proxy.requests()) == 5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(3), -signal.SIGTERM)


class Uploads(AzCase):
    def setUp(self):
        super().setUp()
        self.data = noise(3 * MIB + 5)

    def upload(self, *words, threads=3, **changes):
        return self.result("upload", self.url(), MIB, threads, *words, stdin=self.data, **changes)

    def blocks(self):
        answer = AZURE.request("GET", f"/{self.container}/blob",
                               {"comp": "blocklist", "blocklisttype": "all"})
        return [answer.body.count(b"<Name>"), answer.body.split(b"<UncommittedBlocks")[0]
                .count(b"<Name>")]

    def assert_stored(self, info):
        self.assertEqual(AZURE.get(self.container, "blob"), self.data)
        self.assertEqual(AZURE.uncommitted(self.container), [])
        head = AZURE.head(self.container, "blob")
        self.assertEqual((head["etag"], int(head["content-length"])),
                         (info["version"], info["size"]))

    def test_blocks_go_up_in_parallel_each_with_its_md5_and_the_metadata_at_the_end(self):
        proxy = self.through_proxy()
        proxy.fail(together(3), method="PUT", times=3)
        info = self.upload("--meta", "name=n", "--late-meta", "our-digest=abc")
        self.assert_stored(info)
        self.assertEqual(info["metadata"], {"name": "n", "our-digest": "abc"})
        puts = proxy.requests(method="PUT")
        self.assertEqual(len(puts), 5)
        for seen in puts:
            self.assertIn("content-md5", seen.headers)
            self.assertNotIn("expect", seen.headers)
            self.assertNotIn("transfer-encoding", seen.headers)
        self.assertEqual(["x-ms-meta-our_digest" in seen.headers for seen in puts],
                         [False] * 4 + [True])
        head = AZURE.head(self.container, "blob")
        self.assertEqual(head["content-type"], "application/octet-stream")

    def test_names_with_every_awkward_character(self):
        for name in NAMES:
            with self.subTest(name=name):
                self.result("upload", self.url(name), MIB, 1, stdin=b"small")
                self.assertEqual(AZURE.get(self.container, name), b"small")

    def test_an_upload_without_bytes_is_an_empty_blob(self):
        self.data = b""
        self.assertEqual(self.upload()["size"], 0)
        self.assertEqual(AZURE.get(self.container, "blob"), b"")

    def test_a_failed_block_is_sent_again(self):
        for fault in (reset_upload(after=MIB // 2), azure_error(503, "ServerBusy"), lost_answer(),
                      status(500), flip_upload(at=MIB // 2), stall()):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT", skip=1)
            self.assert_stored(self.upload())
            self.assertGreater(len(proxy.requests(method="PUT")), 4 + 1)
            proxy.release()
            AZURE.delete(self.container, "blob")

    def test_bytes_flipped_on_the_way_of_a_put_are_sent_again(self):
        proxy = self.through_proxy()
        proxy.fail(flip_upload(at=2), method="PUT")
        self.result("put", self.url(), stdin=b"bytes")
        self.assertEqual(AZURE.get(self.container, "blob"), b"bytes")
        proxy.fail(header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), method="PUT")
        done = self.store("put", self.url(), stdin=b"bytes")
        self.assert_refused(done, 7, "the store acknowledges AAAA")

    def test_a_commit_whose_answer_is_lost_has_happened(self):
        for words in ([], ["--if-absent"], ["--if-version"]):
            with self.subTest(words=words):
                AZURE.put(self.container, "blob", b"old")
                if words == ["--if-absent"]:
                    AZURE.delete(self.container, "blob")
                if words == ["--if-version"]:
                    words = [*words, self.result("stat", self.url())["version"]]
                proxy = self.through_proxy()
                proxy.fail(lost_answer(), method="PUT", path="comp=blocklist")
                self.assert_stored(self.upload(*words))

    def test_a_commit_that_fails_is_tried_again(self):
        proxy = self.through_proxy()
        proxy.fail(azure_error(500, "InternalError"), method="PUT", path="comp=blocklist")
        self.assert_stored(self.upload("--if-absent"))

    def test_a_condition_that_no_longer_holds_leaves_what_is_there(self):
        version = AZURE.put(self.container, "blob", b"old")
        for words in (["--if-absent"], ["--if-version", '"0x1"']):
            self.assertIsNone(self.upload(*words))
            self.assertEqual(AZURE.get(self.container, "blob"), b"old")
            self.assertEqual(AZURE.head(self.container, "blob")["etag"], version)
        self.assert_stored(self.upload("--if-version", version))
        AZURE.delete(self.container, "blob")
        self.assertIsNone(self.upload("--if-version", version))
        self.assertIsNone(AZURE.head(self.container, "blob"))

    def test_the_condition_holds_at_the_instant_of_the_commit(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: AZURE.put(self.container, "blob", b"other")), method="PUT",
                   path="comp=blocklist")
        self.assertIsNone(self.upload("--if-absent"))
        self.assertEqual(AZURE.get(self.container, "blob"), b"other")

    def test_blocks_of_two_writers_do_not_mix(self):
        def other_writer():
            other = self.start("upload", self.url(), MIB, 3, "--hold", stdin=self.data[::-1])
            self.assertEqual(other.stderr.readline(), b"parts are there\n")
            self.end(other)

        proxy = self.through_proxy()
        proxy.fail(meanwhile(other_writer), method="PUT", path="comp=blocklist")
        self.assert_stored(self.upload())

    def test_blocks_that_another_writer_discarded_are_told_of(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: self.replace(b"other")), method="PUT", path="comp=blocklist")
        done = self.store("upload", self.url(), MIB, 3, stdin=self.data)
        self.assert_refused(done, 7, "InvalidBlockList: another writer")
        self.assertEqual(AZURE.get(self.container, "blob"), b"other")

    def replace(self, data):
        """As another writer of blocks does."""
        AZURE.request("PUT", f"/{self.container}/blob", {"comp": "block", "blockid": "A" * 20},
                      body=data)
        AZURE.request("PUT", f"/{self.container}/blob", {"comp": "blocklist"},
                      body=f"<BlockList><Latest>{'A' * 20}</Latest></BlockList>".encode())

    def test_uncommitted_blocks_of_another_program_in_the_way_are_told_of(self):
        AZURE.request("PUT", f"/{self.container}/blob", {"comp": "block", "blockid": "MDAw"},
                      body=b"x")
        done = self.store("upload", self.url(), MIB, 3, stdin=self.data)
        self.assert_refused(done, 7, "InvalidBlobOrBlock", "another program's upload")

    def test_a_failed_upload_shows_nothing_and_says_what_is_left(self):
        proxy = self.through_proxy()
        proxy.fail(azure_error(403, "AuthorizationPermissionMismatch"), method="PUT", skip=2,
                   times=None)
        done = self.store("upload", self.url(), MIB, 1, stdin=self.data)
        self.assert_refused(done, 8, "AuthorizationPermissionMismatch", self.url(),
                            "uncommitted blocks are left")
        self.assertEqual(AZURE.blobs(self.container), {})
        proxy.honest()
        self.assert_stored(self.upload())

    def test_a_signal_shows_nothing_and_leaves_what_was_there(self):
        for old in (None, b"old"):
            with self.subTest(old=old):
                version = old and AZURE.put(self.container, "blob", old)
                process = self.start("upload", self.url(), MIB, 3, "--hold", stdin=self.data)
                self.assertEqual(process.stderr.readline(), b"parts are there\n")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(10), -signal.SIGTERM)
                self.assertIn(b"uncommitted blocks are left", process.stderr.read())
                if old:
                    self.assertEqual(AZURE.head(self.container, "blob")["etag"], version)
                else:
                    self.assertEqual(AZURE.blobs(self.container), {})
        self.assert_stored(self.upload())
        self.assertEqual(self.blocks(), [4, 4])

    def test_a_signal_in_the_middle_of_blocks_ends_all_at_once(self):
        proxy = self.through_proxy()
        proxy.fail(stall(), method="PUT", times=None)
        process = self.start("upload", self.url(), MIB, 3, stdin=self.data)
        wait_until(lambda: len(proxy.requests(method="PUT")) == 3)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(3), -signal.SIGTERM)
        self.assertEqual(AZURE.blobs(self.container), {})

    def test_a_conditional_put_whose_answer_is_lost_was_ours(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method="PUT")
        info = self.result("put", self.url(), "--if-absent", "--meta", "sha256=abc", stdin=b"one")
        self.assertEqual(info["size"], 3)
        proxy.fail(reset(), method="PUT")
        self.assertIsNone(self.result("put", self.url(), "--if-absent", "--meta", "sha256=abd",
                                      stdin=b"two"))
        self.assertEqual(AZURE.get(self.container, "blob"), b"one")


def skewed_clock(seconds):
    """A server whose clock is `seconds` ahead; the one behind does not look at times."""
    def fault(exchange):
        there = time.time() + seconds
        date = ("Date", email.utils.formatdate(there, usegmt=True))
        sent = email.utils.parsedate_to_datetime(exchange.lower["x-ms-date"]).timestamp()
        if abs(sent - there) > 900:
            exchange.answer(403, [date, ("x-ms-error-code", "AuthenticationFailed")])
            return
        exchange.forward()
    return fault


class Access(AzCase):
    def setUp(self):
        super().setUp()
        AZURE.put(self.container, "blob", b"bytes")

    def account(self, **more):
        """The account by variables of its own, with its endpoint as an option."""
        self.environment = {"AZURE_STORAGE_ACCOUNT": AZURE.account, **more}
        return ["--endpoint-url", AZURE.endpoint()]

    def test_key_and_signature_of_the_account_by_variables(self):
        for more in ({"AZURE_STORAGE_KEY": AZURE.key},
                     {"AZURE_STORAGE_SAS_TOKEN": "?" + AZURE.sas(self.container)}):
            endpoint = self.account(**more)
            self.assertEqual(self.result("get", self.url(), *endpoint), "complete")
            self.result("upload", self.url("other"), MIB, 1, *endpoint, stdin=b"more")
            self.assertEqual(AZURE.get(self.container, "other"), b"more")

    def test_a_connection_string_with_a_signature(self):
        self.environment = AZURE.environment(sas=AZURE.sas(self.container))
        self.result("upload", self.url("other"), MIB, 1, stdin=b"more")
        self.assertEqual(AZURE.get(self.container, "other"), b"more")
        self.result("list", self.url())
        self.assertIn(b"blob\t5\t", self.output)

    def test_the_account_in_the_url(self):
        long = f"az://{AZURE.account}/{self.container}/a/blob"
        self.result("put", long, stdin=b"one")
        self.assertEqual(AZURE.get(self.container, "a/blob"), b"one")
        self.result("list", f"az://{AZURE.account}/{self.container}/a")
        self.assertEqual(self.output.decode().split("\t")[0], long)
        self.environment = {"AZURE_STORAGE_KEY": AZURE.key}
        self.assertEqual(self.result("get", long, "--endpoint-url", AZURE.endpoint()), "complete")
        self.assert_refused(self.store("get", "az://container/blob"), 2,
                            "expected a storage account", "AZURE_STORAGE_ACCOUNT")

    def test_azure_is_the_same_scheme(self):
        self.assertEqual(self.result("get", f"azure://{self.container}/blob"), "complete")

    def test_a_signature_in_the_url_is_used_for_it_alone(self):
        sas = AZURE.sas(self.container)
        self.environment = {}
        web = AZURE.url(self.container, "a b+c%", sas)
        self.result("upload", web, MIB, 1, "--if-absent", "--meta", "sha256=abc", stdin=b"web")
        self.assertEqual(AZURE.get(self.container, "a b+c%"), b"web")
        self.assertEqual(self.result("stat", web)["metadata"], {"sha256": "abc"})
        self.assertEqual(self.result("ranges", web, 2, 2), "complete")
        self.result("list", AZURE.url(self.container, "", sas))
        self.assertIn(b"/blob?", self.output)
        self.assertNotIn(b"sig=", self.output)
        self.result("remove", web)
        self.assertIsNone(AZURE.head(self.container, "a b+c%"))
        endpoint = self.account()
        self.assertEqual(self.result("get", f"{self.url()}?{sas}", *endpoint), "complete")

    def test_a_signature_that_has_expired_or_does_not_allow_it_is_code_8_and_not_shown(self):
        self.environment = {}
        for sas in (AZURE.sas(self.container, seconds=-60), AZURE.sas(self.container, "r")):
            signature = sas.split("sig=")[1]
            done = self.store("put", AZURE.url(self.container, "blob", sas), stdin=b"x")
            self.assert_refused(done, 8, "403 Auth", "the URL's signature", "/blob?…")
            self.assertNotIn(signature[:10], done.stderr)
        self.assertEqual(AZURE.get(self.container, "blob"), b"bytes")

    def test_a_wrong_key_is_code_8_and_not_shown(self):
        self.environment = {"AZURE_STORAGE_CONNECTION_STRING": AZURE.connection_string().replace(
            AZURE.key, "aHVudGVyMmh1bnRlcjI=")}
        done = self.store("get", self.url())
        self.assert_refused(done, 8, "403 AuthorizationFailure", self.url(), "connection string")
        for secret in ("hunter2", "aHVudGVyMmh1bnRlcjI", "SharedKey"):
            self.assertNotIn(secret, done.stderr)

    def test_a_public_container_without_credentials(self):
        endpoint = self.account()
        done = self.store("get", self.url(), "--no-sign-request", *endpoint)
        self.assert_refused(done, 8, "asked without credentials")
        AZURE.request("PUT", f"/{self.container}", {"restype": "container", "comp": "acl"},
                      {"x-ms-blob-public-access": "blob"})
        self.assertEqual(self.result("get", self.url(), "--no-sign-request", *endpoint),
                         "complete")

    def test_a_clock_that_is_an_hour_off_is_corrected_by_the_servers_date(self):
        for seconds in (3600, -3600):
            proxy = self.through_proxy()
            proxy.fail(skewed_clock(seconds), times=None)
            done = self.store("ranges", self.url(), 1, 4)
            # azurite, behind, refuses what is signed for another time only where it looks.
            self.assertEqual((done.returncode, done.stdout), (0, b"bytes"), done.stderr)

    def test_a_clock_that_stays_wrong_is_told(self):
        proxy = self.through_proxy()
        late = ("Date", email.utils.formatdate(time.time() + 3600, usegmt=True))
        proxy.fail(status(403, [late, ("x-ms-error-code", "AuthenticationFailed")]), times=None)
        done = self.store("get", self.url())
        self.assert_refused(done, 8, "AuthenticationFailed", "the clock here is 3")
        self.assertRegex(done.stderr, r"is 3(600|599) s behind the store's")
        self.assertEqual(len(proxy.requests()), 2)


class BearerTokens(StoreCase):
    """Of a service principal, whose token service is one of the test's own."""

    def test_a_refused_token_is_renewed_once_and_then_it_is_code_8(self):
        tls = make_ca(self.tmp / "tls")
        server = self.enterContext(Azurite(tls))
        container = server.container()
        server.put(container, "blob", b"bytes")
        tokens = self.enterContext(FaultyServer())
        self.environment = {
            "AZURE_STORAGE_ACCOUNT": server.account, "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": "hunter2",
            "AZURE_AUTHORITY_HOST": tokens.url("")}
        words = ["get", f"az://{container}/blob", "--endpoint-url", server.endpoint(),
                 "--cacert", tls.ca]
        place = "/tenant/oauth2/v2.0/token"

        def hand_out(seconds):
            body = json.dumps({"access_token": server.bearer_token(seconds), "expires_in": 3600})
            return answer_with(200, [], body.encode())

        tokens.fail(place, hand_out(-60), hand_out(3600))
        self.assertEqual(self.result(*words), "complete")
        self.assertEqual(self.output, b"bytes")
        self.assertEqual(len(tokens.seen), 2)
        tokens.fail(place, *(hand_out(-seconds) for seconds in range(60, 70)))
        done = self.store(*words)
        self.assert_refused(done, 8, "403 Auth", "service principal")
        self.assertEqual(len(tokens.seen), 4)
        tokens.always(place, hand_out(-60))
        self.assert_refused(self.store(*words), 8, "403 Auth")
        for secret in ("hunter2", "eyJ"):
            self.assertNotIn(secret, done.stderr)


class Rclone(AzCase):
    def test_what_it_wrote_is_read_and_what_was_written_it_reads(self):
        env = {"HOME": self.tmp, **AZURE.rclone_environment(self.container)}
        name, data = "d e+f/ü日本&=;:@!$'()*,~#%25", noise(6 * MIB)
        path = self.tmp / "file"
        path.write_bytes(data)

        def rclone(*words):
            done = madtest.run("rclone", "--config", os.devnull, "--retries", 1, *words, env=env)
            self.assertEqual(done.returncode, 0, done.stderr)

        self.result("upload", self.url(name), MIB, 3, stdin=data)
        rclone("copyto", f"AZ:{self.container}/{name}", self.tmp / "back")
        self.assertEqual((self.tmp / "back").read_bytes(), data)
        rclone("copyto", path, f"AZ:{self.container}/theirs")
        self.assertEqual(self.result("ranges", self.url("theirs"), MIB, 3), "complete")
        self.assertEqual(hashlib.sha256(self.output).digest(), hashlib.sha256(data).digest())


if __name__ == "__main__":
    madtest.main()
