"""Scores over seeds and settings as one number a method (Agarwal et al. 2021, NeurIPS), with a stratified bootstrap."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.tables.statistics.estimate import CONFIDENCE, Values

N_RESAMPLES = 2000
Draws = NDArray[np.int64]  # (N_RESAMPLES, S, M): which of S seeds are drawn in each of M settings


def interquartile_mean(scores: Values) -> Values:
    """(...,) of scores (..., S, M), S seeds in M settings: the mean of the middle half of all S M, 25 % trimmed."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def probability_of_improvement(first: Values, second: Values, draws: tuple[Draws, Draws] | None = None) -> Values:
    """(N,) of scores (S, M) and (T, M): the chance that a seed of the first is above one of the second.

    Mann and Whitney's U / (S T) in each setting, a tie counting half, averaged over the settings.
    draws: of both sides' seeds, for the chance in each resample; by default each counts once, and N is 1
    """
    above = np.sign(first[:, None] - second[None]) / 2 + 0.5  # (S, T, M), so that no resample compares again
    a, b = map(_times, draws) if draws else (np.ones((1, *first.shape)), np.ones((1, *second.shape)))
    won = (a.transpose(2, 0, 1) @ above.transpose(2, 0, 1)) * b.transpose(2, 0, 1)  # (M, N, T)
    return np.asarray(won.sum(axis=(0, 2)) / above.size)


def _times(draws: Draws) -> Values:
    """(N, S, M): how often each seed is drawn."""
    n, n_seeds, n_settings = draws.shape
    place = (np.arange(n)[:, None, None] * n_seeds + draws) * n_settings + np.arange(n_settings)
    return np.bincount(place.ravel(), minlength=draws.size).reshape(draws.shape).astype(float)


def resampler(whole_seeds: bool) -> Callable[[Values], Draws]:
    """Draws the seeds of scores (S, M) with replacement: in each setting, or whole, where settings share a training.

    The same draws at each start, another at each call.
    """
    rng = np.random.default_rng(0)

    def draw(scores: Values) -> Draws:
        n_seeds, n_settings = scores.shape
        drawn = rng.integers(0, n_seeds, (N_RESAMPLES, n_seeds, 1 if whole_seeds else n_settings))
        return np.broadcast_to(drawn, (N_RESAMPLES, n_seeds, n_settings))

    return draw


def resampled(scores: Values, draws: Draws) -> Values:
    """(N, S, M): the scores (S, M) of the seeds drawn."""
    return np.take_along_axis(scores[None], draws, axis=1)


def percentiles(resampled: Values) -> tuple[float, float]:
    """The 95 % interval of (N_RESAMPLES,) values."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
