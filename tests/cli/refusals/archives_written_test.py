"""Archives with one defect each, through what would write a snapshot or a manifest of them."""

import archive_refusals
import hostile
import hostile_zips
import madtest
import refusal

# What reads no array's data cannot see that it is damaged.
NEEDS_DATA = {c["name"] for c in hostile.data_lies() + hostile_zips.packed_data()} | {
    "local-crc", "central-crc"}


class Written(archive_refusals.ArchiveRefusals):
    def test_mad_snapshot_takes_none_of_them_and_keeps_the_old_snapshot(self):
        out = self.tmp / "out"
        out.mkdir()
        madtest.reference_snapshot(out / "sim.npz", madtest.small_arrays())
        before = madtest.tree(out)
        if madtest.SANITIZED:
            self.take_part(0, 3)

        def check(case):
            for state, stdin in ((self.npz, None), ("-", self.npz)):
                done = refusal.measured("mad-snapshot", "-o", out / "sim.npz", state, stdin=stdin)
                self.assert_refusal(done, case["code"], case["reason"], *case["needles"])
                self.assertEqual(madtest.tree(out), before)

        self.each(check)

    def test_mad_manifest_neither_shows_nor_writes_them(self):
        if madtest.SANITIZED:
            self.take_part(1, 3)

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


if __name__ == "__main__":
    madtest.main()
