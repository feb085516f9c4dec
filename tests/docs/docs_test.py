"""Man pages, README, completion and --help agree, and the examples really run."""

import os
import re
import shutil
import subprocess

import madtest

TOOLS = ["mad-snapshot", "mad-manifest", "mad-verify", "mad-fetch", "mad-push", "mad-resume",
         "mad-list", "mad-prune", "mad-watch"]
SUBCOMMANDS = {"mad-manifest": ["write", "sign", "show", "get", "topology", "diff", "recover"]}
MAN = madtest.SOURCE / "man"


def options_of(*argv):
    done = madtest.run(*argv, "--help")
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", done.stdout.decode()))


def examples_of(page):
    """The `$ ` lines of each literal display of a man page, a list a display."""
    displays = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page.read_text(), re.M | re.S)
    groups = []
    for display in displays:
        # mdoc writes a backslash as \e and a hyphen-minus, where it matters, as \-.
        lines = [line.replace(r"\e", "\\").replace(r"\-", "-") for line in display.splitlines()]
        commands = [line[2:] for line in lines if line.startswith("$ ")]
        if commands:
            groups.append(commands)
    return groups


class ManPages(madtest.Case):
    def test_every_option_of_help_is_in_the_man_page(self):
        for tool in TOOLS:
            page = (MAN / f"{tool}.1").read_text().replace(r"\-", "-")
            options = options_of(tool)
            for subcommand in SUBCOMMANDS.get(tool, []):
                options |= options_of(tool, subcommand)
            self.assertGreater(len(options), 5, tool)
            for option in sorted(options):
                # mdoc's `Fl -name` prints --name.
                self.assertRegex(page, rf"(Fl -|--){re.escape(option[2:])}\b", f"{tool}: {option}")

    def test_the_man_page_names_no_option_that_the_tool_lacks(self):
        for tool in TOOLS:
            page = (MAN / f"{tool}.1").read_text().replace(r"\-", "-")
            options = options_of(tool)
            for subcommand in SUBCOMMANDS.get(tool, []):
                options |= options_of(tool, subcommand)
            synopsis = re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh", page, re.M | re.S).group(1)
            for name in re.findall(r"Fl -([a-z][a-z0-9-]+)", synopsis):
                self.assertIn(f"--{name}", options, tool)

    def test_the_examples_of_every_man_page_run(self):
        ran = 0
        for page in sorted(MAN.glob("*.[157]")):
            for commands in examples_of(page):
                with self.subTest(page=page.name, commands=commands):
                    self.run_example(commands)
                    ran += 1
        self.assertGreaterEqual(ran, len(TOOLS))

    def run_example(self, commands):
        place = self.tmp / "example"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        madtest.make_state(place / "state", madtest.small_arrays())
        madtest.reference_snapshot(place / "sim.npz", madtest.small_arrays())
        programs = place / "bin"
        programs.mkdir()
        (programs / "server").write_text("#!/bin/sh\nexit 0\n")
        (programs / "server").chmod(0o755)
        shutil.copy(madtest.SOURCE / "scripts/run-preemptible", programs / "run-preemptible")
        env = madtest.clean_environment(TMPDIR=place)
        env["PATH"] = f"{programs}:{env['PATH']}"
        done = subprocess.run(
            ["dash", "-e", "-c", "\n".join(commands)], cwd=place, env=env, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode("utf-8", "replace"))

    def test_every_exit_code_that_a_page_lists_is_in_mad_7(self):
        table = (MAN / "mad.7").read_text()
        for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 70, 125, 126, 127):
            self.assertIn(f"\n.It {code} Ta", table)


class Readme(madtest.Case):
    README = madtest.SOURCE / "README.md"

    def test_it_names_every_tool_and_both_commands_and_stays_short(self):
        text = self.README.read_text()
        for name in [*TOOLS, "run-preemptible", "./scripts/tour", "./scripts/test"]:
            self.assertIn(name, text)
        self.assertLess(len(text.splitlines()), 150)

    def test_every_file_it_links_to_is_there(self):
        for target in re.findall(r"\]\(([^)#:]+)\)", self.README.read_text()):
            self.assertTrue((madtest.SOURCE / target).exists(), target)

    def test_its_boot_line_starts_the_server_from_the_snapshot(self):
        line = re.search(r"^mad-fetch \| .* -- server$", self.README.read_text(), re.M).group(0)
        madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        line = line.replace("/var/lib/sim/", f"{self.tmp}/")
        line = line.replace("-- server", "-- sh -c 'echo $MAD_RESUME_STATUS $RESUME_FROM_URL'")
        done = madtest.dash(line, env={"RESUME_FROM_URL": self.tmp / "sim.npz"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.decode(), f"resumed {self.tmp}/in.npz\n")

    def test_its_line_for_every_machine_starts_fresh_and_then_from_the_snapshot(self):
        line = re.search(r"^export RESUME_FROM_URL=.*?\n(?=```)", self.README.read_text(),
                         re.M | re.S).group(0)
        line = line.replace("/mnt/durable/", f"{self.tmp}/").replace("--watch ", "")
        line = line.replace("/dev/shm/state", f"{self.tmp}/state")
        line = line.replace("simulate --state", "sh -c 'echo $MAD_RESUME_STATUS'")
        path = f"{madtest.BIN}:{madtest.SOURCE / 'scripts'}:{os.environ['PATH']}"
        for expected in (b"fresh\n", b"resumed\n"):
            done = madtest.dash(line, env={"PATH": path})
            self.assertEqual((done.returncode, done.stdout), (0, expected), done.stderr)
            madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())


