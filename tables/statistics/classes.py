"""The data interval: accuracy on new classes, drawn as the tested ones were, estimated from who was taken for whom."""

import math

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import Estimate, Source, Values

Counts = NDArray[np.int64]
FEWEST = 3  # classes; two are one pair, which has no variance


def of_classes(answered: Counts, asked: Counts, accuracies: Values | None = None) -> Estimate | None:
    """The mean accuracy of a cell, with the error of having tested just these classes and images.

    `answered`, `asked` (C, C): queries of class i given class j, and queries of class i in episodes that have class j
    (ClassConfusion; of several training seeds, their sums). `accuracies` (E,): of the same episodes, averaged over the
    seeds. They add the luck that all classes of an episode share, e.g. how well its fit went, which no matrix of
    classes shows. None for fewer than three classes, or where every query was right or none was.

    A jackknife over classes (Efron and Stein 1981): each is left out as the one asked for and as a distractor, and its
    images with it, so that images used again are no new evidence. The chance part of a pair of classes is in the
    effects of both and counts once (as in dyadic clustering: Fafchamps and Gubert 2007; Aronow, Samii and Assenova
    2015). The degrees of freedom are the effective number of classes less one (Carter, Schnepel and Steigerwald 2017).
    """
    faced = (asked + asked.T).sum(axis=1) - 2 * np.diagonal(asked)  # a class's part in the pairs
    if np.count_nonzero(faced) < FEWEST:
        return None
    n_classes = float(faced.sum()) ** 2 / float((faced.astype(float) ** 2).sum())
    luck = _luck_of_queries(answered, asked)
    variance = max(_spread(answered, asked), luck)
    if not variance:
        return None
    sources = [Source(math.sqrt(variance), n_classes - 1)]
    if accuracies is not None and len(accuracies) > 1:
        # less what the classes' variance contains for certain; what it contains besides counts twice, and widens
        shared = float(np.var(accuracies, ddof=1)) / len(accuracies) - luck
        sources += [Source(math.sqrt(shared), len(accuracies) - 1)] if shared > 0 else []
    return Estimate(int(np.trace(answered)) / int(np.trace(asked)), tuple(sources))


def _spread(answered: Counts, asked: Counts) -> float:
    """The squared changes of the mean when one class is left out, summed; the chance part of each pair once.

    The jackknife's factor (C - 1) / C is left away: a class is never its own distractor, so that leaving it out shows
    about that much less than its effect.
    """
    n = np.diagonal(asked).astype(float)
    right = np.diagonal(answered) / np.maximum(n, 1.0)
    rest = n.sum() - n  # queries that stay when a class is left out
    gained = (_accuracy_without(answered, asked) - right[:, None]) * n[:, None] / rest  # [i, j]: by i, without j
    mean = float((n * right).sum() / n.sum())
    of_class = n * (mean - right) / rest + gained.sum(axis=0)
    of_pair = gained + gained.T
    return float((of_class**2).sum() - (of_pair**2).sum() / 2)


def _accuracy_without(answered: Counts, asked: Counts) -> Values:
    """[i, j]: the accuracy of class i, had an average one of its other distractors stood wherever j did.

    Not every query that was taken for j would have been right without j: some would have gone to another distractor.
    By the choice axiom (Luce 1959) the answers fall back on the classes that are left in proportion, so that a
    distractor taken for i with the rate e multiplies i's accuracy by 1 - e.
    """
    n = np.maximum(np.diagonal(asked), 1).astype(float)[:, None]
    right = np.broadcast_to(np.diagonal(answered)[:, None] / n, asked.shape)
    faced, errors = asked.astype(float), answered.astype(float)
    np.fill_diagonal(faced, 0.0)
    np.fill_diagonal(errors, 0.0)
    others = faced.sum(axis=1, keepdims=True) - faced
    rate = (errors.sum(axis=1, keepdims=True) - errors) / np.maximum(others, 1.0)  # of the other distractors
    kept = 1 - errors / n - (1 - faced / n) * rate  # the factor of the place that j had, over all episodes
    replaceable = (faced > 0) & (others > 0) & (kept > 0)
    return np.where(replaceable, right * (1 - rate) / np.where(replaceable, kept, 1.0), right)


def _luck_of_queries(answered: Counts, asked: Counts) -> float:
    """The variance of the mean if each class had its accuracy and queries differed by chance alone (binomial)."""
    n = np.diagonal(asked).astype(float)
    right = np.diagonal(answered) / np.maximum(n, 1.0)
    return float((n * right * (1 - right)).sum()) / float(n.sum()) ** 2
