"""mad-verify and mad-manifest give their rights up before they look at what is from outside.

That the cage holds is shown by tests/unit/process/sandbox_test.cpp; here, that the tools enter it.
"""

import pathlib
import re
import subprocess
import time

import madtest
from signing import KeyPair
from strace import whole_calls

ENTERED = "landlock_restrict_self"


class Sandbox(madtest.Case):
    def setUp(self):
        super().setUp()
        self.place = self.tmp / "place"
        self.place.mkdir()
        self.npz = madtest.reference_snapshot(self.place / "sim.npz", madtest.small_arrays())
        self.state = madtest.make_state(self.tmp / "state", madtest.small_arrays())

    def bundle(self):
        done = madtest.run("mad-fetch", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def traced(self, *argv, inject=(), stdin=b"", env=None, code=0):
        """The calls that open, read standard input or confine, a line each."""
        trace = self.tmp / "trace"
        done = madtest.run(
            "strace", "-f", "-qq", "-e", "trace=openat,open,read,execve,/landlock_.*", *inject,
            "-e", "signal=none", "-o", trace, madtest.tool(argv[0]), *argv[1:], stdin=stdin, env=env)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = [re.sub(r"^\d+ +", "", line) for line in whole_calls(trace.read_text())
                 # The sanitizers look at their own process.
                 if not (madtest.SANITIZED and '"/proc/' in line)]
        return [line for line in lines if not line.startswith("read(") or "read(0" in line], done

    def require_landlock(self):
        done = madtest.run("mad-verify", "--version", "-v")
        if b"Landlock ABI" not in done.stdout:
            self.skipTest("this kernel has no Landlock: " + done.stdout.decode())

    def after_entering(self, lines):
        entered = [i for i, line in enumerate(lines) if line.startswith(ENTERED)]
        self.assertEqual(len(entered), 1, "it enters once")
        self.assertRegex(lines[entered[0]], r"= 0$")
        return lines[:entered[0]], lines[entered[0] + 1:]

    def test_the_filter_opens_nothing_after_it_has_read_a_byte(self):
        self.require_landlock()
        key = KeyPair(self.tmp)
        signed = madtest.run("mad-snapshot", "--sign-key", key.private, "-o", "-", self.state)
        for options, stream in [((), self.bundle()), (("--expect", self.state), self.bundle()),
                                (("--trusted-key", key.public), signed.stdout)]:
            with self.subTest(options=options):
                lines, _ = self.traced("mad-verify", *options, stdin=stream)
                before, after = self.after_entering(lines)
                self.assertFalse([line for line in before if line.startswith("read(0")])
                self.assertTrue([line for line in after if line.startswith("read(0")])
                self.assertFalse([line for line in after if line.startswith("open")], after)

    def test_a_waiting_filter_has_given_up_new_privileges(self):
        process = subprocess.Popen(
            [madtest.tool("mad-verify")], env=madtest.clean_environment(), stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status = pathlib.Path(f"/proc/{process.pid}/status")
        end = time.monotonic() + 30
        while "NoNewPrivs:\t1" not in status.read_text():
            self.assertLess(time.monotonic(), end, "it waits for its input unconfined")
            self.assertIsNone(process.poll())
        process.stdin.close()
        self.assertEqual(process.wait(30), 6)

    def test_files_are_opened_inside_and_beside_the_operands_alone(self):
        self.require_landlock()
        key = KeyPair(self.tmp)
        for argv in [("mad-verify", self.npz), ("mad-manifest", "show", self.npz),
                     ("mad-manifest", "get", self.npz, "sha256"),
                     ("mad-manifest", "topology", self.npz),
                     ("mad-manifest", "topology", self.state),
                     ("mad-manifest", "diff", self.npz, self.state),
                     ("mad-manifest", "write", "--force", self.npz),
                     ("mad-manifest", "sign", "--key", key.private, self.npz),
                     ("mad-manifest", "recover", self.npz)]:
            with self.subTest(argv=argv):
                lines, _ = self.traced(*argv)
                _, after = self.after_entering(lines)
                # gmtime(3) looks for a time zone, and does without.
                opened = [line for line in after if line.startswith("open")
                          and "/etc/localtime" not in line]
                self.assertTrue(any(f'"{place}' in line for line in opened
                                    for place in (self.place, self.state)), opened)
                self.assertFalse([line for line in opened if "EACCES" in line])

    def test_the_report_is_written_where_it_belongs(self):
        report = self.tmp / "report.json"
        for argv, code in [(("mad-verify", self.npz), 0), (("mad-verify", self.tmp / "no.npz"), 5),
                           (("mad-manifest", "show", self.npz), 0)]:
            done = madtest.run(*argv, "--report", report)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertNotIn("warning", done.stderr)
            self.assertIn(f'"code":{code}', report.read_text())
            report.unlink()

    def test_no_sandbox_keeps_every_right(self):
        for extra, env in [(["--no-sandbox"], {}), ([], {"MAD_VERIFY_NO_SANDBOX": "1",
                                                         "MAD_MANIFEST_NO_SANDBOX": "1"})]:
            for argv in [("mad-verify", *extra, self.npz),
                         ("mad-manifest", "show", *extra, self.npz)]:
                lines, _ = self.traced(*argv, env=env)
                self.assertFalse([line for line in lines if line.startswith("landlock")])

    def test_a_kernel_without_landlock_is_said_and_no_obstacle(self):
        for error in ("ENOSYS", "EOPNOTSUPP", "EPERM"):
            inject = ("-e", f"inject=landlock_create_ruleset:error={error}")
            _, done = self.traced("mad-verify", "-v", self.npz, inject=inject)
            self.assertIn("this kernel has no Landlock: going on without a sandbox", done.stderr)
            _, done = self.traced("mad-verify", "--version", "-v", inject=inject)
            self.assertIn(b"\nsandbox: no new privileges; this kernel has no Landlock\n",
                          done.stdout)

    def test_a_cage_that_cannot_be_closed_is_warned_of(self):
        self.require_landlock()
        inject = ("-e", "inject=landlock_restrict_self:error=EINVAL")
        _, done = self.traced("mad-verify", self.npz, inject=inject)
        self.assertIn("warning: this process: cannot confine: Invalid argument; going on without",
                      done.stderr)

    def test_version_says_what_is_active(self):
        for tool in ("mad-verify", "mad-manifest"):
            plain = madtest.run(tool, "--version").stdout.decode()
            self.assertRegex(plain, rf"^{tool} \d+\.\d+\.\d+\n$")
            verbose = madtest.run(tool, "--version", "-v").stdout.decode()
            self.assertRegex(verbose, re.escape(plain) + r"sandbox: .*no new privileges.*\n$")


if __name__ == "__main__":
    madtest.main()
