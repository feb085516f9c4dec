"""A real S3 server for the tests: Ceph's radosgw over one monitor and one OSD in memory.

    def setUpModule():
        global S3
        S3 = RadosGW().start()
        unittest.addModuleCleanup(S3.stop)

    bucket = S3.bucket()                               # a new, empty one
    run("mad-push", "s.npz", f"s3://{bucket}/s.npz", env=S3.environment())
    S3.get(bucket, "s.npz"); S3.put(…); S3.keys(bucket); S3.uploads(bucket)   # no tool between
    S3.environment(S3.temporary_credentials())         # with a session token

It checks signatures, clock skew (15 minutes), payload hashes and Content-MD5, and knows
ranges, multipart and `If-None-Match: *` on PUT (not on CompleteMultipartUpload; `If-Match`
wants the ETag without quotes).  `BUCKET.localhost:PORT` works beside path style.
One server serves a whole test file: it takes about a second to start.
"""

import collections
import glob
import hashlib
import hmac
import http.client
import itertools
import time
import urllib.parse
import uuid
import xml.etree.ElementTree

from daemons import Daemons, Service, answers, listens
from servers import free_port

REGION = "us-east-1"
SECRET = "t/+st=secret/with+signs0123456789ABCDEFG"  # '/' and '+' want care in clients

Credentials = collections.namedtuple("Credentials", "access_key secret_key token")
Answer = collections.namedtuple("Answer", "status headers body")

CONFIGURATION = """[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{mon_port}/0
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_client_mode = crc
ms_cluster_mode = crc
ms_service_mode = crc
ms_bind_msgr1 = false
ms_bind_ipv6 = false
run_dir = {directory}
crash_dir = {directory}
pid_file =
admin_socket =
keyring = /dev/null
log_file = {directory}/$name.log
log_to_stderr = false
mon_cluster_log_file = /dev/null
mon_data = {directory}/mon
osd_data = {directory}/osd
rgw_data = {directory}/rgw
# A full disk under the monitor is no reason for it to leave.
mon_data_avail_warn = 0
mon_data_avail_crit = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_objectstore = memstore
osd_class_dir = {classes}
memstore_device_bytes = {capacity}
osd_max_object_name_len = 256
osd_max_object_namespace_len = 64
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
# The first elections and proposals wait for nobody.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
# A request sent before its OSD was up is not sent again for five seconds otherwise.
objecter_tick_interval = 0.2
rgw_frontends = beast {endpoints}
rgw_dns_name = localhost
rgw_thread_pool_size = 64
rgw_s3_auth_use_sts = true
rgw_sts_key = abcdefghijklmnop
# What is deleted gives its memory back soon.
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 5
"""


def class_directory():
    """Where the OSD's classes are; Debian's Ceph 18 looks for them below its own directory."""
    found = glob.glob("/usr/lib/*/rados-classes") + glob.glob("/usr/lib*/rados-classes")
    return found[0] if found else ""


