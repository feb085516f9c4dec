"""A fake of Google Cloud Storage's JSON API for the tests; no faithful server installs here.

    with FakeGCS() as gcs:
        gcs.buckets["b"] = {}
        gcs.put("b", "k", data)                        # and gcs.get, .keys, .find, .delete
        run("mad-fetch", "gs://b/k", env=gcs.environment())             # anonymous
        run("mad-fetch", "--endpoint-url", gcs.endpoint(), "gs://b/k",
            env=gcs.service_account(tmp))                               # JWT for a token
        gcs.expire_tokens()                            # every one handed out: 401 from now on
        gcs.seen                                       # [Request], without what is secret

tests/interop/fake_gcs_test.py holds it against rclone.  From Google's reference of the API
("Objects", "Resumable uploads", "Using OAuth 2.0 for Server to Server Applications"):
media, multipart and resumable upload (308 and Range, chunks of 256 KiB, of which a prefix
may be kept; `bytes */N` asks, also after the end; X-Goog-Hash with the last; DELETE cancels
with 499; the session's URI is its own credential), alt=media with ranges, generations and
decompressive transcoding, list in pages, patch, delete, `fields`, ifGenerationMatch (0:
absent) and ifGenerationNotMatch, metadata, md5Hash, crc32c, and the token of a metadata
server.  `FakeGCS(auth=True)` refuses requests without a valid token.
"""

import base64
import collections
import email.parser
import email.policy
import gzip
import hashlib
import http.server
import itertools
import json
import pathlib
import re
import secrets
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import numpy as np

CHUNK = 256 * 1024  # every chunk of a resumable upload but the last is a multiple of it
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = re.compile(r"https://www\.googleapis\.com/auth/(devstorage\.(read_write|full_control)"
                    r"|cloud-platform)")

Object = collections.namedtuple(
    "Object", "body generation metadata content_type created md5 crc32c encoding metageneration")
Request = collections.namedtuple("Request", "method path query headers length status")


REASONS = {400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound",
           412: "conditionNotMet", 416: "requestedRangeNotSatisfiable"}


