"""How long work takes that the database has no history of: some steps and an episode of it, timed here and now."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.episodes import bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.plan import Expected, Plan, PlannedCell, PlannedTraining, wall_seconds
from fewshot_bench.experiment.selection import Means
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.strangers import contained
from fewshot_bench.running import runner
from fewshot_bench.running.device import arithmetic
from fewshot_bench.running.recording import history_of, workplace
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Features

STEPS_AT = (0.25, 0.75)  # of a training, which may have stages
STEPS_SECONDS = 0.3  # at each, at least one step after a first, which is slower
BACKWARD = 2  # times a forward pass


@dataclass(frozen=True)
class Cost:
    """What the rest of a plan may take."""

    expected: Expected
    timed: frozenset[str]  # keys of trainings that were timed now
    jobs: int  # that a run would have
    n_cells: Mapping[str, int]  # of each training, to do

    @property
    def seconds(self) -> tuple[float, float]:
        """Of all trainings and all tests with one job; of those that are known."""
        training, testing = zip(*self.expected.values(), strict=True) if self.expected else ((), ())
        return sum(s or 0.0 for s in training), sum(s or 0.0 for s in testing)

    @property
    def wall_seconds(self) -> float:
        """Of all that is known with `jobs` workers; a training's cells count alike."""
        return wall_seconds(
            [
                (training or 0.0, ((testing or 0.0) / self.n_cells[key],) * self.n_cells[key])
                for key, (training, testing) in self.expected.items()
            ],
            self.jobs,
        )


def cost_of(chosen: Chosen, plan: Plan, means: Means, tell: Callable[[str, int, int], None] | None) -> Cost:
    """How long the rest of a plan takes: from the database's history, else from a trial of each method.

    means: the device, jobs and threads that a run would have
    tell: what is being timed, how many were, of how many; None: for other machines, and nothing is timed on this one
    """
    expected = history_of(chosen.database).expected(plan)
    n_cells_of = {todo.training.key: len(todo.cells) for todo in plan.todo}
    if tell is None:
        return Cost(expected, frozenset(), means.jobs or 1, n_cells_of)
    place, jobs = workplace(chosen, plan, means)
    unknown = [todo for todo in plan.todo if None in expected[todo.training.key]]
    if unknown:
        lab = place.open(lambda: False)
        alike: dict[Hashable, list[PlannedTraining]] = {}  # seeds take alike long
        for todo in unknown:
            alike.setdefault(_work(todo), []).append(todo)
        for n, same in enumerate(alike.values()):
            tell(f"timing {same[0].name}", n, len(alike))
            timed = _timed(same[0], lab)
            for key in (todo.training.key for todo in same):
                training, testing = expected[key]
                expected[key] = timed[0] if training is None else training, timed[1] if testing is None else testing
        tell("timing", len(alike), len(alike))
    return Cost(expected, frozenset(todo.training.key for todo in unknown), jobs, n_cells_of)


def _work(todo: PlannedTraining) -> Hashable:
    """What there is to do of a training and its cells, whatever the seed."""
    cells = [(p.cell.setting, p.cell.adaptation, p.cell.n_episodes - p.n_done) for p in todo.cells]
    return replace(todo.training, seed=0).key, todo.stored.iteration if todo.stored else 0, tuple(cells)


def _timed(todo: PlannedTraining, lab: Laboratory) -> tuple[float | None, float | None]:
    """Seconds of the rest of a training, and of its cells; None where it breaks: the run will say how."""
    left = todo.training.iterations - (todo.stored.iteration if todo.stored else 0)
    try:
        with contained():
            method = runner.build(todo.training, lab)
            step_seconds = _step_seconds(todo, method, lab) if left else 0.0
            method.eval()
            by_head: dict[str, list[PlannedCell]] = {}
            for planned in todo.cells:
                by_head.setdefault(planned.cell.adaptation.head if planned.cell.adaptation else "", []).append(planned)
            testing = sum(_testing_seconds(cells, method, lab) for cells in by_head.values())
    except Exception:  # noqa: BLE001  # of a method of anyone's
        return None, None
    return step_seconds * left, testing


def _step_seconds(todo: PlannedTraining, method: Method, lab: Laboratory) -> float:
    training = todo.training
    source = lab.base_classes(training, training.augmentation)

    def step() -> None:
        with arithmetic(training.numerics, lab.device):
            for loss in method.step(source).values():
                float(loss)  # waits for a GPU

    medians = []
    for share in STEPS_AT:
        method.iteration = int(share * training.iterations)
        step()
        taken: list[float] = []
        while sum(taken) < STEPS_SECONDS:
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
        medians.append(statistics.median(taken))
    return statistics.mean(medians)


def _testing_seconds(cells: Sequence[PlannedCell], method: Method, lab: Laboratory) -> float:
    """From one episode of the cell in the middle; others differ as the images that pass through the network do."""
    middle = sorted((planned.cell for planned in cells), key=_passes)[len(cells) // 2]
    if middle.adaptation and middle.adaptation.head:
        method = runner.frozen(method, middle.training, lab)
    once = _embedded(middle, method, lab) if method.embeds else 0.0
    started = time.perf_counter()
    for _ in runner.evaluate(replace(middle, n_episodes=1), method, lab, 0):
        pass
    a_pass = (time.perf_counter() - started) / _passes(middle)
    return once + sum(a_pass * _passes(p.cell) * (p.cell.n_episodes - p.n_done) for p in cells)


def _embedded(cell: Cell, method: Method, lab: Laboratory) -> float:
    """Embed the images of a cell's first episode; returns how long all novel ones will take."""
    s, images = cell.setting, lab.tested.images
    episode = bank(images, cell.split, s.n_way, s.n_query, cell.bank_seed).draw(0, s)
    indices = [*episode.support, *episode.query]
    started = time.perf_counter()
    lab.embedded.setdefault(method, {})[cell.split] = Features(method.embed, np.array(indices), lab.tested)
    seconds = time.perf_counter() - started
    return seconds / len(indices) * sum(len(images.images_of_class[c]) for c in images.split(cell.split).novel)


def _passes(cell: Cell) -> int:
    """Forward passes of an image, or as much work, that an episode takes."""
    setting, rule = cell.setting, cell.adaptation
    n_support = setting.n_way * setting.n_shot
    size, steps = rule.schedule(n_support) if rule and not rule.head else (0, 0)
    return (1 + BACKWARD) * size * steps + n_support + setting.n_way * setting.n_query
