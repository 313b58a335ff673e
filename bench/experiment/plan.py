"""Wanted cells x stored states -> what is done, stale, failed and to do. Pure."""

from __future__ import annotations

import heapq
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.records import StoredCell, StoredTraining, pace_of

if TYPE_CHECKING:  # reading results must not import torch
    from fewshot_bench.experiment.identity import Cell, Training

T = TypeVar("T")
State = Literal["done", "partial", "failed", "todo"]
STATES: dict[State, str] = {"done": "done", "partial": "partial", "failed": "failed", "todo": "to do"}


@dataclass(frozen=True)
class PlannedCell:
    """One wanted cell and how far it is."""

    cell: Cell
    state: State
    n_done: int
    reason: str = ""  # of an earlier failure, which is tried again unless the state is "failed"


@dataclass(frozen=True)
class PlannedTraining:
    """One training that something still needs, and the cells that wait for it."""

    training: Training
    stored: StoredTraining | None
    cells: tuple[PlannedCell, ...]  # those to do, in the order of the grid

    @property
    def name(self) -> str:
        """The variants that it serves, for the screen."""
        names = list(dict.fromkeys(c.cell.variant for c in self.cells))
        shown = " ".join(names if len(names) < 4 else [*names[:2], f"and {len(names) - 2} more"])
        return shown or self.training.method

    @property
    def is_trained(self) -> bool:
        """Whether its weights are recorded."""
        return self.stored is not None and self.stored.state == "finished"


@dataclass(frozen=True)
class Plan:
    """Everything that a run would do, and what it would not."""

    cells: tuple[PlannedCell, ...]
    todo: tuple[PlannedTraining, ...]
    n_stale: int  # stored under the same names with another identity: other code, data or settings
    with_cells: bool = True  # False: the cells are those that fail with their training, and are not evaluated

    def training_alone(self, key: str) -> Plan:
        """Only the training with this key, or whose key alone begins so, without its cells.

        Raises UsageError where it is none or several.
        """
        keys = {c.cell.training.key for c in self.cells if c.cell.training.key.startswith(key)}
        if len(keys) != 1:
            raise UsageError(
                f"--training {key!r}: keys of {len(keys)} chosen trainings begin so; give one's (bench run -n)"
            )
        cells = tuple(c for c in self.cells if c.cell.training.key in keys)
        unfinished = tuple(t for t in self.todo if t.training.key in keys and not t.is_trained)
        return Plan(cells, unfinished, self.n_stale, with_cells=False)

    def count(self, state: State) -> int:
        """Cells in a state."""
        return sum(c.state == state for c in self.cells)

    def __str__(self) -> str:
        """In one line."""
        states = ", ".join(f"{self.count(state)} {word}" for state, word in STATES.items())
        stale = f"; {self.n_stale} stale (stored under these names by other code, data or settings)"
        return f"{len(self.cells)} cells: {states}, from {len(self.todo)} trainings{stale if self.n_stale else ''}"


def make_plan(
    cells: list[Cell],
    stored_cells: Mapping[str, StoredCell],
    stored_trainings: Mapping[str, StoredTraining],
    *,
    n_stale: int = 0,
    retry_failed: bool = False,
) -> Plan:
    """Compare what is wanted with what is stored. A failed cell stays failed unless retry_failed."""
    planned = []
    for cell in cells:
        stored, training = stored_cells.get(cell.key), stored_trainings.get(cell.training.key)
        reason = (stored.reason if stored else "") or (training.reason if training else "")
        n_done = stored.n_episodes if stored else 0
        state: State = "partial" if n_done else "todo"
        if n_done >= cell.n_episodes:
            state = "done"
        elif reason and not retry_failed:
            state = "failed"
        planned.append(PlannedCell(cell, state, n_done, "" if state == "done" else reason))
    groups: dict[str, list[PlannedCell]] = {}
    seen: set[str] = set()
    for p in planned:
        if p.state in ("todo", "partial") and p.cell.key not in seen:  # two variants may be one and the same
            seen.add(p.cell.key)
            groups.setdefault(p.cell.training.key, []).append(p)
    todo = tuple(
        PlannedTraining(group[0].cell.training, stored_trainings.get(key), tuple(group))
        for key, group in groups.items()
    )
    return Plan(tuple(planned), todo, n_stale)


