"""A reverse proxy that fails as it is told to, in front of a server that does not.

    with FaultProxy(S3.port) as proxy:
        proxy.fail(slow_down(), times=3)                       # the next three requests
        proxy.fail(reset(after=1000), method="GET", path=r"/sim\\.npz$", skip=2)
        proxy.fail(lost_answer(), method="POST", path="uploadId=")   # done, but unheard of
        run("mad-fetch", …, env=S3.environment(endpoint=proxy.endpoint()))
        proxy.requests(method="GET", path=r"/sim\\.npz$")       # [Seen], in order of arrival
        proxy.most_at_once                                     # requests in flight together

The first rule that matches takes a request: `method`, a regular expression found in the
target (path and query, as sent), `when(seen)`; it passes over `skip` matches, then serves
`times` (None: for ever).  Everything else goes through unchanged, Host included, so that
signatures hold.  HTTP/1.1 with persistent connections, one thread each; `tls` (of make_ca)
makes it https, `upstream_tls` (the same) speaks https to the server.
"""

import calendar
import contextlib
import dataclasses
import email.utils
import fcntl
import hashlib
import re
import select
import socket
import ssl
import termios
import threading
import time

from servers import abort

BLOCK = 1 << 16
SECRET_HEADERS = ("authorization", "x-amz-security-token", "cookie", "x-secret")
SECRET_QUERY = re.compile(r"(?i)\b(sig|signature|x-amz-(?:signature|security-token|credential)"
                          r"|upload_id|access_token)=[^&]*")


@dataclasses.dataclass
class Seen:
    """A request; nothing secret in it.  `credential` tells one apart from another."""
    method: str
    path: str
    query: str
    headers: dict
    credential: str = ""
    length: int = 0        # bytes of the body that came
    status: int = 0        # what the client was told; 0: nothing
    sent: int = 0          # bytes of the answer's body


@dataclasses.dataclass
class Rule:
    fault: object
    method: str
    path: str
    when: object
    skip: int
    times: object


class Gone(Exception):
    """The connection is at its end."""


class FaultProxy:
    def __init__(self, port, tls=None, upstream_tls=None):
        self.upstream_port = port
        self.seen = []
        self.most_at_once = 0
        self.released = threading.Event()
        self.closing = threading.Event()
        self._rules = []
        self._in_flight = []
        self._lock = threading.Lock()
        self._open = set()
        self._tls = self._upstream_tls = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls.certificate, tls.key)
        if upstream_tls:
            self._upstream_tls = ssl.create_default_context(cafile=str(upstream_tls.ca))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def endpoint(self, host="127.0.0.1"):
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def fail(self, fault, method=None, path="", when=None, skip=0, times=1):
        with self._lock:
            self._rules.append(Rule(fault, method, path, when, skip, times))

    def honest(self):
        """From now on, no rule holds."""
        with self._lock:
            self._rules.clear()

    def release(self):
        """Every stall goes on, those to come too."""
        self.released.set()

    def requests(self, method=None, path=""):
        with self._lock:
            return [seen for seen in self.seen if matches(seen, method, path)]

    # The rest is the proxy's own.

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError, Gone), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connection = stack.enter_context(
                    self._tls.wrap_socket(connection, server_side=True))
            with self._lock:
                self._open.add(connection)
            stack.callback(self._forget, connection)
            reader = stack.enter_context(connection.makefile("rb"))
            while not self.closing.is_set():
                self._serve_one(connection, reader)

    def _forget(self, connection):
        with self._lock:
            self._open.discard(connection)

    def _serve_one(self, connection, reader):
        exchange = Exchange(self, connection, reader)
        with self._lock:
            self.seen.append(exchange.seen)
            self._in_flight.append(exchange)
            unanswered = sum(not other.answered for other in self._in_flight)
            self.most_at_once = max(self.most_at_once, unanswered)
            fault = self._take_rule(exchange.seen)
        try:
            (fault or Exchange.forward)(exchange)
        finally:
            with self._lock:
                self._in_flight.remove(exchange)

    def _take_rule(self, seen):
        for rule in self._rules:
            if rule.times == 0 or not matches(seen, rule.method, rule.path):
                continue
            if rule.when and not rule.when(seen):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
            return rule.fault
        return None

    def connect(self):
        upstream = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=60)
        if self._upstream_tls:
            upstream = self._upstream_tls.wrap_socket(upstream, server_hostname="127.0.0.1")
        return upstream


