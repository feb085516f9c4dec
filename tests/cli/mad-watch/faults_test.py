"""mad-watch lives for months: no fault of the metadata service ends it or hides a notice."""

import itertools
import json

import madtest
from metadata_server import VM_NAME
from watching import CLOUDS, Child, WatchCase, os, pathlib, signal, wait_until

FAULTS = (
    ({"status": 401}, "401"), ({"status": 404}, "404"), ({"status": 429}, "429"),
    ({"status": 503}, "503"), ({"garbage": True}, ""), ({"oversized": True}, "more"),
    ({"cut": True}, ""),
)


class Faults(WatchCase):
    def test_a_notice_comes_through_after_every_fault(self):
        for cloud, (fault, said) in itertools.product(CLOUDS, FAULTS):
            with self.subTest(cloud=cloud, fault=fault):
                server = self.serve(cloud)
                child = self.watch(server, "--once", *self.command(), provider=cloud,
                                   interval=0.02)
                # Ends the questions that wait: the faults are for the next ones.
                server.control(faults=[{**fault, "count": 3}], withdraw=True)
                wait_until(lambda: not server.faults, "the fault to be over", 20)
                server.control(notice="preemption")
                self.assertEqual(child.wait(), 0, child.err)
                if cloud != "aws" or fault.get("status") not in (401, 404):
                    self.assertIn(said, child.err)
                # Not once a question: EC2 and Compute Engine are asked two.
                self.assertLessEqual(child.err.count("asking on"), 2, child.err)

    def test_a_service_that_hangs_hides_a_notice_for_seconds_only(self):
        server = self.serve("aws")
        child = self.watch(server, *self.command(), provider="aws", interval=0.02)
        child.wait_for_answers(2)
        server.control(fault={"hang": 60, "path": "instance-action"})
        wait_until(lambda: not server.faults, "the question that hangs")
        server.control(notice="preemption")
        child.said("asking on", 20)
        wait_until(self.ran, "the command", 20)

    def test_an_error_is_said_once_again_when_it_changes_and_when_it_is_over(self):
        server = self.serve("azure")
        server.control(fault={"status": 503, "count": 0, "path": "scheduledevents"})
        child = self.watch(server, provider="azure", interval=0.02)
        child.wait_for_answers(3)
        server.control(mend=True, fault={"status": 429, "count": 2, "path": "scheduledevents"})
        child.said("answers again")
        lines = [line for line in child.err.splitlines() if "/metadata/scheduledevents" in line]
        self.assertEqual(len(lines), 3, child.err)
        for line, needle in zip(lines, ("503", "429", "answers again")):
            self.assertIn(needle, line)

    def test_a_void_token_is_replaced_without_a_word(self):
        server = self.serve("aws")
        child = self.watch(server, *self.command(), interval=0.02)
        for number in (1, 2):
            # One may be under way, one meets a void token, and one has a new one.
            child.wait_for_answers(3)
            server.control(expire=True, withdraw=True)
            child.wait_for_answers(3)
            server.control(expire=True, notice="preemption", seconds=100 + number)
            wait_until(lambda: len(self.ran()) == number, "the command")
        self.assertNotIn("warning", child.err)
        # Not a token for each question: one for each time that they were void, and the start.
        self.assertLess(server.seen()["requests"]["PUT /latest/api/token"], 16)

    def test_a_service_that_comes_up_late_is_waited_for(self):
        server = self.serve("gcp")
        server.control(faults=[{"cut": True, "count": 8}])
        child = self.watch(server, "--once")  # found although the first answers are none
        server.control(notice="preemption")
        self.assertEqual(child.wait(), 0, child.err)

    def test_its_memory_does_not_grow(self):
        server = self.serve("azure")
        child = self.watch(server, interval=0.001)

        def resident():
            return int(pathlib.Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * 4096

        server.control(notice="preemption", resources=["other"])
        child.wait_for_answers(300)
        before = resident()
        # Under the sanitizers what was freed is kept for a while.
        child.wait_for_answers(300 if madtest.SANITIZED else 1500)
        self.assertLess(resident() - before, (64 << 20) if madtest.SANITIZED else (256 << 10))

    def test_a_reader_that_has_stopped_keeps_no_notice_from_the_command_and_finds_whole_lines(self):
        server = self.serve("azure")
        fifo = self.tmp / "out"
        os.mkfifo(fifo)
        out = open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), encoding="ascii")
        self.addCleanup(out.close)
        child = Child(self, "sh", "-c", f'exec "$0" "$@" >{fifo}', "mad-watch", "--provider",
                      "azure", "--endpoint", server.url(), "--interval", "0.02",
                      *self.command("$MAD_NOTICE_EVENT_ID ${#MAD_NOTICE_BODY}"))
        child.said("watching for notices of ")
        os.set_blocking(out.fileno(), True)
        # More than a pipe takes, or a variable.
        scale_set = [VM_NAME, *(f"vm-scale-set_{number:05}" for number in range(5000))]

        def announce(number):
            server.control(notice="preemption", id=f"event-{number}", resources=scale_set)
            wait_until(lambda: len(self.ran()) == number, "the command")

        def read_notice():
            notice = json.loads(out.readline())
            self.assertEqual(json.loads(notice["body"])["Events"][-1]["Resources"], scale_set)
            return notice["event_id"]

        announce(1)
        child.said("nobody takes what is written")
        announce(2)
        self.assertEqual(read_notice(), "event-1")
        announce(3)
        if read_notice() == "event-2":  # not dropped: there was room in time
            self.assertEqual(read_notice(), "event-3")
        announce(4)
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(self.ran(), [f"event-{number} 0" for number in (1, 2, 3, 4)])


if __name__ == "__main__":
    madtest.main()
