"""Two variants on the same episodes: paired differences, their test, and its correction for a family."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from fewshot_bench.tables.scores import COUNTED, CellScore, Results, cells_by_place, quantum, shared_accuracies
from fewshot_bench.tables.statistics.classes import for_new_classes
from fewshot_bench.tables.statistics.estimate import (
    ALPHA,
    Estimate,
    Scope,
    Source,
    Values,
    of_episodes,
    of_seeds_and_episodes,
)
from fewshot_bench.tables.statistics.seeds import FEWEST_SEEDS, Spread, lent, spread_of

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
    in_family: Estimate | None  # as the tests take it that are corrected: with what the other pairs tell of the seeds
    effect: float | None  # Cohen's d_z: the mean difference over the standard deviation of the episodes' differences
    p: float | None  # two-sided, of this comparison alone
    room: float = 0.0  # how far the higher side is above chance
    equal: bool = False  # every shared episode has the same accuracy on both sides
    n_tests: int = 1  # in its family
    p_corrected: float | None = None  # for its family (Bonferroni): it hangs on no other, so that every output has it

    @property
    def significant(self) -> bool:
        """Whether the difference stands after the correction."""
        return self.p_corrected is not None and self.p_corrected <= ALPHA

    @property
    def cannot_tell(self) -> bool:
        """Whether so few episodes, seeds or classes can show nothing: not even the higher side's lead over chance."""
        if self.in_family is None or self.significant:
            return False
        return self.in_family.half_width(1 - ALPHA / self.n_tests) > self.room

    def equivalent(self, margin: float) -> Scope | None:
        """On which classes the difference is shown to be below `margin`, a fraction: two one-sided tests (Schuirmann
        1987), corrected for the family; None where on none.

        The error counts as at least that of a difference of the margin which sits in the fewest episodes it can, whole
        ones, so that a few alike ones are not equivalent; and for classes like these in the fewest of the classes.
        """
        if self.in_family is None or not 0 < margin < 1:
            return None
        for estimate in dict.fromkeys((self.in_family, self.in_family.here)):
            classes = estimate.classes
            if estimate.new_classes and not (classes and classes.error):  # that differ by nothing may hide rare ones
                continue
            samples = [self.n_episodes - 1.0, *([classes.degrees] if classes else [])]
            least = [Estimate(0.0, (Source(math.sqrt(margin * (1 - margin) / (n + 1)), n),)) for n in samples]
            half = max(one.half_width(1 - 2 * ALPHA / self.n_tests) for one in (estimate, *least))
            if abs(estimate.mean) + half < margin:
                return estimate.scope
        return None

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
    seeds, a, b = _sides(first, second, by_number=by_number)
    return seeds, a - b


def _sides(
    first: Sequence[CellScore], second: Sequence[CellScore], *, by_number: bool = False
) -> tuple[tuple[int, ...], Values, Values]:
    """The seeds that both have, and (S, E) accuracies of each side."""
    a, b = by_seed(first), by_seed(second)
    seeds = tuple(sorted(a.keys() & b.keys()))
    values = shared_accuracies([side[seed] for side in (a, b) for seed in seeds], by_number=by_number)
    return seeds, values[: len(seeds)], values[len(seeds) :]


def by_seed(cells: Iterable[CellScore]) -> dict[int, CellScore]:
    """Those whose episodes count."""
    return {cell.seed: cell for cell in cells if cell.state in COUNTED}


