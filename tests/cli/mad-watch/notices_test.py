"""mad-watch and its notices: each cloud's, each once, each at once."""

import time

import madtest
from watching import CLOUDS, Child, WatchCase, alive, os, signal, wait_until


class Notices(WatchCase):
    def test_each_cloud_is_found_and_its_preemption_reaches_the_command_within_seconds(self):
        body = {"aws": '"action"', "gcp": "TRUE", "azure": "DocumentIncarnation"}
        for cloud in CLOUDS:
            with self.subTest(cloud):
                server = self.serve(cloud)
                begin = time.monotonic()
                child = self.watch(server, "--once", *self.command(
                    "$MAD_NOTICE_PROVIDER $MAD_NOTICE_KIND $MAD_NOTICE_DEADLINE $MAD_DEADLINE",
                    cloud))
                self.assertLess(time.monotonic() - begin, 6)
                self.assertIn(f"notices of {cloud}", child.err)
                child.wait_for_questions()
                self.assertEqual(child.out, "")
                told = time.time()
                server.control(notice="preemption", seconds=30)
                self.ran_in_time(name=cloud)
                self.assertEqual(child.wait(), 0, child.err)
                notice, = child.notices()
                self.assertEqual((notice["provider"], notice["kind"]), (cloud, "preemption"))
                self.assertTrue(told + 28 <= notice["deadline"] <= time.time() + 31, notice)
                self.assertIn(body[cloud], notice["body"])
                self.assertEqual("event_id" in notice, cloud == "azure")
                deadline = notice["deadline"]
                self.assertEqual(self.ran(cloud), [f"{cloud} preemption {deadline} {deadline}"])

    def test_a_notice_is_said_once_and_a_new_one_again(self):
        for cloud in CLOUDS:
            with self.subTest(cloud):
                server = self.serve(cloud)
                child = self.watch(
                    server, *self.command(name=cloud), provider=cloud, interval=0.02)
                server.control(notice="preemption")
                child.wait_for_notices(1)
                server.control(notice="maintenance" if cloud == "gcp" else "rebalance")
                if cloud != "azure":
                    child.wait_for_notices(2)
                if cloud != "gcp":  # whose question waits
                    child.wait_for_answers(3)
                before = server.seen() if cloud == "gcp" else None
                server.control(withdraw=True)
                child.wait_for_answers(1 if cloud == "gcp" else 2, since=before)
                server.control(notice="preemption")
                notices = child.wait_for_notices(2 if cloud == "azure" else 3)
                other = {"aws": ["rebalance"], "gcp": ["maintenance"], "azure": []}[cloud]
                self.assertEqual(
                    [notice["kind"] for notice in notices], ["preemption", *other, "preemption"])
                # Only preemptions are acted on.
                wait_until(lambda: len(self.ran(cloud)) == 2, "both runs")
                self.assertEqual(set(self.ran(cloud)), {"preemption"})
                child.signal(signal.SIGTERM)
                self.assertEqual(child.wait(), 143)

    def test_the_kinds_acted_on_can_be_chosen(self):
        server = self.serve("aws")
        child = self.watch(server, "--on", "rebalance", "--once",
                           *self.command("$MAD_NOTICE_KIND ${MAD_DEADLINE-none}"), interval=0.02)
        server.control(notice="preemption")
        child.wait_for_notices(1)
        server.control(notice="rebalance")
        self.assertEqual(child.wait(), 0, child.err)
        self.assertEqual(self.ran(), ["rebalance none"])
        self.assertIsNone(child.notices()[1]["deadline"])

    def test_azure_events_of_other_machines_are_not_ours(self):
        server = self.serve("azure", first_call_seconds=0.3)
        others = self.watch(server, "--vm-name", "Other_7", "--once", *self.command(name="other"),
                            interval=0.02)
        child = self.watch(server, "--once", "--on", "maintenance", *self.command(), interval=0.02)
        server.control(notice="preemption", resources=["other_7"])
        self.assertEqual(others.wait(), 0, others.err)
        self.assertEqual(child.out, "")
        server.control(notice="maintenance", type="Redeploy")
        self.assertEqual(child.wait(), 0, child.err)
        self.assertEqual(len(child.notices()), 1)

    def test_an_azure_event_is_acknowledged_only_after_the_command_succeeded(self):
        server = self.serve("azure")
        child = self.watch(
            server, "--acknowledge", "--", "sh", "-c",
            f'echo "$MAD_NOTICE_EVENT_ID" >>{self.tmp}/ran; [ "$MAD_NOTICE_EVENT_ID" = good ]',
            interval=0.02)
        server.control(notice="preemption", id="bad")
        child.said("ended with 1")
        self.assertEqual(server.seen()["acknowledged"], [])
        server.control(notice="preemption", id="good")
        child.said("acknowledged event good")
        self.assertEqual(server.seen()["acknowledged"], ["good"])
        # It has started by that, and is the same event.
        child.wait_for_answers(3)
        self.assertEqual(self.ran(), ["bad", "good"])

    def test_one_that_has_started_has_no_time_left_and_no_deadline_to_keep(self):
        server = self.serve("azure")
        child = self.watch(server, "--once", *self.command(
            "${MAD_DEADLINE-none} $MAD_NOTICE_DEADLINE"), interval=0.02)
        server.control(notice="preemption", status="Started")
        self.assertEqual(child.wait(), 0, child.err)
        deadline = child.notices()[0]["deadline"]
        self.assertAlmostEqual(deadline, time.time(), delta=5)
        self.assertEqual(self.ran(), [f"none {deadline}"])

    def test_the_deadline_is_right_whatever_the_service_takes_for_the_time(self):
        for cloud, ahead in (("aws", 5000), ("azure", -5000), ("gcp", 5000)):
            with self.subTest(cloud):
                server = self.serve(cloud)
                server.control(clock=ahead, notice="preemption", seconds=30)
                child = self.watch(server, "--once", provider=cloud)
                self.assertEqual(child.wait(), 0, child.err)
                self.assertAlmostEqual(child.notices()[0]["deadline"], time.time() + 30, delta=15)


