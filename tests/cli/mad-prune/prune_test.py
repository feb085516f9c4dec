"""mad-prune of a directory: what goes, what stays, and with whom it gets along."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import numpy as np

import madtest
from placing import OLD, PlaceCase, name_of, pair

SUPERSEDED = "superseded"


def with_mounted(path, *argv):
    """Runs a tool while `path` cannot be removed, because something is mounted on it."""
    script = 'mount --bind "$1" "$1" && shift && exec "$@"'
    return madtest.run("unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script, "sh",
                       path, madtest.tool(argv[0]), *argv[1:])


class Prune(PlaceCase):
    def test_a_dry_run_says_exactly_what_the_run_then_does(self):
        for number in range(1, 6):
            self.make(number)
        (self.place / ".run.npz.mad-abcdefgh").write_bytes(b"x")
        self.age(self.place / ".run.npz.mad-abcdefgh", OLD)
        before = madtest.tree(self.place)
        told = self.pruned("--keep", "2", "--dry-run")
        self.assertEqual(told, [("snapshot", name_of(n), SUPERSEDED) for n in (1, 2, 3)] +
                         [("work", ".run.npz.mad-abcdefgh", "dead-writer")])
        self.assertEqual(madtest.tree(self.place), before)
        would = {key: self.report[key] for key in ("removed", "removed_bytes")}
        self.assertIs(self.report["dry_run"], True)
        text = self.run_tool("mad-prune", "--keep", "2", "--dry-run", self.place)
        self.assertEqual(self.pruned("--keep", "2"), told)
        self.assertEqual(self.names(), pair(4, 5))
        self.assertEqual([line.split()[:2] for line in text.decode().splitlines()],
                         [[kind, name] for kind, name, _ in told])
        self.assertEqual({key: self.report[key] for key in ("kept", "valid", "refused", "removed")},
                         {"kept": 2, "valid": 2, "refused": 0, "removed": 3})
        self.assertIs(self.report["dry_run"], False)
        self.assertEqual({key: self.report[key] for key in would}, would)

    def test_json_has_names_as_they_are_and_lines_show_what_could_steer_a_terminal(self):
        npz = self.make(1, name="new\nline.npz")
        self.make(2)
        words = ("mad-prune", "--keep", "1", "--dry-run", self.place)
        act = json.loads(self.run_tool(*words, "--json"))
        self.assertEqual((act["name"], act["path"]), (npz.name, str(npz)))
        self.assertIn(rb"snapshot  new\x0aline.npz  ", self.run_tool(*words))

    def test_a_broken_one_does_not_count_and_the_last_valid_one_stays(self):
        for number in range(1, 5):
            npz = self.make(number)
        self.damage(npz)
        self.damage(self.place / name_of(3))
        told = self.pruned("--keep", "1")
        self.assertEqual(told, [("snapshot", name_of(1), SUPERSEDED)])
        self.assertEqual(self.names(), pair(2, 3, 4))
        self.assertIn("SHA-256 mismatch", self.said)
        self.damage(self.place / name_of(2))
        self.assertEqual(self.pruned("--keep", "1", code=1), [])
        self.assertEqual(self.report["reason"], "no-valid-snapshot")
        self.assertEqual(self.names(), pair(2, 3, 4))

    def test_keep_within_goes_back_from_the_newest(self):
        for number in range(1, 10):
            self.make(number)
        self.pruned("--keep-within", "2d")
        self.assertEqual(self.names(), pair(7, 8, 9))
        self.pruned("--keep-within", "1d", "--keep", "3")
        self.assertEqual(self.names(), pair(7, 8, 9))
        self.pruned("--keep-within", "23h")
        self.assertEqual(self.names(), pair(9))

    def test_remains_go_after_the_grace_and_only_where_they_are_ours(self):
        self.make(9, created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        ours = {f"{name_of(1)}": "no-manifest", "gone.npz.manifest.json": "no-npz",
                "never.npz.manifest.json.next": "no-npz"}
        others = ["mesh.npz", "table.npy", ".notes.mad-abcdefgh", "x.manifest.json"]
        for name in [*ours, *others]:
            (self.place / name).write_bytes(b"x")
        self.assertEqual(self.pruned("--keep", "1"), [])
        for name in [*ours, *others]:
            self.age(self.place / name, OLD)
        told = {(kind, reason) for kind, _, reason in self.pruned("--keep", "1")}
        self.assertEqual(told, {("remains", reason) for reason in ours.values()})
        self.assertEqual(self.names(), sorted(pair(9) + others))

    def test_what_an_interrupted_writer_left_is_completed_or_taken_away(self):
        done, undone = self.make(8), self.make(9)
        manifest = self.place / (done.name + ".manifest.json")
        manifest.rename(str(manifest) + ".next")
        stale = self.place / (undone.name + ".manifest.json.next")
        stale.write_text("{")
        for path in (self.place / (done.name + ".manifest.json.next"), stale):
            self.age(path, OLD)
        self.assertEqual(sorted(self.pruned("--keep", "3")),
                         [("settle", npz.name, "dead-writer") for npz in (done, undone)])
        self.assertEqual(self.names(), pair(8, 9))
        self.listed(None, "--check")

    def test_a_living_writer_keeps_its_temporary(self):
        self.make(1)
        name = self.place / ".run.npz.mad-abcdefgh"
        name.write_bytes(b"x")
        self.age(name, OLD)
        done = madtest.run("flock", name, madtest.tool("mad-prune"), "--keep", "1", self.place)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        self.assertIn("left alone", done.stderr)
        self.assertTrue(name.exists())

    def test_after_a_resume_that_failed_nothing_goes(self):
        for number in (1, 2):
            self.make(number)
        self.assertEqual(self.pruned("--keep", "1", env={"MAD_RESUME_STATUS": "failed"}), [])
        self.assertEqual(self.report["status"], "spared")
        self.assertEqual(self.names(), pair(1, 2))

    def test_usage(self):
        self.make(1)
        for words, needle in (([], "--keep-within"), (["--keep", "0"], "at least 1"),
                              (["--keep", "-1"], "at least 1"), (["--keep", "x"], "at least 1"),
                              (["--keep-within", "2y"], "s, m, h, d or w"),
                              (["--keep-within", "3"], "s, m, h, d or w"),
                              (["--keep", "1", "--grace", "3"], "s, m, h, d or w"),
                              (["--keep", "1", "--grace", "soon"], "--grace")):
            with self.subTest(words=words):
                self.assert_refused(madtest.run("mad-prune", *words, self.place), 2, needle)
        self.assertEqual(self.names(), pair(1))
        self.assert_refused(madtest.run("mad-prune", "--keep", "1", self.tmp / "no"), 5, "no such")

    def test_what_cannot_be_removed_ends_it_and_is_not_told_of(self):
        for number in (1, 2, 3):
            self.make(number)
        done = with_mounted(self.place / name_of(1), "mad-prune", "--keep", "1", self.place)
        self.assert_refused(done, 9, "cannot remove", name_of(1))
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.names(), pair(1, 2, 3))


class Keep(PlaceCase):
    """mad-snapshot --keep."""

    def take(self, *words, code=0, **env):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        done = self.run_tool("mad-snapshot", "-o", f"{self.place}/", *words, state, env=env,
                             code=code)
        return done.decode().strip().rpartition("/")[2]

    def test_the_newest_stay_and_only_of_its_own_sequence(self):
        for number in (1, 2, 3):
            self.make(number)  # run-…: another sequence
        mine = self.make(4, name="snapshot.npz")
        taken = [self.take("--keep", "2") for _ in range(4)]
        self.assertEqual((self.report["pruned"], self.report["kept"]), (1, 2))
        self.assertEqual(
            [name for name in self.names() if name.endswith(".npz")],
            sorted([name_of(1), name_of(2), name_of(3), mine.name, *taken[2:]]))

    def test_what_was_just_written_stays_also_where_it_looks_old(self):
        """As for a run that began again, in its old session, or by a clock that is slow."""
        for number in (1, 2):
            self.make(90 + number, name=f"snapshot-000000000{number}-20260131T120000Z.npz",
                      created_at="2099-01-01T00:00:00Z")
        taken = self.take("--keep", "1", "--session-id", "run")
        self.assertEqual(self.names(), [taken, taken + ".manifest.json"])

    def test_one_that_is_broken_is_not_counted(self):
        self.take()
        broken = self.take()
        with open(self.place / broken, "r+b") as file:
            file.write(b"XX")
        third = self.take("--keep", "2")
        self.assertIn("not counted", self.said)
        self.assertEqual((self.report["pruned"], self.report["kept"]), (0, 3))
        fourth = self.take("--keep", "2")
        self.assertEqual([name for name in self.names() if name.endswith(".npz")], [third, fourth])

    def test_a_prune_that_fails_does_not_fail_the_snapshot(self):
        first = self.place / self.take()
        state = self.tmp / "state"
        done = with_mounted(first, "mad-snapshot", "-o", f"{self.place}/", "--keep", "1", state)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: ", done.stderr)
        self.assertIn("the snapshot is published, older ones stay", done.stderr)
        self.assertEqual(len(self.names()), 4)

    def test_after_a_resume_that_failed_the_older_ones_stay(self):
        old = [self.take() for _ in range(2)]
        new = self.take("--keep", "1", MAD_RESUME_STATUS="failed")
        self.assertEqual([name for name in self.names() if name.endswith(".npz")], [*old, new])

    def test_usage(self):
        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        for words in (["-o", self.place / "one.npz", "--keep", "1"], ["-o", "-", "--keep", "1"],
                      ["--keep", "1"], ["-o", self.place, "--keep", "0"]):
            with self.subTest(words=words):
                self.assert_refused(madtest.run("mad-snapshot", *words, state), 2, "--keep")
        self.assertEqual(self.names(), [])


class Together(PlaceCase):
    """Two pruners, a writer and a reader at once, each killed at any instant."""

    SECONDS = 6
    KEEP = 1

    def setUp(self):
        super().setUp()
        self.random = random.Random(5)
        self.committed = 0  # the greatest step whose writer ended well
        self.errors = []
        self.kills = self.reads = self.writes = 0

    def one_run(self, *argv):
        """Starts it, and kills it in every other case; its exit code, or None."""
        process = subprocess.Popen(
            [madtest.tool(argv[0]), "-q", *map(str, argv[1:])], env=madtest.clean_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            kill = self.random.random() < 0.5
            _, said = process.communicate(timeout=self.random.uniform(0, 0.04) if kill else 60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.kills += 1
            return None
        if process.returncode != 0:
            self.errors.append((argv, process.returncode, said.decode()))
        return process.returncode

    def write(self):
        """A new name mostly, else one that is there and may be pruned just now."""
        state = self.tmp / "state"
        step = 0
        while not self.over.is_set():
            step += 1
            madtest.make_state(state, {"a/b": np.arange(5000.0) + step,
                                       "_meta/step_count": np.array(step, dtype="<i8")})
            there = sorted(path for path in self.place.glob("s*.npz"))
            to = f"{self.place}/"
            if there and self.random.random() < 0.4:
                to = self.random.choice(there[:2])
            if self.one_run("mad-snapshot", "-o", to, "--session-id", "run", state) == 0:
                self.committed = step
                self.writes += 1

    def prune(self):
        while not self.over.is_set():
            self.one_run("mad-prune", "--keep", self.KEEP, "--grace", "0s", self.place)

    def read(self):
        out = self.tmp / "out.npz"
        while not self.over.is_set():
            known = self.committed
            check = self.random.choice([[], ["--fallback", "0"]])
            done = madtest.run("mad-fetch", "-q", "--latest", *check, "-o", out, self.place)
            if known == 0:
                continue
            if done.returncode != 0:
                self.errors.append(("mad-fetch", done.returncode, done.stderr))
                continue
            step = int(np.load(out)["_meta/step_count"])
            if step < known:
                self.errors.append(f"read step {step}, though {known} was committed")
            self.reads += 1

    def fewest(self):
        return min(self.kills, self.reads, self.writes)

    def test_nothing_that_was_committed_is_lost(self):
        self.over = threading.Event()
        threads = [threading.Thread(target=work)
                   for work in (self.write, self.prune, self.prune, self.read)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        # Under load they come to much less in the same time.
        while time.monotonic() < began + self.SECONDS or (
                self.fewest() <= 5 and time.monotonic() < began + 200):
            self.over.wait(0.1)
        self.over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(self.errors, [])
        self.assertGreater(self.fewest(), 5)
        found = self.listed(None, "--check")
        self.assertGreaterEqual(max(entry["step"] or 0 for entry in found.values()),
                                self.committed)
        self.pruned("--keep", "1", "--grace", "0s")
        found = self.listed(None, "--check")
        self.assertEqual([entry["status"] for entry in found.values()], ["verified"])
        self.assertGreaterEqual(list(found.values())[0]["step"], self.committed)
        self.assertEqual(len(self.names()), 2, self.names())


if __name__ == "__main__":
    madtest.main()
