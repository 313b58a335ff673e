"""Accuracy over training images, from the budgets that are stored: who is highest where, and where curves cross."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from fewshot_bench.tables.scores import BudgetScore
from fewshot_bench.tables.wording import setting_name

Curves = dict[str, list[BudgetScore]]  # by variant, the points in the order of their images
N_PLACES = 2000  # at which curves are compared, evenly on a logarithmic axis


def curves(points: Sequence[BudgetScore]) -> dict[tuple[int, int], Curves]:
    """The curves of each setting; an untrained network has no place on the axis."""
    found: dict[tuple[int, int], Curves] = defaultdict(lambda: defaultdict(list))
    for point in sorted(points, key=lambda point: point.images_seen):
        if point.images_seen:
            found[point.n_way, point.n_shot][point.variant].append(point)
    return found


def among(points: Sequence[BudgetScore]) -> str:
    """What the sentences of `crossings` are about: of which methods, and how they were found."""
    compared = dict.fromkeys(name for _, long, _, _ in _overlapping(points) for name in long)
    trained = {point.variant for point in points if point.images_seen}
    return (
        f"The highest mean among the methods with several budgets ({', '.join(compared)}: {len(compared)} of the "
        f"{len(trained)} that were trained), interpolated on straight lines between the measured budgets, over the "
        "logarithm of the images: where lines cross was not measured, and no test is made here."
    )


def crossings(points: Sequence[BudgetScore]) -> tuple[str, ...]:
    """A sentence a setting: which mean is highest over how many training images; `among` says what that is."""
    return tuple(
        f"{setting_name(*setting)}, {_round(first):,} to {_round(last):,} images: {_leaders(long, first, last)}."
        for setting, long, first, last in _overlapping(points)
    )


def _overlapping(points: Sequence[BudgetScore]) -> Iterator[tuple[tuple[int, int], Curves, int, int]]:
    """Settings, their curves of two points or more, and from and to how many images all of these have a value.

    Budgets with another rule of fitting tasks do not count.
    """
    for setting, by_variant in curves([point for point in points if point.same_rule]).items():
        long = {variant: curve for variant, curve in by_variant.items() if len({p.images_seen for p in curve}) > 1}
        first = max((curve[0].images_seen for curve in long.values()), default=0)
        last = min((curve[-1].images_seen for curve in long.values()), default=0)
        if len(long) > 1 and first < last:
            yield setting, long, first, last


def _leaders(by_variant: Curves, first: int, last: int) -> str:
    """ "transfer is highest, from about 230,000 on maml"."""
    places, names = np.linspace(np.log(first), np.log(last), N_PLACES), list(by_variant)
    heights = [
        np.interp(places, [np.log(p.images_seen) for p in curve], [p.mean for p in curve])
        for curve in by_variant.values()
    ]
    highest = np.argmax(heights, axis=0)  # (N_PLACES,)
    changes = np.flatnonzero(np.diff(highest)) + 1
    told, before = f"{names[highest[0]]} is highest" + ("" if len(changes) else " throughout"), first
    for at in changes:
        images = float(np.exp(places[at]))
        before = _round(images, apart_from=before)
        told += f", from about {before:,} on {names[highest[at]]}"
    return told


def _round(images: float, apart_from: float = 0) -> int:
    """To two digits; or to three, where two are those of the place before, from which it is some way off."""
    near = _round(apart_from) == int(float(f"{images:.1e}")) if apart_from else False
    return int(float(f"{images:.{1 + near}e}"))
