"""mad-fetch from s3:// against a real store, Ceph's radosgw."""

import datetime
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import madtest
from fetching import QUICK, Bundle, FetchCase
from radosgw import REGION, Credentials, RadosGW
from servers import FaultyServer, make_ca, status

AWKWARD_KEYS = ["a b+c.npz", "p%25.npz", "ü日本.npz", "s&=;:@!$'()*,~.npz", "d//e.npz",
                "x/../y.npz", "./z.npz", "\"<>|{}^`\\.npz", "/slash.npz", "100%.npz", "a#b.npz",
                "%41.npz", "a?b#c.npz"]


def setUpModule():
    global S3, CA
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mad-s3-tls-"))
    unittest.addModuleCleanup(shutil.rmtree, directory)
    CA = make_ca(directory)
    S3 = RadosGW(tls=CA).start()
    unittest.addModuleCleanup(S3.stop)


def presigned(bucket, key):
    return S3.presigned(bucket, key, tls=True)


class S3Case(FetchCase):
    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.environment = {**S3.environment(), "AWS_CONFIG_FILE": str(self.tmp / "config"),
                            "AWS_SHARED_CREDENTIALS_FILE": str(self.tmp / "credentials")}

    def put_pair(self, key, bucket=None):
        S3.put(bucket or self.bucket, key, self.bytes)
        S3.put(bucket or self.bucket, key + ".manifest.json", self.manifest)

    def fetch_s3(self, *words, **changes):
        """`changes` to the environment; None takes a variable away."""
        env = {**self.environment, **changes}
        return self.fetch(*words, env={name: value for name, value in env.items()
                                       if value is not None})

    def url(self, key="sim.npz"):
        return f"s3://{self.bucket}/{key}"


