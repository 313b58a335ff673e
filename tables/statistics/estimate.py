"""An estimate with its standard error and degrees of freedom: the one shape of every interval and test here."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every interval that is printed
ALPHA = 1 - CONFIDENCE  # of every test
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean (a fraction, or a difference of two), its standard error and the t distribution it refers to."""

    mean: float
    error: float  # > 0
    degrees: float  # of freedom; > 0

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Half of the two-sided t-interval."""
        from scipy.special import stdtrit  # type: ignore[import-untyped]  # here: scipy takes 0.2 s to import

        return float(stdtrit(self.degrees, 0.5 + confidence / 2)) * self.error

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The two-sided t-interval."""
        half = self.half_width(confidence)
        return self.mean - half, self.mean + half

    def p_value(self, null: float = 0.0, alternative: Literal["two-sided", "greater", "less"] = "two-sided") -> float:
        """Of the t-test that the mean is `null`; "greater" asks whether it is above."""
        from scipy.special import stdtr

        t = (self.mean - null) / self.error
        if alternative == "two-sided":
            return min(1.0, 2 * float(stdtr(self.degrees, -abs(t))))
        return float(stdtr(self.degrees, -t if alternative == "greater" else t))


def of_episodes(values: Values, quantum: float = 0.0) -> Estimate | None:
    """The mean of values (E,), one an episode; None for fewer than two (Student 1908).

    `quantum` is the smallest step that a value can make. A few episodes can agree by chance to the last query, and
    a standard deviation of zero would make anything significant: it counts as at least that of rounding,
    quantum / sqrt(12).
    """
    n = len(values)
    if n < 2:
        return None
    deviation = max(float(np.std(values, ddof=1)), quantum / math.sqrt(12))
    return Estimate(_mean(values), deviation / math.sqrt(n), n - 1) if deviation else None


def of_seeds_and_episodes(values: Values, quantum: float = 0.0) -> Estimate | None:
    """The mean of values (S, E): S training seeds, each tested on the same E episodes; None when S or E < 2.

    Seeds and episodes are both random, and crossed: var = (MS_seeds + MS_episodes - MS_rest) / (S E), never less than
    either source alone, with the degrees of freedom of Satterthwaite (1946). A two-level bootstrap has the same
    variance in the limit, but its percentile interval with three seeds covers far less than 95 %
    (docs/statistics.md has the measured coverage).
    """
    n_seeds, n_episodes = values.shape
    if n_seeds < 2 or n_episodes < 2:
        return None
    mean = _mean(values)
    by_seed, by_episode = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_episode[None, :] + mean
    df = np.array([n_seeds - 1, n_episodes - 1, (n_seeds - 1) * (n_episodes - 1)], dtype=float)
    squares = np.array(
        [n_episodes * np.var(by_seed) * n_seeds, n_seeds * np.var(by_episode) * n_episodes, np.sum(rest**2)]
    )
    of_seeds, of_episodes_, of_rest = squares / df
    of_episodes_ = max(of_episodes_, n_seeds * quantum**2 / 12)
    sources = [(of_seeds, df[0])] if of_seeds > of_episodes_ else [(of_episodes_, df[1])]
    if of_seeds + of_episodes_ - of_rest > max(of_seeds, of_episodes_):
        sources = [(of_seeds, df[0]), (of_episodes_, df[1]), (-of_rest, df[2])]
    variance = sum(ms for ms, _ in sources)
    if variance <= 0:
        return None
    degrees = variance**2 / sum(ms**2 / d for ms, d in sources)
    return Estimate(mean, math.sqrt(variance / values.size), float(degrees))


def _mean(values: Values) -> float:
    """Independent of the order of the values."""
    return math.fsum(values.ravel().tolist()) / values.size
