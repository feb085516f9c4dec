"""mad-verify as a filter: what it lets through, and what it seals."""

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
import unittest

import madtest
import numpy as np

CHUNK = 4096


def tar_header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type = size, 0o600, kind
    return info.tobuf(tarfile.PAX_FORMAT)


def member(name, data):
    return tar_header(name, len(data)) + data + bytes(-len(data) % 512)


def seal_member(stage="fetched", **fields):
    return member(".mad-seal.json", json.dumps({"stage": stage, "tool": "test", **fields}).encode())


END = bytes(1024)


def parts(name, data, piece=CHUNK, first=0):
    return b"".join(
        member(f"{name}.parts/{first + i:010d}", data[at:at + piece])
        for i, at in enumerate(range(0, len(data), piece))
    )


def manifest_of(npz, chunks=True, **changes):
    manifest = {
        "schema_version": 1, "sha256": hashlib.sha256(npz).hexdigest(), "size_bytes": len(npz),
        "extra": {"commit": "abc"},
    }
    if chunks:
        manifest["chunks"] = {
            "algorithm": "sha256", "chunk_bytes": CHUNK,
            "digests": [hashlib.sha256(npz[i:i + CHUNK]).hexdigest()
                        for i in range(0, len(npz), CHUNK)],
        }
    manifest.update(changes)
    return json.dumps({k: v for k, v in manifest.items() if v is not None}).encode()


def bundle(npz, manifest=None, name="sim.npz", order="manifest-first"):
    pieces = [parts(name, npz)]
    if manifest is not None:
        pieces.insert(0 if order == "manifest-first" else 1,
                      member(name + ".manifest.json", manifest))
    return b"".join(pieces) + seal_member(size_bytes=len(npz)) + END


def npz_bytes(arrays=None, compressed=False):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **(arrays or {
        **madtest.small_arrays(),
        "heat/noise": np.random.default_rng(7).random(3000),
    }))
    return buffer.getvalue()


class Opened:
    """A bundle as Python's tarfile reads it."""

    def __init__(self, stream):
        self.names, self.npz, self.manifest, self.seal = [], b"", None, None
        with tarfile.open(fileobj=io.BytesIO(stream), mode="r:") as tar:
            for info in tar:
                data = tar.extractfile(info).read()
                self.names.append(info.name)
                if ".parts/" in info.name:
                    self.npz += data
                elif info.name.endswith(".manifest.json"):
                    self.manifest = data
                elif info.name == ".mad-restart":
                    self.npz, self.manifest = b"", None
                elif info.name == ".mad-seal.json":
                    self.seal = json.loads(data)


class Filter(madtest.Case):
    def setUp(self):
        super().setUp()
        self.spool = self.tmp / "spool"
        self.spool.mkdir()
        self.npz = npz_bytes()

    def verify(self, stream, *options, env=None):
        done = madtest.run("mad-verify", "--spool-dir", self.spool, *options, stdin=stream, env=env,
                           cwd=self.tmp)
        self.assertEqual(list(self.spool.iterdir()), [])
        return done

    def assert_verified(self, done, npz=None):
        self.assertEqual(done.returncode, 0, done.stderr)
        opened = Opened(done.stdout)
        self.assertEqual(opened.npz, self.npz if npz is None else npz)
        self.assertEqual(opened.seal["stage"], "verified")
        self.assertEqual(opened.seal["sha256"], hashlib.sha256(opened.npz).hexdigest())
        self.assertEqual(opened.seal["size_bytes"], len(opened.npz))
        return opened

    def assert_failed(self, done, code, reason, *needles):
        """The refusal is said, sealed, and is the exit code; no wrong byte was passed on."""
        self.assert_refused(done, code, *needles)
        opened = Opened(done.stdout)
        self.assertEqual(opened.seal["stage"], "failed")
        self.assertEqual((opened.seal["code"], opened.seal["reason"]), (code, reason))
        self.assertTrue(self.npz.startswith(opened.npz), "bytes passed on unverified")
        return opened


