"""mad-fetch where something fails: each object store, a fault proxy before it.

What a web server does wrong is in faulty_test.py, and what happens to ranges on any server in
ranges_test.py; here is what a store says in its own words, and what only a store knows.
"""

import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
import unittest

import madtest
from fault_proxy import (FaultProxy, expired_token, flip, other_range, reset, skewed_clock, stall,
                         status)
from fetching import QUICK, Bundle
from places import MIB, AzPlace, GsPlace, S3Place


def setUpModule():
    global DIRECTORY, NPZ, MANIFEST
    DIRECTORY = pathlib.Path(tempfile.mkdtemp(prefix="mad-fetch-faults-"))
    unittest.addModuleCleanup(shutil.rmtree, DIRECTORY)
    arrays = {"heat/field": madtest.np.random.default_rng(1).random(5 * MIB // 8)}
    state = madtest.make_state(DIRECTORY / "state", arrays)
    done = madtest.run("mad-snapshot", "-q", "-o", DIRECTORY / "sim.npz", state)
    assert done.returncode == 0, done.stderr
    NPZ = (DIRECTORY / "sim.npz").read_bytes()
    # Chunks as small as the parts that these tests ask for.
    MANIFEST = madtest.chunked_by(MIB, NPZ, (DIRECTORY / "sim.npz.manifest.json").read_bytes())


def is_range(seen):
    asked = re.fullmatch(r"bytes=(\d+)-\d+", seen.headers.get("range", ""))
    return asked is not None and seen.headers["range"] != "bytes=0-0"


class FromStore(madtest.Case):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.kind(pathlib.Path(tempfile.mkdtemp(dir=DIRECTORY)))
        cls.addClassCleanup(cls.place.stop)

    def setUp(self):
        super().setUp()
        self.place.renew()
        self.place.put("sim.npz", NPZ)
        self.place.put("sim.npz.manifest.json", MANIFEST)
        self.access = self.place.environment()
        self.out = self.tmp / "out"
        self.out.mkdir()

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(self.place.port))
        self.access = self.place.environment(proxy.port)
        return proxy

    def fetch(self, *words, env=None):
        report = self.tmp / "report.json"
        report.unlink(missing_ok=True)
        done = madtest.run(
            "mad-fetch", "--report", report, *words, self.place.url("sim.npz"),
            env={"HOME": self.tmp, "MAD_FETCH_CONNECTIONS": "3", "MAD_FETCH_PART_SIZE": "1M",
                 **QUICK, **self.access, **(env or {})})
        self.report = json.loads(report.read_text())
        return done

    def fetch_out(self, *words, **more):
        return self.fetch("-o", self.out / "out.npz", *words, **more)

    def assert_published(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(self.out)), ["out.npz", "out.npz.manifest.json"])
        self.assertTrue((self.out / "out.npz").read_bytes() == NPZ, "other bytes")
        self.assertEqual((self.out / "out.npz.manifest.json").read_bytes(), MANIFEST)

    def assert_bundle(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        bundle = Bundle(done.stdout)
        self.assertEqual((bundle.seal["stage"], bundle.manifest), ("fetched", MANIFEST))
        self.assertTrue(bundle.npz == NPZ, "other bytes")

    def assert_nothing_visible(self):
        """Neither of the pair; what a fetch may go on from is hidden and stays."""
        self.assertEqual([name for name in os.listdir(self.out) if "mad-partial" not in name], [])


class Faults:
    """What holds for each store; `kind` is its class."""

    def test_a_range_that_stalls_is_asked_for_again(self):
        proxy = self.through_proxy()
        proxy.fail(stall(after=1000), when=is_range)
        self.assert_published(self.fetch_out("--stall-timeout", "0.5"))
        self.assertGreaterEqual(self.report["retries"], 1)

    def test_a_storm_in_the_stores_own_words_is_sat_out(self):
        for fetch, check in ((self.fetch, self.assert_bundle),
                             (self.fetch_out, self.assert_published)):
            proxy = self.through_proxy()
            for fault in self.place.busy:
                proxy.fail(fault, times=2)
                proxy.fail(fault, when=is_range, times=3)
            proxy.fail(status(429, retry_after=0), when=is_range, times=2)
            check(fetch())
            self.assertGreaterEqual(self.report["retries"], 2 + 5 * len(self.place.busy))

    def test_a_store_that_stays_busy_is_given_up(self):
        proxy = self.through_proxy()
        proxy.fail(self.place.busy[0], when=is_range, times=None)
        self.assert_refused(self.fetch_out("--retries", "1"), 7, "2 attempts")
        self.assertEqual(self.report["reason"], "http-status")
        self.assert_nothing_visible()

    def test_a_retry_after_beyond_the_budget_is_not_waited_for(self):
        proxy = self.through_proxy()
        proxy.fail(status(503, retry_after=86400), when=is_range, times=None)
        self.assert_refused(self.fetch_out(), 7, "answers 503", "86400 s")
        self.assert_nothing_visible()

    def test_denied_in_the_middle_is_code_8_and_not_asked_again(self):
        proxy = self.through_proxy()
        proxy.fail(self.place.denied(), when=is_range, skip=2, times=None)
        done = self.fetch_out("--connections", "1", env={"MAD_FETCH_RETRY_DELAY": "100"})
        self.assert_refused(done, 8, "answers 403", "sim.npz")
        self.assertEqual(len([seen for seen in proxy.requests() if is_range(seen)]), 3)
        self.assert_nothing_visible()

    def test_other_bytes_under_the_right_content_range_are_never_published(self):
        if self.kind is AzPlace:
            self.skipTest("what is asked for is in Azure's signature")
        proxy = self.through_proxy()
        # Behind the last one there is nothing to give instead.
        proxy.fail(other_range(5, lying=True), when=lambda seen: is_range(seen) and
                   "=0-" in seen.headers["range"], times=None)
        self.assert_refused(self.fetch_out(), 1, "SHA-256 mismatch")
        self.assertEqual(os.listdir(self.out), [])

    def test_what_was_damaged_on_the_way_passes_no_further_than_mad_verify(self):
        proxy = self.through_proxy()
        proxy.fail(flip(at=1000), when=is_range, skip=2)
        done = madtest.dash(
            'mad-fetch --part-size 1M "$1" | mad-verify | '
            'mad-resume --require --snapshot "$2" -- true',
            self.place.url("sim.npz"), self.out / "in.npz",
            env={"HOME": self.tmp, **QUICK, **self.access})
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertRegex(done.stderr, "(SHA-256|chunk [0-9]+).* mismatch|does not match")
        self.assertEqual(os.listdir(self.out), [])

    def test_a_host_that_no_name_server_knows_is_code_7(self):
        done = self.fetch_out("--retries", "1",
                              env=self.place.elsewhere("http://no-such-host.invalid"))
        self.assert_refused(done, 7, "no-such-host.invalid", "2 attempts")
        self.assertEqual(self.report["reason"], "dns")
        self.assertEqual(os.listdir(self.out), [])

    def test_what_libcurl_asks_again_by_itself_is_counted(self):
        proxy = self.through_proxy()
        # On the connection of the first request.
        proxy.fail(reset(), skip=1)
        self.assert_bundle(self.fetch("--connections", "1"))
        self.assertEqual((self.report["requests"], self.report["retries"]),
                         (len(proxy.requests()), 1))


class FromS3(Faults, FromStore):
    kind = S3Place

    def test_a_clock_that_is_an_hour_off_is_put_right_for_every_range(self):
        for seconds in (3600, -3600):
            with self.subTest(seconds=seconds):
                self.assert_bundle(self.fetch(env=madtest.clock_wrong_by(seconds)))
                self.assertGreaterEqual(self.report["retries"], 1)

    def test_a_clock_that_jumps_in_the_middle_is_put_right_for_ranges_at_the_same_time(self):
        proxy = self.through_proxy()
        ahead = skewed_clock(3600, self.place.server.sign_again)
        barrier = threading.Barrier(3)

        def ahead_for_all(exchange):
            barrier.wait(30)
            ahead(exchange)
        proxy.fail(lambda exchange: exchange.forward(), times=4)
        proxy.fail(ahead_for_all, when=is_range, times=3)
        proxy.fail(ahead, times=None)
        self.assert_published(self.fetch_out())
        self.assertEqual(self.report["retries"], 3)

    def test_credentials_that_expire_in_the_middle_are_replaced(self):
        first = None
        for number in (1, 2):
            access, secret, token = self.place.server.temporary_credentials()
            (self.tmp / f"{number}.json").write_text(json.dumps({
                "Version": 1, "AccessKeyId": access, "SecretAccessKey": secret,
                "SessionToken": token, "Expiration": "2099-01-01T00:00:00Z"}))
            first = first or access
        script = self.tmp / "next"
        script.write_text('cd "${0%/*}"\nset -- [0-9].json\ncat "$1"\nrm "$1"\n')
        (self.tmp / ".aws").mkdir()
        (self.tmp / ".aws/config").write_text(f"[default]\ncredential_process = sh {script}\n")
        proxy = self.through_proxy()
        # Two threads meet it, and both go on with what one of them got.
        proxy.fail(expired_token(), when=lambda seen: is_range(seen) and seen.credential == first,
                   skip=1, times=2)
        self.assert_published(self.fetch_out(
            env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}))
        self.assertEqual(len({seen.credential for seen in proxy.requests()}), 2)

    def test_credentials_that_have_expired_for_good_are_code_8(self):
        proxy = self.through_proxy()
        proxy.fail(expired_token(), when=is_range, skip=1, times=None)
        done = self.fetch_out(env={"MAD_FETCH_RETRY_DELAY": "100"})
        self.assert_refused(done, 8, "environment")
        self.assertEqual(self.report["reason"], "credentials-expired")
        self.assert_nothing_visible()


class FromAzure(Faults, FromStore):
    kind = AzPlace

    def test_a_signature_that_expires_in_the_middle_is_code_8_and_not_shown(self):
        sas = self.place.server.sas(self.place.bucket, "r")
        proxy = self.through_proxy()
        proxy.fail(self.place.denied(), when=is_range, skip=1, times=None)
        done = self.fetch_out(env=self.place.server.environment(
            self.place.server.endpoint(proxy.port), sas=sas))
        self.assert_refused(done, 8, "answers 403")
        self.assertNotIn("sig=", done.stderr + json.dumps(self.report))
        self.assert_nothing_visible()


class FromGoogle(Faults, FromStore):
    kind = GsPlace


del Faults

if __name__ == "__main__":
    madtest.main()
