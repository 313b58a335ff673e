"""Engines as labs have them, with real daemons, on this machine; each is brought up once."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import forked

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

    def start(self) -> None:
        where = self.folder / "scheduler.json"
        self._begin(
            "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(where),
        )  # fmt: skip
        self.address = wait_for(lambda: where.exists() and json.loads(where.read_text() or "{}").get("address"))

    def ready(self) -> list[str]:
        """The words that name it. Two workers are there, or will be."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            code = WORKER.format(python=str(self.python))
            words = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", self.address)
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
        begun = subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)
        self.children.callback(begun.wait)
        self.children.callback(begun.kill)
        return begun


@pytest.fixture(scope="session")
def dask(tmp_path_factory, python) -> Iterator[Dask]:
    with ExitStack() as children:
        cluster = Dask(tmp_path_factory.mktemp("dask"), python, children)
        cluster.start()
        yield cluster


@pytest.fixture(params=["dask"])
def cluster(request) -> Dask:
    return request.getfixturevalue(request.param)
