"""What every refusal owes its user: the right code and reason, one message that names
what is wrong, nothing left behind, and no cost."""

import atexit
import json
import os
import re
import subprocess
import sys
import tempfile

import madtest

CPU_SECONDS = 1.0
RESIDENT_KIB = 64 * 1024


# A child's peak counts what its parent held when it was forked, so a process
# without NumPy starts them.
SPAWNER = r"""
import json, os, subprocess, sys
for line in sys.stdin:
    job = json.loads(line)
    files = [open(job[name], mode) for name, mode in
             (("stdin", "rb"), ("stdout", "wb"), ("stderr", "wb"))]
    process = subprocess.Popen(job["argv"], env=job["env"], cwd=job["cwd"], stdin=files[0],
                               stdout=files[1], stderr=files[2])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for file in files:
        file.close()
    print(json.dumps([process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]),
          flush=True)
"""


class Spawner:
    """Starts programs and waits for them, as a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-I", "-S", "-c", SPAWNER],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Done:
    """How a measured run ended.  `seconds` are the processor's: the wall clock of a
    busy machine says nothing about the tool."""

    def __init__(self, argv, ended, stdout, stderr, report):
        self.argv, self.stdout, self.stderr, self.report = argv, stdout, stderr, report
        self.returncode, self.seconds, self.resident_kib = ended


spawner = None


def measured(*argv, stdin=None, env=None, cwd=None):
    """Runs one tool to its end with --report; `stdin` is a path or None."""
    global spawner
    if spawner is None:
        spawner = Spawner()
        atexit.register(spawner.stop)
    argv = [madtest.tool(argv[0])] + [str(word) for word in argv[1:]]
    with tempfile.TemporaryDirectory(prefix="mad-report-") as place:
        out, err, report = (os.path.join(place, name) for name in ("out", "err", "report"))
        argv[1:1] = ["--report", report]
        ended = spawner.run(argv=argv, env=madtest.clean_environment(**(env or {})),
                            cwd=cwd, stdin=str(stdin or os.devnull), stdout=out, stderr=err)
        text = {}
        if os.path.exists(report):
            with open(report, encoding="utf-8") as file:
                text = json.load(file)
        with open(out, "rb") as stdout, open(err, "rb") as stderr:
            return Done(argv, ended, stdout.read(), stderr.read().decode("utf-8", "replace"),
                        text)


def says(text, needle):
    """Whether `needle` (a string, or a tuple of its spellings) stands in `text` as a word;
    of a digest, its first digits are enough."""
    spellings = needle if isinstance(needle, tuple) else (needle,)
    return any(re.search(rf"(?<![0-9A-Za-z]){re.escape(s)}(?![0-9A-Za-z])", text)
               if s.isalnum() and len(s) < 16 else s in text for s in spellings)


class Refusals(madtest.Case):
    def assert_cheap(self, done):
        if madtest.SANITIZED:
            return
        self.assertLess(done.seconds, CPU_SECONDS, done.argv)
        self.assertLess(done.resident_kib, RESIDENT_KIB, done.argv)

    def assert_refusal(self, done, code, reason, *needles):
        """`reason` is an id, several of them, or None where any will do."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.report.get("code"), code, done.report)
        if reason is not None:
            reasons = reason if isinstance(reason, (tuple, list, set)) else (reason,)
            self.assertIn(done.report.get("reason"), reasons, done.stderr)
        else:
            self.assertNotIn(done.report.get("reason"), (None, "", "bug"), done.stderr)
        self.assertEqual(done.stderr.count(": error: "), 1, done.stderr)
        self.assertNotIn("\x1b", done.stderr)
        for needle in needles:
            self.assertTrue(says(done.stderr, needle), f"{needle!r} is not in:\n{done.stderr}")
        self.assert_cheap(done)


BOOT = """
mad-fetch "$1" | mad-verify $5 | mad-resume --state-dir "$2" --snapshot "$3" --env-file "$4" -- \\
  sh -c 'printf "%s\\n%s\\n" "$MAD_RESUME_STATUS" "$MAD_RESUME_REASON"'
"""


class BootRefusals(Refusals):
    """The boot line before a machine with a fresh state."""

    def fresh_machine(self, arrays):
        self.machine = self.tmp / "machine"
        self.machine.mkdir()
        self.fresh = madtest.make_state(self.machine / "state", arrays)
        (self.machine / "tmp").mkdir()
        self.before = madtest.tree(self.fresh)

    def assert_boot_goes_on_fresh(self, npz, reason, verify_options=""):
        """The command starts from its untouched fresh state and is told why."""
        env_file = self.machine / "env"
        done = madtest.dash(BOOT, npz, self.fresh, self.machine / "in.npz", env_file,
                            verify_options, env={"TMPDIR": self.machine / "tmp"})
        self.assertEqual(done.returncode, 0, done.stderr)
        status, why = done.stdout.decode("utf-8", "replace").split("\n")[:2]
        self.assertEqual(status, "failed", done.stderr)
        stage, found, _ = why.split(": ", 2)
        self.assertIn(stage, ("mad-fetch", "mad-verify", "mad-resume"), why)
        if reason is not None:
            self.assertIn(found, reason if isinstance(reason, (tuple, list, set)) else (reason,),
                          why)
        env_file.unlink()
        self.assertEqual(madtest.tree(self.machine),
                         {f"state/{name}": data for name, data in self.before.items()})
        self.assertEqual(sorted(p.name for p in self.machine.iterdir()), ["state", "tmp"])
        return why