class RadosGW(Service):
    """`tls` is what servers.make_ca() returned, for an https endpoint beside the plain one."""

    def __init__(self, tls=None, capacity_bytes=8 << 30):
        self.tls = tls
        self.capacity_bytes = capacity_bytes
        self.credentials = Credentials("TESTACCESSKEY0000000", SECRET, None)
        self._numbers = itertools.count(1)

    def endpoint(self, tls=False, host="127.0.0.1"):
        return f"https://{host}:{self.tls_port}" if tls else f"http://{host}:{self.port}"

    def environment(self, credentials=None, endpoint=None):
        """What the tools, and awscli, need to find this server; `endpoint` puts a proxy before it."""
        credentials = credentials or self.credentials
        variables = {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_ENDPOINT_URL_S3": endpoint or self.endpoint(),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if credentials.token:
            variables["AWS_SESSION_TOKEN"] = credentials.token
        return variables

    def rclone_environment(self, remote="S3", endpoint=None):
        """rclone knows this server as the remote `S3:`."""
        options = {
            "TYPE": "s3", "PROVIDER": "Ceph", "ENDPOINT": endpoint or self.endpoint(),
            "ACCESS_KEY_ID": self.credentials.access_key, "REGION": REGION,
            "SECRET_ACCESS_KEY": self.credentials.secret_key, "NO_CHECK_BUCKET": "true",
        }
        return {f"RCLONE_CONFIG_{remote}_{key}": value for key, value in options.items()}

    def s3cmd_options(self):
        """A configuration file for `s3cmd -c`, which keeps the secret out of argv."""
        path = self._daemons.directory / "s3cfg"
        host = self.endpoint().removeprefix("http://")
        path.write_text(
            f"[default]\naccess_key = {self.credentials.access_key}\n"
            f"secret_key = {self.credentials.secret_key}\nhost_base = {host}\n"
            f"host_bucket = {host}\nuse_https = False\nbucket_location = {REGION}\n")
        path.chmod(0o600)
        return ["-c", str(path)]

    def temporary_credentials(self, seconds=900):
        """Of STS, with a session token; 900 seconds is the least it gives."""
        self._ask("iam", Action="PutUserPolicy", UserName="t", PolicyName="sts", PolicyDocument=(
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}'
        ))
        found = texts(self._ask("sts", Action="GetSessionToken", DurationSeconds=seconds).body)
        return Credentials(found["AccessKeyId"][0], found["SecretAccessKey"][0],
                           found["SessionToken"][0])

    def presigned(self, bucket, key, method="GET", seconds=300, port=None, tls=False):
        """A URL by which anyone may do that one thing; its query is the credential.  `port` is
        that of a proxy in front."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        host = f"127.0.0.1:{port or (self.tls_port if tls else self.port)}"
        query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Date": stamp,
                 "X-Amz-Credential": f"{self.credentials.access_key}/{scope}",
                 "X-Amz-Expires": str(seconds), "X-Amz-SignedHeaders": "host"}
        text = encode_query(query)
        path = object_path(bucket, key)
        canonical = "\n".join([method, path, text, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        signing = ("AWS4" + self.credentials.secret_key).encode()
        for word in [*scope.split("/"), to_sign]:
            signing = hmac.digest(signing, word.encode(), "sha256")
        scheme = "https" if tls else "http"
        return f"{scheme}://{host}{path}?{text}&X-Amz-Signature={signing.hex()}"

    # Straight to the server, to arrange a test and to look at what a tool left there.

    def bucket(self, name=None):
        name = name or f"bucket-{next(self._numbers)}"
        self.request("PUT", f"/{name}")
        return name

    def put(self, bucket, key, body, headers=None):
        """Returns the ETag, with its quotes."""
        return self.request("PUT", object_path(bucket, key), body=body,
                            headers=headers).headers["etag"]

    def get(self, bucket, key):
        return self.request("GET", object_path(bucket, key)).body

    def head(self, bucket, key):
        """The headers, in lower case (x-amz-meta-… among them); None when there is no object."""
        answer = self.request("HEAD", object_path(bucket, key), expected=(200, 404))
        return answer.headers if answer.status == 200 else None

    def delete(self, bucket, key):
        self.request("DELETE", object_path(bucket, key))

    def keys(self, bucket, prefix=""):
        """{key: size}, of at most a thousand."""
        answer = self.request("GET", f"/{bucket}", {"list-type": "2", "prefix": prefix})
        found = texts(answer.body)
        return dict(zip(found["Key"], map(int, found["Size"])))

    def uploads(self, bucket):
        """The keys of multipart uploads that were neither completed nor aborted."""
        return texts(self.request("GET", f"/{bucket}", {"uploads": ""}).body)["Key"]

    def request(self, method, path, query=None, headers=None, body=b"", service="s3",
                expected=(200, 201, 204, 206)):
        """One signed request; a status not `expected` is an AssertionError with its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            query = encode_query(query or {})
            digest = hashlib.sha256(body).hexdigest()
            signed = self._sign(method, path, query, headers or {}, digest, service)
            connection.request(method, path + ("?" + query if query else ""), body or None, signed)
            response = connection.getresponse()
            answer = Answer(response.status,
                            {key.lower(): value for key, value in response.getheaders()},
                            response.read())
        finally:
            connection.close()
        if answer.status not in expected:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body[:500]}")
        return answer

    def sign_again(self, method, target, headers):
        """The headers (pairs) of a client's request, signed for the time it is now."""
        headers = {key.lower(): value for key, value in headers
                   if key.lower() not in ("authorization", "x-amz-security-token")}
        signed = {key: value for key, value in headers.items()
                  if key.startswith("x-amz-") or key in ("host", "content-md5")}
        path, _, query = target.partition("?")
        payload = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        return list({**headers, **self._sign(method, path, query, signed, payload, "s3")}.items())

    # The rest is the server's own.

    def _ask(self, service, **form):
        return self.request("POST", "/", body=urllib.parse.urlencode(form).encode(),
                            service=service,
                            headers={"content-type": "application/x-www-form-urlencoded"})

    def _sign(self, method, path, query, headers, payload, service):
        """AWS Signature Version 4 of every header sent."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": f"127.0.0.1:{self.port}", **headers, "x-amz-date": stamp,
                   "x-amz-content-sha256": payload}
        if self.credentials.token:
            headers["x-amz-security-token"] = self.credentials.token
        names = ";".join(sorted(headers))
        lines = "".join(f"{key}:{headers[key]}\n" for key in sorted(headers))
        canonical = "\n".join([method, path, query, lines, names, payload])
        scope = f"{stamp[:8]}/{REGION}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.credentials.secret_key).encode()
        for word in [*scope.split("/"), text]:
            key = hmac.digest(key, word.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={key.hex()}")
        return headers

    def _start(self):
        self._daemons = daemons = Daemons("mad-radosgw-")
        directory = daemons.directory
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        mon_port, self.port = free_port(), free_port()
        endpoints = f"endpoint=127.0.0.1:{self.port}"
        if self.tls:
            self.tls_port = free_port()
            endpoints += (f" ssl_endpoint=127.0.0.1:{self.tls_port}"
                          f" ssl_certificate={self.tls.certificate} ssl_private_key={self.tls.key}")
        configuration = directory / "ceph.conf"
        configuration.write_text(CONFIGURATION.format(
            fsid=fsid, mon_port=mon_port, directory=directory, endpoints=endpoints,
            capacity=self.capacity_bytes, classes=class_directory()))
        for name in ("mon", "osd", "rgw"):
            (directory / name).mkdir()
        ceph = ["-c", configuration]
        daemons.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
                    f"[v2:127.0.0.1:{mon_port}]", directory / "monmap")
        daemons.run("ceph-mon", *ceph, "--mkfs", "-i", "a", "--monmap", directory / "monmap")
        daemons.start("mon", ["ceph-mon", *ceph, "-i", "a", "-f"])
        daemons.wait_for("the monitor", lambda: listens(mon_port))
        daemons.run("ceph", *ceph, "osd", "new", osd)
        daemons.run("ceph-osd", *ceph, "-i", "0", "--mkfs", "--osd-uuid", osd)
        daemons.start("osd", ["ceph-osd", *ceph, "-i", "0", "-f"])
        daemons.run("radosgw-admin", *ceph, "user", "create", "--uid=t", "--display-name=t", "--caps=user-policy=*",
                    f"--access-key={self.credentials.access_key}",
                    f"--secret-key={self.credentials.secret_key}")
        daemons.start("rgw", ["radosgw", *ceph, "-n", "client.rgw", "-f"])
        daemons.wait_for("radosgw", lambda: answers(self.port))


def object_path(bucket, key):
    return f"/{bucket}/" + urllib.parse.quote(key, safe="/-_.~")


def encode_query(query):
    pairs = sorted((quote(key), quote(str(value))) for key, value in query.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def texts(document):
    """{element name without its namespace: [texts]} of an XML answer."""
    found = collections.defaultdict(list)
    for element in xml.etree.ElementTree.fromstring(document).iter():
        found[element.tag.rpartition("}")[2]].append(element.text)
    return found