class Acting(WatchCase):
    def test_once_ends_with_the_status_of_the_command(self):
        server = self.serve("gcp")
        server.control(notice="preemption")
        for words, status in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137),
                              (["no-such-command"], 127), ([self.tmp], 126)):
            with self.subTest(words):
                child = self.watch(server, "--once", "--", *words)
                self.assertEqual(child.wait(), status, child.err)
                self.assertIn(f"ended with {status}", child.err)

    def test_a_process_is_signalled_and_the_watch_ends_with_it(self):
        server = self.serve("gcp")
        target = Child(self, "sh", "-c",
                       "trap 'echo got' USR1; echo up; while :; do sleep 0.02; done")
        wait_until(lambda: target.out, "the process")
        child = self.watch(server, "--pid", target.pid, "--signal", "USR1")
        server.control(notice="preemption")
        wait_until(lambda: "got" in target.out, "the signal")
        self.assertEqual(child.wait_for_notices(1)[0]["kind"], "preemption")
        target.signal(signal.SIGKILL)
        self.assertEqual(child.wait(), 0, child.err)
        self.assertEqual(target.wait(), 137)
        self.assert_refused(
            madtest.run("mad-watch", "--endpoint", server.url(), "--pid", target.pid), 9,
            "there is no such process")

    def test_sigterm_ends_it_at_once_but_waits_for_the_command(self):
        server = self.serve("gcp")
        report = self.tmp / "report"
        child = self.watch(server, "--report", report)
        child.wait_for_questions()
        begin = time.monotonic()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143)
        self.assertLess(time.monotonic() - begin, 6)
        self.assertIn('"provider":"gcp","notices":0', report.read_text())

        os.mkfifo(self.tmp / "go")
        child = self.watch(
            server, "--", "sh", "-c", "echo begun >&2; read -r _ <go; echo saved >ran")
        server.control(notice="preemption")
        child.said("begun")
        child.signal(signal.SIGTERM)
        child.said("waiting for sh to end")
        with open(self.tmp / "go", "w", encoding="ascii") as go:
            go.write("\n")
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(self.ran(), ["saved"])

    def test_a_reader_that_went_away_keeps_no_notice_from_the_command(self):
        server = self.serve("gcp")
        reading, writing = os.pipe()
        child = Child(self, "dash", "-c", f'exec "$@" >&{writing} {reading}<&-', "dash",
                      "mad-watch", "--endpoint", server.url(), *self.command(), pass_fds=(reading, writing))
        os.close(writing)
        child.said("watching for")
        os.close(reading)
        server.control(notice="preemption")
        self.ran_in_time()
        child.said("standard output: nobody takes")
        self.assertTrue(alive(child.pid))

    def test_closed_outputs_take_whatever_the_command_writes(self):
        server = self.serve("gcp")
        server.control(notice="preemption")
        done = madtest.dash('exec mad-watch --endpoint "$1" --provider gcp --once -- sh -c '
                            '"echo a && echo b >&2" >&- 2>&-', server.url())
        self.assertEqual(done.returncode, 0)

    def test_the_command_gets_no_descriptor_and_no_signal_disposition_of_ours(self):
        server = self.serve("gcp")
        server.control(notice="preemption")
        child = self.watch(server, "--once", "--", "sh", "-c",
                           "ls -l /proc/self/fd; grep SigIgn /proc/self/status")
        self.assertEqual(child.wait(), 0, child.err)
        for own in ("socket:", "eventpoll", "anon_inode", "pipe:[0"):
            self.assertNotIn(own, child.err)
        self.assertRegex(child.err, r"SigIgn:\s+0+\b")
        self.assertEqual(len(child.notices()), 1)


