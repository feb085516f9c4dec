"""--deadline and MAD_DEADLINE, which every tool has: in time or not, in order, and with 10."""

import concurrent.futures
import json
import os
import signal
import subprocess
import time

import madtest
from servers import FaultyServer, stall, status

PASSED = {"MAD_DEADLINE": "1000000000.5"}


class DeadlineCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        self.old = madtest.reference_snapshot(self.tmp / "old.npz", {"n/x": madtest.np.zeros(3)})
        self.report = self.tmp / "report.json"

    def assert_late(self, done, *needles):
        self.assert_refused(done, 10, "deadline: ", *needles)
        report = json.loads(self.report.read_text())
        self.assertEqual((report["status"], report["code"], report["reason"]),
                         ("error", 10, "deadline-passed"))
        self.report.unlink()

    def start(self, *words, **extra):
        """A tool that waits for an input which does not come."""
        return subprocess.Popen(
            [madtest.tool(words[0]), *map(str, words[1:])], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.tmp,
            env=madtest.clean_environment(TMPDIR=self.tmp, **extra))


class Given(DeadlineCase):
    def test_one_that_has_passed_ends_every_tool_before_it_touches_anything(self):
        before = madtest.tree(self.tmp)
        for words in (
                ("mad-snapshot", "-o", self.tmp / "new.npz", self.state),
                ("mad-snapshot", "-o", "-", self.state),
                ("mad-manifest", "write", "--force", self.old),
                ("mad-manifest", "show", self.old),
                ("mad-verify", self.old),
                ("mad-verify",),
                ("mad-fetch", self.old),
                ("mad-fetch", "-o", self.tmp / "new.npz", self.old),
                ("mad-push", self.old, "http://127.0.0.1:9/sim.npz"),
                ("mad-resume", "--snapshot", self.tmp / "new.npz")):
            for late, env in ((("--deadline", "0"), {}), ((), PASSED)):
                with self.subTest(words=words, env=env):
                    done = madtest.run(words[0], *late, "--report", self.report, *words[1:],
                                       env=env)
                    if words[0] == "mad-resume":
                        self.assertEqual(done.returncode, 10, done.stderr)
                        self.assertEqual(json.loads(self.report.read_text())["reason"],
                                         "deadline-passed")
                        self.report.unlink()
                    else:
                        self.assert_late(done, "had passed before", "an old MAD_DEADLINE")
                    self.assertEqual(done.stdout, b"")
                    self.assertEqual(madtest.tree(self.tmp), before)

    def test_a_bad_option_is_a_usage_error(self):
        for tool in ("mad-snapshot", "mad-manifest", "mad-verify", "mad-fetch", "mad-push",
                     "mad-resume"):
            for bad in ("-1", "soon", "1e3", "inf", ""):
                operands = {"mad-manifest": ["show", "x"], "mad-snapshot": ["x"],
                            "mad-push": ["x", "http://127.0.0.1:9/x"]}.get(tool, [])
                done = madtest.run(tool, f"--deadline={bad}", *operands)
                self.assert_refused(done, 2, "usage")

    def test_a_bad_variable_is_warned_of_and_costs_no_snapshot(self):
        for bad in ("tomorrow", "-5", "1732632328123"):
            done = madtest.run("mad-snapshot", "-o", self.tmp / "new.npz", self.state,
                               env={"MAD_DEADLINE": bad})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, f"warning: MAD_DEADLINE: .*found '{bad}'")

    def test_one_that_is_kept_changes_nothing(self):
        later = f"{time.time() + 3600:.3f}"
        for words in (("mad-snapshot", "-o", self.tmp / "new.npz", self.state),
                      ("mad-verify", self.old), ("mad-manifest", "show", self.old),
                      ("mad-fetch", "-o", self.tmp / "copy.npz", self.old)):
            done = madtest.run(*words, "-q", "--deadline", "3000", env={"MAD_DEADLINE": later})
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_of_two_the_earlier_holds_and_each_tool_ends_before_it(self):
        before = madtest.tree(self.tmp)
        # All at the same time: each waits for as long as it may.
        seconds = 4
        for option, variable in ((3600, seconds), (seconds, 3600)):
            begin = time.time()
            runs = [self.start(*words, "--deadline", option, "--report", f"{number}.json",
                               MAD_DEADLINE=begin + variable)
                    for number, words in enumerate((
                        ("mad-verify",), ("mad-push", "-", "http://127.0.0.1:9/x.npz"),
                        ("mad-snapshot", "-o", "new.npz", "-"), ("mad-snapshot", "-o", "-", "-"),
                        ("mad-resume", "--snapshot", "new.npz")))]
            for number, run in enumerate(runs):
                run.wait(timeout=60)
                said = run.stderr.read().decode()
                run.communicate()
                self.assertEqual(run.returncode, 10, said)
                self.assertIn("error: deadline: there is no time left\n", said)
                # The last thing that a tool does.
                report = self.tmp / f"{number}.json"
                self.assertGreater(report.stat().st_mtime, begin + seconds / 2)
                # The option counts from when the program has started.
                latest = begin + seconds + 10 * (option == seconds)
                self.assertLess(report.stat().st_mtime, latest, run.args)
                report.unlink()
            self.assertEqual(madtest.tree(self.tmp), before)


