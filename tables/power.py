"""How many episodes would tell variants apart: from the spread of the stored paired differences, not an assumed one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from fewshot_bench.tables.pairs import COUNTED, ROUNDING, cells_by_place, differences, estimate_of, quantum
from fewshot_bench.tables.scores import CellScore, Experiment, Results
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Source
from fewshot_bench.tables.statistics.power import POWER, episodes_to_separate, power_of, smallest_difference
from fewshot_bench.tables.summary import disjoint_episodes

# "undecidable within this data": more than can be disjoint. So many re-use images, and say ever more about these
# images only. "more seeds, not episodes": infinitely many episodes would not do. "never": the difference is 0.
Answer = Literal["enough", "more episodes", "undecidable within this data", "more seeds, not episodes", "never"]
Pair = tuple[str, str, int, int]  # first, second, n_way, n_shot


@dataclass(frozen=True)
class Needed:
    """What it would take to show a true difference of this size."""

    difference: float  # a fraction
    n_episodes: int | None  # None where no number of them is enough
    answer: Answer
    seconds: float | None  # of testing both variants in the episodes that are missing; None where not known


@dataclass(frozen=True)
class PairPower:
    """What the stored episodes of two variants in one setting can show. Differences are fractions, first minus second.

    The tests meant are those of one pair alone: paired t, two-sided, at 0.05, without a correction for several.
    """

    first: str
    second: str
    n_way: int
    n_shot: int
    seeds: tuple[int, ...]  # that both have
    n_episodes: int  # shared by all of them
    disjoint_episodes: int  # more than these re-use images
    difference: float | None = None  # as measured; what follows is None, too, where it could not be
    deviation: float | None = None  # of one episode's difference, averaged over the seeds
    seed_error: float | None = None  # the standard error that no number of episodes lowers; None with one seed
    visible: float | None = None  # the smallest true difference that n_episodes show with the power asked for
    power: float | None = None  # to show a true difference of the margin with n_episodes
    for_margin: Needed | None = None
    for_difference: Needed | None = None  # if the true difference is the measured one


def pairs_with_best(results: Results) -> list[Pair]:
    """In each setting the best variant and each other one."""
    found: list[Pair] = []
    for n_way, n_shot in results.settings:
        means = _means(results, n_way, n_shot)
        if means:
            best = max(means, key=lambda name: means[name])
            found += [(best, name, n_way, n_shot) for name in results.variants if name != best]
    return found


def all_pairs(results: Results) -> list[Pair]:
    """Every pair of variants in every setting."""
    return [(a, b, *setting) for setting in results.settings for a, b in combinations(results.variants, 2)]


def powers(results: Results, pairs: Iterable[Pair], margin: float, power: float = POWER) -> list[PairPower]:
    """What the data say of each pair; not of two variants that are one and the same cell. `margin` is a fraction."""
    cells = cells_by_place(results)
    found = []
    for first, second, n_way, n_shot in pairs:
        a, b = (cells.get((name, n_way, n_shot), []) for name in (first, second))
        if a and b and [cell.key for cell in a] != [cell.key for cell in b]:
            found.append(_power(a, b, results.experiment, margin, power))
    return found


def hidden_by_seeds(estimate: Estimate) -> bool:
    """Whether the seeds alone leave the difference undecided, however many episodes: more seeds are needed."""
    lasting = _lasting(estimate)
    return lasting is not None and lasting.error > 0 and Estimate(estimate.mean, (lasting,)).p_value() > ALPHA


def _lasting(estimate: Estimate) -> Source | None:
    """The error that no number of episodes lowers; None with one seed."""
    return next((Source(s.lasting, s.degrees, s.lasting) for s in estimate.sources if s.lasting is not None), None)


def _power(
    first: Sequence[CellScore], second: Sequence[CellScore], experiment: Experiment, margin: float, power: float
) -> PairPower:
    seeds, values = differences(first, second)
    n = values.shape[1]
    n_way, n_shot = first[0].n_way, first[0].n_shot
    disjoint = disjoint_episodes(experiment, n_way, n_shot)
    pair = (first[0].variant, second[0].variant, n_way, n_shot, seeds, n, disjoint)
    estimate = estimate_of(values, quantum(first, seeds)) if values.size else None
    if estimate is None:
        return PairPower(*pair)
    lasting, pace = _lasting(estimate), _seconds_per_episode([*first, *second])

    mean = estimate.mean if abs(estimate.mean) > ROUNDING else 0.0

    def needed(difference: float) -> Needed:
        enough = episodes_to_separate(estimate, n, difference, power)
        missing = None if enough is None or pace is None else max(0, enough - n) * pace
        return Needed(difference, enough, _answer(enough, n, disjoint, lasting), missing)

    return PairPower(
        *pair,
        difference=mean,
        deviation=math.sqrt(n * (estimate.error**2 - (lasting.error**2 if lasting else 0.0))),
        seed_error=lasting.error if lasting else None,
        visible=smallest_difference(estimate, power),
        power=power_of(estimate, margin),
        for_margin=needed(margin),
        for_difference=needed(mean),
    )


def _answer(enough: int | None, n: int, disjoint: int, lasting: Source | None) -> Answer:
    if enough is None:
        return "more seeds, not episodes" if lasting and lasting.error > 0 else "never"
    if enough > disjoint:
        return "undecidable within this data"
    return "enough" if enough <= n else "more episodes"


def _seconds_per_episode(cells: Sequence[CellScore]) -> float | None:
    """Of all these cells together."""
    paces = [cell.seconds_per_episode for cell in cells]
    return sum(paces) if all(paces) else None


def _means(results: Results, n_way: int, n_shot: int) -> dict[str, float]:
    """The accuracy of each variant, over all its seeds and episodes, where every seed has some."""
    means = {}
    for (variant, *setting), cells in cells_by_place(results).items():
        if setting == [n_way, n_shot] and all(cell.state in COUNTED and cell.episodes for cell in cells):
            accuracies = [episode.accuracy for cell in cells for episode in cell.episodes]
            means[variant] = math.fsum(accuracies) / len(accuracies)
    return means