class Passing(Filter):
    def test_a_bundle_with_chunks_is_checked_in_passing(self):
        manifest = manifest_of(self.npz)
        opened = self.assert_verified(self.verify(bundle(self.npz, manifest)))
        self.assertEqual(opened.manifest, manifest)
        self.assertEqual(opened.seal["checked"],
                         ["schema", "size", "chunks", "sha256", "structure"])
        self.assertEqual(opened.names[0], "sim.npz.manifest.json")

    def test_all_cores_check_each_chunk_and_not_the_whole(self):
        report = self.tmp / "report.json"
        data = npz_bytes({"a/b": np.random.default_rng(5).random(2_000_000)})
        # Many chunks to a buffer, one to a buffer, and a single one.
        for chunk in (CHUNK, 5 << 20, 16 << 20):
            digests = [hashlib.sha256(data[i:i + chunk]).hexdigest()
                       for i in range(0, len(data), chunk)]
            manifest = manifest_of(data, chunks={"algorithm": "sha256", "chunk_bytes": chunk,
                                                 "digests": digests})
            with self.subTest(chunk):
                opened = self.assert_verified(
                    self.verify(bundle(data, manifest), "--all-cores", "--report", report), data)
                self.assertEqual(opened.seal["checked"], ["schema", "size", "chunks", "structure"])
                self.assertEqual(json.loads(report.read_text())["checked"], opened.seal["checked"])
        stream = bundle(self.npz, manifest_of(self.npz, chunks=False))
        done = self.verify(stream, "--all-cores")
        self.assertIn("--all-cores: cannot go by chunks", done.stderr)
        self.assertIn("sha256", self.assert_verified(done).seal["checked"])

    def test_a_bundle_without_chunks_is_spooled_and_passed_on(self):
        manifest = manifest_of(self.npz, chunks=False)
        opened = self.assert_verified(self.verify(bundle(self.npz, manifest)))
        self.assertEqual(opened.seal["checked"], ["schema", "size", "sha256", "structure"])

    def test_a_manifest_behind_the_data_is_as_good(self):
        for options in [(), ("--stream",)]:
            with self.subTest(options=options):
                stream = bundle(self.npz, manifest_of(self.npz), order="manifest-last")
                opened = self.assert_verified(self.verify(stream, *options))
                self.assertEqual(opened.manifest, manifest_of(self.npz))

    def test_a_manifest_as_the_reference_writes_it_is_verified(self):
        path = madtest.reference_snapshot(self.tmp / "sim.npz", madtest.small_arrays())
        manifest = (self.tmp / "sim.npz.manifest.json").read_bytes()
        data = path.read_bytes()
        for options in [(), ("--stream",)]:
            opened = self.assert_verified(self.verify(bundle(data, manifest), *options), data)
            self.assertEqual(opened.manifest, manifest)

    def test_an_archive_that_cannot_be_followed_leaves_its_structure_to_the_next_stage(self):
        self.npz = npz_bytes(compressed=True)
        opened = self.assert_verified(self.verify(bundle(self.npz, manifest_of(self.npz))))
        self.assertNotIn("structure", opened.seal["checked"])
        spooled = self.assert_verified(
            self.verify(bundle(self.npz, manifest_of(self.npz, chunks=False))))
        self.assertIn("structure", spooled.seal["checked"])

    def test_a_verified_bundle_verifies_again(self):
        once = self.verify(bundle(self.npz, manifest_of(self.npz))).stdout
        self.assert_verified(self.verify(once))

    def test_the_same_bundle_gives_the_same_bytes(self):
        stream = bundle(self.npz, manifest_of(self.npz))
        self.assertEqual(self.verify(stream).stdout, self.verify(stream).stdout)

    def test_a_restart_voids_what_came_before(self):
        for chunks, options in [(True, ()), (True, ("--all-cores",)), (False, ()),
                                (False, ("--stream",))]:
            with self.subTest(chunks=chunks, options=options):
                old = npz_bytes({"a/b": np.arange(9000)})
                stream = (member("sim.npz.manifest.json", manifest_of(old, chunks))
                          + parts("sim.npz", old)[:6 * 4608] + member(".mad-restart", b"")
                          + bundle(self.npz, manifest_of(self.npz, chunks)))
                opened = self.assert_verified(self.verify(stream, *options))
                self.assertEqual(opened.manifest, manifest_of(self.npz, chunks))

    def test_the_signature_goes_on_with_its_manifest(self):
        for chunks in (True, False):
            stream = (member("sim.npz.manifest.json", manifest_of(self.npz, chunks))
                      + member("sim.npz.manifest.json.sig", b"a signature")
                      + parts("sim.npz", self.npz) + seal_member(size_bytes=len(self.npz)) + END)
            done = self.verify(stream)
            self.assert_verified(done)
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
                self.assertEqual(tar.extractfile("sim.npz.manifest.json.sig").read(), b"a signature")

    def test_tar_lists_the_sealed_bundle(self):
        done = self.verify(bundle(self.npz, manifest_of(self.npz)))
        listing = madtest.run("tar", "t", stdin=done.stdout)
        self.assertEqual(listing.returncode, 0, listing.stderr)
        self.assertEqual(listing.stdout.decode().splitlines(),
                         ["sim.npz.manifest.json", "sim.npz.parts/0000000000", ".mad-seal.json"])

    def test_names_that_are_long_or_not_ascii_pass(self):
        for name in ("größe.npz", "a" * 150 + ".npz", "ö" * 90 + ".npz"):
            with self.subTest(name=name):
                buffer = io.BytesIO()
                with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for at, data in ((name + ".manifest.json", manifest_of(self.npz)),
                                     (name + ".parts/0000000000", self.npz)):
                        info = tarfile.TarInfo(at)
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
                stream = buffer.getvalue().rstrip(b"\0")
                stream += bytes(-len(stream) % 512) + seal_member(size_bytes=len(self.npz)) + END
                opened = self.assert_verified(self.verify(stream, env={"LC_ALL": "C"}))
                self.assertEqual(opened.names[0], name + ".manifest.json")

    def test_absent_is_passed_on_as_success(self):
        done = self.verify(seal_member("absent", reason="no-url", message="nothing to resume") + END)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(Opened(done.stdout).seal,
                         {"stage": "absent", "tool": "test", "reason": "no-url",
                          "message": "nothing to resume"})

    def test_failed_is_passed_on_with_its_tool_and_code(self):
        for before in (b"", parts("sim.npz", self.npz[:9000])):
            seal = {"code": 7, "reason": "connect", "message": "example.org: refused"}
            done = self.verify(before + seal_member("failed", **seal) + END)
            self.assertEqual(done.returncode, 7, done.stderr)
            self.assertEqual(Opened(done.stdout).seal, {"stage": "failed", "tool": "test", **seal})

    def test_the_report_names_what_was_checked(self):
        report = self.tmp / "report.json"
        self.verify(bundle(self.npz, manifest_of(self.npz)), "--report", report)
        outcome = json.loads(report.read_text())
        self.assertEqual((outcome["status"], outcome["code"], outcome["stage"]),
                         ("ok", 0, "verified"))
        self.assertEqual(outcome["sha256"], hashlib.sha256(self.npz).hexdigest())

    def test_a_trusted_digest_stands_in_for_the_manifest(self):
        digest = hashlib.sha256(self.npz).hexdigest()
        self.assert_verified(self.verify(bundle(self.npz), "--sha256", digest))
        self.assert_failed(self.verify(bundle(self.npz), "--sha256", "0" * 64), 1,
                           "sha256-mismatch", "--sha256: " + "0" * 64, digest)

    def test_a_trusted_digest_does_not_let_another_npzs_manifest_pass(self):
        digest = hashlib.sha256(self.npz).hexdigest()
        other = manifest_of(self.npz, sha256="0" * 64)
        pair = (member("sim.npz.manifest.json", other), member("sim.npz.manifest.json.sig", b"x"))
        data = parts("sim.npz", self.npz)
        for pieces in [(*pair, data), (data, *pair)]:
            for options in ([], ["--stream"]):
                with self.subTest(first=pieces[0][:20], options=options):
                    stream = b"".join(pieces) + seal_member(size_bytes=len(self.npz)) + END
                    done = self.verify(stream, "--sha256", digest, *options)
                    opened = self.assert_verified(done)
                    self.assertIn("it is not passed on", done.stderr)
                    self.assertEqual([name for name in opened.names if "manifest" in name], [])
        self.assert_failed(
            self.verify(bundle(self.npz, other), "--sha256", digest, "--min-step", "1"), 1,
            "sha256-mismatch", "0" * 64)

    def test_a_trusted_digest_is_not_skipped(self):
        manifest, skip = b"nonsense", "--skip-integrity-check"
        digest = hashlib.sha256(self.npz).hexdigest()
        self.assert_verified(self.verify(bundle(self.npz, manifest), "--sha256", digest, skip))
        self.assert_failed(self.verify(bundle(self.npz, manifest), "--sha256", "0" * 64, skip), 1,
                           "sha256-mismatch")

    def test_a_signature_behind_the_data_lets_nothing_pass_that_is_not_verified(self):
        manifest = manifest_of(self.npz)
        signature = member("sim.npz.manifest.json.sig", b"x" * 64)
        for good in (True, False):
            npz = self.npz if good else self.npz[:-1] + bytes([self.npz[-1] ^ 1])
            for data, options in ((parts("sim.npz", npz), []),
                                  (member("sim.npz", npz), ["--unsealed"])):
                for all_cores in ([], ["--all-cores"]):
                    with self.subTest(good=good, options=options, all_cores=all_cores):
                        done = self.verify(
                            member("sim.npz.manifest.json", manifest) + data + signature
                            + seal_member(size_bytes=len(npz)) + END, *options, *all_cores)
                        if good:
                            opened = self.assert_verified(done)
                            self.assertEqual(opened.names[-2:],
                                             ["sim.npz.manifest.json.sig", ".mad-seal.json"])
                        else:
                            self.assert_failed(done, 1, "chunk-mismatch")

    def test_a_given_manifest_replaces_the_one_in_the_bundle(self):
        given = self.tmp / "given.json"
        given.write_bytes(manifest_of(self.npz))
        opened = self.assert_verified(
            self.verify(bundle(self.npz, b"nonsense"), "--manifest", given))
        self.assertEqual(opened.manifest, given.read_bytes())

    def test_a_skipped_check_is_loud_and_does_not_seal_verified(self):
        done = self.verify(bundle(self.npz), "--skip-integrity-check")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: --skip-integrity-check", done.stderr)
        opened = Opened(done.stdout)
        self.assertEqual((opened.seal["stage"], opened.seal["checked"]),
                         ("unverified", ["structure"]))
        self.assertEqual(opened.npz, self.npz)

    def test_the_expected_topology_holds(self):
        expected = self.tmp / "expected.npz"
        expected.write_bytes(self.npz)
        opened = self.assert_verified(
            self.verify(bundle(self.npz, manifest_of(self.npz)), "--expect", expected))
        self.assertIn("topology", opened.seal["checked"])


