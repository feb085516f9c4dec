"""mad-snapshot of a running server: whatever that does, the old snapshot stays whole, the
simulation goes on, and nothing is left behind."""

import json
import os
import pathlib
import signal
import subprocess
import time

import numpy as np

import madtest
from maddening_server import MaddeningServer, after, answer, broken, cut, hang


def silence_pickle(data):
    """The bytes of an array of objects in place of what was saved."""
    del data
    place = pathlib.Path(madtest.tempfile.mkdtemp()) / "x.npz"
    np.savez(place, **{"a/b": np.array([{}], dtype=object)})
    saved = place.read_bytes()
    madtest.shutil.rmtree(place.parent)
    return saved


class ServerCase(madtest.Case):
    def setUp(self):
        super().setUp()
        self.arrays = madtest.small_arrays()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = self.place / "sim.npz"
        self.report_path = self.tmp / "report.json"

    def serve(self, **options):
        return self.enterContext(MaddeningServer(self.arrays, **options))

    def take(self, state, *options, env=None, out=None):
        done = madtest.run("mad-snapshot", "--report", self.report_path, "-o", out or self.npz,
                           *options, state, env=env)
        self.report = json.loads(self.report_path.read_text())
        return done

    def put_old(self):
        done = madtest.run("mad-snapshot", "-o", self.npz,
                           madtest.make_state(self.tmp / "old", {"n/x": np.zeros(3)}))
        self.assertEqual(done.returncode, 0, done.stderr)
        return madtest.tree(self.place)

    def assert_taken(self, done, step):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(self.place)), ["sim.npz", "sim.npz.manifest.json"])
        self.assertEqual(madtest.reference_verify(self.npz)["step"], step)
        with np.load(self.npz) as npz:
            self.assertEqual(sorted(npz.files), sorted(self.arrays))
            self.assertTrue(madtest.same_array(npz["heat/field"], self.arrays["heat/field"]))


class Taken(ServerCase):
    def test_the_state_is_saved_while_it_stands_still_and_goes_on_afterwards(self):
        with MaddeningServer(self.arrays) as server:
            self.assert_taken(self.take(server.url), 43)
            self.assertEqual(server.seen, ["POST /sim/pause", "POST /checkpoint/save",
                                           "POST /sim/resume"])
            self.assertEqual((server.paused, self.report["runner"]), (False, "resumed"))
            # Through a prefix, by name, with a proxy in the environment that nobody asks.
            for url in (f"http://localhost:{server.port}/", server.url + "/"):
                done = self.take(url, "--durability", "none",
                                 env={"http_proxy": "http://127.0.0.1:9"})
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_it_can_be_left_paused(self):
        server = self.serve()
        self.assert_taken(self.take(server.url, "--leave-paused"), 43)
        self.assertEqual((server.paused, self.report["runner"]), (True, "paused"))

    def test_a_runner_that_was_never_started_is_saved_as_it_is(self):
        server = self.serve(started=False)
        self.assert_taken(self.take(server.url), 42)
        self.assertEqual(server.seen, ["POST /sim/pause", "POST /checkpoint/save"])
        self.assertEqual(self.report["runner"], "not-started")

    def test_run_preemptible_asks_it_and_holds_nothing_still(self):
        server = self.serve()
        ready = self.tmp / "ready"
        run = subprocess.Popen(
            ["dash", madtest.SOURCE / "scripts/run-preemptible", "-q", "--state", server.url,
             "--snapshot", self.npz, "--exit-code", "0", "--", "sh", "-c",
             f"echo >{ready}; exec sleep 60"], env=madtest.clean_environment(),
            stderr=subprocess.PIPE)
        while not ready.exists():
            self.assertIsNone(run.poll())
            time.sleep(0.005)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=60)
        self.assertEqual((run.returncode, said), (0, b""))
        self.assertEqual(madtest.reference_verify(self.npz)["step"], 43)
        self.assertEqual(server.pauses, 1)

    def test_one_that_saves_no_array_replaces_no_snapshot(self):
        before = self.put_old()
        server = self.serve()
        server.fault("/checkpoint/save", broken(lambda data: b"PK\5\6" + bytes(18)))
        self.assert_refused(self.take(server.url), 1, f"{server.url}: ", "found none",
                            f"{self.npz} is not replaced by nothing")
        self.assertEqual(self.report["reason"], "state-invalid")
        self.assertEqual(madtest.tree(self.place), before)
        self.assertFalse(server.paused)

    def test_a_bundle_of_it_passes_the_boot_line(self):
        server = self.serve()
        out = self.tmp / "in.npz"
        done = madtest.dash('mad-snapshot -o - "$1" | mad-verify | mad-resume --snapshot "$2"',
                            server.url, out, env={"TMPDIR": self.place})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.reference_verify(out)["step"], 43)
        self.assertFalse(server.paused)
        self.assertEqual(os.listdir(self.place), [])

    def test_a_new_name_each_time_and_a_place_of_its_own_to_save(self):
        server = self.serve()
        elsewhere = self.tmp / "else where%"
        elsewhere.mkdir()
        for _ in range(2):
            done = self.take(server.url, "--save-dir", elsewhere, out=f"{self.place}/")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list(self.place.glob("snapshot-*.npz"))), 2)
        self.assertEqual(os.listdir(elsewhere), [])

    def test_the_token_of_the_server_is_given_and_never_said(self):
        server = self.serve(token="s3cret")
        done = self.take(server.url, "-v", env={"MADDENING_API_TOKEN": "s3cret"})
        self.assert_taken(done, 43)
        self.assertNotIn("s3cret", done.stderr + self.report_path.read_text())
        done = self.take(server.url, env={"MADDENING_API_TOKEN": "wr0ng"})
        self.assert_refused(done, 8, "answers 401 to /sim/pause", "MADDENING_API_TOKEN")
        self.assertNotIn("wr0ng", done.stderr)
        done = self.take(server.url, env={"MADDENING_API_TOKEN": "a\nX-Evil: b"})
        self.assert_refused(done, 2, "MADDENING_API_TOKEN")

    def test_what_a_dead_run_left_is_removed(self):
        dead = self.place / ".server-state.mad-aaaaaaaa"
        dead.mkdir(mode=0o700)
        (dead / "state.npz").write_bytes(b"half")
        self.assert_taken(self.take(self.serve().url), 43)