class Completion(madtest.Case):
    def offered(self, *words):
        """What is offered for the last of `words`, as Readline splits them."""
        done = madtest.run(
            "bash", "-c",
            '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mad_tools "$1" "${!#}"; '
            'printf "%s\n" "${COMPREPLY[@]}"',
            madtest.SOURCE / "scripts/completion/mad-tools.bash", *words,
            env={"PATH": f"{madtest.BIN}:{madtest.SOURCE / 'scripts'}:{os.environ['PATH']}"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return set(done.stdout.decode().split())

    def test_it_offers_the_options_that_help_lists(self):
        for tool in TOOLS:
            self.assertEqual(self.offered(tool, "--"), options_of(tool), tool)
        self.assertEqual(self.offered("run-preemptible", "--"),
                         options_of(madtest.SOURCE / "scripts/run-preemptible"))

    def test_it_offers_a_subcommand_and_its_options_behind_other_options_too(self):
        subcommands = set(SUBCOMMANDS["mad-manifest"])
        self.assertEqual(self.offered("mad-manifest", ""), subcommands)
        self.assertEqual(self.offered("mad-manifest", "-q", ""), subcommands)
        self.assertEqual(self.offered("mad-manifest", "--report", "show", "s"), {"show", "sign"})
        self.assertEqual(self.offered("mad-manifest", "--report", "=", "show", "sh"), {"show"})
        self.assertEqual(self.offered("mad-manifest", "-q", "show", "--"),
                         options_of("mad-manifest") | options_of("mad-manifest", "show"))
        self.assertEqual(self.offered("mad-manifest", "show", ""), set())

    def test_it_offers_the_values_of_an_option_that_has_a_fixed_set(self):
        for tool in ("mad-snapshot", "mad-fetch", "mad-resume"):
            self.assertEqual(self.offered(tool, "--durability", ""), {"full", "none"}, tool)
        self.assertEqual(self.offered("mad-manifest", "write", "--durability", "f"), {"full"})
        for tool in TOOLS:
            self.assertEqual(self.offered(tool, "--log-format", "="), {"text", "json"}, tool)
        self.assertEqual(self.offered("mad-fetch", "--log-format", "=", "j"), {"json"})
        self.assertEqual(self.offered("mad-watch", "--provider", "a"), {"auto", "aws", "azure"})
        self.assertEqual(self.offered("mad-watch", "--on", "preemption,re"),
                         {"preemption,rebalance"})
        self.assertEqual(self.offered("mad-fetch", "--output", ""), set())

    def test_it_leaves_the_command_that_will_be_run_alone(self):
        self.assertEqual(self.offered("mad-resume", "--", "server", "--"), set())
        self.assertEqual(self.offered("run-preemptible", "--state", "x", "server", "--"), set())


class Package(madtest.Case):
    def test_install_puts_binaries_pages_scripts_and_completion_in_place(self):
        build = madtest.BIN.parent
        done = madtest.run("cmake", "--install", build, "--prefix", self.tmp / "usr",
                           env={"HOME": os.environ.get("HOME", "/")})
        self.assertEqual(done.returncode, 0, done.stderr)
        for tool in [*TOOLS, "run-preemptible"]:
            self.assertTrue(os.access(self.tmp / "usr/bin" / tool, os.X_OK), tool)
            self.assertTrue((self.tmp / f"usr/share/man/man1/{tool}.1").is_file(), tool)
            self.assertTrue(
                (self.tmp / "usr/share/bash-completion/completions" / tool).is_file(), tool)
        for page in ("man5/mad-manifest.5", "man5/mad-bundle.5", "man7/mad.7"):
            self.assertTrue((self.tmp / "usr/share/man" / page).is_file(), page)
        self.assertFalse((self.tmp / "usr/bin/mad-test-sim").exists())

    def test_cpack_makes_a_debian_package_that_names_what_it_needs(self):
        done = madtest.run("cpack", "-G", "DEB", "-B", self.tmp, "--config",
                           madtest.BIN.parent / "CPackConfig.cmake",
                           env={"HOME": os.environ.get("HOME", "/")}, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        packages = list(self.tmp.glob("*.deb"))
        self.assertEqual(len(packages), 1)
        depends = madtest.run("dpkg-deb", "-f", packages[0], "Depends").stdout.decode()
        for library in ("libarchive13", "libcurl4", "libdeflate0"):
            self.assertIn(library, depends)
        listing = madtest.run("dpkg-deb", "-c", packages[0]).stdout.decode()
        for name in ("usr/bin/mad-fetch", "usr/bin/run-preemptible", "mad-snapshot.1"):
            self.assertIn(name, listing)


if __name__ == "__main__":
    madtest.main()
