"""Ranks of several treatments over blocks: Friedman's test, and how far mean ranks must lie apart."""

import math
from collections.abc import Sequence

import numpy as np

from fewshot_bench.tables.statistics.estimate import ALPHA, Values

ROUNDING = 10  # decimals: accuracies that differ by less are one value, rounded on different ways


def mean_ranks(values: Values) -> Values:
    """(K,) mean ranks of values (N, K), N blocks and K treatments; 1 is the highest value, ties share their mean."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]  # here: scipy.stats takes 0.5 s to import

    return np.asarray(rankdata(-np.round(values, ROUNDING), axis=1).mean(axis=0))


def friedman_p(values: Values) -> float:
    """p-value that all K >= 3 treatments rank alike over N blocks (Friedman 1937); 1 where every block is all ties."""
    from scipy.stats import friedmanchisquare

    rounded = np.round(values, ROUNDING)
    if (rounded == rounded[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*rounded.T).pvalue)


def critical_difference(n_treatments: int, n_blocks: int) -> float:
    """How far two mean ranks must lie apart to differ at ALPHA, over all pairs (Nemenyi 1963, as in Demsar 2006)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - ALPHA, n_treatments, math.inf)) / math.sqrt(2)
    return quantile * _error(n_treatments, n_blocks)


def against_first(ranks: Sequence[float], n_blocks: int) -> list[float]:
    """p-values of each mean rank against the lowest one, over all pairs (Nemenyi 1963); 1 for itself.

    At most ALPHA exactly where the critical difference separates the two. All pairs are the family: which one is
    lowest comes from the same data.
    """
    from scipy.stats import studentized_range

    apart = (np.asarray(ranks) - min(ranks)) / _error(len(ranks), n_blocks) * math.sqrt(2)
    return [float(studentized_range.sf(q, len(ranks), math.inf)) if q else 1.0 for q in apart]


def _error(n_treatments: int, n_blocks: int) -> float:
    """The standard error of a difference of two mean ranks."""
    return math.sqrt(n_treatments * (n_treatments + 1) / (6 * n_blocks))
