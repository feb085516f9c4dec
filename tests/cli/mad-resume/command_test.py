"""mad-resume: how COMMAND is started, --env-file and --notify."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import madtest
import resumes
from resumes import absent_seal, arrays, bundle, failed_seal, npz_bytes

HOSTILE = "it's $(touch pwned) `touch pwned` \\ \"x\" ${HOME} ; touch pwned\n\x1b[31m'"

# What a process was started with, as JSON.
INSPECT = r"""
import json, os, signal
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "stdin": os.readlink("/proc/self/fd/0"),
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "blocked": status["SigBlk"], "ignored": status["SigIgn"],
    "argv": open("/proc/self/cmdline").read().split("\0")[3:-1],
}))
"""


class Command(resumes.Case):
    def setUp(self):
        super().setUp()
        self.npz = npz_bytes(arrays(7))
        self.path = self.tmp / "in.npz"
        self.env_file = self.tmp / "env"

    def inspect(self, *words, preexec=None, pass_fds=()):
        done = subprocess.run(
            [madtest.tool("mad-resume"), "--snapshot", self.path, "--", "/usr/bin/python3", "-c",
             INSPECT, *words], input=bundle(self.npz), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=preexec, pass_fds=pass_fds, check=True, timeout=60,
            env=madtest.clean_environment(), restore_signals=False)
        return json.loads(done.stdout)

    def plain(self, preexec=None, pass_fds=()):
        """The same without mad-resume."""
        done = subprocess.run(["/usr/bin/python3", "-c", INSPECT], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, preexec_fn=preexec, pass_fds=pass_fds,
                              check=True, restore_signals=False)
        return json.loads(done.stdout)

    def test_standard_input_is_null_and_the_words_are_passed_on(self):
        found = self.inspect("a b", "", "--snapshot", "--", "[x,y]")
        self.assertEqual(found["stdin"], "/dev/null")
        self.assertEqual(found["argv"], ["a b", "", "--snapshot", "--", "[x,y]"])

    def test_signal_mask_and_dispositions_are_those_of_the_start(self):
        def odd():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)

        def even():
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)

        for preexec in (odd, even):
            found, expected = self.inspect(preexec=preexec), self.plain(preexec)
            self.assertEqual((found["blocked"], found["ignored"]),
                             (expected["blocked"], expected["ignored"]))

    def test_descriptors_are_those_that_were_passed_in(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        for passed in ((), (writer,)):
            self.assertEqual(self.inspect(pass_fds=passed)["descriptors"],
                             self.plain(pass_fds=passed)["descriptors"])

    def test_closed_outputs_take_whatever_is_written(self):
        for name, words in (
            ("command", '-- sh -c "$1"'), ("notified", '--require --notify "$1" --snapshot in.npz'),
        ):
            with self.subTest(name):
                script = f"echo a && echo b >&2 && touch {name}"
                madtest.dash(f"mad-resume {words} </dev/null >&- 2>&-", script, cwd=self.tmp)
                self.assertTrue((self.tmp / name).exists())

    def test_it_is_the_same_process(self):
        running = subprocess.Popen([madtest.tool("mad-resume"), "--", "sh", "-c", "echo $$"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, env=madtest.clean_environment())
        out, _ = running.communicate(timeout=60)
        self.assertEqual(int(out), running.pid)

    def test_it_ends_with_the_commands_own_status(self):
        self.assertEqual(self.resume(b"", command="exit 42").returncode, 42)
        self.assertEqual(self.resume(b"", command="kill -9 $$").returncode, -9)

    def test_a_command_that_is_not_there_is_127(self):
        done = madtest.run("mad-resume", "--", "no-such-command-here", stdin=b"")
        self.assertEqual(done.returncode, 127)
        self.assertIn("no-such-command-here: cannot execute: No such file", done.stderr)

    def test_a_command_that_cannot_be_executed_is_126(self):
        file = self.tmp / "plain"
        file.write_text("text")
        for command in (file, self.tmp):
            done = madtest.run("mad-resume", "--", command, stdin=b"")
            self.assertEqual(done.returncode, 126)
            self.assertIn("cannot execute: Permission denied", done.stderr)

    def test_hostile_reasons_survive_the_environment_file(self):
        done = self.resume(bundle(seal=failed_seal(message=HOSTILE)), "--snapshot", self.path,
                           "--env-file", self.env_file)
        self.assertEqual(self.env_file.stat().st_mode & 0o777, 0o600)
        from_command = self.lot(done)
        read = madtest.dash(f". {self.env_file}; {resumes.SHOW}", cwd=self.tmp,
                            env={"RESUME_FROM_URL": "stale"})
        self.assertEqual(self.lot(read), from_command)
        self.assertIn("it's $(touch pwned) `touch pwned` \\ \"x\" ${HOME} ; touch pwned\\x0a",
                      from_command[2])
        self.assertFalse((self.tmp / "pwned").exists())

    def test_a_hostile_path_survives_the_environment_file(self):
        path = self.tmp / "it's $HOME `x`.npz"
        done = self.resume(bundle(self.npz), "--snapshot", path, "--env-file", self.env_file)
        read = madtest.dash(f". {self.env_file}; {resumes.SHOW}")
        self.assertEqual(self.lot(read)[1], str(path))
        self.assertEqual(self.lot(done), self.lot(read))

    def test_what_is_no_file_is_not_removed_for_the_environment_file(self):
        os.mkfifo(self.env_file)
        done = self.resume(bundle(self.npz), "--snapshot", self.path, "--env-file", self.env_file)
        self.assertIn(f"{self.env_file}: expected a regular file, found a FIFO", done.stderr)
        self.assertTrue(stat.S_ISFIFO(self.env_file.lstat().st_mode))

    def test_the_environment_file_exports(self):
        self.resume(bundle(self.npz), "--snapshot", self.path, "--env-file", self.env_file)
        read = madtest.dash(f". {self.env_file}; sh -c '{resumes.SHOW}'")
        self.assertEqual(self.lot(read)[:2], ("resumed", str(self.path)))

    def test_the_environment_file_is_written_for_every_outcome(self):
        for stdin, status, code in ((bundle(self.npz), "resumed", 0), (b"", "failed", 6),
                                    (bundle(seal=absent_seal()), "fresh", 0)):
            done = self.resume(stdin, "--snapshot", self.path, "--env-file", self.env_file,
                               command=None)
            self.assertEqual(done.returncode, code)
            lines = self.env_file.read_text().splitlines()
            self.assertEqual(lines[0], f"export MAD_RESUME_STATUS='{status}'")
            self.assertEqual(len(lines), 3)

    def test_an_old_environment_file_is_not_taken_for_this_runs(self):
        self.env_file.write_text("export MAD_RESUME_STATUS='resumed'\n")
        running = subprocess.Popen(
            [madtest.tool("mad-resume"), "--env-file", self.env_file], stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=madtest.clean_environment())
        deadline = time.monotonic() + 30
        while self.env_file.exists():
            self.assertLess(time.monotonic(), deadline)
        running.kill()
        running.communicate()
        self.assertFalse(self.env_file.exists())
        self.resume(b"", "--env-file", self.env_file)
        self.assertEqual(self.leftovers(), [])

    def test_notify_is_told_what_failed(self):
        said = self.tmp / "said"
        done = self.resume(bundle(seal=failed_seal()), "--notify",
                           f'echo "$MAD_RESUME_STATUS $MAD_RESUME_REASON" > {said}; cat; echo out')
        self.assert_failed(done)
        self.assertEqual(said.read_text(),
                         "failed mad-fetch: snapshot-missing: /x/sim.npz: gone\n")
        self.assertIn("out\n", done.stderr)

    def test_notify_is_run_for_a_failure_and_for_a_refusal_only(self):
        said = self.tmp / "said"
        for stdin, options, expected in (
                (bundle(self.npz), (), False), (bundle(seal=absent_seal()), (), False),
                (bundle(seal=absent_seal()), ("--require",), True), (b"", (), True)):
            self.resume(stdin, "--snapshot", self.path, "--notify", f"touch {said}", *options)
            self.assertEqual(said.exists(), expected, options)
            said.unlink(missing_ok=True)

    def test_a_notify_that_fails_is_a_warning(self):
        for command, needle in (("exit 3", "exit status 3"), ("kill -9 $$", "signal 9"),
                                ("no-such-command-here", "exit status 127")):
            done = self.resume(b"", "--notify", command)
            self.assert_failed(done)
            self.assertIn("warning: --notify: ", done.stderr)
            self.assertIn(needle, done.stderr)

    def test_a_notify_that_hangs_is_ended_with_all_its_children(self):
        marks = self.tmp / "pids"
        began = time.monotonic()
        done = self.resume(b"", "--notify-timeout", "2", "--notify",
                           f"sleep 300 & echo $! > {marks}; trap '' TERM; sleep 300")
        self.assert_failed(done)
        self.assertLess(time.monotonic() - began, 30)
        self.assertIn("warning: --notify: ended after", done.stderr)
        pid = marks.read_text().strip()
        deadline = time.monotonic() + 30
        while self.runs(pid):
            self.assertLess(time.monotonic(), deadline)

    @staticmethod
    def runs(pid):
        try:
            return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_a_signal_ends_notify_too(self):
        mark = self.tmp / "mark"
        running = subprocess.Popen(
            [madtest.tool("mad-resume"), "--notify", f"echo $$ > {mark}.new; mv {mark}.new {mark}; "
             "sleep 300", "--", "echo", "started"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=madtest.clean_environment())
        deadline = time.monotonic() + 30
        while not mark.exists():
            self.assertLess(time.monotonic(), deadline)
        running.terminate()
        out, _ = running.communicate(timeout=30)
        self.assertEqual((running.returncode, out), (-signal.SIGTERM, b""))
        self.assertFalse(self.runs(mark.read_text().strip()))

    def test_json_messages_are_one_object_a_line(self):
        done = self.resume(bundle(seal=failed_seal()), "--log-format", "json")
        record = json.loads(done.stderr)
        self.assertEqual((record["level"], record["code"], record["reason"], record["subject"]),
                         ("error", 5, "snapshot-missing", "mad-fetch"))


if __name__ == "__main__":
    madtest.main()
