"""How much training seeds vary: what the other pairs of a setting tell of one that was measured with few seeds."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import Estimate, Values

FEWEST_SEEDS = 3  # of a pair, to borrow and to lend: two say too little of how alike the variances are
FEWEST_PAIRS = 3  # that lend


@dataclass(frozen=True)
class Spread:
    """The variance between seeds of a seed's mean difference, as the pairs of a setting have it."""

    variance: float  # that a pair has on average; of fractions
    degrees: float  # of freedom that it is worth: `most` where the pairs vary alike
    most: float  # that all these trainings have together
    n_episodes: int = 0  # that each mean is of: a pair of fewer has more noise than these, and borrows nothing

    def borrowed(self, own: float) -> float:
        """Degrees of freedom that a pair with so many of its own is lent: half of what there is, to be sure."""
        if own < FEWEST_SEEDS - 1:
            return 0.0
        return max(0.0, min(self.degrees, self.most - own)) / 2


def spread_of(variances: Values, degrees: NDArray[np.integer], most: float) -> Spread | None:
    """What variances (N,) above 0, one a pair, of so many degrees of freedom each, tell of a pair's variance.

    They are taken to be drawn from a scaled inverse chi-squared distribution, fitted by the moments of their
    logarithms (Smyth 2004, section 6.2). most: the degrees of freedom that all pairs have together. None for too few.
    """
    from scipy.special import digamma, polygamma

    if len(variances) < FEWEST_PAIRS or most < 1:
        return None
    halves = np.asarray(degrees) / 2
    centred = np.log(variances) - digamma(halves) + np.log(halves)
    over = float(np.var(centred, ddof=1) - polygamma(1, halves).mean())  # that chance does not explain
    mean = float(centred.mean())
    if over <= 0:
        return Spread(math.exp(mean), most, most)
    half = _inverse_trigamma(over)
    return Spread(math.exp(mean + float(digamma(half)) - math.log(half)), min(2 * half, most), most)


def lent(estimate: Estimate | None, spread: Spread | None, n_episodes: int) -> Estimate | None:
    """The estimate of a pair, of n_episodes, as a test takes it that is corrected for a family: with what others tell.

    With three seeds a t quantile of two degrees of freedom, corrected for a hundred pairs, shows nothing at all. The
    seeds' variance is drawn towards the other pairs' (Smyth 2004), but never below its own, and has the degrees of
    freedom of both. The interval of one pair needs no correction, and is of its own seeds alone.
    """
    if estimate is None or spread is None or n_episodes < spread.n_episodes or (seeds := estimate.seeds) is None:
        return estimate
    own, borrowed = seeds.degrees, spread.borrowed(seeds.degrees)
    if not borrowed:
        return estimate
    drawn = (borrowed * spread.variance / (own + 1) + own * seeds.error**2) / (own + borrowed)
    error, lasting = math.sqrt(max(drawn, seeds.error**2)), seeds.lasting or 0.0
    lasting = math.sqrt(lasting**2 + error**2 - seeds.error**2)  # the share of the episodes stays what it is
    drawn_seeds = replace(seeds, error=error, degrees=own + borrowed, lasting=lasting)
    return replace(estimate, sources=(drawn_seeds, *estimate.sources[1:]))


def _inverse_trigamma(value: float) -> float:
    """Newton's method, which from here on goes one way (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    x, step = 0.5 + 1 / value, 1.0
    while abs(step) > 1e-8 * x:
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / float(polygamma(2, x))
        x += step
    return x
