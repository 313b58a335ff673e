"""How many episodes would tell variants apart: from the spread of the stored paired differences, not an assumed one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from fewshot_bench.tables.pairs import ROUNDING, compare, spreads_of
from fewshot_bench.tables.scores import COUNTED, CellScore, Results, cells_by_place
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Scope, Source
from fewshot_bench.tables.statistics.power import (
    MOST_EPISODES,
    POWER,
    as_it_may_be,
    classes_to_separate,
    episodes_to_separate,
    power_of,
    seeds_to_separate,
    smallest_difference,
)
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.summary import disjoint_episodes

# "undecidable within this data": for other classes these are too few, however many episodes are drawn of them; or, of
# these classes alone, more than can be disjoint: so many re-use images, and say ever more about these only.
# "more seeds, not episodes": infinitely many episodes would not do. "never": the difference is 0.
Answer = Literal["enough", "more episodes", "undecidable within this data", "more seeds, not episodes", "never"]
Pair = tuple[str, str, int, int]  # first, second, n_way, n_shot


@dataclass(frozen=True)
class Needed:
    """What it would take to show a true difference of this size."""

    difference: float  # a fraction
    n_episodes: int | None  # None where no number of them is enough
    answer: Answer
    between: tuple[int | None, int | None]  # 5 and 95 %: n_episodes with each error as it may be
    n_seeds: int | None  # with the stored episodes; None with one seed, or where no number of them is enough
    seeds_between: tuple[int | None, int | None]  # likewise
    n_classes: int | None  # with as many episodes as it takes; None where it is not for classes like these, or for 0
    classes_between: tuple[int | None, int | None]  # likewise
    power_at_most: float  # with endless episodes
    seconds: float | None  # of testing both variants in the episodes that are missing; None where not known


@dataclass(frozen=True)
class PairPower:
    """What the stored episodes of two variants in one setting can show. Differences are fractions, first minus second.

    The tests are those that `bench compare` prints: two-sided, corrected for all pairs of the setting.
    """

    first: str
    second: str
    n_way: int
    n_shot: int
    seeds: tuple[int, ...]  # that both have
    n_episodes: int  # shared by all of them
    disjoint_episodes: int  # more than these re-use images
    n_tests: int  # in the family
    scope: Scope = "on these classes"
    difference: float | None = None  # as measured; what follows is None, too, where it could not be
    deviation: float | None = None  # of one episode's difference, averaged over the seeds
    seed_error: float | None = None  # the standard error that no number of episodes lowers; None with one seed
    borrowed: float = 0.0  # degrees of freedom that other pairs lend its seeds
    detectable: float | None = None  # the smallest true difference that n_episodes show with the power asked for
    shown: bool = False  # whether the measured one is significant already
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
    cells, spreads = cells_by_place(results), spreads_of(results)
    found = []
    for first, second, n_way, n_shot in pairs:
        a, b = (cells.get((name, n_way, n_shot), []) for name in (first, second))
        if a and b and [cell.key for cell in a] != [cell.key for cell in b]:
            found.append(_power(a, b, results, spreads[n_way, n_shot], margin, power))
    return found


def hidden_by_seeds(estimate: Estimate) -> bool:
    """Whether the seeds alone leave the difference undecided, however many episodes: more seeds are needed."""
    seeds = estimate.seeds
    if not seeds or not seeds.lasting:
        return False
    return Estimate(estimate.mean, (Source(seeds.lasting, seeds.degrees),)).p_value() > ALPHA


def hidden_by_classes(estimate: Estimate) -> bool:
    """Whether these classes alone leave the difference undecided, however many episodes are drawn of them."""
    classes = estimate.classes
    if not classes or not classes.error:
        return False
    return Estimate(estimate.mean, (classes,)).p_value() > ALPHA


@dataclass(frozen=True)
class _Question:
    """What it takes to show a difference that is measured with these errors."""

    estimate: Estimate
    n_episodes: int  # that it is of
    disjoint: int  # more of them re-use images
    n_seeds: int
    power: float
    alpha: float
    pace: float | None  # seconds of an episode

    def needed(self, difference: float) -> Needed:
        """For a true difference of this size."""
        n, aims = self.n_episodes, (difference, self.power, self.alpha)
        might_be = [as_it_may_be(self.estimate, 0.95), self.estimate, as_it_may_be(self.estimate, 0.05)]
        of_classes, of_seeds = self.estimate.classes, self.estimate.seeds
        low, enough, high = (episodes_to_separate(e, n, *aims) for e in might_be)
        fewest, more, most = (
            seeds_to_separate(e, self.n_seeds, *aims) if of_seeds and difference else None for e in might_be
        )
        few, classes, many = (classes_to_separate(e, n, *aims) if of_classes and difference else None for e in might_be)
        return Needed(
            difference,
            enough,
            self._answer(enough, difference),
            (low, high),
            more,
            (fewest, most),
            classes,
            (few, many),
            power_of(self.estimate.with_episodes(n, MOST_EPISODES), difference, self.alpha),
            None if enough is None or self.pace is None else max(0, enough - n) * self.pace,
        )

    def _answer(self, enough: int | None, difference: float) -> Answer:
        of_new_classes, n = self.estimate.new_classes, self.n_episodes
        if enough is None:
            if of_new_classes and episodes_to_separate(self.estimate.here, n, difference, self.power, self.alpha):
                return "undecidable within this data"
            return "more seeds, not episodes" if (seeds := self.estimate.seeds) and seeds.lasting else "never"
        if enough > self.disjoint and not of_new_classes:
            return "undecidable within this data"
        return "enough" if enough <= n else "more episodes"


def _power(
    first: Sequence[CellScore],
    second: Sequence[CellScore],
    results: Results,
    spread: Spread | None,
    margin: float,
    power: float,
) -> PairPower:
    n_way, n_shot = first[0].n_way, first[0].n_shot
    disjoint = disjoint_episodes(results.experiment, n_way, n_shot)
    n_tests, new_classes = results.n_tests(n_way, n_shot), results.experiment.new_classes
    found = compare(first, second, n_tests=n_tests, new_classes=new_classes, spread=spread)
    n, seeds, estimate, in_family = found.n_episodes, found.seeds, found.estimate, found.in_family
    pair = (found.first, found.second, n_way, n_shot, seeds, n, disjoint, n_tests)
    if estimate is None or in_family is None:
        return PairPower(*pair)
    lasting, alpha = estimate.seeds.lasting if estimate.seeds else None, ALPHA / n_tests
    mean = estimate.mean if abs(estimate.mean) > ROUNDING else 0.0
    question = _Question(in_family, n, disjoint, len(seeds), power, alpha, _seconds_per_episode([*first, *second]))
    return PairPower(
        *pair,
        difference=mean,
        scope=estimate.scope,
        deviation=math.sqrt(n * (estimate.here.error**2 - (lasting or 0.0) ** 2)),
        seed_error=lasting,
        borrowed=in_family.seeds.degrees - estimate.seeds.degrees if in_family.seeds and estimate.seeds else 0.0,
        detectable=smallest_difference(in_family, power, alpha),
        shown=found.significant,
        power=power_of(in_family, margin, alpha),
        for_margin=question.needed(margin),
        for_difference=question.needed(mean),
    )


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
