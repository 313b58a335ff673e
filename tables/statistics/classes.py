"""Other classes: what an accuracy, or a difference of two, owes to the classes it was measured on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import Estimate, Source, Values

Counts = NDArray[np.int64]
FEWEST = 3  # classes; two are one pair, which has no variance


@dataclass(frozen=True, eq=False)
class ClassConfusion:
    """Which classes a cell's episodes took for which: C novel classes, E episodes of m classes, integers."""

    answered: Counts  # (C, C) [i, j]: queries of class i that were given class j
    asked: Counts  # (C, C) [i, j]: queries of class i in episodes that have class j, too
    classes: NDArray[np.integer]  # (E, m): of each episode
    right: NDArray[np.integer]  # (E, m): queries of that class which were answered rightly

    @cached_property
    def effects(self) -> tuple[Values, Values]:
        """(C,) and (C, C): by how much the mean accuracy changes when a class is left out, and each pair's part of it.

        The changes by one class through its own queries, and through those of others that had it as a distractor.
        """
        n = np.diagonal(self.asked).astype(float)
        own = np.diagonal(self.answered) / np.maximum(n, 1.0)
        rest = np.maximum(n.sum() - n, 1.0)  # queries that stay when a class is left out
        gained = (_accuracy_without(self.answered, self.asked) - own[:, None]) * n[:, None] / rest  # [i, j]: of i by j
        mean = float((n * own).sum() / n.sum())
        return n * (mean - own) / rest + gained.sum(axis=0), gained + gained.T

    @cached_property
    def effective_number(self) -> float:
        """Of classes (Carter, Schnepel and Steigerwald 2017); 0 for fewer than three."""
        faced = (self.asked + self.asked.T).sum(axis=1) - 2 * np.diagonal(self.asked)  # a class's part in the pairs
        if np.count_nonzero(faced) < FEWEST:
            return 0.0
        return float(faced.sum()) ** 2 / float((faced.astype(float) ** 2).sum())


@dataclass(frozen=True, eq=False)
class ClassAnswers:
    """What the queries of a cell's first E episodes were taken for: episodes of m classes, q queries of each."""

    classes: NDArray[np.integer]  # (E, m): of each episode, as places among all
    given: NDArray[np.integer]  # (E, m, q): of each query, which of its episode's m classes it was given
    n_classes: int  # that episodes are drawn from
    _counted: dict[int, ClassConfusion] = field(default_factory=dict, init=False, repr=False)  # by number of episodes

    def confusion(self, n_episodes: int) -> ClassConfusion | None:
        """Of the first so many episodes; None where they are more than E."""
        if n_episodes > len(self.classes):
            return None
        if n_episodes not in self._counted:  # a cell is compared with many
            self._counted[n_episodes] = self._count(n_episodes)
        return self._counted[n_episodes]

    def _count(self, n_episodes: int) -> ClassConfusion:
        n, classes, given = self.n_classes, self.classes[:n_episodes], self.given[:n_episodes]
        n_way, n_query = given.shape[1:]
        small = np.min_scalar_type(n**2)  # is fast here
        labels = np.arange(0, classes.size, n_way)[:, None, None] + given  # (E, m, q), counted over all episodes
        pairs = classes.astype(small).take(labels) + (n * classes[:, :, None]).astype(small)
        answered = np.bincount(pairs.ravel(), minlength=n**2).reshape(n, n)
        member = np.zeros((n_episodes, n))
        np.put_along_axis(member, classes, 1, axis=1)
        right = (given == np.arange(n_way, dtype=given.dtype)[:, None]).sum(axis=2)
        return ClassConfusion(answered, n_query * (member.T @ member).astype(int), classes, right)


def for_new_classes(estimate: Estimate, cells: Sequence[tuple[float, ClassConfusion]]) -> Estimate | None:
    """The estimate of sum(weight * accuracy), with what other classes, drawn as these were, would add to its error.

    cells: a weight and the confusions of each, all of the same episodes: one cell of S seeds has the weights 1 / S, a
    difference 1 / S and -1 / S. None where the classes are fewer than three or the episodes not the same.

    A jackknife over classes (Efron and Stein 1981): each is left out as the one asked for and as a distractor, and its
    images with it, so that images used again are no new evidence. The chance part of a pair of classes is in the
    effects of both and counts once (as in dyadic clustering: Fafchamps and Gubert 2007; Aronow, Samii and Assenova
    2015). The luck of queries and supports is in the estimate already, and is taken off: it is what a class's
    answers vary by from episode to episode. The degrees of freedom are the effective number of classes less one.
    """
    first = cells[0][1]
    if not first.effective_number or any(not np.array_equal(c.classes, first.classes) for _, c in cells):
        return None
    of_class = sum(weight * confusion.effects[0] for weight, confusion in cells)
    of_pair = sum(weight * confusion.effects[1] for weight, confusion in cells)
    # The jackknife's factor (C - 1) / C is left away: a class is never its own distractor, so that leaving it out
    # shows about that much less than its effect.
    spread, twice = float(np.sum(np.square(of_class))), float(np.sum(np.square(of_pair)) / 2)
    luck = _luck(first.classes, cells)
    # Were all of it of pairs, whose chance part is in it twice, half of it would be theirs.
    variance = max(0.0, spread - luck - twice, (spread - luck) / 2)
    error, taken_off = math.sqrt(variance), math.sqrt(max(spread, luck) - variance)
    of_classes = Source(error, first.effective_number - 1, error, taken_off)
    sources = (*estimate.sources, of_classes) if error or taken_off else estimate.sources
    return Estimate(estimate.mean, sources, new_classes=True)


def _luck(classes: NDArray[np.integer], cells: Sequence[tuple[float, ClassConfusion]]) -> float:
    """The variance of the mean if a class's answers differed from episode to episode by chance alone."""
    n_query = float(cells[0][1].asked.trace()) / classes.size
    values = np.asarray(sum(weight * confusion.right for weight, confusion in cells)).ravel() / n_query
    met = np.bincount(classes.ravel())
    mean = np.bincount(classes.ravel(), values) / np.maximum(met, 1)
    degrees = classes.size - np.count_nonzero(met)
    squares = float(np.sum(np.square(values - mean[classes.ravel()])))
    return squares / degrees / classes.size if degrees else 0.0


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
