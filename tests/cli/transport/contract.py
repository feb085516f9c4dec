"""What every store keeps to, whatever its protocol: each test, against each scheme's server.

A scheme's test is `class Ranges(contract.Ranges, ItsCase)`, where ItsCase says how to reach the
server behind the tool's back (see StoreContract).
"""

import signal
import time

from fault_proxy import (content_range, cut, lost_answer, meanwhile, no_ranges, other_range, reset,
                         reset_upload, stall, status, together)
from storing import MIB, noise, wait_until

AWKWARD = ["a b+c", "d//e", "p%25", "q?x#1", "s&=;:@!$'()*,~", "x/../y", "ü日本", "\"<>|{}"]


class StoreContract:
    """What a scheme's case brings.  `key` is an object's name, "object" if it does not matter."""

    KEYS = AWKWARD
    PAGE = 1000  # the most objects of one page of a listing
    PART = MIB  # the bytes of a part of an upload, and how many go up at a time
    THREADS = 3
    PUT = "PUT"  # the method by which a small object goes up
    REMOVAL = 1  # the requests that it takes to remove one version
    DENIED = BUSY = ""  # what the errors of denied() and busy() are called
    FAULTS = ()  # faults that pass, beside those of all
    PART_FAULTS = ()  # the same, of a part that goes up
    WRONG_RANGES = (other_range(5),)

    def url(self, key="object"):
        raise NotImplementedError

    def nowhere(self):
        """(URL, name) of a bucket that does not exist; the URL ends with a slash."""
        raise NotImplementedError

    def through_proxy(self):
        """The FaultProxy that is from now on between the tool and the server."""
        raise NotImplementedError

    # Straight to the server.

    def put(self, body, key="object", **metadata):
        """Returns the version, as the tool calls it."""
        raise NotImplementedError

    def find(self, key="object"):
        """(bytes, metadata, version), or None."""
        raise NotImplementedError

    def delete(self, key="object"):
        raise NotImplementedError

    def unfinished(self):
        """The uploads that are neither completed nor aborted."""
        raise NotImplementedError

    def assert_nothing_left(self):
        """No object, and nothing of an upload that could be taken away."""
        raise NotImplementedError

    # What requests and answers look like.

    def is_read(self, seen):
        """Whether this request is for an object's bytes."""
        return seen.method == "GET"

    def pinned_to(self, seen):
        """The version that a read is for."""
        return seen.headers["if-match"]

    def busy(self, **options):
        raise NotImplementedError

    def denied(self):
        raise NotImplementedError

    def other_version(self):
        """The fault of an answer that is of another version than was asked for."""
        raise NotImplementedError

    def whole(self):
        """The fault of a server that knows no ranges."""
        return no_ranges()

    def fail_reads(self, proxy, fault, **options):
        proxy.fail(fault, when=self.is_read, **options)

    def reads(self, proxy):
        return [seen for seen in proxy.requests() if self.is_read(seen)]


