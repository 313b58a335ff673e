"""Which curves there are, and what is read from them: the growth of a cost an image, and what explains it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.growth_points import EMBEDDED, LOOKED_UP, RECOMPUTED, TESTED, TRAINED, Measured, Point

Record = dict[Point, Measured]
BAND = (0.8, 1.2)  # growth that is called linear
CLOSE = 0.15  # growth that differs by no more from what is expected is explained
ENOUGH = 8  # points to fit three costs to
COUNTED = ("operations", "bytes", "calls")

BASES = {
    **{work: Point(work) for work in (*TRAINED, RECOMPUTED)},
    TESTED: Point(TESTED, steps=10),
    LOOKED_UP: Point(LOOKED_UP, n_tasks=10),
    EMBEDDED: Point(EMBEDDED, n_tasks=5),
}
TRAINING_AXES: dict[str, tuple[int, ...]] = {
    "n_way": (5, 10, 20, 35),
    "n_shot": (1, 5, 20, 50),
    "steps": (1, 2, 5, 10, 20),
    "filters": (16, 32, 64, 128),
    "pixels": (16, 32, 48, 64, 84),
    "n_tasks": (1, 2, 4, 8),
}
TEST_AXES: dict[str, dict[str, tuple[int, ...]]] = {
    TESTED: {"n_way": (5, 10, 20, 35), "n_shot": (1, 5, 20, 100), "steps": (1, 5, 10, 20, 50), "n_tasks": (1, 2, 4, 8)},
    LOOKED_UP: {"n_way": (5, 10, 20, 35), "n_shot": (1, 5, 20, 100), "n_tasks": (10, 30, 100)},
    EMBEDDED: {"n_tasks": (5, 10, 20, 40)},
}
MEANT = {  # the axes that a training has; Reptile's batches of 10 know neither ways nor shots
    "transfer": ("filters", "pixels", "n_tasks"),
    "protonet": ("n_way", "n_shot", "filters", "pixels"),
    "maml": tuple(TRAINING_AXES),
    "fomaml": tuple(TRAINING_AXES),
    "reptile": ("steps", "filters", "pixels", "n_tasks"),
    RECOMPUTED: ("steps",),
}
AXES: dict[str, dict[str, tuple[int, ...]]] = {
    **{work: {axis: TRAINING_AXES[axis] for axis in axes} for work, axes in MEANT.items()},
    **TEST_AXES,
}


def points(works: list[str]) -> list[Point]:
    """All points of these works' curves, each once."""
    all_points = [
        dataclasses.replace(BASES[work], **{axis: value})  # type: ignore[arg-type]
        for work in works
        for axis, values in AXES[work].items()
        for value in values
    ]
    return list(dict.fromkeys(all_points))


def curve(record: Record, work: str, axis: str) -> list[tuple[int, Measured]]:
    """(value, measured) along an axis, ascending."""
    along = [dataclasses.replace(BASES[work], **{axis: value}) for value in AXES[work][axis]]  # type: ignore[arg-type]
    return [(getattr(point, axis), record[point]) for point in along]


def amount(point: Point, images: int) -> float:
    """What a cost is compared with: images; image pixels where they grow, images x filters likewise."""
    return float(images * point.pixels**2 * point.filters)


@dataclass(frozen=True)
class Growth:
    """From a work's base to the end of one axis: how many times as much an image (a pixel, a filter) takes."""

    work: str
    axis: str
    start: int
    end: int
    memory: float  # times as many bytes that the process takes for it, in all
    seconds: float
    operations: float
    bytes: float
    calls: float
    expected: float  # seconds as `costs_of` has them; nan where those are not known
    main_cost: str  # of COUNTED, the one that moves `expected` most

    @property
    def is_linear(self) -> bool:
        """Within the band."""
        return BAND[0] <= self.seconds <= BAND[1]

    @property
    def is_explained(self) -> bool:
        """Whether operations, bytes and calls lead one to expect about this."""
        return abs(self.seconds / self.expected - 1) <= CLOSE


def growth(record: Record, work: str, axis: str) -> Growth:
    """How the costs of a work grow along an axis."""
    base = BASES[work]
    last = dataclasses.replace(base, **{axis: AXES[work][axis][-1]})  # type: ignore[arg-type]
    first, end = record[base], record[last]
    more = amount(last, end.images) / amount(base, first.images)
    costs = costs_of(record, work)
    before, after = costs * _counts(first), costs * _counts(end) / more  # (3,) seconds
    expected = after.sum() / before.sum()
    return Growth(
        *(work, axis, getattr(base, axis), getattr(last, axis), end.added_bytes / first.added_bytes),
        **{name: getattr(end, name) / getattr(first, name) / more for name in ("seconds", *COUNTED)},
        expected=expected,
        main_cost=COUNTED[int(np.argmax((after - before) * np.sign(expected - 1)))],
    )


def _counts(measured: Measured) -> NDArray[np.float64]:
    return np.array([getattr(measured, name) for name in COUNTED], float)


def costs_of(record: Record, work: str) -> NDArray[np.float64]:
    """Seconds an operation, a byte and a call (3,), none negative, by all points of works like this one.

    Least squares of the relative error (Lawson, Hanson 1974); trainings are alike. nan where the points are too few.
    """
    alike = [m for p, m in record.items() if (p.trains if BASES[work].trains else p.work == work)]
    if len(alike) < ENOUGH:
        return np.full(len(COUNTED), np.nan)
    relative = np.stack([_counts(m) / m.seconds for m in alike])
    costs: NDArray[np.float64] = nnls(relative, np.ones(len(alike)))[0]
    return costs


def growths(record: Record) -> list[Growth]:
    """All of them, in the order of AXES."""
    works = {point.work for point in record}
    return [growth(record, work, axis) for work in AXES if work in works for axis in AXES[work]]
