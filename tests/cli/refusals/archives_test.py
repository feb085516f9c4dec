"""Archives with one defect each, through every tool that opens an archive."""


import hashlib
import json

import hostile
import madtest
import numpy as np
import refusal

FRESH = {"ball/pos": np.zeros(2), "ball/vel": np.zeros(2, dtype="<i4")}
# What reads no array's data cannot see that it is damaged.
NEEDS_DATA = {c["name"] for c in hostile.data_lies()} | {"local-crc", "central-crc"}


class Archives(refusal.BootRefusals):
    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "hostile.npz"
        self.cases = hostile.every_case()

    def each(self, check):
        for case in self.cases:
            self.npz.write_bytes(case["data"])
            madtest.reference_manifest(self.npz)
            with self.subTest(case["name"]):
                check(case)

    def test_mad_verify_refuses_each_and_says_why(self):
        def check(case):
            before = madtest.tree(self.tmp)
            done = refusal.measured("mad-verify", self.npz)
            self.assert_refusal(done, case["code"], case["reason"], "hostile.npz",
                                *case["needles"])
            self.assertEqual(madtest.tree(self.tmp), before)

        self.each(check)

    def test_mad_snapshot_takes_none_of_them_and_keeps_the_old_snapshot(self):
        out = self.tmp / "out"
        out.mkdir()
        madtest.reference_snapshot(out / "sim.npz", madtest.small_arrays())
        before = madtest.tree(out)
        def check(case):
            for state, stdin in ((self.npz, None), ("-", self.npz)):
                done = refusal.measured("mad-snapshot", "-o", out / "sim.npz", state, stdin=stdin)
                self.assert_refusal(done, case["code"], case["reason"], *case["needles"])
                self.assertEqual(madtest.tree(out), before)

        self.each(check)

    def test_the_boot_line_starts_the_command_from_its_fresh_state(self):
        self.fresh_machine(FRESH)
        self.cases = self.cases[0::3]  # a third of them in each mode

        def check(case):
            self.assert_boot_goes_on_fresh(self.npz, case["reason"])

        self.each(check)

    def test_the_boot_line_with_chunks_refuses_them_too(self):
        """With chunks the bytes flow before the end of the archive is known."""
        self.fresh_machine(FRESH)
        self.cases = self.cases[1::3]
        def check(case):
            path = self.tmp / "hostile.npz.manifest.json"
            manifest = json.loads(path.read_text())
            if case["data"]:
                manifest["chunks"] = {"algorithm": "sha256", "chunk_bytes": 4 << 20,
                                      "digests": [hashlib.sha256(case["data"]).hexdigest()]}
            path.write_text(json.dumps(manifest))
            self.assert_boot_goes_on_fresh(self.npz, case["reason"])

        self.each(check)

    def test_the_boot_line_in_stream_mode_refuses_them_too(self):
        self.fresh_machine(FRESH)
        self.cases = self.cases[2::3]
        def check(case):
            self.assert_boot_goes_on_fresh(self.npz, case["reason"], "--stream")

        self.each(check)

    def test_mad_manifest_neither_shows_nor_writes_them(self):
        def check(case):
            before = madtest.tree(self.tmp)
            done = refusal.measured("mad-manifest", "topology", self.npz)
            if case["name"] not in NEEDS_DATA or done.returncode != 0:
                self.assert_refusal(done, case["code"], case["reason"], "hostile.npz",
                                    *case["needles"])
            self.assertEqual(madtest.tree(self.tmp), before)
            (self.tmp / "hostile.npz.manifest.json").unlink()
            done = refusal.measured("mad-manifest", "write", self.npz)
            if case["name"] not in NEEDS_DATA or done.returncode != 0:
                self.assert_refusal(done, case["code"], case["reason"], "hostile.npz",
                                    *case["needles"])
                self.assertEqual(list(madtest.tree(self.tmp)), ["hostile.npz"])

        self.each(check)


