"""What the tests of mad-watch share: it runs beside a metadata server of the test's own."""

import json
import sys
import time

import madtest
from metadata_server import AWS_PATHS, AZURE_PATH, GCP_PATHS, MetadataServer

sys.path.insert(0, str(madtest.SOURCE / "tests/pipeline"))
from pipeline import Child, alive, os, pathlib, signal, wait_until  # noqa: E402

CLOUDS = ("aws", "gcp", "azure")


class WatchCase(madtest.Case):
    def serve(self, cloud, **more):
        server = MetadataServer(cloud, **more).__enter__()
        self.addCleanup(server.__exit__)
        return server

    def watch(self, server, *words, **more):
        """mad-watch against `server`; `words` may end with -- and a command."""
        return Watching(self, server, words, **more)

    def ran(self, name="ran"):
        """The lines that runs of `command(name)` have left."""
        path = self.tmp / name
        return path.read_text().splitlines() if path.exists() else []

    def command(self, text="$MAD_NOTICE_KIND", name="ran"):
        """The words of a command that leaves a line."""
        return ["--", "sh", "-c", f'echo "{text}" >>{self.tmp}/{name}']

    def ran_in_time(self, count=1, name="ran"):
        """Waits for the line number `count`, which must be there within seconds."""
        begin = time.monotonic()
        wait_until(lambda: len(self.ran(name)) >= count, f"{count} runs of the command")
        self.assertLess(time.monotonic() - begin, 5)


class Watching(Child):
    def __init__(self, case, server, words, provider="auto", interval=None, **popen):
        words = ["mad-watch", "--provider", provider, "--endpoint", server.url(),
                 *(["--interval", interval] if interval else []), *words]
        super().__init__(case, *words, cwd=case.tmp, **popen)
        self.said("watching for notices of ")
        self.server = server

    def notices(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def wait_for_notices(self, count):
        wait_until(lambda: len(self.notices()) >= count, f"{count} notices, not: {self.out}")
        return self.notices()

    def wait_for_questions(self):
        """Until something was asked by the watch itself, a second time."""
        last = {"aws": "spot/instance-action", "gcp": "instance/preempted",
                "azure": "scheduledevents"}[self.server.cloud]
        found = self.server.cloud == "gcp"  # by the same question
        wait_until(lambda: sum(
            count for path, count in self.server.seen()["requests"].items()
            if path.endswith(last)) >= 2 + found, "the questions")

    def wait_for_answers(self, count, since=None):
        """Until each question that the watch asks has been answered so many times more.

        More than now, or than when `server.seen()` was `since`. What was
        being answered then is the first of them.
        """
        paths = {"aws": AWS_PATHS.values(), "gcp": GCP_PATHS, "azure": (AZURE_PATH,)}
        before = (since or self.server.seen())["answers"]

        def answered():
            now = self.server.seen()["answers"]
            return all(now.get(path, 0) >= before.get(path, 0) + count
                       for path in paths[self.server.cloud])

        wait_until(answered, "further answers")


__all__ = ["CLOUDS", "Child", "WatchCase", "alive", "os", "pathlib", "signal", "wait_until"]