class TarredByHand(Filter):
    def write_pair(self):
        (self.tmp / "sim.npz").write_bytes(self.npz)
        (self.tmp / "sim.npz.manifest.json").write_bytes(manifest_of(self.npz))

    def test_gnu_tar_in_either_order_and_format(self):
        self.write_pair()
        names = ["sim.npz", "sim.npz.manifest.json"]
        for order in (names, names[::-1], ["./" + n for n in names]):
            for form in ("gnu", "pax", "ustar"):
                tar = madtest.run("tar", "c", "--format", form, *order, cwd=self.tmp)
                self.assert_verified(self.verify(tar.stdout, "--unsealed"))

    def test_python_tarfile(self):
        self.write_pair()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name in ("sim.npz", "sim.npz.manifest.json"):
                tar.add(self.tmp / name, name)
        self.assert_verified(self.verify(buffer.getvalue(), "--unsealed"))

    def test_without_the_option_it_is_refused_with_a_hint(self):
        self.write_pair()
        tar = madtest.run("tar", "c", "sim.npz", "sim.npz.manifest.json", cwd=self.tmp)
        self.assert_failed(self.verify(tar.stdout), 1, "bundle-invalid", "--unsealed")

    def test_a_cut_one_is_incomplete(self):
        self.write_pair()
        tar = madtest.run("tar", "c", "-b1", "sim.npz.manifest.json", "sim.npz", cwd=self.tmp).stdout
        end = len(tar.rstrip(b"\0"))
        end += -end % 512
        for cut in (end, end + 512):
            self.assert_failed(self.verify(tar[:cut], "--unsealed"), 6, "stream-cut", "mad-fetch")

    def test_without_a_manifest_it_is_refused(self):
        self.write_pair()
        tar = madtest.run("tar", "c", "sim.npz", cwd=self.tmp)
        self.assert_failed(self.verify(tar.stdout, "--unsealed"), 5, "manifest-missing",
                           "sim.npz", "--skip-integrity-check")

    def test_other_kinds_of_members_are_refused(self):
        self.write_pair()
        os.symlink("/etc/passwd", self.tmp / "link.npz")
        os.link(self.tmp / "sim.npz", self.tmp / "hard.npz")
        (self.tmp / "sparse.npz").write_bytes(b"x")
        os.truncate(self.tmp / "sparse.npz", 1 << 20)
        os.mkdir(self.tmp / "directory")
        for names in (["link.npz"], ["sim.npz", "hard.npz"], ["directory"], ["-S", "sparse.npz"]):
            with self.subTest(names=names):
                tar = madtest.run("tar", "c", *names, cwd=self.tmp)
                self.assertEqual(tar.returncode, 0, tar.stderr)
                done = self.verify(tar.stdout, "--unsealed")
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(Opened(done.stdout).seal["reason"], "bundle-invalid")


