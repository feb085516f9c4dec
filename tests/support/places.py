"""The stores that the tools are tried against with faults in between: one class each.

What a test needs of them: `url(name)`, `environment(port)` (by way of a proxy at `port`, or
straight), `data(name)` (None: nothing there), `names()`, `leftovers()` (parts of uploads that
nobody ended), `put(name, data)`, `busy` (how the store says that it is), `port` and `has_*`.
"""

import itertools
import os
import pathlib
import urllib.parse

from azurite import Azurite
from fake_gcs import FakeGCS
from fault_proxy import azure_error, gcs_error, s3_error, slow_down, status
from radosgw import RadosGW
from servers import WEBDAV, Nginx

MIB = 1 << 20


class S3Place:
    busy = [slow_down(), s3_error(500, "InternalError"), s3_error(400, "RequestTimeout")]
    denied = staticmethod(lambda: s3_error(403, "AccessDenied"))
    part_mib = 5               # the least of a part
    digests = "parts"          # what is damaged on its way up is refused, by part or at the end
    has_conditions = False     # a write that another writer's forestalls is refused
    has_buckets = True
    commit = dict(method="POST", path="uploadId=")

    def __init__(self, directory):
        self.server = RadosGW().start()
        self.port = self.server.port

    def stop(self):
        self.server.stop()

    def renew(self):
        """A new, empty place."""
        self.bucket = self.server.bucket()

    def url(self, name="runs/sim.npz", bucket=None, port=None):
        return f"s3://{bucket or self.bucket}/{name}"

    def environment(self, port=None):
        return self.server.environment(endpoint=port and f"http://127.0.0.1:{port}")

    def elsewhere(self, endpoint):
        return {**self.environment(), "AWS_ENDPOINT_URL_S3": endpoint}

    def put(self, name, data):
        self.server.put(self.bucket, name, data)

    def data(self, name):
        found = self.server.request("GET", f"/{self.bucket}/{name}", expected=(200, 404))
        return found.body if found.status == 200 else None

    def names(self):
        return sorted(self.server.keys(self.bucket))

    def leftovers(self):
        return self.server.uploads(self.bucket)


class AzPlace:
    busy = [azure_error(503, "ServerBusy"), azure_error(500, "InternalError")]
    denied = staticmethod(lambda: azure_error(403, "AuthorizationPermissionMismatch"))
    part_mib = 1
    digests = "parts"
    has_conditions = has_buckets = True
    commit = dict(method="PUT", path="comp=blocklist")

    def __init__(self, directory):
        self.server = Azurite().start()
        self.port = self.server.port

    def stop(self):
        self.server.stop()

    def renew(self):
        self.bucket = self.server.container()

    def url(self, name="runs/sim.npz", bucket=None, port=None):
        return f"az://{bucket or self.bucket}/{name}"

    def environment(self, port=None):
        return self.server.environment(self.server.endpoint(port))

    def elsewhere(self, endpoint):
        return self.server.environment(endpoint + "/" + self.server.account)

    def put(self, name, data):
        self.server.put(self.bucket, name, data)

    def data(self, name):
        return self.server.get(self.bucket, name) if name in self.names() else None

    def names(self):
        return sorted(self.server.blobs(self.bucket))

    def leftovers(self):
        return []  # the store's own business, as mad-push says


class GsPlace:
    busy = [gcs_error(503, "backendError"), gcs_error(429, "rateLimitExceeded")]
    denied = staticmethod(lambda: gcs_error(403, "forbidden"))
    part_mib = 1
    digests = "whole"
    has_conditions = has_buckets = True
    commit = dict(method="PUT", path="upload_id=")

    def __init__(self, directory):
        self.server = FakeGCS().start()
        self.port = self.server.port
        self._numbers = itertools.count(1)

    def stop(self):
        self.server.stop()

    def renew(self):
        self.bucket = f"bucket-{next(self._numbers)}"
        self.server.bucket(self.bucket)

    def url(self, name="runs/sim.npz", bucket=None, port=None):
        return f"gs://{bucket or self.bucket}/{name}"

    def environment(self, port=None):
        return self.server.environment(port and f"http://127.0.0.1:{port}")

    def elsewhere(self, endpoint):
        return {"STORAGE_EMULATOR_HOST": endpoint}

    def put(self, name, data):
        self.server.put(self.bucket, name, data)

    def data(self, name):
        found = self.server.find(self.bucket, name)
        return found and found.body

    def names(self):
        return sorted(self.server.keys(self.bucket))

    def leftovers(self):
        return list(self.server.sessions)


class WebPlace:
    """nginx with WebDAV's PUT and DELETE."""

    busy = [status(503), status(507)]
    denied = staticmethod(lambda: status(403))
    part_mib = 1
    digests = None
    has_conditions = has_buckets = False

    def __init__(self, directory):
        self.root = pathlib.Path(directory) / "www"
        self.root.mkdir()
        self.server = Nginx(directory, self.root, WEBDAV).__enter__()
        self.port = self.server.port
        self._numbers = itertools.count(1)

    def stop(self):
        self.server.__exit__()

    def renew(self):
        self.bucket = f"place-{next(self._numbers)}"
        (self.root / self.bucket).mkdir()

    def url(self, name="runs/sim.npz", bucket=None, port=None):
        return f"http://127.0.0.1:{port or self.port}/{bucket or self.bucket}/" + \
            urllib.parse.quote(name)

    def environment(self, port=None):
        return {}

    def put(self, name, data):
        (self.root / self.bucket / name).write_bytes(data)

    def data(self, name):
        path = self.root / self.bucket / name
        return path.read_bytes() if path.exists() else None

    def names(self):
        top = self.root / self.bucket
        return sorted(os.path.relpath(path, top) for path in top.rglob("*") if path.is_file())

    def leftovers(self):
        return []