def compare(
    first: Sequence[CellScore],
    second: Sequence[CellScore],
    *,
    n_tests: int = 1,
    new_classes: bool = True,
    spread: Spread | None = None,
) -> Comparison:
    """Two variants' cells of one setting, a cell a seed; one of n_tests comparisons, whose seeds vary as `spread` says.

    The corrected test borrows from the other pairs, and shows nothing that the pair's own interval leaves open.
    """
    seeds, a, b = _sides(first, second)
    values, n_way = a - b, first[0].n_way
    estimate = estimate_of(values, seeds, first, second, new_classes=new_classes)
    in_family = lent(estimate, spread, values.shape[1])
    p = estimate.p_value() if estimate else None
    return Comparison(
        first=first[0].variant,
        second=second[0].variant,
        n_way=n_way,
        n_shot=first[0].n_shot,
        seeds=seeds,
        n_episodes=values.shape[1],
        mean=float(values.mean()) if values.size else None,
        estimate=estimate,
        in_family=in_family,
        effect=_effect(values),
        p=p,
        room=max(float(a.mean()), float(b.mean())) - 1 / n_way if values.size else 0.0,
        equal=bool(values.size) and not values.any(),
        n_tests=n_tests,
        p_corrected=corrected(p, n_tests * in_family.p_value()) if p is not None and in_family else None,
    )


def corrected(p: float, for_family: float) -> float:
    """A p-value for a family: never below the pair's own, which is of its own seeds alone."""
    return min(1.0, max(p, for_family))


def spreads_of(results: Results) -> dict[tuple[int, int], Spread | None]:
    """How seeds vary in each setting, over all variants measured; where it is not said, over those shown."""
    cells = cells_by_place(results)
    return {
        setting: results.spreads[setting]
        if setting in results.spreads
        else spread_among([cells.get((name, *setting), []) for name in results.variants])
        for setting in results.settings
    }


def spread_among(variants: Iterable[Sequence[CellScore]]) -> Spread | None:
    """How the variants of one setting, each a cell a seed, differ from seed to seed; None where they are too few.

    Of cells with the most episodes alone: one that was just begun would pass its noise for that of all seeds.
    """
    counted = [by_seed(sorted(cells, key=lambda cell: cell.seed)) for cells in variants]
    most = max((len(cell.episodes) for side in counted for cell in side.values()), default=0)
    whole = ({seed: cell for seed, cell in side.items() if len(cell.episodes) == most} for side in counted)
    sides = [side for side in whole if len(side) >= FEWEST_SEEDS]
    accuracies = shared_accuracies([cell for side in sides for cell in side.values()])
    if not accuracies.size:
        return None
    seeds = sorted({seed for side in sides for seed in side})
    means = np.full((len(sides), len(seeds)), np.nan)  # (V, S)
    means[[[seed in side for seed in seeds] for side in sides]] = accuracies.mean(axis=1)
    first, second = np.triu_indices(len(sides), 1)
    apart = means[first] - means[second]  # (V (V - 1) / 2, S)
    n_seeds = np.isfinite(apart).sum(axis=1)
    lending = n_seeds >= FEWEST_SEEDS
    variances = np.nanvar(apart[lending], axis=1, ddof=1)
    known = variances > ROUNDING**2  # not of one network under two names
    n_trained, networks = 0, dict[str, int]()  # weights -> seed
    for side, of in zip(sides, means, strict=True):
        if np.nanvar(of) > ROUNDING**2:  # what no seed moves tells nothing of how they vary
            mine = {cell.weights or cell.key: seed for seed, cell in side.items()}
            n_trained += networks.keys().isdisjoint(mine)  # heads of one training count once
            networks |= mine
    degrees = len(networks) - n_trained - len({*networks.values()}) + 1.0  # of variants by seeds, with gaps
    found = spread_of(variances[known], n_seeds[lending][known] - 1, degrees)
    return replace(found, n_episodes=accuracies.shape[1]) if found else None


