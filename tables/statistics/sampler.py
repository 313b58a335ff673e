"""Mean, standard deviation and Student's t, for fractions in [0, 1]."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95  # of every interval and margin that is printed


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
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # here: scipy takes 0.2 s to import

    return float(stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


def difference_half_width(first: Sample, second: Sample) -> float | None:
    """Half of the 95 % interval of a difference of two unpaired means (Welch); None when either n < 2."""
    if first.deviation is None or second.deviation is None:
        return None
    a, b = first.deviation**2 / first.n, second.deviation**2 / second.n
    if a + b == 0.0:
        return 0.0
    # Scaled by their sum, so that tiny variances do not underflow when squared.
    share_a, share_b = a / (a + b), b / (a + b)
    degrees = 1.0 / (share_a**2 / (first.n - 1) + share_b**2 / (second.n - 1))
    return t_quantile(degrees) * math.sqrt(a + b)
