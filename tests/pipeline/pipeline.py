"""What the tests of the whole way share: the simulation, and waiting for a condition."""

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import numpy as np

import madtest

SIM = str(madtest.BIN / "mad-test-sim")
RUN_PREEMPTIBLE = str(madtest.SOURCE / "scripts" / "run-preemptible")
DASH = shutil.which("dash")


def wait_until(condition, what, seconds=120):
    """Returns condition()'s first true value; fails loudly when none comes."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.002)


def sim(*args):
    done = subprocess.run(
        [SIM, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=500, check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"mad-test-sim {args}: {done.returncode}: {done.stderr}")
    return done.stdout


def state_tree(directory):
    return madtest.tree(pathlib.Path(directory).resolve())


def step_of(directory):
    """The state's step, or -1 where there is none yet."""
    try:
        return int(np.load(pathlib.Path(directory) / "_meta/step_count.npy"))
    except (OSError, ValueError, EOFError):
        return -1


def environment(**extra):
    env = madtest.clean_environment(**extra)
    env["PATH"] = f"{madtest.SOURCE / 'scripts'}:{env['PATH']}"
    return env


class Child:
    """A process of the test's own, with its output collected, killed at the end."""

    def __init__(self, case, *argv, env=None, **popen):
        self.process = subprocess.Popen(
            [str(word) for word in argv], env=environment(**(env or {})),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **{"stdin": subprocess.DEVNULL, **popen},
        )
        self.pid = self.process.pid
        self.out, self.err = "", ""
        self.readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", self.process.stdout), ("err", self.process.stderr))
        ]
        for reader in self.readers:
            reader.start()
        case.addCleanup(self._close)

    def _read(self, name, stream):
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def _close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self.readers:
            reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=120):
        """The exit status as a shell has it; all output is there when it returns."""
        code = self.process.wait(seconds)
        for reader in self.readers:
            reader.join(seconds)
        return code if code >= 0 else 128 - code

    def said(self, text, seconds=120):
        """Waits until standard error holds `text`."""

        def there():
            # Looked at first: what it said last comes before that.
            ended = self.process.poll() is not None and not self.readers[1].is_alive()
            if text in self.err:
                return True
            if ended:
                raise AssertionError(f"ended without saying {text!r}: {self.err}")
            return False

        wait_until(there, f"{text!r} in: {self.err}", seconds)


def alive(pid):
    try:
        return "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def leftovers(directory):
    """Temporaries below a directory: what the next run of a tool must remove."""
    return sorted(str(p) for p in pathlib.Path(directory).rglob(".*mad-*"))


__all__ = [name for name in dir() if not name.startswith("_")] + ["os", "signal"]
