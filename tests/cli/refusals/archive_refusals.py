"""What the tests of archives with one defect each share."""

import hostile_archives
import madtest
import refusal


class ArchiveRefusals(refusal.BootRefusals):
    """`self.cases`, one after the other at `self.npz` with a manifest of its own."""

    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "hostile.npz"
        self.cases = hostile_archives.every_case()

    def take_part(self, part, parts):
        """Every test has its own; under the sanitizers, where a process takes ten times as
        long, also those that otherwise have all."""
        self.cases = self.cases[part::parts]

    def each(self, check):
        for case in self.cases:
            self.npz.write_bytes(case["data"])
            madtest.reference_manifest(self.npz)
            with self.subTest(case["name"]):
                check(case)
