"""Engines as labs have them, with real daemons, on this machine: for tests and the soak."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

PATIENCE_SECONDS = 600  # only what hangs takes so long
T = TypeVar("T")


def wait_for(what: Callable[[], T]) -> T:
    """What is true at last."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            found += [int(path.parent.name)] * (int(fields[1]) == pid)
    return found


WORKER = "import sys; sys.executable = {python!r}; from distributed.cli.dask_worker import main; main()"
# idle daemons take a fourth of the processor time that they take where they sample themselves a hundred times a second
QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__TICK__CYCLE": "5s",
}


@dataclass
class Dask:
    """A scheduler, and workers of one thread each, one of which declares a GPU."""

    folder: Path
    python: Path
    children: ExitStack = field(default_factory=ExitStack)
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    with_gpu: "subprocess.Popen[bytes] | None" = None
    for_gpu = "resources=GPU=1"
    before: str = ""
    address: str = ""

    def start(self) -> None:
        """Bring up its scheduler; workers come with `ready`."""
        where = self.folder / "scheduler.json"
        self._begin(
            "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(where),
        )  # fmt: skip
        self.address = str(wait_for(lambda: where.exists() and json.loads(where.read_text() or "{}").get("address")))

    def ready(self) -> list[str]:
        """The words that name it. Two workers are there, or will be."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            code, lacks = WORKER.format(python=str(self.python)), self.with_gpu not in self.workers
            begun = self._begin(
                "-c", code, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--death-timeout", "60", "--local-directory", str(self.folder),
                *(["--resources", "GPU=1"] if lacks else []), self.address,
            )  # fmt: skip
            self.with_gpu = begun if lacks else self.with_gpu
            self.workers.append(begun)
        return ["--engine", "dask", "--engine-option", f"scheduler={self.address}"]

    def kill_a_worker(self, number: int = signal.SIGKILL) -> None:
        """One that runs a unit; another takes its place."""
        at_work = next(worker for worker in self.workers if children(worker.pid))
        at_work.send_signal(number)
        at_work.wait()
        self.ready()

    def preempt(self) -> None:
        """Take the machine away from a worker, as a cloud does: SIGTERM."""
        self.kill_a_worker(signal.SIGTERM)

    def scripts(self) -> str:
        """What jobs consist of."""
        return ""

    def _begin(self, *words: str) -> "subprocess.Popen[bytes]":
        log = self.children.enter_context((self.folder / "log").open("ab"))
        begun = self.children.enter_context(
            subprocess.Popen([sys.executable, *words], stdout=log, stderr=log, env=os.environ | QUIET)
        )
        self.children.callback(begun.kill)
        return begun


CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0,requeue_delay=1
KillWait=15
MinJobAge=300
JobRequeue=1
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 Gres=gpu:1 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
"""
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")


@dataclass
class Slurm:
    """A cluster of one node that declares a GPU, without accounting, in a network namespace; its commands in `bin`."""

    folder: Path
    python: Path
    children: ExitStack = field(default_factory=ExitStack)
    for_gpu = "gres=gpu:1"

    @property
    def before(self) -> str:
        """What a driver in a process of its own does first."""
        return f"from fewshot_bench.running.engines import slurm; slurm.PYTHON = {str(self.python)!r}"

    def start(self) -> None:
        """Bring up its daemons; a second or two."""
        # a second address: with 127.0.0.1 alone Slurm's getaddrinfo fails, and its commands hang
        up = "ip link set lo up && ip addr add 10.99.0.1/32 dev lo && echo up && exec cat"
        self.inside = self._begin("unshare", "-n", "sh", "-c", up, piped=True)
        assert self.inside.stdout
        assert self.inside.stdout.readline() == b"up\n"
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        key, host = self.folder / "munge.key", socket.gethostname().partition(".")[0]
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        where = self.folder / "slurm.conf"
        where.write_text(CONFIGURATION.format(folder=self.folder, host=host))
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        for name in COMMANDS:
            wrapper = self.folder / "bin" / name
            words = f"nsenter --target {self.inside.pid} --net timeout 60 {shutil.which(name)}"
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={where} exec {words} "$@"\n')
            wrapper.chmod(0o755)
        munge = [f"--{name}={self.folder}/munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
        self._daemon("munged", "--foreground", "--force", f"--key-file={key}", *munge)
        wait_for((self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D", "-f", str(where))
        self._daemon("slurmd", "-D", "-f", str(where))
        wait_for(lambda: "idle" in self.command("sinfo", "--noheader", "--format=%T"))

    def ready(self) -> list[str]:
        """The words that name it."""
        return ["--engine", "slurm", "--engine-option", "mem=100"]

    def kill_a_worker(self) -> None:
        """The whole job that runs a unit."""
        self.command("scancel", "--signal=KILL", "--full", "--state=RUNNING", *self.numbers())

    def preempt(self) -> None:
        """A job of a partition that goes first, and then those that it drove away, sooner than Slurm would."""
        words = ("--partition=urgent", "--exclusive", "--mem=100", "--output=/dev/null", "--wrap=sleep 1")
        said = self.command("sbatch", "--parsable", *words)
        assert said, "refused"
        wait_for(lambda: said.strip() not in self.numbers())
        self.begin_now()

    def tell_jobs(self, signal: str) -> None:
        """Send what the cluster sends before a time limit."""
        self.command("scancel", f"--signal={signal}", "--batch", "--state=RUNNING", *self.numbers())

    def begin_now(self) -> None:
        """Do not wait the two minutes that Slurm gives jobs that were queued again."""
        wait_for(self._waiting)
        time.sleep(2)  # begun in the second in which it ended, its credential counts as revoked
        for number in self._waiting():
            self.command("scontrol", "update", f"JobId={number}", "StartTime=now")

    def _waiting(self) -> list[str]:
        lines = self.command("squeue", "--noheader", "--format=%i %r").splitlines()
        return [line.split()[0] for line in lines if line.endswith("BeginTime")]

    def scripts(self) -> str:
        """What jobs consist of."""
        return "".join(self.command("scontrol", "write", "batch_script", number, "-") for number in self.numbers())

    def numbers(self) -> list[str]:
        """Of jobs that wait or run."""
        return self.command("squeue", "--noheader", "--format=%i").split()

    def command(self, name: str, *words: str) -> str:
        """What one of Slurm's commands answers."""
        done = subprocess.run([self.folder / "bin" / name, *words], capture_output=True, text=True)
        return done.stdout

    def _daemon(self, *words: str) -> None:
        self._begin("nsenter", "--target", str(self.inside.pid), "--net", *words)

    def _begin(self, *words: str, piped: bool = False) -> "subprocess.Popen[bytes]":
        log = self.children.enter_context((self.folder / f"{words[-1].rpartition('/')[2][:9]}.log").open("wb"))
        stdin, stdout = (subprocess.PIPE, subprocess.PIPE) if piped else (None, log)
        begun = self.children.enter_context(subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=log))
        self.children.callback(begun.terminate)
        return begun


def no_slurm() -> str:
    """Why no Slurm can be brought up here; empty where one can."""
    missing = [name for name in (*COMMANDS, "munged", "slurmctld", "slurmd", "unshare", "ip") if not shutil.which(name)]
    needed = ["root"] * (os.geteuid() != 0) + missing
    return f"Slurm's tests need {', '.join(needed)}" if needed else ""


C = TypeVar("C", Dask, Slurm)


@contextmanager
def started(cluster: C) -> Iterator[C]:
    """A cluster that runs, and is gone in the end."""
    with cluster.children:
        cluster.start()
        yield cluster
