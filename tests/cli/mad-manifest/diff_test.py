"""mad-manifest diff and recover."""

import json

import madtest
import numpy as np


def manifest(*args, **kwargs):
    return madtest.run("mad-manifest", *args, **kwargs)


class Diff(madtest.Case):
    def setUp(self):
        super().setUp()
        self.arrays = madtest.small_arrays()
        self.a = madtest.reference_snapshot(self.tmp / "a.npz", self.arrays, {"commit": "one"})

    def other(self, extra, **changes):
        arrays = {k: v for k, v in {**self.arrays, **changes}.items() if v is not None}
        return madtest.reference_snapshot(self.tmp / "b.npz", arrays, extra)

    def test_the_same_is_0_and_silent(self):
        done = manifest("diff", self.a, self.a)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", ""))
        done = manifest("diff", "--json", self.a, self.a)
        self.assertEqual(json.loads(done.stdout), {"same": True, "fields": [], "topology": []})

    def test_other_values_are_1_and_listed(self):
        b = self.other({"commit": "two", "new": [1, 2]}, **{"ball/pos": np.array([9.0, 9.0])})
        report = self.tmp / "report"
        done = manifest("diff", self.a, b, "--report", report)
        self.assertEqual(done.returncode, 1, done.stderr)
        lines = done.stdout.decode().splitlines()
        one, two = (madtest.reference_verify(npz)["sha256"] for npz in (self.a, b))
        self.assertEqual(lines, [
            f"--- {self.a}", f"+++ {b}", f'- sha256: "{one}"', f'+ sha256: "{two}"',
            '- extra.commit: "one"', '+ extra.commit: "two"', "+ extra.new: [1, 2]"])
        said = json.loads(report.read_text())
        self.assertEqual((said["status"], said["code"], said["reason"]),
                         ("different", 1, "different"))

    def test_another_topology_is_4_and_listed_with_meta_left_out(self):
        b = self.other({"commit": "one"}, **{
            "ball/vel": np.zeros((2, 1)), "heat/field": None, "_meta/step_count": None,
            "wind/u": np.zeros(3, dtype="<i2")})
        done = manifest("diff", self.a, b)
        self.assertEqual(done.returncode, 4, done.stderr)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(lines[-4:], [
            "- ball/vel: <f4 (2,)", "+ ball/vel: <f8 (2, 1)", "- heat/field: <f8 (6, 10)",
            "+ wind/u: <i2 (3,)"])
        self.assertNotIn("_meta", done.stdout.decode())

    def test_json_parses_even_where_extra_does_not(self):
        b = self.other({"commit": float("nan")}, **{"heat/field": None})
        done = manifest("diff", "--json", self.a, b)
        self.assertEqual(done.returncode, 4, done.stderr)

        def no_constants(name):
            raise ValueError(name)

        said = json.loads(done.stdout, parse_constant=no_constants)
        self.assertFalse(said["same"])
        self.assertIn({"key": "extra.commit", "a": "one", "b": "NaN"}, said["fields"])
        self.assertEqual(said["topology"], [
            {"key": "heat/field", "a": {"dtype": "<f8", "shape": [6, 10]}, "b": None}])

    def test_manifests_alone_are_compared_as_manifests(self):
        b = self.other({"commit": "one"}, **{"heat/field": None})
        done = manifest("diff", f"{self.a}.manifest.json", f"{b}.manifest.json")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("only the manifests are compared", done.stderr)

    def test_a_state_is_compared_by_its_topology(self):
        state = madtest.make_state(self.tmp / "state", self.arrays)
        done = manifest("diff", state, self.a)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        self.assertIn("only the topologies are compared", done.stderr)
        np.save(state / "ball" / "vel.npy", np.zeros(2))
        self.assertEqual(manifest("diff", state, self.a).returncode, 4)

    def test_a_manifest_and_a_state_have_nothing_in_common(self):
        state = madtest.make_state(self.tmp / "state", self.arrays)
        self.assert_refused(manifest("diff", f"{self.a}.manifest.json", state), 2, "one of each")

    def test_what_cannot_be_read_is_refused_on_either_side(self):
        bad = self.tmp / "bad.json"
        bad.write_text("{")
        self.assert_refused(manifest("diff", self.a, bad), 1, "bad.json")
        self.assert_refused(manifest("diff", bad, self.a), 1, "bad.json")
        self.assert_refused(manifest("diff", self.a, self.tmp / "none.npz"), 5, "none.npz")

    def test_names_from_outside_cannot_steer_a_terminal(self):
        b = self.other({"commit": "one", "\x1b[2J": "\x9b"})
        manifest_path = self.tmp / "b.npz.manifest.json"
        value = json.loads(manifest_path.read_text())
        manifest_path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        shown = manifest("diff", self.a, b).stdout.decode()
        self.assertIn(r"\x1b[2J", shown)
        self.assertNotIn("\x1b", shown)
        self.assertNotIn("\x9b", shown)


class Recover(madtest.Case):
    def setUp(self):
        super().setUp()
        self.npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        self.path = self.tmp / "sim.npz.manifest.json"
        self.next = self.tmp / "sim.npz.manifest.json.next"

    def recover(self):
        report = self.tmp / "report"
        done = manifest("recover", "--report", report, self.npz)
        said = json.loads(report.read_text())
        report.unlink()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, b"")
        return said["recovery"], done.stderr

    def test_a_pair_at_rest_is_left_alone(self):
        before = madtest.tree(self.tmp)
        recovery, said = self.recover()
        self.assertEqual(recovery, "nothing")
        self.assertIn("nothing to recover", said)
        self.assertEqual(madtest.tree(self.tmp), before)

    def test_an_npz_that_came_without_its_manifest_gets_it(self):
        good = self.path.read_bytes()
        self.next.write_bytes(good)
        self.path.write_bytes(good.replace(json.loads(good)["sha256"].encode(), b"0" * 64))
        recovery, said = self.recover()
        self.assertEqual(recovery, "completed")
        self.assertIn("completed", said)
        self.assertEqual(self.path.read_bytes(), good)
        self.assertFalse(self.next.exists())

    def test_a_manifest_whose_npz_never_came_is_removed(self):
        good = self.path.read_bytes()
        self.next.write_bytes(good.replace(json.loads(good)["sha256"].encode(), b"0" * 64))
        recovery, _ = self.recover()
        self.assertEqual(recovery, "discarded")
        self.assertEqual(self.path.read_bytes(), good)
        self.assertFalse(self.next.exists())

    def test_where_nothing_is_there_the_name_is_said_and_nothing_is_done(self):
        before = madtest.tree(self.tmp)
        for name in ("typo.npz", "none/sim.npz", "sim.npz/sim.npz"):
            with self.subTest(name=name):
                done = manifest("recover", name, cwd=self.tmp)
                self.assert_refused(done, 5, name + ": no such file")
                self.assertNotIn("mkdir", done.stderr)
        for name in (".", str(self.tmp)):
            with self.subTest(name=name):
                self.assert_refused(manifest("recover", name, cwd=self.tmp), 1, "a directory")
        self.assertEqual(madtest.tree(self.tmp), before)

    def test_what_is_left_of_a_snapshot_without_its_npz_is_recovered(self):
        self.npz.unlink()
        self.assertEqual(self.recover()[0], "nothing")
        self.path.rename(self.next)
        self.assertEqual(self.recover()[0], "discarded")
        self.assertEqual(madtest.tree(self.tmp), {})


if __name__ == "__main__":
    madtest.main()
