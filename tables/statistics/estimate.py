"""An estimate with its sources of error: the one shape of every interval and test here; and several tests at once."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of every interval that is printed
ALPHA = 0.05  # of every test
SMALLEST = sys.float_info.min  # a probability below this is printed as this
Values = NDArray[np.float64]
Scope = Literal["for classes like these", "on these classes"]


@dataclass(frozen=True)
class Source:
    """One source of random error: its share of the standard error, and how well that is known."""

    error: float  # > 0; 0 only where all that was measured was taken off
    degrees: float  # of freedom, of what was measured
    lasting: float | None = None  # what is left of `error` after endless episodes; None: nothing; of classes: all
    taken_off: float = 0.0  # of what was measured, error² + taken_off²: is in other sources already
    quantum: float = 0.0  # of single episodes: the smallest step of their values

    def with_episodes(self, n: int, other: int) -> "Source":
        """The same, known from n episodes, as it would be with another number of them."""
        if self.lasting is None:
            return replace(self, error=self.error * math.sqrt(n / other), degrees=other - 1)
        falling = self.error**2 - self.lasting**2
        return replace(self, error=math.sqrt(self.lasting**2 + falling * n / other))

    def at(self, difference: float) -> "Source":
        """The same if the mean were truly this: of single queries that turn, as many as it takes vary by chance.

        Their variance is their number (Poisson 1837), also where no episode has shown one yet.
        """
        least = math.sqrt(abs(difference) * self.quantum / (self.degrees + 1))
        return replace(self, error=max(self.error, least))


@dataclass(frozen=True)
class Estimate:
    """A mean (a fraction, or a difference of two) with its sources of error: at least one.

    With one source the interval is Student's. With several each widens it by its own t quantile,
    half² = sum (t_i error_i)² (Howe 1974): a source known from two values must not borrow the certainty of one that
    is known from hundreds.
    """

    mean: float
    sources: tuple[Source, ...]
    new_classes: bool = False  # whether other classes, drawn as these were, are among the sources of its error

    @property
    def scope(self) -> Scope:
        """Which classes it speaks of."""
        return "for classes like these" if self.new_classes else "on these classes"

    @property
    def here(self) -> "Estimate":
        """On these classes."""
        return Estimate(self.mean, self.sources[:-1] if self.classes else self.sources)

    @property
    def classes(self) -> Source | None:
        """The source that classes add, which stands last; None where they add none."""
        own, last = len(self.sources) > 1, self.sources[-1]  # classes never stand alone: what does, is seeds
        return last if self.new_classes and own and last.lasting == last.error else None

    @property
    def seeds(self) -> Source | None:
        """The source that training seeds are, which stands first; None with one seed."""
        first = self.here.sources[0]
        return None if first.lasting is None else first

    @property
    def error(self) -> float:
        """The standard error."""
        return math.hypot(*(source.error for source in self.sources))

    def with_episodes(self, n: int, other: int) -> "Estimate":
        """What it would be, the errors being what they are, with another number of episodes than n; 2 or more."""
        return replace(self, sources=tuple(source.with_episodes(n, other) for source in self.sources))

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Half of the two-sided interval."""
        return self._half_width((1 - confidence) / 2)

    def interval(self, confidence: float = CONFIDENCE, within: float = math.inf) -> tuple[float, float]:
        """The two-sided interval, cut where values end: differences of fractions are `within` 1."""
        half = self.half_width(confidence)
        return max(self.mean - half, -within), min(self.mean + half, within)

    def p_value(self, null: float = 0.0, alternative: Literal["two-sided", "greater", "less"] = "two-sided") -> float:
        """Of the test that the mean is `null`, as the intervals decide it; "greater" asks whether it is above."""
        distance = self.mean - null
        tail = self._tail(abs(distance))
        if alternative == "two-sided":
            return min(1.0, 2 * tail)
        return tail if (distance > 0) == (alternative == "greater") else 1 - tail

    def _half_width(self, tail: float) -> float:
        from scipy.special import stdtrit

        # from the lower tail, where floating point resolves probabilities below 1e-16
        return math.hypot(*(float(stdtrit(source.degrees, tail)) * source.error for source in self.sources))

    def _tail(self, distance: float) -> float:
        """The tail probability whose interval just reaches `distance`; never 0, which no test can show."""
        from scipy.special import stdtr

        degrees, quantile = {source.degrees for source in self.sources if source.error}, -distance / self.error
        if len(degrees) == 1:
            return max(float(stdtr(*degrees, quantile)), SMALLEST)
        least, most = (max(float(stdtr(d, quantile)), SMALLEST) for d in (max(degrees), min(degrees)))
        if least == most or most == 0.5:  # where they round alike
            return most

        def too_wide(log_tail: float) -> float:
            return math.log(self._half_width(math.exp(log_tail)) / distance)

        return math.exp(_root(too_wide, math.log(least), math.log(most)))


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that falls from `low` to `high` is 0, by the Illinois method (Dowell and Jarratt 1971)."""
    at_low, at_high, last = falling(low), falling(high), 0.0
    while at_low > 0 > at_high and low < (middle := (low + high) / 2) < high:  # until no number lies between
        straight = (low * at_high - high * at_low) / (at_high - at_low)
        x = straight if low < straight < high else middle
        value = falling(x)
        if abs(value) < 1e-14 * max(1.0, abs(x)):
            return x
        if value > 0:
            low, at_low = x, value
            at_high /= 2 if last > 0 else 1
        else:
            high, at_high = x, value
            at_low /= 2 if last < 0 else 1
        last = value
    return high if at_low > 0 else low


def near_an_end(estimate: Estimate, n_answers: float) -> tuple[float, float] | None:
    """The 95 % interval of a mean accuracy near 0 or 1, of n_answers in all; None where mean ± half_width holds.

    Accuracies are skewed there, and a few episodes may know nothing of the rare ones that go wrong. The interval is
    Clopper and Pearson's (1934) for the effective number of answers (Korn and Graubard 1998): independent ones with
    as large an error, lowered for the degrees of freedom, and no more than there are. It takes over where ± would
    reach more than half of the way to 0 or 1.
    """
    from scipy.special import betaincinv, ndtri

    mean, half = estimate.mean, estimate.half_width()
    z = float(ndtri((1 + CONFIDENCE) / 2))
    n = n_answers * (z * estimate.error / half) ** 2
    of_answers = z * math.sqrt(mean * (1 - mean) / n)
    if 2 * max(half, of_answers) <= min(mean, 1 - mean):
        return None
    if 0 < mean < 1:
        n *= min(1.0, of_answers / half) ** 2
    right, wrong, tail = n * mean, n * (1 - mean), (1 - CONFIDENCE) / 2
    low = float(betaincinv(right, wrong + 1, tail)) if right else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - tail)) if wrong else 1.0
    return low, high


def of_episodes(values: Values, quantum: float = 0.0) -> Estimate | None:
    """The mean of values (E,), one an episode (Student 1908); None for fewer than two, or without any variance.

    `quantum` is the smallest step that a value can make. A few episodes can agree by chance to the last query, and
    a standard deviation of zero would make anything significant: it counts as at least that of rounding,
    quantum / sqrt(12).
    """
    n = len(values)
    if n < 2:
        return None
    deviation = max(math.sqrt(_variance(values)), quantum / math.sqrt(12))
    source = Source(deviation / math.sqrt(n), n - 1, quantum=quantum)
    return Estimate(mean_of(values), (source,)) if deviation else None


def of_seeds_and_episodes(values: Values, quantum: float = 0.0) -> Estimate | None:
    """The mean of values (S, E): S training seeds, each tested on the same E episodes; None when S or E < 2.

    Seeds and episodes are both random, and crossed; the mean squares of the two-way layout (Searle, Casella and
    McCulloch 1992, ch. 4) give a source each: MS_seeds / (S E) with S - 1 degrees of freedom, which has the variance
    of the rest in it, and (MS_episodes - MS_rest) / (S E), not below zero, with E - 1. Taking the rest from the seeds'
    share instead would find too much where the episodes vary little, as in paired differences. A two-level bootstrap
    has the same variance in the limit, but with three seeds its percentile interval covers far less than it says
    (docs/statistics.md).
    """
    n_seeds, n_episodes = values.shape
    if n_seeds < 2 or n_episodes < 2:
        return None
    mean = mean_of(values)
    by_seed, by_episode = values.sum(axis=1) / n_episodes, values.sum(axis=0) / n_seeds
    rest = values - by_seed[:, None] - by_episode[None, :] + mean
    ms_seeds = max(n_episodes * _variance(by_seed), n_seeds * quantum**2 / 12)
    ms_episodes = n_seeds * _variance(by_episode)
    ms_rest = float((rest * rest).sum()) / ((n_seeds - 1) * (n_episodes - 1))

    def error(mean_square: float) -> float:
        return math.sqrt(max(0.0, mean_square) / values.size)

    seeds = Source(error(ms_seeds), n_seeds - 1, lasting=error(ms_seeds - ms_rest))
    sources = (seeds, Source(error(ms_episodes - ms_rest), n_episodes - 1))
    known = tuple(source for source in sources if source.error > 0)
    return Estimate(mean, known) if known else None


def _variance(values: Values) -> float:
    """As np.var with ddof=1, to the last bit, in a third of its time."""
    apart = values - values.sum() / len(values)
    return float((apart * apart).sum()) / (len(values) - 1)


def mean_of(values: Values) -> float:
    """The mean, independent of the order of the values."""
    return math.fsum(values.ravel().tolist()) / values.size


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: comparing each with alpha keeps the family's error rate at alpha.

    Not statsmodels', which collects garbage at every call: 0.1 s and more where torch is loaded.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
