"""Results -> one number a method over seeds and settings, and how likely the first is better than each other."""

from dataclasses import dataclass

import numpy as np

from fewshot_bench.tables.scores import CellScore, Results, cells_by_place
from fewshot_bench.tables.statistics.aggregate import (
    interquartile_mean,
    percentiles,
    probability_of_improvement,
    resampled,
    resampler,
)
from fewshot_bench.tables.statistics.estimate import Values, mean_of

FEWEST_SEEDS, FEWEST_SETTINGS = 2, 2
Measured = tuple[float, float, float]  # a value and its 95 % interval


@dataclass(frozen=True)
class Aggregate:
    """One method; scores are shares of the way from chance (0) to perfect (1)."""

    variant: str
    middle: Measured  # the interquartile mean
    beaten: Measured | None  # the probability that the first is better on a setting; None for the first


def aggregates(results: Results) -> tuple[Aggregate, ...]:
    """Highest first: variants with several seeds, over the settings in which all of these are done; else empty."""
    places = cells_by_place(results)
    seeds = {v: len(results.seeds_of.get(v, results.seeds)) for v in results.variants}
    several = [v for v in results.variants if seeds[v] >= FEWEST_SEEDS]

    def whole(place: tuple[str, int, int]) -> bool:
        return sum(cell.state == "done" for cell in places.get(place, ())) == seeds[place[0]]

    settings = [setting for setting in results.settings if all(whole((v, *setting)) for v in several)]
    if len(several) < 2 or len(settings) < FEWEST_SETTINGS:
        return ()
    scores: dict[str, Values] = {
        v: np.array([[_share(cell) for cell in places[v, *setting]] for setting in settings]).T for v in several
    }
    order = sorted(several, key=lambda v: -float(interquartile_mean(scores[v])))
    draw = resampler(whole_seeds=results.experiment.protocol == "single")
    draws = {v: draw(scores[v]) for v in order}
    best = order[0]
    return tuple(
        Aggregate(
            v,
            (
                float(interquartile_mean(scores[v])),
                *percentiles(interquartile_mean(resampled(scores[v], draws[v]))),
            ),
            None
            if v == best
            else (
                float(probability_of_improvement(scores[best], scores[v])[0]),
                *percentiles(probability_of_improvement(scores[best], scores[v], (draws[best], draws[v]))),
            ),
        )
        for v in order
    )


def _share(cell: CellScore) -> float:
    """Of the way from chance to perfect that the mean accuracy has come."""
    mean = mean_of(np.array([episode.accuracy for episode in cell.episodes]))
    return (mean - 1 / cell.n_way) / (1 - 1 / cell.n_way)