class Objects(StoreContract):
    def test_stat_tells_size_version_metadata_and_time(self):
        version = self.put(b"12345", sha256="abc")
        info = self.result("stat", self.url())
        self.assertEqual((info["size"], info["version"], info["metadata"]),
                         (5, version, {"sha256": "abc"}))
        self.assertGreater(info["modified"], 1_600_000_000)
        self.put(b"", "empty", sha256="abc")
        info = self.result("stat", self.url("empty"))
        self.assertEqual((info["size"], info["metadata"]), (0, {"sha256": "abc"}))
        self.assertIsNone(self.result("stat", self.url("none")))

    def test_put_get_and_remove_any_key(self):
        for key in self.KEYS:
            with self.subTest(key=key):
                info = self.result("put", self.url(key), "--meta", "sha256=abc", stdin=b"bytes")
                self.assertEqual(self.find(key), (b"bytes", {"sha256": "abc"}, info["version"]))
                self.assertEqual(self.result("stat", self.url(key))["version"], info["version"])
                self.assertEqual(self.result("get", self.url(key)), "complete")
                self.assertEqual(self.output, b"bytes")
                self.result("remove", self.url(key))
                self.assertIsNone(self.find(key))
        self.result("remove", self.url("none"))

    def test_one_version_is_removed_and_no_other(self):
        url = self.url()
        old = self.result("put", url, stdin=b"old")["version"]
        new = self.result("put", url, stdin=b"newer")["version"]
        self.assertEqual(self.result("remove", url, "--if-version", old), "changed")
        self.assertEqual(self.find()[0], b"newer")
        self.assertEqual(self.result("remove", url, "--if-version", new), "removed")
        self.assertEqual(self.figures["requests"], self.REMOVAL)
        self.assertIsNone(self.find())
        self.assertEqual(self.result("remove", url, "--if-version", new), "missing")

    def test_list_decodes_any_key(self):
        for key in self.KEYS:
            self.put(key.encode(), key)
        self.result("list", self.url(""))
        rows = {row[0]: row for row in self.rows()}
        self.assertEqual(len(rows), len(self.KEYS))
        for key in self.KEYS:
            # What may be a signature is not shown, and long names are cut.
            shown = self.url(key.split("?")[0] + ("?…" if "?" in key else ""))
            [row] = [row for name, row in rows.items()
                     if name == shown or (len(key) > 200 and name[:200] == shown[:200])]
            self.assertEqual(row[1:3], [str(len(key.encode())), self.find(key)[2]])
            self.assertGreater(int(row[3]), 1_600_000_000)
        self.result("list", self.url("d/"))
        self.assertEqual([row[0] for row in self.rows()], [self.url("d//e")])

    def test_a_listing_of_more_than_a_page_goes_on_and_ends_where_it_is_enough(self):
        keys = [f"k/{i:04}+ü" for i in range(self.PAGE + 5)]
        for key in keys:
            self.put(b"", key)
        self.assertEqual(self.result("list", self.url("k/"))["pages"], 2)
        self.assertEqual([row[0] for row in self.rows()], [self.url(key) for key in keys])
        self.assertEqual(self.result("list", self.url("k/"), "--limit", 1)["pages"], 1)

    def rows(self):
        """What `list` printed: [URL, size, version, time]."""
        return [line.split("\t") for line in self.output.decode().splitlines()]

    def test_what_is_in_no_bucket_is_code_5(self):
        url, name = self.nowhere()
        for verb in ("stat", "get", "put", "upload", "remove", "list"):
            with self.subTest(verb=verb):
                done = self.store(verb, url + ("" if verb == "list" else "k"), stdin=b"x")
                self.assert_refused(done, 5, f"no bucket '{name}'")

    def test_access_denied_is_code_8_at_once(self):
        self.put(b"kept")
        for verb in ("stat", "get", "put", "upload", "list", "remove"):
            with self.subTest(verb=verb):
                proxy = self.through_proxy()
                proxy.fail(self.denied(), times=None)
                self.assert_refused(self.store(verb, self.url(), stdin=b"x"), 8, self.url())
        self.assertEqual(self.find()[0], b"kept")

    def test_conditions_on_put(self):
        self.assertIsNotNone(self.result("put", self.url(), "--if-absent", stdin=b"one"))
        self.assertIsNone(self.result("put", self.url(), "--if-absent", stdin=b"two"))
        self.assertEqual(self.find()[0], b"one")
        version = self.result("stat", self.url())["version"]
        new = self.result("put", self.url(), "--if-version", version, stdin=b"three")
        self.assertIsNone(self.result("put", self.url(), "--if-version", version, stdin=b"four"))
        self.assertEqual(self.find()[0], b"three")
        self.assertEqual(self.result("stat", self.url())["version"], new["version"])
        self.assertIsNone(self.result("put", self.url("none"), "--if-version", version, stdin=b"x"))
        self.assertIsNone(self.find("none"))

    def test_a_conditional_put_whose_answer_is_lost_was_ours(self):
        proxy = self.through_proxy()
        proxy.fail(lost_answer(), method=self.PUT)
        info = self.result("put", self.url(), "--if-absent", "--meta", "sha256=abc", stdin=b"one")
        self.assertEqual(info["size"], 3)
        proxy.fail(reset(), method=self.PUT)
        self.assertIsNone(self.result("put", self.url(), "--if-absent", "--meta", "sha256=abd",
                                      stdin=b"two"))
        self.assertEqual(self.find()[0], b"one")


