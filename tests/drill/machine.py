"""A machine that can be taken away: a directory and every process that was started in it."""

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

# The line at boot.  What its command learns is printed for the drill to hold against what it
# knows; a drill with a full disk bounds the files that everything behind it may write.
BOOT = """
mad-fetch --if-exists | mad-verify | mad-resume --state-dir state -- sh -c '
  echo "drill: $MAD_RESUME_STATUS"
  [ -z "$DRILL_FILE_BLOCKS" ] || ulimit -f "$DRILL_FILE_BLOCKS"
  exec run-preemptible --watch --state state --snapshot "$DRILL_SNAPSHOT" \\
    --after-snapshot "$DRILL_AFTER" -- $DRILL_COMMAND'
"""


def wait_until(condition, seconds, what):
    """condition()'s first true value; loud where none comes."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.001)
    return value


class Machine:
    """Boots at construction; `environment` is that of its boot line."""

    def __init__(self, directory, number, environment):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.mark = f"DRILL_MACHINE={os.getpid()}.{number}"
        name, value = self.mark.split("=")
        self.output = ""
        self.first_step_at = None
        self.began_at = time.monotonic()
        self._process = subprocess.Popen(
            ["sh", "-c", BOOT], cwd=self.directory, env={**environment, name: value},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            if self.first_step_at is None and line.startswith("step "):
                self.first_step_at = time.monotonic()
            if not line.startswith("step "):
                self.output += line

    @property
    def ended(self):
        return self._process.poll() is not None

    @property
    def resume_status(self):
        """What mad-resume told the command, or None where it came to no command."""
        return self._word_after("drill: ")

    @property
    def first_step(self):
        word = self._word_after("starts at step ")
        return None if word is None else int(word)

    def _word_after(self, text):
        _, found, rest = self.output.partition(text)
        return rest.split()[0] if found and "\n" in rest else None

    def processes(self, command=None):
        """Those that were started in it, orphans too."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if self.mark.encode() not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                if command and (entry / "comm").read_text().strip() != command:
                    continue
            except OSError:
                continue
            found.append(int(entry.name))
        return found

    def take_away(self):
        """As the cloud does it: all at once, and nothing of it is left."""
        stopped = set()
        while new := [pid for pid in self.processes() if pid not in stopped]:
            for pid in new:
                send(pid, signal.SIGSTOP)
            stopped.update(new)
        for pid in stopped:
            send(pid, signal.SIGKILL)
        self._process.wait()
        for pid in stopped:
            try:
                os.waitpid(pid, 0)  # orphans come to us
            except ChildProcessError:
                pass
        self._reader.join()
        self._process.stdout.close()

    def wipe(self):
        shutil.rmtree(self.directory)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
