"""mad-fetch from az:// and from signed https URLs, against azurite."""

import json
import pathlib
import shutil
import tempfile
import unittest

import madtest
from azurite import Azurite
from fetching import Bundle, FetchCase
from servers import FaultyServer, make_ca

AWKWARD_NAMES = ["a b+c.npz", "p%25.npz", "ü日本.npz", "s&=;:@!$'()*,~.npz", "d//e.npz",
                 "\"<>|{}^`.npz", "100%.npz", "a#b.npz", "%41.npz", "a?b#c.npz"]


def setUpModule():
    global AZURE, TLS
    AZURE = Azurite().start()
    unittest.addModuleCleanup(AZURE.stop)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mad-az-tls-"))
    unittest.addModuleCleanup(shutil.rmtree, directory)
    TLS = Azurite(tls=make_ca(directory)).start()
    unittest.addModuleCleanup(TLS.stop)


class AzCase(FetchCase):
    def setUp(self):
        super().setUp()
        self.container = AZURE.container()

    def put_pair(self, name, server=None, container=None):
        server, container = server or AZURE, container or self.container
        server.put(container, name, self.bytes)
        server.put(container, name + ".manifest.json", self.manifest)

    def url(self, name="sim.npz"):
        return f"az://{self.container}/{name}"

    def fetch_az(self, *words, env=None):
        return self.fetch(*words, env=env or AZURE.environment())


class Fetching(AzCase):
    def test_a_pair_is_fetched_as_a_bundle_and_to_files(self):
        self.put_pair("runs/sim.npz")
        report = self.tmp / "report.json"
        self.assert_fetched(self.fetch_az("--report", report, self.url("runs/sim.npz")))
        self.assertEqual(json.loads(report.read_text())["url"], self.url("runs/sim.npz"))
        done = self.fetch_az("-o", self.tmp / "out.npz", self.url("runs/sim.npz"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), self.bytes)
        self.assert_fetched(self.fetch_az(f"azure://{self.container}/runs/sim.npz"))

    def test_any_name_is_taken_as_it_stands(self):
        for name in AWKWARD_NAMES:
            with self.subTest(name=name):
                self.put_pair(name)
                self.assert_fetched(self.fetch_az(self.url(name)))

    def test_the_account_by_variables_or_in_the_url_and_the_endpoint_as_an_option(self):
        self.put_pair("sim.npz")
        key = {"AZURE_STORAGE_KEY": AZURE.key}
        self.assert_fetched(self.fetch_az(
            "--endpoint-url", AZURE.endpoint(), self.url(),
            env={**key, "AZURE_STORAGE_ACCOUNT": AZURE.account}))
        self.assert_fetched(self.fetch_az(
            f"az://{AZURE.account}/{self.container}/sim.npz",
            env={**key, "MAD_FETCH_ENDPOINT_URL": AZURE.endpoint()}))

    def test_a_signed_https_url_opens_the_manifest_beside_it_too(self):
        container = TLS.container()
        self.put_pair("a b+c.npz", TLS, container)
        report = self.tmp / "report.json"
        url = TLS.url(container, "a b+c.npz", TLS.sas(container, "r"))
        done = self.fetch("--cacert", TLS.tls.ca, "--report", report, url)
        self.assert_fetched(done)
        for text in (done.stderr, report.read_text()):
            self.assertNotIn("sig=", text)
        done = self.fetch("--cacert", TLS.tls.ca, url.replace("c.npz", "d.npz"))
        self.assert_failed(done, 5, "snapshot-missing", "d.npz?…")

    def test_a_manifest_elsewhere_gets_no_signature(self):
        self.put_pair("sim.npz")
        with FaultyServer() as server:
            server.put("/m.json", self.manifest)
            self.assert_fetched(self.fetch_az("--manifest-url", server.url("/m.json"), self.url()))
            self.assertTrue(server.seen)
            for request in server.seen:
                self.assertNotIn("authorization", request.headers)


class Refusals(AzCase):
    def test_what_is_missing_is_named(self):
        self.assert_failed(self.fetch_az(self.url("none.npz")), 5, "snapshot-missing",
                           self.url("none.npz"))
        AZURE.put(self.container, "bare.npz", self.bytes)
        self.assert_failed(self.fetch_az(self.url("bare.npz")), 5, "manifest-missing",
                           self.url("bare.npz.manifest.json"))
        done = self.fetch_az("--if-exists", self.url("none.npz"))
        self.assertEqual((done.returncode, Bundle(done.stdout).seal["stage"]), (0, "absent"))

    def test_a_missing_container_is_code_5_with_a_reason_of_its_own_also_with_if_exists(self):
        for words in ([], ["--if-exists"]):
            with self.subTest(words=words):
                self.assert_failed(self.fetch_az(*words, "az://no-such-one/k/sim.npz"), 5,
                                   "bucket-missing", "az://no-such-one/k/sim.npz",
                                   "no bucket 'no-such-one' at 127.0.0.1")

    def test_a_wrong_key_is_code_8_not_tried_again_and_not_shown(self):
        self.put_pair("sim.npz")
        report = self.tmp / "report.json"
        text = AZURE.connection_string().replace(AZURE.key, "aHVudGVyMmh1bnRlcjI=")
        for words in ([], ["--if-exists"]):
            done = self.fetch_az("--retry-delay", "100", "--report", report, *words, self.url(),
                                 env={"AZURE_STORAGE_CONNECTION_STRING": text})
            self.assert_failed(done, 8, "access-denied", self.url(), "connection string")
            for secret in ("aHVudGVyMmh1bnRlcjI", "hunter2", "SharedKey"):
                self.assertNotIn(secret, done.stderr + report.read_text())

    def test_a_signature_that_has_expired_is_code_8_and_not_shown(self):
        self.put_pair("sim.npz")
        report = self.tmp / "report.json"
        sas = AZURE.sas(self.container, "r", seconds=-60)
        for url in (AZURE.url(self.container, "sim.npz", sas),
                    f"az://{AZURE.account}/{self.container}/sim.npz?{sas}"):
            done = self.fetch_az("--endpoint-url", AZURE.endpoint(), "--report", report, url,
                                 env={"AZURE_STORAGE_ACCOUNT": AZURE.account})
            self.assert_failed(done, 8, "access-denied", "the URL's signature")
            for secret in ("sig=", sas.split("sig=")[1][:10]):
                self.assertNotIn(secret, done.stderr + report.read_text())

    def test_urls_that_name_no_blob_are_usage_errors(self):
        for url, needle in ((f"az://{self.container}", "found no"),
                            ("az:///blob", "no bucket"),
                            ("az://key:hunter2@container/x", "credentials do not belong"),
                            ("az://No/x", "expected a container")):
            with self.subTest(url=url):
                done = self.fetch_az(url)
                self.assert_failed(done, 2, "usage", needle)
                self.assertNotIn("hunter2", done.stderr)
        self.assert_failed(self.fetch_az("az://container/blob", env={"A": "1"}), 2, "usage",
                           "expected a storage account")


if __name__ == "__main__":
    madtest.main()
