"""The one input of this folder: what was measured, as plain frozen records.

Whoever holds results (a database, a JSON file, a test) hands them over in these shapes; nothing here knows
where they came from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import floor
from typing import Any, Literal

import numpy as np

from fewshot_bench.tables.statistics.classes import ClassAnswers, ClassConfusion
from fewshot_bench.tables.statistics.estimate import Values
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.wording import joined

CellState = Literal["done", "partial", "failed", "missing"]
COUNTED = ("done", "partial")  # states of cells whose episodes count


@dataclass(frozen=True)
class EpisodeResult:
    """One evaluated episode, as the integers that were counted.

    Episodes of one way with the same number have the same classes and queries at every shot; only the support
    differs.
    """

    number: int  # in the episode bank
    episode_id: str  # the same id means the same classes, images and label order: results pair by it
    n_correct: int
    n_queries: int
    # to each query, packed; empty where they are not needed or not kept: results are compared by what was counted
    answers: bytes = field(default=b"", compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        """A fraction in [0, 1]."""
        return self.n_correct / self.n_queries


@dataclass(frozen=True)
class CellScore:
    """One training evaluated in one setting: one number of the table.

    `partial` has fewer episodes than were asked for; `failed` carries its reason and no episodes that count.
    """

    variant: str  # the column, e.g. "maml-mtl"
    n_way: int
    n_shot: int
    seed: int
    key: str  # the cell's identity hash; names it in `bench show`
    state: CellState
    reason: str = ""
    episodes: tuple[EpisodeResult, ...] = ()
    n_episodes_wanted: int = 0
    lineage: str = ""  # equal for cells that differ in nothing but the version of the code that made them
    backbone: str = ""  # e.g. "conv4, 32 filters", as stored
    seconds_per_episode: float = 0.0  # that evaluating took, on the machine that did
    weights: str = ""  # SHA-256 of the training's checkpoint
    answers: ClassAnswers | None = None  # of the episodes above; None where none were kept, or read

    @property
    def place(self) -> tuple[str, int, int, int]:
        """(variant, n_way, n_shot, seed): where it stands in a grid."""
        return self.variant, self.n_way, self.n_shot, self.seed

    @property
    def confusion(self) -> ClassConfusion | None:
        """Of all episodes whose answers were kept."""
        return self.answers.confusion(len(self.answers.classes)) if self.answers else None

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Of its episodes in the bank, in their order."""
        return tuple(episode.number for episode in self.episodes)

    @cached_property
    def accuracy_by_id(self) -> dict[str, float]:
        """Episode id -> accuracy: joins cells that were tested on the same episodes."""
        return {episode.episode_id: episode.accuracy for episode in self.episodes}

    @cached_property
    def accuracy_by_number(self) -> dict[int, float]:
        """Number in the bank -> accuracy: joins cells of one way and different shots."""
        return {episode.number: episode.accuracy for episode in self.episodes}

    @cached_property
    def most_queries(self) -> int:
        """Of any episode; 0 without episodes."""
        return max((episode.n_queries for episode in self.episodes), default=0)


@dataclass(frozen=True)
class TrainingCost:
    """What one training took, and what it saw."""

    variants: tuple[str, ...]  # the columns that this training serves
    seed: int
    key: str
    state: Literal["finished", "running", "failed", "missing"]
    trained_on: str  # e.g. "5-way 5-shot" or "base-class batches"
    iterations: int
    images_seen: int
    seconds: float
    peak_memory_bytes: int
    device: str
    reason: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """One logged point of a training: the mean training loss since the last one."""

    variant: str
    seed: int
    iteration: int
    loss: float
    trained_on: str = ""  # as in TrainingCost: tells a variant's trainings apart where it has several


@dataclass(frozen=True)
class BudgetScore:
    """One variant in one setting after one budget: a point of its accuracy over training images."""

    budget: str
    variant: str
    n_way: int
    n_shot: int
    images_seen: int  # in training, the mean over seeds
    mean: float  # a fraction, as a table of that budget has it
    half_width: float | None
    complete: bool  # all seeds and episodes that the budget asks for
    same_rule: bool  # tasks were fitted as in the table: the budgets' rules may differ
    interval: tuple[float, float] | None = None  # where it is not mean ± half_width: near 0 and 1


