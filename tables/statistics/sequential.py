"""Looking again and again at growing numbers of episodes, without finding too much.

A pair of variants is tested at looks that were planned beforehand. Its share of the error rate is spent over them as
Lan and DeMets (1983) do, with their function of O'Brien and Fleming's (1979) type: almost nothing early, nearly all
of it at the last look. The shares of several pairs are Holm's (1979): what was separated hands its share on to the
others (Maurer and Bretz 2013), so that the error rate holds for all pairs and looks together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fewshot_bench.tables.statistics.estimate import ALPHA, Values
from fewshot_bench.tables.statistics.ranks import FAR, nodes

SMALLEST = 1e-300  # a share below this is none: no boundary can be computed from it


def planned_looks(first: int, most: int) -> tuple[int, ...]:
    """Numbers of episodes at which to look: `first`, twice as many, and so on, the last one `most` (>= first)."""
    looks = [first]
    while 2 * looks[-1] < most:
        looks.append(2 * looks[-1])
    return tuple(looks) if looks[-1] == most else (*looks, most)


def fractions_of(looks: Sequence[int]) -> tuple[float, ...]:
    """How much of the planned information each look has: its episodes over the last one's."""
    return tuple(n / looks[-1] for n in looks)


def spent(fraction: float, alpha: float = ALPHA) -> float:
    """The two-sided error rate that may be used up to a fraction of the information (Lan and DeMets 1983).

    Each side spends alpha / 2 by 2 - 2 Phi(z_{alpha/4} / sqrt(fraction)), O'Brien and Fleming's type.
    """
    from scipy.special import ndtr, ndtri

    return float(4 * ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))


@cache
def boundaries(fractions: tuple[float, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """For each look the |z| from which on a pair is separated; infinite where no error rate can be spent yet.

    Computed by recursive integration (Armitage, McPherson and Rowe 1969) for one side, each side having half of
    alpha. The other side's boundary is left out: that errs towards larger boundaries, by less than can be printed.
    """
    from scipy.special import ndtri

    found: list[float] = []
    going_on: _Density | None = None  # of the sum z sqrt(fraction), where no boundary was crossed so far
    before = 0.0
    for i, fraction in enumerate(fractions):
        share = (spent(fraction, alpha) - before) / 2
        if share < SMALLEST:
            found.append(math.inf)
        elif going_on is None:
            found.append(-float(ndtri(share)))
        else:
            found.append(_crossed_with(share, going_on, fraction))
        before += 2 * max(share, 0.0)
        if i + 1 < len(fractions):
            going_on = _continued(going_on, fraction, found[-1])
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Density:
    """A density at the nodes of a quadrature."""

    fraction: float
    at: Values
    mass: Values  # density times weight: sums to the probability of no crossing


def _crossed_with(share: float, before: _Density, fraction: float) -> float:
    """The boundary that is crossed for the first time at this look with probability `share`."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    step = math.sqrt(fraction - before.fraction)

    def excess(z: float) -> float:
        crossing = float(before.mass @ ndtr((before.at - z * math.sqrt(fraction)) / step))
        return math.log(max(crossing, SMALLEST) / share)

    return float(brentq(excess, 0.0, 40.0, xtol=1e-10)) if excess(40.0) < 0 else math.inf


def _continued(before: _Density | None, fraction: float, boundary: float) -> _Density:
    """The density at this look below its boundary."""
    points, weights = nodes()
    low, high = -FAR * math.sqrt(fraction), min(boundary, FAR) * math.sqrt(fraction)
    at = (low + high) / 2 + points * (high - low) / 2
    if before is None:
        density = _normal(at, math.sqrt(fraction))
    else:
        step = math.sqrt(fraction - before.fraction)
        density = _normal(at[:, None] - before.at[None, :], step) @ before.mass
    return _Density(fraction, at, density * weights * (high - low) / 2)


def _normal(x: Values, deviation: float) -> Values:
    return np.exp(-0.5 * (x / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


def as_z(p: float) -> float:
    """|z| of a two-sided p-value: how a t statistic joins a normal boundary."""
    from scipy.special import ndtri

    return -float(ndtri(p / 2))


def separated(z: Sequence[Sequence[float]], fractions: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which pairs are separated by the looks taken so far.

    z[i] holds |z| of pair i at the looks taken (0 where there was no result), fractions[i] all that were planned for
    it. The chance that any pair without a difference is ever separated, at whatever look of whatever pair one stops,
    is at most ALPHA.
    """
    found = [False] * len(z)
    while True:
        alpha = ALPHA / max(1, len(z) - sum(found))
        now = [_beyond(taken, boundaries(planned, alpha)) for taken, planned in zip(z, fractions, strict=True)]
        if now == found:
            return found
        found = now


def _beyond(z: Sequence[float], limits: Sequence[float]) -> bool:
    return any(value >= limit for value, limit in zip(z, limits, strict=False))
