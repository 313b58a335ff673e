"""Ranks of several treatments over blocks: Friedman's test, and how far mean ranks must lie apart."""

import math
from collections.abc import Sequence

import numpy as np

from fewshot_bench.tables.statistics.estimate import ALPHA, Values
from fewshot_bench.tables.statistics.families import holm

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
    """Two-sided p-values of each mean rank against the lowest one, Holm-corrected over all pairs; 1 for itself.

    All pairs, not only these, are the family: which one is lowest comes from the same data (Demsar 2006, 3.2.2).
    """
    from scipy.special import ndtr  # type: ignore[import-untyped]

    k, first = len(ranks), int(np.argmin(ranks))
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    corrected = holm([2 * float(ndtr(-abs(ranks[i] - ranks[j]) / _error(k, n_blocks))) for i, j in pairs])
    found = dict(zip(pairs, corrected, strict=True))
    return [1.0 if i == first else found[min(i, first), max(i, first)] for i in range(k)]


def _error(n_treatments: int, n_blocks: int) -> float:
    """The standard error of a difference of two mean ranks."""
    return math.sqrt(n_treatments * (n_treatments + 1) / (6 * n_blocks))
