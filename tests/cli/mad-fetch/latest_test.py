"""mad-fetch --latest and --fallback: a place on a disk, and the boot line over it."""

import os

import madtest
from fetching import Bundle
from placing import PlaceCase, name_of, npz_bytes

BOOT = ('mad-fetch --latest --fallback 2 | mad-verify -q | '
        'mad-resume -q --state-dir "$1" -- sh -c \'echo $MAD_RESUME_STATUS; '
        'echo "$MAD_RESUME_REASON"\'')


class Latest(PlaceCase):
    def fetch(self, *words, code=0, place=None):
        return self.run_tool("mad-fetch", "--latest", *words, place or self.place, code=code)

    def bundle(self, *words, code=0):
        return Bundle(self.fetch(*words, code=code))

    def boot(self):
        """(status, reason) as the command finds them, and where its state is."""
        state = self.tmp / "state"
        done = madtest.dash(BOOT, state, env={"RESUME_FROM_URL": self.place})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().splitlines()

    def step(self):
        return int(madtest.np.load(self.tmp / "state" / "_meta/step_count.npy"))

    def test_the_newest_is_taken_whatever_its_name(self):
        for number, name in ((1, "z.npz"), (3, "a.npz"), (2, "m.npz")):
            self.make(number, name=name)
        bundle = self.bundle()
        self.assertEqual(bundle.npz, (self.place / "a.npz").read_bytes())
        self.assertEqual(bundle.seal["stage"], "fetched")
        self.assertEqual(self.report["skipped"], [])
        self.assertTrue(self.report["url"].endswith("/a.npz"), self.report)
        out = self.tmp / "out"
        out.mkdir()
        self.fetch("-o", out)
        self.assertEqual(sorted(path.name for path in out.iterdir()),
                         ["a.npz", "a.npz.manifest.json"])

    def test_of_one_session_the_greatest_step_is_the_newest(self):
        self.make(5, created_at="2026-01-01T00:00:00Z")
        self.make(4, created_at="2026-06-01T00:00:00Z")
        self.assertEqual(self.bundle().npz, npz_bytes(5))

    def test_none_there_is_absent_and_told_apart(self):
        for place in (self.place, self.tmp / "not-there"):
            with self.subTest(place=place):
                seal = Bundle(self.fetch(code=5, place=place)).seal
                self.assertEqual((seal["stage"], seal["reason"]), ("absent", "not-there-yet"))
                self.assertEqual((self.report["status"], self.report["stage"]),
                                 ("absent", "absent"))
        self.assertEqual(Bundle(self.fetch("--if-exists")).seal["stage"], "absent")
        self.fetch("-o", self.tmp / "out.npz", code=5)
        self.assertFalse((self.tmp / "out.npz").exists())
        self.assertEqual(self.boot()[0], "fresh")

    def test_what_is_half_a_snapshot_is_none(self):
        (self.place / name_of(1)).write_bytes(npz_bytes(1))
        (self.place / (name_of(2) + ".manifest.json")).write_text("{}")
        self.assertEqual(self.bundle(code=5).seal["stage"], "absent")
        self.assertIn("passing by 2", self.said)

    def test_without_fallback_a_damaged_newest_is_for_mad_verify_to_find(self):
        for number in (1, 2):
            npz = self.make(number)
        self.damage(npz)
        self.assertEqual(self.bundle().npz, npz.read_bytes())
        self.fetch("-o", self.tmp / "out.npz", code=1)
        self.assertFalse((self.tmp / "out.npz").exists())

    def test_one_that_cannot_be_whole_is_passed_over_in_any_case(self):
        for number in (1, 2):
            npz = self.make(number)
        os.truncate(npz, 100)
        self.assertEqual(self.bundle().npz, npz_bytes(1))
        self.assertEqual([(s["name"], s["reason"]) for s in self.report["skipped"]],
                         [(npz.name, "size-mismatch")])

    def test_fallback_goes_back_to_the_newest_valid_one_and_says_past_which(self):
        for number in (1, 2, 3, 4):
            self.make(number)
        self.damage(self.place / name_of(4))
        os.truncate(self.place / name_of(3), 100)
        expected = [(name_of(4), "sha256-mismatch"), (name_of(3), "size-mismatch")]
        for words in ([], ["-o", self.tmp / "out.npz"]):
            with self.subTest(words=words):
                out = self.fetch("--fallback", "2", *words)
                self.assertEqual([(s["name"], s["reason"]) for s in self.report["skipped"]],
                                 expected)
                for name, _ in expected:
                    self.assertIn(name, self.said)
                got = (self.tmp / "out.npz").read_bytes() if words else Bundle(out).npz
                self.assertEqual(got, npz_bytes(2))
        self.assertEqual(self.boot()[0], "resumed")
        self.assertEqual(self.step(), 2)

    def test_it_goes_back_no_further_than_it_may(self):
        for number in (1, 2, 3):
            self.make(number)
        for number in (2, 3):
            self.damage(self.place / name_of(number))
        for words in ([], ["-o", self.tmp / "out.npz"]):
            with self.subTest(words=words):
                out = self.fetch("--fallback", "1", *words, code=1)
                self.assertEqual(self.report["reason"], "no-valid-snapshot")
                if not words:
                    seal = Bundle(out).seal
                    self.assertEqual((seal["stage"], seal["code"], seal["reason"]),
                                     ("failed", 1, "no-valid-snapshot"))
        self.assertFalse((self.tmp / "out.npz").exists())

    def test_some_there_and_none_valid_is_failed(self):
        for number in (1, 2, 3):
            self.damage(self.make(number))
        status, reason = self.boot()
        self.assertEqual(status, "failed")
        self.assertIn("no-valid-snapshot", reason)
        self.assertFalse((self.tmp / "state").exists())

    def test_fallback_0_checks_and_takes_no_other(self):
        for number in (1, 2):
            npz = self.make(number)
        self.assertEqual(self.bundle("--fallback", "0").npz, npz_bytes(2))
        self.damage(npz)
        self.assertEqual(self.bundle("--fallback", "0", code=1).npz, b"")

    def test_what_a_dead_writer_left_whole_is_the_newest(self):
        for number in (1, 2):
            npz = self.make(number)
        manifest = self.place / (npz.name + ".manifest.json")
        manifest.rename(str(manifest) + ".next")
        self.assertEqual(self.bundle("--fallback", "1").npz, npz_bytes(2))

    def test_usage_is_refused_and_sealed(self):
        done = madtest.run("mad-fetch", "--fallback", "1", self.place)
        self.assert_refused(done, 2, "--latest")
        self.assertEqual(Bundle(done.stdout).seal["stage"], "failed")
        for words in (["--latest", "--manifest-url", "x", self.place],
                      ["--latest", "http://127.0.0.1:1/x/"], ["--latest", self.make(1)]):
            with self.subTest(words=words):
                done = madtest.run("mad-fetch", *words)
                self.assertIn(done.returncode, (2, 5), done.stderr)
                self.assertEqual(Bundle(done.stdout).seal["stage"], "failed")

    def test_all_of_it_can_be_said_in_the_environment(self):
        for number in (1, 2):
            npz = self.make(number)
        self.damage(npz)
        done = madtest.run("mad-fetch", env={
            "RESUME_FROM_URL": self.place, "MAD_FETCH_LATEST": "1", "MAD_FETCH_FALLBACK": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Bundle(done.stdout).npz, npz_bytes(1))

    def test_without_a_place_there_is_nothing_to_resume(self):
        done = madtest.run("mad-fetch", "--latest")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Bundle(done.stdout).seal["reason"], "no-url")


if __name__ == "__main__":
    madtest.main()