class Sound(refusal.Refusals):
    """The generator's honest archives pass, so that the cases above can fail."""

    def test_the_archives_without_a_defect_are_accepted(self):
        npz = self.tmp / "sound.npz"
        crc = hostile.zlib.crc32(hostile.GOOD)
        n = hostile.ARRAY_BYTES
        sound = {
            "pair": hostile.pair(),
            "deflated": hostile.pair(hostile.good(method=hostile.DEFLATED)),
            "comment": hostile.pair(comment=b"a comment"),
            "local zip64": hostile.pair(hostile.good(local={
                "size": hostile.MAX32, "compressed": hostile.MAX32,
                "extra": hostile.zip64_extra(n, n)})),
            "central zip64": hostile.pair(hostile.good(central={
                "size": hostile.MAX32, "compressed": hostile.MAX32, "offset": hostile.MAX32,
                "extra": hostile.zip64_extra(n, n, 0)})),
            "descriptor": hostile.pair(hostile.good(descriptor=hostile.struct.pack(
                "<IIII", 0x08074B50, crc, n, n))),
            "descriptor without signature": hostile.pair(hostile.good(
                descriptor=hostile.struct.pack("<III", crc, n, n))),
            "descriptor of zip64": hostile.pair(hostile.good(
                local={"extra": hostile.zip64_extra(0, 0)},
                descriptor=hostile.struct.pack("<IIQQ", 0x08074B50, crc, n, n))),
            "npy 2.0": hostile.pair(hostile.good(
                data=hostile.npy(hostile.header(), bytes(16), version=2))),
            "empty": hostile.archive([]),
        }
        for name, data in sound.items():
            with self.subTest(name):
                npz.write_bytes(data)
                madtest.reference_manifest(npz)
                done = refusal.measured("mad-verify", npz)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_cheap(done)
                state = self.tmp / name
                done = madtest.dash(
                    'mad-fetch "$1" | mad-verify | mad-resume --state-dir "$2"', npz, state)
                self.assertEqual(done.returncode, 0, done.stderr)


class Collisions(refusal.BootRefusals):
    def test_keys_that_collide_as_paths_are_refused_where_they_would_be_unpacked(self):
        for case in hostile.collisions():
            with self.subTest(case["name"]):
                npz = self.tmp / "hostile.npz"
                npz.write_bytes(case["data"])
                madtest.reference_manifest(npz)
                self.fresh_machine({})
                self.fresh.mkdir(exist_ok=True)
                why = self.assert_boot_goes_on_fresh(npz, case["reason"])
                self.assertIn("ball/pos", why)


class Bombs(refusal.BootRefusals):
    MIB = 1 << 20

    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "bomb.npz"
        self.npz.write_bytes(hostile.bomb(64 * self.MIB))
        madtest.reference_manifest(self.npz)

    def test_honest_zeros_are_no_bomb_and_cost_no_memory(self):
        done = refusal.measured("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_cheap(done)

    def test_mad_verify_bounds_what_an_archive_unpacks_to(self):
        done = refusal.measured("mad-verify", "--max-size", 8 * self.MIB, self.npz)
        self.assert_refusal(done, 1, "too-large", "bomb.npz")

    def test_the_filter_bounds_what_an_archive_unpacks_to(self):
        self.fresh_machine(FRESH)
        self.assert_boot_goes_on_fresh(self.npz, "too-large", f"--max-size={8 * self.MIB}")

    def test_mad_resume_bounds_what_an_archive_unpacks_to(self):
        state = self.tmp / "state"
        done = madtest.dash('mad-fetch "$1" | mad-verify | '
                            'mad-resume --max-size 8388608 --state-dir "$2"', self.npz, state)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("bomb.npz", done.stderr)
        self.assertFalse(state.exists())

    def test_the_bound_holds_for_the_archive_s_own_bytes(self):
        done = refusal.measured("mad-verify", "--max-size", 1000, self.npz)
        self.assert_refusal(done, 1, "too-large", "bomb.npz", "1000",
                            str(self.npz.stat().st_size))

    def test_mad_fetch_bounds_what_it_reads(self):
        done = refusal.measured("mad-fetch", "--max-size", 1000, "-o", self.tmp / "out.npz",
                                self.npz)
        self.assert_refusal(done, 1, "too-large", "bomb.npz", "1000",
                            str(self.npz.stat().st_size))
        self.assertEqual(sorted(madtest.tree(self.tmp)),
                         ["bomb.npz", "bomb.npz.manifest.json"])

    def test_a_member_that_unpacks_to_more_than_it_says_is_left_at_once(self):
        packed = hostile.deflate_zeros(hostile.GOOD, 256 * self.MIB)[0]
        self.npz.write_bytes(hostile.archive([hostile.Member(
            "ball/pos.npy", hostile.GOOD, hostile.DEFLATED, packed=packed)]))
        madtest.reference_manifest(self.npz)
        done = refusal.measured("mad-verify", self.npz)
        self.assert_refusal(done, 1, ("archive-invalid", "member-crc", "npy-size"), "bomb.npz",
                            "ball/pos")

    def test_a_directory_of_countless_members_is_refused_before_it_is_read(self):
        self.npz.write_bytes(hostile.pair(end={"bytes": 0xFFFFFFF0, "offset": 0}))
        madtest.reference_manifest(self.npz)
        self.assert_refusal(refusal.measured("mad-verify", self.npz), 1,
                            ("archive-invalid", "too-large"), "bomb.npz")


if __name__ == "__main__":
    madtest.main()