class Refusals(WatchCase):
    def test_no_cloud_is_12_within_seconds(self):
        server = self.serve("aws")
        server.control(fault={"status": 404, "count": 0})
        begin = time.monotonic()
        children = [Child(self, "mad-watch", "--endpoint", endpoint, *self.command())
                    for endpoint in (server.url(), "http://127.0.0.1:1")]
        for child in children:
            self.assertEqual(child.wait(), 12, child.err)
            self.assertLess(time.monotonic() - begin, 6)
            self.assertIn("no metadata service of aws, gcp or azure answers", child.err)
            self.assertEqual(child.out, "")
        self.assertEqual(self.ran(), [])

    def test_usage_errors_ask_nothing(self):
        server = self.serve("aws")
        for words, needle in (
            (["--provider", "ibm"], "--provider"), (["--on", "preempt"], "--on"),
            (["--signal", "USR1"], "--signal"),
            (["--pid", os.getpid(), "--signal", "SIGNOTHING"], "expected a signal's name"),
            (["--endpoint", "ftp://h"], "--endpoint"),
            (["--pid", os.getpid(), "--", "true"], "--pid"), (["--pid", "0"], "--pid"),
            (["--acknowledge"], "--acknowledge"), (["--"], "expected a command"),
            (["--interval", "0"], "--interval"), (["surplus"], "unexpected argument"),
        ):
            with self.subTest(words):
                done = madtest.run("mad-watch", "--endpoint", server.url(), *words)
                self.assert_refused(done, 2, needle)
        self.assertEqual(server.seen()["requests"], {})

    def test_no_proxy_is_asked(self):
        server = self.serve("aws")
        server.control(notice="preemption")
        proxy = self.serve("gcp")
        done = madtest.run("mad-watch", "--endpoint", server.url(), "--once",
                           env={"http_proxy": proxy.url(), "all_proxy": proxy.url()})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(proxy.seen()["requests"], {})


if __name__ == "__main__":
    madtest.main()
