"""scripts/drill: a hundred preemptions with faults of every kind, and what it says of tools
that do not keep their word."""

import re
import subprocess

import madtest
from fake_gcs import FakeGCS
from pipeline import environment

DRILL = str(madtest.SOURCE / "scripts" / "drill")
EACH = 15 if madtest.SANITIZED else 50
# Of a notice's time.  Slow programs need more of it to commit anything.
SCALE = 0.06 if madtest.SANITIZED else 0.02
FAULTS = {
    "directory": ["disk full", "killed early", "killed while it boots", "killed while it saves",
                  "none", "object corrupted", "watcher killed"],
    "web": ["connection lost at boot", "connection lost at upload", "killed while it uploads"],
}


def start(*options, **env):
    return subprocess.Popen(
        [DRILL, "--bin-dir", str(madtest.BIN), *map(str, options)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**environment(MAD_WATCH_INTERVAL="0.05"), **env})


class Drill(madtest.Case):
    def test_nothing_that_was_committed_is_ever_lost(self):
        # Seeds by which each fault comes up.
        drills = {place: start("-n", EACH, "--place", place, "--scale", SCALE, "--seed", 5)
                  for place in FAULTS}
        for place, drill in drills.items():
            with self.subTest(place):
                said, _ = drill.communicate(timeout=600)
                self.assertEqual(drill.returncode, 0, said)
                self.assertRegex(said, rf"(?m)^preemptions +{EACH}$")
                self.assertRegex(said, "(?m)^committed snapshots lost +0$")
                self.assertRegex(said, "bit for bit that of an uninterrupted run")
                committed = int(re.search(r"snapshots committed +(\d+)", said)[1])
                self.assertGreater(committed, 1 if madtest.SANITIZED else EACH // 10)
                if not madtest.SANITIZED:
                    for fault in FAULTS["directory"] + (FAULTS["web"] if place == "web" else []):
                        self.assertRegex(said, rf"(?m)^  {fault} +[1-9]", fault)

    def test_a_store_of_the_users_own(self):
        with FakeGCS() as server:
            server.bucket("drills")
            options = ["-n", 8, "--place", "gs://drills/runs/sim.npz", "--scale", SCALE,
                       "--seed", 1]
            drill = start(*options, **server.environment())
            said, _ = drill.communicate(timeout=300)
            self.assertEqual(drill.returncode, 0, said)
            self.assertIn("bit for bit that of an uninterrupted run", said)
            self.assertIn("is yours to remove", said)
            kept = {name: server.get("drills", name) for name in server.keys("drills")}
            self.assertIn("runs/sim.npz.manifest.json", kept)
            # A second one would replace it, and does not.
            drill = start(*options, **server.environment())
            said, _ = drill.communicate(timeout=300)
            self.assertEqual(drill.returncode, 2, said)
            self.assertIn("gs://drills/runs/sim.npz: a snapshot is there already", said)
            self.assertEqual({name: server.get("drills", name) for name in server.keys("drills")},
                             kept)

    def test_mistakes_are_told(self):
        for options, code, needle in (
                (["--place", "nope"], 2, "--place: expected directory, web or a URL"),
                (["--bin-dir", self.tmp], 2, f"{self.tmp}: there is no mad-fetch"),
                # Nothing listens there.
                (["--place", "http://127.0.0.1:9/sim.npz"], 1,
                 "drill: error: http://127.0.0.1:9/sim.npz: no good snapshot can be had")):
            with self.subTest(options):
                drill = start(*options, MAD_FETCH_RETRIES="0", MAD_PUSH_RETRIES="0")
                said, _ = drill.communicate(timeout=300)
                self.assertEqual(drill.returncode, code, said)
                self.assertIn(needle, said)

    def test_a_push_that_lies_is_found_out(self):
        liar = self.tmp / "bin"
        liar.mkdir()
        (liar / "mad-push").write_text("#!/bin/sh\nexit 0\n")
        (liar / "mad-push").chmod(0o755)
        # Before the drill's own directory of tools.
        (liar / "run-preemptible").write_text(
            f'#!/bin/sh\nPATH="{liar}:$PATH" exec {madtest.SOURCE}/scripts/run-preemptible "$@"\n')
        (liar / "run-preemptible").chmod(0o755)
        for tool in madtest.BIN.iterdir():
            if not (liar / tool.name).exists():
                (liar / tool.name).symlink_to(tool)
        drill = start("-n", 20, "--place", "web", "--scale", SCALE, "--bin-dir", liar, "--seed", 5)
        said, _ = drill.communicate(timeout=300)
        self.assertEqual(drill.returncode, 1, said)
        self.assertIn("drill: error: ", said)
        self.assertIn("was called durable", said)
        self.assertIn("--seed 5", said)


if __name__ == "__main__":
    madtest.main()
