"""The places to run: what users copy for Slurm, containers, Kubernetes and systemd, each run
for real, or read by the models of the API that it is for."""

import json
import os
import re
import shutil
import signal

import kubernetes.client
import yaml

import madtest
from metadata_server import MetadataServer
from pipeline import DASH, SIM, Child, alive, environment, pathlib, step_of, wait_until
from slurm import Slurm

SCRIPTS = madtest.SOURCE / "scripts"


class Places(madtest.Case):
    def setUp(self):
        super().setUp()
        self.bin = self.tmp / "bin"
        self.bin.mkdir()
        self.path = f"{self.bin}:{environment()['PATH']}"

    def program(self, name, *words):
        """A program of that name that is the simulation, with `words` besides its own."""
        script = self.bin / name
        script.write_text(f'#!/bin/sh\nexec {SIM} "$@" --heat-bytes 4096 {" ".join(words)}\n')
        script.chmod(0o755)

    def step(self, npz):
        return int(madtest.run("mad-manifest", "get", npz, "step").stdout)


class SlurmJob(Places):
    def test_it_snapshots_at_its_signal_requeues_itself_and_goes_on_from_there(self):
        self.program("simulate")
        log = self.tmp / "slurm-1.out"
        npz = self.tmp / "sim.npz"
        (self.tmp / "scratch").mkdir()
        state = self.tmp / "scratch/job-1/state"
        with Slurm() as slurm:
            job = slurm.submit(SCRIPTS / "slurm/simulation.sbatch", cwd=self.tmp, PATH=self.path,
                               SNAPSHOT=npz, SCRATCH=self.tmp / "scratch")
            wait_until(lambda: step_of(state) > 3, "the job's first steps")

            def snapshotted():
                # One that comes while Slurm still sets the job up gets lost.
                slurm.run("scancel", "--batch", "--signal=USR1", job)
                return "taking the snapshot" in log.read_text()

            wait_until(snapshotted, "the signal in the job")
            wait_until(lambda: slurm.state(job) == "PENDING", "the job in the queue again")
            step = self.step(npz)
            self.assertGreater(step, 3)
            self.assertFalse(state.exists())
            self.program("simulate", "--steps", str(step + 50))
            # Slurm itself waits for two minutes, for the killed run's credential to expire;
            # two seconds tell the new one's time from it.
            slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now+2")
            wait_until(lambda: slurm.state(job) == "COMPLETED", "the end of the job")
        said = log.read_text()
        self.assertIn("starts at step 0\n", said)
        self.assertIn(f"starts at step {step}\n", said)
        self.assertIn(f"ends at step {step + 50}\n", said)


