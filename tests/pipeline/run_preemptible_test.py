"""run-preemptible from outside: which signal does what, and what is left.

The slow and the failing mad-snapshot are stand-ins of a few lines: what is looked at
is the script around it.  Where the snapshot itself matters, the real one runs.
"""

import shutil
import signal
import subprocess
import time

import numpy as np

import madtest
from pipeline import (
    DASH, RUN_PREEMPTIBLE, SIM, Child, alive, environment, os, state_tree, step_of, wait_until,
)
from preempting import SIGNALS, Started


class RunPreemptible(Started):
    def test_each_signal_takes_a_snapshot_and_ends_the_command(self):
        for shell in (DASH, shutil.which("bash")):
            for number, status in SIGNALS.items():
                with self.subTest(shell=shell, signal=number):
                    self.npz.unlink(missing_ok=True)
                    child = self.start_sim(shell=shell)
                    child.signal(number)
                    self.assertEqual(child.wait(), status, child.err)
                    madtest.reference_verify(self.npz)
                    verified = madtest.run("mad-manifest", "get", self.npz, "step")
                    # It may have gone on for some steps before it was ended.
                    self.assertGreater(int(verified.stdout), 3)
                    self.assertLessEqual(int(verified.stdout), step_of(self.state))

    def test_the_command_is_reaped_and_nothing_of_it_goes_on(self):
        child = self.start(
            "sh", "-c", f"{SIM} --state {self.state} --heat-bytes 4096 & echo $! >pid; wait"
        )
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        wait_until(lambda: not alive(self.pid()), "the end of the simulation below the command")
        madtest.reference_verify(self.npz)

    def test_the_state_stands_still_below_a_command_of_several_processes(self):
        """Pausing the wrapper alone would let the simulation write under the reading."""
        child = self.start("sh", "-c", f"{SIM} --state {self.state} --heat-bytes 400000; true")
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        again = self.tmp / "again"
        done = madtest.run("mad-manifest", "get", self.npz, "step")
        subprocess.run(
            [SIM, "--state", again, "--heat-bytes", "400000", "--steps", done.stdout.decode().strip()],
            check=True, stdout=subprocess.DEVNULL,
        )
        with np.load(self.npz) as archive:
            for key in archive.files:
                whole = np.load(again / (key + ".npy"))
                self.assertEqual(archive[key].tobytes(), whole.tobytes(), key)

    def test_a_command_that_starts_processes_without_end_is_held_at_once(self):
        (self.state / "ball").mkdir(parents=True)
        np.save(self.state / "ball" / "pos.npy", np.zeros(3))
        child = self.start("sh", "-c", "echo $$ >pid; while :; do /bin/true; done")
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertNotIn("error", child.err)
        madtest.reference_verify(self.npz)

    def test_a_second_signal_does_not_tear_the_snapshot(self):
        env = self.stand_in(
            'echo begun >&2\nuntil [ -e go ]; do read -r _ <again; done\n'
            f'exec {madtest.tool("mad-snapshot")} "$@"\n'
        )
        os.mkfifo(self.tmp / "again")
        child = self.start_sim(env=env, options=["--after-snapshot", "touch uploaded"])
        child.signal(signal.SIGTERM)
        child.said("begun")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
            child.signal(number)
        self.let_go()
        self.assertEqual(child.wait(), 143, child.err)
        madtest.reference_verify(self.npz)
        self.assertTrue((self.tmp / "uploaded").exists())

    def test_a_second_signal_to_the_whole_group_does_not_tear_the_snapshot(self):
        env = self.stand_in(
            'echo begun >&2\nuntil [ -e go ]; do read -r _ <again; done\n'
            f'exec {madtest.tool("mad-snapshot")} "$@"\n'
        )
        os.mkfifo(self.tmp / "again")
        child = self.start_sim(env=env, start_new_session=True)
        os.killpg(child.pid, signal.SIGTERM)
        child.said("begun")
        os.killpg(child.pid, signal.SIGTERM)
        os.killpg(child.pid, signal.SIGINT)
        self.let_go()
        self.assertEqual(child.wait(), 143, child.err)
        madtest.reference_verify(self.npz)

    def test_a_command_that_dies_of_the_same_signal_is_snapshotted_as_it_left_its_state(self):
        for attempt in range(5):
            with self.subTest(attempt=attempt):
                self.npz.unlink(missing_ok=True)
                child = self.start_sim(start_new_session=True)
                os.killpg(child.pid, signal.SIGTERM)
                self.assertEqual(child.wait(), 143, child.err)
                madtest.reference_verify(self.npz)

    def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(self):
        env = self.stand_in("echo taken.npz\n")
        child = self.start(*self.ready("trap '' TERM"), options=["--grace", "0.3"], env=env)
        pid = self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertIn("SIGKILL", child.err)
        self.assertIn("ended with 137", child.err)
        self.assertFalse(alive(pid))

    def test_a_command_that_ends_in_time_is_not_waited_for_longer(self):
        env = self.stand_in("echo taken.npz\n")
        child = self.start(*self.ready("trap 'exit 3' TERM"), options=["--grace", "1000"], env=env)
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(20), 143, child.err)
        self.assertIn("ended with 3", child.err)
        self.assertNotIn("SIGKILL", child.err)

    def test_a_command_that_ends_by_itself_passes_its_status_on_and_takes_no_snapshot(self):
        for script, status in (("exit 0", 0), ("exit 7", 7), ("exit 127", 127), ("kill -9 $$", 137)):
            with self.subTest(script):
                child = self.start("sh", "-c", script)
                self.assertEqual(child.wait(), status, child.err)
                self.assertFalse(self.npz.exists())

    def test_a_command_that_is_not_there_is_127_and_one_that_cannot_run_126(self):
        (self.tmp / "data").write_text("no program\n")
        self.assertEqual(self.start("no-such-command").wait(), 127)
        self.assertEqual(self.start(self.tmp / "data").wait(), 126)

    def test_nobody_has_to_read_what_it_says(self):
        """As behind a tee that a terminal's SIGINT has ended: with nothing but SIGPIPE to say it
        to, the snapshot is taken, and a command deaf to SIGTERM is killed."""
        for shell in (DASH, shutil.which("bash")):
            with self.subTest(shell=shell):
                shutil.rmtree(self.tmp / "stand-in", ignore_errors=True)
                (self.tmp / "pid").unlink(missing_ok=True)
                env = environment(**self.stand_in("echo taken.npz\n"))
                reading, writing = os.pipe()
                with subprocess.Popen(
                    [shell, RUN_PREEMPTIBLE, "--state", self.state, "--grace", "0.3",
                     "--after-snapshot", 'echo "$1" >path; grep SigIgn /proc/self/status >>path',
                     "--", *self.ready("trap '' TERM")],
                    cwd=self.tmp, env=env, stdin=subprocess.DEVNULL, stderr=writing,
                ) as child:
                    os.close(writing)
                    pid = self.pid()
                    os.close(reading)
                    child.terminate()
                    try:
                        self.assertEqual(child.wait(30), 143)
                        self.assertFalse(alive(pid))
                    finally:
                        child.kill()
                        if alive(pid):
                            os.kill(pid, signal.SIGKILL)
                path, ignored = (self.tmp / "path").read_text().splitlines()
                self.assertEqual(path, "taken.npz")
                self.assertEqual(int(ignored.split()[1], 16) & 1 << (signal.SIGPIPE - 1), 0)

    def test_a_failing_snapshot_ends_the_command_and_says_so_by_120(self):
        env = self.stand_in("exit 9\n")
        child = self.start(
            *self.ready(":"), env=env, options=["--after-snapshot", "touch uploaded"]
        )
        pid = self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 120, child.err)
        self.assertIn("mad-snapshot ended with 9", child.err)
        self.assertIn("of what it left: mad-snapshot ended with 9", child.err)
        self.assertFalse(alive(pid))
        self.assertFalse((self.tmp / "uploaded").exists())

    def test_a_command_that_cannot_be_held_still_is_ended_first(self):
        """By a mad-snapshot that fails for as long as the command lives, as one that cannot
        start its guardian does, or whose command hangs in the kernel."""
        for shell in (DASH, shutil.which("bash")):
            for command in ((), ("sh", "-c", '"$@"; true', "sh")):
                with self.subTest(shell=shell, command=command):
                    shutil.rmtree(self.tmp / "stand-in", ignore_errors=True)
                    self.npz.unlink(missing_ok=True)
                    (self.tmp / "path").unlink(missing_ok=True)
                    env = self.stand_in(
                        'case "$1" in --pause) exit 9 ;; esac\n'
                        f'exec {madtest.tool("mad-snapshot")} "$@"\n')
                    child = self.start(
                        *command, SIM, "--state", self.state, "--heat-bytes", 4096, shell=shell,
                        env=env, options=["--after-snapshot", 'echo "$1" >path'])
                    before = step_of(self.state)
                    wait_until(lambda: step_of(self.state) > before + 3, "the first steps")
                    child.signal(signal.SIGTERM)
                    self.assertEqual(child.wait(), 143, child.err)
                    self.assertIn("mad-snapshot ended with 9", child.err)
                    self.assertEqual((self.tmp / "path").read_text(), f"{self.npz}\n")
                    madtest.reference_verify(self.npz)
                    taken = madtest.run("mad-manifest", "get", self.npz, "step")
                    self.assertEqual(int(taken.stdout), step_of(self.state))

    def test_a_snapshot_that_was_asked_for_wrongly_is_not_tried_twice(self):
        env = self.stand_in("echo asked >>asked; exit 2\n")
        child = self.start(*self.ready(":"), env=env)
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 120, child.err)
        self.assertEqual((self.tmp / "asked").read_text(), "asked\n")

    def test_without_a_state_yet_the_old_snapshot_stays(self):
        madtest.reference_snapshot(self.npz, madtest.small_arrays())
        before = self.npz.read_bytes()
        child = self.start(*self.ready(":"))
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 120, child.err)
        self.assertIn("mad-snapshot ended with 5", child.err)
        self.assertEqual(self.npz.read_bytes(), before)

    def test_the_after_command_gets_the_path_and_its_failure_is_121(self):
        child = self.start_sim(
            options=["--after-snapshot", 'echo "$1 $MADDENING_SNAPSHOT_PATH" >path; exit 4']
        )
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 121, child.err)
        self.assertIn("ended with 4", child.err)
        self.assertEqual((self.tmp / "path").read_text(), f"{self.npz} {self.npz}\n")
        madtest.reference_verify(self.npz)

    def test_the_environment_stands_in_for_options(self):
        child = Child(
            self, RUN_PREEMPTIBLE, SIM, "--state", self.state, cwd=self.tmp,
            env={
                "MAD_RUN_PREEMPTIBLE_STATE": self.state, "MADDENING_SNAPSHOT_PATH": self.npz,
                "MAD_RUN_PREEMPTIBLE_AFTER_SNAPSHOT": "touch uploaded",
                "MAD_RUN_PREEMPTIBLE_EXIT_CODE": "75", "MAD_RUN_PREEMPTIBLE_QUIET": "1",
            },
        )
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 75, child.err)
        self.assertEqual(child.err, "")
        self.assertTrue((self.tmp / "uploaded").exists())
        madtest.reference_verify(self.npz)

    def test_usage_errors_start_nothing(self):
        for words in (
            ["--state"], ["--state", "s"], ["touch", "ran"], ["--what", "touch", "ran"],
            *(["--state=s", "--grace", grace, "touch", "ran"] for grace in (
                "soon", "", ".", ".5", "5.", "1.2.3", "1s", "-1", "1e3", "123456789")),
            ["--state=s", "--watch=false", "touch", "ran"],
            ["--state=s", "--exit-code", "256", "touch", "ran"],
            ["--state=s", "-o", "", "touch", "ran"], ["--state=s", "--snapshot=", "touch", "ran"],
        ):
            with self.subTest(words):
                done = madtest.run(RUN_PREEMPTIBLE, *words, cwd=self.tmp)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertFalse((self.tmp / "ran").exists())
        done = subprocess.run(
            [DASH, RUN_PREEMPTIBLE, "--state", "s", "--", "touch", "ran"], cwd=self.tmp,
            env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("mad-snapshot is not on PATH", done.stderr)

    def test_a_snapshot_cannot_go_to_a_url_or_to_standard_output(self):
        for place, found in (
            ("-", "-"), ("s3://bucket/sim.npz", "a URL"), ("gs://bucket/sim.npz", "a URL"),
            ("https://me:secret@host/sim.npz?sig=secret", "a URL"), (f"file://{self.npz}", "a URL"),
        ):
            for name in ("--snapshot", "MAD_RUN_PREEMPTIBLE_SNAPSHOT", "MAD_SNAPSHOT_OUTPUT",
                         "MADDENING_SNAPSHOT_PATH", "MADDENING_SNAPSHOT_DIR"):
                if (place, name) == ("-", "MADDENING_SNAPSHOT_DIR"):
                    continue  # a directory of that name
                with self.subTest(place=place, name=name):
                    is_option = name == "--snapshot"
                    done = madtest.run(
                        DASH, RUN_PREEMPTIBLE, "--state=s", *([name, place] if is_option else []),
                        "touch", "ran", cwd=self.tmp, env={} if is_option else {name: place})
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(f"expected a path, found {found}\n", done.stderr)
                    self.assertIn("""hint: --snapshot PATH --after-snapshot 'mad-push "$1" URL'""",
                                  done.stderr)
                    self.assertNotIn("secret", done.stderr)
                    self.assertEqual(list(self.tmp.iterdir()), [])

    def test_a_directory_that_is_missing_at_the_start_is_warned_of_and_may_come_later(self):
        self.npz = self.tmp / "mounted" / "later" / "sim.npz"
        child = self.start_sim(options=["--quiet"])
        self.npz.parent.mkdir(parents=True)
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(
            child.err, f"run-preemptible: warning: {self.npz.parent}/: no directory that can be "
            "written to: until it is one, no snapshot can be taken\n")
        madtest.reference_verify(self.npz)

    def test_a_directory_that_cannot_be_written_to_is_warned_of_at_the_start(self):
        for place, warned in (("closed/sim.npz", "closed/"), ("closed", "closed"), ("sim.npz", "")):
            with self.subTest(place):
                (self.tmp / "closed").mkdir(mode=0o555, exist_ok=True)
                # Root may write everywhere, but for this capability.
                as_anyone = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
                done = madtest.run(*as_anyone, DASH, RUN_PREEMPTIBLE, "--state=s", "-o", place,
                                   "true", cwd=self.tmp)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(
                    done.stderr, warned and f"run-preemptible: warning: {warned}: no directory "
                    "that can be written to: until it is one, no snapshot can be taken\n")

    def test_a_flags_variable_is_read_as_the_other_tools_read_theirs(self):
        for value, is_on in (("", False), ("0", False), ("false", False), ("No", False),
                             ("OFF", False), ("1", True), ("true", True), ("YES", True),
                             ("On", True)):
            with self.subTest(value):
                shutil.rmtree(self.tmp / "stand-in", ignore_errors=True)
                (self.tmp / "pid").unlink(missing_ok=True)
                env = self.stand_in('echo "$1" >asked; echo taken.npz\n')
                for name in ("NO_PAUSE", "QUIET"):
                    env[f"MAD_RUN_PREEMPTIBLE_{name}"] = value
                child = self.start(*self.ready(":"), env=env)
                self.pid()
                child.signal(signal.SIGTERM)
                self.assertEqual(child.wait(), 143, child.err)
                self.assertEqual((self.tmp / "asked").read_text() != "--pause\n", is_on)
                self.assertEqual(child.err == "", is_on, child.err)
                # Watching is asked for, or not, where there is no mad-watch.
                env = {f"MAD_RUN_PREEMPTIBLE_{name}": value for name in
                       ("WATCH", "SNAPSHOT_ON_REBALANCE")}
                for name in env:
                    done = subprocess.run(
                        [DASH, RUN_PREEMPTIBLE, "--state=s", "/bin/true"], cwd=self.tmp,
                        env={"PATH": str(self.tmp / "stand-in"), name: value},
                        capture_output=True, text=True, check=False)
                    self.assertEqual(done.returncode, 2 if is_on else 0, done.stderr)
        for name in ("NO_PAUSE", "QUIET", "WATCH", "SNAPSHOT_ON_REBALANCE"):
            name = f"MAD_RUN_PREEMPTIBLE_{name}"
            done = madtest.run(DASH, RUN_PREEMPTIBLE, "--state=s", "touch", "ran", cwd=self.tmp,
                               env={name: "maybe"})
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"{name}: expected true or false, found maybe", done.stderr)
            self.assertFalse((self.tmp / "ran").exists())

    def test_numbers_with_leading_zeros_are_decimal(self):
        """A grace and a deadline, where they are reckoned with: in the midst of a preemption."""
        env = self.stand_in('case "$1" in --pause) exit 9 ;; esac\necho taken.npz\n')
        env["MAD_DEADLINE"] = f"00{int(time.time()) + 1000}"
        child = self.start(
            *self.ready(":"), env=env,
            options=["--grace", "08", "--after-snapshot", 'echo "$MAD_DEADLINE" >deadline'])
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual((self.tmp / "deadline").read_text(), env["MAD_DEADLINE"][2:] + "\n")

    def test_a_signal_before_the_command_is_started_snapshots_nothing(self):
        """env is asked first whether it can restore signals: there the signal comes."""
        directory = self.tmp / "slow"
        directory.mkdir()
        os.mkfifo(self.tmp / "again")
        (directory / "env").write_text(f"#!/bin/sh\nread -r _ <{self.tmp}/again\n")
        (directory / "env").chmod(0o755)
        madtest.make_state(self.state, madtest.small_arrays())
        child = self.start("touch", "ran", env={"PATH": f"{directory}:{environment()['PATH']}"})
        # Opening for writing returns when env reads.
        with open(self.tmp / "again", "w", encoding="ascii") as again:
            child.signal(signal.SIGTERM)
            again.write("\n")
        self.assertEqual(child.wait(), 143, child.err)
        self.assertFalse(self.npz.exists())
        self.assertFalse((self.tmp / "ran").exists())

    def test_a_signal_at_any_instant_of_the_start_is_not_lost(self):
        """Between the first line of the script and the command's first step."""
        madtest.make_state(self.state, madtest.small_arrays())
        for number in range(10 if madtest.SANITIZED else 40):
            child = self.start("sleep", "1000")
            end = number * 400  # microseconds; a busy wait keeps to them
            start = os.times().elapsed
            while (os.times().elapsed - start) * 1e6 < end and child.process.poll() is None:
                pass
            child.signal(signal.SIGTERM)
            self.assertEqual(child.wait(30), 143, f"{end} us: {child.err}")
            self.assertEqual(child.err.count("not found"), 0, child.err)

    def test_the_command_keeps_its_standard_input_and_gets_sigint(self):
        done = subprocess.run(
            [DASH, RUN_PREEMPTIBLE, "--state", str(self.state), "--", "sh", "-c",
             "cat; grep SigIgn /proc/self/status"],
            input=b"through\n", env=environment(), capture_output=True, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.decode().split("\n")
        self.assertEqual(lines[0], "through")
        ignored = int(lines[1].split()[1], 16)
        self.assertEqual(ignored & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGQUIT - 1)), 0)

    def test_a_closed_standard_input_is_an_empty_one(self):
        for shell in (DASH, shutil.which("bash")):
            done = madtest.run(
                "sh", "-c", 'exec "$@" <&-', "sh", shell, RUN_PREEMPTIBLE, "--state", self.state,
                "--", "sh", "-c", "cat; readlink /proc/self/fd/0")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual((done.stdout, done.stderr), (b"/dev/null\n", ""))

    def test_other_signals_are_passed_on_and_the_status_is_still_the_commands(self):
        for shell in (DASH, shutil.which("bash")):
            for number, name in ((signal.SIGUSR2, "USR2"), (signal.SIGQUIT, "QUIT")):
                # What a command that ends with 127 at a signal gave, dash cannot tell.
                for status in (0, 5) if shell == DASH else (0, 5, 127):
                    with self.subTest(shell=shell, signal=name, status=status):
                        (self.tmp / "pid").unlink(missing_ok=True)
                        (self.tmp / "got").unlink(missing_ok=True)
                        child = self.start(
                            *self.ready(
                                f"trap '[ -e got ] && exit {status}; touch got' {name}"
                            ),
                            shell=shell,
                        )
                        self.pid()
                        child.signal(number)
                        wait_until((self.tmp / "got").exists, "the signal in the command")
                        child.signal(number)
                        self.assertEqual(child.wait(), status, child.err)
                        self.assertFalse(self.npz.exists())

    def test_as_process_1_it_snapshots_and_ends(self):
        for number, status in SIGNALS.items():
            with self.subTest(signal=number):
                self.npz.unlink(missing_ok=True)
                child, first = self.in_a_container(SIM, "--state", self.state)
                wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
                os.kill(first, number)
                self.assertEqual(child.wait(), status, child.err)
                madtest.reference_verify(self.npz)
                shutil.rmtree(self.state.resolve())
                self.state.unlink()

    def test_as_process_1_it_reaps_orphans(self):
        child, first = self.in_a_container(
            "sh", "-c", "(sh -c 'echo $$ >orphan.new; mv orphan.new orphan; exec true' &); "
            "until [ -e orphan ]; do sleep 0.01; done; echo ready >&2; exec sleep 1000",
        )
        child.said("ready")
        wait_until(lambda: not self.zombies(first), "the orphans to be reaped")
        self.assertIsNone(child.process.poll())

    def test_as_process_1_it_passes_the_status_on(self):
        # Not before it was found: a process that is gone has no PID.
        child, _ = self.in_a_container("sh", "-c", "until [ -e go ]; do sleep 0.01; done; exit 6")
        (self.tmp / "go").touch()
        self.assertEqual(child.wait(), 6, child.err)

    def test_after_a_failed_resume_the_snapshot_that_could_not_be_read_is_spared(self):
        self.npz.write_bytes(b"not readable")
        child = self.start_sim(
            env={"MAD_RESUME_STATUS": "failed"}, options=["--after-snapshot", 'echo "$1" >path']
        )
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(self.npz.read_bytes(), b"not readable")
        spared = (self.tmp / "path").read_text().strip()
        self.assertRegex(spared, r"/sim-after-failed-[0-9TZ]+\.npz$")
        madtest.reference_verify(spared)

    def test_the_state_on_disk_is_the_one_that_was_taken_when_nothing_moved_since(self):
        child = self.start_sim("--steps", 50)
        self.assertEqual(child.wait(), 0, child.err)
        before = state_tree(self.state)
        child = self.start(*self.ready(":"))
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(state_tree(self.state), before)
        self.assertEqual(int(madtest.run("mad-manifest", "get", self.npz, "step").stdout), 50)


if __name__ == "__main__":
    madtest.main()
