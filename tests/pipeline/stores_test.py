"""The preempt hook and the boot line over each kind of store: radosgw, azurite, the fake of
GCS, nginx with TLS; and what a push leaves in each."""

import json
import pathlib
import shutil
import signal
import tempfile
import unittest

import madtest
from azurite import Azurite
from fake_gcs import FakeGCS
from pipeline import DASH, RUN_PREEMPTIBLE, SIM, Child, sim, state_tree, step_of, wait_until
from radosgw import RadosGW
from servers import WEBDAV, Nginx

HEAT = 4096
MIB = 1 << 20
BOOT = ('mad-fetch --if-exists | mad-verify | mad-resume --state-dir "$1" -- '
        'mad-test-sim --state "$1" --steps "$2" --heat-bytes "$3"')


def setUpModule():
    global STORES
    place = pathlib.Path(tempfile.mkdtemp(prefix="mad-stores-"))
    unittest.addModuleCleanup(shutil.rmtree, place)
    s3, azure, gcs = RadosGW().start(), Azurite().start(), FakeGCS().start()
    for server in (s3, azure, gcs):
        unittest.addModuleCleanup(server.stop)
    gcs.bucket("bucket")
    (place / "www").mkdir()
    nginx = Nginx(place, place / "www", extra=WEBDAV)
    nginx.__enter__()
    unittest.addModuleCleanup(nginx.__exit__)
    bucket, container = s3.bucket(), azure.container()
    STORES = {
        "s3": (f"s3://{bucket}", s3.environment(), lambda key: s3.get(bucket, key),
               lambda: s3.keys(bucket)),
        "gs": ("gs://bucket", gcs.environment(), lambda key: gcs.get("bucket", key),
               lambda: gcs.keys("bucket")),
        "az": (f"az://{container}", azure.environment(), lambda key: azure.get(container, key),
               lambda: azure.blobs(container)),
        "https": (nginx.url("", tls=True),
                  {"MAD_PUSH_CACERT": nginx.ca, "MAD_FETCH_CACERT": nginx.ca},
                  lambda key: (place / "www" / key).read_bytes(),
                  lambda: madtest.tree(place / "www")),
    }


