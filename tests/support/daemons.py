"""Programs that serve a test and must be gone after it, whatever becomes of the test.

    with Daemons(prefix="mad-radosgw-") as daemons:
        daemons.start("mon", ["ceph-mon", …])
        daemons.wait_for("the monitor", condition)

Each has a log in `daemons.directory`.  The kernel kills them when this process dies
by a signal; otherwise they end, by PID and last first, and the directory goes with them.
"""

import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

SERVER_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


class DidNotStart(RuntimeError):
    """What was waited for, and the end of every log."""


class Daemons:
    def __init__(self, prefix, environment=None):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
        self.environment = {**os.environ, "PATH": SERVER_PATH, **(environment or {})}
        self._running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, name, argv):
        """Runs until stop(); its output is the log `name`.log."""
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)]
        with open(self.directory / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory, env=self.environment)
        return self._running[name]

    def run(self, *argv, timeout=60):
        """A command to its end; its standard output, or DidNotStart."""
        try:
            done = subprocess.run(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, cwd=self.directory, env=self.environment,
                timeout=timeout, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self.did_not_start(f"{argv[0]}: {error}") from error
        if done.returncode != 0:
            raise self.did_not_start(f"{argv[0]} ended with {done.returncode}:\n"
                                     + done.stderr.decode("utf-8", "replace")[-2000:])
        return done.stdout

    def wait_for(self, what, condition, seconds=120):
        """Until condition() is true; at once DidNotStart when a program has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise self.did_not_start(f"{name} ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise self.did_not_start(f"no sign of {what} in {seconds} s")
            time.sleep(0.01)

    def did_not_start(self, reason):
        tails = "".join(f"\n--- {log.name}\n" + tail(log)
                        for log in sorted(self.directory.glob("*.log")))
        return DidNotStart(reason + tails)

    def resident_bytes(self):
        """{name: resident memory} of what runs."""
        page = os.sysconf("SC_PAGE_SIZE")
        return {name: page * int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                for name, process in self._running.items() if process.poll() is None}

    def stop(self):
        """None of them holds anything of worth, so none is asked to end."""
        for process in reversed(self._running.values()):
            process.kill()
        for process in self._running.values():
            process.wait()
        self._running.clear()
        shutil.rmtree(self.directory, ignore_errors=True)


class Service:
    """A server that is made of daemons.  What is derived has `_start()`, which makes
    `self._daemons`, gives them free ports and waits until they serve."""

    _daemons = None

    def start(self):
        """Returns self, serving; raises DidNotStart with the ends of the logs."""
        for attempts_left in (2, 1, 0):
            try:
                self._start()
                return self
            except BaseException as error:
                self.stop()
                # Another process took a port between the probe and its use.
                if attempts_left == 0 or "in use" not in str(error):
                    raise

    def stop(self):
        if self._daemons:
            self._daemons.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def resident_bytes(self):
        """{daemon: resident memory}."""
        return self._daemons.resident_bytes()


def tail(log, lines=15):
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def answers(port, path="/"):
    """Whether an HTTP server answers there, with whatever status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
