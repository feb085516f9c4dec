"""One preemption after the other, each with a fault of its own, and the book that is kept:
what was committed once is never lost, and a machine goes on from just that."""

import contextlib
import math
import pathlib
import random
import signal
import time

from machine import Machine, send, wait_until
from place import run

# What the clouds give, in seconds.
TIMES_TO_LIVE = (2, 30, 120)
CLOUDS = ("aws", "gcp", "azure")
HEAT_BYTES = 2048
# Of 512 bytes: the simulation's own files fit, its snapshot does not.
FEW_FILE_BLOCKS = (HEAT_BYTES + 256) // 512 + 1
LONG = 60  # for what must come


class Lost(AssertionError):
    """The proof failed."""


class Occupied(Exception):
    """Not a place for a drill."""


class Faults:
    """Each is a name in the table, and a way in which Drill treats a machine or the place."""

    ALWAYS = ("none", "killed early", "killed while it saves", "killed while it boots",
              "disk full", "watcher killed")
    CORRUPT = ("object corrupted",)
    VANISH = ("connection lost at boot", "connection lost at upload")
    UPLOAD = ("killed while it uploads",)

    @classmethod
    def of(cls, place):
        return (cls.ALWAYS + cls.CORRUPT * place.can_corrupt + cls.VANISH * place.can_vanish
                + cls.UPLOAD * place.is_remote)


