"""A real Slurm of one node, this machine, for the tests: munged, slurmctld, slurmd.

    with Slurm() as slurm:
        job = slurm.submit("job.sbatch", cwd=tmp, env=…)
        slurm.run("scancel", "--batch", "--signal=USR1", job)
        slurm.state(job)                                       # RUNNING, PENDING, …

Needs root, as slurmd does.  Everything stays on the loopback.
"""

import os
import re
import socket
import subprocess

from daemons import Daemons, Service, listens
from servers import free_port


class Slurm(Service):
    def _start(self):
        self._daemons = Daemons("mad-slurm-")
        self.submitted = False
        host = socket.gethostname().split(".")[0]
        control, node = free_port(), free_port()
        place = self._daemons.directory
        (place / "state").mkdir()
        (place / "spool").mkdir()
        (place / "munge").mkdir(mode=0o700)
        (place / "munge/key").write_bytes(os.urandom(1024))
        (place / "munge/key").chmod(0o600)
        self.conf = place / "slurm.conf"
        self.conf.write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/linear
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
""")
        # From 23.11 on slurmd wants a control group of its own, which a container may not have.
        if slurm_version() >= (23, 11):
            (place / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        self._daemons.environment["SLURM_CONF"] = str(self.conf)
        self._daemons.start("munged", ["munged", "--foreground", "--force", *(
            f"--{name}={place}/munge/{name}" for name in ("socket", "pid-file", "log-file",
                                                           "seed-file")),
            f"--key-file={place}/munge/key"])
        self._daemons.wait_for("munged", (place / "munge/socket").exists)
        self._daemons.start("slurmctld", ["slurmctld", "-D", "-c"])
        self._daemons.wait_for("slurmctld", lambda: listens(control))
        self._daemons.start("slurmd", ["slurmd", "-D", "-N", host])
        self._daemons.wait_for(
            "an idle node", lambda: b"idle" in self.run("sinfo", "-h", "-o", "%T"))

    def stop(self):
        # What runs a job outlives slurmd.
        if self.submitted and (jobs := self.run("squeue", "-h", "-o", "%i").decode().split()):
            self.run("scancel", *jobs)
            self._daemons.wait_for("the end of the jobs", lambda: not self.run("squeue", "-h"))
        super().stop()

    def run(self, *argv):
        return self._daemons.run(*argv)

    def submit(self, script, *, cwd, options=(), **env):
        """The number of the job; `env` is all that it gets besides Slurm's own."""
        env["SLURM_CONF"] = self.conf
        env |= {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
                if name in os.environ}
        export = ",".join(f"{name}={value}" for name, value in env.items())
        said = self.run("sbatch", f"--chdir={cwd}", f"--export={export}", *options, script)
        self.submitted = True
        return re.search(rb"Submitted batch job (\d+)", said).group(1).decode()

    def state(self, job):
        found = re.search(rb"JobState=(\w+)", self.run("scontrol", "show", "job", job))
        return found.group(1).decode()


def slurm_version():
    said = subprocess.run(["slurmd", "-V"], capture_output=True, check=True, text=True).stdout
    return tuple(int(number) for number in re.search(r"(\d+)\.(\d+)", said).groups())
