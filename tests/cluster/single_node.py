"""A SLURM of one node for tests: slurmctld, slurmd and munged on loopback, pretend GPUs, everything in one folder."""

import os
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path

from mac.runtime.lease import ONLY_NAMES

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr", "sshare")
MARK = "MAC_TEST_CLUSTER"  # in the environment of every process of this cluster

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,requeue_delay=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=6 RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=1-0 PriorityTier=10 PreemptMode=off
PartitionName=low Nodes={host} MaxTime=1-0 PriorityTier=1 PreemptMode=requeue
"""


def missing() -> str:
    """Why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can start a SLURM with users and devices of its own"
    absent = [name for name in (*DAEMONS, "sbatch", "setpriv") if not _program(name)]
    return f"{', '.join(absent)} not installed (Debian: slurmctld slurmd slurm-client munge)" if absent else ""


class Cluster:
    """One running SLURM.

    Attributes:
        environment: of processes that are to use it.
    """

    def __init__(self, folder: Path, gpus: int = 4) -> None:
        self.folder, self._daemons = folder, []
        path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "CUDA_", "MAC_"))}
        self.environment = kept | {"PATH": path, MARK: str(folder), "MAC_LEASE_DIR": f"{folder}/lease"}
        self.environment[ONLY_NAMES] = "1"  # trainings use the CPU
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir()
        self._configure(gpus)

    def _configure(self, gpus: int) -> None:
        host, folder = socket.gethostname().split(".")[0], self.folder
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        for number in range(gpus):  # SLURM numbers character devices only
            os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (folder / "slurm.conf").write_text(SLURM_CONF.format(host=host, folder=folder, gpus=gpus, ports=_free_ports(2)))
        (folder / "gres.conf").write_text(f"AutoDetect=off\nNodeName={host} Name=gpu File={folder}/gpu[0-{gpus - 1}]\n")
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        for name in COMMANDS:  # within a job, the executor plugin takes SLURM_CONF out of the environment
            if program := _program(name):
                wrapper = folder / "bin" / name
                wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program} "$@"\n')
                wrapper.chmod(0o755)

    def start(self) -> None:
        """Start the daemons and wait for the node.

        Raises:
            RuntimeError: it doesn't come up; the message holds the ends of the logs.
        """
        files = {"socket": "sock", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        munge = [f"--{option}={self.folder}/munge.{ending}" for option, ending in files.items()]
        self._run("munged", "--foreground", "--force", *munge)
        self._wait("munge", (self.folder / "munge.sock").exists)
        self._run("slurmctld", "-D", "-c")
        self._run("slurmd", "-D")
        self._wait("the node", lambda: self.run("sinfo", "-h", "-p", "main", "-o", "%t").strip() == "idle")

    def _run(self, name: str, *arguments: str) -> None:
        # A daemon ends with this process, however that ends.
        command = ["setpriv", "--pdeathsig", "TERM", _program(name), *arguments]
        environment = self.environment | {"SLURM_CONF": f"{self.folder}/slurm.conf"}
        with (self.folder / f"{name}.out").open("w") as out:
            self._daemons.append(subprocess.Popen(command, stdout=out, stderr=out, env=environment))

    def _wait(self, what: str, is_there, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not is_there():
            if time.monotonic() > deadline or any(daemon.poll() is not None for daemon in self._daemons):
                logs = [f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.out"))]
                raise RuntimeError(f"SLURM: waited in vain for {what}\n" + "\n".join(logs))
            time.sleep(0.1)

    def run(self, *command: str) -> str:
        """What a SLURM command prints; nothing where it fails."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def stop(self) -> None:
        """End all jobs, then the daemons, then what is left of either."""
        if self._daemons:
            self.run("scancel", "--partition=main,low")
            deadline = time.monotonic() + 30
            while self.run("squeue", "-h") and time.monotonic() < deadline:
                time.sleep(0.2)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        mark = f"{MARK}={self.folder}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), 9)
            except OSError:  # it ended by itself
                continue


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
