"""Power of a test: how likely it shows a difference, given the errors that were measured."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Source
from fewshot_bench.tables.statistics.seeds import FEWEST_SEEDS

POWER = 0.8  # that is asked for where none is named (Cohen 1988)
MOST_EPISODES = 10**12  # more than this is never
MOST_SEEDS = 1000
MOST_CLASSES = 10**6


def power_of(estimate: Estimate, difference: float, alpha: float = ALPHA, two_sided: bool = True) -> float:
    """The probability that the test of such an estimate shows a true mean difference, in the unit of its errors.

    The noncentral t (Cohen 1988). With several sources of error the test is that of `Estimate.p_value` (Howe 1974): the
    square of its half-width is a sum of mean squares, nearly a chi-squared variable (Satterthwaite 1946). One-sided
    asks for a difference of the sign that `difference` has. The estimate's own mean plays no part.
    """
    from scipy.special import nctdtr, stdtrit

    tail = alpha / 2 if two_sided else alpha
    estimate = replace(estimate, sources=tuple(source.at(difference) for source in estimate.sources))
    squares = [(float(stdtrit(source.degrees, tail)) * source.error) ** 2 for source in estimate.sources]
    half = sum(squares)
    degrees = half**2 / sum(square**2 / s.degrees for square, s in zip(squares, estimate.sources, strict=True))
    shift, limit = abs(difference) / estimate.error, math.sqrt(half) / estimate.error
    power = 1 - float(nctdtr(degrees, shift, limit))
    if two_sided:  # and of finding the wrong sign, which comes back as nan where it is too small to be computed
        wrong = float(nctdtr(degrees, shift, -limit))
        power += 0.0 if math.isnan(wrong) else wrong
    return 1.0 if math.isnan(power) else min(1.0, power)


def episodes_to_separate(
    estimate: Estimate, n: int, difference: float, power: float = POWER, alpha: float = ALPHA, two_sided: bool = True
) -> int | None:
    """The fewest episodes with which the test shows a true mean difference with at least this power.

    `estimate` is known from n episodes. None where no number of them does: the difference is 0 (or so small that it
    would take more than 10^12), or the error of the seeds alone hides it. Raises ValueError for a power outside
    (alpha, 1).
    """
    if not alpha < power < 1:
        raise ValueError(f"the power must be between alpha = {alpha} and 1, not {power}")

    def suffice(other: int) -> bool:
        return power_of(estimate.with_episodes(n, other), difference, alpha, two_sided) >= power

    return _fewest(suffice, MOST_EPISODES)


def seeds_to_separate(
    estimate: Estimate, n_seeds: int, difference: float, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """The fewest training seeds, with as many episodes as now, that show the difference with at least this power.

    `estimate` is known from n_seeds, 2 or more, whose source stands first. None where a thousand would not do.
    """
    seeds, *others = estimate.sources
    borrowed = seeds.degrees - (n_seeds - 1)  # of other pairs

    def suffice(n: int) -> bool:
        degrees = n - 1 + (borrowed if n >= FEWEST_SEEDS else 0)
        fewer = Source(seeds.error * math.sqrt(n_seeds / n), degrees)
        return power_of(replace(estimate, sources=(fewer, *others)), difference, alpha) >= power

    return _fewest(suffice, MOST_SEEDS)


def classes_to_separate(
    estimate: Estimate, n: int, difference: float, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """The fewest classes with which some number of episodes shows the difference with at least this power.

    `estimate` is known from n episodes, and the error that classes add stands last. None where a million would not do.
    """
    *others, classes = estimate.with_episodes(n, MOST_EPISODES).sources

    def suffice(n_classes: int) -> bool:
        of_classes = Source(classes.error * math.sqrt((classes.degrees + 1) / n_classes), n_classes - 1)
        return power_of(replace(estimate, sources=(*others, of_classes)), difference, alpha) >= power

    return _fewest(suffice, MOST_CLASSES)


def _fewest(suffice: Callable[[int], bool], most: int) -> int | None:
    """The smallest number from 2 on that is enough, as all larger ones are; None where `most` is not."""
    if not suffice(most):
        return None
    enough = 2
    while not suffice(enough):
        enough *= 2
    return bisect_left(range(enough), True, lo=enough // 2 + 1, key=suffice)


def as_it_may_be(estimate: Estimate, tail: float) -> Estimate:
    """With each error as large as it would have to be for what was measured, or less, to have that probability.

    What was measured of seeds and classes has in it what is not theirs: that part is known better, and stays.
    """
    from scipy.special import chdtri

    def may_be(source: Source) -> Source:
        measured = source.error**2 + source.taken_off**2
        square = max(0.0, measured * source.degrees / float(chdtri(source.degrees, 1 - tail)) - source.taken_off**2)
        if source.lasting is None:
            return replace(source, error=math.sqrt(square))
        lasting = max(0.0, square - (source.error**2 - source.lasting**2))
        return replace(source, error=math.sqrt(square), lasting=math.sqrt(lasting))

    return replace(estimate, sources=tuple(map(may_be, estimate.sources)))


def smallest_difference(estimate: Estimate, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true difference that the two-sided test shows with at least this power."""
    from scipy.optimize import brentq

    most = estimate.error
    while power_of(estimate, most, alpha) < power:
        most *= 2
    return float(brentq(lambda d: power_of(estimate, d, alpha) - power, 0.0, most, rtol=1e-9))