class Refusing(Filter):
    def test_a_wrong_chunk_is_never_passed_on(self):
        bad = bytearray(self.npz)
        bad[2 * CHUNK + 17] ^= 4
        # The chunks are small, so that the bad one is not in the first buffer.
        opened = self.assert_failed(
            self.verify(bundle(bytes(bad), manifest_of(self.npz))), 1, "chunk-mismatch",
            "chunk 2 (bytes 8192 to 12288)",
            hashlib.sha256(self.npz[2 * CHUNK:3 * CHUNK]).hexdigest(),
            hashlib.sha256(bad[2 * CHUNK:3 * CHUNK]).hexdigest())
        self.assertNotIn(bytes(bad[2 * CHUNK:2 * CHUNK + 100]), opened.npz)

    def test_all_cores_never_pass_a_wrong_chunk_on(self):
        data = npz_bytes({"a/b": np.random.default_rng(5).random(3_000_000)})
        self.npz = data
        chunks = -(-len(data) // CHUNK)
        for index in (0, 1, 2000, chunks - 1):
            bad = bytearray(data)
            bad[min(index * CHUNK + 17, len(data) - 1)] ^= 4
            with self.subTest(index):
                opened = self.assert_failed(
                    self.verify(bundle(bytes(bad), manifest_of(data)), "--all-cores"), 1,
                    "chunk-mismatch", f"chunk {index} (bytes {index * CHUNK} to ")
                self.assertLessEqual(len(opened.npz), index * CHUNK)
        for other, reason in ((data[:-CHUNK], "size-mismatch"), (data + b"x", "size-mismatch")):
            with self.subTest(reason):
                self.assert_failed(self.verify(bundle(other, manifest_of(data)), "--all-cores"), 1,
                                   reason)
        longer = manifest_of(data, size_bytes=len(data) + 1)
        self.assert_failed(self.verify(bundle(data, longer), "--all-cores"), 1, "size-mismatch")

    def test_a_wrong_digest_is_refused_with_both_values(self):
        bad = bytearray(self.npz)
        bad[1000] ^= 1
        expected = hashlib.sha256(self.npz).hexdigest()
        found = hashlib.sha256(bad).hexdigest()
        stream = bundle(bytes(bad), manifest_of(self.npz, chunks=False))
        opened = self.assert_failed(self.verify(stream), 1, "sha256-mismatch",
                                    "sim.npz: SHA-256 mismatch", expected, found)
        self.assertEqual(opened.npz, b"")
        done = self.verify(stream, "--stream")
        self.assert_refused(done, 1, expected, found)
        self.assertEqual(Opened(done.stdout).seal["reason"], "sha256-mismatch")

    def test_chunks_that_are_right_do_not_outvote_the_whole(self):
        manifest = manifest_of(self.npz, sha256="0" * 64)
        self.assert_failed(self.verify(bundle(self.npz, manifest)), 1, "digests-contradict",
                           "every chunk is right and the whole is not", "0" * 64)

    def test_a_digest_that_is_right_does_not_outvote_the_chunks(self):
        """Where everything is held back, the whole is known before a chunk is blamed."""
        manifest = json.loads(manifest_of(self.npz))
        manifest["chunks"]["digests"][0] = "0" * 64
        stream = bundle(self.npz, json.dumps(manifest).encode())
        (self.tmp / "sim.npz").write_bytes(self.npz)
        self.assert_failed(self.verify(stream, "--expect", self.tmp / "sim.npz"), 1,
                           "digests-contradict", "the whole is right and not every chunk", "0" * 64)

    def test_a_wrong_size_is_refused_either_way(self):
        for chunks in (True, False):
            for off, hint in ((1, "1 byte shorter"), (-1, "longer")):
                wrong = manifest_of(self.npz, chunks=chunks, size_bytes=len(self.npz) + off)
                self.assert_failed(self.verify(bundle(self.npz, wrong)), 1, "size-mismatch",
                                   str(len(self.npz) + off), hint)

    def test_more_bytes_than_promised_end_it_at_once(self):
        manifest = manifest_of(self.npz[:CHUNK], chunks=False)
        stream = member("sim.npz.manifest.json", manifest) + parts("sim.npz", self.npz)
        # No end: whoever waited for it would report a cut stream.
        self.assert_failed(self.verify(stream), 1, "size-mismatch", str(CHUNK))

    def test_a_missing_size_is_a_warning(self):
        manifest = manifest_of(self.npz, chunks=False, size_bytes=None)
        done = self.verify(bundle(self.npz, manifest))
        opened = self.assert_verified(done)
        self.assertIn("warning: sim.npz: the manifest gives no size_bytes", done.stderr)
        self.assertNotIn("size", opened.seal["checked"])

    def test_schema_versions_outside_the_window(self):
        for version, code, reason in ((2, 3, "schema-too-new"), (0, 3, "schema-too-old"),
                                      ("1", 1, "manifest-invalid"), (True, 1, "manifest-invalid")):
            manifest = manifest_of(self.npz, schema_version=version)
            opened = self.assert_failed(self.verify(bundle(self.npz, manifest)), code, reason,
                                        "sim.npz.manifest.json")
            self.assertEqual(opened.npz, b"")

    def test_a_missing_manifest(self):
        self.assert_failed(self.verify(bundle(self.npz)), 5, "manifest-missing", "sim.npz")

    def test_a_broken_archive_with_the_right_digest(self):
        for chunks in (True, False):
            bad = bytearray(self.npz)
            at = bad.index(np.random.default_rng(7).random(3000).tobytes()[:64])
            bad[at] ^= 1
            good, self.npz = self.npz, bytes(bad)
            self.assert_failed(self.verify(bundle(self.npz, manifest_of(self.npz, chunks))), 1,
                               "member-crc", "heat/noise")
            self.npz = good

    def test_another_topology_lists_every_difference(self):
        expected = self.tmp / "expected.npz"
        np.savez(expected, **{"ball/pos": np.zeros(3), "rod/x": np.zeros(1)})
        opened = self.assert_failed(
            self.verify(bundle(self.npz, manifest_of(self.npz)), "--expect", expected), 4,
            "topology-mismatch", "node 'heat' is unexpected", "node 'rod' is missing",
            "shape expected (3,), found (2,)")
        self.assertEqual(opened.npz, b"")

    def test_too_large(self):
        self.assert_failed(self.verify(bundle(self.npz, manifest_of(self.npz)), "--max-size", "9K"),
                           1, "too-large", "9216")
        bomb = npz_bytes({"a/b": np.zeros(1 << 20)}, compressed=True)
        self.npz = bomb
        self.assert_failed(
            self.verify(bundle(bomb, manifest_of(bomb, chunks=False)), "--max-size", "1M"), 1,
            "too-large")

    def test_nothing_arrived(self):
        opened = self.assert_failed(self.verify(b""), 6, "no-bundle",
                                    "mad-fetch: no bundle arrived")
        self.assertEqual(opened.seal["tool"], "mad-fetch")

    def test_a_compressed_bundle_is_refused(self):
        tar = madtest.run("gzip", stdin=bundle(self.npz, manifest_of(self.npz)))
        self.assert_failed(self.verify(tar.stdout), 1, "bundle-invalid", "found something else")

    def test_members_that_no_bundle_has(self):
        good = manifest_of(self.npz)
        head = member("sim.npz.manifest.json", good)
        first = parts("sim.npz", self.npz[:CHUNK])
        cases = {
            "a slash": member("x/sim.npz.manifest.json", good),
            "out of the directory": member("../sim.npz.parts/0000000000", b"x"),
            "a hidden name": member(".sim.npz.manifest.json", good),
            "no npz": member("sim.txt", b"x"),
            "another name": head + parts("other.npz", self.npz[:CHUNK]),
            "two manifests": head + head,
            "the second part first": head + parts("sim.npz", self.npz[:CHUNK], first=1),
            "a part twice": head + first + first,
            "a part left out": head + first + parts("sim.npz", self.npz[:CHUNK], first=2),
            "a short number": head + member("sim.npz.parts/0", b"x"),
            "an empty part": head + member("sim.npz.parts/0000000000", b""),
            "a part too long": head + tar_header("sim.npz.parts/0000000000", (4 << 20) + 1),
            "a full restart": head + member(".mad-restart", b"x"),
            "a lone signature": member("sim.npz.manifest.json.sig", b"x"),
            "an unknown stage": seal_member("perfect", size_bytes=0) + END,
            "a seal that is no JSON": member(".mad-seal.json", b"{") + END,
            "a seal with another size": head + first + seal_member(size_bytes=CHUNK - 1) + END,
            "bytes behind the seal": bundle(self.npz, good) + b"x",
            "a member behind the seal": bundle(self.npz, good)[:-1024] + head + END,
        }
        for name, stream in cases.items():
            with self.subTest(name):
                self.assert_failed(self.verify(stream), 1, "bundle-invalid", "standard input")


class Cut(Filter):
    """A short bundle, so that every place can be tried."""

    def setUp(self):
        super().setUp()
        self.npz = npz_bytes({"a/b": np.arange(4)})
        self.manifest = manifest_of(self.npz)
        self.stream = bundle(self.npz, self.manifest)

    def test_at_every_block_it_is_incomplete_and_never_verified(self):
        self.assert_verified(self.verify(self.stream))
        for cut in range(0, len(self.stream), 512):
            done = self.verify(self.stream[:cut])
            self.assertEqual(done.returncode, 6, f"cut at {cut}: {done.stderr}")
            self.assertIn("mad-fetch", done.stderr)
            self.assertEqual(Opened(done.stdout).seal["stage"], "failed")

    def test_a_flipped_byte_anywhere_gives_no_verified_bundle_with_other_bytes(self):
        step = 11 if madtest.SANITIZED else 5
        for at in range(0, len(self.stream), step):
            flipped = bytearray(self.stream)
            flipped[at] ^= 1 << (at % 8)
            done = self.verify(bytes(flipped))
            self.assertIn(done.returncode, (0, 1, 3, 6), f"byte {at}: {done.stderr}")
            opened = Opened(done.stdout)
            if done.returncode == 0:
                self.assertEqual(opened.seal["stage"], "verified")
                self.assertEqual(opened.npz, self.npz, f"byte {at}")
            else:
                self.assertEqual(opened.seal["stage"], "failed")

    def test_a_killed_stage_before_is_named(self):
        reader, writer = os.pipe()
        upstream = subprocess.Popen(["sleep", "60"], stdout=writer)
        process = subprocess.Popen([madtest.tool("mad-verify")], stdin=reader,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=madtest.clean_environment())
        os.close(reader)
        os.write(writer, self.stream[:-2048])
        os.close(writer)
        upstream.kill()
        upstream.wait()
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 6, err)
        self.assertEqual(Opened(out).seal["tool"], "mad-fetch")


