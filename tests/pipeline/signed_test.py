"""The way from one machine to the next with a signature: who vouches is proven on arrival."""

import madtest
import numpy as np
from signing import KeyPair

SERVER = """#!/bin/sh
{ echo "$MAD_RESUME_STATUS"; echo "${MAD_RESUME_REASON-unset}"; } >started
"""


class SignedWay(madtest.Case):
    def setUp(self):
        super().setUp()
        self.key, self.other = KeyPair(self.tmp), KeyPair(self.tmp, "other")
        self.state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        server = self.tmp / "server"
        server.write_text(SERVER)
        server.chmod(0o755)
        self.npz = self.tmp / "in.npz"
        self.manifest = self.tmp / "in.npz.manifest.json"
        self.signature = self.tmp / "in.npz.manifest.json.sig"

    def boot(self, source, verify="mad-verify --trusted-key key.pub.pem"):
        """What the server found: MAD_RESUME_STATUS and MAD_RESUME_REASON."""
        done = madtest.dash(f"{source} | {verify} | mad-resume --snapshot in.npz -- ./server",
                            cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        return (self.tmp / "started").read_text().splitlines()

    def here(self):
        return {path.name: path.read_bytes() for path in self.tmp.glob("in.npz*")}

    def test_a_signed_stream_is_resumed_and_its_signature_stays_with_it(self):
        status, _ = self.boot("mad-snapshot -q --sign-key key.pem -o - state")
        self.assertEqual(status, "resumed")
        self.assertTrue(self.key.verifies(self.signature, self.manifest))
        done = madtest.run("mad-verify", "--trusted-key", self.key.public, self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        # And on, from machine to machine, as files tarred by hand.
        (self.tmp / "next").mkdir()
        done = madtest.dash(
            'tar c in.npz in.npz.manifest.json in.npz.manifest.json.sig | mad-verify --unsealed '
            '--trusted-key key.pub.pem | mad-resume --snapshot next/in.npz', cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({p.name: p.read_bytes() for p in (self.tmp / "next").iterdir()},
                         self.here())

    def test_the_boot_line_brings_the_signature_along(self):
        done = madtest.run("mad-snapshot", "--sign-key", self.key.private, "-o", "out.npz", "state",
                           cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        status, _ = self.boot("mad-fetch out.npz")
        self.assertEqual(status, "resumed")
        self.assertEqual(self.here(), {
            "in" + path.name[3:]: path.read_bytes() for path in self.tmp.glob("out.npz*")})
        (self.tmp / "out.npz.manifest.json.sig").unlink()
        before = self.here()
        status, why = self.boot("mad-fetch out.npz")
        self.assertEqual(status, "failed")
        self.assertTrue(why.startswith("mad-verify: signature-missing: "), why)
        self.assertEqual(self.here(), before)

    def test_what_nobody_trusted_signed_starts_the_server_fresh_and_touches_nothing(self):
        self.boot("mad-snapshot -q --sign-key key.pem -o - state")
        before = self.here()
        np.save(self.state / "ball" / "pos.npy", np.array([9.0, 9.0]))
        for sign, reason in [("", "signature-missing"),
                             ("--sign-key other.pem", "signature-untrusted")]:
            status, why = self.boot(f"mad-snapshot -q {sign} -o - state")
            self.assertEqual(status, "failed")
            self.assertTrue(why.startswith(f"mad-verify: {reason}: "), why)
            self.assertEqual(self.here(), before)

    def test_a_replay_starts_the_server_fresh(self):
        status, why = self.boot("mad-snapshot -q --sign-key key.pem -o - state",
                                "mad-verify --trusted-key key.pub.pem --min-step 43")
        self.assertEqual(status, "failed")
        self.assertTrue(why.startswith("mad-verify: snapshot-too-old: "), why)
        self.assertEqual(self.here(), {})

    def test_an_unsigned_snapshot_over_a_signed_one_leaves_no_signature_behind(self):
        self.boot("mad-snapshot -q --sign-key key.pem -o - state")
        status, _ = self.boot("mad-snapshot -q -o - state", verify="mad-verify")
        self.assertEqual(status, "resumed")
        self.assertEqual(sorted(self.here()), [self.npz.name, self.manifest.name])


if __name__ == "__main__":
    madtest.main()
