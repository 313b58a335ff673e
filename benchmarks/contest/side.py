"""The sides of the contest, and what a worker is asked to do for one."""

import importlib
import importlib.metadata
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.contest.network import conv4, tied_windows
from benchmarks.contest.tasks import Tasks
from benchmarks.contest.work import Work

Built = tuple[Callable[[], None], dict[str, nn.Parameter]]  # one outer update, and the parameters by name
Builder = Callable[[Work, Tasks, torch.dtype], Built]
GEMM_SIZE = 1536
# "processor" does not count the time that other programs had the core: for a machine that is not idle
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def builders(side: str) -> dict[str, Builder]:
    """What a side can do: method -> builder. Raises ImportError where the library is not installed."""
    methods: dict[str, Builder] = importlib.import_module(f"benchmarks.contest.sides.{side}").METHODS
    return methods


class Answers:
    """What a worker does for one side; each public method answers one kind of question with plain JSON."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._step: Callable[[], None] | None = None

    def hello(self) -> dict[str, Any]:
        """Which methods the side has, the versions of what it runs on, and the memory that importing them took."""
        methods = list(builders(self._side))
        versions = {"torch": str(torch.__version__)}
        if self._side not in ("ours", "plain"):
            versions[self._side] = importlib.metadata.version(self._side)
        return {"methods": methods, "versions": versions, "bytes": _peak_bytes()}

    def gradient(self, work: dict[str, Any], images: str, into: str) -> dict[str, Any]:
        """Write the gradients (float64) of the first outer update to the file `into`."""
        described = Work(**work)
        tasks = Tasks(Path(images), torch.float64)
        step, parameters = builders(self._side)[described.method](described, tasks, torch.float64)
        step()
        torch.save({name: p.grad for name, p in parameters.items()}, into)
        return {}

    def tied(self, work: dict[str, Any], images: str) -> dict[str, Any]:
        """The share of tied pooling windows in the first block, under the initial weights."""
        described = Work(**work)
        batch, _ = Tasks(Path(images), torch.float64).batch(64)
        return {"share": tied_windows(conv4(described, torch.float64), batch)}

    def prepare(self, work: dict[str, Any], images: str) -> dict[str, Any]:
        """Build the step in float32 and take it once; answers with how long that took."""
        described = Work(**work)
        tasks = Tasks(Path(images), torch.float32)
        self._step, _ = builders(self._side)[described.method](described, tasks, torch.float32)
        return self.time(1, "wall")

    def time(self, repetitions: int, clock: str) -> dict[str, Any]:
        """Seconds for so many outer updates, and the largest memory that the process has had."""
        assert self._step is not None, "time before prepare"
        start = CLOCKS[clock]()
        for _ in range(repetitions):
            self._step()
        return {"seconds": CLOCKS[clock]() - start, "peak_bytes": _peak_bytes()}

    def gemm(self, clock: str) -> dict[str, Any]:
        """Operations a second of a float32 matrix product, the best of a few."""
        a, b = torch.rand(2, GEMM_SIZE, GEMM_SIZE)
        best = float("inf")
        for _ in range(8):
            start = CLOCKS[clock]()
            a @ b
            best = min(best, CLOCKS[clock]() - start)
        return {"flops_per_second": 2 * GEMM_SIZE**3 / best}


def _peak_bytes() -> int:
    """The largest resident size so far. Linux's ru_maxrss would be that of the process which started this one, too."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