class Refused(ServerCase):
    def assert_kept(self, server, old, *seen):
        self.assertEqual(madtest.tree(self.place), old)
        self.assertEqual(sorted(os.listdir(self.place)), sorted(old))
        self.assertFalse(server.paused)
        if seen:
            self.assertEqual(server.seen, [f"POST {path}" for path in seen])

    def test_what_is_no_server_on_this_machine_is_a_usage_error(self):
        for url in ("http://example.com:8000", "https://127.0.0.1:8000", "s3://bucket/x",
                    "http://user:pw@127.0.0.1:8000", "http://127.0.0.1:8000?x=1",
                    "http://128.0.0.1:8000", "http://[::2]:8000", "http://127.0.0.1.example.com"):
            done = self.take(url)
            self.assertEqual(done.returncode, 2, f"{url}: {done.stderr}")
            self.assertNotIn("pw@", done.stderr)
        done = self.take("http://127.0.0.1:8000", "--pause", str(os.getpid()))
        self.assert_refused(done, 2, "--pause")
        self.assertEqual(os.listdir(self.place), [])

    def test_a_server_that_is_not_there_is_code_7(self):
        old = self.put_old()
        done = self.take("http://127.0.0.1:9")
        self.assert_refused(done, 7, "http://127.0.0.1:9", "has to be running")
        self.assertEqual(self.report["reason"], "connect")
        self.assertEqual(madtest.tree(self.place), old)

    def test_what_it_answers_instead_is_told_and_undone(self):
        old = self.put_old()
        no_room = answer(400, b'{"detail": "No space left on device"}')
        for path, fault, code, needles, resumes in (
                ("/sim/pause", answer(404), 7, ["answers 404 to /sim/pause"], 0),
                ("/sim/pause", answer(500, b"\x1b[2Jboom"), 7, ["answers 500", "boom"], 0),
                ("/sim/pause", answer(403), 8, ["answers 403"], 0),
                ("/sim/pause", cut, 7, ["cut"], 1),
                ("/sim/pause", answer(200, b"x" * (2 << 20)), 7, ["longer than 1 MiB"], 1),
                ("/checkpoint/save", no_room, 7, ["No space left", "--save-dir"], 1),
                ("/checkpoint/save", answer(307), 7, ["answers 307"], 1),
                ("/checkpoint/save", cut, 7, ["cut"], 1),
                ("/checkpoint/save", after(cut), 7, ["cut"], 1),
                ("/checkpoint/save", answer(200, b'{"path": "/elsewhere/state.npz"}'), 5,
                 ["there is no such file", "--save-dir"], 1)):
            with self.subTest(path=path, needles=needles):
                with MaddeningServer(self.arrays) as server:
                    server.fault(path, fault)
                    done = self.take(server.url)
                    self.assert_refused(done, code, *needles)
                    self.assertNotIn("\x1b", done.stderr)
                    self.assertEqual(server.seen.count("POST /sim/resume"), resumes)
                    self.assert_kept(server, old)

    def test_a_broken_file_is_refused_like_any_other(self):
        old = self.put_old()
        outside = self.tmp / "outside.npz"
        np.savez(outside, **self.arrays)

        def link(server, path):
            pathlib.Path(path).symlink_to(outside)
            return 200, b"{}"

        def directory(server, path):
            os.mkdir(path)
            return 200, b"{}"

        def flip(data):
            at = data.index(b"NUMPY") + 200
            return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

        for fault, needle in ((broken(lambda data: data[:-30]), "state"),
                              (broken(lambda data: b""), "state"), (broken(flip), "CRC"),
                              (broken(silence_pickle), "object"),
                              (link, "regular file"), (directory, "regular file")):
            with self.subTest(needle=needle), MaddeningServer(self.arrays) as server:
                server.fault("/checkpoint/save", fault)
                done = self.take(server.url, "--leave-paused")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(done.stderr.count(": error: "), 1, done.stderr)
                self.assertIn(server.url, done.stderr)
                self.assert_kept(server, old, "/sim/pause", "/checkpoint/save", "/sim/resume")

    def test_a_server_that_may_not_write_there_says_so(self):
        old = self.put_old()
        server = self.serve()

        def denied(server, path):
            return server.save("/proc/no/such/state.npz")

        server.fault("/checkpoint/save", denied)
        done = self.take(server.url)
        self.assert_refused(done, 7, "answers 400 to /checkpoint/save", "able to write below")
        self.assert_kept(server, old)