class Stores:
    """What holds for each of them; `store` is its name."""

    def setUp(self):
        super().setUp()
        self.prefix, environment, self.get, self.keys = STORES[self.store]
        self.environment = {"HOME": self.tmp, **environment}

    def snapshot(self, step, elements=60):
        arrays = {"heat/field": madtest.np.random.default_rng(step).random(elements),
                  "_meta/step_count": madtest.np.array(step, dtype="<i8")}
        state = madtest.make_state(self.tmp / f"state-{step}-{elements}", arrays)
        npz = self.tmp / f"made-{step}-{elements}.npz"
        done = madtest.run("mad-snapshot", "-o", npz, state)
        self.assertEqual(done.returncode, 0, done.stderr)
        return npz

    def push(self, *words, stdin=b"", code=0):
        report = self.tmp / "report.json"
        done = madtest.run("mad-push", "--report", report, *words, stdin=stdin,
                           env=self.environment)
        self.assertEqual(done.returncode, code, done.stderr)
        self.report = json.loads(report.read_text())
        return done

    def fetched(self, key):
        out = self.tmp / "out.npz"
        done = madtest.run("mad-fetch", "-o", out, f"{self.prefix}/{key}", env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        madtest.reference_verify(out)
        return out.read_bytes()

    def test_a_preempted_simulation_goes_on_from_the_store_to_the_same_final_bits(self):
        state = self.tmp / "machine" / "state"
        state.parent.mkdir()
        url = f"{self.prefix}/runs/sim.npz"
        child = Child(
            self, DASH, RUN_PREEMPTIBLE, "--state", state, "-o", self.tmp / "machine" / "sim.npz",
            "--after-snapshot", 'mad-push "$1"', "--", SIM, "--state", state,
            "--heat-bytes", HEAT, env={**self.environment, "MAD_PUSH_URL": url})
        wait_until(lambda: step_of(state) > 3, "the simulation's first steps")
        child.process.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        shutil.rmtree(self.tmp / "machine")  # all that a machine loses
        self.assertEqual(sorted(key for key in self.keys() if key.startswith("runs/")),
                         ["runs/sim.npz", "runs/sim.npz.manifest.json"])
        step = json.loads(self.get("runs/sim.npz.manifest.json"))["step"]
        self.assertGreater(step, 3)
        steps = step + 1000
        new = self.tmp / "new"
        done = madtest.dash(BOOT, new, steps, HEAT,
                            env={**self.environment, "RESUME_FROM_URL": url})
        self.assertEqual(done.returncode, 0, done.stderr)
        first = int(done.stdout.decode().split("starts at step ")[1].split()[0])
        self.assertEqual(first, step)
        sim("--state", self.tmp / "whole", "--steps", steps, "--heat-bytes", HEAT)
        self.assertEqual(state_tree(new), state_tree(self.tmp / "whole"))

    def test_the_first_boot_finds_nothing_and_starts_fresh(self):
        new = self.tmp / "new"
        done = madtest.dash(BOOT, new, 3, HEAT, env={
            **self.environment, "RESUME_FROM_URL": f"{self.prefix}/none/sim.npz"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("starts at step 0\n", done.stdout.decode())

    def test_a_snapshot_replaces_another_and_leaves_nothing_beside_it(self):
        for size in (60, 2 * MIB):
            key = f"replaced/{size}.npz"
            for step in (1, 2):
                npz = self.snapshot(step, size)
                self.push("--part-size", "5M", "--verify", npz, f"{self.prefix}/{key}")
                self.assertEqual(self.report["status"], "ok")
                self.assertEqual(self.get(key), npz.read_bytes())
                self.assertEqual(self.fetched(key), npz.read_bytes())
        self.assertEqual([key for key in self.keys() if key.endswith(".next")], [])

    def test_a_stream_arrives_whole(self):
        for size in (60, 2 * MIB):
            npz = self.snapshot(3, size)
            bundle = madtest.run("mad-fetch", npz).stdout
            self.push("--part-size", "5M", "-", f"{self.prefix}/stream/{size}.npz",
                      stdin=bundle)
            self.assertEqual(self.fetched(f"stream/{size}.npz"), npz.read_bytes())

    def test_what_is_there_is_known_where_the_store_keeps_a_digest(self):
        npz = self.snapshot(4)
        url = f"{self.prefix}/same/sim.npz"
        self.push(npz, url)
        self.push(npz, url)
        self.assertEqual(self.report["status"], "ok" if self.store == "https" else "unchanged")

    def test_if_absent_refuses_another_snapshot(self):
        url = f"{self.prefix}/absent/sim.npz"
        old = self.snapshot(5)
        self.push("--if-absent", old, url)
        done = self.push("--if-absent", self.snapshot(6), url, code=1)
        self.assertIn("--if-absent", done.stderr)
        self.assertEqual(self.get("absent/sim.npz"), old.read_bytes())

    def test_a_writer_that_died_between_npz_and_manifest_is_completed(self):
        """As the store looks then, in stores with a digest and in those without."""
        key = "died/sim.npz"
        old, new, newer = (self.snapshot(step) for step in (7, 8, 9))
        url = f"{self.prefix}/{key}"
        self.push(new, url)
        manifests = {npz: pathlib.Path(str(npz) + ".manifest.json") for npz in (old, new)}
        # The manifests as one that died left them: the old one and, for the npz, .next.
        self.put_raw(key + ".manifest.json", manifests[old].read_bytes())
        self.put_raw(key + ".manifest.json.next", manifests[new].read_bytes())
        self.assertEqual(self.fetched(key), new.read_bytes())
        self.push(newer, url)
        self.assertTrue(self.report["completed_other"])
        self.assertEqual(self.fetched(key), newer.read_bytes())
        self.assertNotIn(key + ".manifest.json.next", self.keys())

    def put_raw(self, key, body):
        done = madtest.run("mad-test-store", "put", f"{self.prefix}/{key}", "--cacert",
                           self.environment.get("MAD_PUSH_CACERT", ""), stdin=body,
                           env=self.environment)
        self.assertEqual(done.returncode, 0, done.stderr)


class S3(Stores, madtest.Case):
    store = "s3"


class Google(Stores, madtest.Case):
    store = "gs"


class Azure(Stores, madtest.Case):
    store = "az"


class Web(Stores, madtest.Case):
    store = "https"


if __name__ == "__main__":
    madtest.main()
