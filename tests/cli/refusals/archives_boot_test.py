"""Archives with one defect each, through the boot line."""

import hashlib
import json

import archive_refusals
import madtest
import numpy as np

FRESH = {"ball/pos": np.zeros(2), "ball/vel": np.zeros(2, dtype="<i4")}


class Boot(archive_refusals.ArchiveRefusals):
    def test_the_boot_line_starts_the_command_from_its_fresh_state(self):
        self.fresh_machine(FRESH)
        self.take_part(0, 3)

        def check(case):
            self.assert_boot_goes_on_fresh(self.npz, case["reason"])

        self.each(check)

    def test_the_boot_line_with_chunks_refuses_them_too(self):
        """With chunks the bytes flow before the end of the archive is known."""
        self.fresh_machine(FRESH)
        self.take_part(1, 3)

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
        self.take_part(2, 3)

        def check(case):
            self.assert_boot_goes_on_fresh(self.npz, case["reason"], "--stream")

        self.each(check)


if __name__ == "__main__":
    madtest.main()
