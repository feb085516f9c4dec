"""The line at boot, in both forms, in plain dash: whatever went wrong before it, the
command starts, knows what happened, and finds either the whole state or its own."""

import concurrent.futures
import http.server
import json
import shutil
import signal
import subprocess
import threading

import numpy as np

import madtest
from pipeline import DASH, SIM, Child, environment, leftovers, os, pathlib, sim, step_of, wait_until

SHORT = '{fetch}| {verify}| mad-resume --snapshot in.npz --state-dir state -- ./server'
LONG = (
    'env=resume.env; rm -f "$env"; {fetch}| {verify}| {resume}--snapshot in.npz --state-dir state '
    '--env-file "$env"\n'
    '[ -r "$env" ] && . "./$env"; export MAD_RESUME_STATUS="${{MAD_RESUME_STATUS:-failed}}"; '
    'exec ./server'
)
SERVER = """#!/bin/sh
{ echo "$MAD_RESUME_STATUS"; echo "${MAD_RESUME_REASON-unset}"; echo "${RESUME_FROM_URL-unset}"
} >started.new
mv started.new started
"""


def form(line, fetch="mad-fetch", verify="mad-verify", resume="mad-resume"):
    return line.format(fetch=fetch + " ", verify=verify + " ", resume=resume + " ")


