"""What the tests of run-preemptible share."""

import signal

import madtest
from pipeline import (
    DASH, RUN_PREEMPTIBLE, SIM, Child, environment, os, pathlib, step_of, wait_until,
)

SIGNALS = {
    signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129, signal.SIGUSR1: 138,
}


class Started(madtest.Case):
    """run-preemptible over a state and a snapshot of the test's own."""

    def setUp(self):
        super().setUp()
        self.state = self.tmp / "state"
        self.npz = self.tmp / "sim.npz"

    def start(self, *command, options=(), env=None, shell=DASH, **popen):
        return Child(
            self, shell, RUN_PREEMPTIBLE, "--state", self.state, "-o", self.npz, *options, "--",
            *command, env=env, cwd=self.tmp, **popen,
        )

    def start_sim(self, *args, **more):
        child = self.start(SIM, "--state", self.state, "--heat-bytes", 4096, *args, **more)
        before = step_of(self.state)
        wait_until(lambda: step_of(self.state) > before + 3, "the simulation's first steps")
        return child

    def stand_in(self, body):
        """A PATH on which mad-snapshot is `body`, a shell script."""
        directory = self.tmp / "stand-in"
        directory.mkdir()
        script = directory / "mad-snapshot"
        script.write_text("#!/bin/sh\n" + body)
        script.chmod(0o755)
        return {"PATH": f"{directory}:{environment()['PATH']}"}

    def let_go(self):
        """Ends the loop of a stand-in, whether it has looked for `go` yet or not."""
        (self.tmp / "go").touch()
        # For both directions: opening does not wait for a reader that may never come.
        again = os.open(self.tmp / "again", os.O_RDWR)
        self.addCleanup(os.close, again)
        os.write(again, b"\n")

    def ready(self, script):
        """A shell command that says when its traps are set, and where its PID is."""
        return ["sh", "-c", script + '\necho $$ >pid.new; mv pid.new pid; while :; do sleep 0.05; done']

    def pid(self):
        path = self.tmp / "pid"
        return int(wait_until(lambda: path.exists() and path.read_text(), "the command's PID"))

    def in_a_container(self, *command, options=(), **more):
        """run-preemptible as process 1 of a PID namespace; its outside PID is `first`."""
        words = " ".join(map(str, [RUN_PREEMPTIBLE, "--state", self.state, "-o", self.npz, *options]))
        child = Child(
            self, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", DASH, "-c",
            f'exec dash {words} -- "$@"', "dash", *command, cwd=self.tmp, **more,
        )
        below = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
        first = int(wait_until(lambda: below.read_text().split(), "process 1")[0])
        return child, first

    def zombies(self, first):
        """Those in the PID namespace of process `first`."""
        namespace = os.readlink(f"/proc/{first}/ns/pid")
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                    if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                        found.append(entry.name)
            except OSError:
                pass
        return found
