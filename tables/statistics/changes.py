"""How many more queries are right than before: the change of one cell, and of several cells together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Source, of_episodes

FEWEST = 5  # episodes (or clusters of them) that an equivalence needs
TIE = 1e-12  # fractions this close are one that was rounded on different ways
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Change:
    """One cell before and after, on the episodes that both have: integers (E,) each."""

    n_way: int
    numbers: Integers  # of the episodes in the bank
    before: Integers  # queries that were right
    after: Integers  # queries that are right
    n_queries: Integers

    @property
    def gained(self) -> Integers:
        """(E,): queries right now less queries right before."""
        return self.after - self.before


@dataclass(frozen=True)
class Sample:
    """What a list of accuracies says: mean and standard deviation as fractions, and how many there were."""

    mean: float
    deviation: float | None  # ddof = 1; None when n < 2
    n: int


def sample(values: Sequence[float]) -> Sample:
    """Summarise at least one value. `fsum` makes the result independent of the order of the values."""
    n = len(values)
    if n == 0:
        raise ValueError("no values: a mean needs at least one")
    mean = math.fsum(values) / n
    if n == 1:
        return Sample(mean, None, 1)
    return Sample(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n)


def difference(before: Sample, after: Sample, quantum: float = 0.0) -> Estimate | None:
    """After minus before, where no episodes can be paired (Welch 1947); None when either n < 2, or without variance.

    `quantum` as in `of_episodes`: a deviation counts as at least quantum / sqrt(12).
    """
    if before.deviation is None or after.deviation is None:
        return None
    least = quantum / math.sqrt(12)
    a, b = (max(side.deviation or 0.0, least) ** 2 / side.n for side in (before, after))
    if a + b == 0.0:
        return None
    # Scaled by their sum, so that tiny variances do not underflow when squared.
    share_a, share_b = a / (a + b), b / (a + b)
    degrees = 1.0 / (share_a**2 / (before.n - 1) + share_b**2 / (after.n - 1))
    return Estimate(after.mean - before.mean, (Source(math.sqrt(a + b), degrees),))


def of_change(change: Change) -> Estimate | None:
    """The mean over episodes of the change in accuracy; None for fewer than two episodes."""
    return of_episodes(change.gained / change.n_queries, 1 / int(change.n_queries.max()))


def of_changes(changes: Sequence[Change]) -> Estimate | None:
    """The change of several cells together, every query counting once; None for fewer than two clusters.

    Episodes of one way with the same number have the same classes and queries in every cell, so that they are not
    independent: they are one cluster, and what a cluster gained is summed before anything is tested. The mean is all
    that was gained by all queries, a ratio estimate; its error is that of a sample of G clusters with G - 1 degrees
    of freedom (Cochran 1977, ch. 6; statsmodels' cluster-robust weighted mean is the same). A cluster's sum is
    an integer and deviates by at least its rounding, 1 / sqrt(12).
    """
    ways = np.concatenate([np.full(len(change.numbers), change.n_way) for change in changes])
    numbers = np.concatenate([change.numbers for change in changes])
    _, cluster = np.unique(ways * 2**32 + numbers, return_inverse=True)
    gained = np.bincount(cluster, np.concatenate([change.gained for change in changes]))
    asked = np.bincount(cluster, np.concatenate([change.n_queries for change in changes]))
    n, total = len(gained), float(asked.sum())
    if n < 2:
        return None
    mean = float(gained.sum()) / total
    squares = float(np.sum((gained - mean * asked) ** 2)) * n / (n - 1)
    return Estimate(mean, (Source(math.sqrt(max(squares, n / 12)) / total, n - 1),))


def equivalent(estimate: Estimate, margin: float, before: float) -> bool:
    """Whether the change is shown to be smaller than `margin` (a fraction) both ways: two one-sided tests at 5 %
    (Schuirmann 1987), which is the 90 % interval inside ±margin. Needs five episodes, or clusters of them.

    The error counts as at least what it may be where the true change is `margin`. It can sit in rare episodes, which
    lose or gain all that an episode can: `before` (a fraction), or 1 less that. Then the mean over G of them has the
    variance margin (most - margin) / G. Without that, episodes in which by chance nothing happened would be
    equivalent to anything.
    """
    [source] = estimate.sources
    if source.degrees < FEWEST - 1 or abs(estimate.mean) >= margin or margin >= 1:
        return False
    most = max(before, 1 - before)
    least = math.sqrt(margin * max(0.0, most - margin) / (source.degrees + 1))
    cautious = Estimate(estimate.mean, (Source(max(source.error, least), source.degrees),))
    return abs(estimate.mean) + cautious.half_width(1 - 2 * ALPHA) < margin
