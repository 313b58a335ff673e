"""Engines as labs have them, with real daemons, on this machine; each is brought up once."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import forked
from fewshot_bench.running.engines import slurm as engine

PATIENCE_SECONDS = 120  # only what hangs takes so long


def wait_for(what: Callable[[], object]) -> object:
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
            number, _, _, parent = re.match(r"(\d+) \((.*)\) (\S) (\d+)", path.read_text()).groups()
            found += [int(number)] * (int(parent) == pid)
    return found


@pytest.fixture(scope="session", name="wait_for")
def _wait_for():
    return wait_for


@pytest.fixture(scope="session")
def python(tmp_path_factory) -> Iterator[Path]:
    """What stands for Python in jobs."""
    folder, root = tmp_path_factory.mktemp("stub"), Path(forked.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.forked", folder / "socket"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as server:  # fmt: skip
        assert server.stdout.readline() == b"up\n"
        forked.write_stub(folder / "python", folder / "socket")
        yield folder / "python"
        server.stdin.close()


WORKER = "import sys; sys.executable = {python!r}; from distributed.cli.dask_worker import main; main()"


@dataclass
class Dask:
    """A scheduler, and workers of one thread each."""

    folder: Path
    python: Path
    children: ExitStack
    workers: list[subprocess.Popen] = field(default_factory=list)
    before: str = ""
    address: str = ""

    def start(self) -> None:
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
            code = WORKER.format(python=str(self.python))
            words = (
                "--host",
                "127.0.0.1",
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--death-timeout",
                "60",
                self.address,
            )
            self.workers.append(self._begin("-c", code, *words, "--local-directory", str(self.folder)))
        return ["--engine", "dask", "--engine-option", f"scheduler={self.address}"]

    def kill_a_worker(self) -> None:
        """The one that runs a unit; another takes its place."""
        [at_work] = [worker for worker in self.workers if children(worker.pid)]
        at_work.kill()
        at_work.wait()
        self.ready()

    def scripts(self) -> str:
        """What jobs consist of."""
        return ""

    def _begin(self, *words: str) -> subprocess.Popen:
        log = self.children.enter_context((self.folder / "log").open("ab"))
        begun = self.children.enter_context(subprocess.Popen([sys.executable, *words], stdout=log, stderr=log))
        self.children.callback(begun.kill)
        return begun


@pytest.fixture(scope="session")
def dask(tmp_path_factory, python) -> Iterator[Dask]:
    with ExitStack() as children:
        cluster = Dask(tmp_path_factory.mktemp("dask"), python, children)
        cluster.start()
        yield cluster


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
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")


@dataclass
class Slurm:
    """A cluster of one node, without accounting, in a network namespace; its commands are reached through `bin`."""

    folder: Path
    children: ExitStack
    before: str = ""  # what a driver in a process of its own does first

    def start(self) -> None:
        # a second address: with 127.0.0.1 alone Slurm's getaddrinfo fails, and its commands hang
        up = "ip link set lo up && ip addr add 10.99.0.1/32 dev lo && echo up && exec cat"
        self.inside = self._begin("unshare", "-n", "sh", "-c", up, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.inside.stdout.readline() == b"up\n"
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir()
        key, host = self.folder / "munge.key", socket.gethostname().partition(".")[0]
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        where = self.folder / "slurm.conf"
        where.write_text(CONFIGURATION.format(folder=self.folder, host=host))
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

    def tell_jobs(self, signal: str) -> None:
        """Send what the cluster sends before a time limit."""
        self.command("scancel", f"--signal={signal}", "--batch", "--state=RUNNING", *self.numbers())

    def begin_now(self) -> None:
        """Do not wait the two minutes that Slurm gives a job that was queued again."""
        number = str(
            wait_for(lambda: self.command("squeue", "--noheader", "--format=%r %i").partition("BeginTime ")[2])
        )
        time.sleep(2)  # begun in the second in which it ended, its credential counts as revoked
        self.command("scontrol", "update", f"JobId={number.split()[0]}", "StartTime=now")

    def scripts(self) -> str:
        """What jobs consist of."""
        return "".join(self.command("scontrol", "write", "batch_script", number, "-") for number in self.numbers())

    def numbers(self) -> list[str]:
        """Of jobs that wait or run."""
        return self.command("squeue", "--noheader", "--format=%i").split()

    def command(self, name: str, *words: str) -> str:
        done = subprocess.run([self.folder / "bin" / name, *words], capture_output=True, text=True)
        return done.stdout

    def _daemon(self, *words: str) -> None:
        self._begin("nsenter", "--target", str(self.inside.pid), "--net", *words)

    def _begin(self, *words: str, **options) -> subprocess.Popen:
        log = self.children.enter_context((self.folder / f"{words[-1].rpartition('/')[2][:9]}.log").open("wb"))
        begun = self.children.enter_context(subprocess.Popen(words, **({"stdout": log, "stderr": log} | options)))
        self.children.callback(begun.terminate)
        return begun


@pytest.fixture(scope="session")
def a_slurm() -> Iterator[Slurm]:
    missing = [name for name in (*COMMANDS, "munged", "slurmctld", "slurmd", "unshare", "ip") if not shutil.which(name)]
    if os.geteuid() or missing:
        why = f"Slurm's tests need root and {', '.join(missing) or 'nothing more'}"
        (pytest.fail if os.environ.get("BENCH_TEST_SLURM") else pytest.skip)(why)
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder, ExitStack() as children:
        cluster = Slurm(Path(folder), children)
        cluster.start()
        yield cluster


@pytest.fixture
def slurm(a_slurm, python, monkeypatch) -> Slurm:
    monkeypatch.setenv("PATH", str(a_slurm.folder / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(engine, "PYTHON", str(python))
    a_slurm.before = f"from fewshot_bench.running.engines import slurm; slurm.PYTHON = {str(python)!r}"
    return a_slurm


@pytest.fixture(params=["dask", "slurm"])
def cluster(request) -> Dask | Slurm:
    return request.getfixturevalue(request.param)
