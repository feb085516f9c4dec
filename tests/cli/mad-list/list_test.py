"""mad-list: what it says of each thing that a directory may hold, and its exit codes."""

import json
import os

import madtest
from placing import PlaceCase, name_of


class List(PlaceCase):
    def test_the_table_has_the_newest_first_and_every_column(self):
        for number in (1, 2, 10):
            self.make(number, stage_at_snapshot="periodic" if number < 10 else "preempted")
        lines = self.run_tool("mad-list", self.place).decode().splitlines()
        rows = [line.split() for line in lines]
        self.assertEqual(rows[0], ["NAME", "TIME", "STEP", "SIZE", "STAGE", "SESSION", "STATUS"])
        self.assertEqual([row[0] for row in rows[1:]], [name_of(n) for n in (10, 2, 1)])
        self.assertEqual([*rows[1][1:3], *rows[1][5:]],
                         ["2026-02-10T00:00:00Z", "10", "preempted", "run", "complete"])
        self.assertEqual(len({line.index(word) for line, word in
                              zip(lines, ["STATUS", *["complete"] * 3])}), 1)
        self.assertEqual((self.report["entries"], self.report["complete"]), (3, 3))

    def test_an_empty_place_is_an_empty_list(self):
        self.assertEqual(self.run_tool("mad-list", self.place), b"")

    def test_json_has_all_that_the_page_promises(self):
        npz = self.make(7, age=100)
        entry = self.listed()[npz.name]
        manifest = json.loads((self.place / (npz.name + ".manifest.json")).read_text())
        self.assertRegex(entry.pop("modified_at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(entry, {
            "name": npz.name, "path": str(npz), "status": "complete",
            "created_at": "2026-02-07T00:00:00Z", "step": 7, "size_bytes": npz.stat().st_size,
            "stage": "preempted", "session_id": "run", "sha256": manifest["sha256"],
            "interrupted": False, "reason": None, "message": None})

    def test_json_has_names_as_they_are_and_the_table_shows_what_could_steer_a_terminal(self):
        self.place = self.tmp / "a b" / ("deep" * 60) / ("deeper" * 40)
        self.place.mkdir(parents=True)
        npz = self.make(1, name="new\nline\x1b[31m.npz")
        entry = self.listed()[npz.name]
        self.assertEqual((entry["path"], self.report["place"]), (str(npz), f"{self.place}/"))
        table = self.run_tool("mad-list", self.place).decode()
        self.assertIn(r"new\x0aline\x1b[31m.npz", table)
        self.assertEqual(len(table.splitlines()), 2)

    def test_what_is_no_whole_snapshot_is_listed_as_what_it_is(self):
        self.make(9)
        (self.place / "bare.npz").write_bytes(b"x")
        (self.place / "lone.npz.manifest.json").write_text("{}")
        short = self.make(3)
        os.truncate(short, 100)
        torn = self.make(4)
        (self.place / (torn.name + ".manifest.json")).write_text("{")
        new = self.make(5)
        manifest = self.place / (new.name + ".manifest.json")
        manifest.rename(str(manifest) + ".next")
        old = self.make(6)
        text = (self.place / (old.name + ".manifest.json")).read_text()
        (self.place / (old.name + ".manifest.json")).write_text(
            text.replace('"schema_version": 1', '"schema_version": 9'))
        evil = "a\x1b[2J\n.npz"
        self.make(8, name=evil)
        link = self.place / "link.npz"
        link.symlink_to(self.place / name_of(9))
        found = self.listed()
        self.assertEqual(
            {name: (entry["status"], entry["reason"]) for name, entry in found.items()},
            {name_of(9): ("complete", None), "bare.npz": ("no-manifest", None),
             "lone.npz": ("no-npz", None), short.name: ("refused", "size-mismatch"),
             torn.name: ("refused", "manifest-invalid"), new.name: ("complete", None),
             old.name: ("refused", "schema-too-new"), evil: ("complete", None),
             "link.npz": ("refused", "not-regular")})
        self.assertEqual([name for name, entry in found.items() if entry["interrupted"]],
                         [new.name])
        self.assertEqual(found[new.name]["step"], 5)
        text = self.run_tool("mad-list", self.place)
        self.assertNotIn(b"\x1b", text)
        self.assertEqual(len(text.splitlines()), 10)

    def test_check_reads_each_and_the_lowest_code_counts(self):
        for number in (1, 2, 3):
            npz = self.make(number)
        (self.place / "bare.npz").write_bytes(b"x")
        found = self.listed(None, "--check")
        self.assertEqual([entry["status"] for entry in found.values()],
                         ["no-manifest", "verified", "verified", "verified"])
        self.damage(npz)
        self.assertEqual(self.listed()[npz.name]["status"], "complete")
        found = self.listed(None, "--check", code=1)
        self.assertEqual(found[npz.name]["status"], "refused")
        self.assertEqual(found[npz.name]["reason"], "sha256-mismatch")
        self.assertEqual(found[name_of(2)]["status"], "verified")
        self.assertEqual(self.report["complete"], 2)

    def test_what_cannot_be_read_does_not_end_the_list(self):
        self.make(1)
        secret = self.place / (self.make(2).name + ".manifest.json")
        secret.chmod(0)
        argv = [madtest.tool("mad-list"), "--json", self.place]
        if os.geteuid() == 0:
            argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *argv]
        done = madtest.run(*argv)
        self.assertEqual(done.returncode, 0, done.stderr)
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(entry["status"], entry["reason"]) for entry in entries],
                         [("unreadable", "permission"), ("complete", None)])
        self.assertEqual(madtest.run(*argv, "--check").returncode, 9)

    def test_a_copier_that_holds_the_lock_does_not_hold_up_the_list(self):
        for number in range(1, 25):
            self.make(number)
        done = madtest.run("flock", self.place, madtest.tool("mad-list"), self.place, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 25)

    def test_thousands_take_little_memory(self):
        npz = self.make(1)
        manifest = self.place / (npz.name + ".manifest.json")
        for number in range(2, 2001):
            os.link(npz, self.place / name_of(number))
            os.link(manifest, self.place / (name_of(number) + ".manifest.json"))
        argv = ["dash", "-c", 'ulimit -v "$1"; exec "$2" --json "$3"', "dash", 300_000,
                madtest.tool("mad-list"), self.place]
        if madtest.SANITIZED:  # its shadow memory takes terabytes
            argv = ["mad-list", "--json", self.place]
        done = madtest.run(*argv)
        self.assertEqual(done.returncode, 0, done.stderr)
        names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
        self.assertEqual(names, [name_of(number) for number in range(2000, 0, -1)])

    def test_what_is_no_place_is_refused(self):
        self.assert_refused(madtest.run("mad-list", self.tmp / "none"), 5, "no such directory")
        self.assert_refused(madtest.run("mad-list", "http://127.0.0.1:1/runs/"), 2, "web server")
        self.assert_refused(madtest.run("mad-list", ""), 2, "expected a directory or a URL")
        self.assert_refused(madtest.run("mad-list"), 2, "PLACE")
        self.assert_refused(madtest.run("mad-list", self.make(1)), 5, "Not a directory")

    def test_a_file_url_is_a_directory(self):
        self.make(1)
        self.assertEqual(list(self.listed(f"file://{self.place}")), [name_of(1)])


if __name__ == "__main__":
    madtest.main()
