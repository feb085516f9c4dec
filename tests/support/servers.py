"""HTTP servers for the tests: a small one that fails on demand, and a real nginx.

    with FaultyServer() as server:
        server.put("/sim.npz", data, etag='"v1"')
        server.fail("/sim.npz", cut(after=1000), status(503))   # one a request, then honest
        server.always("/other", reset(after=0))
        run("mad-fetch", server.url("/sim.npz"))
        server.seen                                             # every request, in order

    with Nginx(tmp, root=tmp / "www") as nginx:
        run("mad-fetch", nginx.url("/sim.npz"))                 # plain HTTP
        run("mad-fetch", "--cacert", nginx.ca, nginx.url("/sim.npz", tls=True))
    with Nginx(tmp, root=tmp / "www", extra=WEBDAV) as nginx:
        run("mad-push", "sim.npz", nginx.url("/sim.npz"))       # PUT and DELETE

Both listen on a free port of 127.0.0.1 and are gone at the end of the `with`.
"""

import collections
import contextlib
import email.utils
import http.client
import os
import pathlib
import random
import socket
import ssl
import struct
import subprocess
import threading
import time

OLD_DATE = "Mon, 05 Jan 2026 10:00:00 GMT"

Object = collections.namedtuple("Object", "body etag last_modified headers")
Request = collections.namedtuple("Request", "method path query headers number")


class FaultyServer:
    """HTTP/1.1, one request a connection; honest about ranges unless told otherwise."""

    def __init__(self, tls=None):
        """`tls` is what make_ca() returned, for https."""
        self.objects = {}
        self.seen = []
        self._once = collections.defaultdict(collections.deque)
        self._always = {}
        self._counts = collections.Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._tls = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls.certificate, tls.key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def url(self, path, host="127.0.0.1", userinfo=""):
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{userinfo}{host}:{self.port}{path}"

    def put(self, path, body, etag=None, last_modified=None, headers=()):
        """`etag` with its quotes; `headers` are pairs added to each honest answer."""
        with self._lock:
            self.objects[path] = Object(bytes(body), etag, last_modified, tuple(headers))

    def put_snapshot(self, path, npz, etag=None, last_modified=None):
        """A pair on disk, at `path` and its manifest beside it."""
        self.put(path, pathlib.Path(npz).read_bytes(), etag, last_modified)
        manifest = pathlib.Path(str(npz) + ".manifest.json")
        self.put(path + ".manifest.json", manifest.read_bytes(), etag and f'"m{etag[1:]}')

    def remove(self, path):
        with self._lock:
            del self.objects[path]

    def fail(self, path, *faults):
        """The next requests for `path` meet these, one each; None is an honest answer."""
        with self._lock:
            self._once[path].extend(faults)

    def always(self, path, fault):
        with self._lock:
            self._always[path] = fault

    def requests(self, path):
        return [request for request in self.seen if request.path == path]

    # The rest is the server's own.

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                if not self._tls:
                    self._serve_one(connection)
                    return
                with self._tls.wrap_socket(connection, server_side=True) as secure:
                    self._serve_one(secure)
        except (OSError, ssl.SSLError):
            pass  # the client went away: its business

    def _serve_one(self, connection):
        request = self._read_request(connection)
        if request is None:
            return
        with self._lock:
            queue = self._once[request.path]
            fault = queue.popleft() if queue else self._always.get(request.path)
        if fault is None or fault(self, request, connection) is HONEST:
            self.answer(connection, request)
        finish(connection)

    def _read_request(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65536)
            if not more:
                return None
            head += more
        lines = head.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            key, value = line.split(":", 1)
            headers[key.strip().lower()] = value.strip()
        path, _, query = target.partition("?")
        with self._lock:
            self._counts[path] += 1
            request = Request(method, path, query, headers, self._counts[path])
            self.seen.append(request)
        return request

    def answer(self, connection, request, ranges=True, limit=None):
        """The honest answer; at most `limit` bytes of its body are sent."""
        with self._lock:
            found = self.objects.get(request.path)
        if found is None:
            send_head(connection, 404, [("Content-Length", "10")])
            connection.sendall(b"not found\n")
            return
        headers = list(found.headers)
        if found.etag:
            headers.append(("ETag", found.etag))
        if found.last_modified:
            headers.append(("Last-Modified", found.last_modified))
        code, body, size = 200, found.body, len(found.body)
        wanted = request.headers.get("range")
        condition = request.headers.get("if-range")
        if wanted and ranges and condition in (None, found.etag, found.last_modified):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= size:
                send_head(connection, 416, [("Content-Range", f"bytes */{size}"),
                                            ("Content-Length", "0")])
                return
            code, body = 206, body[start:]
            headers.append(("Content-Range", f"bytes {start}-{size - 1}/{size}"))
        headers.append(("Content-Length", str(len(body))))
        send_head(connection, code, headers)
        connection.sendall(body if limit is None else body[:limit])