class Refused(Exception):
    def __init__(self, status, reason, headers=()):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class FakeGCS:
    def __init__(self, auth=False, tls=None, token_seconds=3600, page_size=1000):
        """`tls` is what servers.make_ca() returned; `page_size` is the most a list page has."""
        self.auth, self.token_seconds, self.page_size = auth, token_seconds, page_size
        self.buckets = {}
        self.seen = []
        self.sessions = {}  # resumable uploads that were neither completed nor cancelled
        self.completed = {}  # those that were: what the last answer said
        self.kept_bytes = None  # of each chunk at most so many are kept, if it is set
        self.tokens = {}    # token: when it expires
        self.scopes = {}    # token: what it is good for, where that was asked for
        self.grants = 0     # tokens handed out
        self.lock = threading.RLock()
        self._generations = itertools.count(1_700_000_000_000_000)
        self._directory = tempfile.TemporaryDirectory(prefix="mad-gcs-")
        self.public_key = pathlib.Path(self._directory.name) / "public.pem"
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.gcs = self
        self.port = self._server.server_port
        self._scheme = "https" if tls else "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            # The handshake belongs to the connection's own thread.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)

    def start(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._directory.cleanup()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def endpoint(self):
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def environment(self, endpoint=None):
        """What the tools need to find it, `endpoint` being a proxy in front."""
        return {"STORAGE_EMULATOR_HOST": endpoint or self.endpoint()}

    def service_account(self, directory):
        """A new service account whose key is a file in `directory`; the endpoint must be given
        as an option, for an emulator is asked anonymously."""
        key = pathlib.Path(directory) / "service-account.json"
        private = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
        self.public_key.write_bytes(openssl("pkey", "-pubout", stdin=private))
        key.write_text(json.dumps({
            "type": "service_account", "project_id": "tests", "private_key_id": "1",
            "private_key": private.decode(), "client_email": "tests@tests.example",
            "client_id": "1", "token_uri": self.endpoint() + "/token"}))
        key.chmod(0o600)
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(key)}

    def metadata_service(self):
        """The variables by which it is also the metadata server of a virtual machine."""
        return {"GCE_METADATA_HOST": f"127.0.0.1:{self.port}"}

    def rclone_environment(self, remote="GS", service_account=None):
        """rclone knows it as the remote `GS:`; `service_account` is a key file."""
        options = {"TYPE": "google cloud storage", "ENDPOINT": self.endpoint() + "/storage/v1/",
                   "BUCKET_POLICY_ONLY": "true", "PROJECT_NUMBER": "1"}
        if service_account:
            options["SERVICE_ACCOUNT_FILE"] = str(service_account)
        else:
            options["ANONYMOUS"] = "true"
        return {f"RCLONE_CONFIG_{remote}_{key}": value for key, value in options.items()}

    def token(self, seconds=None, scope=None):
        """Hands out a bearer token, for `scope` or for everything."""
        token = "ya29." + secrets.token_urlsafe(24)
        with self.lock:
            self.tokens[token] = time.time() + (seconds or self.token_seconds)
            self.scopes[token] = scope
            self.grants += 1
        return token

    def expire_tokens(self):
        with self.lock:
            self.tokens.clear()

    # The objects, to arrange a test and to look at what a tool left there.

    def bucket(self, name):
        self.buckets.setdefault(name, {})
        return name

    def put(self, bucket, name, body, metadata=None, content_type="application/octet-stream",
            encoding=None):
        """Returns the new generation; `encoding` is what `gsutil cp -Z` sets to gzip."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        with self.lock:
            made = Object(bytes(body), next(self._generations), dict(metadata or {}),
                          content_type, now, format_md5(body), format_crc32c(body), encoding, 1)
            self.buckets[bucket][name] = made
        return made.generation

    def find(self, bucket, name):
        """The Object, or None."""
        with self.lock:
            return self.buckets[bucket].get(name)

    def get(self, bucket, name):
        return self.find(bucket, name).body

    def keys(self, bucket):
        with self.lock:
            return {name: len(found.body) for name, found in sorted(self.buckets[bucket].items())}

    def delete(self, bucket, name):
        with self.lock:
            del self.buckets[bucket][name]


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away: its business
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def do_any(self):
        self.gcs = self.server.gcs
        split = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.body, whole = self._read_body()
        try:
            if not whole:
                self._take_cut_off()
                return
            self._route(split.path)
        except Refused as refused:
            self._send_error(refused)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_any

    def log_message(self, *_):
        pass

    def _read_body(self):
        """(bytes, whether they are all)"""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            length = int(self.headers.get("content-length", 0))
            body = bytearray()
            while len(body) < length:
                try:
                    block = self.rfile.read1(length - len(body))
                except ConnectionError:
                    block = b""
                if not block:
                    break
                body += block
            return bytes(body), len(body) == length
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return bytes(body), True

    def _take_cut_off(self):
        """Of a request that broke off only a session's chunk has an effect: what came of it."""
        self.close_connection = True
        identity = self.query.get("upload_id")
        match = re.match(r"bytes (\d+)-", self.headers.get("content-range", ""))
        with self.gcs.lock:
            if match and identity in self.gcs.sessions:
                held = self.gcs.sessions[identity][-1]
                kept = self.body[:len(self.body) // CHUNK * CHUNK]
                held += kept[len(held) - int(match[1]):]
        self._record(0)

    def _route(self, path):
        if path == "/token":
            return self._exchange_jwt()
        if path.startswith("/computeMetadata/v1/"):
            return self._metadata_service(path.removeprefix("/computeMetadata/v1/"))
        if "upload_id" not in self.query:
            self._check_token()
        match = re.fullmatch(r"(/upload|/download)?/storage/v1/b(?:/([^/]+)(?:/o(?:/(.+))?)?)?/?",
                             path)
        if not match or not match[2]:
            raise Refused(404, "no such API")
        kind, bucket, name = match[1], urllib.parse.unquote(match[2]), match[3]
        name = name and urllib.parse.unquote(name)
        if bucket not in self.gcs.buckets:
            raise Refused(404, f"No such object: {bucket}/{name}" if name else
                          "The specified bucket does not exist.")
        if kind == "/upload":
            return self._upload(bucket)
        if not re.search("/o(/|$)", path):
            return self._send_json({"kind": "storage#bucket", "name": bucket, "id": bucket})
        if name is None:
            return self._list(bucket)
        return self._object(bucket, name, media=kind == "/download")

    # Tokens.

    def _exchange_jwt(self):
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        try:
            if form["grant_type"] != JWT_BEARER:
                raise ValueError("grant_type")
            scope = self._check_jwt(form["assertion"])
        except (KeyError, ValueError, subprocess.CalledProcessError) as error:
            return self._send_json({"error": "invalid_grant", "error_description": repr(error)}, 400)
        return self._send_token(scope)

    def _check_jwt(self, assertion):
        """Returns the scope that is asked for."""
        text, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(decode_base64url(part)) for part in text.split("."))
        if header["alg"] != "RS256":
            raise ValueError("alg")
        with tempfile.NamedTemporaryFile() as file:
            file.write(decode_base64url(signature))
            file.flush()
            openssl("dgst", "-sha256", "-verify", self.gcs.public_key, "-signature", file.name,
                    stdin=text.encode())
        now = time.time()
        if claims["iss"] != "tests@tests.example" or not SCOPES.search(claims["scope"]):
            raise ValueError("iss or scope")
        if claims["aud"] != self.gcs.endpoint() + "/token":
            raise ValueError("aud")
        if not now - 3600 < claims["iat"] <= now + 300 or claims["exp"] - claims["iat"] > 3600:
            raise ValueError("iat")
        if claims["exp"] < now:
            raise ValueError("exp")
        return claims["scope"]

    def _metadata_service(self, path):
        if self.headers.get("metadata-flavor") != "Google":
            raise Refused(403, "Missing Metadata-Flavor:Google header.")
        if path != "instance/service-accounts/default/token":
            raise Refused(404, "no such metadata")
        return self._send_token()

    def _send_token(self, scope=None):
        self._send_json({"access_token": self.gcs.token(scope=scope), "expires_in": self.gcs.token_seconds,
                         "token_type": "Bearer"}, headers=[("Metadata-Flavor", "Google")])

    def _check_token(self):
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        if not kind and not self.gcs.auth:
            return
        if kind != "Bearer" or self.gcs.tokens.get(token, 0) < time.time():
            raise Refused(401, "Invalid Credentials", [("WWW-Authenticate", "Bearer")])

    # Objects.

    def _object(self, bucket, name, media):
        with self.gcs.lock:
            found = self.gcs.find(bucket, name)
            wanted = self.query.get("generation")
            if found is None or wanted and int(wanted) != found.generation:
                raise Refused(404, f"No such object: {bucket}/{name}")
            self._check_conditions(found)
            if self.command == "DELETE":
                self.gcs.delete(bucket, name)
                return self._send(204, [], b"")
            if self.command == "PATCH":
                # objects.patch is not among what devstorage.read_write is good for.
                scope = self.gcs.scopes.get(self.headers.get("authorization", "").split(" ")[-1])
                if scope and scope.endswith(".read_write"):
                    raise Refused(403, "Request had insufficient authentication scopes.")
                metadata = {**found.metadata, **json.loads(self.body).get("metadata", {})}
                metadata = {key: value for key, value in metadata.items() if value is not None}
                found = found._replace(metadata=metadata, metageneration=found.metageneration + 1)
                self.gcs.buckets[bucket][name] = found
        if media or self.query.get("alt") == "media":
            return self._send_media(found)
        return self._send_json(self._resource(bucket, name, found))

    def _check_conditions(self, found):
        generation = found.generation if found else 0
        match, no_match = (self.query.get(key) for key in
                           ("ifGenerationMatch", "ifGenerationNotMatch"))
        if match is not None and int(match) != generation:
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.")
        if no_match is not None and int(no_match) == generation:
            raise Refused(304 if self.command == "GET" else 412, "generation matches")

    def _send_media(self, found):
        body, size, status = found.body, len(found.body), 200
        encoding = found.encoding or "identity"
        headers = [("x-goog-generation", found.generation), ("x-goog-stored-content-length", size),
                   ("x-goog-metageneration", found.metageneration),
                   ("x-goog-stored-content-encoding", encoding),
                   ("x-goog-hash", "crc32c=" + found.crc32c),
                   ("x-goog-hash", "md5=" + found.md5), ("ETag", etag(found)),
                   ("Content-Type", found.content_type), ("Accept-Ranges", "bytes")]
        if encoding == "gzip" and "gzip" not in self.headers.get("accept-encoding", ""):
            # Decompressive transcoding: any range is ignored, the hashes are those of the stored.
            headers.append(("Warning", "214 UploadServer gunzipped"))
            return self._send(200, headers, gzip.decompress(body))
        if encoding != "identity":
            headers.append(("Content-Encoding", encoding))
        span = parse_range(self.headers.get("range"), size)
        if span:
            first, end = span
            if first >= size:
                raise Refused(416, "range not satisfiable",
                              [("Content-Range", f"bytes */{size}")])
            body, status = body[first:end], 206
            headers.append(("Content-Range", f"bytes {first}-{end - 1}/{size}"))
        self._send(status, headers, body)

    def _list(self, bucket):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        start = base64.urlsafe_b64decode(self.query.get("pageToken", "")).decode()
        limit = min(int(self.query.get("maxResults", 1000)), self.gcs.page_size)
        items, prefixes, last = [], [], None
        with self.gcs.lock:
            objects = sorted(self.gcs.buckets[bucket].items())
        for name, found in objects:
            if not name.startswith(prefix):
                continue
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            entry = name if end < 0 else name[:end] + delimiter
            if entry <= start or entry in prefixes:
                continue
            if len(items) + len(prefixes) == limit:
                break
            last = entry
            if end < 0:
                items.append(self._resource(bucket, name, found))
            else:
                prefixes.append(entry)
        else:
            last = None
        answer = {"kind": "storage#objects", "items": items, "prefixes": prefixes}
        if last:
            answer["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        self._send_json({key: value for key, value in answer.items() if value})

    def _resource(self, bucket, name, found):
        address = f"storage/v1/b/{bucket}/o/" + urllib.parse.quote(name, safe="")
        base = f"{self.gcs._scheme}://{self.headers.get('host')}"
        return {
            "kind": "storage#object", "name": name, "bucket": bucket,
            "id": f"{bucket}/{name}/{found.generation}", "selfLink": f"{base}/{address}",
            "mediaLink": f"{base}/download/{address}?generation={found.generation}&alt=media",
            "generation": str(found.generation), "metageneration": str(found.metageneration),
            "etag": etag(found), **({"contentEncoding": found.encoding} if found.encoding else {}),
            "size": str(len(found.body)), "contentType": found.content_type,
            "storageClass": "STANDARD", "timeCreated": found.created, "updated": found.created,
            "md5Hash": found.md5, "crc32c": found.crc32c,
            **({"metadata": found.metadata} if found.metadata else {})}

    # Uploads.

    def _upload(self, bucket):
        kind = self.query.get("uploadType")
        if kind == "media":
            return self._finish_upload(bucket, self.query["name"], {}, self.body)
        if kind == "multipart":
            metadata, body = self._parse_multipart()
            return self._finish_upload(bucket, metadata.get("name") or self.query["name"],
                                       metadata, body)
        if kind == "resumable" and "upload_id" not in self.query:
            return self._open_session(bucket)
        if kind == "resumable":
            return self._continue_session(self.query["upload_id"])
        raise Refused(400, "uploadType")

    def _parse_multipart(self):
        """RFC 2046, multipart/related: the resource, then the media."""
        head = "Content-Type: " + self.headers["content-type"] + "\n\n"
        boundary = email.parser.Parser(policy=email.policy.HTTP).parsestr(head).get_boundary()
        parts = (b"\r\n" + self.body).split(b"\r\n--" + boundary.encode())
        if len(parts) != 4 or not parts[3].startswith(b"--"):
            raise Refused(400, "malformed multipart body")
        (_, metadata), (media_head, media) = (part.split(b"\r\n\r\n", 1) for part in parts[1:3])
        metadata = json.loads(metadata)
        kind = re.search(rb"(?i)content-type: *(.+)", media_head)
        metadata.setdefault("contentType", kind[1].decode().strip() if kind else None)
        return metadata, media

    def _finish_upload(self, bucket, name, metadata, body):
        for field, format_hash in (("md5Hash", format_md5), ("crc32c", format_crc32c)):
            if metadata.get(field) not in (None, format_hash(body)):
                raise Refused(400, f"Provided {field} doesn't match calculated {field}")
        with self.gcs.lock:
            self._check_conditions(self.gcs.find(bucket, name))
            kind = metadata.get("contentType") or self.headers.get("content-type")
            self.gcs.put(bucket, name, body, metadata.get("metadata"), kind)
            found = self.gcs.find(bucket, name)
        resource = self._resource(bucket, name, found)
        self._send_json(resource)
        return resource

    def _open_session(self, bucket):
        metadata = json.loads(self.body or b"{}")
        metadata.setdefault("contentType", self.headers.get("x-upload-content-type"))
        name = self.query.get("name") or metadata["name"]
        with self.gcs.lock:
            self._check_conditions(self.gcs.find(bucket, name))
            identity = secrets.token_urlsafe(24)
            conditions = {key: value for key, value in self.query.items() if key.startswith("if")}
            self.gcs.sessions[identity] = [bucket, name, metadata, conditions, bytearray()]
        base = f"{self.gcs._scheme}://{self.headers.get('host')}"
        place = f"{base}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={identity}"
        self._send(200, [("Location", place), ("X-GUploader-UploadID", identity)], b"")

    def _continue_session(self, identity):
        with self.gcs.lock:
            if identity in self.gcs.completed and self.command == "PUT":
                return self._send_json(self.gcs.completed[identity])
            if identity not in self.gcs.sessions:
                raise Refused(404, "no such upload")
            bucket, name, metadata, conditions, held = self.gcs.sessions[identity]
            if self.command == "DELETE":
                del self.gcs.sessions[identity]
                return self._send(499, [], b"")
            total = self._receive(held)
            if total is None or len(held) < total:
                headers = [("Range", f"bytes=0-{len(held) - 1}")] if held else []
                if self.headers.get("x-guploader-no-308") == "yes":
                    headers.append(("X-HTTP-Status-Code-Override", "308"))
                    return self._send(200, headers, b"")
                return self._send(308, headers, b"")
            self._check_hash(held)
            del self.gcs.sessions[identity]
            self.query.update(conditions)
            self.gcs.completed[identity] = self._finish_upload(bucket, name, metadata, bytes(held))

    def _check_hash(self, held):
        for told in self.headers.get("x-goog-hash", "").split(","):
            kind, _, value = told.strip().partition("=")
            known = {"crc32c": format_crc32c, "md5": format_md5}.get(kind)
            if known and known(bytes(held)) != value:
                raise Refused(400, f'Provided {kind.upper()} "{value}" doesn\'t match calculated '
                              f'{kind.upper()} "{known(bytes(held))}".')

    def _receive(self, held):
        """Appends what came; the size of the whole, or None while it is not known."""
        place = self.headers.get("content-range")
        if place is None:
            held[:] = self.body
            return len(held)
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", place)
        if not match:
            raise Refused(400, "malformed Content-Range")
        total = None if match[3] == "*" else int(match[3])
        if match[1] is None:
            return total
        first, last = int(match[1]), int(match[2])
        if last - first + 1 != len(self.body) or first > len(held):
            raise Refused(400, "Content-Range and body do not fit")
        if last + 1 != total and len(self.body) % CHUNK:
            raise Refused(400, "a chunk that is no multiple of 256 KiB")
        body = self.body
        if self.gcs.kept_bytes is not None and len(body) > self.gcs.kept_bytes:
            body = body[:self.gcs.kept_bytes // CHUNK * CHUNK]
        held += body[len(held) - first:]
        return total

    # Answers.

    def _send_json(self, value, status=200, headers=()):
        if "fields" in self.query:
            value = select(value, self.query["fields"])
        self._send(status, [*headers, ("Content-Type", "application/json; charset=UTF-8")],
                   json.dumps(value).encode())

    def _send_error(self, refused):
        entry = {"message": str(refused.reason), "domain": "global",
                 "reason": REASONS.get(refused.status, "refused")}
        value = {"error": {"code": refused.status, "message": refused.reason, "errors": [entry]}}
        kind, body = "application/json", json.dumps(value).encode()
        if self.query.get("alt") == "media":
            kind, body = "text/html; charset=UTF-8", str(refused.reason).encode()
        if refused.status in (204, 304):
            body = b""
        self._send(refused.status, [*refused.headers, ("Content-Type", kind)], body)

    def _send(self, status, headers, body):
        self.send_response(status, "Reason")
        for key, value in headers:
            self.send_header(key, str(value))
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._record(status)

    def _record(self, status):
        path, _, query = self.path.partition("?")
        headers = {key.lower(): "…" if key.lower() == "authorization" else value
                   for key, value in self.headers.items()}
        with self.gcs.lock:
            self.gcs.seen.append(
                Request(self.command, path, query, headers, len(self.body), status))


def select(value, fields):
    """What `fields` names: `a,b(c,d)`, one level deep."""
    chosen = {}
    for name, inner in re.findall(r"(\w+)(?:\(([^()]*)\))?", fields):
        if name in value:
            chosen[name] = [select(item, inner) for item in value[name]] if inner else value[name]
    return chosen


def parse_range(text, size):
    """(first, end) of one range of RFC 9110, or None: the whole."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text or "")
    if not match or match.group(0) == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    return int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)


def etag(found):
    return base64.b64encode(f"{found.generation}/{found.metageneration}".encode()).decode()


def format_md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def format_crc32c(body):
    return base64.b64encode(crc32c(body).to_bytes(4, "big")).decode()


def _crc_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


CRC_TABLE = _crc_table()


def crc32c(body):
    """Castagnoli's CRC (RFC 3720, B.4: 32 bytes of 0 give 0x8a9136aa), 4096 lanes at a time."""
    lanes = 4096
    length = len(body) // lanes
    crc = 0xFFFFFFFF
    if length:
        grid = np.frombuffer(body, np.uint8, lanes * length).reshape(lanes, length)
        parts = np.zeros(lanes, np.uint32)
        for column in np.ascontiguousarray(grid.T):
            parts = CRC_TABLE[(parts ^ column) & 0xFF] ^ (parts >> 8)
        # What a lane's length of zeros does to each bit of a CRC.
        shift = np.uint32(1) << np.arange(32, dtype=np.uint32)
        for _ in range(length):
            shift = CRC_TABLE[shift & 0xFF] ^ (shift >> 8)
        shift = shift.tolist()
        for part in parts.tolist():
            moved = part
            for bit in range(32):
                if crc >> bit & 1:
                    moved ^= shift[bit]
            crc = moved
    table = CRC_TABLE.tolist()
    for byte in body[lanes * length:]:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def decode_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def openssl(*words, stdin=b""):
    return subprocess.run(["openssl", *map(str, words)], input=stdin, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
