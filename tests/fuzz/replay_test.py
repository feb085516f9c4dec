"""What broke a target once, and what each target begins with, breaks none of them."""

import pathlib
import re

import madtest

HERE = pathlib.Path(__file__).resolve().parent


def targets():
    return {name for source in HERE.glob("*.cpp")
            for name in re.findall(r"^MAD_FUZZ_TARGET\((\w+)\)", source.read_text(), re.MULTILINE)}


class Replay(madtest.Case):
    def replayed(self, *directories):
        done = madtest.run("mad-fuzz-replay", *directories, timeout=500, env={
            "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1"})  # to be told the input
        self.assertEqual(done.returncode, 0, done.stderr)
        return dict(line.split() for line in done.stdout.decode().splitlines())

    def test_every_input_of_the_regression_corpus(self):
        counts = self.replayed(HERE / "corpus")
        for place in (HERE / "corpus").iterdir():
            self.assertEqual(counts.get(place.name), str(len(list(place.iterdir()))), place.name)

    def test_every_seed_and_each_target_has_some(self):
        seeds = self.tmp / "seeds"
        done = madtest.run("/usr/bin/python3", HERE / "seeds.py", seeds, env={
            "MAD_BIN_DIR": madtest.BIN, "MAD_SOURCE_DIR": madtest.SOURCE})
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = self.replayed(seeds)
        self.assertEqual(set(counts), targets())
        self.assertEqual([name for name, count in counts.items() if count == "0"], [])


if __name__ == "__main__":
    madtest.main()
