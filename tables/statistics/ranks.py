"""Ranks of several treatments over blocks: Friedman's test, and how far mean ranks must lie apart.

Not scipy.stats', which takes half a second to import; tests hold them to it.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from fewshot_bench.tables.statistics.estimate import ALPHA, Values

NODES = 200  # of the quadrature: twice as many move no p-value by 1e-12, and no boundary of a look by 1e-9
FAR = 12.0  # standard deviations; the probability beyond is not worth a node
ROUNDING = 10  # decimals: accuracies that differ by less are one value, rounded on different ways


def mean_ranks(values: Values) -> Values:
    """(K,) mean ranks of values (N, K), N blocks and K treatments; 1 is the highest value, ties share their mean."""
    return np.asarray(_ranks(values).mean(axis=0))


def friedman_p(values: Values) -> float:
    """p-value that all K >= 3 treatments rank alike over N blocks (Friedman 1937); 1 where every block is all ties."""
    from scipy.special import chdtrc

    from_middle = _ranks(values) - (values.shape[1] + 1) / 2
    spread = float(np.sum(from_middle**2))
    if not spread:
        return 1.0
    degrees = values.shape[1] - 1  # the statistic is Conover's (1999, section 5.8), which allows for ties
    return float(chdtrc(degrees, degrees * np.sum(from_middle.sum(axis=0) ** 2) / spread))


def critical_difference(n_treatments: int, n_blocks: int) -> float:
    """How far two mean ranks must lie apart to differ at ALPHA, over all pairs (Nemenyi 1963, as in Demsar 2006)."""
    low, high = 0.0, FAR
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _spans_more(middle, n_treatments) > ALPHA else (low, middle)
    return high / math.sqrt(2) * _error(n_treatments, n_blocks)


def against_first(ranks: Sequence[float], n_blocks: int) -> list[float]:
    """p-values of each mean rank against the lowest one, over all pairs (Nemenyi 1963); 1 for itself.

    At most ALPHA exactly where the critical difference separates the two. All pairs are the family: which one is
    lowest comes from the same data.
    """
    apart = (np.asarray(ranks) - min(ranks)) / _error(len(ranks), n_blocks) * math.sqrt(2)
    return [_spans_more(q, len(ranks)) if q else 1.0 for q in apart]


def _ranks(values: Values) -> Values:
    """(N, K): within each block."""
    rounded = np.round(values, ROUNDING)
    each, others = rounded[:, :, None], rounded[:, None, :]
    return np.asarray((others > each).sum(axis=2) + ((others == each).sum(axis=2) + 1) / 2)


def _spans_more(distance: float, n: int) -> float:
    """The probability that n standard normals span more than this (Tukey's studentized range, degrees infinite)."""
    from scipy.special import ndtr

    points, weights = nodes()
    least = FAR * points
    density = np.exp(-0.5 * least**2) / math.sqrt(2 * math.pi)
    within = FAR * weights @ (n * density * (ndtr(least + distance) - ndtr(least)) ** (n - 1))
    return max(0.0, 1 - float(within))


@cache
def nodes() -> tuple[Values, Values]:
    """Points and weights in [-1, 1]."""
    return np.polynomial.legendre.leggauss(NODES)


def _error(n_treatments: int, n_blocks: int) -> float:
    """The standard error of a difference of two mean ranks."""
    return math.sqrt(n_treatments * (n_treatments + 1) / (6 * n_blocks))
