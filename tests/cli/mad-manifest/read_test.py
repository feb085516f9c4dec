"""mad-manifest show, get and topology: what is there, for people and for scripts."""

import json
import os
import pty
import subprocess

import madtest
import numpy as np


def manifest(*args, **kwargs):
    return madtest.run("mad-manifest", *args, **kwargs)


class Snapshot(madtest.Case):
    """A snapshot by the reference, its extra full of what only Python writes."""

    extra = {"commit": "abc123", "nan": float("nan"), "inf": [float("inf"), -float("inf")],
             "half": "\ud800", "huge": 10**40, "a.b": {"c": [1, {"d": None}]}, "t": True,
             "text": "two\nlines 'quoted' $(rm -rf)"}

    def setUp(self):
        super().setUp()
        self.npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays(),
                                              self.extra)
        self.path = self.tmp / "sim.npz.manifest.json"


class Show(Snapshot):
    def test_a_table_for_people(self):
        for operand in (self.npz, self.path):
            done = manifest("show", operand)
            self.assertEqual(done.returncode, 0, done.stderr)
            text = done.stdout.decode()
            self.assertIn(f"{self.path}\n", text)
            for needle in ("schema version  1", madtest.reference_verify(self.npz)["sha256"],
                           f"{self.npz.stat().st_size} bytes", '"nan": NaN', r'"half": "\ud800"',
                           str(10**40)):
                self.assertIn(needle, text)

    def test_json_is_the_manifest_as_it_stands_there(self):
        done = manifest("show", "--json", self.npz)
        self.assertEqual(done.stdout, self.path.read_bytes() + b"\n")

    def test_the_report_has_the_path_as_it_is(self):
        named = self.tmp / "new\nline.manifest.json"
        self.path.rename(named)
        for words in (("show", named), ("get", named, "sha256")):
            done = manifest(*words, "--report", self.tmp / "r")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads((self.tmp / "r").read_text())["path"], str(named))
        self.assertIn(rb"new\x0aline", manifest("show", named).stdout)

    def test_our_own_manifest_shows_its_step_and_chunks(self):
        manifest("write", "--force", self.npz)
        text = manifest("show", self.npz).stdout.decode()
        for needle in ("created at", "step            42", "1 digest of 4.00 MiB each"):
            self.assertIn(needle, text)

    def test_a_terminal_is_not_steered_by_a_manifest(self):
        evil = "\x1b]0;x\x07 \x7f \x9b2J \u202e"
        self.path.write_text(json.dumps({
            "schema_version": 1, "sha256": "0" * 64, "created_at": evil, evil: 1,
            "extra": {"evil": evil}}, ensure_ascii=False), encoding="utf-8")
        for args in (("show", self.path), ("show", "--json", self.path),
                     ("get", self.path, "extra.evil")):
            with self.subTest(args=args):
                shown = self.on_a_terminal("mad-manifest", *args)
                for steering in ("\x1b", "\x07", "\x7f", "\x9b", "\u202e"):
                    self.assertNotIn(steering, shown)

    def on_a_terminal(self, name, *args):
        controller, terminal = pty.openpty()
        process = subprocess.Popen(
            [madtest.tool(name), *map(str, args)], stdout=terminal,
            env=madtest.clean_environment())
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(controller, 4096)
            except OSError:  # EIO: the last writer is gone
                piece = b""
            if not piece:
                break
            shown += piece
        os.close(controller)
        self.assertEqual(process.wait(), 0)
        return shown.decode("utf-8")

    def test_what_is_missing_is_not_found(self):
        self.assert_refused(manifest("show", self.tmp / "none.json"), 5, "none.json")
        self.assert_refused(manifest("show", self.tmp / "none.npz"), 5, "none.npz")
        self.path.unlink()
        self.assert_refused(manifest("show", self.npz), 5, "sim.npz.manifest.json")

    def test_a_malformed_manifest_is_refused_with_its_place(self):
        self.path.write_text('{\n  "schema_version": 1,\n  "sha256": NaN\n}')
        self.assert_refused(manifest("show", self.npz), 1, "sim.npz.manifest.json: line 3, column 13")
        self.path.write_text('{"schema_version": 2}')
        self.assert_refused(manifest("show", self.npz), 3, "expected 1, found 2", "upgrade")

    def test_links_and_fifos_are_refused_and_not_waited_for(self):
        link = self.tmp / "link.json"
        link.symlink_to(self.path)
        self.assert_refused(manifest("show", link), 1, "a symbolic link")
        fifo = self.tmp / "fifo"
        os.mkfifo(fifo)
        self.assert_refused(manifest("show", fifo), 1, "a FIFO")

    def test_the_next_manifest_of_an_interrupted_writer_is_the_one_shown(self):
        next_path = self.tmp / "sim.npz.manifest.json.next"
        self.path.rename(next_path)
        madtest.reference_snapshot(self.tmp / "old.npz", {"a/b": np.zeros(3)})
        (self.tmp / "old.npz.manifest.json").rename(self.path)
        before = madtest.tree(self.tmp)
        done = manifest("get", self.npz, "extra.commit")
        self.assertEqual((done.returncode, done.stdout), (0, b"abc123\n"), done.stderr)
        self.assertEqual(madtest.tree(self.tmp), before)


