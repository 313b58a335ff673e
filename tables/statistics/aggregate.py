"""Scores over seeds and settings as one number a method (Agarwal et al. 2021, NeurIPS), with a stratified bootstrap."""

from collections.abc import Callable

import numpy as np

from fewshot_bench.tables.statistics.estimate import CONFIDENCE, Values

N_RESAMPLES = 2000
Resample = Callable[[Values], Values]  # (S, M) -> (N_RESAMPLES, S, M)


def interquartile_mean(scores: Values) -> Values:
    """(...,) of scores (..., S, M), S seeds in M settings: the mean of the middle half of all S M, 25 % trimmed."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def probability_of_improvement(first: Values, second: Values) -> Values:
    """(...,) of scores (..., S, M) and (..., T, M): the chance that a seed of the first is above one of the second.

    Mann and Whitney's U / (S T) in each setting, a tie counting half, averaged over the settings.
    """
    difference = first[..., :, None, :] - second[..., None, :, :]
    return np.asarray((np.sign(difference) / 2 + 0.5).mean(axis=(-3, -2, -1)))


def resampler(whole_seeds: bool) -> Resample:
    """Draws seeds with replacement in each setting; or whole, with all their settings, where these share a training.

    The same draws at each start, another at each call.
    """
    rng = np.random.default_rng(0)

    def resample(scores: Values) -> Values:
        n_seeds, n_settings = scores.shape
        drawn = rng.integers(0, n_seeds, (N_RESAMPLES, n_seeds, 1 if whole_seeds else n_settings))
        return np.take_along_axis(scores[None], np.broadcast_to(drawn, (N_RESAMPLES, n_seeds, n_settings)), axis=1)

    return resample


def percentiles(resampled: Values) -> tuple[float, float]:
    """The 95 % interval of (N_RESAMPLES,) values."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
