"""Where snapshots outlive their machines."""

import contextlib
import os
import pathlib
import subprocess

NAME = "sim.npz"


class Place:
    """What a drill needs of a place: where machines fetch from and push to, and what can be
    made to go wrong with it."""

    can_corrupt = False
    can_vanish = False
    is_remote = True

    def __init__(self, url):
        self.url = url

    def snapshot(self, machine):
        """Where a machine writes its snapshot."""
        return machine / "local" / NAME

    @property
    def upload(self):
        """What it runs after that; the path is $1."""
        return 'mad-push -q "$1" "$DRILL_URL"'

    def close(self):
        pass

    def committed_step(self, directory, environment):
        """The step of the snapshot that a reader gets, verified; None where there is none."""
        copy = pathlib.Path(directory) / NAME
        for path in (copy, pathlib.Path(f"{copy}.manifest.json")):
            path.unlink(missing_ok=True)
        # Whatever was left there half done, a fetch has one whole snapshot, or none.
        done = run(["mad-fetch", "-q", "-o", str(copy), self.url], environment)
        if done.returncode == 5:
            return None
        for argv in (["mad-verify", "-q", str(copy)], ["mad-manifest", "get", str(copy), "step"]):
            if done.returncode != 0:
                break
            done = run(argv, environment)
        if done.returncode != 0:
            raise AssertionError(f"{self.url}: no good snapshot can be had: {done.stderr}")
        return int(done.stdout)


class FilesPlace(Place):
    """A place whose files we can reach."""

    can_corrupt = True
    root = None

    @contextlib.contextmanager
    def corrupted(self, chance):
        """One bit of the npz is another one meanwhile."""
        path = self.root / NAME
        at = chance.randrange(path.stat().st_size)
        flip(path, at)
        try:
            yield
        finally:
            flip(path, at)


class DirectoryPlace(FilesPlace):
    """A directory that every machine mounts: snapshots are written there at once."""

    is_remote = False

    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        self.root.mkdir(parents=True, exist_ok=True)
        super().__init__(str(self.root / NAME))

    def snapshot(self, machine):
        return pathlib.Path(self.url)

    @property
    def upload(self):
        return ":"


class WebPlace(FilesPlace):
    """A web server on this machine, with WebDAV's PUT."""

    can_vanish = True

    def __init__(self, directory):
        from servers import WEBDAV, Nginx

        self.root = pathlib.Path(directory)
        self.root.mkdir(parents=True)
        self._server = Nginx(directory.parent, self.root, WEBDAV).__enter__()
        super().__init__(self._server.url(f"/{NAME}"))

    def close(self):
        self._server.__exit__(None, None, None)

    @contextlib.contextmanager
    def vanished(self):
        """Nobody gets through meanwhile."""
        self._server.vanish()
        try:
            yield
        finally:
            self._server.come_back()


def flip(path, at):
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    # As a disk does it, without a trace.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def run(argv, environment):
    return subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=300, check=False)
