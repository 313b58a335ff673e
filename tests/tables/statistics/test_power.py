"""Power against published tables, another route to the same numbers, and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.statistics.estimate import Estimate, Source, of_episodes, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import (
    as_it_may_be,
    classes_to_separate,
    episodes_to_separate,
    power_of,
    smallest_difference,
)


def spread(deviation, n=60, *seeds):
    """An estimate from n episodes whose differences have this standard deviation, and from some seeds."""
    return Estimate(0.0, (*seeds, Source(deviation / math.sqrt(n), n - 1)))


def lasting(error, degrees):
    """A source that no number of episodes lowers."""
    return Source(error, degrees, error)


@pytest.mark.parametrize(
    ("effect", "two_sided", "n"),
    # Faul et al. 2007 (G*Power), matched pairs, alpha 0.05, power 0.8
    [(0.2, True, 199), (0.5, True, 34), (0.8, True, 15), (0.2, False, 156), (0.5, False, 27), (0.8, False, 12)],
)
def test_the_published_sample_sizes_of_matched_pairs(effect, two_sided, n):
    assert episodes_to_separate(spread(1.0), 60, effect, two_sided=two_sided) == n


@pytest.mark.parametrize("n", [2, 3, 10, 60, 600])
@pytest.mark.parametrize("difference", [0.0, 0.001, 0.02, -0.02, 0.3])
def test_power_is_that_of_the_noncentral_t(n, difference):
    shift, limit = difference / 0.08 * math.sqrt(n), stats.t.isf(0.025, n - 1)
    upper, lower = stats.nct.sf(limit, n - 1, abs(shift)), stats.nct.cdf(-limit, n - 1, abs(shift))
    assert power_of(spread(0.08, n), difference) == pytest.approx(upper + np.nan_to_num(lower), abs=1e-6)


def test_power_is_how_often_a_t_test_finds_it():
    draws = np.random.default_rng(1).normal(0.02, 0.08, (20_000, 60))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert power_of(spread(0.08), 0.02) == pytest.approx(found, abs=3 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("n", [8, 16, 32])
def test_where_no_query_differed_power_is_that_of_single_queries_that_may(n):
    """Two models that were alike so far, truly a point apart: by queries that turn one by one, of 75 an episode."""
    alike = of_episodes(np.zeros(n), 1 / 75)
    rng = np.random.default_rng(n)
    turned = rng.poisson(0.01 * 75, (4000, n)) / 75
    found = np.mean([of_episodes(values, 1 / 75).p_value() <= 0.05 for values in turned])
    assert power_of(alike, 0.01) == pytest.approx(found, abs=0.1)


@pytest.mark.parametrize("seeds", [(), (lasting(0.002, 2),), (Source(0.005, 4, 0.001),)])
@pytest.mark.parametrize("difference", [0.2, 0.03, 0.015])
def test_the_fewest_episodes_are_enough_and_one_fewer_are_not(seeds, difference):
    measured = spread(0.08, 60, *seeds)
    n = episodes_to_separate(measured, 60, difference, 0.9)
    assert power_of(measured.with_episodes(60, n), difference) >= 0.9
    assert power_of(measured.with_episodes(60, n - 1), difference) < 0.9
    assert episodes_to_separate(measured, 60, -difference, 0.9) == n


def test_what_no_number_of_episodes_shows():
    assert episodes_to_separate(spread(0.08), 60, 0.0) is None
    assert episodes_to_separate(spread(1.0), 60, 1e-9) is None


@pytest.mark.parametrize("seeds", [(), (lasting(0.002, 9),)])
def test_the_fewest_classes_are_enough_with_some_number_of_episodes_and_one_fewer_are_not(seeds):
    of_classes = Source(0.018, 35, 0.018, 0.015)
    measured = Estimate(0.0, (*seeds, Source(0.01, 59), of_classes), new_classes=True)
    assert episodes_to_separate(measured, 60, 0.05, alpha=0.05 / 21) is None
    n = classes_to_separate(measured, 60, 0.05, alpha=0.05 / 21)

    def of_so_many(n):
        error = of_classes.error * (36 / n) ** 0.5
        return replace(measured, sources=(*measured.sources[:-1], Source(error, n - 1, error)))

    assert episodes_to_separate(of_so_many(n), 60, 0.05, alpha=0.05 / 21)
    assert episodes_to_separate(of_so_many(n - 1), 60, 0.05, alpha=0.05 / 21) is None
    assert classes_to_separate(measured, 60, 1e-9) is None


def test_what_is_not_theirs_is_taken_off_after_an_error_is_thought_larger():
    seeds, episodes, classes = Source(0.05, 2, 0.03), Source(0.02, 59), Source(0.03, 20, 0.03, 0.04)
    larger = as_it_may_be(Estimate(0.0, (seeds, episodes, classes), new_classes=True), 0.05)
    times = [degrees / stats.chi2.ppf(0.05, degrees) for degrees in (2, 59, 20)]
    assert [source.error**2 for source in larger.sources] == pytest.approx(
        [times[0] * 0.05**2, times[1] * 0.02**2, times[2] * 0.05**2 - 0.04**2]
    )
    assert larger.sources[0].lasting ** 2 == pytest.approx(times[0] * 0.05**2 - 0.04**2)
    assert larger.here.sources == larger.sources[:2]
    smaller = as_it_may_be(Estimate(0.0, (seeds, episodes, classes), new_classes=True), 0.95)
    assert (smaller.sources[0].lasting, smaller.sources[2].error) == (0.0, 0.0)
    assert episodes_to_separate(smaller, 60, 0.05)


def test_power_rises_with_the_difference_even_for_two_episodes():
    rising = [power_of(spread(1.0, 2), difference) for difference in np.arange(0, 40, 0.5)]
    assert (np.diff(rising) > 0).all()


def test_an_enormous_effect_is_certain():
    for effect in (1e2, 1e4, 1e8):
        assert power_of(spread(1.0, 2), effect) == pytest.approx(1.0)
        assert power_of(spread(1.0, 600), effect) == 1.0
        assert episodes_to_separate(spread(1.0), 60, effect) in (2, 3)


@pytest.mark.parametrize("seeds", [(), (lasting(0.01, 2),)])
@pytest.mark.parametrize("n", [2, 6, 60, 600])
def test_the_smallest_visible_difference_is_seen_with_just_that_power(n, seeds):
    measured = spread(0.08, n, *seeds)
    assert power_of(measured, smallest_difference(measured)) == pytest.approx(0.8, abs=1e-6)


def test_impossible_questions_are_refused():
    for power in (0.05, 1.0, float("nan")):
        with pytest.raises(ValueError, match="power must be between"):
            episodes_to_separate(spread(0.08), 60, 0.01, power)


def test_seeds_that_differ_little_change_nothing_and_those_that_differ_much_decide():
    little, much = spread(0.08, 60, lasting(1e-9, 9)), spread(0.08, 60, lasting(0.01, 2))
    assert power_of(little, 0.02) == pytest.approx(power_of(spread(0.08), 0.02), abs=0.01)
    # three seeds whose means differ by more than the difference: infinitely many episodes are a t-test on three values
    endless = power_of(much.with_episodes(60, 10**12), 0.03)
    assert endless == pytest.approx(power_of(spread(0.01 * math.sqrt(3), 3), 0.03), abs=0.01)
    assert episodes_to_separate(much, 60, 0.03) is None
    assert episodes_to_separate(much, 60, 0.08) > episodes_to_separate(spread(0.08), 60, 0.08)


@pytest.mark.parametrize("n_tests", [1, 3, 21])
@pytest.mark.parametrize(
    "sources",
    [  # error and degrees of freedom of each: episodes and classes; and seeds
        ((0.012, 59), (0.017, 33)),
        ((0.02, 11), (0.02, 19)),
        ((0.02, 5), (0.02, 5)),
        ((0.01, 2), (0.02, 11)),
        ((0.01, 2), (0.02, 5), (0.02, 19)),
        ((0.02, 2), (0.02, 59), (0.01, 33)),
    ],
)
def test_power_with_several_errors_is_how_often_the_test_finds_it(sources, n_tests):
    """In 20,000 worlds with these true errors, each measured with its own degrees of freedom."""
    rng, runs, alpha = np.random.default_rng(3), 20_000, 0.05 / n_tests
    true = Estimate(0.0, tuple(Source(*source) for source in sources))
    difference = smallest_difference(true, 0.8, alpha)
    means = difference + true.error * rng.standard_normal(runs)
    measured = [e**2 * rng.chisquare(degrees, runs) / degrees for e, degrees in sources]
    half = sum(m * stats.t.isf(alpha / 2, degrees) ** 2 for m, (_, degrees) in zip(measured, sources, strict=True))
    # Satterthwaite's approximation is up to 2 points off where one source is known from three values
    assert np.mean(means**2 > half) == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / runs) + 0.01)


@pytest.mark.parametrize(("n_seeds", "difference"), [(3, 0.03), (5, 0.02)])
def test_power_with_seeds_is_how_often_the_estimate_finds_it(n_seeds, difference):
    rng, of_seed, of_episode, rest, runs = np.random.default_rng(2), 0.008, 0.05, 0.04, 400
    found = 0
    for _ in range(runs):
        values = difference + of_seed * rng.normal(size=(n_seeds, 1)) + of_episode * rng.normal(size=(1, 60))
        found += of_seeds_and_episodes(values + rest * rng.normal(size=values.shape), 1e-6).p_value() <= 0.05
    floor = of_seed / math.sqrt(n_seeds)
    seeds = Source(math.hypot(floor, rest / math.sqrt(60 * n_seeds)), n_seeds - 1, floor)
    assert found / runs == pytest.approx(
        power_of(spread(of_episode, 60, seeds), difference), abs=3 * math.sqrt(0.25 / runs)
    )
