"""What the tests of transports share: mad-test-store, one call of one a run."""

import json
import subprocess
import tempfile
import time

import madtest

MIB = 1 << 20


class StoreCase(madtest.Case):
    """`self.environment` is what the tool needs to find the store."""

    environment = {}

    def store(self, *words, stdin=b"", **changes):
        env = {**self.environment, "HOME": self.tmp, **changes}
        return madtest.run("mad-test-store", *words, stdin=stdin, env=env, timeout=300)

    def result(self, *words, stdin=b"", **changes):
        """What came of a call that does not fail; `self.figures` has the rest."""
        done = self.store(*words, stdin=stdin, **changes)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.figures = json.loads(done.stderr.splitlines()[-1])
        self.output = done.stdout
        return self.figures["result"]

    def start(self, *words, stdin, **changes):
        """The same, running; standard input is a file, standard error a pipe."""
        file = tempfile.TemporaryFile()
        self.addCleanup(file.close)
        file.write(stdin)
        file.seek(0)
        process = subprocess.Popen(
            [madtest.tool("mad-test-store"), *map(str, words)], stdin=file,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=madtest.clean_environment(**{**self.environment, "HOME": self.tmp, **changes}))
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def noise(size, seed=1):
    return madtest.np.random.default_rng(seed).bytes(size)


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {seconds} s")
        time.sleep(0.01)
