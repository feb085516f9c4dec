"""The simulation itself: what its state promises to whoever reads it."""

import random
import shutil
import subprocess

import numpy as np

import madtest
from pipeline import SIM, sim, state_tree, step_of


class Simulation(madtest.Case):
    def setUp(self):
        super().setUp()
        sim("--state", self.tmp / "whole", "--steps", 600, "--heat-bytes", 4096)
        self.whole = state_tree(self.tmp / "whole")

    def test_the_same_run_gives_the_same_bits(self):
        sim("--state", self.tmp / "again", "--steps", 600, "--heat-bytes", 4096)
        self.assertEqual(state_tree(self.tmp / "again"), self.whole)

    def test_every_step_changes_the_state(self):
        sim("--state", self.tmp / "whole", "--steps", 601)
        changed = {k for k, v in state_tree(self.tmp / "whole").items() if v != self.whole[k]}
        for key in ("ball/position", "ball/velocity", "ball/spin", "heat/field", "_meta/step_count"):
            self.assertIn(key + ".npy", changed)

    def test_numpy_reads_every_array_and_its_dtype(self):
        state = self.tmp / "whole"
        dtypes = {str(np.load(path).dtype) for path in state.resolve().rglob("*.npy")}
        for dtype in ("float64", "float32", "int64", "uint64", "uint8", "complex128"):
            self.assertIn(dtype, dtypes)
        self.assertEqual(np.load(state / "table/contacts.npy").dtype.names, ("time", "x", "number"))
        self.assertEqual(np.load(state / "_meta/step_count.npy").shape, ())
        self.assertEqual(np.load(state / "heat/field.npy").nbytes, 4096)

    def test_a_state_in_a_plain_directory_is_gone_on_from(self):
        sim("--state", self.tmp / "half", "--steps", 250, "--heat-bytes", 4096)
        shutil.copytree(self.tmp / "half", self.tmp / "plain")
        self.assertFalse((self.tmp / "plain").is_symlink())
        sim("--state", self.tmp / "plain", "--steps", 600)
        self.assertEqual(state_tree(self.tmp / "plain"), self.whole)

    def test_a_state_behind_a_link_to_elsewhere_is_gone_on_from_and_left_alone(self):
        sim("--state", self.tmp / "half", "--steps", 250, "--heat-bytes", 4096)
        shutil.copytree(self.tmp / "half", self.tmp / "elsewhere")
        before = state_tree(self.tmp / "elsewhere")
        (self.tmp / "linked").symlink_to("elsewhere")
        sim("--state", self.tmp / "linked", "--steps", 600)
        self.assertEqual(state_tree(self.tmp / "linked"), self.whole)
        self.assertEqual(state_tree(self.tmp / "elsewhere"), before)

    def test_killed_at_any_instant_it_leaves_a_whole_step(self):
        chance = random.Random(7)
        state = self.tmp / "killed"
        for _ in range(40):
            process = subprocess.Popen(
                [SIM, "--state", str(state), "--steps", "600", "--heat-bytes", "4096"],
                stdout=subprocess.DEVNULL,
            )
            try:
                process.wait(chance.uniform(0.0005, 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if not state.exists():
                continue
            step = step_of(state)
            sim("--state", self.tmp / f"to-{step}", "--steps", step, "--heat-bytes", 4096)
            self.assertEqual(state_tree(state), state_tree(self.tmp / f"to-{step}"), f"step {step}")
        sim("--state", state, "--steps", 600, "--heat-bytes", 4096)
        self.assertEqual(state_tree(state), self.whole)

    def test_an_inconsistent_state_is_refused(self):
        defects = {
            "missing": lambda state: (state / "ball/spin.npy").unlink(),
            "one too many": lambda state: np.save(state / "ball/more.npy", np.zeros(3)),
            "of another dtype": lambda state: np.save(state / "ball/spin.npy", np.float64(1)),
            "too short": lambda state: (state / "table/dents.npy").write_bytes(
                (state / "table/dents.npy").read_bytes()[:-1]
            ),
            "negative": lambda state: np.save(state / "_meta/step_count.npy", np.int64(-1)),
        }
        for name, spoil in defects.items():
            with self.subTest(name):
                state = self.tmp / name
                shutil.copytree(self.tmp / "whole", state)
                spoil(state)
                before = state_tree(state)
                done = subprocess.run(
                    [SIM, "--state", str(state), "--steps", "700"], capture_output=True, check=False
                )
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(state_tree(state), before)


if __name__ == "__main__":
    madtest.main()
