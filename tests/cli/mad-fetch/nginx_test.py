import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import madtest
from fetching import Bundle, FetchCase
from servers import FaultyServer, Nginx, cut, make_ca, redirect

LOCATIONS = """
    location /moved/ { rewrite ^/moved/(.*)$ http://$host:$server_port/www/$1 redirect; }
    location /elsewhere/ { rewrite ^/elsewhere/(.*)$ http://localhost:$server_port/www/$1 permanent; }
    location /down/ { rewrite ^/down/(.*)$ http://$host:PLAIN/www/$1 redirect; }
    location /plain-only/ { max_ranges 0; alias ROOT/www/; }
    location /denied/ { return 403; }
    location /busy/ { return 429; }
    location /private/ { auth_basic "snapshots"; auth_basic_user_file ROOT/users; alias ROOT/www/; }
    location /zipped/ { gzip on; gzip_types *; gzip_min_length 1; alias ROOT/www/; }
"""


class RealServer(FetchCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = madtest.tempfile.mkdtemp(prefix="mad-test-")
        cls.addClassCleanup(madtest.shutil.rmtree, cls.directory, ignore_errors=True)
        root = pathlib.Path(cls.directory)
        (root / "www").mkdir()
        madtest.reference_snapshot(root / "www/sim.npz", madtest.small_arrays())
        # {PLAIN} is nginx's own, hence the word for what openssl would otherwise hash.
        (root / "users").write_text("user:{PLAIN}p@ss word\nrobot:{PLAIN}word\n")
        cls.nginx = Nginx(root, root, LOCATIONS.replace("ROOT", str(root)).replace("PLAIN", "80"))
        cls.nginx.__enter__()
        cls.addClassCleanup(cls.nginx.__exit__)

    def last_log(self, count=3):
        return self.nginx.log()[-count:]

    def test_a_plain_fetch(self):
        self.assert_fetched(self.fetch(self.nginx.url("/www/sim.npz")))

    def test_output_to_a_file(self):
        done = self.fetch("-o", self.tmp / "out.npz", self.nginx.url("/www/sim.npz"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), self.bytes)
        madtest.reference_verify(self.tmp / "out.npz")

    def test_a_transfer_that_is_cut_before_nginx_goes_on_there_by_range(self):
        # The first attempt is led to a server that has the same validators and cuts.
        with FaultyServer() as gate:
            head = madtest.run("curl", "-sI", self.nginx.url("/www/sim.npz")).stdout.decode()
            fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
            gate.put("/sim.npz", self.bytes, fields["ETag"], fields["Last-Modified"])
            gate.fail("/sim.npz", cut(700))
            gate.always("/sim.npz", redirect(self.nginx.url("/www/sim.npz")))
            gate.always("/sim.npz.manifest.json", redirect(self.nginx.url("/www/sim.npz.manifest.json")))
            bundle = self.assert_fetched(self.fetch(gate.url("/sim.npz")))
            self.assertEqual(bundle.restarts, 0)
            self.assertTrue(any(line.startswith("206 GET /www/sim.npz range=bytes=700- ")
                                for line in self.last_log()), self.last_log())
            # Another version there: If-Range makes it a 200, and the pair is read again.
            gate.put("/sim.npz", self.bytes, '"another"', fields["Last-Modified"])
            gate.fail("/sim.npz", cut(700))
            self.assertEqual(self.assert_fetched(self.fetch(gate.url("/sim.npz"))).restarts, 1)
            # No ranges there: the same version is read past what is there.
            gate.put("/sim.npz", self.bytes, fields["ETag"], fields["Last-Modified"])
            gate.fail("/sim.npz", cut(700))
            gate.always("/sim.npz", redirect(self.nginx.url("/plain-only/sim.npz")))
            self.assertEqual(self.assert_fetched(self.fetch(gate.url("/sim.npz"))).restarts, 0)

    def test_tls_with_a_ca_of_its_own(self):
        url = self.nginx.url("/www/sim.npz", tls=True)
        self.assert_fetched(self.fetch("--cacert", self.nginx.ca, url))
        self.assert_fetched(self.fetch(url, env={"MAD_FETCH_CACERT": self.nginx.ca}))

    def test_a_ca_of_its_own_by_the_variables_of_curl(self):
        url = self.nginx.url("/www/sim.npz", tls=True)
        other = make_ca(self.tmp / "other").ca
        directory = self.tmp / "authorities"
        directory.mkdir()
        shutil.copy(self.nginx.ca, directory / "ca.pem")
        subprocess.run(["openssl", "rehash", directory], check=True)
        for env in ({"CURL_CA_BUNDLE": self.nginx.ca, "SSL_CERT_FILE": other},
                    {"SSL_CERT_FILE": self.nginx.ca}, {"SSL_CERT_DIR": directory}):
            with self.subTest(env=env):
                self.assert_fetched(self.fetch(url, env=env))
                self.assert_failed(self.fetch("--cacert", other, url, env=env), 7, "tls")

    def test_tls_that_cannot_be_trusted_is_code_7_and_not_tried_again(self):
        url = self.nginx.url("/www/sim.npz", tls=True)
        done = self.fetch("--retry-delay", "100", url)
        self.assert_failed(done, 7, "tls", "certificate")
        self.assertIn("--cacert", done.stderr)
        other = make_ca(self.tmp / "other")
        self.assert_failed(self.fetch("--cacert", other.ca, url), 7, "tls")
        wrong_name = self.nginx.url("/www/sim.npz", tls=True, host="127.0.0.2")
        with FaultyServer(tls=self.nginx.certificates) as server:
            server.put_snapshot("/sim.npz", self.npz)
            self.assert_fetched(self.fetch("--cacert", self.nginx.ca, server.url("/sim.npz")))
        self.assertNotEqual(self.fetch("--retries", "0", "--cacert", self.nginx.ca,
                                       wrong_name).returncode, 0)
        self.assert_failed(self.fetch(self.nginx.url("/www/sim.npz").replace("http:", "https:")),
                           7, "tls")

    def test_a_ca_file_that_is_missing_or_none_is_named(self):
        url = self.nginx.url("/www/sim.npz", tls=True)
        self.assertEqual(self.fetch("--cacert", self.tmp / "none.pem", url).returncode, 5)
        (self.tmp / "empty.pem").write_text("nothing\n")
        self.assert_failed(self.fetch("--cacert", self.tmp / "empty.pem", url), 7, "tls")

    def test_from_https_to_http_is_never_followed(self):
        done = self.fetch("--cacert", self.nginx.ca, self.nginx.url("/down/sim.npz", tls=True))
        self.assert_failed(done, 7, "http-status", "it gives up TLS")

    def test_redirects(self):
        self.assert_fetched(self.fetch("-H", "X-Secret: token", self.nginx.url("/moved/sim.npz")))
        self.assertIn("200 GET /www/sim.npz range=- auth=- secret=token", self.last_log(6))
        self.assert_fetched(self.fetch("-H", "X-Secret: token", "-H", "Authorization: Bearer t",
                                       self.nginx.url("/elsewhere/sim.npz")))
        self.assertIn("301 GET /elsewhere/sim.npz range=- auth=Bearer t secret=token",
                      self.last_log(6))
        self.assertIn("200 GET /www/sim.npz range=- auth=- secret=-", self.last_log(6))

    def test_basic_authentication_by_netrc_and_userinfo(self):
        url = self.nginx.url("/private/sim.npz")
        self.assert_failed(self.fetch(url), 8, "access-denied", "401")
        (self.tmp / ".netrc").write_text("machine 127.0.0.1 login robot password word\n")
        (self.tmp / ".netrc").chmod(0o600)
        self.assert_failed(self.fetch(url), 8, "access-denied", "401")
        self.assert_fetched(self.fetch("--netrc", url))
        self.assert_fetched(self.fetch(
            self.nginx.url("/private/sim.npz", userinfo="user:p%40ss%20word@")))
        done = self.fetch(self.nginx.url("/private/sim.npz", userinfo="user:WRONG@"))
        self.assert_failed(done, 8, "access-denied", "401")
        self.assertNotIn("WRONG", done.stderr)

    def test_statuses(self):
        self.assert_failed(self.fetch(self.nginx.url("/www/none.npz")), 5, "snapshot-missing")
        self.assert_failed(self.fetch(self.nginx.url("/denied/sim.npz")), 8, "access-denied", "403")
        self.assert_failed(self.fetch("--retries", "1", self.nginx.url("/busy/sim.npz")), 7,
                           "http-status", "answers 429")
        done = self.fetch("--if-exists", self.nginx.url("/www/none.npz"))
        self.assertEqual((done.returncode, Bundle(done.stdout).seal["stage"]), (0, "absent"))

    def test_an_encoding_server_sends_the_bytes_as_they_are(self):
        self.assert_fetched(self.fetch(self.nginx.url("/zipped/sim.npz")))

    def test_names_are_percent_decoded_for_the_bundle_and_the_directory(self):
        madtest.reference_snapshot(pathlib.Path(self.directory, "www/a b+c.npz"),
                                   madtest.small_arrays())
        out = self.tmp / "out"
        out.mkdir()
        done = self.fetch("-o", out, self.nginx.url("/www/a%20b+c.npz"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(out)), ["a b+c.npz", "a b+c.npz.manifest.json"])


if __name__ == "__main__":
    madtest.main()
