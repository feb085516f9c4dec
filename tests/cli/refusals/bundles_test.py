"""Bundles and topologies with one defect each, through every tool that reads them; and
bundles that say of themselves that they were verified."""

import io
import json
import tarfile

import hostile_archives
import hostile_bundles
import hostile_topologies
import madtest
import numpy as np
import refusal


class Bundles(refusal.Refusals):
    def setUp(self):
        super().setUp()
        self.stream = self.tmp / "stream"
        self.place = self.tmp / "place"
        arrays = {"ball/pos": np.zeros(2), "ball/vel": np.zeros(2, dtype="<i4")}
        self.state = madtest.make_state(self.place / "state", arrays)
        madtest.reference_snapshot(self.place / "in.npz", arrays)
        self.before = madtest.tree(self.place)

    def fed(self, data, *argv, **env):
        """A tool that gets `data` and may write in `place`, which it must not."""
        self.stream.write_bytes(data)
        done = refusal.measured(*argv, stdin=self.stream, cwd=str(self.place),
                                env={"TMPDIR": self.place} | env)
        self.assertEqual(madtest.tree(self.place), self.before)
        return done

    def test_mad_verify_seals_each_as_failed(self):
        for name, data, code, reason in hostile_bundles.every_case():
            with self.subTest(name):
                done = self.fed(data, "mad-verify", "--spool-dir", self.place)
                self.assert_refusal(done, code, reason)
                with tarfile.open(fileobj=io.BytesIO(done.stdout), mode="r:") as out:
                    last = out.getmembers()[-1]
                    self.assertEqual(last.name, ".mad-seal.json")
                    seal = json.load(out.extractfile(last))
                self.assertEqual((seal["stage"], seal["code"]), ("failed", code))
                self.assertEqual(seal["reason"], done.report["reason"])

    def test_mad_resume_publishes_nothing_of_them(self):
        for name, data, code, reason in hostile_bundles.every_case():
            with self.subTest(name):
                done = self.fed(data, "mad-resume", "--snapshot", self.place / "in.npz",
                                "--state-dir", self.state)
                self.assert_refusal(done, code, reason)

    def test_mad_resume_takes_no_seal_s_word_for_an_archive(self):
        cases = hostile_archives.every_case()
        for case in cases[::8] if madtest.SANITIZED else cases:
            if not case["data"]:
                continue  # no part to put it in
            with self.subTest(case["name"]):
                done = self.fed(hostile_bundles.verified(case["data"]), "mad-resume",
                                "--snapshot", self.place / "in.npz", "--state-dir",
                                self.place / "new")
                self.assert_refusal(done, case["code"], case["reason"], *case["needles"])
                self.assertFalse((self.place / "new").exists())

    def test_the_bundles_without_a_defect_are_taken(self):
        """So that the tests above can fail."""
        self.stream.write_bytes(hostile_bundles.sound())
        done = refusal.measured("mad-verify", stdin=self.stream)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.stream.write_bytes(hostile_bundles.verified())
        done = refusal.measured("mad-resume", "--snapshot", self.tmp / "out.npz",
                                "--state-dir", self.tmp / "out", stdin=self.stream)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), hostile_bundles.NPZ)


class Topologies(refusal.Refusals):
    def test_each_is_refused_wherever_one_is_expected(self):
        npz = self.tmp / "sim.npz"
        npz.write_bytes(hostile_bundles.NPZ)
        madtest.reference_manifest(npz)
        stream = self.tmp / "stream"
        stream.write_bytes(hostile_bundles.verified())
        topology = self.tmp / "t.json"
        for name, data in hostile_topologies.every_case().items():
            topology.write_bytes(data)
            before = madtest.tree(self.tmp)
            for argv, stdin in ((("mad-manifest", "topology", topology), None),
                                (("mad-verify", "--expect", topology, npz), None),
                                (("mad-verify", "--expect", topology), stream),
                                (("mad-resume", "--expect", topology, "--state-dir",
                                  self.tmp / "state"), stream)):
                with self.subTest(f"{name}: {argv[0]} {argv[1]}"):
                    done = refusal.measured(*argv, stdin=stdin)
                    # What is no topology may have been meant for a manifest, says that one.
                    reasons = ("topology-invalid",) + (
                        ("manifest-invalid",) if argv[0] == "mad-manifest" else ())
                    self.assert_refusal(done, 1, reasons, "t.json")
                    self.assertEqual(madtest.tree(self.tmp), before)

    def test_the_one_without_a_defect_is_taken(self):
        topology = self.tmp / "t.json"
        topology.write_text(json.dumps(hostile_topologies.GOOD))
        npz = self.tmp / "sim.npz"
        npz.write_bytes(hostile_bundles.NPZ)
        madtest.reference_manifest(npz)
        done = refusal.measured("mad-verify", "--expect", topology, npz)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    madtest.main()
