"""What every tool does alike: help, version, usage errors, reports, logs, signals."""

import json
import os
import signal
import stat
import subprocess

import madtest

TOOLS = ["mad-snapshot", "mad-manifest", "mad-verify", "mad-fetch", "mad-push", "mad-resume"]


class Frame(madtest.Case):
    def test_version_and_help_go_to_standard_output_and_exit_0(self):
        for tool in TOOLS:
            done = madtest.run(tool, "--version")
            self.assertEqual((done.returncode, done.stderr), (0, ""), tool)
            self.assertRegex(done.stdout.decode(), rf"^{tool} \d+\.\d+\.\d+\n$")
            done = madtest.run(tool, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), tool)
            for option in ("--version", "--quiet", "--verbose", "--log-format", "--report"):
                self.assertIn(option, done.stdout.decode(), tool)

    def test_an_unknown_option_is_a_usage_error_and_still_reported(self):
        for tool in TOOLS:
            report = self.tmp / f"{tool}.json"
            done = madtest.run(tool, "--report", report, "--no-such-option=secret")
            self.assert_refused(done, 2, "--no-such-option")
            self.assertNotIn("secret", done.stderr)
            outcome = json.loads(report.read_text())
            self.assertEqual(outcome["tool"], tool)
            self.assertEqual((outcome["code"], outcome["reason"]), (2, "usage"))

    def test_words_after_two_dashes_are_operands_where_no_command_is_run(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        npz.rename(self.tmp / "-q")
        (self.tmp / "sim.npz.manifest.json").rename(self.tmp / "-q.manifest.json")
        done = madtest.run("mad-verify", "--", "-q", cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("structure", done.stdout.decode())

    def test_a_surplus_operand_is_not_repeated_as_it_may_hold_a_secret(self):
        done = madtest.run("mad-fetch", "file:///x", "https://user:hunter2@host/x")
        self.assert_refused(done, 2, "unexpected argument")
        self.assertNotIn("hunter2", done.stderr)

    def test_json_logs_are_one_object_a_line_with_code_and_reason(self):
        done = madtest.run("mad-verify", "--log-format", "json", self.tmp / "none.npz")
        self.assertEqual(done.returncode, 5, done.stderr)
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        errors = [line for line in lines if line["level"] == "error"]
        self.assertEqual(len(errors), 1)
        self.assertEqual(errors[0]["tool"], "mad-verify")
        self.assertEqual(errors[0]["code"], 5)
        self.assertIn("none.npz", errors[0]["subject"])

    def test_an_option_beats_its_variable_and_the_variable_works_alone(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        out = self.tmp / "out.npz"
        for argv, env, stage in (
            ([], {"MAD_SNAPSHOT_STAGE": "from-env"}, "from-env"),
            (["--stage", "from-option"], {"MAD_SNAPSHOT_STAGE": "from-env"}, "from-option"),
        ):
            done = madtest.run("mad-snapshot", "-o", out, *argv, state, env=env)
            self.assertEqual(done.returncode, 0, done.stderr)
            manifest = json.loads((self.tmp / "out.npz.manifest.json").read_text())
            self.assertEqual(manifest["extra"]["stage_at_snapshot"], stage)

    def test_a_value_in_brackets_is_not_split(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        done = madtest.run("mad-snapshot", "-o", self.tmp / "out.npz", "--extra", "list=[1,2]",
                           "--session-id", "[a,b]", state)
        self.assertEqual(done.returncode, 0, done.stderr)
        extra = json.loads((self.tmp / "out.npz.manifest.json").read_text())["extra"]
        self.assertEqual((extra["list"], extra["session_id"]), ([1, 2], "[a,b]"))

    def test_a_filter_whose_reader_is_gone_dies_of_sigpipe_and_says_nothing(self):
        madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([madtest.tool("mad-fetch"), self.tmp / "sim.npz"], stdout=writing,
                              stderr=subprocess.PIPE, env=madtest.clean_environment(), timeout=60,
                              check=False)
        os.close(writing)
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))

    def test_a_tool_that_waits_for_its_input_dies_of_the_signal_that_ends_it(self):
        for tool in ("mad-verify", "mad-resume"):
            for number in (signal.SIGTERM, signal.SIGINT):
                report = self.tmp / "report.json"
                process = subprocess.Popen(
                    [madtest.tool(tool), "--report", report], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.tmp,
                    env=madtest.clean_environment(TMPDIR=self.tmp))
                madtest.wait_until_it_polls(process.pid)
                process.send_signal(number)
                process.communicate(timeout=60)
                self.assertEqual(process.returncode, -number, tool)
                outcome = json.loads(report.read_text())
                self.assertEqual((outcome["status"], outcome["signal"]), ("signal", number))
                report.unlink()
                self.assertEqual(madtest.tree(self.tmp), {}, tool)

    def report_into(self, path, **more):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        return subprocess.run(
            [madtest.tool("mad-verify"), "-q", "--report", path, npz], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60,
            env=madtest.clean_environment(), **more)

    def assert_is_the_report(self, text):
        self.assertEqual(json.loads(text)["tool"], "mad-verify")

    def test_a_report_goes_to_a_descriptor_of_the_tools_own(self):
        done = self.report_into("/dev/stderr")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_is_the_report(done.stderr)
        done = self.report_into("/dev/stdout")
        self.assert_is_the_report(done.stdout.splitlines()[-1])
        with open(self.tmp / "log", "w+b") as log:
            log.write(b"before\n")
            log.flush()
            self.report_into(f"/dev/fd/{log.fileno()}", pass_fds=(log.fileno(),))
            log.seek(0)
            before, report = log.read().splitlines()
        self.assertEqual(before, b"before")
        self.assert_is_the_report(report)
        done = self.report_into("/dev/fd/77")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"warning: /dev/fd/77: cannot write the report: Bad file descriptor",
                      done.stderr)

    def test_a_report_goes_into_a_fifo_or_a_device_which_stays_what_it_is(self):
        fifo = self.tmp / "fifo"
        os.mkfifo(fifo)
        done = self.report_into(fifo)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"fifo: cannot write the report: No such device or address", done.stderr)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        done = self.report_into(fifo)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assert_is_the_report(os.read(reader, 1 << 16))
        self.assertTrue(stat.S_ISFIFO(fifo.lstat().st_mode))

        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        done = self.report_into(os.ttyname(theirs))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assert_is_the_report(os.read(ours, 1 << 16))
        self.assertTrue(stat.S_ISCHR(os.lstat(os.ttyname(theirs)).st_mode))

    def test_a_report_that_cannot_be_written_is_said_and_changes_nothing(self):
        done = madtest.run("mad-verify", "--report", self.tmp / "no/such/dir/report.json",
                           self.tmp / "none.npz")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("report.json", done.stderr)

    def test_tools_run_with_standard_descriptors_closed(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        done = madtest.dash(f"mad-verify {npz} <&- 2>&-")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"verified", done.stdout)
        self.assertEqual(madtest.reference_verify(npz)["schema_version"], 1)

    def test_a_result_that_nobody_can_get_is_code_9(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        for command in (f"mad-snapshot -o - {state}", f"mad-fetch {npz}", f"mad-verify {npz}",
                        f"mad-fetch {npz} | mad-verify", f"mad-manifest get {npz} sha256",
                        f"mad-list {self.tmp}", "mad-fetch --help", "mad-fetch --version"):
            for output in (">&-", ">/dev/full"):
                with self.subTest(command + output):
                    done = madtest.dash(f"{command} {output}")
                    self.assertEqual((done.returncode, done.stdout), (9, b""), done.stderr)
                    if "--" not in command:
                        self.assertIn("cannot write", done.stderr)

    def test_what_writes_no_result_needs_no_standard_output(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        for command in (f"mad-fetch -o {self.tmp}/out.npz {npz}",
                        f"mad-fetch {npz} | mad-verify | mad-resume --snapshot {self.tmp}/in.npz"):
            done = madtest.dash(f"{command} >&-")
            self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("out.npz", "in.npz"):
            self.assertEqual((self.tmp / name).read_bytes(), npz.read_bytes())

    def test_an_empty_name_of_a_file_is_a_usage_error_and_an_empty_variable_is_unset(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        default = self.tmp / "default"
        default.mkdir()
        env = {"MADDENING_SNAPSHOT_DIR": default}
        before = madtest.tree(self.tmp)
        for tool, options, operands in (
            ("mad-snapshot", ("--output", "--save-dir", "--extra-file", "--report"), (state,)),
            ("mad-fetch", ("--output", "--cacert"), (npz,)),
            ("mad-push", ("--report",), (npz, "s3://bucket/sim.npz")),
            ("mad-verify", ("--salvage", "--spool-dir", "--manifest"), (npz,)),
            ("mad-resume", ("--snapshot", "--state-dir", "--env-file"), ("--", "touch", "started")),
            ("mad-list", ("--report",), (self.tmp,)),
        ):
            for option in options:
                for words in ((option, ""), (option + "=",)):
                    with self.subTest(tool=tool, words=words):
                        done = madtest.run(tool, *words, *operands, env=env, cwd=self.tmp)
                        self.assert_refused(done, 2, option)
                        self.assertEqual(done.stdout, b"")
        done = madtest.run("mad-manifest", "write", npz, "-o", "", env=env, cwd=self.tmp)
        self.assert_refused(done, 2, "--output: expected a path, found an empty one")
        self.assertEqual(madtest.tree(self.tmp), before)
        done = madtest.run("mad-snapshot", state, env={**env, "MAD_SNAPSHOT_OUTPUT": "",
                                                       "MAD_SNAPSHOT_REPORT": ""})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list(default.iterdir())), 2)


if __name__ == "__main__":
    madtest.main()
