"""Ed25519 keys and signatures made and checked by OpenSSL's own program."""

import functools
import os
import pathlib
import subprocess
import tempfile


def openssl(*argv):
    done = subprocess.run(["openssl", *map(str, argv)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")


def must(*argv):
    fine, said = openssl(*argv)
    assert fine, said
    return said


class KeyPair:
    """NAME.pem, which signs, and NAME.pub.pem, which tells whether it did."""

    def __init__(self, directory, name="key"):
        self.private = pathlib.Path(directory) / f"{name}.pem"
        self.public = pathlib.Path(directory) / f"{name}.pub.pem"
        must("genpkey", "-algorithm", "ed25519", "-out", self.private)
        os.chmod(self.private, 0o600)
        must("pkey", "-in", self.private, "-pubout", "-out", self.public)

    @functools.lru_cache(maxsize=None)
    def sign(self, data):
        """Ed25519 is deterministic: this is the signature, not one of several."""
        with tempfile.TemporaryDirectory() as place:
            message, signature = pathlib.Path(place, "m"), pathlib.Path(place, "s")
            message.write_bytes(data)
            must("pkeyutl", "-sign", "-rawin", "-inkey", self.private, "-in", message,
                 "-out", signature)
            return signature.read_bytes()

    def verifies(self, signature_path, message_path):
        fine, _ = openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", self.public,
                          "-sigfile", signature_path, "-in", message_path)
        return fine
