"""mad-push to a real store, Ceph's radosgw, with faults and kills in between."""

import hashlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import madtest
from fault_proxy import (FaultProxy, flip, flip_upload, lost_answer, meanwhile, reset,
                         s3_error, slow_down, stall, together)
from radosgw import RadosGW

MIB = 1 << 20
QUICK = {"MAD_PUSH_RETRY_DELAY": "0.01", "MAD_PUSH_STALL_TIMEOUT": "5",
         "MAD_FETCH_RETRY_DELAY": "0.01"}


def setUpModule():
    global S3
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)


def arrays(step, elements=60):
    """States of one size, whatever the step."""
    noise = madtest.np.random.default_rng(step).random(elements)
    return {"heat/field": noise, "_meta/step_count": madtest.np.array(step, dtype="<i8")}


class PushCase(madtest.Case):
    key = "runs/sim.npz"

    def setUp(self):
        super().setUp()
        self.bucket = S3.bucket()
        self.environment = {"HOME": self.tmp, **QUICK, **S3.environment()}
        self.url = f"s3://{self.bucket}/{self.key}"

    def through_proxy(self):
        proxy = self.enterContext(FaultProxy(S3.port))
        self.environment = {**self.environment, **S3.environment(endpoint=proxy.endpoint())}
        return proxy

    def snapshot(self, step, elements=60, name="sim.npz"):
        """A snapshot as mad-snapshot makes it, with chunks."""
        state = madtest.make_state(self.tmp / f"state-{step}-{elements}", arrays(step, elements))
        npz = self.tmp / f"made-{step}-{elements}" / name
        npz.parent.mkdir(exist_ok=True)
        done = madtest.run("mad-snapshot", "-o", npz, state)
        self.assertEqual(done.returncode, 0, done.stderr)
        return npz

    def push(self, *words, stdin=b"", **changes):
        report = self.tmp / "report.json"
        report.unlink(missing_ok=True)
        done = madtest.run("mad-push", "--report", report, *words, stdin=stdin,
                           env={**self.environment, **changes})
        self.report = json.loads(report.read_text())
        return done

    def pushed(self, *words, **changes):
        done = self.push(*words, **changes)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def fetched_step(self):
        """The step of what a reader finds in the store; nothing else is accepted."""
        place = self.tmp / "in"
        shutil.rmtree(place, ignore_errors=True)
        done = madtest.dash(
            'mad-fetch --if-exists "$1" | mad-verify | mad-resume --require --state-dir "$2" -- true',
            self.url, place, env={**self.environment, **S3.environment()})
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(madtest.np.load(place / "_meta/step_count.npy"))

    def assert_stored(self, npz, key=None):
        """This very pair, complete, with its digest; and nothing else."""
        key = key or self.key
        manifest = npz.parent / (npz.name + ".manifest.json")
        self.assertEqual(S3.get(self.bucket, key), npz.read_bytes())
        self.assertEqual(S3.get(self.bucket, key + ".manifest.json"), manifest.read_bytes())
        self.assertEqual(S3.head(self.bucket, key)["x-amz-meta-mad-sha256"],
                         json.loads(manifest.read_text())["sha256"])
        self.assert_no_leftovers()

    def assert_no_leftovers(self):
        self.assertEqual(S3.uploads(self.bucket), [])
        self.assertEqual([key for key in S3.keys(self.bucket) if key.endswith(".next")], [])

    def bundle(self, npz):
        done = madtest.run("mad-fetch", npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


class Pushing(PushCase):
    def test_a_pair_on_disk_arrives_and_comes_back(self):
        npz = self.snapshot(1)
        self.pushed(npz, self.url)
        self.assert_stored(npz)
        self.assertEqual(self.fetched_step(), 1)
        self.assertEqual((self.report["status"], self.report["url"], self.report["size_bytes"]),
                         ("ok", self.url, npz.stat().st_size))
        out = self.tmp / "out.npz"
        done = madtest.run("mad-fetch", "-o", out, self.url, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        madtest.reference_verify(out)

    def test_a_stream_arrives_without_touching_a_disk(self):
        state = madtest.make_state(self.tmp / "state", arrays(7, 3 * MIB))
        nowhere = self.tmp / "nowhere"
        nowhere.mkdir(mode=0o500)
        done = madtest.dash(
            'mad-snapshot -o - "$1" | mad-push --part-size 5M - "$2"', state, self.url,
            env={**self.environment, "TMPDIR": nowhere})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.fetched_step(), 7)
        self.assert_no_leftovers()
        self.assertEqual(list(nowhere.iterdir()), [])
        self.assertIn('-5"', S3.head(self.bucket, self.key)["etag"])

    def test_a_small_stream_gets_its_digest_into_the_metadata_too(self):
        npz = self.snapshot(3)
        self.pushed("-", self.url, stdin=self.bundle(npz))
        self.assert_stored(npz)

    def test_a_large_pair_goes_up_in_parallel_parts(self):
        npz = self.snapshot(2, 5 * MIB)
        proxy = self.through_proxy()
        proxy.fail(together(3), method="PUT", path="partNumber=", times=3)
        self.pushed("--connections", 3, "--part-size", "6M", npz, self.url)
        self.assert_stored(npz)
        self.assertEqual((self.report["connections"], self.report["part_bytes"]), (3, 6 * MIB))
        self.assertEqual(self.fetched_step(), 2)

    def test_where_no_thread_can_be_started_one_part_follows_the_other(self):
        npz = self.snapshot(1, elements=3 * MIB)  # 24 MiB
        done = madtest.run(
            "strace", "-f", "-qq", "-o", self.tmp / "trace", "-e", "trace=clone,clone3", "-e",
            "inject=clone,clone3:error=EAGAIN", madtest.tool("mad-push"), npz, self.url,
            env={**self.environment, "ASAN_OPTIONS": "detect_leaks=0"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("INJECTED", (self.tmp / "trace").read_text())
        self.assert_stored(npz)
        self.assert_no_leftovers()

    def test_a_part_is_signed_with_its_digest_whatever_its_size(self):
        npz = self.snapshot(2, 3 * MIB)
        whole = npz.read_bytes()
        for size in (8 * MIB, 16 * MIB, 5 * MIB):  # of the chunks' 4 MiB, and of nothing like it
            proxy = self.through_proxy()
            self.pushed("--part-size", size, npz, self.url)
            sent = [seen.headers["x-amz-content-sha256"]
                    for seen in proxy.requests(method="PUT", path="partNumber=")]
            self.assertEqual(sorted(sent), sorted(
                hashlib.sha256(whole[at:at + size]).hexdigest() for at in range(0, len(whole), size)))
            S3.delete(self.bucket, self.key)

    def test_the_url_comes_from_the_environment_and_a_slash_keeps_the_name(self):
        npz = self.snapshot(4, name="other name.npz")
        self.pushed(npz, MAD_PUSH_URL=f"s3://{self.bucket}/d/")
        self.assert_stored(npz, "d/other name.npz")

    def test_keys_with_awkward_characters_arrive(self):
        npz = self.snapshot(5)
        for key in ("a b+c.npz", "p%25.npz", "ü日本.npz", "d//e.npz", "a?b#c.npz", "s&=;:@.npz"):
            with self.subTest(key=key):
                self.pushed(npz, f"s3://{self.bucket}/{key}")
                self.assert_stored(npz, key)

    def test_what_is_there_already_is_not_sent_again(self):
        npz = self.snapshot(1)
        self.pushed(npz, self.url)
        proxy = self.through_proxy()
        self.pushed(npz, self.url)
        self.assertEqual((self.report["status"], self.report["sent_bytes"]), ("unchanged", 0))
        self.assertEqual(proxy.requests(method="PUT") + proxy.requests(method="POST"), [])
        self.assertLessEqual(len(proxy.requests()), 2)
        self.pushed("-", self.url, stdin=self.bundle(npz))
        self.assertEqual(self.report["status"], "unchanged")
        self.assert_stored(npz)

    def test_the_order_over_an_existing_snapshot_is_next_npz_manifest(self):
        old = self.snapshot(1)
        (old.parent / "sim.npz.manifest.json.sig").write_bytes(b"signature")
        self.pushed(old, self.url)
        proxy = self.through_proxy()
        npz = self.snapshot(2)
        self.pushed(npz, self.url)
        self.assert_stored(npz)
        writes = [(seen.method, re.sub(r".*sim\.npz", "", seen.path)) for seen in proxy.requests()
                  if seen.method != "GET" and seen.method != "HEAD"]
        self.assertEqual(writes, [("PUT", ".manifest.json.next"), ("PUT", ""),
                                  ("DELETE", ".manifest.json.sig"), ("PUT", ".manifest.json"),
                                  ("DELETE", ".manifest.json.next")])

    def test_a_writer_that_came_behind_the_npz_keeps_its_manifest(self):
        """Where the store knows no condition, the npz is looked at before."""
        theirs, npz = self.snapshot(1), self.snapshot(2)
        straight = dict(self.environment)
        proxy = self.through_proxy()

        def is_look(seen):
            return (seen.method == "GET" and seen.path.endswith("sim.npz")
                    and ("PUT", seen.path) in [(put.method, put.path) for put in proxy.seen])

        def push_theirs():
            done = madtest.run("mad-push", "-q", theirs, self.url, env=straight)
            self.assertEqual(done.returncode, 0, done.stderr)

        proxy.fail(meanwhile(push_theirs), when=is_look)
        self.assert_refused(self.push(npz, self.url), 7, "another writer replaced it")
        self.assert_stored(theirs)
        self.assert_no_leftovers()

    def test_a_signature_goes_before_the_manifest(self):
        npz = self.snapshot(1)
        (npz.parent / "sim.npz.manifest.json.sig").write_bytes(b"signature")
        proxy = self.through_proxy()
        self.pushed(npz, self.url)
        self.assertEqual(S3.get(self.bucket, self.key + ".manifest.json.sig"), b"signature")
        puts = [re.sub(r".*sim\.npz", "", seen.path) for seen in proxy.requests(method="PUT")]
        self.assertEqual(puts, [".manifest.json.sig.next", ".manifest.json.next", "",
                                ".manifest.json.sig", ".manifest.json"])
        self.assert_no_leftovers()

    def test_a_signature_that_was_made_afterwards_is_all_that_is_sent(self):
        npz = self.snapshot(1)
        self.pushed(npz, self.url)
        signature = npz.parent / "sim.npz.manifest.json.sig"
        signature.write_bytes(b"signature")
        proxy = self.through_proxy()
        self.pushed(npz, self.url)
        self.assertEqual([seen.path.rpartition("/")[2] for seen in proxy.requests(method="PUT")],
                         [signature.name])
        self.assertEqual(S3.get(self.bucket, self.key + ".manifest.json.sig"), b"signature")
        self.pushed(npz, self.url)
        self.assertEqual(self.report["status"], "unchanged")

    def test_what_an_interrupted_writer_left_is_completed_with_its_signature(self):
        old, left = self.snapshot(1), self.snapshot(2)
        (old.parent / "sim.npz.manifest.json.sig").write_bytes(b"of the old")
        manifest = left.parent / "sim.npz.manifest.json"
        for signature in (b"of the one left", None):
            with self.subTest(signature=signature):
                self.pushed(old, self.url)
                S3.put(self.bucket, self.key + ".manifest.json.next", manifest.read_bytes())
                if signature:
                    S3.put(self.bucket, self.key + ".manifest.json.sig.next", signature)
                S3.put(self.bucket, self.key, left.read_bytes(), {
                    "x-amz-meta-mad-sha256": json.loads(manifest.read_text())["sha256"]})
                proxy = self.through_proxy()
                # Its own npz does not arrive.
                proxy.fail(s3_error(403, "AccessDenied"), method="PUT", path=r"sim\.npz$")
                done = self.push(self.snapshot(3), self.url)
                self.assert_refused(done, 8, "AccessDenied")
                self.assertIs(self.report["completed_other"], True)
                self.assertEqual(S3.get(self.bucket, self.key + ".manifest.json"),
                                 manifest.read_bytes())
                name = self.key + ".manifest.json.sig"
                self.assertEqual(S3.get(self.bucket, name) if name in S3.keys(self.bucket) else None,
                                 signature)
                self.environment = {**self.environment, **S3.environment()}
                self.assertEqual(self.fetched_step(), 2)

    def test_reading_back_proves_what_was_written(self):
        npz = self.snapshot(1, 1 * MIB)
        self.pushed("--verify", npz, self.url)
        self.assertIs(self.report["verified"], True)
        proxy = self.through_proxy()
        # The first look at it asks for one byte.
        proxy.fail(flip(at=1000), method="GET", path=r"sim\.npz$",
                   when=lambda seen: seen.headers.get("range") != "bytes=0-0", times=None)
        done = self.push("--verify", self.snapshot(2, 1 * MIB), self.url)
        self.assert_refused(done, 1, "what was read back is not what was written", "SHA-256")
        self.assertEqual(self.report["reason"], "read-back-mismatch")

    def test_memory_stays_bounded(self):
        npz = self.snapshot(9, 20 * MIB)
        # Started by a small process: a forked child's peak begins at its parent's size.
        measure = ("import os, sys\n"
                   "pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])\n"
                   "_, status, usage = os.wait4(pid, 0)\n"
                   "print(usage.ru_maxrss, file=sys.stderr)\n"
                   "sys.exit(os.waitstatus_to_exitcode(status))\n")
        done = madtest.run(sys.executable, "-S", "-c", measure, madtest.tool("mad-push"), npz,
                           self.url, env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        if not madtest.SANITIZED:
            self.assertLess(int(done.stderr.split()[-1]), (64 + 4 * 8) * 1024)
        self.assert_stored(npz)


class Refusing(PushCase):
    def setUp(self):
        super().setUp()
        self.old = self.snapshot(1)
        self.pushed(self.old, self.url)

    def assert_kept(self):
        self.assert_stored(self.old)

    def test_a_damaged_snapshot_is_not_pushed_over_a_good_one(self):
        npz = self.snapshot(2, 4 * MIB)
        data = bytearray(npz.read_bytes())
        data[-1000] ^= 1
        npz.write_bytes(data)
        done = self.push("--part-size", "5M", npz, self.url)
        self.assert_refused(done, 1, "SHA-256 mismatch", str(npz))
        self.assertEqual(self.report["reason"], "sha256-mismatch")
        npz.write_bytes(data[:-1])
        self.assert_refused(self.push(npz, self.url), 1, "size mismatch")
        self.assert_kept()

    def test_chunks_that_contradict_the_npz_are_not_pushed(self):
        npz = self.snapshot(2)
        manifest = npz.parent / "sim.npz.manifest.json"
        text = manifest.read_text()
        digest = json.loads(text)["chunks"]["digests"][0]
        at = text.index(digest, text.index("digests"))
        manifest.write_text(text[:at] + "0" * 64 + text[at + 64:])
        done = self.push(npz, self.url)
        self.assert_refused(done, 1, "chunk 0 mismatch", "0" * 64, digest)
        self.assert_kept()

    def test_a_snapshot_without_a_manifest_is_code_5(self):
        npz = self.snapshot(2)
        (npz.parent / "sim.npz.manifest.json").unlink()
        self.assert_refused(self.push(npz, self.url), 5, "manifest")
        self.assert_refused(self.push(self.tmp / "none.npz", self.url), 5, "none.npz")
        self.assert_kept()

    def test_a_stream_that_is_cut_or_failed_pushes_nothing(self):
        whole = self.bundle(self.snapshot(2, 4 * MIB))
        for cut in (0, 100, 5 * MIB, len(whole) - 2048):
            with self.subTest(cut=cut):
                done = self.push("--part-size", "5M", "-", self.url, stdin=whole[:cut])
                self.assert_refused(done, 6)
        failed = madtest.run("mad-fetch", self.tmp / "none.npz")
        self.assertEqual(failed.returncode, 5)
        done = self.push("-", self.url, stdin=failed.stdout)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("mad-fetch", done.stderr)
        self.assert_kept()

    def test_a_bundle_without_a_snapshot_is_no_error(self):
        absent = madtest.run("mad-fetch")
        self.pushed("-", self.url, stdin=absent.stdout)
        self.assertEqual(self.report["stage"], "absent")
        self.assert_kept()

    def test_if_absent_refuses_another_snapshot_and_takes_its_own_as_there(self):
        done = self.push("--if-absent", self.snapshot(2), self.url)
        self.assert_refused(done, 1, "--if-absent", self.url)
        self.assertEqual(self.report["reason"], "already-there")
        self.pushed("--if-absent", self.old, self.url)
        self.assertEqual(self.report["status"], "unchanged")
        self.assert_kept()

    def test_if_absent_holds_against_a_writer_at_the_same_instant(self):
        proxy = self.through_proxy()
        key = "runs/other.npz"
        npz = self.snapshot(2)
        # Between our look and our write.
        proxy.fail(meanwhile(lambda: S3.put(self.bucket, key, b"theirs")), method="PUT",
                   path=r"other\.npz$")
        done = self.push("--if-absent", npz, f"s3://{self.bucket}/{key}")
        self.assert_refused(done, 1, "another writer")
        self.assertEqual(S3.get(self.bucket, key), b"theirs")
        self.assertNotIn(key + ".manifest.json", S3.keys(self.bucket))
        self.assert_no_leftovers()

    def test_after_a_failed_resume_the_snapshot_there_is_spared(self):
        npz = self.snapshot(2)
        done = self.pushed(npz, self.url, MAD_RESUME_STATUS="failed")
        self.assertIn("warning", done.stderr)
        self.assert_kept()
        spared = [key for key in S3.keys(self.bucket) if "-after-failed-" in key]
        self.assertEqual(len(spared), 2, spared)
        self.assert_stored(npz, min(spared, key=len))
        self.assertEqual(self.report["url"], f"s3://{self.bucket}/{min(spared, key=len)}")

    def test_usage_errors_open_nothing(self):
        proxy = self.through_proxy()
        for words, needle in (([self.old], "MAD_PUSH_URL"), ([self.old, "file:///x"], "mad-fetch -o"),
                              ([self.old, "relative.npz"], "mad-fetch -o"),
                              (["-", f"s3://{self.bucket}/d/"], "whole name"),
                              (["--part-size", "x", self.old, self.url], "--part-size"),
                              (["--connections", "0", self.old, self.url], "--connections"),
                              ([self.old, "ftp://h/x.npz"], "s3")):
            with self.subTest(words=words):
                self.assert_refused(self.push(*words), 2, needle)
        self.assertEqual(proxy.requests(), [])


class Failing(PushCase):
    def test_no_bucket_no_access_no_credentials(self):
        npz = self.snapshot(1)
        done = self.push(npz, "s3://no-such-bucket/sim.npz")
        self.assert_refused(done, 5, "no bucket 'no-such-bucket'")
        self.assertEqual(self.report["reason"], "bucket-missing")
        proxy = self.through_proxy()
        proxy.fail(s3_error(403, "AccessDenied"), method="PUT", times=None)
        done = self.push(npz, self.url)
        self.assert_refused(done, 8, "AccessDenied")
        self.assertNotIn(S3.credentials.secret_key, done.stderr)
        done = self.push(npz, self.url, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="",
                         AWS_EC2_METADATA_DISABLED="true")
        self.assert_refused(done, 8, "credentials")
        self.assertEqual(S3.keys(self.bucket), {})

    def test_what_is_lost_or_flipped_on_the_way_is_sent_again(self):
        npz = self.snapshot(1, 2 * MIB)
        for fault in (reset(), slow_down(), lost_answer(), flip_upload(at=100_000)):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT", path="partNumber=2")
            self.pushed("--part-size", "5M", npz, self.url)
            self.assert_stored(npz)
            self.assertGreaterEqual(len(proxy.requests(method="PUT", path="partNumber=2")), 2)
            S3.delete(self.bucket, self.key)

    def test_a_push_that_fails_leaves_no_parts(self):
        npz = self.snapshot(1, 2 * MIB)
        proxy = self.through_proxy()
        proxy.fail(s3_error(403, "AccessDenied"), method="PUT", path="partNumber=3", times=None)
        self.assert_refused(self.push("--part-size", "5M", npz, self.url), 8, "AccessDenied")
        self.assertEqual((S3.uploads(self.bucket), S3.keys(self.bucket)), ([], {}))

    def test_a_signal_in_the_middle_takes_everything_back(self):
        npz = self.snapshot(1, 2 * MIB)
        proxy = self.through_proxy()
        arrived = self.tmp / "arrived"
        proxy.fail(meanwhile(arrived.touch), method="PUT", path="partNumber=1")
        proxy.fail(stall(), method="PUT", path="partNumber=2", times=None)
        process = subprocess.Popen(
            [madtest.tool("mad-push"), "--part-size", "5M", "--stall-timeout", "60", str(npz),
             self.url], env=madtest.clean_environment(**self.environment))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 30
        while not (arrived.exists() and proxy.requests(method="PUT", path="partNumber=2")):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), -signal.SIGTERM)
        proxy.release()
        self.assertEqual((S3.uploads(self.bucket), S3.keys(self.bucket)), ([], {}))


class Dying(PushCase):
    """At every request of a push its process is killed, before or after the store acts."""

    def requests_of(self, npz, words):
        proxy = self.through_proxy()
        self.pushed(*words, npz, self.url)
        return len(proxy.requests())

    def die_at(self, index, npz, words, act):
        proxy = self.through_proxy()
        process = None

        def die():
            while process is None:  # not known here yet
                time.sleep(0.001)
            process.kill()
            process.wait()

        def kill_then(exchange):
            if not act:
                die()
                return exchange.reset()
            exchange.change_head = lambda _status, _headers: (die(), exchange.reset())
            exchange.forward()

        proxy.fail(kill_then, skip=index)
        process = subprocess.Popen(
            [madtest.tool("mad-push"), *map(str, words), str(npz), self.url],
            env=madtest.clean_environment(**self.environment), stderr=subprocess.DEVNULL)
        process.wait(60)
        return process.returncode

    def die_everywhere(self, old, new, words=()):
        self.pushed(old, self.url)
        count = self.requests_of(new, words)
        self.assertGreaterEqual(count, 7)
        seen = set()
        # The sanitizers make it slow: there each third request dies, in one of the two ways.
        for index in range(0, count, 3 if madtest.SANITIZED else 1):
            for act in (index % 2 == 0,) if madtest.SANITIZED else (False, True):
                with self.subTest(request=index, act=act):
                    for key in S3.keys(self.bucket):
                        S3.delete(self.bucket, key)
                    self.environment = {**self.environment, **S3.environment()}
                    self.pushed(old, self.url)
                    self.assertEqual(self.die_at(index, new, words, act), -signal.SIGKILL)
                    found = self.fetched_step()
                    self.assertIn(found, (1, 2))
                    seen.add(found)
                    self.environment = {**self.environment, **S3.environment()}
                    # A writer after it, which dies as well before it has written.
                    self.assertIn(self.die_at(5, self.snapshot(3), (), False), (-9, 0))
                    after = self.fetched_step()
                    self.assertIn(after, (found, 3))
                    self.environment = {**self.environment, **S3.environment()}
                    self.pushed(new, self.url)
                    self.assertEqual(self.fetched_step(), 2)
                    keys = [key for key in S3.keys(self.bucket) if key.endswith(".next")]
                    self.assertEqual(keys, [])
        self.assertEqual(seen, {1, 2})

    def test_a_death_at_any_request_of_a_small_push_loses_nothing(self):
        self.die_everywhere(self.snapshot(1), self.snapshot(2))

    def test_a_death_at_any_request_of_a_push_in_parts_loses_nothing(self):
        self.die_everywhere(self.snapshot(1, MIB), self.snapshot(2, MIB),
                            ("--part-size", "5M", "--connections", "1"))

    def test_a_death_at_any_request_of_a_signed_push_leaves_no_manifest_with_anothers_signature(self):
        signed = [self.snapshot(step) for step in (1, 2)]
        manifests = [npz.parent / "sim.npz.manifest.json" for npz in signed]
        for step, manifest in enumerate(manifests):
            pathlib.Path(f"{manifest}.sig").write_bytes(b"of %d" % step)
        self.pushed(signed[0], self.url)
        seen = set()
        for index in range(self.requests_of(signed[1], ())):
            with self.subTest(request=index):
                self.environment = {**self.environment, **S3.environment()}
                self.pushed(signed[0], self.url)
                self.assertEqual(self.die_at(index, signed[1], (), index % 2), -signal.SIGKILL)
                out = self.tmp / "out.npz"
                done = madtest.run("mad-fetch", "-o", out, self.url,
                                   env={**self.environment, **S3.environment()})
                self.assertEqual(done.returncode, 0, done.stderr)
                found = [pathlib.Path(f"{out}.manifest.json{end}").read_bytes()
                         for end in ("", ".sig")]
                step = int(found[1][-1:])
                self.assertEqual(found[0], manifests[step].read_bytes())
                seen.add(step)
        self.assertEqual(seen, {0, 1})

    def test_a_first_push_that_dies_leaves_nothing_or_all(self):
        npz = self.snapshot(2)
        count = self.requests_of(npz, ())
        for index in range(count):
            for act in (False, True):
                with self.subTest(request=index, act=act):
                    for key in S3.keys(self.bucket):
                        S3.delete(self.bucket, key)
                    self.die_at(index, npz, (), act)
                    done = madtest.run("mad-fetch", "--if-exists", self.url,
                                       env={**self.environment, **S3.environment()})
                    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    madtest.main()
