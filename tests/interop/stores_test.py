"""The servers that the tests of object stores run against, each held against a real client."""

import os
import ssl
import unittest
import urllib.error
import urllib.request

from azurite import Azurite
from fake_gcs import FakeGCS
import madtest
from madtest import run
from radosgw import RadosGW
from servers import WEBDAV, Nginx, make_ca

AWKWARD = "d e+f/ü日本&=;:@!$'()*,~#%25"


def setUpModule():
    global S3, AZURE, GCS
    S3 = RadosGW().start()
    unittest.addModuleCleanup(S3.stop)
    AZURE = Azurite().start()
    unittest.addModuleCleanup(AZURE.stop)
    GCS = FakeGCS().start()
    unittest.addModuleCleanup(GCS.stop)


class Case(madtest.Case):
    def client(self, *words, env=None):
        done = run(*words, env={"HOME": self.tmp, "AWS_PAGER": "", **(env or {})}, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def file(self, size):
        path = self.tmp / "file"
        path.write_bytes(os.urandom(size))
        return path


class Rclone(Case):
    """Put, list, get and delete, small and in parts, on each of the three."""

    def round_trip(self, remote, place, environment, look):
        for size in (1000, 11 << 20):
            with self.subTest(size=size):
                path, name = self.file(size), f"{remote}:{place}/{AWKWARD}"
                options = ["rclone", "--config", os.devnull, "--retries", 1,
                           "--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi"]
                self.client(*options, "copyto", path, name, env=environment)
                self.assertEqual(look(place, AWKWARD), path.read_bytes())
                listed = self.client(*options, "lsf", "-R", f"{remote}:{place}", env=environment)
                self.assertIn(AWKWARD, listed)
                self.client(*options, "copyto", name, self.tmp / "back", env=environment)
                self.assertEqual((self.tmp / "back").read_bytes(), path.read_bytes())
                self.client(*options, "deletefile", name, env=environment)
                self.assertEqual(
                    self.client(*options, "lsf", f"{remote}:{place}", env=environment), "")

    def test_s3(self):
        self.round_trip("S3", S3.bucket(), S3.rclone_environment(), S3.get)

    def test_azure(self):
        container = AZURE.container()
        self.round_trip("AZ", container, AZURE.rclone_environment(container), AZURE.get)

    def test_gcs(self):
        self.round_trip("GS", GCS.bucket("bucket"), GCS.rclone_environment(), GCS.get)


class S3cmd(Case):
    def test_it_puts_lists_gets_and_deletes(self):
        bucket, path, options = S3.bucket(), self.file(16 << 20), S3.s3cmd_options()
        name = f"s3://{bucket}/a b+c"
        self.client("s3cmd", *options, "--multipart-chunk-size-mb=5", "put", path, name)
        self.assertEqual(S3.get(bucket, "a b+c"), path.read_bytes())
        self.assertIn(name, self.client("s3cmd", *options, "ls", f"s3://{bucket}"))
        self.client("s3cmd", *options, "get", name, self.tmp / "back")
        self.assertEqual((self.tmp / "back").read_bytes(), path.read_bytes())
        self.client("s3cmd", *options, "del", name)
        self.assertEqual(S3.keys(bucket), {})


class RadosGwItself(Case):
    """What tests lean on beyond that."""

    def test_a_wrong_secret_is_refused(self):
        bucket, right = S3.bucket(), S3.credentials
        S3.put(bucket, "k", b"x")
        try:
            S3.credentials = right._replace(secret_key="wrong")
            answer = S3.request("GET", f"/{bucket}/k", expected=(403,))
        finally:
            S3.credentials = right
        self.assertIn(b"<Error>", answer.body)

    def test_temporary_credentials_need_their_token(self):
        bucket, right, temporary = S3.bucket(), S3.credentials, S3.temporary_credentials()
        S3.put(bucket, "k", b"x")
        try:
            S3.credentials = temporary
            self.assertEqual(S3.get(bucket, "k"), b"x")
            S3.credentials = temporary._replace(token=None)
            S3.request("GET", f"/{bucket}/k", expected=(403,))
        finally:
            S3.credentials = right

    def test_an_upload_that_was_not_completed_is_seen(self):
        bucket = S3.bucket()
        S3.request("POST", f"/{bucket}/orphan", {"uploads": ""})
        self.assertEqual(S3.uploads(bucket), ["orphan"])
        self.assertEqual(S3.keys(bucket), {})

    def test_an_object_that_exists_is_not_replaced_when_absent_was_asked(self):
        bucket = S3.bucket()
        S3.put(bucket, "k", b"1", {"if-none-match": "*"})
        S3.request("PUT", f"/{bucket}/k", headers={"if-none-match": "*"}, body=b"2",
                   expected=(412,))
        self.assertEqual(S3.get(bucket, "k"), b"1")

    def test_a_bucket_has_a_host_name_of_its_own_over_tls_too(self):
        tls = make_ca(self.tmp / "tls")
        with RadosGW(tls) as server:
            context = ssl.create_default_context(cafile=str(tls.ca))
            for url in (server.endpoint(tls=True), server.endpoint(tls=True, host="localhost")):
                with urllib.request.urlopen(url, context=context) as answer:
                    self.assertEqual(answer.status, 200)
            server.bucket("named")
            server.put("named", "k", b"by host", {"x-amz-acl": "public-read"})
            request = urllib.request.Request(server.endpoint() + "/k",
                                             headers={"Host": "named.localhost"})
            with urllib.request.urlopen(request) as answer:
                self.assertEqual(answer.read(), b"by host")


class Azure(Case):
    def test_a_signed_url_opens_until_it_expires(self):
        container = AZURE.container()
        AZURE.put(container, AWKWARD, b"x")
        with urllib.request.urlopen(
                AZURE.url(container, AWKWARD, AZURE.sas(container, "r"))) as answer:
            self.assertEqual(answer.read(), b"x")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(AZURE.url(container, AWKWARD, AZURE.sas(container, "r", -60)))
        refused.exception.close()
        self.assertEqual(refused.exception.code, 403)

    def test_blocks_that_were_not_committed_are_seen(self):
        container = AZURE.container()
        AZURE.request("PUT", f"/{container}/orphan", {"comp": "block", "blockid": "MDAw"},
                      body=b"x")
        self.assertEqual(AZURE.uncommitted(container), ["orphan"])
        self.assertEqual(AZURE.blobs(container), {})

    def test_a_bearer_token_opens_over_https_until_it_expires(self):
        tls = make_ca(self.tmp / "tls")
        context = ssl.create_default_context(cafile=str(tls.ca))
        with Azurite(tls) as server:
            container = server.container()
            server.put(container, "k", b"x")

            def get(seconds):
                token = server.bearer_token(seconds)
                request = urllib.request.Request(
                    server.url(container, "k"),
                    headers={"Authorization": f"Bearer {token}", "x-ms-version": "2021-10-04"})
                with urllib.request.urlopen(request, context=context) as answer:
                    return answer.read()

            self.assertEqual(get(3600), b"x")
            with self.assertRaises(urllib.error.HTTPError) as refused:
                get(-60)
            refused.exception.close()
            self.assertEqual(refused.exception.code, 403)


class WebDav(Case):
    def test_nginx_takes_a_put_and_a_delete(self):
        root = self.tmp / "www"
        root.mkdir()
        with Nginx(self.tmp, root, extra=WEBDAV) as nginx:
            path, url = self.file(3 << 20), nginx.url("/new/sim.npz", tls=True)
            curl = ["curl", "-sSf", "--cacert", nginx.ca]
            self.client(*curl, "-T", path, url)
            self.assertEqual((root / "new/sim.npz").read_bytes(), path.read_bytes())
            self.client(*curl, "-X", "DELETE", url)
            self.assertFalse((root / "new/sim.npz").exists())


if __name__ == "__main__":
    madtest.main()