HONEST = object()  # what a fault returns when the honest answer shall follow


def send_head(connection, code, headers):
    lines = [f"HTTP/1.1 {code} Reason"]
    lines += [f"{key}: {value}" for key, value in headers]
    lines += [f"Date: {email.utils.formatdate(usegmt=True)}", "Connection: close", "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1"))


def finish(connection):
    """An orderly end: the client has read everything before the socket closes."""
    try:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(5)
        while connection.recv(65536):
            pass
    except OSError:
        pass


def abort(connection):
    """A reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# Faults: each takes (server, request, connection) and answers, or returns HONEST.


def cut(after):
    """The whole length is promised, `after` bytes of the body come."""
    return lambda server, request, connection: server.answer(connection, request, limit=after)


def reset(after):
    """Like cut, ended by a reset; `after=None` resets before the first byte of an answer."""
    def fault(server, request, connection):
        if after is not None:
            server.answer(connection, request, limit=after)
            time.sleep(0.05)  # a reset overtakes what the client has not read yet
        abort(connection)
    return fault


def stall(after):
    """`after` bytes of the body come, then nothing, until the client leaves or the test ends."""
    def fault(server, request, connection):
        server.answer(connection, request, limit=after)
        connection.settimeout(0.05)
        while not server._closing.is_set():
            try:
                if not connection.recv(4096):
                    return
            except TimeoutError:
                continue
    return fault


def status(code, headers=(), body=b"no\n"):
    def fault(_server, _request, connection):
        send_head(connection, code, [*headers, ("Content-Length", str(len(body)))])
        connection.sendall(body)
    return fault


def redirect(location, code=302):
    return status(code, [("Location", location)])


def no_ranges(limit=None):
    """200 and the whole object whatever range was asked for."""
    return lambda server, request, connection: server.answer(
        connection, request, ranges=False, limit=limit)


def raw(text):
    """These bytes in place of an answer."""
    return lambda _server, _request, connection: connection.sendall(text)


def answer_with(code, headers, body):
    """This status line, these headers, this body, consistent or not."""
    def fault(_server, _request, connection):
        send_head(connection, code, headers)
        connection.sendall(body)
    return fault


def endless(headers=()):
    """A chunked body that never ends."""
    def fault(server, _request, connection):
        send_head(connection, 200, [*headers, ("Transfer-Encoding", "chunked")])
        chunk = b"10000\r\n" + b"\0" * 65536 + b"\r\n"
        while not server._closing.is_set():
            connection.sendall(chunk)
    return fault


def meanwhile(action, then=None):
    """`action()` happens on the server as the request arrives; then the honest answer, or `then`."""
    def fault(server, request, connection):
        action()
        return HONEST if then is None else then(server, request, connection)
    return fault


def afterwards(action):
    """The honest answer to a request for all, and `action()` before its last byte."""
    def fault(server, request, connection):
        last = server.objects[request.path].body[-1:]
        server.answer(connection, request, limit=-1)
        action()
        connection.sendall(last)
    return fault


# nginx and its certificates.

Certificates = collections.namedtuple("Certificates", "ca certificate key")


def make_ca(directory):
    """A CA of its own and a certificate of it for localhost and 127.0.0.1."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "openssl.cnf"
    config.write_text(
        "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=mad test\n"
        "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n"
        "subjectKeyIdentifier=hash\n"
        "[leaf]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
    )

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], cwd=directory, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-config", config, "-extensions", "ca", "-days", 2,
            "-subj", "/CN=mad test CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *curve, "-config", config, "-subj", "/CN=localhost",
            "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", 2, "-extfile", config, "-extensions", "leaf",
            "-out", "server.pem")
    return Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")


