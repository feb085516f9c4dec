"""mad-fetch from gs:// against the fake of GCS."""

import json

import madtest
from fake_gcs import FakeGCS
from fault_proxy import FaultProxy, flip, gcs_error, meanwhile, reset, status
from fetching import Bundle, FetchCase

AWKWARD_NAMES = ["a b+c.npz", "p%25.npz", "ü日本.npz", "s&=;:@!$'()*,~.npz", "d//e.npz",
                 "x/../y.npz", "./z.npz", "\"<>|{}^`\\.npz", "/slash.npz", "a#b.npz", "a?b#c.npz"]


class GsCase(FetchCase):
    auth = False

    def setUp(self):
        super().setUp()
        self.gcs = self.enterContext(FakeGCS(auth=self.auth))
        self.gcs.bucket("bucket")
        self.environment = self.gcs.environment()

    def put_pair(self, name):
        self.gcs.put("bucket", name, self.bytes)
        self.gcs.put("bucket", name + ".manifest.json", self.manifest)

    def fetch_gs(self, *words, **changes):
        return self.fetch(*words, env={**self.environment, **changes})

    def url(self, name="runs/sim.npz"):
        return f"gs://bucket/{name}"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        self.environment = self.gcs.environment(endpoint=proxy.endpoint())
        return proxy


class Fetching(GsCase):
    def test_a_pair_is_fetched_as_a_bundle_and_to_files(self):
        self.put_pair("runs/sim.npz")
        report = self.tmp / "report.json"
        self.assert_fetched(self.fetch_gs("--report", report, self.url()))
        self.assertEqual(json.loads(report.read_text())["url"], self.url())
        done = self.fetch_gs("-o", self.tmp / "out.npz", RESUME_FROM_URL=self.url())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), self.bytes)

    def test_any_name_is_taken_as_it_stands(self):
        for name in AWKWARD_NAMES:
            with self.subTest(name=name):
                self.put_pair(name)
                self.assert_fetched(self.fetch_gs(self.url(name)))

    def test_a_host_without_a_scheme_is_an_emulator(self):
        self.put_pair("runs/sim.npz")
        self.environment = {"STORAGE_EMULATOR_HOST": f"127.0.0.1:{self.gcs.port}"}
        self.assert_fetched(self.fetch_gs(self.url()))

    def test_what_is_missing_is_named(self):
        done = self.fetch_gs(self.url())
        self.assert_failed(done, 5, "snapshot-missing", self.url())
        self.gcs.put("bucket", "runs/sim.npz", self.bytes)
        done = self.fetch_gs(self.url())
        self.assert_failed(done, 5, "manifest-missing", self.url() + ".manifest.json")
        done = self.fetch_gs("--if-exists", self.url("none.npz"))
        self.assertEqual((done.returncode, Bundle(done.stdout).seal["stage"]), (0, "absent"))

    def test_a_missing_bucket_is_code_5_with_a_reason_of_its_own_also_with_if_exists(self):
        for words in ([], ["--if-exists"]):
            with self.subTest(words=words):
                self.assert_failed(self.fetch_gs(*words, "gs://no-such-bucket/k/sim.npz"), 5,
                                   "bucket-missing", "no bucket 'no-such-bucket' at 127.0.0.1")

    def test_a_storm_of_refusals_is_sat_out(self):
        self.put_pair("runs/sim.npz")
        proxy = self.through_proxy()
        proxy.fail(gcs_error(503, "backendError"), times=3)
        proxy.fail(gcs_error(429, "rateLimitExceeded", retry_after=0), skip=1, times=2)
        self.assert_fetched(self.fetch_gs(self.url()))

    def test_flipped_bytes_are_fetched_again(self):
        self.put_pair("runs/sim.npz")
        proxy = self.through_proxy()
        proxy.fail(flip(at=10), path=r"sim\.npz\.manifest\.json\?alt=media")
        self.assert_fetched(self.fetch_gs(self.url()))

    def test_a_redirect_is_not_followed(self):
        self.put_pair("runs/sim.npz")
        proxy = self.through_proxy()
        with FakeGCS() as other:
            proxy.fail(status(307, [("Location", other.endpoint() + "/storage/v1/b")]), times=None)
            self.assert_failed(self.fetch_gs(self.url()), 7, "http-status", "307")
            self.assertEqual(other.seen, [])

    def test_urls_that_name_no_object_are_usage_errors(self):
        for url, needle in (("gs://bucket", "no name"), ("gs:///name", "no bucket"),
                            ("gs://me:hunter2@bucket/x", "credentials do not belong")):
            with self.subTest(url=url):
                done = self.fetch_gs(url)
                self.assert_failed(done, 2, "usage", needle)
                self.assertNotIn("hunter2", done.stderr)


