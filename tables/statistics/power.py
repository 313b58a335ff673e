"""Power of a test: how likely it shows a difference, given the errors that were measured."""

import math
from dataclasses import replace
from functools import cache

from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Source, Values

POWER = 0.8  # that is asked for where none is named (Cohen 1988)
MOST_EPISODES = 10**12  # more than this is never
MOST_SEEDS = 1000


def power_of(estimate: Estimate, difference: float, alpha: float = ALPHA, two_sided: bool = True) -> float:
    """The probability that the test of such an estimate shows a true mean difference, in the unit of its errors.

    With one source of error the noncentral t (Cohen 1988); with several the test is that of `Estimate.p_value`.
    One-sided asks for a difference of the sign that `difference` has. The estimate's own mean plays no part.
    """
    if len(estimate.sources) > 1:
        return _power_of_several(estimate, difference, alpha, two_sided)
    from scipy.special import nctdtr, stdtrit

    [source] = estimate.sources
    shift, limit = abs(difference) / source.error, stdtrit(source.degrees, alpha / 2 if two_sided else alpha)
    power = 1 - float(nctdtr(source.degrees, shift, -limit))
    if two_sided:  # and of finding the wrong sign, which comes back as nan where it is too small to be computed
        wrong = float(nctdtr(source.degrees, shift, limit))
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

    if not suffice(MOST_EPISODES):
        return None
    enough = 2
    while not suffice(enough):
        enough *= 2
    short = enough // 2  # the power rises with the episodes
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if suffice(middle) else (middle, enough)
    return enough


def seeds_to_separate(
    estimate: Estimate, n_seeds: int, difference: float, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """The fewest training seeds, with as many episodes as now, that show the difference with at least this power.

    `estimate` is known from n_seeds, 2 or more, whose source stands first. None where a thousand would not do.
    """
    seeds, *others = estimate.sources

    def suffice(n: int) -> bool:
        fewer = Source(seeds.error * math.sqrt(n_seeds / n), n - 1)
        return power_of(replace(estimate, sources=(fewer, *others)), difference, alpha) >= power

    if not suffice(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS  # the power rises with the seeds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffice(middle) else (middle, high)
    return high


def as_it_may_be(estimate: Estimate, tail: float) -> Estimate:
    """With each error as large as it would have to be for this one, or a smaller, to have that probability."""
    from scipy.special import chdtri

    def may_be(source: Source) -> Source:
        scale = math.sqrt(source.degrees / float(chdtri(source.degrees, 1 - tail)))
        lasting = None if source.lasting is None else scale * source.lasting
        return replace(source, error=scale * source.error, lasting=lasting)

    return replace(estimate, sources=tuple(map(may_be, estimate.sources)))


def smallest_difference(estimate: Estimate, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest true difference that the two-sided test shows with at least this power."""
    from scipy.optimize import brentq

    most = estimate.error
    while power_of(estimate, most, alpha) < power:
        most *= 2
    return float(brentq(lambda d: power_of(estimate, d, alpha) - power, 0.0, most, rtol=1e-9))


def _power_of_several(estimate: Estimate, difference: float, alpha: float, two_sided: bool) -> float:
    """Of the test with several sources (Howe 1974), averaged over what the least known may be measured as."""
    from scipy.special import ndtr, stdtrit

    tail = alpha / 2 if two_sided else alpha
    sources = sorted(estimate.sources, key=lambda source: source.degrees)
    first, *others = ((float(stdtrit(source.degrees, tail)) * source.error) ** 2 for source in sources)
    half_widths = (first * _chi_squared(sources[0].degrees) + sum(others)) ** 0.5
    power = ndtr((abs(difference) - half_widths) / estimate.error)
    if two_sided:
        power += ndtr((-abs(difference) - half_widths) / estimate.error)
    return float(power.mean())


@cache
def _chi_squared(degrees: float) -> Values:
    """The middles of 1,000 equally likely parts of chi-squared / degrees."""
    import numpy as np
    from scipy.special import chdtri

    return np.asarray(chdtri(degrees, (np.arange(1000) + 0.5) / 1000) / degrees)
