"""A running MADDENING server, as far as mad-snapshot sees it: a state of NumPy arrays that steps
until it is paused, and the endpoints that pause, resume and save it (version 0.3.1; a token and a
place for checkpoints as 0.4 has them).

    with MaddeningServer(arrays) as server:
        server.fault("/checkpoint/save", answer(400, b'{"detail": "no"}'))   # until taken back
        run("mad-snapshot", server.url, …)
        server.seen, server.paused                    # what was asked, what became of it

A fault is called as fault(server, path) in place of the endpoint and returns (status, body), or
None for an answer that never ends; it may raise Cut, which closes the connection.
"""

import contextlib
import json
import os
import pathlib
import socket
import threading
import urllib.parse

import numpy as np


class Cut(Exception):
    """The connection is closed without an answer."""


def answer(status, body=b"{}"):
    return lambda server, path: (status, body)


def hang(server, path):
    return None


def cut(server, path):
    raise Cut


def after(fault, do=None):
    """The endpoint does its work (`do`: another one), then the fault comes."""
    def both(server, path):
        (do or type(server).save)(server, path)
        return fault(server, path)
    return both


def broken(change):
    """What was saved is other bytes: change(bytes) of them."""
    def fault(server, path):
        done = server.save(path)
        file = pathlib.Path(path)
        file.write_bytes(change(file.read_bytes()))
        return done
    return fault


class MaddeningServer:
    def __init__(self, arrays, started=True, token=None):
        self.arrays = {key: np.array(value) for key, value in arrays.items()}
        self.started = started
        self.token = token
        self.paused = False
        self.pauses = 0
        self.seen = []
        self.faults = {}
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def stop_listening(self):
        """As a server that has died: connections are refused from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def fault(self, path, fault):
        if fault is None:
            self.faults.pop(path, None)
        else:
            self.faults[path] = fault

    # What the endpoints do.

    def step(self):
        if self.started and not self.paused:
            self.arrays["_meta/step_count"] = self.arrays["_meta/step_count"] + 1

    def pause(self, _=None):
        if not self.started:
            return 409, b'{"detail": "Runner is not started."}'
        self.paused = True
        self.pauses += 1
        return 200, b'{"status": "paused"}'

    def resume(self, _=None):
        if not self.started:
            return 409, b'{"detail": "Runner is not started."}'
        self.paused = False
        return 200, b'{"status": "resumed"}'

    def save(self, path):
        try:
            np.savez(path, **self.arrays)
        except OSError as error:
            return 400, json.dumps({"detail": str(error)}).encode()
        return 200, json.dumps({"status": "ok", "path": path}).encode()

    # The rest is HTTP.

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, Cut):
            reader = connection.makefile("rb")
            while line := reader.readline():
                method, target, _ = line.decode("ascii").split()
                headers = {}
                while (header := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                reader.read(int(headers.get("content-length", 0)))
                self._answer(connection, method, target, headers)

    def _answer(self, connection, method, target, headers):
        parts = urllib.parse.urlsplit(target)
        self.seen.append(f"{method} {parts.path}")
        path = urllib.parse.parse_qs(parts.query).get("path", [""])[0]
        endpoints = {"/sim/pause": self.pause, "/sim/resume": self.resume,
                     "/checkpoint/save": self.save}
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            reply = 401, b'{"detail": "Not authenticated"}'
        elif parts.path in self.faults:
            reply = self.faults[parts.path](self, path)
        elif method == "POST" and parts.path in endpoints:
            self.step()
            reply = endpoints[parts.path](path)
        else:
            reply = 404, b'{"detail": "Not Found"}'
        if reply is None:
            self._closing.wait()
            raise Cut
        status, body = reply
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def main():
    """A server of its own, for scripts: prints its URL and serves until standard input ends."""
    with MaddeningServer({"ball/pos": np.arange(3.0), "_meta/step_count": np.int64(7)}) as server:
        print(server.url, flush=True)
        os.read(0, 1)


if __name__ == "__main__":
    main()