@dataclass(frozen=True)
class Experiment:
    """What all the cells of one table share, in words and numbers fit to be printed."""

    dataset: str  # e.g. "strokes"
    dataset_note: str  # one plain sentence; says so where the data are synthetic
    fingerprint: str
    split: str  # "paper", "ravi", ...
    n_base_classes: int
    n_novel_classes: int
    image_shape: tuple[int, int, int]  # C, H, W
    images_per_novel_class: int  # the smallest class's
    protocol: str  # "single" | "matched"
    protocol_note: str
    budget: str
    backbone: str
    norms: dict[str, str]  # variant -> norm mode
    n_query: int  # queries per class
    command: str  # repeats the run
    rule: str = "the published rule"  # how methods are fitted at test, in words
    fits_itself: tuple[str, ...] = ()  # variants of other packages' methods, which follow no rule but their own
    augmentation: str = ""  # of training images; empty where there is none
    pretraining: str = ""  # what is to be said where networks may have seen the novel classes: sentences
    new_classes: bool = True  # comparisons are for classes like these; False: on these alone, as was declared
    # variant -> the least and the most that its trainings have of the published one, in %, where a number is published
    shares: dict[str, tuple[float, float]] = field(default_factory=dict)
    whole: float = 100.0  # so many % count as all of it
    facts: dict[str, str] = field(default_factory=dict)  # provenance: commit, versions, hardware, ...

    @property
    def published_share(self) -> str:
        """How much of the published training all of these have; see `share_of`."""
        return self.share_of(self.shares)

    def share_of(self, variants: Iterable[str]) -> str:
        """ "0.3 to 1.5 %" of the published training; empty where none of these is known to have less than all of it."""
        shares = [share for variant in variants for share in self.shares.get(variant, ())]
        if not shares or min(shares) >= self.whole:
            return ""
        low, high = (f"{share:.2g}" if share < 10 else f"{floor(share)}" for share in (min(shares), max(shares)))
        return f"{low} %" if low == high else f"{low} to {high} %"

    @property
    def spent(self) -> str:
        """The budget, and how far from the published one it is."""
        share = f" ({self.published_share} of the published training)" if self.published_share else ""
        return f"budget {self.budget}{share}"

    @property
    def fitting(self) -> str:
        """The rule, and who does not follow it."""
        own = f" ({joined(self.fits_itself)} in {'its' if len(self.fits_itself) == 1 else 'their'} own way)"
        return self.rule + own * bool(self.fits_itself)

    @property
    def model(self) -> str:
        """The backbone, and what its training images went through."""
        augmented = f", training images augmented ({self.augmentation})" if self.augmentation else ""
        return self.backbone + augmented


@dataclass(frozen=True)
class Results:
    """Everything that a table or a report is made from.

    `variants` and `settings` give the order of columns and rows; every pair of them, for every seed (of the variant),
    has a CellScore in `cells` (state "missing" where nothing was stored).
    """

    experiment: Experiment
    variants: tuple[str, ...]
    settings: tuple[tuple[int, int], ...]  # (n_way, n_shot)
    seeds: tuple[int, ...]
    cells: tuple[CellScore, ...]
    trainings: tuple[TrainingCost, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    by_budget: tuple[BudgetScore, ...] = ()  # of every budget that is stored, the table's too
    seeds_of: dict[str, tuple[int, ...]] = field(default_factory=dict)  # variants that have some of the seeds only
    beside: "Results | None" = None  # the same cells under another rule, for a table of its own
    # in each setting: variants of the grid that have results, shown here or not; where it is not said, all shown
    n_measured: dict[tuple[int, int], int] = field(default_factory=dict)
    # likewise, how the differences of these variants vary from seed to seed; where it is not said, those shown do
    spreads: dict[tuple[int, int], Spread | None] = field(default_factory=dict)

    def n_compared(self, n_way: int, n_shot: int) -> int:
        """The variants that the family of a setting is made of."""
        return self.n_measured.get((n_way, n_shot), len(self.variants))

    def n_tests(self, n_way: int, n_shot: int) -> int:
        """The pairs of variants in a setting: the family of every comparison in it, however few of them are shown."""
        n = max(2, self.n_compared(n_way, n_shot))
        return n * (n - 1) // 2


def cells_by_place(results: Results) -> dict[tuple[str, int, int], list[CellScore]]:
    """(variant, n_way, n_shot) -> its cells, a cell a seed, in the order of the seeds."""
    places: dict[tuple[str, int, int], list[CellScore]] = {}
    for cell in results.cells:
        places.setdefault(cell.place[:3], []).append(cell)
    return places


def shared_accuracies(cells: Sequence[CellScore], *, by_number: bool = False) -> Values:
    """(len(cells), E): on the episodes that all of them have, in the order of the first.

    Episodes are joined by id; those of one way at different shots by number, since they have no id in common.
    """
    if not cells:
        return np.empty((0, 0))
    columns: list[dict[Any, float]] = [c.accuracy_by_number if by_number else c.accuracy_by_id for c in cells]
    common = set(columns[0]).intersection(*columns[1:])
    shared = [name for name in columns[0] if name in common]
    return np.array([[column[name] for name in shared] for column in columns])


def quantum(cells: Sequence[CellScore], seeds: Sequence[int]) -> float:
    """The smallest step of an episode's accuracy, averaged over these seeds of the cells."""
    most = max((cell.most_queries for cell in cells if cell.seed in seeds), default=0)
    return 1 / (most * len(seeds)) if most else 0.0
