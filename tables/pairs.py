"""Two variants on the same episodes: paired differences, their test, and Holm's correction over a family."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from fewshot_bench.tables.scores import CellScore, Results
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Values, holm, of_episodes, of_seeds_and_episodes

COUNTED = ("done", "partial")  # states of cells whose episodes count
ROUNDING = 1e-12  # differences that vary by less are equal, and were rounded on different ways


@dataclass(frozen=True)
class Comparison:
    """first minus second in one setting; accuracies are fractions.

    One seed: two checkpoints were compared. Several: two methods were, and the seeds' variance is in the error.
    """

    first: str
    second: str
    n_way: int
    n_shot: int
    seeds: tuple[int, ...]  # that both have
    n_episodes: int  # shared by all of them
    mean: float | None  # of the differences; None where no episode is shared
    estimate: Estimate | None  # None where fewer than two episodes are shared
    effect: float | None  # Cohen's d_z: the mean difference over the standard deviation of the episodes' differences
    p: float | None  # two-sided, of this comparison alone
    equal: bool = False  # every shared episode has the same accuracy on both sides
    p_holm: float | None = None  # corrected for the family it is shown in

    @property
    def significant(self) -> bool:
        """Whether the difference stands after Holm's correction."""
        return self.p_holm is not None and self.p_holm <= ALPHA

    @property
    def loser(self) -> str:
        """The variant that is significantly worse; empty where none is."""
        if not self.significant or not self.mean:
            return ""
        return self.second if self.mean > 0 else self.first


def differences(
    first: Sequence[CellScore], second: Sequence[CellScore], *, by_number: bool = False
) -> tuple[tuple[int, ...], Values]:
    """The seeds that both have, and (S, E) differences on the episodes that all these cells share."""
    a, b = by_seed(first), by_seed(second)
    seeds = tuple(sorted(a.keys() & b.keys()))
    values = shared_accuracies([side[seed] for side in (a, b) for seed in seeds], by_number=by_number)
    return seeds, values[: len(seeds)] - values[len(seeds) :]


def by_seed(cells: Iterable[CellScore]) -> dict[int, CellScore]:
    """Those whose episodes count."""
    return {cell.seed: cell for cell in cells if cell.state in COUNTED}


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


def compare(first: Sequence[CellScore], second: Sequence[CellScore]) -> Comparison:
    """Two variants' cells of one setting, a cell a seed."""
    seeds, values = differences(first, second)
    estimate = estimate_of(values, quantum(first, seeds)) if values.size else None
    return Comparison(
        first=first[0].variant,
        second=second[0].variant,
        n_way=first[0].n_way,
        n_shot=first[0].n_shot,
        seeds=seeds,
        n_episodes=values.shape[1],
        mean=float(values.mean()) if values.size else None,
        estimate=estimate,
        effect=_effect(values),
        p=estimate.p_value() if estimate else None,
        equal=bool(values.size) and not values.any(),
    )


def estimate_of(values: Values, step: float) -> Estimate | None:
    """Of differences or accuracies (S, E): over episodes with one seed, over both with several."""
    return of_episodes(values[0], step) if len(values) == 1 else of_seeds_and_episodes(values, step)


def quantum(cells: Sequence[CellScore], seeds: Sequence[int]) -> float:
    """The smallest step of an episode's accuracy, averaged over these seeds of the cells."""
    most = max((cell.most_queries for cell in cells if cell.seed in seeds), default=0)
    return 1 / (most * len(seeds)) if most else 0.0


def as_family(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """The same with Holm-corrected p-values over all that have one (Holm 1979)."""
    listed = list(comparisons)
    corrected = iter(holm([c.p for c in listed if c.p is not None]))
    return tuple(c if c.p is None else replace(c, p_holm=next(corrected)) for c in listed)


def compared(comparisons: Iterable[Comparison]) -> str:
    """What was compared, in a few words: methods, or only checkpoints."""
    counts = {len(c.seeds) > 1 for c in comparisons if c.p is not None}
    if counts == {True}:
        return "methods were compared, over training seeds"
    if True in counts:
        return "where both have several training seeds methods were compared, else checkpoints"
    return "one training seed, so checkpoints were compared, not methods"


def compare_variants(results: Results, first: str, second: str) -> tuple[Comparison, ...]:
    """Two variants in every setting that both have; the family is the settings."""
    return _compare_pairs(results, [(first, second)])


def compare_all(results: Results) -> tuple[Comparison, ...]:
    """Every pair of variants in every setting; the family is all of them.

    A mark "not significantly worse than the best" needs this family: the best is chosen from the same data, so that
    correcting only for the comparisons with it would find too much.
    """
    return _compare_pairs(results, list(combinations(results.variants, 2)))


def _compare_pairs(results: Results, pairs: Sequence[tuple[str, str]]) -> tuple[Comparison, ...]:
    places = cells_by_place(results)
    sides = [[places.get((name, *setting)) for name in pair] for setting in results.settings for pair in pairs]
    return as_family(compare(first, second) for first, second in sides if first and second)


def cells_by_place(results: Results) -> dict[tuple[str, int, int], list[CellScore]]:
    """(variant, n_way, n_shot) -> its cells, a cell a seed, in the order of the seeds."""
    places: dict[tuple[str, int, int], list[CellScore]] = {}
    for cell in results.cells:
        places.setdefault((cell.variant, cell.n_way, cell.n_shot), []).append(cell)
    return places


def _effect(values: Values) -> float | None:
    if values.shape[0] == 0 or values.shape[1] < 2:
        return None
    by_episode = values.mean(axis=0)
    deviation = float(np.std(by_episode, ddof=1))
    return float(by_episode.mean()) / deviation if deviation > ROUNDING else None
