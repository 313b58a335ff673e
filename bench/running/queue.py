"""What is left to do of a plan, unit by unit: whoever takes one has claimed it, so that no other run is at it."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from fewshot_bench.experiment.identity import Training
from fewshot_bench.experiment.plan import Plan, PlannedCell, PlannedTraining
from fewshot_bench.machine import pause
from fewshot_bench.results.store.claiming import Claims, UnitState
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.events import CellFailed, CellFinished, Event, NotDone, Trained, Warned, WeightsLost
from fewshot_bench.running.runner import Stopped
from fewshot_bench.running.units import CellJob, Item, Workplace, do

LOOK_SECONDS = 1.0  # between two looks at what other runs hold
PAUSE_SECONDS = 0.2  # where there is nothing to take
Events = Generator[Event, None, None]


class Queue:
    """Gives out units. A training's cells join when it is trained, here or by another run."""

    def __init__(self, plan: Plan, checkpoints: Checkpoints, claims: Claims) -> None:
        self.news: list[Event] = []  # what was found out while looking for work
        self._plan, self._with_cells = {todo.training.key: todo for todo in plan.todo}, plan.with_cells
        self._checkpoints, self._claims = checkpoints, claims
        self._trainings: deque[Item] = deque()
        self._cells: deque[Item] = deque()
        self._again: set[tuple[str, str]] = set()  # units that were begun a second time
        self._weights_to_come: set[str] = set()  # of trainings that are trained again
        self._look_at, self._waits = 0.0, False
        for todo in plan.todo:
            stored = todo.stored
            if not stored or stored.state != "finished":
                self._trainings.append(todo)
            elif checkpoints.has(stored.checkpoint):
                self.trained(todo.training, stored.checkpoint)
            else:
                self._train_again(todo, f"the weights {stored.checkpoint} are missing or damaged")

    def __bool__(self) -> bool:
        return bool(self._trainings or self._cells)

    def take(self, *, cells_first: bool) -> Item | None:
        """A unit that is ours now; None where others hold all that is left, or nothing is.

        Cells first shows results early; trainings first keeps several workers busy to the end.
        """
        if time.monotonic() < self._look_at or not self:
            return None
        self._claims.bury_the_dead()
        held = self._claims.of_others()
        queues = (self._cells, self._trainings) if cells_first else (self._trainings, self._cells)
        for queue in queues:
            for item in [item for item in queue if " ".join(unit_of(item)) not in held]:
                state = self._claims.claim(unit_of(item), name_of(item))
                if state is None:
                    continue
                queue.remove(item)
                todo = self._as_found(item, state)
                if todo is not None:
                    return todo
                self.over(item)
                if queue is self._trainings and cells_first and self._cells:
                    return self.take(cells_first=True)
        if self and not self.news:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._say_who_holds(held)
        return None

    def over(self, item: Item) -> None:
        """A unit was ended, one way or another, and that is recorded."""
        if not isinstance(item, CellJob):
            self._weights_to_come.discard(item.training.key)
        self._claims.release(unit_of(item))
        self._look_at = 0.0

    def trained(self, training: Training, checkpoint: str) -> None:
        """The cells of a training can be evaluated now."""
        self._weights_to_come.discard(training.key)
        if self._with_cells:
            self._cells.extend(CellJob(planned, checkpoint) for planned in self._plan[training.key].cells)
        self._look_at = 0.0

    def begin_again(self, item: Item) -> bool:
        """Whether a unit that was lost is tried a second time; that happens once."""
        if unit_of(item) in self._again:
            return False
        self._again.add(unit_of(item))
        (self._cells if isinstance(item, CellJob) else self._trainings).appendleft(item)
        self._look_at = 0.0
        return True

    def told(self) -> Iterator[Event]:
        """What was found out, once."""
        while self.news:
            yield self.news.pop(0)

    def heeded(self, event: Event) -> Event:
        """What is to be said of an event; where it changes what is left, that is changed."""
        if isinstance(event, Trained):
            self.trained(event.training, event.checkpoint)
        return self._weights_lost(event) if isinstance(event, WeightsLost) else event

    def _weights_lost(self, event: WeightsLost) -> Event:
        """Train again, once."""
        todo = self._plan[event.planned.cell.training.key]
        if todo.training.key in self._weights_to_come:  # several workers were at its cells
            self._plan[todo.training.key] = replace(todo, cells=(*todo.cells, event.planned))
            return Warned(f"{event.planned.cell.name} waits for them, too: {event.reason}")
        waiting = [
            i for i in self._cells if isinstance(i, CellJob) and i.planned.cell.training.key == todo.training.key
        ]
        for item in waiting:
            self._cells.remove(item)
        cells = (event.planned, *(item.planned for item in waiting))
        if ("weights", todo.training.key) in self._again:
            return NotDone(cells, event.reason)
        self._plan[todo.training.key] = replace(todo, cells=cells)
        self._train_again(self._plan[todo.training.key], event.reason)
        return self.news.pop()

    def _train_again(self, todo: PlannedTraining, reason: str) -> None:
        self._again.add(("weights", todo.training.key))
        self._weights_to_come.add(todo.training.key)
        self._trainings.append(todo)
        self.news.append(Warned(f"{todo.name} s{todo.training.seed} is trained again: {reason}"))
        self._look_at = 0.0

    def _as_found(self, item: Item, state: UnitState) -> Item | None:
        """A unit as it is now that it is ours; None where another run has ended it."""
        if isinstance(item, CellJob):
            planned = replace(item.planned, n_done=max(item.planned.n_done, state.n_episodes))
            if planned.n_done >= planned.cell.n_episodes:
                self.news.append(CellFinished(planned))
            elif state.reason and state.reason != planned.reason:  # it failed since the plan was made
                self.news.append(CellFailed(planned, state.reason))
            else:
                return replace(item, planned=planned)
            return None
        stored = item.stored
        if state.state == "finished" and self._checkpoints.has(state.checkpoint):
            self.trained(item.training, state.checkpoint)
            return None
        if state.state == "failed" and (stored is None or stored.state != "failed"):
            self.news += (CellFailed(planned, state.reason) for planned in item.cells)
            return None
        return item

    def _say_who_holds(self, held: dict[str, str]) -> None:
        holders = sorted(
            {held[unit] for item in (*self._trainings, *self._cells) if (unit := " ".join(unit_of(item))) in held}
        )
        if holders and not self._waits:
            self._waits = True
            self.news.append(Warned(f"what is left is being done by {'; '.join(holders)}; waiting for it"))


def run_here(place: Workplace, should_stop: Callable[[], bool], left: Queue) -> Events:
    """Do everything in this process. Raises Stopped when asked to."""
    lab = place.open(should_stop)
    while left or left.news:
        item = left.take(cells_first=True)
        yield from left.told()
        if item is not None:
            for event in do(item, lab):
                yield left.heeded(event)
            left.over(item)
        elif left:
            if should_stop():
                raise Stopped
            pause(PAUSE_SECONDS)


def unit_of(item: Item) -> tuple[str, str]:
    """The kind and key of a unit of work."""
    return ("cell", item.planned.cell.key) if isinstance(item, CellJob) else ("training", item.training.key)


def name_of(item: Item) -> str:
    """A unit for people."""
    return item.planned.cell.name if isinstance(item, CellJob) else f"{item.name} s{item.training.seed}"


def cells_of(item: Item) -> tuple[PlannedCell, ...]:
    """The cells that are not done if a unit is not."""
    return (item.planned,) if isinstance(item, CellJob) else item.cells