class InAPipe(DeadlineCase):
    """What a stage that was late tells those after it."""

    LINE = ("$FIRST | mad-verify | mad-resume --snapshot $TOOL.npz -- "
            "sh -c 'echo \"$MAD_RESUME_REASON\"'")

    def test_the_seal_says_which_stage_had_no_time(self):
        with FaultyServer() as server:
            server.always("/sim.npz.manifest.json", status(503))
            waits = self.tmp / "waits.npz"
            os.mkfifo(waits)
            holder = os.open(waits, os.O_RDWR)  # the reader finds an input that never comes
            self.addCleanup(os.close, holder)
            url = server.url("/sim.npz")
            firsts = {"mad-fetch": f"mad-fetch --deadline 4 {url}",
                      "mad-snapshot": f"mad-snapshot --deadline 4 -o - - <{waits}",
                      "mad-verify": f"mad-verify --deadline 4 <{waits}"}

            def boot(tool):
                line = self.LINE.replace("$FIRST", firsts[tool]).replace("$TOOL", tool)
                return madtest.dash(line, cwd=self.tmp)

            # All at the same time: each waits for as long as it may.
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for tool, done in zip(firsts, pool.map(boot, firsts)):
                    with self.subTest(tool=tool):
                        self.assertEqual(done.returncode, 0, done.stderr)
                        self.assertRegex(done.stdout.decode(), f"^{tool}: deadline-passed: ")
                        self.assertFalse((self.tmp / f"{tool}.npz").exists())

    def test_a_resume_that_is_late_keeps_what_is_there_and_starts_the_command(self):
        kept = self.tmp / "in.npz"
        kept.write_bytes(b"what was there")
        stream = madtest.run("mad-fetch", self.old).stdout
        run = self.start("mad-resume", "--deadline", "2", "--snapshot", kept, "--report",
                         self.report, "--", "sh", "-c",
                         # Beyond the deadline, which must not reach it.
                         'sleep 1; echo "$MAD_RESUME_STATUS $MAD_RESUME_REASON"; cat')
        run.stdin.write(stream[:-2048])
        run.stdin.flush()
        run.wait(timeout=60)
        said, complained = run.communicate()
        self.assertEqual(run.returncode, 0, complained)
        self.assertRegex(said.decode(), "^failed mad-resume: deadline-passed: ")
        self.assertEqual(json.loads(self.report.read_text())["code"], 10)
        self.assertEqual(kept.read_bytes(), b"what was there")
        self.assertEqual([path.name for path in self.tmp.glob(".*")], [])

    def test_the_command_does_not_inherit_a_time_that_has_passed(self):
        later = f"{time.time() + 3600:.3f}"
        for given, found in ((PASSED["MAD_DEADLINE"], "none"), (later, later)):
            env_file = self.tmp / "env"
            done = madtest.run("mad-resume", "--env-file", env_file, "--", "sh", "-c",
                               "echo ${MAD_DEADLINE:-none}", env={"MAD_DEADLINE": given})
            self.assertEqual(done.stdout.decode(), f"{found}\n", done.stderr)
            done = madtest.dash(f". {env_file}; echo ${{MAD_DEADLINE:-none}}",
                                env={"MAD_DEADLINE": given})
            self.assertEqual(done.stdout.decode(), f"{found}\n", done.stderr)


class Fetching(DeadlineCase):
    def test_retries_stop_at_the_deadline_with_10_and_the_old_file_stays(self):
        with FaultyServer() as server:
            server.put_snapshot("/sim.npz", self.old)
            for fault in (status(503), stall(after=100)):
                server.always("/sim.npz", fault)
                out = self.tmp / "here.npz"
                out.write_bytes(b"old")
                done = madtest.run("mad-fetch", "--deadline", "2", "--report", self.report,
                                   "-o", out, server.url("/sim.npz"))
                self.assert_late(done, "there is no time left")
                self.assertEqual(out.read_bytes(), b"old")
                self.assertEqual([path.name for path in self.tmp.glob(".*")], [])


class WhatDoesNotEnd(DeadlineCase):
    def test_a_process_that_cannot_react_is_killed_at_the_deadline(self):
        run = self.start("mad-verify", "--deadline", "3")
        madtest.wait_until_it_polls(run.pid)
        run.send_signal(signal.SIGSTOP)  # as one that hangs in the kernel
        run.wait(timeout=60)
        run.communicate()
        self.assertEqual(run.returncode, -signal.SIGKILL)

    def test_what_interrupts_a_call_is_what_counts(self):
        waits = self.tmp / "fifo"
        os.mkfifo(waits)  # whose opening waits for a writer
        done = madtest.run("mad-snapshot", "--deadline", "2", "--report", self.report,
                           "--extra-file", waits, "-o", self.tmp / "new.npz", self.state)
        self.assert_late(done, "there is no time left")
        self.assertFalse((self.tmp / "new.npz").exists())


if __name__ == "__main__":
    madtest.main()