class Denied(GsCase):
    auth = True

    def setUp(self):
        super().setUp()
        self.put_pair("runs/sim.npz")
        self.environment = {**self.gcs.service_account(self.tmp),
                            "MAD_FETCH_ENDPOINT_URL": self.gcs.endpoint()}

    def assert_keeps_secrets(self, *texts):
        key = json.loads((self.tmp / "service-account.json").read_text())["private_key"]
        for text in texts:
            for secret in ("ya29.", "Bearer", *self.gcs.tokens, key.splitlines()[1]):
                self.assertNotIn(secret, text)

    def test_a_service_account_fetches_and_a_token_that_ends_is_renewed(self):
        self.assert_fetched(self.fetch_gs(self.url()))
        self.assertEqual(self.gcs.grants, 1)
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        proxy.fail(meanwhile(self.gcs.expire_tokens), skip=1)
        self.assert_fetched(self.fetch_gs(self.url(), MAD_FETCH_ENDPOINT_URL=proxy.endpoint()))
        self.assertEqual(self.gcs.grants, 3)

    def test_the_metadata_service_is_never_asked_by_way_of_a_proxy(self):
        through_nowhere = {"http_proxy": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        self.assert_fetched(self.fetch_gs(
            self.url(), GOOGLE_APPLICATION_CREDENTIALS="",
            GCE_METADATA_HOST=f"localhost:{self.gcs.port}", **through_nowhere))
        self.assertEqual(self.gcs.grants, 1)
        # That the proxy counts for everything else.
        done = self.fetch_gs("--retries", "0", self.url(), **{**through_nowhere, "NO_PROXY": ""})
        self.assertEqual(done.returncode, 7, done.stderr)

    def authorizations(self, proxy):
        """How many each request has, and which they are."""
        counts, values = [], set()

        def look(exchange):
            found = [value for name, value in exchange.headers if name.lower() == "authorization"]
            counts.append(len(found))
            values.update(found)
            exchange.forward()
        proxy.fail(look, times=None)
        return counts, values

    def test_each_request_has_one_authorization(self):
        npz = self.tmp / "sim.npz"
        for given in (None, "Authorization: Bearer " + self.gcs.token()):
            proxy = self.enterContext(FaultProxy(self.gcs.port))
            counts, values = self.authorizations(proxy)
            before = self.gcs.grants
            header = {"MAD_FETCH_HEADER": given, "MAD_PUSH_HEADER": given} if given else {}
            changes = {"MAD_PUSH_ENDPOINT_URL": proxy.endpoint(),
                       "MAD_FETCH_ENDPOINT_URL": proxy.endpoint(), **header}
            self.assert_fetched(self.fetch_gs("--part-size", "64K", self.url(), **changes))
            place = f"gs://bucket/{'given' if given else 'own'}.npz"
            done = madtest.run("mad-push", npz, place, env={"HOME": self.tmp, **self.environment,
                                                            **changes})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(set(counts), {1})
            # With one that is given, no credentials are so much as looked for.
            self.assertEqual(self.gcs.grants - before, 0 if given else 2)
            if given:
                self.assertEqual(values, {given.split(": ")[1]})

    def test_one_that_is_given_and_refused_is_code_8_and_not_shown(self):
        done = self.fetch_gs("-H", "Authorization: Bearer hunter2", self.url())
        self.assert_failed(done, 8, "access-denied", "answers 401",
                           "credentials: the Authorization header given")
        self.assertNotIn("hunter2", done.stderr)

    def test_a_redirect_takes_none_elsewhere(self):
        with FakeGCS() as other:
            for code in (301, 302, 303, 307, 308):
                proxy = self.enterContext(FaultProxy(self.gcs.port))
                proxy.fail(status(code, [("Location", other.endpoint() + "/storage/v1/b")]),
                           times=None)
                for words in ([], ["-H", "Authorization: Bearer hunter2"]):
                    done = self.fetch_gs(*words, self.url(),
                                         MAD_FETCH_ENDPOINT_URL=proxy.endpoint())
                    self.assert_failed(done, 7, "http-status", f"answers {code}")
            self.assertEqual(other.seen, [])

    def test_a_clock_that_is_an_hour_off_gets_a_token_all_the_same(self):
        for seconds in (3600, -3600):
            self.assert_fetched(self.fetch_gs(self.url(), **madtest.clock_wrong_by(seconds)))

    def test_without_credentials_it_is_code_8(self):
        self.assert_failed(self.fetch_gs("--no-sign-request", self.url()), 8, "access-denied",
                           "answers 401", "anonymous", self.url())
        portal = self.enterContext(FaultProxy(self.gcs.port))
        portal.fail(status(404), times=None)
        done = self.fetch_gs(self.url(), GOOGLE_APPLICATION_CREDENTIALS="",
                             GCE_METADATA_HOST=f"127.0.0.1:{portal.port}")
        self.assert_failed(done, 8, "no-credentials", "GOOGLE_APPLICATION_CREDENTIALS",
                           "is not Google's")
        self.assertIn("--no-sign-request", done.stderr)

    def test_a_metadata_service_that_is_busy_or_not_up_yet_is_asked_again_and_then_code_7(self):
        service = self.enterContext(FaultProxy(self.gcs.port))
        access = {"GOOGLE_APPLICATION_CREDENTIALS": "",
                  "GCE_METADATA_HOST": f"127.0.0.1:{service.port}"}
        service.fail(status(503), times=2)
        service.fail(reset(), times=2)
        self.assert_fetched(self.fetch_gs(self.url(), **access))
        self.assertEqual(self.gcs.grants, 1)
        service.fail(status(429), times=None)
        self.assert_failed(self.fetch_gs("--retries", "1", self.url(), **access), 7, "http-status",
                           "metadata server", "answered HTTP 429", "gave up after 2 attempts")

    def test_a_refusal_is_code_8_and_no_secret_is_told(self):
        proxy = self.enterContext(FaultProxy(self.gcs.port))
        proxy.fail(gcs_error(403, "forbidden"), times=None)
        report = self.tmp / "report.json"
        done = self.fetch_gs("-v", "--retry-delay", "100", "--report", report, self.url(),
                             MAD_FETCH_ENDPOINT_URL=proxy.endpoint())
        self.assert_failed(done, 8, "access-denied", "403 forbidden", "service-account.json")
        self.assert_keeps_secrets(done.stderr, report.read_text())


if __name__ == "__main__":
    madtest.main()