SAME_PACE = ("method", "settings", "backbone", "filters", "image_size", "in_channels", "n_way", "n_shot", "n_query")
ENOUGH_STEPS = 5  # the first steps of a process are slower: of a training with fewer, no pace is taken
Work = tuple[float, tuple[float, ...]]  # seconds of a training, and of each of its cells
Expected = dict[str, tuple[float | None, float | None]]  # training key -> (training, testing) seconds to come


class History:
    """How long what is stored took, a step or an episode: the median of what takes alike long."""

    def __init__(self, cells: Mapping[str, StoredCell], trainings: Mapping[str, StoredTraining]) -> None:
        self._step = _medians(
            (_pace(t.identity), t.seconds / t.iteration) for t in trainings.values() if t.iteration >= ENOUGH_STEPS
        )
        self._episode = _medians((c.pace, c.seconds / c.n_episodes) for c in cells.values() if c.n_episodes)

    def of_training(self, todo: PlannedTraining) -> float | None:
        """Seconds to come, from trainings with the same work a step."""
        if todo.is_trained:
            return 0.0
        step, done = self._step.get(_pace(todo.training.identity)), todo.stored.iteration if todo.stored else 0
        return None if step is None else step * (todo.training.iterations - done)

    def of_cell(self, planned: PlannedCell) -> float | None:
        """Seconds to come, from cells with the same work an episode."""
        episode = self._episode.get(pace_of(planned.cell.variant, planned.cell.identity))
        return None if episode is None else episode * (planned.cell.n_episodes - planned.n_done)

    def of_cells(self, todo: PlannedTraining) -> float | None:
        """Seconds of all cells of a training."""
        seconds = [self.of_cell(planned) for planned in todo.cells]
        return None if None in seconds else sum(s for s in seconds if s)

    def expected(self, plan: Plan) -> Expected:
        """How long each training and its cells may take with one job; None where nothing like it is stored."""
        return {
            todo.training.key: (self.of_training(todo), self.of_cells(todo) if plan.with_cells else 0.0)
            for todo in plan.todo
        }

    def longest_first(self, plan: Plan) -> Plan:
        """The trainings, by what they and their longest cell will take, and the cells of each; the unknown first.

        So no worker is left with a long unit when the others have nothing to do.
        """
        found = [replace(todo, cells=tuple(sorted(todo.cells, key=self._last))) for todo in plan.todo]
        found.sort(key=lambda todo: _last(self.of_training(todo)) + min(map(self._last, todo.cells), default=0.0))
        return replace(plan, todo=tuple(found))

    def _last(self, planned: PlannedCell) -> float:
        return _last(self.of_cell(planned))


def _last(seconds: float | None) -> float:
    return -math.inf if seconds is None else -seconds


def _pace(identity: Mapping[str, Any]) -> str:
    return json.dumps([identity.get(name) for name in SAME_PACE], sort_keys=True)


def _medians(rates: Iterable[tuple[T, float]]) -> dict[T, float]:
    by_pace: dict[T, list[float]] = {}
    for pace, seconds in rates:
        by_pace.setdefault(pace, []).append(seconds)
    return {pace: statistics.median(seconds) for pace, seconds in by_pace.items()}


def wall_seconds(work: Iterable[Work], jobs: int) -> float:
    """Seconds until a pool is through with trainings and, once each is over, its cells.

    Its `jobs` workers take trainings first, and the longest first.
    """
    trainings = sorted(work, key=lambda one: one[0] + max(one[1], default=0.0))  # the next one is the last
    cells: list[float] = []  # negative: the longest first
    at_work: list[tuple[float, tuple[float, ...]]] = []  # when a worker is free, and the cells that can begin then
    now = 0.0
    while trainings or cells or at_work:
        while len(at_work) < jobs and (trainings or cells):
            seconds, followers = trainings.pop() if trainings else (-heapq.heappop(cells), ())
            heapq.heappush(at_work, (now + seconds, followers))
        now, followers = heapq.heappop(at_work)
        for seconds in followers:
            heapq.heappush(cells, -seconds)
    return now