class Fetching(S3Case):
    def test_a_pair_is_fetched_as_a_bundle_and_to_files(self):
        self.put_pair("runs/sim.npz")
        report = self.tmp / "report.json"
        self.assert_fetched(self.fetch_s3("--report", report, self.url("runs/sim.npz")))
        self.assertEqual(json.loads(report.read_text())["url"], self.url("runs/sim.npz"))
        done = self.fetch_s3("-o", self.tmp / "out.npz", self.url("runs/sim.npz"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), self.bytes)

    def test_any_key_is_taken_as_it_stands(self):
        for key in AWKWARD_KEYS:
            with self.subTest(key=key):
                self.put_pair(key)
                self.assert_fetched(self.fetch_s3(self.url(key)))
        out = self.tmp / "out"
        out.mkdir()
        done = self.fetch_s3("-o", out, self.url("p%25.npz"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(out)), ["p%25.npz", "p%25.npz.manifest.json"])

    def test_the_url_of_the_environment_and_the_options_as_variables(self):
        self.put_pair("sim.npz")
        self.assert_fetched(self.fetch_s3(
            RESUME_FROM_URL=self.url(), AWS_ENDPOINT_URL_S3="http://127.0.0.1:9",
            MAD_FETCH_ENDPOINT_URL=S3.endpoint(), AWS_REGION=None, AWS_DEFAULT_REGION=None,
            MAD_FETCH_REGION=REGION))
        self.assert_fetched(self.fetch_s3("--endpoint-url", S3.endpoint() + "/", "--region", REGION,
                                          self.url(), AWS_ENDPOINT_URL_S3="http://127.0.0.1:9"))
        self.assert_fetched(self.fetch_s3(self.url(), AWS_ENDPOINT_URL_S3=None,
                                          AWS_ENDPOINT_URL=S3.endpoint()))

    def test_a_session_token_is_sent_and_signed(self):
        self.put_pair("sim.npz")
        credentials = S3.temporary_credentials()
        self.assert_fetched(self.fetch_s3(self.url(), **S3.environment(credentials)))
        self.assert_failed(self.fetch_s3(self.url(), **S3.environment(
            Credentials(credentials.access_key, credentials.secret_key, credentials.token[:-4]))),
            8, "access-denied", self.bucket)

    def test_credentials_and_settings_of_a_profile(self):
        self.put_pair("sim.npz")
        (self.tmp / "credentials").write_text(
            f"[other]\naws_access_key_id = {S3.credentials.access_key}\n"
            f"aws_secret_access_key = {S3.credentials.secret_key}\n")
        (self.tmp / "config").write_text(
            f"[profile other]\nregion = {REGION}\nendpoint_url = {S3.endpoint()}\n")
        self.assert_fetched(self.fetch_s3(
            self.url(), AWS_PROFILE="other", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None,
            AWS_ENDPOINT_URL_S3=None, AWS_REGION=None, AWS_DEFAULT_REGION=None))

    def test_virtual_host_addressing(self):
        self.put_pair("a b/sim.npz")
        (self.tmp / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
        self.assert_fetched(self.fetch_s3(self.url("a b/sim.npz"),
                                          AWS_ENDPOINT_URL_S3=S3.endpoint(host="localhost")))
        # That it is what is done: no such host without the bucket's name.
        done = self.fetch_s3("--retries", "0", self.url(), AWS_ENDPOINT_URL_S3="http://store.invalid")
        self.assert_failed(done, 7, "dns", f"{self.bucket}.store.invalid")

    def test_over_tls_with_a_ca_of_its_own(self):
        self.put_pair("sim.npz")
        endpoint = S3.endpoint(tls=True, host="localhost")
        self.assert_fetched(self.fetch_s3("--cacert", CA.ca, self.url(),
                                          AWS_ENDPOINT_URL_S3=endpoint))
        self.assert_fetched(self.fetch_s3(self.url(), AWS_ENDPOINT_URL_S3=endpoint,
                                          AWS_CA_BUNDLE=str(CA.ca)))
        self.assert_failed(self.fetch_s3(self.url(), AWS_ENDPOINT_URL_S3=endpoint), 7, "tls")

    def test_presigned_urls_cover_one_object_each(self):
        self.put_pair("a b+c.npz")
        no_keys = {name: None for name in self.environment if name.startswith("AWS_")}
        npz = presigned(self.bucket, "a b+c.npz")
        self.assert_fetched(self.fetch_s3(
            "--cacert", CA.ca, "--manifest-url", presigned(self.bucket, "a b+c.npz.manifest.json"),
            npz, **no_keys))
        # A HEAD of it is refused; whether the npz is there is asked as the signature allows.
        report = self.tmp / "report.json"
        done = self.fetch_s3("--cacert", CA.ca, "--manifest-url", presigned(self.bucket, "none"),
                             "--report", report, npz, **no_keys)
        self.assert_failed(done, 5, "manifest-missing")
        done = self.fetch_s3("--cacert", CA.ca, npz, **no_keys)
        self.assert_failed(done, 8, "access-denied", "a%20b%2Bc.npz.manifest.json?…")
        for text in (done.stderr, report.read_text()):
            self.assertNotIn("Signature", text)

    def test_a_manifest_elsewhere_gets_no_signature(self):
        self.put_pair("sim.npz")
        with FaultyServer() as server:
            server.put("/m.json", self.manifest)
            self.assert_fetched(self.fetch_s3("--manifest-url", server.url("/m.json"), self.url()))
            self.assertTrue(server.seen)
            for request in server.seen:
                self.assertNotIn("authorization", request.headers)

    def test_a_public_bucket_without_credentials(self):
        S3.request("PUT", f"/{self.bucket}", {"acl": ""}, {"x-amz-acl": "public-read"})
        for key in ("sim.npz", "sim.npz.manifest.json"):
            S3.put(self.bucket, key, self.bytes if key == "sim.npz" else self.manifest,
                   {"x-amz-acl": "public-read"})
        self.assert_fetched(self.fetch_s3("--no-sign-request", self.url(), AWS_ACCESS_KEY_ID=None,
                                          AWS_SECRET_ACCESS_KEY=None))
        S3.put(self.bucket, "sim.npz", self.bytes)
        self.assert_failed(self.fetch_s3("--no-sign-request", self.url()), 8, "access-denied",
                           "--no-sign-request")


class Refusals(S3Case):
    def test_what_is_missing_is_named(self):
        self.assert_failed(self.fetch_s3(self.url("none.npz")), 5, "snapshot-missing",
                           self.url("none.npz"))
        S3.put(self.bucket, "bare.npz", self.bytes)
        self.assert_failed(self.fetch_s3(self.url("bare.npz")), 5, "manifest-missing",
                           self.url("bare.npz.manifest.json"))
        S3.put(self.bucket, "empty.npz", b"")
        self.assert_failed(self.fetch_s3(self.url("empty.npz")), 5, "manifest-missing")
        done = self.fetch_s3("--if-exists", self.url("none.npz"))
        self.assertEqual((done.returncode, Bundle(done.stdout).seal["stage"]), (0, "absent"))

    def test_a_missing_bucket_is_code_5_with_a_reason_of_its_own_also_with_if_exists(self):
        for words in ([], ["--if-exists"]):
            with self.subTest(words=words):
                self.assert_failed(self.fetch_s3(*words, "s3://no-such-bucket/k/sim.npz"), 5,
                                   "bucket-missing", "s3://no-such-bucket/k/sim.npz",
                                   "no bucket 'no-such-bucket' at 127.0.0.1")

    def test_a_wrong_secret_is_code_8_and_not_tried_again(self):
        self.put_pair("sim.npz")
        report = self.tmp / "report.json"
        done = self.fetch_s3("--retry-delay", "100", "--report", report, self.url(),
                             AWS_SECRET_ACCESS_KEY="hunter2hunter2")
        self.assert_failed(done, 8, "access-denied", self.url(), "environment")
        self.assertNotIn("hunter2", done.stderr + report.read_text())
        self.assertNotIn("Signature=", done.stderr + report.read_text())
        self.assert_failed(self.fetch_s3(self.url(), AWS_ACCESS_KEY_ID="NOBODY"), 8, "access-denied",
                           self.url())

    def test_without_credentials_the_places_looked_at_are_listed(self):
        done = self.fetch_s3(self.url(), AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
        self.assert_failed(done, 8, "no-credentials", "AWS_ACCESS_KEY_ID")

    def test_a_usual_place_that_may_not_be_looked_into_has_none_one_that_is_named_is_code_8(self):
        self.put_pair("sim.npz")
        secret = self.tmp / ".aws"
        secret.mkdir()
        (secret / "config").write_text("[default]\n")
        secret.chmod(0)
        self.addCleanup(secret.chmod, 0o700)
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] \
            if os.geteuid() == 0 else []
        argv += [madtest.tool("mad-fetch"), self.url()]
        access = {"HOME": self.tmp, **QUICK, **S3.environment()}
        self.assert_fetched(madtest.run(*argv, env=access))
        for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            self.assert_failed(
                madtest.run(*argv, env={**access, variable: secret / "config"}), 8,
                "credentials-invalid", "cannot read: Permission denied")

    def test_urls_that_name_no_object_are_usage_errors(self):
        for url, needle in ((f"s3://{self.bucket}", "no key"), ("s3:///key", "no bucket"),
                            ("s3://key:hunter2@bucket/x", "credentials do not belong")):
            with self.subTest(url=url):
                done = self.fetch_s3(url)
                self.assert_failed(done, 2, "usage", needle)
                self.assertNotIn("hunter2", done.stderr)

    def test_an_endpoint_that_is_none_is_a_usage_error(self):
        self.assert_failed(self.fetch_s3("--endpoint-url", "store", self.url()), 2, "usage",
                           "endpoint")

    def test_an_endpoint_that_refuses_connections_is_tried_again_and_then_code_7(self):
        done = self.fetch_s3("--retries", "1", self.url(), AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
        self.assert_failed(done, 7, "connect", "2 attempts")


XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>m</Message>{}</Error>'


def refusal(http, code, *headers, more=""):
    return status(http, list(headers), body=XML.format(code, more).encode())


class Repairs(S3Case):
    """What a store says rarely, said by a server of the test's own."""

    def setUp(self):
        super().setUp()
        self.server = self.enterContext(FaultyServer())
        self.server.put_snapshot("/b/sim.npz", self.npz, etag='"v1"')
        self.environment["AWS_ENDPOINT_URL_S3"] = self.server.url("")

    def test_retryable_refusals_are_tried_again_whatever_their_status(self):
        for http, code in ((400, "RequestTimeout"), (503, "SlowDown"), (500, "InternalError"),
                           (409, "OperationAborted"), (429, "TooManyRequests")):
            with self.subTest(code=code):
                self.server.fail("/b/sim.npz", refusal(http, code))
                self.assert_fetched(self.fetch_s3("s3://b/sim.npz"))

    def test_other_refusals_are_final_and_named(self):
        self.server.always("/b/sim.npz", refusal(400, "InvalidRequest"))
        done = self.fetch_s3("--retry-delay", "100", "s3://b/sim.npz")
        self.assert_failed(done, 7, "http-status", "400 InvalidRequest", "s3://b/sim.npz")

    def test_a_refusal_that_is_no_xml_is_judged_by_its_status(self):
        for body in (b"<Error><Code>SlowDown</Code>", b"\xff<Error>", b"<!DOCTYPE x><Error/>",
                     b"<Error><Code>\x1b[31m" + b"x" * 100 + b"</Code></Error>", b"x" * 200_000):
            with self.subTest(body=body[:40]):
                self.server.always("/b/sim.npz", status(400, body=body))
                self.assert_failed(self.fetch_s3("s3://b/sim.npz"), 7, "http-status", "answers 400")

    def test_a_clock_that_is_an_hour_off_is_corrected_by_the_servers_date(self):
        late = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
        self.server.fail("/b/sim.npz.manifest.json",
                         refusal(403, "RequestTimeTooSkewed", ("Date", late)))
        self.assert_fetched(self.fetch_s3("s3://b/sim.npz"))
        stamps = [request.headers["x-amz-date"] for request in self.server.seen]
        times = [datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ") for stamp in stamps]
        self.assertGreater((times[1] - times[0]).total_seconds(), 3500)
        self.assertGreater((times[-1] - times[0]).total_seconds(), 3500)

    def test_a_clock_that_stays_wrong_is_code_8(self):
        self.server.always("/b/sim.npz.manifest.json", refusal(403, "RequestTimeTooSkewed"))
        self.assert_failed(self.fetch_s3("--retry-delay", "100", "s3://b/sim.npz"), 8,
                           "access-denied", "RequestTimeTooSkewed")

    def test_a_bucket_of_another_region_is_asked_there(self):
        self.server.fail("/b/sim.npz.manifest.json", refusal(
            400, "AuthorizationHeaderMalformed", more="<Region>eu-west-3</Region>"))
        self.server.fail("/b/sim.npz", refusal(
            301, "PermanentRedirect", ("x-amz-bucket-region", "eu-south-1")))
        self.assert_fetched(self.fetch_s3("s3://b/sim.npz"))
        regions = [request.headers["authorization"].split("/")[2] for request in self.server.seen]
        self.assertEqual(regions[:5], [REGION] + ["eu-west-3"] * 3 + ["eu-south-1"])

    def test_expired_credentials_are_renewed_once(self):
        script = self.tmp / "process.sh"
        script.write_text("#!/bin/sh\necho x >> '%s'\nn=$(wc -l < '%s')\n"
                          "printf '{\"Version\":1,\"AccessKeyId\":\"KEY%%s\",\"SecretAccessKey\":\"s\"}' $n\n"
                          % (self.tmp / "count", self.tmp / "count"))
        script.chmod(0o755)
        (self.tmp / "config").write_text(f"[default]\ncredential_process = {script}\n")
        self.server.fail("/b/sim.npz", refusal(400, "ExpiredToken"))
        self.assert_fetched(self.fetch_s3("s3://b/sim.npz", AWS_ACCESS_KEY_ID=None,
                                          AWS_SECRET_ACCESS_KEY=None))
        keys = [request.headers["authorization"].split("=")[1].split("/")[0]
                for request in self.server.seen]
        self.assertEqual(keys, ["KEY1"] * 3 + ["KEY2"] * 2)

    def test_expired_credentials_that_cannot_be_renewed_are_code_8(self):
        self.server.always("/b/sim.npz.manifest.json", refusal(400, "ExpiredToken"))
        self.assert_failed(self.fetch_s3("s3://b/sim.npz"), 8, "credentials-expired", "environment")

    def test_a_redirect_is_not_followed_with_signed_requests(self):
        with FaultyServer() as other:
            self.server.always("/b/sim.npz.manifest.json",
                               status(307, [("Location", other.url("/b/sim.npz"))]))
            self.assert_failed(self.fetch_s3("s3://b/sim.npz"), 7, "http-status", "307")
            self.assertEqual(other.seen, [])

    def test_an_authorization_given_stands_in_place_of_a_signature(self):
        self.assert_fetched(self.fetch_s3("-H", "Authorization: Bearer token", "s3://b/sim.npz"))
        for request in self.server.seen:
            self.assertEqual(request.headers["authorization"], "Bearer token")
            self.assertNotIn("x-amz-date", request.headers)

    def test_headers_given_are_sent_and_those_of_amazon_signed(self):
        self.assert_fetched(self.fetch_s3("-H", "X-Amz-Request-Payer: requester", "-H", "X-Other: o",
                                          "s3://b/sim.npz"))
        headers = self.server.seen[0].headers
        self.assertEqual((headers["x-amz-request-payer"], headers["x-other"]), ("requester", "o"))
        self.assertIn("x-amz-request-payer", headers["authorization"])
        self.assertNotIn("x-other", headers["authorization"])


if __name__ == "__main__":
    madtest.main()
