"""Power against published tables, another route to the same numbers, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.statistics.estimate import Source, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import episodes_to_separate, power_of, smallest_difference


@pytest.mark.parametrize(
    ("effect", "two_sided", "n"),
    # Faul et al. 2007 (G*Power), matched pairs, alpha 0.05, power 0.8
    [(0.2, True, 199), (0.5, True, 34), (0.8, True, 15), (0.2, False, 156), (0.5, False, 27), (0.8, False, 12)],
)
def test_the_published_sample_sizes_of_matched_pairs(effect, two_sided, n):
    assert episodes_to_separate(1.0, effect, two_sided=two_sided) == n


@pytest.mark.parametrize("n", [2, 3, 10, 60, 600])
@pytest.mark.parametrize("difference", [0.0, 0.001, 0.02, -0.02, 0.3])
def test_power_is_that_of_the_noncentral_t(n, difference):
    shift, limit = difference / 0.08 * math.sqrt(n), stats.t.isf(0.025, n - 1)
    upper, lower = stats.nct.sf(limit, n - 1, abs(shift)), stats.nct.cdf(-limit, n - 1, abs(shift))
    assert power_of(0.08, difference, n) == pytest.approx(upper + np.nan_to_num(lower), abs=1e-6)


def test_power_is_how_often_a_t_test_finds_it():
    draws = np.random.default_rng(1).normal(0.02, 0.08, (20_000, 60))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).mean()
    assert power_of(0.08, 0.02, 60) == pytest.approx(found, abs=3 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("seeds", [None, Source(0.002, 2), Source(0.001, 4)])
@pytest.mark.parametrize("difference", [0.2, 0.03, 0.015])
def test_the_fewest_episodes_are_enough_and_one_fewer_are_not(seeds, difference):
    n = episodes_to_separate(0.08, difference, 0.9, seeds=seeds)
    assert power_of(0.08, difference, n, seeds=seeds) >= 0.9
    assert power_of(0.08, difference, n - 1, seeds=seeds) < 0.9
    assert episodes_to_separate(0.08, -difference, 0.9, seeds=seeds) == n


def test_what_no_number_of_episodes_shows():
    assert episodes_to_separate(0.08, 0.0) is None
    assert episodes_to_separate(1.0, 1e-9) is None
    assert power_of(0.08, 0.5, 1) == 0.0
    assert smallest_difference(0.08, 1) is None


def test_power_rises_with_the_difference_even_for_two_episodes():
    rising = [power_of(1.0, difference, 2) for difference in np.arange(0, 40, 0.5)]
    assert (np.diff(rising) > 0).all()


def test_an_enormous_effect_is_certain():
    for effect in (1e2, 1e4, 1e8):
        assert power_of(1.0, effect, 2) == pytest.approx(1.0)
        assert power_of(1.0, effect, 600) == 1.0
        assert episodes_to_separate(1.0, effect) in (2, 3)


@pytest.mark.parametrize("seeds", [None, Source(0.01, 2)])
@pytest.mark.parametrize("n", [2, 6, 60, 600])
def test_the_smallest_visible_difference_is_seen_with_just_that_power(n, seeds):
    smallest = smallest_difference(0.08, n, 0.8, seeds=seeds)
    assert power_of(0.08, smallest, n, seeds=seeds) == pytest.approx(0.8, abs=1e-6)


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="deviation must be above 0"):
        power_of(0.0, 0.01, 60)
    with pytest.raises(ValueError, match="deviation must be above 0"):
        episodes_to_separate(0.0, 0.01)
    for power in (0.05, 1.0, float("nan")):
        with pytest.raises(ValueError, match="power must be between"):
            episodes_to_separate(0.08, 0.01, power)


def test_seeds_that_differ_little_change_nothing_and_those_that_differ_much_decide():
    assert power_of(0.08, 0.02, 60, seeds=Source(1e-9, 9)) == pytest.approx(power_of(0.08, 0.02, 60), abs=0.01)
    # three seeds whose means differ by more than the difference: infinitely many episodes are a t-test on three values
    floor = Source(0.01, 2)
    assert power_of(0.08, 0.03, 10**12, seeds=floor) == pytest.approx(power_of(0.01 * math.sqrt(3), 0.03, 3), abs=0.01)
    assert episodes_to_separate(0.08, 0.03, seeds=floor) is None
    assert episodes_to_separate(0.08, 0.08, seeds=floor) > episodes_to_separate(0.08, 0.08)


@pytest.mark.parametrize(("n_seeds", "difference"), [(3, 0.03), (5, 0.02)])
def test_power_with_seeds_is_how_often_the_estimate_finds_it(n_seeds, difference):
    rng, of_seed, of_episode, rest, runs = np.random.default_rng(2), 0.008, 0.05, 0.04, 400
    found = 0
    for _ in range(runs):
        values = difference + of_seed * rng.normal(size=(n_seeds, 1)) + of_episode * rng.normal(size=(1, 60))
        found += of_seeds_and_episodes(values + rest * rng.normal(size=values.shape), 1e-6).p_value() <= 0.05
    deviation = math.hypot(of_episode, rest / math.sqrt(n_seeds))
    power = power_of(deviation, difference, 60, seeds=Source(of_seed / math.sqrt(n_seeds), n_seeds - 1))
    assert found / runs == pytest.approx(power, abs=3 * math.sqrt(0.25 / runs))
