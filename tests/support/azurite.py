"""A real Azure Blob server for the tests: azurite, as scripts/dev/install-packages puts it.

    AZURE = Azurite().start()                          # in setUpModule, stop() at the end
    container = AZURE.container()                      # a new, empty one
    run("mad-push", "s.npz", f"az://{container}/s.npz", env=AZURE.environment())
    AZURE.get(container, "s.npz"); AZURE.put(…); AZURE.blobs(container)   # no tool between
    AZURE.url(container, "s.npz", sas=AZURE.sas(container, "r"))

    Azurite(tls=make_ca(directory))                    # https, and bearer tokens beside keys
    AZURE.bearer_token(seconds=-1)                     # one that has expired

It checks SharedKey, SAS and their expiry, and of bearer tokens audience, issuer and times.
Its URLs carry the account in the path.  A suffix range (`bytes=-N`) is a 500 there.
"""

import base64
import collections
import datetime
import hmac
import http.client
import itertools
import json
import os
import pathlib
import ssl
import time
import urllib.parse
import xml.etree.ElementTree

from daemons import Daemons, Service, listens
from servers import free_port

VERSION = "2021-10-04"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
PROGRAM = CACHE / "mad-tools-tests" / "azurite-3.35.0" / "node_modules" / ".bin" / "azurite-blob"

Answer = collections.namedtuple("Answer", "status headers body")