class Surroundings(Filter):
    def test_a_reader_that_goes_away_ends_it_quietly(self):
        npz = npz_bytes({"a/b": np.zeros(1 << 20)})
        script = "mad-verify < bundle | head -c 100 >/dev/null; echo done"
        (self.tmp / "bundle").write_bytes(bundle(npz, manifest_of(npz)))
        done = madtest.dash(script, cwd=self.tmp)
        self.assertEqual((done.stdout, done.stderr), (b"done\n", ""))

    def test_a_terminal_is_refused(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        for ends in ({"stdin": slave, "stdout": subprocess.DEVNULL},
                     {"stdin": subprocess.DEVNULL, "stdout": slave}):
            done = subprocess.run([madtest.tool("mad-verify")], stderr=subprocess.PIPE, check=False,
                                  env=madtest.clean_environment(), timeout=60, **ends)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"terminal", done.stderr)

    def test_a_spool_that_cannot_be_made_fails_with_a_seal(self):
        done = madtest.run("mad-verify", "--spool-dir", self.tmp / "missing",
                           stdin=bundle(self.npz, manifest_of(self.npz, chunks=False)))
        self.assertEqual(done.returncode, 9, done.stderr)
        self.assertEqual(Opened(done.stdout).seal["code"], 9)

    def test_the_spool_gives_back_what_was_passed_on(self):
        """Spool and snapshot on one small file system: together they fit in it."""
        npz = npz_bytes({f"heat/field{i}": np.full(6 << 20, i, "u1") for i in range(4)})
        (self.tmp / "small").mkdir()
        script = "mount -t tmpfs -o size=36m none small; " \
                 "mad-verify --spool-dir small | mad-resume --snapshot small/in.npz; " \
                 "cp small/in.npz out.npz"
        done = self.in_namespace(script, bundle(npz, manifest_of(npz, chunks=False)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.tmp / "out.npz").read_bytes(), npz)

    def in_namespace(self, script, stdin):
        """Runs `script` where it may mount."""
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        return madtest.run(*unshare, "sh", "-ec", script, cwd=self.tmp, stdin=stdin)

    def test_a_spool_that_fills_up_fails_with_a_seal_and_leaves_nothing(self):
        npz = npz_bytes({"heat/field": np.full(4 << 20, 1, "u1")})
        (self.tmp / "small").mkdir()
        script = "mount -t tmpfs -o size=1m none small; " \
                 "mad-verify --report report.json --spool-dir small > out || echo $?; " \
                 "ls -A small; df --output=used small | tail -n 1"
        done = self.in_namespace(script, bundle(npz, manifest_of(npz, chunks=False)))
        self.assertEqual(done.stdout.split(), [b"9", b"0"], done.stderr)
        self.assert_refused(done, 0, "error: the spool: cannot write: No space left on device")
        self.assertEqual(json.loads((self.tmp / "report.json").read_text())["reason"], "no-space")
        opened = Opened((self.tmp / "out").read_bytes())
        self.assertEqual(opened.names, [".mad-seal.json"])
        self.assertEqual((opened.seal["stage"], opened.seal["tool"], opened.seal["code"],
                          opened.seal["reason"]), ("failed", "mad-verify", 9, "no-space"))

        state = madtest.make_state(self.tmp / "state", madtest.small_arrays())
        before = madtest.tree(state)
        boot = self.in_namespace('mad-resume --state-dir state -- sh -c \'echo '
                                 '"$MAD_RESUME_STATUS $MAD_RESUME_REASON"\'',
                                 (self.tmp / "out").read_bytes())
        self.assertRegex(boot.stdout.decode(), "^failed mad-verify: no-space: the spool: ")
        self.assertEqual(madtest.tree(state), before)

    def test_bad_options_open_nothing(self):
        for options in (["--sha256", "abc"], ["--max-size", "much"], ["--json"], ["--what"]):
            done = self.verify(b"", *options)
            self.assertEqual((done.returncode, done.stdout), (2, b""))

    @unittest.skipIf(madtest.SANITIZED, "the sanitizers' own memory is counted too")
    def test_memory_is_bounded(self):
        for chunk_bytes, options in ((16 << 20, ()), (4 << 20, ()), (16 << 20, ("--all-cores",)),
                                     (4 << 20, ("--all-cores",)), (None, ("--stream",)),
                                     (None, ("--spool-dir", str(self.spool)))):
            with self.subTest(chunk_bytes=chunk_bytes, options=options):
                self.assertLess(self.peak_kib(chunk_bytes, options), 64 << 10)

    def peak_kib(self, chunk_bytes, options):
        """Of mad-verify alone, for a bundle of 96 MiB."""
        if not hasattr(self, "big"):
            self.big = npz_bytes({f"n{i}/f": np.full(4 << 20, i, "<u8") for i in range(3)})
        manifest = json.loads(manifest_of(self.big, chunks=False))
        if chunk_bytes:
            manifest["chunks"] = {
                "algorithm": "sha256", "chunk_bytes": chunk_bytes,
                "digests": [hashlib.sha256(self.big[i:i + chunk_bytes]).hexdigest()
                            for i in range(0, len(self.big), chunk_bytes)]}
        with open(self.tmp / "big", "wb") as out:
            out.write(member("sim.npz.manifest.json", json.dumps(manifest).encode()))
            out.write(parts("sim.npz", self.big, 4 << 20))
            out.write(seal_member(size_bytes=len(self.big)) + END)
        # Started by a small process: a forked child's peak begins at its parent's size.
        measure = ("import os, sys\n"
                   "pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])\n"
                   "_, status, usage = os.wait4(pid, 0)\n"
                   "print(usage.ru_maxrss, file=sys.stderr)\n"
                   "sys.exit(os.waitstatus_to_exitcode(status))\n")
        with open(self.tmp / "big", "rb") as stream:
            done = subprocess.run(
                [sys.executable, "-S", "-c", measure, madtest.tool("mad-verify"), *options],
                stdin=stream, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
                env=madtest.clean_environment(), timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stderr.split()[-1])


if __name__ == "__main__":
    madtest.main()