class HalfServer(http.server.ThreadingHTTPServer):
    """Serves files; of an npz only half, then cuts the connection or waits for `go`."""

    daemon_threads = True

    def __init__(self, directory, then):
        self.directory, self.then = directory, then
        self.half_sent, self.go = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), HalfHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class HalfHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        path = self.server.directory / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if path.suffix == ".json":
            self.wfile.write(body)
            return
        try:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.half_sent.set()
            if self.server.then == "wait":
                self.server.go.wait(300)
                self.wfile.write(body[len(body) // 2 :])
        except OSError:
            pass
        self.close_connection = True


class BootLine(madtest.Case):
    def setUp(self):
        super().setUp()
        self.good = {**madtest.small_arrays(), "big/one": np.arange(1 << 20, dtype="<f8")}
        fresh = {key: np.zeros_like(array) for key, array in self.good.items()}
        # One fresh state for all cases; each boots in a directory of its own.
        self.template = self.tmp / "template"
        madtest.make_state(self.template / "state", fresh)
        (self.template / "server").write_text(SERVER)
        (self.template / "server").chmod(0o755)
        self.fresh = madtest.tree(self.template / "state")
        self.store = self.tmp / "store"
        self.store.mkdir()
        madtest.make_state(self.tmp / "good", self.good)
        self.take("sim.npz", self.tmp / "good")
        self.resumed = madtest.tree(self.tmp / "good")

    def take(self, name, state):
        done = madtest.run("mad-snapshot", "-o", self.store / name, "--durability", "none", state)
        self.assertEqual(done.returncode, 0, done.stderr)

    def machine(self, name):
        directory = self.tmp / f"machine-{name}"
        shutil.copytree(self.template, directory)
        return directory

    def boot(self, directory, line, url, **env):
        (directory / "started").unlink(missing_ok=True)
        return subprocess.run(
            [DASH, "-c", line], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=300, check=False,
            env=environment(
                RESUME_FROM_URL=url, MAD_RESUME_DURABILITY="none", MAD_FETCH_RETRIES="0", **env
            ),
        )

    def check_start(self, directory, status, reason, said, resumer=True):
        """The command has started with that status and reason, and the right state."""
        self.assertTrue((directory / "started").exists(), said)
        got = (directory / "started").read_text().split("\n")
        self.assertEqual(got[0], status, said)
        self.assertRegex(got[1], reason, said)
        if status == "resumed":
            self.assertEqual(got[2], str(directory.resolve() / "in.npz"))
            self.assertEqual(madtest.tree(directory / "state"), self.resumed)
        else:
            if resumer:
                self.assertEqual(got[2], "unset")
            self.assertEqual(madtest.tree(directory / "state"), self.fresh)
            self.assertFalse((directory / "in.npz").exists())

    def check_next(self, directory, line):
        """The next boot finds nothing in its way, and leaves nothing temporary."""
        done = self.boot(directory, line, self.store / "sim.npz")
        self.check_start(directory, "resumed", "^", done.stderr)
        self.assertEqual(leftovers(directory), [])

    def snapshots(self):
        """name -> (url, status, reason, environment): what may wait at the other end."""
        store = self.store

        def spoilt(name, spoil):
            for suffix in (".npz", ".npz.manifest.json"):
                shutil.copy(store / f"sim{suffix}", store / f"{name}{suffix}")
            spoil(store / f"{name}.npz", store / f"{name}.npz.manifest.json")
            return store / f"{name}.npz"

        def flip(npz, _):
            data = bytearray(npz.read_bytes())
            data[len(data) // 2] ^= 1
            npz.write_bytes(data)

        def newer(_, manifest):
            value = json.loads(manifest.read_text())
            value["schema_version"] = 2
            manifest.write_text(json.dumps(value))

        other = {**self.good, "ball/pos": np.zeros(3)}
        del other["big/one"]
        self.take("other.npz", madtest.make_state(self.tmp / "other", other))
        self.cutting = HalfServer(store, "cut")
        self.addCleanup(self.cutting.server_close)
        self.addCleanup(self.cutting.shutdown)
        maybe = {"MAD_FETCH_IF_EXISTS": "1"}
        return {
            "url-empty": ("", "fresh", "^mad-fetch: no-url", {}),
            "nothing-there-yet": (store / "later.npz", "fresh", "^mad-fetch: not-there-yet", maybe),
            "nothing-there-yet-http": (
                self.cutting.url("later.npz"), "fresh", "^mad-fetch: not-there-yet", maybe,
            ),
            "good": (store / "sim.npz", "resumed", "^", {}),
            "good-maybe": (f"file://{store}/sim.npz", "resumed", "^", maybe),
            "snapshot-missing": (store / "none.npz", "failed", "^mad-fetch: snapshot-missing: ", {}),
            "manifest-missing": (
                spoilt("bare", lambda npz, manifest: manifest.unlink()),
                "failed", "^mad-fetch: manifest-missing: ", {},
            ),
            "corrupted": (
                spoilt("flipped", flip), "failed", "^mad-verify: (chunk|sha256)-mismatch: ", {},
            ),
            "schema": (spoilt("newer", newer), "failed", "^mad-verify: schema-too-new: ", {}),
            "topology": (
                store / "other.npz", "failed", "^mad-resume: topology-mismatch: .*ball/pos", {},
            ),
            "cut": (self.cutting.url("sim.npz"), "failed", "^mad-fetch: transfer-cut: ", {}),
        }

    def test_each_snapshot_in_both_forms(self):
        for case, (url, status, reason, env) in self.snapshots().items():
            for name, line in (("short", form(SHORT)), ("long", form(LONG))):
                with self.subTest(case=case, form=name):
                    directory = self.machine(f"{case}-{name}")
                    done = self.boot(directory, line, url, **env)
                    self.check_start(directory, status, reason, done.stderr)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(leftovers(directory), [])
                    shutil.rmtree(directory)

    def test_with_require_only_a_resumed_command_starts(self):
        for case, (url, status, _, env) in self.snapshots().items():
            with self.subTest(case=case):
                directory = self.machine(case)
                done = self.boot(directory, form(SHORT), url, MAD_RESUME_REQUIRE="1", **env)
                self.assertEqual(done.returncode, 0 if status == "resumed" else 125, done.stderr)
                self.assertEqual((directory / "started").exists(), status == "resumed")
                if status != "resumed":
                    self.assertEqual(madtest.tree(directory / "state"), self.fresh)
                self.assertEqual(leftovers(directory), [])

    def test_a_stage_missing_from_the_line_is_named(self):
        lines = {
            "no mad-fetch": (dict(fetch="no-such-fetch"), "mad-fetch"),
            "no mad-verify": (dict(verify="no-such-verify"), "mad-verify"),
            "cat for mad-verify": (dict(verify="cat"), "^mad-.*: stage-missing: .*mad-verify"),
            "true for mad-fetch": (dict(fetch="true"), "mad-fetch"),
        }
        for case, (words, reason) in lines.items():
            for name, line in (("short", SHORT), ("long", LONG)):
                with self.subTest(case=case, form=name):
                    directory = self.machine(f"{case}-{name}".replace(" ", "-"))
                    done = self.boot(directory, form(line, **words), self.store / "sim.npz")
                    self.check_start(directory, "failed", reason, done.stderr)
                    self.check_next(directory, form(line))

    def test_without_mad_resume_the_second_form_starts_the_command_as_failed(self):
        directory = self.machine("no-resume")
        line = form(LONG, resume="no-such-resume")
        done = self.boot(directory, line, self.store / "sim.npz")
        self.check_start(directory, "failed", "^unset$", done.stderr, resumer=False)
        self.check_next(directory, form(LONG))

    def test_a_stage_killed_in_the_middle_is_named_and_nothing_is_touched(self):
        for name, line in (("short", SHORT), ("long", LONG)):
            for stage in ("mad-fetch", "mad-verify") + (("mad-resume",) if name == "long" else ()):
                with self.subTest(stage=stage, form=name):
                    directory = self.machine(f"{stage}-{name}")
                    server = HalfServer(self.store, "wait")
                    self.addCleanup(server.server_close)
                    self.addCleanup(server.shutdown)
                    child = Child(
                        self, DASH, "-c", form(line), cwd=directory,
                        env={"RESUME_FROM_URL": server.url("sim.npz"), "MAD_FETCH_RETRIES": "0"},
                    )
                    self.assertTrue(server.half_sent.wait(120))
                    os.kill(self.find(child.pid, stage), signal.SIGKILL)
                    server.go.set()
                    child.wait()
                    resumer = stage != "mad-resume"
                    reason = stage if resumer else "^unset$"
                    self.check_start(directory, "failed", reason, child.err, resumer)
                    self.check_next(directory, form(line))

    @staticmethod
    def find(shell, name):
        """The PID of the shell's child that runs `name`."""

        def look():
            children = pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
            # In the short form dash may have replaced itself by nothing: all are children.
            for pid in children:
                try:
                    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name:
                        return int(pid)
                except OSError:
                    pass
            return None

        return wait_until(look, name)

    def test_in_the_second_form_the_command_is_process_1_and_gets_the_signals(self):
        directory = self.machine("container")
        (directory / "server").write_text(
            "#!/bin/sh\ntrap 'echo got >signal; exit 9' TERM\n"
            'echo "$$ $MAD_RESUME_STATUS" >started.new; mv started.new started\n'
            "while :; do sleep 0.02; done\n"
        )
        child = Child(
            self, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", DASH, "-c",
            form(LONG), cwd=directory, env={"RESUME_FROM_URL": self.store / "sim.npz"},
        )
        started = directory / "started"
        wait_until(started.exists, "the command")
        self.assertEqual(started.read_text(), "1 resumed\n")
        below = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
        os.kill(int(below.read_text().split()[0]), signal.SIGTERM)
        self.assertEqual(child.wait(), 9, child.err)
        self.assertEqual((directory / "signal").read_text(), "got\n")

    def test_after_failed_the_next_preemption_spares_the_snapshot_that_could_not_be_read(self):
        directory = self.tmp
        sim("--state", directory / "state", "--steps", 20)
        self.take("ball.npz", directory / "state")
        npz = self.store / "ball.npz"
        data = npz.read_bytes()
        spoilt = data[:-100] + b"\0" * 100
        npz.write_bytes(spoilt)
        child = Child(
            self, DASH, "-c",
            "mad-fetch | mad-verify | mad-resume --state-dir new -- run-preemptible --state new "
            f"-o {npz} -- {SIM} --state new", cwd=directory, env={"RESUME_FROM_URL": npz},
        )
        wait_until(lambda: step_of(directory / "new") > 3, "the fresh simulation")
        os.kill(self.find_script(child.pid), signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual(npz.read_bytes(), spoilt)
        spared = list(self.store.glob("ball-after-failed-*.npz"))
        self.assertEqual(len(spared), 1, child.err)
        madtest.reference_verify(spared[0])

    @staticmethod
    def find_script(shell):
        def look():
            for pid in pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split():
                try:
                    if b"run-preemptible" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                        return int(pid)
                except OSError:
                    pass
            return None

        return wait_until(look, "run-preemptible")

    def test_ten_concurrent_boots_do_not_disturb_each_other(self):
        def own(number):
            directory = self.machine(f"boot-{number}")
            done = self.boot(directory, form(SHORT), self.store / "sim.npz")
            self.check_start(directory, "resumed", "^", done.stderr)
            return leftovers(directory)

        def shared(number):
            """Ten that name the same snapshot file, and ten that name none."""
            done = self.boot(
                self.template, "mad-fetch | mad-verify | mad-resume "
                + ("--snapshot ../shared.npz" if number % 2 else "")
                + ' -- sh -c \'echo "$MAD_RESUME_STATUS"; mad-verify -q "$RESUME_FROM_URL"\'',
                self.store / "sim.npz", TMPDIR=self.tmp,
            )
            return done.returncode, done.stdout.split("\n")[0], done.stderr

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            self.assertEqual(list(pool.map(own, range(10))), [[]] * 10)
            for code, status, said in pool.map(shared, range(10)):
                self.assertEqual((code, status), (0, "resumed"), said)

    def test_a_state_directory_that_is_a_mount_point_works(self):
        script = (
            "set -e; mount -t tmpfs none state; cp -R ../template/state/. state/; "
            "RESUME_FROM_URL=$1; "
            + form(SHORT).replace("./server", "true")
            + '; [ "$(stat -f -c %T state)" = tmpfs ]; mkdir ../after; cp -R state/. ../after/'
        )
        directory = self.machine("mounted")
        for url, expected in (
            (self.store / "sim.npz", self.resumed), (self.store / "none.npz", self.fresh),
        ):
            shutil.rmtree(self.tmp / "after", ignore_errors=True)
            done = subprocess.run(
                ["unshare", "-m", DASH, "-c", script, "dash", str(url)], cwd=directory,
                env=environment(RESUME_FROM_URL=url), capture_output=True, text=True, timeout=300,
                stdin=subprocess.DEVNULL, check=False,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(madtest.tree(self.tmp / "after"), expected, done.stderr)


if __name__ == "__main__":
    madtest.main()