class Azurite(Service):
    def __init__(self, tls=None):
        self.account = "madtest"
        self.key = base64.b64encode(b"a key of the tests' own, 32 byte").decode()
        self.tls = tls
        self._numbers = itertools.count(1)

    def endpoint(self, port=None, scheme=None):
        """With the account; `port` is that of a proxy in front."""
        scheme = scheme or ("https" if self.tls else "http")
        return f"{scheme}://127.0.0.1:{port or self.port}/{self.account}"

    def url(self, container, blob, sas="", endpoint=None):
        return f"{endpoint or self.endpoint()}{blob_path(container, blob)}" + (sas and "?" + sas)

    def connection_string(self, endpoint=None, sas=None):
        endpoint = endpoint or self.endpoint()
        secret = f"SharedAccessSignature={sas}" if sas else f"AccountKey={self.key}"
        return (f"DefaultEndpointsProtocol={endpoint.split(':')[0]};AccountName={self.account};"
                f"{secret};BlobEndpoint={endpoint};")

    def environment(self, endpoint=None, sas=None):
        """What the tools need to find this server."""
        return {"AZURE_STORAGE_CONNECTION_STRING": self.connection_string(endpoint, sas)}

    def rclone_environment(self, container, remote="AZ"):
        """rclone knows the container as `AZ:CONTAINER`; its version takes no other endpoint."""
        options = {"TYPE": "azureblob",
                   "SAS_URL": f"{self.endpoint()}/{container}?{self.sas(container)}"}
        return {f"RCLONE_CONFIG_{remote}_{key}": value for key, value in options.items()}

    def sas(self, container, permissions="racwdl", seconds=3600):
        """A service SAS for a container and its blobs, without `?`; spent when `seconds` < 0."""
        expiry = format_time(seconds)
        text = "\n".join([permissions, format_time(-7200), expiry,
                          f"/blob/{self.account}/{container}", "", "", "", VERSION, "c",
                          "", "", "", "", "", "", ""])
        return urllib.parse.urlencode({
            "sv": VERSION, "sr": "c", "sp": permissions, "st": format_time(-7200), "se": expiry,
            "sig": self._mac(text)})

    def bearer_token(self, seconds=3600):
        """What Azure's token service would hand out, but for its signature, unchecked here."""
        now = int(time.time())
        claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tests/",
                  "iat": now - 7200, "nbf": now - 7200, "exp": now + seconds}
        parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=")
                        for part in [*parts, b"signature"])

    # Straight to the server, to arrange a test and to look at what a tool left there.

    def container(self, name=None):
        name = name or f"container-{next(self._numbers)}"
        self.request("PUT", f"/{name}", {"restype": "container"})
        return name

    def put(self, container, blob, body, headers=None):
        """Returns the ETag, with its quotes."""
        headers = {"x-ms-blob-type": "BlockBlob", **(headers or {})}
        return self.request("PUT", blob_path(container, blob), headers=headers,
                            body=body).headers["etag"]

    def get(self, container, blob):
        return self.request("GET", blob_path(container, blob)).body

    def head(self, container, blob):
        """The headers, in lower case (x-ms-meta-… among them); None when there is no blob."""
        answer = self.request("HEAD", blob_path(container, blob), expected=(200, 404))
        return answer.headers if answer.status == 200 else None

    def delete(self, container, blob):
        self.request("DELETE", blob_path(container, blob))

    def blobs(self, container, prefix=""):
        """{name: size}."""
        return self._list(container, {"prefix": prefix})

    def uncommitted(self, container):
        """The blobs that have nothing but uncommitted blocks."""
        everything = self._list(container, {"include": "uncommittedblobs"})
        return sorted(set(everything) - set(self._list(container, {})))

    def request(self, method, path, query=None, headers=None, body=b"",
                expected=(200, 201, 202, 206)):
        """One signed request; a status not `expected` is an AssertionError with its body."""
        query, path = query or {}, f"/{self.account}{path}"
        signed = self._sign(method, path, query, headers or {}, body)
        connection = self._connect()
        try:
            connection.request(method, path + "?" + urllib.parse.urlencode(query), body, signed)
            response = connection.getresponse()
            answer = Answer(response.status,
                            {key.lower(): value for key, value in response.getheaders()},
                            response.read())
        finally:
            connection.close()
        if answer.status not in expected:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body[:500]}")
        return answer

    # The rest is the server's own.

    def _list(self, container, query):
        answer = self.request("GET", f"/{container}",
                              {"restype": "container", "comp": "list", **query})
        return {blob.findtext("Name"): int(blob.findtext("Properties/Content-Length"))
                for blob in xml.etree.ElementTree.fromstring(answer.body).iter("Blob")}

    def _mac(self, text):
        digest = hmac.digest(base64.b64decode(self.key), text.encode(), "sha256")
        return base64.b64encode(digest).decode()

    def _sign(self, method, path, query, headers, body):
        """Authorize with Shared Key, 2015-02-21 and later: an empty length where it is 0."""
        headers = {**{key.lower(): value for key, value in headers.items()},
                   "x-ms-version": VERSION,
                   "x-ms-date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}
        plain = ["content-encoding", "content-language", "", "content-md5", "content-type", "date",
                 "if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]
        lines = [method, *(headers.get(key, "") for key in plain)]
        lines[3] = str(len(body) or "")
        lines += [f"{key}:{headers[key]}" for key in sorted(headers) if key.startswith("x-ms-")]
        lines += [f"/{self.account}{path}"] + [f"{key}:{query[key]}" for key in sorted(query)]
        headers["authorization"] = f"SharedKey {self.account}:{self._mac(chr(10).join(lines))}"
        return headers

    def _connect(self):
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def _start(self):
        self._daemons = daemons = Daemons(
            "mad-azurite-", {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"})
        self.port = free_port()
        argv = [PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", self.port, "--silent",
                "--inMemoryPersistence", "--disableTelemetry",
                "--skipApiVersionCheck"]
        if self.tls:
            argv += ["--oauth", "basic", "--cert", self.tls.certificate, "--key", self.tls.key]
        daemons.start("azurite", argv)
        daemons.wait_for("azurite", lambda: listens(self.port))


def blob_path(container, blob):
    return f"/{container}/" + urllib.parse.quote(blob, safe="/-_.~")


def format_time(seconds_from_now):
    then = datetime.datetime.now(datetime.timezone.utc)
    then += datetime.timedelta(seconds=seconds_from_now)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")