class Late(ServerCase):
    def test_a_server_that_hangs_is_waited_for_until_the_timeout_or_the_deadline(self):
        old = self.put_old()
        for path in ("/sim/pause", "/checkpoint/save"):
            for option, code, reason in (("--server-timeout", 7, "timeout"),
                                         ("--deadline", 10, "deadline-passed")):
                with self.subTest(path=path, option=option):
                    with MaddeningServer(self.arrays) as server:
                        server.fault(path, hang)
                        seconds = "2" if option == "--server-timeout" else "4"
                        done = self.take(server.url, option, seconds)
                        self.assertEqual(done.returncode, code, done.stderr)
                        self.assertEqual(self.report["reason"], reason)
                        self.assertEqual(server.seen[-1], "POST /sim/resume")
                        self.assertFalse(server.paused)
                        self.assertEqual(madtest.tree(self.place), old)
                        self.assertEqual(sorted(os.listdir(self.place)), sorted(old))

    def test_one_that_hangs_when_it_is_let_go_costs_no_snapshot(self):
        for fault, option in ((hang, "2"), (cut, "5"), (answer(500), "5")):
            with MaddeningServer(self.arrays) as server:
                server.fault("/sim/resume", fault)
                done = self.take(server.url, "--server-timeout", option)
                self.assert_taken(done, 43)
                self.assertIn("warning: " + server.url + ": the simulation may still be paused",
                              done.stderr)
                self.assertEqual(self.report["runner"], "unknown")

    def test_one_that_dies_after_it_saved_costs_no_snapshot(self):
        server = self.serve()

        def dies(server, path):
            server.save(path)
            server.stop_listening()
            return 200, b"{}"

        server.fault("/checkpoint/save", dies)
        server.fault("/sim/resume", cut)
        done = self.take(server.url)
        self.assert_taken(done, 43)
        self.assertIn("may still be paused", done.stderr)

    def test_a_signal_lets_the_simulation_go(self):
        old = self.put_old()
        server = self.serve()
        server.fault("/checkpoint/save", hang)
        run = subprocess.Popen([madtest.tool("mad-snapshot"), "-o", self.npz, server.url],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=madtest.clean_environment())
        while len(server.seen) < 2:
            self.assertIsNone(run.poll())
            time.sleep(0.005)
        self.assertTrue(server.paused)
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, -signal.SIGTERM)
        self.assertFalse(server.paused)
        self.assertEqual(madtest.tree(self.place), old)
        self.assertEqual(sorted(os.listdir(self.place)), sorted(old))

    def test_a_place_that_is_not_there_is_found_before_anything_is_paused(self):
        server = self.serve()
        for out, options in ((self.tmp / "no/such/sim.npz", ()),
                             (self.npz, ("--save-dir", self.tmp / "no"))):
            done = self.take(server.url, *options, out=out)
            self.assert_refused(done, 9, "open the directory")
            self.assertEqual(server.seen, [])  # nobody stopped it for that
        self.assertEqual(madtest.tree(self.place), {})


if __name__ == "__main__":
    madtest.main()
