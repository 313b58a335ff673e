"""The timing: every side in every round, so that what else the machine does meets them all."""

import dataclasses
import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contest.conversation import Worker, WorkerFailed
from benchmarks.contest.work import Work


@dataclass(frozen=True)
class Layout:
    """How often and on how many cores."""

    rounds: int = 3
    seconds: float = 1.0  # the least that a reading takes
    processes: int = 1  # of each side, at once
    threads: int = 1  # of each process
    clock: str = "wall"  # of side.CLOCKS


@dataclass
class Reading:
    """One side at one work. A rate is images/s of all its processes together, one for each round."""

    side: str
    rates: list[float] = field(default_factory=list)
    peak_bytes: int = 0  # of one process
    failure: str = ""


@dataclass(frozen=True)
class Timing:
    """All sides at one work, and the machine's matrix product in the same rounds (operations/s, all processes)."""

    work: Work
    readings: list[Reading]
    gemm: list[float]


class Team:
    """The processes of one side that work at once."""

    def __init__(self, side: str, layout: Layout, stack: ExitStack) -> None:
        self.reading = Reading(side)
        self._layout = layout
        self._workers = [stack.enter_context(Worker(side, layout.threads)) for _ in range(layout.processes)]
        self._repetitions = 1

    def ask(self, question: str, **details: Any) -> list[dict[str, Any]]:
        """All their answers to one question. Raises WorkerFailed."""
        for worker in self._workers:
            worker.send(question, **details)
        return [worker.receive() for worker in self._workers]

    def prepare(self, work: Work, images: Path) -> None:
        """Warm up; settles how many updates make a reading."""
        first = self.ask("prepare", work=dataclasses.asdict(work), images=str(images))
        seconds = max(answer["seconds"] for answer in first)
        if seconds < self._layout.seconds:  # the first time takes longer; only a long one is worth not repeating
            seconds = max(answer["seconds"] for answer in self.ask("time", repetitions=1, clock=self._layout.clock))
        self._repetitions = math.ceil(self._layout.seconds / seconds)

    def read(self, work: Work) -> None:
        """One more rate."""
        answers = self.ask("time", repetitions=self._repetitions, clock=self._layout.clock)
        self.reading.rates.append(sum(self._repetitions * work.images / a["seconds"] for a in answers))
        self.reading.peak_bytes = max(self.reading.peak_bytes, *(a["peak_bytes"] for a in answers))


def measure(work: Work, sides: list[str], images: Path, layout: Layout) -> Timing:
    """Time the sides in turn, each round beginning with another one; who fails is left out from there on."""
    gemm: list[float] = []
    with ExitStack() as stack:
        product = Team("plain", layout, stack)  # its own processes, so that it adds to nobody's memory
        teams = [Team(side, layout, stack) for side in sides]
        for team in teams:
            _guarded(team, lambda team=team: team.prepare(work, images))
        for i in range(layout.rounds):
            gemm.append(sum(answer["flops_per_second"] for answer in product.ask("gemm", clock=layout.clock)))
            for j in range(len(teams)):
                team = teams[(i + j) % len(teams)]
                _guarded(team, lambda team=team: team.read(work))
        return Timing(work, [team.reading for team in teams], gemm)


def _guarded(team: Team, act: Any) -> None:
    """Do it, unless the team has failed before; keep why it fails."""
    if not team.reading.failure:
        try:
            act()
        except WorkerFailed as error:
            team.reading.failure = str(error)
