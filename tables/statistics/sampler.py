"""Mean, standard deviation and Student's t, for fractions in [0, 1]."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fewshot_bench.tables.statistics.estimate import CONFIDENCE, Estimate, Source


@dataclass(frozen=True)
class Sample:
    """What a list of accuracies says: mean and standard deviation as fractions, and how many there were."""

    mean: float
    deviation: float | None  # ddof = 1; None when n < 2
    n: int

    @property
    def half_width(self) -> float | None:
        """Half of the two-sided 95 % t-interval of the mean; None when n < 2."""
        if self.deviation is None:
            return None
        return t_quantile(self.n - 1) * self.deviation / math.sqrt(self.n)


def sample(values: Sequence[float]) -> Sample:
    """Summarise at least one value. `fsum` makes the result independent of the order of the values."""
    n = len(values)
    if n == 0:
        raise ValueError("no values: a mean needs at least one")
    mean = math.fsum(values) / n
    if n == 1:
        return Sample(mean, None, 1)
    return Sample(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)), n)


def t_quantile(degrees_of_freedom: float) -> float:
    """The t value that leaves (1 - CONFIDENCE) / 2 above it."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


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
