#!/usr/bin/python3
"""The metadata service of a cloud, for tests and drills: EC2's, Compute Engine's or Azure's.

    with MetadataServer("aws") as server:
        run("mad-watch", "--endpoint", server.url(), …)
        server.control(notice="preemption", seconds=120)

or as a program, which prints its port and serves until it is ended:

    metadata_server.py --cloud gcp
    curl -d '{"notice": "preemption", "seconds": 30}' http://127.0.0.1:PORT/control

What POST /control (and control()) takes, each key optional:

    notice    preemption, rebalance (aws) or maintenance; with it `seconds` from now to the
              deadline, by this service's clock (120), `action` (aws: terminate), `type` (azure:
              Preempt, Freeze), `resources` (azure: this machine), `status` (azure: Scheduled, or
              Started, which has no NotBefore), `id` (azure)
    withdraw  true: nothing is announced any more
    fault     what the next requests meet instead of an answer: {"status": 503}, {"hang": SECONDS},
              {"garbage": true}, {"oversized": true}, {"cut": true}; with `count` (1; 0: until
              further notice) and `path` (a part of the path that alone is met)
    faults    a list of them
    mend      true: no faults any more
    clock     by how many seconds this service's clock is ahead of everyone else's
    expire    true: every session token of EC2 is void
    cloud     which one it is from now on

GET /control says what was asked: {"requests": {"METHOD PATH": COUNT}, "statuses": …,
"answers": {"PATH": COUNT}, "acknowledged": [EventId, …]}.

From the documentation: EC2's "Use IMDSv2" and "Spot Instance interruption notices" (a token by
PUT with a time to live of 1 to 21600 seconds, 401 without a valid one, 404 while nothing is
announced); Compute Engine's "Querying VM metadata" (Metadata-Flavor, or 403; an ETag of each
value; wait_for_change, last_etag, timeout_sec); Azure's "Scheduled Events for Linux VMs" and
"Instance Metadata Service" (Metadata: true and an api-version, or 400; DocumentIncarnation;
NotBefore, blank once started; StartRequests).
"""

import argparse
import collections
import email.utils
import http.client
import http.server
import itertools
import json
import socket
import threading
import time
import urllib.parse

AWS_PATHS = {"preemption": "/latest/meta-data/spot/instance-action",
             "rebalance": "/latest/meta-data/events/recommendations/rebalance"}
GCP_PATHS = {"/computeMetadata/v1/instance/preempted": "preemption",
             "/computeMetadata/v1/instance/maintenance-event": "maintenance"}
GCP_QUIET = {"preemption": "FALSE", "maintenance": "NONE"}
AZURE_PATH = "/metadata/scheduledevents"
GCP_SAID = {"preemption": "TRUE", "maintenance": "TERMINATE_ON_HOST_MAINTENANCE"}
VM_NAME = "vm-scale-set_3"


