"""Archives with one defect each, through mad-verify; and what is no defect."""

import archive_refusals
import hostile
import madtest
import numpy as np
import refusal

FRESH = {"ball/pos": np.zeros(2), "ball/vel": np.zeros(2, dtype="<i4")}


class Archives(archive_refusals.ArchiveRefusals):
    def test_there_are_some_three_hundred_and_each_has_its_name(self):
        names = {case["name"] for case in self.cases}
        self.assertEqual(len(names), len(self.cases))
        self.assertGreaterEqual(len(names), 300)

    def test_mad_verify_refuses_each_and_says_why(self):
        def check(case):
            before = madtest.tree(self.tmp)
            done = refusal.measured("mad-verify", self.npz)
            self.assert_refusal(done, case["code"], case["reason"], "hostile.npz",
                                *case["needles"])
            self.assertEqual(madtest.tree(self.tmp), before)

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


class ManyArrays(refusal.Refusals):
    """As many as are taken stay within the memory that a tool has; one more is too large."""

    def archive(self, count):
        npz = self.tmp / "many.npz"
        npz.write_bytes(hostile.many(count))
        madtest.reference_manifest(npz)
        return npz

    def test_as_many_as_are_taken(self):
        if madtest.SANITIZED:
            return  # whose memory is another
        npz = self.archive(1 << 18)
        done = refusal.measured("mad-verify", npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(done.resident_kib, refusal.RESIDENT_KIB)
        stream = self.tmp / "stream"
        stream.write_bytes(madtest.run("mad-fetch", npz).stdout)
        done = refusal.measured("mad-verify", stdin=stream)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(done.resident_kib, refusal.RESIDENT_KIB)

    def test_one_more(self):
        if madtest.SANITIZED:
            return
        npz = self.archive((1 << 18) + 1)
        done = refusal.measured("mad-verify", npz)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.report["reason"], "too-large")
        self.assertIn(f"members: expected at most {1 << 18}, found {(1 << 18) + 1}", done.stderr)


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