def matches(seen, method, path):
    target = seen.path + ("?" + seen.query if seen.query else "")
    return method in (None, seen.method) and re.search(path, target) is not None


class Exchange:
    """One request and its answer on their way through: what a fault works on.

    A fault answers by itself, breaks the connection, or changes what follows and forwards.
    """

    def __init__(self, proxy, client, reader):
        self.proxy, self.client, self.reader = proxy, client, reader
        start, self.headers = read_head(reader)
        self.method, self.target, _ = start.split(" ", 2)
        self.lower = {key.lower(): value for key, value in self.headers}
        path, _, query = self.target.partition("?")
        hidden = {key: "…" if key in SECRET_HEADERS else value
                  for key, value in self.lower.items()}
        self.seen = Seen(self.method, path, SECRET_QUERY.sub(r"\1=…", query), hidden,
                         name_credential(self.lower.get("authorization", "")))
        # (offset, bytes) -> bytes, of what goes up and of what comes down; they may break off.
        self.change_upload = self.change_body = lambda _offset, data: data
        self.change_head = lambda status, headers: (status, headers)
        self._upload = self._upload_blocks()
        self._chunked = False
        # Before the client can know that it is, which may then ask for something else.
        self.answered = False

    def set_header(self, name, value):
        """Of the request, as the server gets it; None removes it."""
        self.headers = replace_header(self.headers, name, value)

    def _upload_blocks(self):
        if self.lower.get("expect", "").lower() == "100-continue":
            self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        for block in read_body(self.reader, self.lower, to_the_end=False):
            offset = self.seen.length
            self.seen.length += len(block)
            yield self.change_upload(offset, block)

    def forward(self):
        with contextlib.closing(self.proxy.connect()) as upstream:
            self._send_request(upstream)
            with upstream.makefile("rb") as reader:
                self._relay_answer(reader)
        self._read_on()

    def answer(self, status, headers=(), body=b""):
        """An answer of the proxy's own, after the whole request has come."""
        self._read_on()
        names = [key.lower() for key, _ in headers]
        headers = [*headers, ("Content-Length", str(len(body)))]
        if "date" not in names:
            headers.append(("Date", email.utils.formatdate(usegmt=True)))
        self.seen.status = status
        self.answered = True
        self.client.sendall(format_head(f"HTTP/1.1 {status} Reason", headers))
        if self.method != "HEAD":
            self.client.sendall(body)

    def send_body(self, block):
        self.seen.sent += len(block)
        self.client.sendall(format_chunk(block) if self._chunked else block)

    def reset(self):
        """What was sent arrives, then a reset."""
        waiting = b"\1"
        while any(waiting) and not self.proxy.closing.is_set():
            waiting = fcntl.ioctl(self.client.fileno(), termios.TIOCOUTQ, bytes(4))
            time.sleep(0.002)
        abort(self.client)
        raise Gone

    def close(self):
        """What was sent arrives, then an orderly end."""
        self.client.shutdown(socket.SHUT_WR)
        self.client.settimeout(5)
        while self.client.recv(BLOCK):
            pass
        raise Gone

    def stall(self):
        """Until release(), the client's leave or the end of the test."""
        while not self.proxy.released.wait(0.02):
            readable, _, _ = select.select([self.client], [], [], 0)
            if readable and not self.client.recv(1, 0 if self._is_tls() else socket.MSG_PEEK):
                raise Gone

    def _read_on(self):
        """To the end of the request: the next one stands behind it."""
        for _ in self._upload:
            pass

    def _is_tls(self):
        return isinstance(self.client, ssl.SSLSocket)

    def _send_request(self, upstream):
        # One request a connection, so that no idle one is met that the server is closing.
        headers = [(key, value) for key, value in self.headers
                   if key.lower() not in ("connection", "expect", "keep-alive")]
        chunked = "transfer-encoding" in self.lower
        upstream.sendall(format_head(f"{self.method} {self.target} HTTP/1.1",
                                     [*headers, ("Connection", "close")]))
        for block in self._upload:
            try:
                upstream.sendall(format_chunk(block) if chunked else block)
            except (BrokenPipeError, ConnectionResetError):
                return  # a server may refuse before it has read all
        if chunked:
            upstream.sendall(b"0\r\n\r\n")

    def _relay_answer(self, reader):
        while True:
            start, headers = read_head(reader)
            status = int(start.split(" ")[1])
            if status >= 200:
                break
        lower = {key.lower(): value for key, value in headers}
        headers = [(key, value) for key, value in headers
                   if key.lower() not in ("connection", "keep-alive")]
        bodiless = self.method == "HEAD" or status in (204, 304)
        ended = bodiless or "content-length" in lower or "transfer-encoding" in lower
        told, headers = self.change_head(status, headers)
        if not ended:
            headers.append(("Connection", "close"))
        self.seen.status = told
        self.answered = bodiless or lower.get("content-length") == "0"
        self.client.sendall(format_head(f"HTTP/1.1 {told} Reason", headers))
        if not bodiless:
            self._relay_body(reader, lower)
        if not ended:
            self.close()

    def _relay_body(self, reader, lower):
        self._chunked = "transfer-encoding" in lower
        to_come = int(lower.get("content-length", -1))
        for block in read_body(reader, lower, to_the_end=True):
            to_come -= len(block)
            changed = self.change_body(self.seen.sent, block)
            self.answered = to_come == 0
            self.send_body(changed)
        self.answered = True
        if self._chunked:
            self.client.sendall(b"0\r\n\r\n")


