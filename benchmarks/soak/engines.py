"""The little experiment through Slurm and through Dask, real daemons, while something ends on the way."""

import atexit
import os
import random
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import clusters, forked
from benchmarks.postgresql import Server
from benchmarks.soak.little import Content, Little, Place
from benchmarks.soak.victim import Victim
from fewshot_bench import cli
from fewshot_bench.errors import BenchError
from fewshot_bench.results.store import Reader
from fewshot_bench.running.engines import driving, slurm

Cluster = clusters.Slurm | clusters.Dask
# what ends, once a grid
FAULTS = ("unit",) * 5 + ("worker",) * 5 + ("driver",) * 3 + ("server",) * 3 + ("preempted", "cancelled")
GRID = ("--seed", "0", "--shot", "1")
OFTEN = "from fewshot_bench.running import runner; runner.SAVE_SECONDS = runner.CHUNK_SECONDS = 0.0; "
SOME_FAILED = 4
LOOK_SECONDS, LOOKING_SHARE = 0.2, 1.0


@dataclass(frozen=True)
class Extent:
    """How long a grid is, how often a unit or a worker of it ends, and within how many seconds of work."""

    iterations: int
    episodes: int
    of_some: int
    seconds: float

    @property
    def size(self) -> dict[str, int]:
        """What a place of the little experiment is made with."""
        return {"iterations": self.iterations, "episodes": self.episodes}

    def times(self, fault: str) -> int:
        """How often it is done to a grid."""
        return self.of_some if fault in ("unit", "worker") else 1


LONG, SHORT = Extent(60, 40, of_some=2, seconds=1.0), Extent(30, 20, of_some=1, seconds=0.5)


@contextmanager
def cluster(engine: str, little: Little) -> Iterator[Cluster]:
    """Slurm's commands are on the path then."""
    os.environ["BENCH_CACHE"] = str(little.folder / "cache")  # Dask's workers hand it on
    with tempfile.TemporaryDirectory(prefix=engine, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with forked.python(folder, _begin, OFTEN) as python:
            if engine == "dask":
                with clusters.started(clusters.Dask(folder, python)) as dask:
                    yield dask
            else:
                os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
                with clusters.started(clusters.Slurm(folder, python)) as found:
                    yield found


def _begin(at: str) -> None:
    if not os.fork():
        atexit._clear()  # temporary folders are not its own
        forked.main(at)


def undisturbed(little: Little, extent: Extent) -> Content:
    """What a run on this machine makes of the grid, in SQLite."""
    with little.temporary("sqlite", **extent.size) as place:
        local = Victim(place, "run", *GRID)
        assert local.wait() == 0, local.said()
        return place.content()


class Disturbed:
    """A grid that a driver has an engine do."""

    def __init__(self, place: Place, cluster: Cluster, rng: random.Random, extent: Extent) -> None:
        self.place, self.cluster, self.rng, self.extent = place, cluster, rng, extent
        self.words = cluster.ready()
        self.driver = self.drive()

    def drive(self, *words: str) -> Victim:
        """Another driver, or another command."""

        def act() -> None:
            driving.LOOK_SECONDS, driving.LOOKING_SHARE = LOOK_SECONDS, LOOKING_SHARE
            slurm.PYTHON = str(self.cluster.python)
            cli.main()

        return Victim(self.place, *(words or ("run", *GRID)), *self.words, act=act)

    def end(self, fault: str, server: Server) -> list[str]:
        """Do it, and have the grid done to its end: what is wrong with how that went."""
        wrong: list[str] = []
        for _ in range(self.extent.times(fault)):
            unit = self._unit()
            if fault == "unit":
                os.kill(unit, signal.SIGKILL)
            elif fault == "worker":
                self.cluster.kill_a_worker()
            elif fault == "preempted":
                self.cluster.preempt()
            elif fault == "server":
                server.stop()
                time.sleep(self.rng.uniform(0, 2))
                server.start()
            elif fault == "driver":
                os.killpg(self.driver.pid, signal.SIGKILL)
                wrong += self.driver.faults((-signal.SIGKILL,))
            else:
                os.kill(self.driver.pid, signal.SIGINT)  # nobody is there to be asked: jobs go on
                wrong += self.driver.faults((128 + signal.SIGINT,))
                wrong += self.drive("cancel").faults()
        if fault in ("driver", "cancelled"):
            self.driver = self.drive()
        return wrong + self.driver.faults()

    def _unit(self) -> int:
        """The process of a unit that is at work, a while after one began."""
        clusters.wait_for(self._units)
        time.sleep(self.rng.uniform(0, self.extent.seconds))
        return clusters.wait_for(lambda: next(iter(self._units()), 0))

    def _units(self) -> list[int]:
        try:
            at_work: list[dict[str, Any]] = Reader(self.place.where).counts().at_work
        except BenchError:  # no database yet
            return []
        pids = [int(found[1]) for unit in at_work if (found := re.match(r"process (\d+) of", unit["who"]))]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]  # who was killed still holds a claim


def disturb(
    little: Little, server: Server, wanted: Content, cluster: Cluster, fault: str, rng: random.Random, extent: Extent
) -> list[str]:
    """What goes wrong with a grid, or is not as a local run makes it, where this ends on the way."""
    with little.temporary("postgresql", **extent.size) as place:
        found = Disturbed(place, cluster, rng, extent)
        wrong = [*found.end(fault, server), *place.faults(wanted)]
        return [f"{fault}: {said}" for said in wrong]
