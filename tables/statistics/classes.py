"""The data interval: how much an accuracy could change on new classes drawn as these were."""

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import Estimate, Source


def of_classes(answered: NDArray[np.int64], asked: NDArray[np.int64]) -> Estimate | None:
    """Of the counts of a ClassConfusion (C, C), summed over seeds; None for fewer than three classes."""
    n_classes, total = len(answered), int(answered.sum())
    off = ~np.eye(n_classes, dtype=bool)
    met = asked[off].sum()
    if n_classes < 3 or not total or not met:
        return None
    excess = np.where(off, answered - asked * (answered[off].sum() / met), 0.0) / total
    pairs = excess + excess.T  # influence of each unordered pair of classes
    variance = float((pairs.sum(axis=1) ** 2).sum() - (pairs**2).sum() / 2)
    if variance <= 0:
        return None
    return Estimate(float(np.trace(answered)) / total, (Source(variance**0.5, n_classes - 1),))