def estimate_of(
    values: Values,
    seeds: Sequence[int],
    first: Sequence[CellScore],
    second: Sequence[CellScore] = (),
    *,
    new_classes: bool = True,
) -> Estimate | None:
    """Of values (S, E), the first's accuracies in these seeds less the second's; None for fewer than two episodes.

    new_classes: with the error of having tested just these classes, where answers are stored for these episodes: the
        first ones, all that the cell with the fewest has
    """
    if not values.size:
        return None
    step = quantum(first, seeds)
    here = of_episodes(values[0], step) if len(values) == 1 else of_seeds_and_episodes(values, step)
    sides = ((1 / len(seeds), by_seed(first)), (-1 / len(seeds), by_seed(second)))
    cells = [(weight, side[seed]) for weight, side in sides if side for seed in seeds]
    n = values.shape[1]
    same = all(cell.numbers[:n] == cells[0][1].numbers[:n] for _, cell in cells)
    if here is None or not new_classes or not same or min(len(cell.episodes) for _, cell in cells) > n:
        return here
    kept = [(weight, cell.answers.confusion(n) if cell.answers else None) for weight, cell in cells]
    known = [(weight, confusion) for weight, confusion in kept if confusion]
    return (for_new_classes(here, known) if len(known) == len(kept) else None) or here


def compared(comparisons: Iterable[Comparison]) -> str:
    """What was compared, in a few words: methods, or only checkpoints; on which classes."""
    tested = [c for c in comparisons if c.p is not None]
    counts = {len(c.seeds) > 1 for c in tested}
    seeds = "training seeds" + " (whose variance is learned from all pairs)" * borrows(tested)
    whom = f"where both have several {seeds} methods were compared, else checkpoints"
    if counts == {True}:
        whom = f"methods were compared, over {seeds}"
    elif True not in counts:
        whom = "one training seed, so checkpoints were compared, not methods"
    return f"{whom}, {scope_of(c.estimate for c in tested)}"


def borrows(comparisons: Iterable[Comparison]) -> bool:
    """Whether one's corrected test rests on what other pairs tell of the seeds."""
    return any(c.in_family != c.estimate for c in comparisons)


def scope_of(estimates: Iterable[Estimate | None]) -> str:
    """Which classes these speak of; says so where some could not be for others."""
    scopes = {estimate.scope for estimate in estimates if estimate}
    if len(scopes) == 2:
        return "for classes like these where the answers to all queries are stored, else on these classes"
    return scopes.pop() if scopes else "on these classes"


def compare_variants(results: Results, first: str, second: str) -> tuple[Comparison, ...]:
    """Two variants in every setting that both have."""
    return _compare_pairs(results, {setting: [(first, second)] for setting in results.settings})


def compare_all(results: Results) -> tuple[Comparison, ...]:
    """Every pair of variants in every setting.

    The family is all pairs of a setting, shown or not: a mark "not significantly worse than the best" needs it, since
    the best is chosen from the same data.
    """
    return compare_with(results, dict.fromkeys(results.settings, results.variants))


def compare_with(results: Results, some: Mapping[tuple[int, int], Collection[str]]) -> tuple[Comparison, ...]:
    """Of `compare_all` the pairs with one of `some`, each setting's own: no pair hangs on another."""
    every, wanted = list(combinations(results.variants, 2)), {setting: set(names) for setting, names in some.items()}
    pairs = {setting: [pair for pair in every if wanted[setting].intersection(pair)] for setting in results.settings}
    return _compare_pairs(results, pairs)


def _compare_pairs(
    results: Results, pairs: Mapping[tuple[int, int], Sequence[tuple[str, str]]]
) -> tuple[Comparison, ...]:
    places, spreads = cells_by_place(results), spreads_of(results)
    found = []
    for setting in results.settings:
        n_tests, new_classes = results.n_tests(*setting), results.experiment.new_classes
        for names in pairs[setting]:
            first, second = (places.get((name, *setting)) for name in names)
            if first and second:
                found.append(compare(first, second, n_tests=n_tests, new_classes=new_classes, spread=spreads[setting]))
    return tuple(found)


def _effect(values: Values) -> float | None:
    if values.shape[0] == 0 or values.shape[1] < 2:
        return None
    by_episode = values.mean(axis=0)
    deviation = float(np.std(by_episode, ddof=1))
    return float(by_episode.mean()) / deviation if deviation > ROUNDING else None
