"""mad-fetch by parallel ranges, from radosgw and from nginx, a fault proxy before both."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import madtest
import refusal
from fault_proxy import (FaultProxy, content_range, flip, meanwhile, no_ranges, reset, stall,
                         status, together)
from fetching import QUICK, Bundle
from radosgw import RadosGW
from servers import Nginx

MIB = 1 << 20
SIZE_MIB = 24
PARTIAL = ".out.npz.mad-partial"
JOURNAL = PARTIAL + ".parts"
PAIR = ["out.npz", "out.npz.manifest.json"]


def setUpModule():
    global S3, NGINX, VERSIONS, ROOT
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mad-ranges-"))
    unittest.addModuleCleanup(shutil.rmtree, directory)
    ROOT = directory / "www"
    ROOT.mkdir()
    VERSIONS = [snapshot(directory, step) for step in (1, 2)]
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)
    NGINX = Nginx(directory, ROOT).__enter__()
    unittest.addModuleCleanup(NGINX.__exit__)


def snapshot(directory, step, mib=SIZE_MIB):
    """(npz, manifest) as mad-snapshot makes them, of one size whatever the step, but for
    chunks as small as the parts that the tests ask for."""
    noise = madtest.np.random.default_rng(step).random(mib * MIB // 8)
    state = madtest.make_state(directory / f"state-{step}", {"heat/field": noise})
    npz = directory / f"made-{step}.npz"
    subprocess.run([madtest.tool("mad-snapshot"), "-q", "-o", npz, state], check=True,
                   stdout=subprocess.DEVNULL, env=madtest.clean_environment())
    shutil.rmtree(state)
    data = npz.read_bytes()
    return data, madtest.chunked_by(MIB, data, pathlib.Path(f"{npz}.manifest.json").read_bytes())


def first_byte(seen):
    """Where the range that a request asks for begins; nothing for other requests."""
    asked = re.fullmatch(r"bytes=(\d+)-\d+", seen.headers.get("range", ""))
    return int(asked[1]) if asked and seen.headers["range"] != "bytes=0-0" else None


def is_range(seen):
    return first_byte(seen) is not None


def range_at(mib):
    return lambda seen: first_byte(seen) == mib * MIB


def beyond(mib):
    return lambda seen: is_range(seen) and first_byte(seen) >= mib * MIB


class Ranges:
    """Of each server; what differs is in setUp() and put()."""

    def setUp(self):
        super().setUp()
        self.out = self.tmp / "out"
        self.out.mkdir()
        self.report = self.tmp / "report.json"
        self.bytes, self.manifest = VERSIONS[0]
        self.put(self.bytes, self.manifest)

    def words(self, *words):
        usual = {"--connections": "4", "--part-size": "1M", "--report": self.report}
        for name, value in usual.items():
            if name not in words:
                words = (name, value, *words)
        return [*words, self.url]

    def environment(self, **changes):
        return {"HOME": self.tmp, **QUICK, **self.access, **changes}

    def fetch(self, *words, **changes):
        return madtest.run("mad-fetch", *self.words(*words), env=self.environment(**changes))

    def fetch_out(self, *words, **changes):
        return self.fetch("-o", self.out / "out.npz", *words, **changes)

    def start_out(self, *words):
        process = subprocess.Popen(
            [madtest.tool("mad-fetch"), *map(str, self.words("-o", self.out / "out.npz", *words))],
            stderr=subprocess.PIPE, env=madtest.clean_environment(**self.environment()))
        self.addCleanup(end, process)
        return process

    def names(self):
        return sorted(os.listdir(self.out))

    def figures(self):
        return json.loads(self.report.read_text())

    def assert_bundle(self, done, restarts=(0,)):
        self.assertEqual(done.returncode, 0, done.stderr)
        bundle = Bundle(done.stdout)
        self.assertEqual(bundle.seal["stage"], "fetched")
        self.assertTrue(bundle.npz == self.bytes, "other bytes")
        self.assertEqual(bundle.manifest, self.manifest)
        self.assertIn(bundle.restarts, restarts)

    def assert_published(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), PAIR)
        self.assertTrue((self.out / "out.npz").read_bytes() == self.bytes, "other bytes")
        self.assertEqual((self.out / "out.npz.manifest.json").read_bytes(), self.manifest)

    def ranges(self, since=0):
        return [seen for seen in self.proxy.requests()[since:] if is_range(seen)]

    def bytes_sent(self, since=0):
        return sum(seen.sent for seen in self.ranges(since))

    def wait_for_parts(self, count):
        """Until a fetch has written down that so many parts are there."""
        deadline = time.monotonic() + 30
        while not self.parts() >= count:
            self.assertLess(time.monotonic(), deadline, self.names())
            time.sleep(0.01)

    def wait_for_ranges(self, count, since):
        deadline = time.monotonic() + 30
        while len(self.ranges(since)) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        self.waited = len(self.ranges(since)) >= count

    def parts(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.out / JOURNAL).read_text().count("\n") - 1
        return 0

    def leave_half(self, end_it=subprocess.Popen.kill):
        """A fetch that comes to 12 MiB and is ended there; returns how it went."""
        self.proxy.fail(stall(), when=beyond(SIZE_MIB // 2), times=None)
        process = self.start_out()
        self.wait_for_parts(SIZE_MIB // 2)
        end_it(process)
        process.wait(30)
        self.assertEqual(self.names(), [PARTIAL, JOURNAL])
        self.proxy.honest()
        self.proxy.release()
        return process

    # What is read.

    def test_several_ranges_at_once_come_in_order(self):
        self.proxy.fail(together(4), when=is_range, times=4)
        self.assert_bundle(self.fetch())
        self.assertEqual(self.proxy.most_at_once, 4)
        self.assertEqual(len(self.ranges()), SIZE_MIB + 1)
        figures = self.figures()
        self.assertEqual([figures[name] for name in ("connections", "ranges", "resumed_bytes")],
                         [4, SIZE_MIB + 1, 0])
        self.assertEqual(figures["size_bytes"], len(self.bytes))

    def test_several_ranges_at_once_go_into_place(self):
        # The first one is the last to come.
        self.proxy.fail(stall(1000), when=range_at(0))
        self.proxy.fail(together(3), when=is_range, times=3)
        process = self.start_out("--stall-timeout", "60")
        self.wait_for_parts(20)
        self.proxy.release()
        process.wait(30)
        self.assert_published(process_done(process))
        self.assertEqual(self.proxy.most_at_once, 4)
        self.assertEqual(self.figures()["ranges"], SIZE_MIB + 1)

    def test_without_options_size_and_processors_decide(self):
        done = madtest.run("mad-fetch", "--report", self.report, self.url, env=self.environment())
        self.assert_bundle(done)
        self.assertGreaterEqual(self.figures()["connections"], 2)
        self.assertGreater(self.figures()["ranges"], 2)

    def test_what_one_request_brings_is_not_cut(self):
        self.assert_bundle(self.fetch("--part-size", "32M"))
        self.assertEqual(self.ranges(), [])
        self.assertEqual([self.figures()[name] for name in ("connections", "ranges")], [1, 0])

    def test_memory_is_bounded(self):
        big = snapshot(self.tmp, 3, mib=160)
        self.put(*big)
        for words in ([], ["-o", self.out / "out.npz"]):
            with self.subTest(words=words):
                before = len(self.proxy.requests())
                self.waited = False
                # Everything that may wait for the first part does.
                self.proxy.fail(meanwhile(lambda: self.wait_for_ranges(12, before)),
                                when=range_at(0))
                done = refusal.measured("mad-fetch", "--connections", "8", *words, self.url,
                                        env=self.environment())
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(self.waited)
                if not madtest.SANITIZED:
                    self.assertLess(done.resident_kib, 64 << 10)
        self.assertTrue((self.out / "out.npz").read_bytes() == big[0])

    # What goes wrong on the way.

    def test_a_range_that_is_cut_is_fetched_again_alone(self):
        self.proxy.fail(reset(300_000), when=range_at(5))
        self.assert_bundle(self.fetch())
        asked = [seen for seen in self.ranges() if 5 * MIB <= first_byte(seen) < 6 * MIB]
        self.assertEqual(len(asked), 2)
        # From where it was cut, to its end.
        self.assertGreater(first_byte(asked[1]), 5 * MIB)
        self.assertTrue(asked[1].headers["range"].endswith(f"-{6 * MIB - 1}"))
        self.assertEqual(len(self.ranges()), SIZE_MIB + 2)
        self.assertEqual(self.figures()["retries"], 1)

    def test_another_version_in_the_middle_restarts_the_pair(self):
        for output in ("bundle", "files"):
            with self.subTest(output=output):
                self.put(*VERSIONS[0])
                self.proxy.fail(meanwhile(lambda: self.put(*VERSIONS[1])), when=range_at(8))
                self.bytes, self.manifest = VERSIONS[1]
                # Once more where it looks between the two files of the new pair.
                if output == "bundle":
                    self.assert_bundle(self.fetch(), restarts=(1, 2))
                else:
                    self.assert_published(self.fetch_out())
                self.assertIn(self.figures()["restarts"], (1, 2))

    def test_a_server_without_ranges_gives_one_stream(self):
        self.proxy.fail(no_ranges(), when=lambda seen: "range" in seen.headers, times=None)
        self.assert_bundle(self.fetch())
        self.assert_published(self.fetch_out())
        self.assertEqual(self.figures()["ranges"], 0)

    def test_a_server_that_forgets_its_ranges_in_the_middle_gives_one_stream(self):
        self.proxy.fail(no_ranges(), when=beyond(8), times=None)
        done = self.fetch()
        self.assert_bundle(done, restarts=(1,))
        self.assert_published(self.fetch_out())

    def test_a_range_that_lies_is_refused_and_ends_all(self):
        self.proxy.fail(content_range(f"bytes 0-{MIB - 1}/{len(self.bytes)}"), when=range_at(3))
        done = self.fetch_out()
        self.assert_refused(done, 7, "asked for the bytes 3145728-4194303", "Content-Range")

    def test_a_bit_that_flips_on_the_way_is_fetched_again(self):
        self.proxy.fail(flip(1000), when=range_at(3))
        self.assert_published(self.fetch_out())
        self.assertEqual(self.figures()["restarts"], 1)
        # What was right of the first time is not fetched again.
        self.assertLess(self.bytes_sent(), (SIZE_MIB + 8) * MIB)

    def test_a_bit_that_flips_each_time_is_refused_and_leaves_nothing(self):
        self.proxy.fail(flip(1000), when=range_at(3), times=None)
        self.assert_refused(self.fetch_out(), 1, "chunk 3", "mismatch")
        self.assertEqual(self.names(), [])

    def test_a_disk_that_fills_up_is_code_9_and_leaves_nothing(self):
        for resumed in (False, True):
            with self.subTest(resumed=resumed):
                if resumed:
                    self.leave_half()
                done = madtest.run(
                    "strace", "-f", "-qq", "-o", self.tmp / "trace", "-e", "trace=pwrite64", "-e",
                    "inject=pwrite64:error=ENOSPC:when=30", madtest.tool("mad-fetch"),
                    *self.words("-o", self.out / "out.npz"), env=self.environment())
                self.assert_refused(done, 9, "No space left on device")
                self.assertEqual(self.figures()["reason"], "no-space")
                self.assertEqual(self.names(), [])

    def test_a_disk_that_is_too_small_is_known_before_anything_is_read(self):
        script = ('mount -t tmpfs -o size=12m none "$1" && shift || exit 99; "$@"; code=$?; '
                  'ls -A "$OUT"; exit $code')
        done = madtest.run(
            "unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script, "sh", self.out,
            madtest.tool("mad-fetch"), *self.words("-o", self.out / "out.npz"),
            env=self.environment(OUT=self.out))
        self.assert_refused(done, 9, "cannot reserve", "No space left on device")
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.ranges(), [])

    # Going on.

    def test_after_a_kill_only_the_rest_is_fetched(self):
        self.leave_half()
        before = len(self.proxy.requests())
        done = self.fetch_out()
        self.assert_published(done)
        self.assertIn("going on with", done.stderr)
        resumed = self.figures()["resumed_bytes"]
        self.assertGreaterEqual(resumed, SIZE_MIB // 2 * MIB)
        self.assertEqual(self.bytes_sent(before), len(self.bytes) - resumed)
        self.assertLessEqual(self.figures()["received_bytes"],
                             len(self.bytes) - resumed + 3 * len(self.manifest) + MIB)

    def test_a_signal_leaves_what_the_next_fetch_goes_on_from(self):
        process = self.leave_half(subprocess.Popen.terminate)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assert_published(self.fetch_out())
        self.assertGreaterEqual(self.figures()["resumed_bytes"], SIZE_MIB // 2 * MIB)

    def test_a_server_that_fails_for_good_leaves_it_too(self):
        self.proxy.fail(status(503), when=beyond(16), times=None)
        self.assert_refused(self.fetch_out("--retries", "2"), 7, "answers 503")
        self.assertEqual(self.names(), [PARTIAL, JOURNAL])
        self.proxy.honest()
        self.assert_published(self.fetch_out())
        self.assertGreater(self.figures()["resumed_bytes"], 8 * MIB)

    def test_where_nothing_came_nothing_is_left(self):
        self.proxy.fail(status(503), when=is_range, times=None)
        self.assert_refused(self.fetch_out("--retries", "0"), 7, "answers 503")
        self.assertEqual(self.names(), [])

    def test_killed_once_all_is_there_only_publishing_is_left(self):
        done = madtest.run(
            "strace", "-f", "-qq", "-o", self.tmp / "trace", "-e", "trace=fsync", "-e",
            "inject=fsync:signal=KILL:when=1", madtest.tool("mad-fetch"),
            *self.words("-o", self.out / "out.npz"), env=self.environment())
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.names(), [PARTIAL, JOURNAL])
        before = len(self.proxy.requests())
        self.assert_published(self.fetch_out())
        self.assertEqual(self.ranges(before), [])

    def test_what_was_left_and_is_damaged_is_fetched_again(self):
        for chunks in (True, False):
            with self.subTest(chunks=chunks):
                if not chunks:
                    manifest = json.loads(self.manifest)
                    del manifest["chunks"]
                    self.manifest = json.dumps(manifest).encode()
                    self.put(self.bytes, self.manifest)
                    (self.out / "out.npz").unlink()
                    (self.out / "out.npz.manifest.json").unlink()
                    self.proxy.released.clear()
                self.leave_half()
                damage(self.out / PARTIAL, 5 * MIB)
                before = len(self.proxy.requests())
                done = self.fetch_out()
                self.assert_published(done)
                if chunks:
                    self.assertIn("damaged at bytes 5242880 to 6291456;", done.stderr)
                    asked = [first_byte(seen) for seen in self.ranges(before)]
                    self.assertEqual(asked.count(5 * MIB), 1)
                    self.assertLessEqual(self.bytes_sent(before), (SIZE_MIB // 2 + 2) * MIB)
                else:
                    self.assertIn("not what the manifest says", done.stderr)
                    self.assertEqual(self.bytes_sent(before), len(self.bytes))

    def test_what_was_left_is_not_taken_where_no_manifest_vouches_for_it(self):
        self.leave_half()
        damage(self.out / PARTIAL, 5 * MIB)
        self.take_manifest_away()
        before = len(self.proxy.requests())
        done = self.fetch_out("--skip-integrity-check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), PAIR[:1])
        self.assertTrue((self.out / "out.npz").read_bytes() == self.bytes, "other bytes")
        self.assertEqual(self.figures()["resumed_bytes"], 0)
        self.assertEqual(self.bytes_sent(before), len(self.bytes))

    def test_what_was_left_of_another_version_is_not_taken(self):
        self.leave_half()
        self.bytes, self.manifest = VERSIONS[1]
        self.put(self.bytes, self.manifest)
        before = len(self.proxy.requests())
        self.assert_published(self.fetch_out())
        self.assertEqual(self.figures()["resumed_bytes"], 0)
        self.assertEqual(self.bytes_sent(before), len(self.bytes))

    def test_what_was_left_goes_also_when_a_small_one_takes_its_place(self):
        self.leave_half()
        small = madtest.reference_snapshot(self.tmp / "small.npz", madtest.small_arrays())
        self.bytes, self.manifest = small.read_bytes(), pathlib.Path(
            f"{small}.manifest.json").read_bytes()
        self.put(self.bytes, self.manifest)
        self.assert_published(self.fetch_out())

    def test_two_fetches_of_one_destination_do_not_mix(self):
        self.proxy.fail(stall(), when=range_at(10))
        first = self.start_out("--stall-timeout", "60")
        self.wait_for_parts(8)
        self.assert_published_beside(self.fetch_out())
        self.proxy.release()
        first.wait(30)
        self.assert_published(process_done(first))

    def assert_published_beside(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.names(), [PARTIAL, JOURNAL, *PAIR])
        self.assertTrue((self.out / "out.npz").read_bytes() == self.bytes, "other bytes")

    # Its options.

    def test_the_rate_is_kept_to(self):
        for words in (["--connections", "4"], ["--part-size", "32M"]):
            with self.subTest(words=words):
                start = time.monotonic()
                before = len(self.proxy.requests())
                self.assert_bundle(self.fetch(*words, "--limit-rate", "12M"))
                seconds = time.monotonic() - start
                self.assertGreater(seconds, SIZE_MIB / 12 * 0.8)
                self.assertLess(seconds, SIZE_MIB / 12 * 5)
                sent = sum(seen.sent for seen in self.proxy.requests()[before:])
                self.assertLess(sent, len(self.bytes) + MIB)

    def test_options_that_make_no_sense_are_usage_errors(self):
        for words in (["--connections", "0"], ["--connections", "65"], ["--connections", "x"],
                      ["--part-size", "1K"], ["--part-size", "2G"], ["--part-size", "x"],
                      ["--limit-rate", "fast"], ["--limit-rate", "-1"]):
            with self.subTest(words=words):
                done = self.fetch(*words)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(words[0], done.stderr)

    def test_the_environment_has_them_too(self):
        done = madtest.run("mad-fetch", "--report", self.report, self.url, env=self.environment(
            MAD_FETCH_CONNECTIONS=3, MAD_FETCH_PART_SIZE="2M", MAD_FETCH_LIMIT_RATE="1G"))
        self.assert_bundle(done)
        self.assertEqual([self.figures()[name] for name in ("connections", "ranges")],
                         [3, SIZE_MIB // 2 + 1])


class FromS3(Ranges, madtest.Case):
    def setUp(self):
        self.bucket = S3.bucket()
        self.url = f"s3://{self.bucket}/runs/sim.npz"
        self.proxy = self.enterContext(FaultProxy(S3.port))
        self.access = S3.environment(endpoint=self.proxy.endpoint())
        super().setUp()

    def put(self, npz, manifest):
        S3.put(self.bucket, "runs/sim.npz", npz)
        S3.put(self.bucket, "runs/sim.npz.manifest.json", manifest)

    def take_manifest_away(self):
        S3.delete(self.bucket, "runs/sim.npz.manifest.json")

    def test_a_request_on_a_kept_connection_does_not_wait_for_a_late_ack(self):
        # radosgw sends head and body apart: 385 requests of 40 ms more were 15 s.
        start = time.monotonic()
        self.assert_bundle(self.fetch("--connections", "1", "--part-size", "64K",
                                      **S3.environment()))
        self.assertEqual(self.figures()["ranges"], SIZE_MIB * 16 + 1)
        self.assertLess(time.monotonic() - start, 15)


class FromNginx(Ranges, madtest.Case):
    def setUp(self):
        self.proxy = self.enterContext(FaultProxy(NGINX.port))
        self.access = {}
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=ROOT))
        self.directory.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.directory)
        self.url = f"{self.proxy.endpoint()}/{self.directory.name}/sim.npz"
        # Its ETag is made of time and size: no two versions share a second.
        self.modified = 1_700_000_000
        super().setUp()

    def put(self, npz, manifest):
        self.modified += 1
        for name, content in (("sim.npz", npz), ("sim.npz.manifest.json", manifest)):
            place = self.directory / name
            place.with_suffix(".new").write_bytes(content)
            os.utime(place.with_suffix(".new"), (self.modified, self.modified))
            place.with_suffix(".new").rename(place)

    def take_manifest_away(self):
        (self.directory / "sim.npz.manifest.json").unlink()

    def test_what_is_left_holds_no_secret(self):
        self.url += "?X-Amz-Signature=SeCrEt"
        self.leave_half()
        self.assertRegex((self.out / JOURNAL).read_text(),
                         r"\Amad-partial 1 [0-9a-f]{64} \d+\n(\d+ \d+\n)+\Z")
        self.assertEqual((self.out / JOURNAL).stat().st_mode & 0o777, 0o600)
        # Another signature for the same object goes on there.
        self.url = self.url.replace("SeCrEt", "0ther")
        self.assert_published(self.fetch_out())
        self.assertGreater(self.figures()["resumed_bytes"], 0)


def damage(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stderr.close()


def process_done(process):
    process_stderr = process.stderr.read().decode("utf-8", "replace")
    return subprocess.CompletedProcess(process.args, process.returncode, b"", process_stderr)


if __name__ == "__main__":
    madtest.main()
