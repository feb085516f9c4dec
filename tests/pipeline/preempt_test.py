"""The main job: a real simulation is preempted at random instants, its machine's state is
thrown away, and a new process goes on from the same step to the same final bits."""

import concurrent.futures
import random
import shutil
import signal
import subprocess
import tempfile
import time

import madtest
from pipeline import DASH, RUN_PREEMPTIBLE, SIM, environment, os, pathlib, sim, state_tree, wait_until

COUNT = 30 if madtest.SANITIZED else 200
STEPS = 3000
HEAT = 2048
BOOT = (
    'mad-fetch | mad-verify | mad-resume --state-dir "$1" -- '
    f'mad-test-sim --state "$1" --steps {STEPS} --heat-bytes {HEAT}'
)


class Preemption(madtest.Case):
    def setUp(self):
        super().setUp()
        if os.access("/dev/shm", os.W_OK):  # not the disk is tried here
            self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="mad-test-", dir="/dev/shm"))
            self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)
        sim("--state", self.tmp / "whole", "--steps", STEPS, "--heat-bytes", HEAT)
        self.whole = state_tree(self.tmp / "whole")

    def preempt(self, directory, chance, durability):
        """Runs the simulation and ends it in the middle; False where it was faster."""
        state = directory / "machine" / "state"
        state.parent.mkdir()
        process = subprocess.Popen(
            [DASH, RUN_PREEMPTIBLE, "--state", state, "-o", directory / "sim.npz", "--",
             SIM, "--state", state, "--steps", str(STEPS), "--heat-bytes", str(HEAT)],
            env=environment(MAD_SNAPSHOT_DURABILITY=durability), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        with process:
            try:
                wait_until(state.exists, "the first step")
                time.sleep(chance.uniform(0, 0.03))  # the random instant
                process.send_signal(chance.choice([signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]))
                said, _ = process.communicate(timeout=300)
            finally:
                process.kill()
        if process.returncode == 0 or process.returncode < 0:
            return False
        if process.returncode not in (143, 138, 129):
            raise AssertionError(f"run-preemptible: {process.returncode}: {said.decode()}")
        return self.step(directory) < STEPS

    @staticmethod
    def step(directory):
        return int(madtest.run("mad-manifest", "get", directory / "sim.npz", "step").stdout)

    def one(self, number):
        """One preemption, the new machine, the rest of the run; returns the step of it."""
        chance = random.Random(number)
        durability = "full" if number % 10 == 0 else "none"
        directory = self.tmp / str(number)
        directory.mkdir()
        while not self.preempt(directory, chance, durability):
            shutil.rmtree(directory)
            directory.mkdir()
        shutil.rmtree(directory / "machine")

        new = directory / "new"
        if number % 3 == 1:  # a fresh state waits there, behind its link
            sim("--state", new, "--steps", 0, "--heat-bytes", HEAT)
        elif number % 3 == 2:  # and here in a plain directory
            sim("--state", directory / "made", "--steps", 0, "--heat-bytes", HEAT)
            shutil.copytree(directory / "made", new)
        done = subprocess.run(
            [DASH, "-c", BOOT, "dash", str(new)], stdin=subprocess.DEVNULL, capture_output=True,
            env=environment(
                RESUME_FROM_URL=directory / "sim.npz", MAD_RESUME_DURABILITY=durability
            ),
            timeout=300, check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"boot {number}: {done.returncode}: {done.stderr.decode()}")
        step = self.step(directory)
        if f"starts at step {step}\n" not in done.stdout.decode():
            raise AssertionError(f"boot {number}: not from step {step}: {done.stdout.decode()}")
        if state_tree(new) != self.whole:
            raise AssertionError(f"preemption {number} at step {step}: the final bits differ")
        shutil.rmtree(directory)
        return step

    def test_each_of_many_preemptions_resumes_to_the_same_final_bits(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            steps = list(pool.map(self.one, range(COUNT)))
        self.assertEqual(len(steps), COUNT)
        # At random instants indeed, most of them within the run.
        self.assertGreater(len(set(steps)), COUNT // 3)


if __name__ == "__main__":
    madtest.main()