def free_port():
    """Where it can, below those that whoever asks for any port is given: it stays free."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100 if lowest > 12000 else 0):
        port = random.randrange(10240, lowest)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


# For Nginx(extra=): PUT and DELETE, of any size, into directories that need not exist.
WEBDAV = """
    dav_methods PUT DELETE;
    create_full_put_path on;
    client_max_body_size 0;
"""


class Nginx:
    """Debian's nginx over the files of `root`, on a plain and a TLS port.

    `extra` is put into the server block (locations, redirects, limits).
    Each request is a line of `log()`: status, method, URI, range, authorization, X-Secret.
    """

    def __init__(self, directory, root, extra=""):
        self.directory = pathlib.Path(directory) / "nginx"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.root = pathlib.Path(root)
        self.extra = extra
        self.certificates = make_ca(self.directory / "tls")
        self.ca = self.certificates.ca
        self.access_log = self.directory / "access.log"
        self._process = None
        self._marks = 0

    def url(self, path, tls=False, host="127.0.0.1", userinfo=""):
        port = self.tls_port if tls else self.port
        return f"{'https' if tls else 'http'}://{userinfo}{host}:{port}{path}"

    def log(self):
        """Every request that was answered; nginx writes its line after the answer went out."""
        self._marks += 1
        mark = f"/until-here-{self._marks}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", mark)
        connection.getresponse().read()
        connection.close()
        # There is one process, which ends a request before it turns to the next.
        while f" {mark} " not in (text := self.access_log.read_text()):
            time.sleep(0.001)
        return [line for line in text.splitlines() if " /until-here-" not in line]

    def __enter__(self):
        for _ in range(10):  # another process may take a port between the probe and nginx
            self.port, self.tls_port = free_port(), free_port()
            self._write_config()
            if self._start():
                return self
        raise RuntimeError((self.directory / "error.log").read_text())

    def __exit__(self, *_):
        self.vanish()

    def vanish(self):
        """Every connection is cut, and new ones are refused."""
        self._process.terminate()
        self._process.wait()

    def come_back(self):
        """At the same ports."""
        if not self._start():
            raise RuntimeError((self.directory / "error.log").read_text())

    def _start(self):
        self._process = subprocess.Popen(
            ["nginx", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"),
             "-e", str(self.directory / "error.log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
        return self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=5).close()
                if self._process.poll() is None:
                    return True
            except OSError:
                time.sleep(0.01)
        return False

    def _write_config(self):
        scratch = "".join(
            f"  {kind}_temp_path {self.directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.directory / "nginx.conf").write_text(
            f"""daemon off;
master_process off;
pid {self.directory}/pid;
error_log {self.directory}/error.log;
events {{ worker_connections 256; }}
http {{
{scratch}  log_format facts '$status $request_method $request_uri range=$http_range '
    'auth=$http_authorization secret=$http_x_secret';
  access_log {self.access_log} facts;
  sendfile on;
  types {{ }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{self.port};
    listen 127.0.0.1:{self.tls_port} ssl;
    ssl_certificate {self.certificates.certificate};
    ssl_certificate_key {self.certificates.key};
    root {self.root};
{self.extra}
  }}
}}
""")
