"""What users run or copy: the tour, the units, cloud-init, the orchestrator's wrapper."""

import re
import subprocess

import madtest
from pipeline import DASH, environment, os

SCRIPTS = madtest.SOURCE / "scripts"


class Scripts(madtest.Case):
    def run_(self, *argv, env=None, **more):
        return subprocess.run(
            [str(word) for word in argv], env=environment(**(env or {})), capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=300, check=False, **more,
        )

    def tour(self, **env):
        return self.run_(
            DASH, SCRIPTS / "tour", "--steps", 600,
            env={"MAD_TOUR_BIN_DIR": madtest.BIN, "TMPDIR": self.tmp, **env},
        )

    def test_the_tour_ends_with_the_same_bits_and_leaves_nothing(self):
        # What the caller has set for runs of their own does not steer it.
        done = self.tour(RESUME_FROM_URL="/nowhere", MAD_RESUME_STATUS="failed")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("no difference: 11 arrays after 600 steps", done.stdout)
        self.assertNotIn("\033", done.stdout)
        self.assertEqual(list(self.tmp.iterdir()), [])

    def test_the_tour_ends_non_zero_where_a_bit_differs(self):
        """A simulation that ends one step later after a resume."""
        stand_in = self.tmp / "bin"
        stand_in.mkdir()
        for binary in madtest.BIN.iterdir():
            if binary.name.startswith("mad-"):
                (stand_in / binary.name).symlink_to(binary)
        (stand_in / "mad-test-sim").unlink()
        (stand_in / "mad-test-sim").write_text(
            f'#!/bin/sh\n[ -z "${{MAD_RESUME_STATUS-}}" ] || set -- "$@" --steps 601\n'
            f'exec {madtest.BIN}/mad-test-sim "$@"\n'
        )
        (stand_in / "mad-test-sim").chmod(0o755)
        done = self.tour(MAD_TOUR_BIN_DIR=stand_in)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("the final state differs", done.stderr)

    def test_the_orchestrator_tells_retryable_from_final(self):
        script = SCRIPTS / "orchestrator-example"
        tool = self.tmp / "tool"
        tool.write_text('#!/bin/sh\necho run >>runs\nexit "$1"\n')
        tool.chmod(0o755)
        expected = {0: (0, 1), 6: (75, 3), 7: (75, 3), 10: (75, 3), 143: (143, 1)}
        expected.update({code: (code, 1) for code in (1, 2, 3, 4, 5, 8, 9, 11, 12, 70, 125, 127)})
        for code, (status, runs) in expected.items():
            with self.subTest(code=code):
                (self.tmp / "runs").unlink(missing_ok=True)
                done = self.run_(
                    DASH, script, "./tool", code, cwd=self.tmp,
                    env={"ATTEMPTS": 3, "PAUSE_SECONDS": 0},
                )
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertEqual((self.tmp / "runs").read_text().count("run"), runs)

    def test_the_orchestrator_agrees_with_the_manual(self):
        """Every code of mad(7) that is retryable there is so here, and no other."""
        rows = re.findall(
            r"^\.It (\d+) Ta (retryable|final) ", (madtest.SOURCE / "man/mad.7").read_text(), re.M
        )
        self.assertGreater(len(rows), 10)
        tool = self.tmp / "tool"
        tool.write_text('#!/bin/sh\nexit "$1"\n')
        tool.chmod(0o755)
        for code, verdict in rows:
            with self.subTest(code=code):
                done = self.run_(
                    DASH, SCRIPTS / "orchestrator-example", "./tool", code, cwd=self.tmp,
                    env={"ATTEMPTS": 1},
                )
                self.assertEqual(done.returncode, 75 if verdict == "retryable" else int(code))
                self.assertIn(verdict, done.stderr)

    def test_cloud_init_takes_the_user_data(self):
        done = self.run_("cloud-init", "schema", "--config-file", SCRIPTS / "cloud-init.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Valid", done.stdout)

    def test_systemd_takes_the_units(self):
        done = self.verify(*sorted((SCRIPTS / "systemd").glob("*.service")))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")

    def verify(self, *units):
        return self.run_("systemd-analyze", "verify", "--man=no", *units)

    def embedded(self):
        """{path: text} of the files in cloud-init.yaml (a block scalar each)."""
        text = (SCRIPTS / "cloud-init.yaml").read_text()
        files = {}
        for part in text.split("  - path: ")[1:]:
            body = part.split("content: |\n", 1)[1]
            lines = []
            for line in body.split("\n"):
                if line and not line.startswith("      "):
                    break
                lines.append(line[6:])
            files[part.split("\n", 1)[0].strip()] = "\n".join(lines).rstrip() + "\n"
        return files

    def test_what_cloud_init_writes_is_valid_itself(self):
        files = self.embedded()
        self.assertEqual(len(files), 3)
        boot = self.tmp / "sim-boot"
        boot.write_text(files["/usr/local/bin/sim-boot"])
        boot.chmod(0o755)
        done = self.run_("shellcheck", "-e", "SC1091", boot)
        self.assertEqual(done.returncode, 0, done.stdout)
        unit = self.tmp / "sim.service"
        unit.write_text(
            files["/etc/systemd/system/sim.service"].replace("/usr/local/bin/sim-boot", str(boot))
        )
        done = self.verify(unit)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_units_boot_and_preempt_as_systemd_runs_them(self):
        """Their ExecStart lines, with the directories that systemd would give them."""
        binaries = self.tmp / "bin"
        binaries.mkdir()
        (binaries / "simulate").write_text(f'#!/bin/sh\nexec {madtest.BIN}/mad-test-sim "$@" --steps 60\n')
        (binaries / "simulate").chmod(0o755)
        for directory in ("lib", "run"):
            (self.tmp / directory).mkdir()
        madtest.run("mad-test-sim", "--state", self.tmp / "old", "--steps", 40)
        madtest.run("mad-snapshot", "-o", self.tmp / "sim.npz", self.tmp / "old")
        env = {
            "PATH": f"{binaries}:{environment()['PATH']}", "STATE_DIRECTORY": self.tmp / "lib",
            "RUNTIME_DIRECTORY": self.tmp / "run", "RESUME_FROM_URL": self.tmp / "sim.npz",
        }
        said = ""
        for unit in ("mad-resume", "mad-simulation"):
            done = self.run_unit(unit, env)
            self.assertEqual(done.returncode, 0, done.stderr)
            said += done.stdout
        self.assertEqual(said, "starts at step 40\nends at step 60\n")

    def run_unit(self, unit, env):
        text = (SCRIPTS / "systemd" / f"{unit}.service").read_text()
        line = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", text, re.M).group(1)
        line = line.replace("$$", "$").replace("/run/mad/", f"{self.tmp}/run/")
        variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", text, re.M))
        return self.run_(DASH, "-c", line, env={**variables, **env})

    def test_at_the_first_boot_the_unit_finds_no_snapshot_and_that_is_no_failure(self):
        for directory in ("lib", "run"):
            (self.tmp / directory).mkdir()
        done = self.run_unit("mad-resume", {
            "PATH": environment()["PATH"], "STATE_DIRECTORY": self.tmp / "lib",
            "RUNTIME_DIRECTORY": self.tmp / "run", "RESUME_FROM_URL": self.tmp / "sim.npz"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("error", done.stderr)
        outcome = (self.tmp / "run" / "resume.env").read_text()
        self.assertIn("MAD_RESUME_STATUS='fresh'", outcome)
        self.assertEqual(list((self.tmp / "lib").iterdir()), [])

    def test_the_list_of_packages_is_complete_here(self):
        """Nothing is missing, so nothing is installed and no network is used."""
        for words in (["build"], ["test"], ["build", "test"]):
            done = self.run_(
                DASH, SCRIPTS / "dev/install-packages", *words,
                env={"PATH": self.no_apt()},
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.run_(DASH, SCRIPTS / "dev/install-packages").returncode, 2)

    def no_apt(self):
        directory = self.tmp / "no-apt"
        if not directory.exists():
            directory.mkdir()
            (directory / "apt-get").write_text("#!/bin/sh\necho called >&2\nexit 1\n")
            (directory / "apt-get").chmod(0o755)
        return f"{directory}:{os.environ['PATH']}"


if __name__ == "__main__":
    madtest.main()