def read_head(reader):
    """(first line, [(name, value)])"""
    lines = []
    while True:
        line = reader.readline(1 << 16)
        if not line:
            raise Gone
        line = line.decode("latin-1").rstrip("\r\n")
        if not line:
            break
        lines.append(line)
    pairs = (line.split(":", 1) for line in lines[1:])
    return lines[0], [(key.strip(), value.strip()) for key, value in pairs]


def read_body(reader, lower, to_the_end):
    """Blocks; without a length all there is `to_the_end`, or nothing."""
    if lower.get("transfer-encoding", "").lower() == "chunked":
        while size := int(reader.readline().split(b";")[0], 16):
            yield from read_blocks(reader, size)
            reader.readline()
        while reader.readline().strip():
            pass
    elif "content-length" in lower:
        yield from read_blocks(reader, int(lower["content-length"]))
    elif to_the_end:
        while block := reader.read1(BLOCK):
            yield block


def read_blocks(reader, size):
    while size:
        block = reader.read1(min(size, BLOCK))
        if not block:
            raise Gone
        size -= len(block)
        yield block


def format_head(start, headers):
    lines = [start, *(f"{key}: {value}" for key, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def format_chunk(block):
    return b"%x\r\n%b\r\n" % (len(block), block) if block else b""


def replace_header(headers, name, value):
    kept = [pair for pair in headers if pair[0].lower() != name.lower()]
    return kept if value is None else [*kept, (name, value)]


def name_credential(authorization):
    """The access key, which is no secret; else the scheme and a digest of the rest."""
    key = re.search(r"Credential=([^/]+)/", authorization)
    if key or not authorization:
        return key[1] if key else ""
    scheme, _, rest = authorization.partition(" ")
    return scheme + " " + hashlib.sha256(rest.encode()).hexdigest()[:8]


# Faults in place of an answer.


def status(code, headers=(), body=b"no\n", retry_after=None):
    """The server never sees the request."""
    headers = list(headers)
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return lambda exchange: exchange.answer(code, headers, body)


def s3_error(code, name, **options):
    body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{name}</Code><Message>{name}, '
            "says the test</Message><RequestId>1</RequestId></Error>")
    return status(code, [("Content-Type", "application/xml")], body.encode(), **options)


def slow_down(retry_after=None):
    return s3_error(503, "SlowDown", retry_after=retry_after)


def expired_token():
    return s3_error(400, "ExpiredToken")


def azure_error(code, name, **options):
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{name}</Code></Error>'
    return status(code, [("Content-Type", "application/xml"), ("x-ms-error-code", name)],
                  body.encode(), **options)


def gcs_error(code, reason, **options):
    body = f'{{"error":{{"code":{code},"message":"{reason}","errors":[{{"reason":"{reason}"}}]}}}}'
    return status(code, [("Content-Type", "application/json")], body.encode(), **options)


def skewed_clock(seconds, sign=None):
    """A server whose clock is `seconds` ahead: 403 RequestTimeTooSkewed, and its Date, to a
    request more than 15 minutes off.  `sign` (RadosGW.sign_again) signs the others for the
    time there really is; without it the server behind must not look at signatures."""
    def fault(exchange):
        there = time.time() + seconds
        stamp = time.strptime(exchange.lower["x-amz-date"], "%Y%m%dT%H%M%SZ")
        date = ("Date", email.utils.formatdate(there, usegmt=True))
        if abs(calendar.timegm(stamp) - there) > 900:
            exchange.answer(403, [date, ("Content-Type", "application/xml")],
                            b"<Error><Code>RequestTimeTooSkewed</Code></Error>")
            return
        if sign:
            exchange.headers = sign(exchange.method, exchange.target, exchange.headers)
        exchange.change_head = lambda code, headers: (code, replace_header(headers, *date))
        exchange.forward()
    return fault


# Faults of the connection.  `after` counts bytes of the answer's body.


def broken_off(after, end):
    """An answer of which `after` bytes come before end(exchange)."""
    def fault(exchange):
        if after is None:
            end(exchange)
            return

        def change_body(offset, block):
            if not offset <= after < offset + len(block):
                return block
            exchange.send_body(block[:after - offset])
            end(exchange)
            return block[after - offset:]
        exchange.change_body = change_body
        exchange.forward()
    return fault


def reset(after=None):
    """None: once the head of the request is read, which the server never sees."""
    return broken_off(after, Exchange.reset)


def cut(after=None):
    """An orderly end too early."""
    return broken_off(after, Exchange.close)


def stall(after=None):
    """Nothing more until release(), then the rest of the answer, or for None the answer."""
    if after is not None:
        return broken_off(after, Exchange.stall)

    def fault(exchange):
        exchange.stall()
        exchange.forward()
    return fault


def broken_upload(after, end):
    """Of the request's body about `after` bytes go on to the server, then end(exchange)."""
    def fault(exchange):
        def change_upload(offset, block):
            if offset <= after < offset + len(block):
                end(exchange)
            return block
        exchange.change_upload = change_upload
        exchange.forward()
    return fault


def reset_upload(after):
    return broken_upload(after, Exchange.reset)


def stall_upload(after):
    return broken_upload(after, Exchange.stall)


def lost_answer():
    """The server does as it was asked; the client never hears of it."""
    def fault(exchange):
        exchange.change_head = lambda _status, _headers: exchange.reset()
        exchange.forward()
    return fault


# Faults of what an answer says.


def flip(at):
    """The lowest bit of byte `at` of the answer's body."""
    def fault(exchange):
        exchange.change_body = flipping(at)
        exchange.forward()
    return fault


def flip_upload(at):
    """The same of the request's body."""
    def fault(exchange):
        exchange.change_upload = flipping(at)
        exchange.forward()
    return fault


def flipping(at):
    def change(offset, block):
        if not offset <= at < offset + len(block):
            return block
        block = bytearray(block)
        block[at - offset] ^= 1
        return bytes(block)
    return change


def header(name, value, code=None):
    """The honest answer with a header (None: without it), and another status if `code`."""
    def fault(exchange):
        exchange.change_head = lambda honest, headers: (
            code or honest, replace_header(headers, name, value))
        exchange.forward()
    return fault


def etag(value):
    return header("ETag", value)


def content_range(value):
    """The bytes that were asked for under another Content-Range."""
    return header("Content-Range", value)


def date(seconds):
    """The server's clock, as its answers tell it, `seconds` off."""
    return lambda exchange: header("Date", email.utils.formatdate(
        time.time() + seconds, usegmt=True))(exchange)


def other_range(by, lying=False):
    """Bytes from `by` further on than asked, said so in Content-Range, or not if `lying`."""
    def fault(exchange):
        first, last = exchange.lower["range"].removeprefix("bytes=").split("-")
        moved = f"bytes={int(first) + by}-" + (str(int(last) + by) if last else "")
        exchange.set_header("Range", moved)
        if lying:
            exchange.change_head = lambda status, headers: (status, unmove(headers, by))
        exchange.forward()
    return fault


def unmove(headers, by):
    found = {key.lower(): value for key, value in headers}["content-range"]
    first, last, size = re.fullmatch(r"bytes (\d+)-(\d+)/(.*)", found).groups()
    return replace_header(headers, "Content-Range",
                          f"bytes {int(first) - by}-{int(last) - by}/{size}")


def no_ranges():
    """200 and the whole, whatever range was asked for."""
    def fault(exchange):
        exchange.set_header("Range", None)
        exchange.forward()
    return fault


# Things that happen around an honest answer.


def meanwhile(action):
    """`action()` before the server sees the request: a new version of the object, say."""
    def fault(exchange):
        action()
        exchange.forward()
    return fault


def together(count):
    """The proof of parallelism: nobody is answered before `count` requests are there
    (use with times=count); 500 when they do not come within half a minute."""
    barrier = threading.Barrier(count)

    def fault(exchange):
        try:
            barrier.wait(30)
        except threading.BrokenBarrierError:
            exchange.answer(500)
            return
        exchange.forward()
    return fault