class Ranges(StoreContract):
    def setUp(self):
        super().setUp()
        self.data = noise(3 * MIB + 17)
        self.version = self.put(self.data)
        self.proxy = self.through_proxy()

    def test_parallel_ranges_of_one_version_give_the_object(self):
        self.fail_reads(self.proxy, together(4), times=4)
        self.assertEqual(self.result("ranges", self.url(), 300_000, 4), "complete")
        self.assertEqual(self.output, self.data)
        self.assertEqual(self.figures["requests"], 1 + 11)
        self.assertEqual([self.pinned_to(seen) for seen in self.reads(self.proxy)],
                         [self.version] * 11)

    def test_each_range_is_tried_again_from_where_it_was_cut(self):
        faults = (cut(after=100_000), reset(after=200_000), self.busy(), reset(), status(500),
                  stall(after=50_000), status(429, retry_after=0), *self.FAULTS)
        for fault in faults:
            self.fail_reads(self.proxy, fault, skip=1)
        # No range, nor what is left of one, is too short for a fault to strike.
        self.assertEqual(self.result("ranges", self.url(), 700_000, 3), "complete")
        self.assertEqual(self.output, self.data)
        self.assertLess(self.figures["received"], len(self.data) + 300_000)
        self.assertGreaterEqual(len(self.reads(self.proxy)), 5 + len(faults))

    def test_a_whole_that_is_cut_goes_on_under_its_version(self):
        for fault in (cut(after=MIB), reset(after=MIB + 1), stall(after=1000)):
            self.fail_reads(self.proxy, fault)
        self.assertEqual(self.result("get", self.url()), "complete")
        self.assertEqual(self.output, self.data)
        self.assertLess(self.figures["received"], len(self.data) + 300_000)
        _, *later = self.reads(self.proxy)
        self.assertEqual([self.pinned_to(seen) for seen in later], [self.version] * 3)

    def test_a_storm_is_waited_out_as_the_server_asks_and_then_given_up(self):
        self.fail_reads(self.proxy, self.busy(retry_after=1))
        begin = time.monotonic()
        self.assertEqual(self.result("get", self.url()), "complete")
        self.assertGreaterEqual(time.monotonic() - begin, 1)
        self.fail_reads(self.proxy, self.busy(), times=None)
        self.assert_refused(self.store("get", self.url()), 7, self.BUSY, "5 attempts")

    def test_another_version_is_noticed_in_the_first_range_that_meets_it(self):
        self.fail_reads(self.proxy, meanwhile(lambda: self.put(self.data[:-1])), skip=1)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")
        self.fail_reads(self.proxy, meanwhile(self.delete), skip=1)
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_an_answer_of_another_version_is_noticed_whatever_its_status(self):
        self.fail_reads(self.proxy, self.other_version())
        self.assertEqual(self.result("ranges", self.url(), MIB, 1), "changed")

    def test_a_server_without_ranges_is_told_apart(self):
        self.fail_reads(self.proxy, self.whole(), times=None)
        self.assertEqual(self.result("ranges", self.url(), MIB, 2), "no ranges")
        self.assertLess(self.figures["received"], MIB)

    def test_a_range_that_was_not_asked_for_is_refused(self):
        size = len(self.data)
        for fault in (content_range(f"bytes 1-{MIB}/{size}"), content_range(None),
                      content_range(f"bytes 0-{MIB - 1}/*"), content_range("bytes 0-9"),
                      content_range(f"bytes 0-{MIB}/{size}"), *self.WRONG_RANGES):
            self.proxy.honest()
            self.fail_reads(self.proxy, fault)
            done = self.store("ranges", self.url(), MIB, 1)
            self.assert_refused(done, 7, f"asked for the bytes 0-{MIB - 1} of {size}",
                                "found Content-Range")
            self.assertEqual(done.stdout, b"")

    def test_a_failure_of_one_ends_all_at_once(self):
        self.fail_reads(self.proxy, stall(after=10), times=3)
        self.fail_reads(self.proxy, self.denied())
        done = self.store("ranges", self.url(), 400_000, 4)
        self.assert_refused(done, 8, self.DENIED, self.url())

    def test_a_signal_ends_all_at_once(self):
        self.fail_reads(self.proxy, stall(after=10), times=None)
        process = self.start("ranges", self.url(), 400_000, 4, stdin=b"")
        wait_until(lambda: len(self.reads(self.proxy)) == 4)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)