class Drill:
    def __init__(self, directory, place, metadata, environment, seed, scale, say):
        self.directory = pathlib.Path(directory)
        self.place, self.metadata, self.scale, self.say = place, metadata, scale, say
        self.environment = {
            **environment, "RESUME_FROM_URL": place.url, "TMPDIR": str(self.directory),
            "MAD_WATCH_ENDPOINT": metadata.url(),
        }
        self.seed = seed
        self.committed = None  # the step that nobody may lose
        self.rows = []
        self.check = self.directory / "check"
        self.check.mkdir()
        if place.committed_step(self.check, self.environment) is not None:
            raise Occupied(f"{place.url}: a snapshot is there already, which a drill would replace")

    def preempt(self, number):
        """A machine from its boot to its end."""
        chance = random.Random(f"{self.seed}/{number}")
        fault = chance.choice(Faults.of(self.place))
        if fault == "object corrupted" and self.committed is None:
            fault = "none"
        row = {"number": number, "fault": fault, "cloud": chance.choice(CLOUDS),
               "seconds": chance.choice(TIMES_TO_LIVE)}
        self.metadata.control(withdraw=True, mend=True, cloud=row["cloud"])
        with contextlib.ExitStack() as until_its_end:
            if fault == "object corrupted":
                until_its_end.enter_context(self.place.corrupted(chance))
            machine = self.boot(number, row, until_its_end)
            try:
                self.live(machine, row, chance, until_its_end)
            finally:
                machine.take_away()
        try:
            self.take_stock(machine, row)
        except Exception as error:
            raise Lost(f"preemption {number}, {fault}, {row['cloud']}: {error}\n"
                       f"what its machine said:\n{machine.output}") from error
        machine.wipe()
        self.rows.append(row)
        self.say(describe(row))

    def boot(self, number, row, until_its_end, steps=None):
        directory = self.directory / f"machine-{number}"
        after = f'touch "$DRILL_HOME/uploading"; {self.place.upload} && touch "$DRILL_HOME/durable"'
        command = f"mad-test-sim --state state --heat-bytes {HEAT_BYTES} --print-every 1"
        full = row["fault"] == "disk full"
        environment = {
            **self.environment, "MAD_WATCH_PROVIDER": row["cloud"], "DRILL_HOME": str(directory), "DRILL_URL": self.place.url,
            "DRILL_SNAPSHOT": str(self.place.snapshot(directory)), "DRILL_AFTER": after,
            "DRILL_FILE_BLOCKS": str(FEW_FILE_BLOCKS) if full else "",
            "DRILL_COMMAND": command if steps is None else f"{command} --steps {steps}",
        }
        if row["fault"] == "connection lost at boot":
            vanished = until_its_end.enter_context(contextlib.ExitStack())
            vanished.enter_context(self.place.vanished())
            machine = Machine(directory, number, environment)
            # Until it has noticed: it is to try again.
            time.sleep(0.05)
            vanished.close()
        else:
            machine = Machine(directory, number, environment)
        snapshot = self.place.snapshot(directory)
        snapshot.parent.mkdir(exist_ok=True)
        return machine

    def live(self, machine, row, chance, until_its_end):
        if row["fault"] == "killed while it boots":
            time.sleep(chance.uniform(0, 0.08))
            return
        wait_until(lambda: machine.first_step_at or machine.ended, LONG, "the first step")
        if machine.ended:
            return
        row["boot_seconds"] = machine.first_step_at - machine.began_at
        time.sleep(chance.uniform(0, 0.05))
        if row["fault"] == "watcher killed":
            for pid in wait_until(lambda: machine.processes("mad-watch"), LONG, "a watcher"):
                send(pid, signal.SIGKILL)
        self.give_notice(machine, row, chance, until_its_end)

    def give_notice(self, machine, row, chance, until_its_end):
        told = time.time()
        end = told + row["seconds"] * self.scale
        if row["cloud"] != "gcp":
            end = math.ceil(end)  # their times are whole seconds
        self.metadata.control(notice="preemption", seconds=end - told)
        durable = machine.directory / "durable"

        def over():
            if time.time() >= end or machine.ended:
                return True
            return row["fault"] == "killed while it uploads" and \
                (machine.directory / "uploading").exists()

        if row["fault"] == "killed early":
            end = told + chance.uniform(0, end - told)
        elif row["fault"] == "killed while it saves":
            while not over() and not machine.processes("mad-snapshot"):
                pass
            end = min(end, time.time() + chance.uniform(0, 0.02))
        elif row["fault"] == "connection lost at upload":
            while not over() and not (machine.directory / "uploading").exists():
                time.sleep(0.001)
            until_its_end.enter_context(self.place.vanished())
        while not over():
            time.sleep(0.001)
        if row["fault"] == "killed while it uploads":
            time.sleep(chance.uniform(0, 0.03))
        machine.take_away()
        if durable.exists():
            row["durable_seconds"] = durable.stat().st_mtime - told

    def take_stock(self, machine, row):
        """Its machine is gone: what is there now, and was what it did right?"""
        status, first = machine.resume_status, machine.first_step
        if first is not None:
            self.require_right_start(row, status, first)
        found = self.place.committed_step(self.check, self.environment)
        row["committed"], row["status"] = found, status
        if self.committed is not None and (found is None or found < self.committed):
            raise Lost(f"step {self.committed} was committed, and the place now has {found}")
        if status == "failed" and found != self.committed:
            raise Lost("a machine that could not resume replaced the snapshot to resume from")
        state = machine.directory / "state"
        if status in ("resumed", "fresh") and (state / "_meta").exists():
            reached = int(run(["mad-test-sim", "--state", str(state), "--print-step"],
                              self.environment).stdout.split()[-1])
            row["reached"] = reached
            if found is not None and found > reached:
                raise Lost(f"the place has step {found}, and the machine only reached {reached}")
            row["lost"] = reached - (found or 0)
        if "durable_seconds" in row and status != "failed" and (found is None or found < first):
            raise Lost(f"a snapshot was called durable, and the place has step {found}")
        self.committed = found

    def require_right_start(self, row, status, first):
        if row["fault"] == "object corrupted":
            if (status, first) != ("failed", 0):
                raise Lost(f"a corrupted snapshot was not refused: {status}, step {first}")
        elif self.committed is None:
            if (status, first) != ("fresh", 0):
                raise Lost(f"nothing is there, and yet: {status}, step {first}")
        elif (status, first) != ("resumed", self.committed):
            raise Lost(f"step {self.committed} is there, and yet: {status}, step {first}")

    def finish(self, number):
        """A last machine, which nobody takes away; then the run that nobody ever interrupted."""
        steps = (self.committed or 0) + 200
        row = {"fault": "none", "cloud": CLOUDS[0]}
        self.metadata.control(withdraw=True, mend=True, cloud=row["cloud"])
        with contextlib.ExitStack() as stack:
            machine = self.boot(number, row, stack, steps)
            try:
                wait_until(lambda: machine.ended, LONG, "the end of the run")
            finally:
                machine.take_away()
        self.require_right_start(row, machine.resume_status, machine.first_step)
        whole = self.directory / "uninterrupted"
        done = run(["mad-test-sim", "--state", str(whole), "--heat-bytes", str(HEAT_BYTES),
                    "--steps", str(steps)], self.environment)
        if done.returncode != 0:
            raise Lost(f"the uninterrupted run: {done.stderr}")
        ours, theirs = bits(machine.directory / "state"), bits(whole)
        if ours != theirs:
            names = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
            raise Lost(f"after step {steps} the final bits differ: {', '.join(names)}")
        return steps


def bits(state):
    state = state.resolve()
    return {str(path.relative_to(state)): path.read_bytes()
            for path in state.rglob("*") if path.is_file()}


def describe(row):
    parts = [f"{row['number']:5}  {row['cloud']:5} {row['seconds']:3} s  {row['fault']:25}",
             f"{row['status'] or 'no boot':8}",
             "nothing committed" if row["committed"] is None else f"step {row['committed']}"]
    if "lost" in row:
        parts.append(f"{row['lost']} steps lost")
    if "durable_seconds" in row:
        parts.append(f"durable after {row['durable_seconds']:.2f} s")
    return "  ".join(parts)
