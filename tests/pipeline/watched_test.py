"""run-preemptible --watch: the cloud's notices, by a metadata service of the tests' own."""

import shutil
import signal
import subprocess
import time

import madtest
from metadata_server import MetadataServer
from pipeline import DASH, SIM, alive, os, step_of, wait_until
from preempting import Started


class Watched(Started):
    def setUp(self):
        super().setUp()
        self.metadata = MetadataServer("gcp").__enter__()
        self.addCleanup(self.metadata.__exit__)

    def watched(self, *command, options=(), env=None, watching=True, cloud="gcp", **more):
        """run-preemptible with --watch, once mad-watch watches."""
        self.metadata.control(cloud=cloud)
        child = self.start(
            *command, options=["--watch", *options], env={
                "MAD_WATCH_ENDPOINT": self.metadata.url(), "MAD_WATCH_PROVIDER": cloud,
                **(env or {})}, **more)
        if watching:
            child.said(f"watching for notices of {cloud}")
        return child

    def watchers(self, child):
        """The PIDs of the mad-watch processes below `child`."""
        done = subprocess.run(["ps", "-e", "-o", "pid=,comm=,args="], capture_output=True,
                              text=True, check=True)
        return [int(line.split()[0]) for line in done.stdout.splitlines()
                if line.split()[1] == "mad-watch" and f"--pid {child.pid} " in line]

    def test_a_notice_is_a_sigterm_with_a_deadline_for_the_snapshot_and_what_follows(self):
        for shell in (DASH, shutil.which("bash")):
            with self.subTest(shell=shell):
                self.metadata.control(withdraw=True)
                child = self.watched(
                    SIM, "--state", self.state, "--heat-bytes", 4096, shell=shell,
                    options=["--after-snapshot",
                             'echo "$1 $MADDENING_SNAPSHOT_PATH $MAD_DEADLINE" >path'])
                wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
                self.metadata.control(notice="preemption")
                self.assertEqual(child.wait(), 143, child.err)
                madtest.reference_verify(self.npz)
                first, second, deadline = (self.tmp / "path").read_text().split()
                self.assertEqual((first, second), (str(self.npz), str(self.npz)))
                self.assertAlmostEqual(int(deadline), time.time() + 30, delta=20)
                self.assertRegex(child.err, r"taking the snapshot of .*, with (2[5-9]|30) s left")
                wait_until(lambda: not self.watchers(child), "the end of the watcher")
                self.assertEqual([path.name for path in self.tmp.glob("mad-notices*")], [])

    def test_nothing_goes_on_beyond_the_deadline(self):
        """Neither a snapshot that hangs, nor an upload, nor a command deaf to SIGTERM."""
        hangs = "while :; do sleep 0.05; done\n"
        for body, status, killed in (
            (hangs, 120, "mad-snapshot"), ("echo taken.npz\n", 121, "sh"),
        ):
            with self.subTest(killed):
                self.metadata.control(withdraw=True, cloud="aws")
                shutil.rmtree(self.tmp / "stand-in", ignore_errors=True)
                (self.tmp / "pid").unlink(missing_ok=True)
                child = self.watched(
                    *self.ready("trap '' TERM"), cloud="aws", env=self.stand_in(body),
                    options=["--grace", "1000.5", "--no-pause", "--after-snapshot", hangs])
                pid = self.pid()
                begin = time.time()
                self.metadata.control(notice="preemption", seconds=2.9)
                self.assertEqual(child.wait(20), status, child.err)
                self.assertLess(time.time() - begin, 10, child.err)
                self.assertIn(f"the deadline has come: SIGKILL to {killed}", child.err)
                self.assertIn("the command is still there", child.err)
                self.assertFalse(alive(pid))

    def test_a_deadline_that_is_over_keeps_nobody_from_trying(self):
        child = self.watched(
            SIM, "--state", self.state, cloud="azure",
            options=["--after-snapshot", 'echo "${MAD_DEADLINE-none}" >path'])
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        self.metadata.control(notice="preemption", status="Started")
        self.assertEqual(child.wait(), 143, child.err)
        self.assertIn("over already", child.err)
        self.assertEqual((self.tmp / "path").read_text(), "none\n")
        madtest.reference_verify(self.npz)

    def test_a_rebalance_takes_a_snapshot_and_ends_nothing(self):
        child = self.watched(
            SIM, "--state", self.state, cloud="aws",
            options=["--snapshot-on-rebalance", "--after-snapshot", 'echo "$1" >>path'])
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        self.metadata.control(notice="rebalance")
        wait_until((self.tmp / "path").exists, "the command after the snapshot")
        madtest.reference_verify(self.npz)
        stage = madtest.run("mad-manifest", "get", self.npz, "extra.stage_at_snapshot")
        self.assertEqual(stage.stdout, b"rebalance\n")
        step = step_of(self.state)
        wait_until(lambda: step_of(self.state) > step + 3, "the simulation's further steps")
        self.assertIsNone(child.process.poll())
        self.metadata.control(notice="preemption")
        self.assertEqual(child.wait(), 143, child.err)
        taken = madtest.run("mad-manifest", "get", self.npz, "step")
        self.assertGreater(int(taken.stdout), step)
        self.assertEqual((self.tmp / "path").read_text(), f"{self.npz}\n" * 2)

    def test_a_preemption_does_not_wait_for_the_snapshot_of_a_rebalance(self):
        env = self.stand_in(
            '[ "$MAD_SNAPSHOT_STAGE" != rebalance ] || {\n'
            "  trap 'echo given up >&2; exit 143' TERM\n"
            "  echo begun >&2\n  while :; do sleep 0.02; done\n}\necho taken.npz\n")
        child = self.watched(
            *self.ready(":"), cloud="aws", env=env,
            options=["--snapshot-on-rebalance", "--no-pause", "--after-snapshot", "echo >>path"])
        self.pid()
        self.metadata.control(notice="rebalance")
        child.said("begun")
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertIn("given up", child.err)
        self.assertEqual((self.tmp / "path").read_text(), "\n")

    def test_a_watcher_that_is_killed_is_started_again(self):
        child = self.watched(*self.ready(":"), env=self.stand_in("echo taken.npz\n"))
        for number in (1, 2):
            watcher, = self.watchers(child)
            os.kill(watcher, signal.SIGKILL)
            wait_until(lambda: child.err.count("is started again") == number, "the word of it")
            wait_until(lambda: self.watchers(child) not in ([], [watcher]), "a new watcher")
        self.assertIn("mad-watch ended with 137", child.err)
        self.pid()
        self.metadata.control(notice="preemption")
        self.assertEqual(child.wait(), 143, child.err)

    def test_what_the_whole_group_is_sent_for_the_command_ends_no_watch(self):
        names = ("USR2", "QUIT", "WINCH")
        for shell in (DASH, shutil.which("bash")):
            with self.subTest(shell=shell):
                self.metadata.control(withdraw=True)
                shutil.rmtree(self.tmp / "stand-in", ignore_errors=True)
                (self.tmp / "pid").unlink(missing_ok=True)
                child = self.watched(
                    *self.ready("; ".join(f"trap 'echo got {name} >&2' {name}" for name in names)),
                    shell=shell, start_new_session=True, env=self.stand_in("echo taken.npz\n"))
                self.pid()
                # Should it not be heeded below, the command ends all the same.
                self.addCleanup(child.wait)
                self.addCleanup(child.signal, signal.SIGTERM)
                watchers = self.watchers(child)
                for name in names:
                    os.killpg(child.pid, getattr(signal, f"SIG{name}"))
                    child.said(f"got {name}")
                self.assertEqual(self.watchers(child), watchers)
                self.metadata.control(notice="preemption")
                self.assertEqual(child.wait(), 143, child.err)
                self.assertNotIn("mad-watch ended", child.err)

    def test_the_watcher_ends_with_the_command_and_with_run_preemptible(self):
        for ending in ("the command's end", "SIGKILL"):
            with self.subTest(ending):
                (self.tmp / "pid").unlink(missing_ok=True)
                child = self.watched(*self.ready("trap 'exit 5' USR2"))
                pid = self.pid()
                self.assertEqual(len(self.watchers(child)), 1)
                os.kill(pid, signal.SIGUSR2 if ending != "SIGKILL" else 0)
                if ending == "SIGKILL":
                    child.signal(signal.SIGKILL)
                self.assertEqual(child.process.wait(30), 5 if ending != "SIGKILL" else -9)
                wait_until(lambda: not self.watchers(child), "the end of the watcher")
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)

    def test_outside_of_a_cloud_it_says_so_and_the_command_runs(self):
        child = self.watched(
            *self.ready(":"), watching=False,
            env={"MAD_WATCH_ENDPOINT": "http://127.0.0.1:1", "MAD_WATCH_PROVIDER": "auto",
                 **self.stand_in("echo taken.npz\n")})
        child.said("mad-watch ended with 12: the cloud's notices are not heeded, only signals")
        self.pid()
        child.signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)

    def test_without_mad_watch_nothing_is_started(self):
        env = self.stand_in("echo taken.npz\n")
        env["PATH"] = str(self.tmp / "stand-in")
        for option in ("--watch", "--snapshot-on-rebalance"):
            child = self.start("touch", "ran", options=[option], env=env)
            self.assertEqual(child.wait(), 2, child.err)
            self.assertIn("mad-watch is not on PATH", child.err)

    def test_as_process_1_a_notice_snapshots_and_orphans_are_reaped(self):
        child, first = self.in_a_container(
            "sh", "-c", "(sh -c 'exec true' &); exec mad-test-sim --state state",
            options=["--watch", "--snapshot-on-rebalance"],
            env={"MAD_WATCH_ENDPOINT": self.metadata.url(), "MAD_WATCH_PROVIDER": "gcp"})
        wait_until(lambda: child.err.count("watching for") == 2, "the watchers")
        wait_until(lambda: step_of(self.state) > 3, "the simulation's first steps")
        wait_until(lambda: not self.zombies(first), "the orphans to be reaped")
        self.metadata.control(notice="preemption")
        self.assertEqual(child.wait(), 143, child.err)
        madtest.reference_verify(self.npz)


if __name__ == "__main__":
    madtest.main()