class Uploads(StoreContract):
    def setUp(self):
        super().setUp()
        self.data = noise(2 * self.PART + MIB + 5)

    def upload(self, *words, **changes):
        return self.result("upload", self.url(), self.PART, self.THREADS, *words,
                           stdin=self.data, **changes)

    def refused_upload(self):
        return self.store("upload", self.url(), self.PART, self.THREADS, stdin=self.data)

    def start_upload(self, *words):
        return self.start("upload", self.url(), self.PART, self.THREADS, *words, stdin=self.data)

    def assert_stored(self, info):
        body, _, version = self.find()
        self.assertEqual(body, self.data)
        self.assertEqual((version, len(body)), (info["version"], info["size"]))
        self.assertEqual(len(self.unfinished()), 0)

    def test_an_upload_to_any_key(self):
        for key in self.KEYS:
            with self.subTest(key=key):
                self.result("upload", self.url(key), self.PART, self.THREADS, stdin=b"small")
                self.assertEqual(self.find(key)[0], b"small")

    def test_an_upload_of_any_length(self):
        for size in (0, 1, self.PART - 1, self.PART, self.PART + 1):
            with self.subTest(size=size):
                self.data = noise(size)
                self.assert_stored(self.upload())

    def test_a_failed_part_is_sent_again(self):
        for fault in (reset_upload(after=self.PART // 5), self.busy(), lost_answer(), status(500),
                      stall(), *self.PART_FAULTS):
            proxy = self.through_proxy()
            proxy.fail(fault, method="PUT", skip=1)
            self.assert_stored(self.upload())
            self.assertGreater(len(proxy.requests(method="PUT")), 3)
            proxy.release()
            self.delete()

    def test_if_absent_leaves_what_is_there(self):
        self.put(b"old")
        self.assertIsNone(self.upload("--if-absent"))
        self.assertEqual(self.find()[0], b"old")
        self.delete()
        self.assert_nothing_left()
        self.assert_stored(self.upload("--if-absent"))

    def test_a_failed_upload_leaves_nothing(self):
        proxy = self.through_proxy()
        proxy.fail(self.denied(), method="PUT", skip=1, times=None)
        self.assert_refused(self.refused_upload(), 8, self.DENIED, self.url())
        self.assert_nothing_left()

    def test_a_signal_leaves_nothing(self):
        process = self.start_upload("--hold")
        self.assertEqual(process.stderr.readline(), b"parts are there\n")
        self.assertEqual(len(self.unfinished()), 1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assert_nothing_left()

    def test_a_signal_in_the_middle_of_parts_leaves_nothing(self):
        proxy = self.through_proxy()
        proxy.fail(stall(), method="PUT", times=None)
        process = self.start_upload()
        wait_until(lambda: len(proxy.requests(method="PUT")) == self.THREADS)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assert_nothing_left()


class Aborts(StoreContract):
    """Of an upload whose parts the store keeps until it is told to drop them."""

    LEFT = ""  # what is said where it cannot be told

    def test_an_abort_that_fails_is_tried_again_and_else_said(self):
        proxy = self.through_proxy()
        proxy.fail(self.denied(), method="PUT", times=None)
        proxy.fail(reset(), method="DELETE", times=2)
        words = ["upload", self.url(), self.PART]
        self.assert_refused(self.store(*words, stdin=noise(MIB)), 8, self.DENIED)
        self.assert_nothing_left()
        proxy.fail(status(500), method="DELETE", times=None)
        self.assert_refused(self.store(*words, stdin=noise(MIB)), 8, self.LEFT)
