"""mad-push where something fails: each kind of store, a fault proxy before it.

Of each fault: the exit code, what is said, what is asked again and what is not, and what a
reader finds afterwards.
"""

import email.utils
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import madtest
from fault_proxy import (FaultProxy, expired_token, flip, flip_upload, lost_answer, meanwhile,
                         reset, reset_upload, stall, stall_upload, status)
from places import MIB, AzPlace, GsPlace, S3Place, WebPlace

QUICK = {"MAD_PUSH_RETRY_DELAY": "0.01", "MAD_PUSH_STALL_TIMEOUT": "10",
         "MAD_FETCH_RETRY_DELAY": "0.01"}
AWKWARD = ["a b+c.npz", "p%25.npz", "ü日本.npz", "s&=;:@!$'()*,~.npz", "d//e.npz", "x/../y.npz",
           "\"<>|{}^`\\.npz", "100%.npz", "a#b.npz", "%41.npz", "a?b#c.npz"]


def setUpModule():
    global DIRECTORY
    DIRECTORY = pathlib.Path(tempfile.mkdtemp(prefix="mad-push-faults-"))
    unittest.addModuleCleanup(shutil.rmtree, DIRECTORY)


def snapshot(directory, step, part_mib):
    """Of three parts."""
    elements = (2 * part_mib * MIB + 3 * MIB // 4) // 8
    arrays = {"heat/field": madtest.np.random.default_rng(step).random(elements)}
    state = madtest.make_state(directory / f"state-{step}", arrays)
    npz = directory / f"made-{step}" / "sim.npz"
    npz.parent.mkdir()
    done = madtest.run("mad-snapshot", "-q", "-o", npz, state)
    assert done.returncode == 0, done.stderr
    return npz


def manifest_of(npz):
    return pathlib.Path(f"{npz}.manifest.json").read_bytes()


def is_write(seen):
    return seen.method in ("PUT", "POST", "PATCH", "DELETE")


def is_data(seen):
    """Bytes of the npz."""
    return seen.method == "PUT" and int(seen.headers.get("content-length", 0)) > MIB // 2


class PushCase(madtest.Case):
    @classmethod
    def setUpClass(cls):
        directory = pathlib.Path(tempfile.mkdtemp(dir=DIRECTORY))
        cls.place = cls.kind(directory)
        cls.addClassCleanup(cls.place.stop)
        cls.old, cls.new = (snapshot(directory, step, cls.kind.part_mib) for step in (1, 2))
        cls.quick = {**QUICK, "MAD_PUSH_PART_SIZE": f"{cls.kind.part_mib}M"}

    def setUp(self):
        super().setUp()
        self.place.renew()
        self.access = self.place.environment()
        self.port = None

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(self.place.port))
        self.port = proxy.port
        self.access = self.place.environment(proxy.port)
        return proxy

    def push(self, *words, env=None, url=None, npz=None):
        report = self.tmp / "report.json"
        report.unlink(missing_ok=True)
        done = madtest.run("mad-push", "--report", report, *words, npz or self.new,
                           url or self.place.url(port=self.port),
                           env={"HOME": self.tmp, **self.quick, **self.access, **(env or {})})
        self.report = json.loads(report.read_text())
        return done

    def pushed(self, *words, **more):
        done = self.push(*words, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def put_old(self):
        straight = self.place.environment()
        done = madtest.run("mad-push", "-q", self.old, self.place.url(),
                           env={"HOME": self.tmp, **self.quick, **straight})
        self.assertEqual(done.returncode, 0, done.stderr)

    def assert_stored(self, npz=None, name="runs/sim.npz"):
        """That pair, nothing else, and no part of anything."""
        npz = npz or self.new
        self.assertTrue(self.place.data(name) == npz.read_bytes(), "other bytes")
        self.assertEqual(self.place.data(name + ".manifest.json"), manifest_of(npz))
        self.assertEqual(self.place.names(), [name, name + ".manifest.json"])
        self.assertEqual(self.place.leftovers(), [])

    def assert_kept(self):
        """What a reader finds is the old one, whole; and no part of the other is left."""
        out = self.tmp / "kept.npz"
        done = madtest.run("mad-fetch", "-q", "-o", out, self.place.url(),
                           env={"HOME": self.tmp, **self.quick, **self.place.environment()})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(out.read_bytes() == self.old.read_bytes(), "other bytes")
        self.assertEqual(self.place.leftovers(), [])
        unfinished = [name for name in self.place.names() if not name.endswith(".next")]
        self.assertEqual(unfinished, ["runs/sim.npz", "runs/sim.npz.manifest.json"])

    def assert_reason(self, done, code, reason, *needles):
        self.assert_refused(done, code, *needles)
        self.assertEqual((self.report["code"], self.report["reason"]), (code, reason))


class Faults:
    """What holds for each store; `kind` is its class."""

    # What passes.

    def test_what_passes_is_sent_again(self):
        for fault in (reset(), reset_upload(after=MIB // 2), stall_upload(after=MIB // 2),
                      lost_answer(), *self.place.busy):
            with self.subTest(fault=fault):
                self.place.renew()
                proxy = self.through_proxy()
                proxy.fail(fault, when=is_data)
                self.pushed("--stall-timeout", "1")
                self.assert_stored()
                self.assertGreaterEqual(self.report["retries"], 1)

    def test_the_budget_is_for_what_follows_a_failure_however_long_that_took(self):
        proxy = self.through_proxy()
        proxy.fail(stall_upload(after=MIB // 2), when=is_data)
        self.pushed("--stall-timeout", "2", "--retry-budget", "1")
        self.assert_stored()

    def test_so_it_is_with_the_manifest_and_what_goes_before_it(self):
        for fault in (reset(), lost_answer(), status(503)):
            with self.subTest(fault=fault):
                self.place.renew()
                proxy = self.through_proxy()
                proxy.fail(fault, method="PUT", path=r"manifest\.json", times=2)
                proxy.fail(fault, method="POST", path=r"manifest\.json", times=2)
                proxy.fail(fault, method="DELETE")
                self.pushed()
                self.assert_stored()

    def test_a_storm_is_sat_out(self):
        self.put_old()
        proxy = self.through_proxy()
        for fault in self.place.busy:
            proxy.fail(fault, when=is_write, times=2)
        proxy.fail(status(429, retry_after=0), when=is_write, skip=1, times=2)
        self.pushed()
        self.assert_stored()
        self.assertGreaterEqual(self.report["retries"], 2 + 2 * len(self.place.busy))

    # What does not.

    def test_a_store_that_stays_ill_is_given_up_and_keeps_what_it_had(self):
        self.put_old()
        for fault, reason, needle in (
                (status(503), "http-status", "answers 503"), (reset(), "connect", "reset"),
                (stall(), "timeout", "no byte came for 0.5 s")):
            with self.subTest(needle=needle):
                proxy = self.through_proxy()
                proxy.fail(fault, when=is_data, times=None)
                done = self.push("--retries", "1", "--stall-timeout", "0.5")
                self.assert_refused(done, 7, needle, "gave up after 2 attempts")
                self.assertIn(self.report["reason"], (reason, "transfer-cut"))
                self.assert_kept()

    def test_a_deadline_ends_retries_with_10_aborts_the_upload_and_keeps_what_was_there(self):
        self.put_old()
        faults = [stall_upload(after=MIB // 2)]
        if self.kind is WebPlace:
            faults.append(status(503))
        for fault in faults:
            with self.subTest(fault=fault):
                proxy = self.through_proxy()
                proxy.fail(fault, when=is_data, skip=1 if self.place.has_buckets else 0,
                           times=None)
                done = self.push("--deadline", "4", "--retries", "1000", "--connections", "1")
                self.assert_reason(done, 10, "deadline-passed", "there is no time left")
                self.assert_kept()

    def test_a_retry_after_beyond_the_budget_is_not_waited_for(self):
        self.put_old()
        proxy = self.through_proxy()
        proxy.fail(status(429, retry_after=86400), when=is_data, times=None)
        self.assert_reason(self.push(), 7, "http-status", "answers 429", "86400 s")
        self.assert_kept()

    def test_denied_in_the_middle_is_code_8_and_not_asked_again(self):
        self.put_old()
        proxy = self.through_proxy()
        proxy.fail(self.place.denied(), when=is_data, skip=1 if self.place.has_buckets else 0,
                   times=None)
        done = self.push("--connections", "1", env={"MAD_PUSH_RETRY_DELAY": "100"})
        self.assert_reason(done, 8, "access-denied", "answers 403", "sim.npz")
        self.assertEqual(self.report.get("retries", 0), 0)
        self.assert_kept()

    def test_another_final_refusal_is_code_7_and_not_asked_again(self):
        self.put_old()
        proxy = self.through_proxy()
        proxy.fail(status(400), when=is_data, times=None)
        done = self.push("--connections", "1", env={"MAD_PUSH_RETRY_DELAY": "100"})
        self.assert_reason(done, 7, "http-status", "answers 400")
        self.assertEqual(len([seen for seen in proxy.requests() if is_data(seen)]), 1)
        self.assert_kept()

    def test_a_first_push_that_fails_leaves_nothing_that_a_reader_takes(self):
        proxy = self.through_proxy()
        proxy.fail(status(503), when=is_data, times=None)
        self.assertEqual(self.push("--retries", "0").returncode, 7)
        done = madtest.run("mad-fetch", "--if-exists", self.place.url(),
                           env={"HOME": self.tmp, **self.place.environment()})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("neither npz nor manifest", done.stderr)
        self.assertEqual(self.place.leftovers(), [])

    # On the way and at the place.

    def test_bytes_that_flip_on_the_way_up_are_never_taken_for_the_snapshot(self):
        self.put_old()
        proxy = self.through_proxy()
        proxy.fail(flip_upload(at=100_000), when=is_data)
        if self.place.digests == "parts":
            self.pushed()
            return self.assert_stored()
        if self.place.digests == "whole":
            self.assert_reason(self.push(), 7, "checksum-mismatch", "bytes were damaged")
            return self.assert_kept()
        done = self.push("--verify")
        self.assert_reason(done, 1, "read-back-mismatch", "what was read back is not what was")
        self.assertEqual(self.place.data("runs/sim.npz.manifest.json"), manifest_of(self.old))

    def test_a_writer_that_comes_in_between_is_not_written_over(self):
        if not self.place.has_conditions:
            self.skipTest("this store's uploads know no condition")
        self.put_old()
        proxy = self.through_proxy()
        # The last request of the npz; of three parts in order it is the third.
        skip = 0 if self.kind is AzPlace else 2
        proxy.fail(meanwhile(lambda: self.place.put("runs/sim.npz", b"theirs")), skip=skip,
                   **self.place.commit)
        self.assert_reason(self.push(), 7, "lost-race", "another writer replaced it")
        self.assertEqual(self.place.data("runs/sim.npz"), b"theirs")
        self.assertEqual(self.place.names(), ["runs/sim.npz", "runs/sim.npz.manifest.json"])
        self.assertEqual(self.place.leftovers(), [])

    def test_a_manifest_that_is_late_takes_no_newer_ones_place(self):
        if not self.place.has_conditions:
            self.skipTest("this store's writes know no condition")

        def too_late(exchange):
            """It is sent again once another machine has pushed."""
            exchange.answer(503)
            self.put_old()

        proxy = self.through_proxy()
        proxy.fail(too_late, when=is_write, path=r"manifest\.json(&|$)")
        self.assert_reason(self.push(), 7, "lost-race", "another writer replaced it")
        self.assert_stored(self.old)

    def test_what_does_not_come_back_as_it_was_is_taken_for_nobodys_work(self):
        if self.place.digests == "whole":
            self.skipTest("the store tells the digest of what it gives, which is read again")
        proxy = self.through_proxy()
        proxy.fail(flip(at=100_000), when=self.is_whole_read)
        self.assert_reason(self.push("--verify"), 1, "read-back-mismatch", "found: ")
        self.assertEqual(self.place.names(), ["runs/sim.npz"])
        self.pushed("--verify")
        self.assertEqual((self.report["status"], self.report["verified"]), ("ok", True))
        self.assert_stored()

    def test_what_is_there_already_is_read_back_too_and_else_sent_again(self):
        if self.place.digests != "parts":
            self.skipTest("a web server keeps no digest; Google's tells that of what it gives")
        self.pushed()
        proxy = self.through_proxy()
        self.pushed("--verify")
        self.assertEqual((self.report["status"], self.report["verified"]), ("unchanged", True))
        proxy.fail(flip(at=100_000), when=self.is_whole_read)
        done = self.pushed("--verify")
        self.assertIn("it is sent again", done.stderr)
        self.assertEqual((self.report["status"], self.report["verified"]), ("ok", True))
        self.assert_stored()

    @staticmethod
    def is_whole_read(seen):
        """Of the npz, which is read back in one piece."""
        return (seen.method == "GET" and "range" not in seen.headers
                and seen.path.endswith("sim.npz") and "fields=" not in seen.query)

    def test_a_missing_bucket_is_code_5(self):
        if not self.place.has_buckets:
            self.skipTest("a web server has none")
        done = self.push(url=self.place.url(bucket="no-such-bucket"))
        self.assert_reason(done, 5, "bucket-missing", "no bucket 'no-such-bucket'")

    def test_a_host_that_no_name_server_knows_is_code_7(self):
        if self.kind is WebPlace:
            url, access = "http://no-such-host.invalid/sim.npz", {}
        else:
            url, access = None, self.place.elsewhere("http://no-such-host.invalid")
        done = self.push("--retries", "1", url=url, env=access)
        self.assert_reason(done, 7, "dns", "no-such-host.invalid", "2 attempts")

    def test_a_server_that_is_not_there_is_code_7(self):
        if self.kind is WebPlace:
            url, access = "http://127.0.0.1:9/sim.npz", {}
        else:
            url, access = None, self.place.elsewhere("http://127.0.0.1:9")
        done = self.push("--retries", "1", url=url, env=access)
        self.assert_reason(done, 7, "connect", "2 attempts")

    def test_any_name_arrives_under_it(self):
        small = madtest.reference_snapshot(self.tmp / "small.npz", madtest.small_arrays())
        for name in AWKWARD:
            if self.kind is AzPlace and "\\" in name:
                continue  # the emulator makes a slash of it
            if self.kind is WebPlace and "/" in name:
                continue  # the server makes one path of several
            with self.subTest(name=name):
                self.place.renew()
                self.pushed(npz=small, url=self.place.url(name))
                self.assertEqual(self.place.names(), sorted([name, name + ".manifest.json"]))

    def test_the_snapshots_own_name_whatever_it_is_arrives_in_a_place(self):
        for name in AWKWARD:
            if "/" in name or (self.kind is AzPlace and "\\" in name):
                continue
            with self.subTest(name=name):
                self.place.renew()
                own = madtest.reference_snapshot(self.tmp / name, madtest.small_arrays())
                self.pushed(npz=own, url=self.place.url("runs/"))
                self.assertEqual(self.place.names(),
                                 sorted([f"runs/{name}", f"runs/{name}.manifest.json"]))


class ToS3(Faults, PushCase):
    kind = S3Place

    def test_retry_after_is_waited_for_as_seconds_and_as_a_date(self):
        for value in (lambda: "1",
                      lambda: email.utils.formatdate(time.time() + 2, usegmt=True)):
            self.place.renew()
            proxy = self.through_proxy()
            proxy.fail(status(503, retry_after=value()), when=is_data)
            begin = time.monotonic()
            self.pushed()
            self.assertGreaterEqual(time.monotonic() - begin, 0.9)
            self.assert_stored()

    def test_a_clock_that_is_an_hour_off_is_put_right_for_parts_at_the_same_time_too(self):
        for seconds in (3600, -3600):
            with self.subTest(seconds=seconds):
                self.place.renew()
                clock = madtest.clock_wrong_by(seconds)
                self.pushed("--connections", "3", env=clock)
                self.assert_stored()
                self.assertGreaterEqual(self.report["retries"], 1)
                self.assertEqual(self.push(env=clock).returncode, 0)
                self.assertEqual(self.report["status"], "unchanged")

    def test_credentials_that_expire_in_the_middle_are_replaced(self):
        for number in (1, 2):
            access, secret, token = self.place.server.temporary_credentials()
            (self.tmp / f"{number}.json").write_text(json.dumps({
                "Version": 1, "AccessKeyId": access, "SecretAccessKey": secret,
                "SessionToken": token, "Expiration": "2099-01-01T00:00:00Z"}))
        script = self.tmp / "next"
        script.write_text('cd "${0%/*}"\nset -- [0-9].json\ncat "$1"\nrm "$1"\n')
        (self.tmp / ".aws").mkdir()
        (self.tmp / ".aws/config").write_text(
            f"[default]\ncredential_process = sh {script}\n")
        proxy = self.through_proxy()
        proxy.fail(expired_token(), when=is_data, skip=1)
        own = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        self.pushed("--connections", "1", env=own)
        self.assert_stored()
        used = [seen.credential for seen in proxy.requests() if is_write(seen)]
        self.assertEqual(len(set(used)), 2, used)
        self.assertEqual(list(self.tmp.glob("[0-9].json")), [])

    def test_credentials_that_have_expired_for_good_are_code_8(self):
        self.put_old()
        proxy = self.through_proxy()
        proxy.fail(expired_token(), when=is_data, times=None)
        done = self.push("--connections", "1", env={"MAD_PUSH_RETRY_DELAY": "100"})
        self.assert_reason(done, 8, "credentials-expired", "environment")
        self.assert_kept()


class ToAzure(Faults, PushCase):
    kind = AzPlace

    def test_a_signature_that_has_expired_is_code_8_and_not_shown(self):
        sas = self.place.server.sas(self.place.bucket, "racwd", seconds=-60)
        done = self.push(env=self.place.server.environment(sas=sas))
        self.assert_reason(done, 8, "access-denied", "answers 403")
        self.assertNotIn("sig=", done.stderr + json.dumps(self.report))


class ToGoogle(Faults, PushCase):
    kind = GsPlace


class ToNginx(Faults, PushCase):
    kind = WebPlace

    def test_no_room_to_collect_a_stream_is_code_9_and_nothing_is_sent(self):
        script = ('mount -t tmpfs -o size=1m none "$TMPDIR" || exit 99; exec "$@"')
        (self.tmp / "spool").mkdir()
        done = madtest.run(
            "unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script, "sh",
            madtest.tool("mad-push"), self.new, self.place.url(),
            env={"HOME": self.tmp, "TMPDIR": self.tmp / "spool", **self.quick})
        self.assert_refused(done, 9, "No space left on device")
        self.assertEqual(self.place.names(), [])


del Faults

if __name__ == "__main__":
    madtest.main()
