"""mad-list, mad-prune and mad-fetch --latest over radosgw, azurite and the fake of GCS."""

import pathlib
import shutil
import tempfile
import threading
import unittest

import madtest
from fault_proxy import FaultProxy
from fetching import Bundle
from placing import PlaceCase, name_of, npz_bytes, pair
from places import AzPlace, GsPlace, S3Place

BOOT = ('mad-fetch --latest --fallback 3 | mad-verify -q | '
        'mad-resume -q --state-dir "$1" -- sh -c \'echo $MAD_RESUME_STATUS\'')


def setUpModule():
    global STORES
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mad-places-"))
    unittest.addModuleCleanup(shutil.rmtree, directory)
    STORES = {}
    for kind in (S3Place, AzPlace, GsPlace):
        STORES[kind] = kind(directory)
        unittest.addModuleCleanup(STORES[kind].stop)


class Stores:
    def setUp(self):
        super().setUp()
        self.store = STORES[self.kind]
        self.store.renew()
        self.url = self.store.url("runs/a b/")
        self.env = self.store.environment()

    def push(self, number):
        """The n-th snapshot of the run, as mad-push leaves it."""
        npz = self.make(number)
        self.run_tool("mad-push", npz, self.url, env=self.env)
        return npz

    def raw(self, name, data):
        self.store.put("runs/a b/" + name, data)

    def keys(self):
        prefix = "runs/a b/"
        return sorted(name[len(prefix):] for name in self.store.names() if name.startswith(prefix))

    def fetch(self, *words, code=0, env=None):
        return self.run_tool("mad-fetch", "--latest", *words, self.url, env=env or self.env,
                             code=code)

    def test_the_way_of_a_run(self):
        """One place through all that can be in it, one after the other."""
        self.assertEqual(self.listed(self.url, env=self.env), {})
        self.assertEqual(Bundle(self.fetch(code=5)).seal["stage"], "absent")
        for number in range(1, 6):
            self.push(number)
        # What is further down, and what is not ours, is no business of this place.
        self.raw("deeper/x.npz", b"x")
        self.raw("notes.txt", b"x")
        found = self.listed(self.url, "--check", env=self.env)
        self.assertEqual([(e["name"], e["step"], e["status"]) for e in found.values()],
                         [(name_of(n), n, "verified") for n in range(5, 0, -1)])
        self.assertEqual(found[name_of(5)]["path"], self.url + name_of(5))
        self.assertEqual(self.listed(self.url.rstrip("/"), env=self.env).keys(), found.keys())
        self.assertEqual(Bundle(self.fetch()).npz, npz_bytes(5))

        # A damaged newest: the boot goes back, the prune does not count it.
        self.damage(self.place / name_of(5))
        self.raw(name_of(5), (self.place / name_of(5)).read_bytes())
        found = self.listed(self.url, "--check", env=self.env, code=1)
        self.assertEqual([e["status"] for e in found.values()], ["refused"] + ["verified"] * 4)
        for words in ([], ["-o", self.tmp / "out.npz"]):
            out = self.fetch("--fallback", "1", *words)
            self.assertEqual([s["name"] for s in self.report["skipped"]], [name_of(5)])
        self.assertEqual((self.tmp / "out.npz").read_bytes(), npz_bytes(4))
        self.assertEqual(Bundle(self.fetch("--fallback", "1")).npz, npz_bytes(4))
        state = self.tmp / "state"
        done = madtest.dash(BOOT, state, env={**self.env, "RESUME_FROM_URL": self.url})
        self.assertEqual(done.stdout, b"resumed\n", done.stderr)
        self.assertEqual(int(madtest.np.load(state / "_meta/step_count.npy")), 4)

        # What its manifest says to the last byte, and no archive all the same.
        false = self.place / name_of(6)
        false.write_bytes(b"PK and no more" * 9)
        self.raw(false.name + ".manifest.json", madtest.reference_manifest(false).read_bytes())
        self.raw(false.name, false.read_bytes())
        self.fetch("--fallback", "2")
        self.assertEqual([(s["name"], s["reason"]) for s in self.report["skipped"]],
                         [(name_of(6), "archive-invalid"), (name_of(5), "sha256-mismatch")])

        before = self.keys()
        told = self.pruned("--keep", "2", "--dry-run", place=self.url, env=self.env)
        self.assertEqual(told, [("snapshot", name_of(n), "superseded") for n in (1, 2)])
        self.assertEqual(self.keys(), before)
        self.assertEqual(self.pruned("--keep", "2", place=self.url, env=self.env), told)
        self.assertEqual(self.keys(), sorted(pair(3, 4, 5, 6) + ["deeper/x.npz", "notes.txt"]))

        # All damaged: some exist, and none is valid.
        for number in (3, 4):
            self.raw(name_of(number), b"PK")
        out = self.fetch("--fallback", "9", code=1)
        self.assertEqual(Bundle(out).seal["reason"], "no-valid-snapshot")
        self.assertEqual(self.pruned("--keep", "1", place=self.url, env=self.env, code=1), [])

    def test_what_dead_writers_left(self):
        for number in (1, 2, 3):
            self.push(number)
        manifests = {n: (self.place / (name_of(n) + ".manifest.json")).read_bytes()
                     for n in (1, 2, 3)}
        # One died before its npz, one between npz and manifest, one before it tidied up.
        self.raw("never.npz.manifest.json.next", b"{}")
        self.raw(name_of(3) + ".manifest.json", manifests[1])
        self.raw(name_of(3) + ".manifest.json.next", manifests[3])
        self.raw(name_of(2) + ".manifest.json.next", manifests[2])
        found = self.listed(self.url, "--check", env=self.env)
        self.assertEqual({name: (e["status"], e["interrupted"]) for name, e in found.items()},
                         {"never.npz": ("no-npz", False), name_of(3): ("verified", True),
                          name_of(2): ("verified", False), name_of(1): ("verified", False)})
        self.assertEqual(Bundle(self.fetch()).npz, npz_bytes(3))
        self.assertEqual(self.pruned("--keep", "3", place=self.url, env=self.env), [])
        told = self.pruned("--keep", "2", "--grace", "0s", place=self.url, env=self.env)
        self.assertEqual(sorted(told), [("remains", "never.npz", "no-npz"),
                                        ("settle", name_of(2), "dead-writer"),
                                        ("snapshot", name_of(1), "superseded")])
        self.assertEqual(self.keys(),
                         sorted(pair(2, 3) + [name_of(3) + ".manifest.json.next"]))
        self.assertEqual(Bundle(self.fetch("--fallback", "0")).npz, npz_bytes(3))

    def test_a_store_that_fails_is_no_reason_to_go_back_or_to_prune(self):
        for number in (1, 2):
            self.push(number)
        before = self.keys()
        for what in (name_of(2) + r"(\?|$)", ""):
            with self.subTest(what=what), FaultProxy(self.store.port) as proxy:
                proxy.fail(self.store.busy[0], path=what, times=None)
                env = {**self.store.environment(proxy.port), "MAD_FETCH_RETRIES": "0",
                       "MAD_PRUNE_RETRIES": "0"}
                seal = Bundle(self.fetch("--fallback", "1", code=7, env=env)).seal
                self.assertEqual((seal["stage"], seal["code"]), ("failed", 7))
                self.fetch("--fallback", "1", "-o", self.tmp / "out.npz", code=7, env=env)
                self.assertEqual(
                    self.pruned("--keep", "1", place=self.url, env=env, code=7), [])
        self.assertEqual(self.keys(), before)

    def test_two_pruners_and_a_writer_lose_nothing(self):
        self.push(1)
        errors = []
        over = threading.Event()

        def prune():
            while not over.is_set():
                done = madtest.run("mad-prune", "-q", "--keep", "1", self.url, env=self.env)
                if done.returncode != 0:
                    errors.append(done.stderr)

        pruners = [threading.Thread(target=prune) for _ in range(2)]
        for pruner in pruners:
            pruner.start()
        try:
            for number in range(2, 8):
                self.push(number)
                out = self.fetch("--fallback", "0")
                self.assertEqual(Bundle(out).npz, npz_bytes(number))
        finally:
            over.set()
            for pruner in pruners:
                pruner.join()
        self.assertEqual(errors, [])
        self.pruned("--keep", "1", place=self.url, env=self.env)
        self.assertEqual(self.keys(), pair(7))

    def test_a_name_that_is_pushed_again_meanwhile_stays(self):
        """In the very moment before the store hears of its removal, where that can be refused;
        where it cannot, before the look that precedes it."""
        for number in (1, 2):
            self.push(number)
        other = self.make(9, name=name_of(1))

        def push_again(seen):
            if self.pushed is None:
                self.pushed = madtest.run("mad-push", other, self.url, env=self.env)
            return False

        self.pushed = None
        with FaultProxy(self.store.port) as proxy:
            proxy.fail(None, method="DELETE" if self.store.has_conditions else "GET",
                       path=name_of(1) + r"(\?|$)", when=push_again)
            told = self.pruned("--keep", "1", place=self.url,
                               env=self.store.environment(proxy.port))
        self.assertEqual((told, self.pushed.returncode), ([], 0), self.pushed.stderr)
        self.assertIn("left alone", self.said)
        found = self.listed(self.url, "--check", env=self.env)
        self.assertEqual([(e["name"], e["step"], e["status"]) for e in found.values()],
                         [(name_of(1), 9, "verified"), (name_of(2), 2, "verified")])


class S3(Stores, PlaceCase):
    kind = S3Place

    def test_uploads_that_were_never_ended_go_after_the_grace(self):
        self.push(1)
        bucket, request = self.store.bucket, self.store.server.request
        for key in ("runs/a b/dead.npz", "runs/a b/dead.npz", "runs/a b/x.bin", "elsewhere.npz"):
            path = f"/{bucket}/" + key.replace(" ", "%20")
            answer = request("POST", path, {"uploads": ""})
            upload = answer.body.decode().split("<UploadId>")[1].split("<")[0]
            request("PUT", path, {"uploadId": upload, "partNumber": "1"}, body=b"part")
        self.assertEqual(self.pruned("--keep", "1", place=self.url, env=self.env), [])
        told = self.pruned("--keep", "1", "--grace", "0s", place=self.url, env=self.env)
        self.assertEqual(told, [("work", "dead.npz", "dead-writer")] * 2)
        self.assertEqual(self.store.leftovers(), ["elsewhere.npz", "runs/a b/x.bin"])


class Azure(Stores, PlaceCase):
    kind = AzPlace


class Google(Stores, PlaceCase):
    kind = GsPlace


if __name__ == "__main__":
    madtest.main()