class Container(Places):
    def container(self, *command, **env):
        """The entry point as process 1 of a PID namespace; its outside PID is `first`."""
        child = Child(
            self, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child", DASH,
            SCRIPTS / "docker-entrypoint", *command, cwd=self.tmp, env={
                "PATH": self.path, "SIM_STATE": self.tmp / "state", "TMPDIR": self.tmp,
                "MADDENING_SNAPSHOT_PATH": self.tmp / "sim.npz",
                "RESUME_FROM_URL": self.tmp / "pushed.npz", "MAD_WATCH_PROVIDER": "gcp",
                "MAD_WATCH_ENDPOINT": "http://127.0.0.1:1", **env})
        below = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
        return child, int(wait_until(lambda: below.read_text().split(), "process 1")[0])

    def test_the_entry_point_snapshots_on_stop_pushes_and_resumes(self):
        self.program("simulate")
        state = self.tmp / "state"
        push = 'cp "$1" pushed.npz && cp "$1.manifest.json" pushed.npz.manifest.json'
        child, first = self.container("simulate", "--state", state,
                                      MAD_RUN_PREEMPTIBLE_AFTER_SNAPSHOT=push)
        wait_until(lambda: step_of(state) > 3, "the first steps")
        child.said("watching for notices of gcp")
        os.kill(first, signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        step = self.step(self.tmp / "pushed.npz")
        shutil.rmtree(state.resolve())
        state.unlink()
        child, _ = self.container("simulate", "--state", state, "--steps", step + 5,
                                  MAD_RUN_PREEMPTIBLE_WATCH="")
        self.assertEqual(child.wait(), 0, child.err)
        self.assertIn(f"starts at step {step}\n", child.out)
        self.assertNotIn("watching", child.err)

    def test_a_stop_while_it_resumes_is_heeded_at_once(self):
        os.mkfifo(self.tmp / "slow")
        (self.bin / "mad-fetch").write_text("#!/bin/sh\necho begun >&2\nread -r _ <slow\n")
        (self.bin / "mad-fetch").chmod(0o755)
        child, first = self.container("touch", "ran")
        child.said("begun")
        os.kill(first, signal.SIGTERM)
        self.assertEqual(child.wait(), 143, child.err)
        self.assertFalse(alive(first))
        self.assertFalse((self.tmp / "ran").exists())


class Kubernetes(Places):
    def manifest(self, name):
        return yaml.safe_load((SCRIPTS / "kubernetes" / name).read_text())

    def test_the_manifests_hold_nothing_that_the_api_does_not_know(self):
        """The models of Kubernetes' own client drop what they do not know, and refuse an
        object without what it needs: read and written again, nothing is missing."""
        for name, model in (("job.yaml", "V1Job"), ("pod.yaml", "V1Pod")):
            document = self.manifest(name)
            client = kubernetes.client.ApiClient()

            class Answer:
                data = json.dumps(document)

            read = client.deserialize(Answer, model)
            self.assertEqual(client.sanitize_for_serialization(read), document, name)

    def test_the_grace_covers_the_hook_and_the_job_is_tried_again(self):
        pod = self.manifest("pod.yaml")["spec"]
        hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2]
        allowed = int(re.search(r"date \+%s\) \+ (\d+)", hook).group(1))
        self.assertLess(allowed, pod["terminationGracePeriodSeconds"])
        job = self.manifest("job.yaml")["spec"]
        self.assertEqual(job["template"]["spec"]["restartPolicy"], "OnFailure")
        self.assertGreater(job["template"]["spec"]["terminationGracePeriodSeconds"], 30)
        self.assertGreater(job["backoffLimit"], 100)

    def test_the_pod_resumes_serves_and_snapshots_before_its_end(self):
        """Its commands, in the order of the kubelet, with its volumes in a directory."""
        pod = self.manifest("pod.yaml")["spec"]
        for volume in ("state", "scratch"):
            (self.tmp / volume).mkdir()
        shutil.copy(SIM, self.bin / "server")  # pgrep wants the process's own name
        (self.bin / "mad-push").write_text(
            f'#!/bin/sh\necho "$1 $MAD_DEADLINE" >{self.tmp}/pushed\n')
        (self.bin / "mad-push").chmod(0o755)

        def words(command):
            text = re.sub(r"/(state|scratch)/", rf"{self.tmp}/\1/", command[2])
            own = f"pgrep -x -P {os.getpid()} server"
            return [DASH, "-c", text.replace("pgrep -o -x server", own)]

        env = {"PATH": self.path, "RESUME_FROM_URL": self.tmp / "none.npz",
               "MAD_FETCH_IF_EXISTS": "true"}
        init = Child(self, *words(pod["initContainers"][0]["command"]), env=env)
        self.assertEqual(init.wait(), 0, init.err)
        server = Child(self, *words(pod["containers"][0]["command"]), env=env)
        wait_until(lambda: step_of(self.tmp / "state/now") > 3, "the server's first steps")
        hook = Child(self, *words(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]),
                     env=env)
        self.assertEqual(hook.wait(), 0, hook.err)
        madtest.reference_verify(self.tmp / "scratch/server.npz")
        self.assertIsNone(server.process.poll())
        path, deadline = (self.tmp / "pushed").read_text().split()
        self.assertEqual(path, str(self.tmp / "scratch/server.npz"))
        self.assertTrue(deadline.isdigit())


class Systemd(Places):
    def test_the_watcher_is_a_unit_for_any_service(self):
        unit = self.tmp / "mad-watch@sim.service"
        shutil.copy(SCRIPTS / "systemd/mad-watch@.service", unit)
        done = madtest.run("systemd-analyze", "verify", "--man=no", unit)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_watcher_stops_its_service(self):
        """The ExecStart line, with a systemctl of the test's own."""
        text = (SCRIPTS / "systemd/mad-watch@.service").read_text()
        line = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", text, re.M).group(1)
        (self.bin / "systemctl").write_text(f'#!/bin/sh\necho "$@" >{self.tmp}/stopped\n')
        (self.bin / "systemctl").chmod(0o755)
        with MetadataServer("gcp") as metadata:
            metadata.control(notice="preemption")
            child = Child(self, DASH, "-c", line.replace("%i", "sim"), env={
                "PATH": self.path, "MAD_WATCH_ENDPOINT": metadata.url()})
            wait_until((self.tmp / "stopped").exists, "the stop")
            child.signal(signal.SIGTERM)
            self.assertEqual(child.wait(), 143, child.err)
        self.assertEqual((self.tmp / "stopped").read_text(), "stop sim.service\n")


if __name__ == "__main__":
    madtest.main()
