"""Power of a paired comparison: how likely n episodes show a difference, given the spread that was measured."""

import math
from functools import cache
from typing import Any

from fewshot_bench.tables.statistics.estimate import ALPHA, Source, Values

POWER = 0.8  # that is asked for where none is named (Cohen 1988)
MOST_EPISODES = 10**12  # more than this is never


def power_of(
    deviation: float,
    difference: float,
    n: int,
    alpha: float = ALPHA,
    two_sided: bool = True,
    seeds: Source | None = None,
) -> float:
    """The probability that a t test on n paired differences shows a true mean difference (noncentral t; Cohen 1988).

    `deviation` is the standard deviation of one episode's difference, in the unit of `difference`; n < 2 shows
    nothing. One-sided asks for a difference of the sign that `difference` has. `seeds` is the source of error that no
    number of episodes lowers (the first of `of_seeds_and_episodes`); the test is then that of `Estimate.p_value`.
    Raises ValueError for a deviation that is not above 0.
    """
    if not deviation > 0:
        raise ValueError(f"a standard deviation must be above 0, not {deviation}")
    if n < 2:
        return 0.0
    if seeds:
        return _power_with_seeds(Source(deviation / math.sqrt(n), n - 1), difference, seeds, alpha, two_sided)
    return _t_power(abs(difference) / deviation, n, alpha, two_sided)


def episodes_to_separate(
    deviation: float,
    difference: float,
    power: float = POWER,
    alpha: float = ALPHA,
    two_sided: bool = True,
    seeds: Source | None = None,
) -> int | None:
    """The fewest episodes with which the t test shows a true mean difference with at least this power.

    None where no number of them does: the difference is 0 (or so small that it would take more than 10^12), or the
    error of the seeds alone hides it. Raises ValueError for a deviation that is not above 0, or a power outside
    (alpha, 1).
    """
    if not alpha < power < 1:
        raise ValueError(f"the power must be between alpha = {alpha} and 1, not {power}")

    def suffice(n: int) -> bool:
        return power_of(deviation, difference, n, alpha, two_sided, seeds) >= power

    if not suffice(MOST_EPISODES):
        return None
    enough = 2
    while not suffice(enough):
        enough *= 2
    short = enough // 2  # the power rises with n
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if suffice(middle) else (middle, enough)
    return enough


def smallest_difference(
    deviation: float, n: int, power: float = POWER, alpha: float = ALPHA, seeds: Source | None = None
) -> float | None:
    """The smallest true difference that n episodes show, two-sided, with at least this power; None for n < 2."""
    from scipy.optimize import brentq  # type: ignore[import-untyped]  # here: scipy takes 0.2 s to import

    if n < 2:
        return None
    most = math.hypot(deviation / math.sqrt(n), seeds.error if seeds else 0.0)
    while power_of(deviation, most, n, alpha, seeds=seeds) < power:
        most *= 2
    return float(brentq(lambda d: power_of(deviation, d, n, alpha, seeds=seeds) - power, 0.0, most, rtol=1e-9))


def _t_power(effect: float, n: int, alpha: float, two_sided: bool) -> float:
    test, tail = _t_test(), alpha / 2 if two_sided else alpha
    power = float(test.power(effect, nobs=n, alpha=tail, alternative="larger"))
    if two_sided:  # and of finding the wrong sign, which scipy gives as nan where it is too small for it
        wrong = float(test.power(effect, nobs=n, alpha=tail, alternative="smaller"))
        power += 0.0 if math.isnan(wrong) else wrong
    return min(1.0, power)


def _power_with_seeds(episodes: Source, difference: float, seeds: Source, alpha: float, two_sided: bool) -> float:
    """Of the test with two sources of error (Howe 1974), averaged over what the seeds' error may be measured as."""
    from scipy.special import ndtr, stdtrit  # type: ignore[import-untyped]

    tail = alpha / 2 if two_sided else alpha
    t_seeds, t_episodes = (float(stdtrit(source.degrees, tail)) for source in (seeds, episodes))
    measured = (t_seeds * seeds.error) ** 2 * _chi_squared(seeds.degrees) + (t_episodes * episodes.error) ** 2
    total = math.hypot(seeds.error, episodes.error)
    power = ndtr((abs(difference) - measured**0.5) / total)
    if two_sided:
        power += ndtr((-abs(difference) - measured**0.5) / total)
    return float(power.mean())


@cache
def _chi_squared(degrees: float) -> Values:
    """The middles of 1,000 equally likely parts of chi-squared / degrees."""
    import numpy as np
    from scipy.special import chdtri

    return np.asarray(chdtri(degrees, (np.arange(1000) + 0.5) / 1000) / degrees)


@cache
def _t_test() -> Any:
    from statsmodels.stats.power import TTestPower  # type: ignore[import-untyped]  # here: takes 0.5 s to import

    return TTestPower()