class MetadataServer:
    def __init__(self, cloud="aws", port=0, first_call_seconds=0):
        """`first_call_seconds` is what Azure's first answer about events takes."""
        self.cloud = cloud
        self.first_call_seconds = first_call_seconds
        self.clock = 0
        self.tokens = {}
        self.faults = []
        self.requests = collections.Counter()
        self.statuses = collections.Counter()
        self.answers = collections.Counter()
        self.acknowledged = []
        self.aws = {}
        self.gcp = {kind: (quiet, "0") for kind, quiet in GCP_QUIET.items()}
        self.azure = {"DocumentIncarnation": 1, "Events": []}
        self.numbers = itertools.count(1)
        self.changed = threading.Condition()
        self.closing = False
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.metadata = self
        self.port = self._server.server_port

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def serve(self):
        self._server.serve_forever()

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def now(self):
        return time.time() + self.clock

    def control(self, **orders):
        with self.changed:
            self.cloud = orders.get("cloud", self.cloud)
            self.clock = orders.get("clock", self.clock)
            if orders.get("mend"):
                self.faults.clear()
            for fault in orders.get("faults", [orders["fault"]] if "fault" in orders else []):
                self.faults.append({"count": 1, **fault})
            if orders.get("expire"):
                self.tokens.clear()
            if orders.get("withdraw"):
                self.withdraw()
            if "notice" in orders:
                self.announce(**orders)
            self.changed.notify_all()

    def seen(self):
        """What GET /control says."""
        with self.changed:
            return {"requests": dict(self.requests), "statuses": dict(self.statuses),
                    "answers": dict(self.answers), "acknowledged": list(self.acknowledged)}

    def withdraw(self):
        self.aws.clear()
        for kind, quiet in GCP_QUIET.items():
            self.gcp[kind] = (quiet, f"{next(self.numbers):016x}")
        self.azure["Events"] = []
        self.azure["DocumentIncarnation"] += 1

    def announce(self, notice, seconds=120, action="terminate", status="Scheduled", **more):
        when = self.now() + seconds
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
        if notice == "preemption":
            self.aws[notice] = {"action": action, "time": stamp}
        elif notice == "rebalance":
            self.aws[notice] = {"noticeTime": stamp}
        if notice in self.gcp:
            self.gcp[notice] = (GCP_SAID[notice], f"{next(self.numbers):016x}")
        if notice == "rebalance":
            return
        number = next(self.numbers)
        self.azure["Events"].append({
            "EventId": more.get("id", f"C7061BAC-AFDC-4513-B24B-{number:012X}"),
            "EventType": more.get("type", "Preempt" if notice == "preemption" else "Freeze"),
            "ResourceType": "VirtualMachine", "Resources": more.get("resources", [VM_NAME]),
            "EventStatus": status,
            "NotBefore": email.utils.formatdate(when, usegmt=True) if status == "Scheduled" else "",
            "Description": "", "EventSource": "Platform", "DurationInSeconds": -1})
        self.azure["DocumentIncarnation"] += 1

    def take_fault(self, path):
        """Called with the lock held."""
        for fault in self.faults:
            if fault.get("path", "") in path:
                if fault["count"] == 1:
                    self.faults.remove(fault)
                elif fault["count"] > 1:
                    fault["count"] -= 1
                return fault
        return None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(timestamp or self.server.metadata.now(), usegmt=True)

    def answer(self, status, body=b"", **headers):
        body = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}",
                 f"Date: {self.date_time_string()}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        with self.server.metadata.changed:
            self.server.metadata.statuses[str(status)] += 1
            self.server.metadata.answers[urllib.parse.urlsplit(self.path).path] += 1
        # In one piece, as the services do.
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def do_GET(self):
        self.serve()

    do_PUT = do_POST = do_GET

    def serve(self):
        metadata = self.server.metadata
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/control":
            self.control(body)
            return
        with metadata.changed:
            metadata.requests[f"{self.command} {url.path}"] += 1
            fault = metadata.take_fault(url.path)
        if fault and self.fail(fault):
            return
        {"aws": self.aws, "gcp": self.gcp, "azure": self.azure}[metadata.cloud](
            url.path, query, body)

    def control(self, body):
        if self.command == "POST":
            try:
                self.server.metadata.control(**json.loads(body))
            except (ValueError, TypeError, KeyError) as error:
                self.answer(400, str(error))
                return
        self.answer(200, json.dumps(self.server.metadata.seen()), Content_Type="application/json")

    def fail(self, fault):
        """False where the honest answer is to follow."""
        if "hang" in fault:
            metadata = self.server.metadata
            with metadata.changed:
                metadata.changed.wait_for(lambda: metadata.closing, fault["hang"])
            return False
        if "status" in fault:
            self.answer(fault["status"], "<html>not now</html>", Content_Type="text/html")
        elif "garbage" in fault:
            self.answer(200, b"\x00\xff{\"action\": [[[[[", Metadata_Flavor="Google")
        elif "oversized" in fault:
            self.answer(200, b"{" + b" " * (1 << 20) + b"}", Metadata_Flavor="Google")
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        return True

    def aws(self, path, _query, _body):
        metadata = self.server.metadata
        if self.command == "PUT":
            seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if path != "/latest/api/token":
                self.answer(405)
            elif not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
                self.answer(400)
            else:
                token = f"AQAEA{next(metadata.numbers):051x}=="
                metadata.tokens[token] = time.monotonic() + int(seconds)
                self.answer(200, token, X_aws_ec2_metadata_token_ttl_seconds=seconds)
            return
        token = self.headers.get("X-aws-ec2-metadata-token", "")
        if metadata.tokens.get(token, 0) < time.monotonic():
            self.answer(401)
            return
        for kind, place in AWS_PATHS.items():
            if path == place and kind in metadata.aws:
                self.answer(200, json.dumps(metadata.aws[kind]), Content_Type="text/plain")
                return
        self.answer(404, Content_Type="text/html")

    def gcp(self, path, query, _body):
        metadata = self.server.metadata
        google = {"Metadata_Flavor": "Google", "Server": "Metadata Server for VM",
                  "Content_Type": "application/text"}
        if self.headers.get("Metadata-Flavor") != "Google":
            self.answer(403, **google)
            return
        kind = GCP_PATHS.get(path)
        if kind is None or self.command != "GET":
            self.answer(404, **google)
            return
        with metadata.changed:
            if query.get("wait_for_change") == "true":
                last = query.get("last_etag", metadata.gcp[kind][1])
                metadata.changed.wait_for(
                    lambda: metadata.closing or metadata.gcp[kind][1] != last,
                    float(query.get("timeout_sec", 3600)))
            value, etag = metadata.gcp[kind]
        self.answer(200, value, ETag=etag, **google)

    def azure(self, path, query, body):
        if self.headers.get("Metadata") != "true" or "X-Forwarded-For" in self.headers:
            self.answer(400, '{"error":"Bad request. Required metadata header not specified"}')
        elif path == "/metadata/versions":
            self.answer(200, '{"apiVersions":["2020-07-01","2021-02-01"]}',
                        Content_Type="application/json")
        elif "api-version" not in query:
            self.answer(400, '{"error":"Bad request. api-version was not specified"}')
        elif path == "/metadata/instance/compute/name" and query.get("format") == "text":
            self.answer(200, VM_NAME, Content_Type="text/plain")
        elif path == AZURE_PATH:
            self.azure_events(body)
        else:
            self.answer(404, '{"error":"Not found"}')

    def azure_events(self, body):
        metadata = self.server.metadata
        with metadata.changed:
            first, metadata.first_call_seconds = metadata.first_call_seconds, 0
            metadata.changed.wait_for(lambda: metadata.closing, first)
            if self.command == "POST":
                ids = [request["EventId"] for request in json.loads(body)["StartRequests"]]
                for event in metadata.azure["Events"]:
                    if event["EventId"] in ids:
                        event.update(EventStatus="Started", NotBefore="")
                metadata.azure["DocumentIncarnation"] += 1
                metadata.acknowledged += ids
            document = "" if self.command == "POST" else json.dumps(metadata.azure)
        self.answer(200, document, Content_Type="application/json")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cloud", choices=("aws", "gcp", "azure"), default="aws")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    server = MetadataServer(arguments.cloud, arguments.port)
    print(server.port, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