class Get(Snapshot):
    def get(self, key, operand=None):
        done = manifest("get", operand or self.npz, key)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout[-1:], b"\n")
        return done.stdout[:-1].decode()

    def test_strings_come_bare_and_all_else_as_json(self):
        sound = madtest.reference_verify(self.npz)
        for key, value in (
                ("sha256", sound["sha256"]), ("schema_version", "1"),
                ("size_bytes", str(self.npz.stat().st_size)), ("extra.commit", "abc123"),
                ("extra.session_id", "null"), ("extra.t", "true"), ("extra.nan", "NaN"),
                ("extra.inf.1", "-Infinity"), ("extra.huge", str(10**40)),
                (r"extra.a\.b.c.0", "1"), (r"extra.a\.b.c.1.d", "null"),
                ("extra.text", self.extra["text"]), ("extra.half", "\ufffd")):
            with self.subTest(key=key):
                self.assertEqual(self.get(key), value)
                self.assertEqual(self.get(key, self.path), value)

    def test_objects_come_as_json_dumps_would_write_them(self):
        self.assertEqual(self.get(r"extra.a\.b"), json.dumps(self.extra["a.b"], indent=2))

    def test_the_digests_of_our_own_manifest_are_reached(self):
        manifest("write", "--force", self.npz)
        self.assertEqual(self.get("chunks.digests.0"), self.get("sha256"))
        self.assertEqual(self.get("step"), "42")

    def test_an_absent_key_is_not_found_and_nothing_is_printed(self):
        for key in ("nope", "extra.nope", "extra.inf.2", "extra.inf.x", "extra.commit.x", "extra.",
                    "", "extra.a.b"):
            with self.subTest(key=key):
                done = manifest("get", self.npz, key)
                self.assert_refused(done, 5, "no key")
                self.assertEqual(done.stdout, b"")

    def test_the_last_of_two_keys_counts_as_in_python(self):
        text = self.path.read_text().replace('"commit": "abc123"', '"commit": "x", "commit": "y"')
        self.path.write_text(text)
        self.assertEqual(self.get("extra.commit"), json.loads(text)["extra"]["commit"])

    def test_a_shell_gets_the_bytes_that_python_put_in(self):
        done = madtest.dash('value=$(mad-manifest get "$1" extra.text); printf %s "$value"',
                            self.npz)
        self.assertEqual(done.stdout.decode(), self.extra["text"])


class Topology(Snapshot):
    def test_columns_for_people(self):
        done = manifest("topology", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split(None, 2) for line in done.stdout.decode().splitlines()], [
            ["_meta/step_count", "<i8", "()"], ["ball/pos", "<f8", "(2,)"],
            ["ball/vel", "<f4", "(2,)"], ["heat/field", "<f8", "(6, 10)"]])

    def test_json_says_what_numpy_says_of_npz_state_and_topology_alike(self):
        arrays = {**madtest.small_arrays(), "s/t": np.zeros(3, dtype=[("x", "<f4"), ("y", "<i2", 3)])}
        np.savez(self.npz, **arrays)
        state = madtest.make_state(self.tmp / "state", arrays)
        of_npz = manifest("topology", "--json", self.npz)
        said = json.loads(of_npz.stdout)
        self.assertEqual(set(said), set(arrays))
        for key, array in arrays.items():
            self.assertEqual(said[key]["shape"], list(array.shape))
        self.assertEqual(said["ball/vel"]["dtype"], "<f4")
        self.assertEqual(said["s/t"]["dtype"], str(arrays["s/t"].dtype.descr))
        of_state = manifest("topology", state, "--json")
        self.assertEqual(of_state.stdout, of_npz.stdout)
        saved = self.tmp / "topology.json"
        saved.write_bytes(of_npz.stdout)
        self.assertEqual(manifest("topology", "--json", saved).stdout, of_npz.stdout)

    def test_a_broken_archive_and_a_broken_topology_are_refused(self):
        self.npz.write_bytes(self.npz.read_bytes()[:-1])
        self.assert_refused(manifest("topology", self.npz), 1, "sim.npz")
        bad = self.tmp / "bad.json"
        bad.write_text('{"a/b": {"dtype": "<f8", "shape": [-1]}}')
        self.assert_refused(manifest("topology", bad), 1, "bad.json", "shape", "-1")

    def test_a_manifest_is_no_topology_and_the_hint_says_what_to_name(self):
        self.assert_refused(manifest("topology", self.path), 1, "hint: name the npz")

    def test_what_is_missing_is_not_found(self):
        self.assert_refused(manifest("topology", self.tmp / "none"), 5, "none")


class Usage(madtest.Case):
    def test_a_missing_or_unknown_subcommand_or_operand_is_a_usage_error(self):
        for args in ((), ("nosuch",), ("show",), ("get", "x"), ("diff", "a"), ("show", "a", "b"),
                     ("show", "--force", "a"), ("show", "a", "--", "b")):
            with self.subTest(args=args):
                self.assert_refused(manifest(*args), 2)

    def test_common_options_stand_before_and_behind_the_subcommand(self):
        npz = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        for args in (("--report", self.tmp / "r", "-q", "show", npz),
                     ("show", "--report", self.tmp / "r", "-q", npz)):
            done = manifest(*args)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(json.loads((self.tmp / "r").read_text())["status"], "ok")
            (self.tmp / "r").unlink()

    def test_help_and_version_stand_behind_a_subcommand_too(self):
        self.assertIn(b"--skip-structure-check", manifest("write", "--help").stdout)
        self.assertIn(b"Subcommands", manifest("--help").stdout)
        self.assertEqual(manifest("write", "--version").stdout, manifest("--version").stdout)


if __name__ == "__main__":
    madtest.main()
