"""The calls of the az transport against azurite, and with faults in between."""

import email.utils
import hashlib
import json
import os
import signal
import time
import unittest

import contract
import madtest
from azurite import Azurite
from fault_proxy import (FaultProxy, azure_error, etag, flip_upload, header, lost_answer,
                         meanwhile, status, together)
from servers import FaultyServer, answer_with, make_ca
from storing import MIB, StoreCase, noise


def setUpModule():
    global AZURE
    AZURE = Azurite().start()
    unittest.addModuleCleanup(AZURE.stop)


class AzCase(StoreCase, contract.StoreContract):
    KEYS = [*contract.AWKWARD, "^`"]
    DENIED, BUSY = "403 AuthorizationPermissionMismatch", "503 ServerBusy"
    FAULTS = (azure_error(500, "OperationTimedOut"),)
    PART_FAULTS = (flip_upload(at=MIB // 2),)
    WRONG_RANGES = ()  # the signature covers what is asked for

    def setUp(self):
        self.container = AZURE.container()
        self.environment = AZURE.environment()
        super().setUp()

    def url(self, key="object"):
        return f"az://{self.container}/{key}"

    def nowhere(self):
        return "az://no-such-one/", "no-such-one"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(AZURE.port))
        self.environment = AZURE.environment(AZURE.endpoint(proxy.port))
        return proxy

    def put(self, body, key="object", **metadata):
        headers = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
        return AZURE.put(self.container, key, body, headers)

    def find(self, key="object"):
        head = AZURE.head(self.container, key)
        if head is None:
            return None
        metadata = {name.removeprefix("x-ms-meta-"): value for name, value in head.items()
                    if name.startswith("x-ms-meta-")}
        return AZURE.get(self.container, key), metadata, head["etag"]

    def delete(self, key="object"):
        AZURE.delete(self.container, key)

    def unfinished(self):
        return AZURE.uncommitted(self.container)

    def assert_nothing_left(self):
        # Uncommitted blocks go by themselves, and cannot be taken away.
        self.assertEqual(AZURE.blobs(self.container), {})

    def busy(self, **options):
        return azure_error(503, "ServerBusy", **options)

    def denied(self):
        return azure_error(403, "AuthorizationPermissionMismatch")

    def other_version(self):
        return etag('"other"')

    def whole(self):
        # The signature covers the range, so it is the answer that is changed.
        return header("Content-Range", None, code=200)


class Objects(contract.Objects, AzCase):
    def test_a_dash_in_the_name_of_metadata_is_an_underscore_there(self):
        self.result("put", self.url(), "--meta", "our-digest=abc", stdin=b"bytes")
        self.assertEqual(AZURE.head(self.container, "object")["x-ms-meta-our_digest"], "abc")
        self.assertEqual(self.result("stat", self.url())["metadata"], {"our-digest": "abc"})

    def test_urls_that_name_no_blob_are_usage_errors(self):
        for url, needle in ((f"az://{self.container}", "found no blob"),
                            (f"az://{self.container}/", "found no blob"),
                            ("az://Not_One/blob", "expected a container")):
            with self.subTest(url=url):
                self.assert_refused(self.store("stat", url), 2, needle)


class Ranges(contract.Ranges, AzCase):
    pass


class Uploads(contract.Uploads, AzCase):
    def blocks(self):
        answer = AZURE.request("GET", f"/{self.container}/object",
                               {"comp": "blocklist", "blocklisttype": "all"})
        return [answer.body.count(b"<Name>"), answer.body.split(b"<UncommittedBlocks")[0]
                .count(b"<Name>")]

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
        head = AZURE.head(self.container, "object")
        self.assertEqual(head["content-type"], "application/octet-stream")

    def test_bytes_flipped_on_the_way_of_a_put_are_sent_again(self):
        proxy = self.through_proxy()
        proxy.fail(flip_upload(at=2), method="PUT")
        self.result("put", self.url(), stdin=b"bytes")
        self.assertEqual(AZURE.get(self.container, "object"), b"bytes")
        proxy.fail(header("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="), method="PUT")
        done = self.store("put", self.url(), stdin=b"bytes")
        self.assert_refused(done, 7, "the store acknowledges AAAA")

    def test_a_commit_whose_answer_is_lost_has_happened(self):
        for words in ([], ["--if-absent"], ["--if-version"]):
            with self.subTest(words=words):
                AZURE.put(self.container, "object", b"old")
                if words == ["--if-absent"]:
                    AZURE.delete(self.container, "object")
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
        version = AZURE.put(self.container, "object", b"old")
        for words in (["--if-absent"], ["--if-version", '"0x1"']):
            self.assertIsNone(self.upload(*words))
            self.assertEqual(AZURE.get(self.container, "object"), b"old")
            self.assertEqual(AZURE.head(self.container, "object")["etag"], version)
        self.assert_stored(self.upload("--if-version", version))
        AZURE.delete(self.container, "object")
        self.assertIsNone(self.upload("--if-version", version))
        self.assertIsNone(AZURE.head(self.container, "object"))

    def test_the_condition_holds_at_the_instant_of_the_commit(self):
        proxy = self.through_proxy()
        proxy.fail(meanwhile(lambda: AZURE.put(self.container, "object", b"other")), method="PUT",
                   path="comp=blocklist")
        self.assertIsNone(self.upload("--if-absent"))
        self.assertEqual(AZURE.get(self.container, "object"), b"other")

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
        self.assertEqual(AZURE.get(self.container, "object"), b"other")

    def replace(self, data):
        """As another writer of blocks does."""
        AZURE.request("PUT", f"/{self.container}/object", {"comp": "block", "blockid": "A" * 20},
                      body=data)
        AZURE.request("PUT", f"/{self.container}/object", {"comp": "blocklist"},
                      body=f"<BlockList><Latest>{'A' * 20}</Latest></BlockList>".encode())

    def test_uncommitted_blocks_of_another_program_in_the_way_are_told_of(self):
        AZURE.request("PUT", f"/{self.container}/object", {"comp": "block", "blockid": "MDAw"},
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
                version = old and AZURE.put(self.container, "object", old)
                process = self.start("upload", self.url(), MIB, 3, "--hold", stdin=self.data)
                self.assertEqual(process.stderr.readline(), b"parts are there\n")
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(10), -signal.SIGTERM)
                self.assertIn(b"uncommitted blocks are left", process.stderr.read())
                if old:
                    self.assertEqual(AZURE.head(self.container, "object")["etag"], version)
                else:
                    self.assertEqual(AZURE.blobs(self.container), {})
        self.assert_stored(self.upload())
        self.assertEqual(self.blocks(), [4, 4])


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
        AZURE.put(self.container, "object", b"bytes")

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
        self.assertIn(b"object\t5\t", self.output)

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
        self.assertEqual(self.result("get", f"azure://{self.container}/object"), "complete")

    def test_a_signature_in_the_url_is_used_for_it_alone(self):
        sas = AZURE.sas(self.container)
        self.environment = {}
        web = AZURE.url(self.container, "a b+c%", sas)
        self.result("upload", web, MIB, 1, "--if-absent", "--meta", "sha256=abc", stdin=b"web")
        self.assertEqual(AZURE.get(self.container, "a b+c%"), b"web")
        self.assertEqual(self.result("stat", web)["metadata"], {"sha256": "abc"})
        self.assertEqual(self.result("ranges", web, 2, 2), "complete")
        self.result("list", AZURE.url(self.container, "", sas))
        self.assertIn(b"/object?", self.output)
        self.assertNotIn(b"sig=", self.output)
        self.result("remove", web)
        self.assertIsNone(AZURE.head(self.container, "a b+c%"))
        endpoint = self.account()
        self.assertEqual(self.result("get", f"{self.url()}?{sas}", *endpoint), "complete")

    def test_a_signature_that_has_expired_or_does_not_allow_it_is_code_8_and_not_shown(self):
        self.environment = {}
        for sas in (AZURE.sas(self.container, seconds=-60), AZURE.sas(self.container, "r")):
            signature = sas.split("sig=")[1]
            done = self.store("put", AZURE.url(self.container, "object", sas), stdin=b"x")
            self.assert_refused(done, 8, "403 Auth", "the URL's signature", "/object?…")
            self.assertNotIn(signature[:10], done.stderr)
        self.assertEqual(AZURE.get(self.container, "object"), b"bytes")

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
        self.assertRegex(done.stderr, r"is 3(600|59\d) s behind the store's")
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
