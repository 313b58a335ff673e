"""What happens in a run, as those who do it tell it: a training's steps, a cell's episodes, how each ended."""

from dataclasses import dataclass

from fewshot_bench.experiment.identity import Training
from fewshot_bench.experiment.plan import PlannedCell
from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.tables.scores import EpisodeResult


@dataclass(frozen=True)
class Started:
    """A training begins, or goes on."""

    training: Training


@dataclass(frozen=True)
class Progressed:
    """A point of a training's curves: mean losses since the last one."""

    training: Training
    progress: TrainingProgress
    losses: dict[str, float]


@dataclass(frozen=True)
class Saved:
    """A training's state is on disk; between two points of its curves, this says that it goes on."""

    training: Training
    progress: TrainingProgress


@dataclass(frozen=True)
class Trained:
    """A training is over and its weights are stored."""

    training: Training
    progress: TrainingProgress
    checkpoint: str  # SHA-256


@dataclass(frozen=True)
class TrainingFailed:
    """A training has no result; its cells have none either."""

    training: Training
    progress: TrainingProgress
    reason: str
    details: str = ""  # a traceback


@dataclass(frozen=True)
class Evaluated:
    """Some more episodes of a cell."""

    planned: PlannedCell
    results: list[EpisodeResult]
    seconds: float
    once_seconds: float = 0.0  # of them: loading and embedding, which no later episode costs


@dataclass(frozen=True)
class CellFinished:
    """A cell has all its episodes."""

    planned: PlannedCell
    results: tuple[EpisodeResult, ...] = ()  # all of them, as the database holds them, once they are recorded


@dataclass(frozen=True)
class CellFailed:
    """A cell cannot be finished."""

    planned: PlannedCell
    reason: str
    details: str = ""


@dataclass(frozen=True)
class NotDone:
    """The machine, not the work, is why some cells are not done: nothing is recorded against them."""

    cells: tuple[PlannedCell, ...]
    reason: str


@dataclass(frozen=True)
class WeightsLost:
    """The weights that a cell needs are gone; its training is done again, unless it was already."""

    planned: PlannedCell
    reason: str


@dataclass(frozen=True)
class Warned:
    """What whoever runs this should know."""

    text: str


TrainingEvent = Progressed | Saved | Trained | TrainingFailed
Event = Started | TrainingEvent | Evaluated | CellFinished | CellFailed | NotDone | WeightsLost | Warned
