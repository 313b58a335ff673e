"""What other pairs tell of the variance between seeds: recovered where it is known, and no more found than there is."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, Source, of_episodes, of_seeds_and_episodes
from fewshot_bench.tables.statistics.power import power_of, seeds_to_separate
from fewshot_bench.tables.statistics.seeds import Spread, lent, spread_of


@pytest.mark.parametrize(("degrees", "own"), [(3.0, 2), (8.0, 2), (12.0, 4)])
def test_what_variances_were_drawn_from_is_found(degrees, own):
    rng, n = np.random.default_rng(5), 100_000
    true = 0.02**2 * degrees / rng.chisquare(degrees, n)
    found = spread_of(true * rng.chisquare(own, n) / own, np.full(n, own), 1000)
    assert found.degrees == pytest.approx(degrees, rel=0.1)
    assert found.variance == pytest.approx(0.02**2, rel=0.05)


def test_pairs_that_vary_alike_are_worth_all_that_there_is():
    alike = spread_of(np.full(15, 0.01**2), np.full(15, 2), 10.0)
    assert (alike.degrees, alike.most) == (10, 10)
    assert alike.borrowed(2) == 4  # half of what is left
    assert alike.borrowed(1) == 0  # two seeds


@pytest.mark.parametrize("variances", [[], [1e-4], [1e-4, 2e-4]])
def test_too_few_pairs_tell_nothing(variances):
    assert spread_of(np.array(variances), np.full(len(variances), 2), 4) is None


def test_what_is_lent_lies_between_and_never_below_the_pairs_own():
    values = np.array([[0.10, 0.14, 0.08], [0.16, 0.21, 0.13], [0.06, 0.09, 0.07]])
    own = of_seeds_and_episodes(values)
    seeds, variance = own.seeds, float(np.var(values.mean(axis=1), ddof=1))
    assert seeds.error == pytest.approx(math.sqrt(variance / 3))
    more = lent(own, Spread(4 * variance, 6.0, 28.0), 20).seeds
    assert more.degrees == 2 + 3
    assert more.error**2 == pytest.approx((3 * 4 + 2 * 1) / 5 * variance / 3)
    assert more.error**2 - more.lasting**2 == pytest.approx(seeds.error**2 - seeds.lasting**2)  # of the episodes
    less = lent(own, Spread(variance / 4, 6.0, 28.0), 20).seeds
    assert (less.error, less.lasting, less.degrees) == pytest.approx((seeds.error, seeds.lasting, 5.0))
    assert lent(own, Spread(4 * variance, 6.0, 28.0), 20).sources[1:] == own.sources[1:]


def test_what_has_no_seeds_of_its_own_borrows_nothing():
    spread = Spread(1e-4, 6.0, 28.0)
    one, two = of_episodes(np.array([0.1, 0.2, 0.3])), of_seeds_and_episodes(np.array([[0.1, 0.2], [0.4, 0.3]]))
    new = replace(one, sources=(*one.sources, Source(0.1, 11, 0.1)), new_classes=True)
    for estimate in (one, two, new):
        assert lent(estimate, spread, 20) is estimate
    assert lent(two, None, 20) is two
    assert lent(None, spread, 20) is None


def alike(rng, n):
    return np.ones(n)


def unlike(rng, n):
    return np.exp(0.7 * rng.normal(size=n))


def one_of_six(rng, n):
    """One method whose seeds vary six times as much as the others'."""
    return np.where(np.arange(n) == 0, 6.0, 1.0)


def world(rng, deviations, n_seeds, n_episodes, lead=0.0):
    """(variants, S, E): accuracies that training seeds move by so much, and episodes by as much again."""
    seeds = deviations[:, None] * rng.normal(size=(len(deviations), n_seeds))
    noise = rng.normal(size=(len(deviations), n_seeds, n_episodes))
    values = 50 + seeds[..., None] + 2 * noise + 5 * rng.normal(size=n_episodes)
    values[-1] += lead
    return values / 100


def family(values):
    """Each pair's own estimate, and as it is corrected."""
    first, second = np.array([*combinations(range(len(values)), 2)]).T
    differences = values[first] - values[second]
    pairs = [of_seeds_and_episodes(one) for one in differences]
    variances = differences.mean(axis=2).var(axis=1, ddof=1)
    own = values.shape[1] - 1
    spread = spread_of(variances, np.full(len(variances), own), own * (len(values) - 1))
    return [(pair, lent(pair, spread, 20)) for pair in pairs]


def shown(pairs):
    """Whether each pair differs, corrected for all of them."""
    return [abs(e.mean) > e.half_width(1 - ALPHA / len(pairs)) for _, e in pairs]


@pytest.mark.parametrize(
    ("n_variants", "n_seeds", "deviations"),
    [(3, 3, unlike), (3, 3, one_of_six), (6, 3, unlike), (6, 3, one_of_six), (6, 5, unlike)],
)
def test_equal_methods_are_told_apart_in_at_most_five_worlds_of_a_hundred(n_variants, n_seeds, deviations):
    rng, times = np.random.default_rng(n_variants), 1000
    found = [any(shown(family(world(rng, deviations(rng, n_variants), n_seeds, 20)))) for _ in range(times)]
    assert np.mean(found) <= 0.05 + 2.6 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.slow
def test_many_methods_of_which_one_varies_most_are_the_worst_case():
    """Its pairs borrow from many that vary less, and more than their own variance is needed to know it."""
    rng, times = np.random.default_rng(15), 1000
    found = [any(shown(family(world(rng, one_of_six(rng, 15), 3, 20)))) for _ in range(times)]
    assert 0.04 < np.mean(found) <= 0.08 + 2 * (0.08 * 0.92 / times) ** 0.5


def test_three_seeds_of_seven_methods_show_what_their_own_variance_hides():
    """Of a difference that is five times a seed's deviation, between the first variant and the last."""
    rng = np.random.default_rng(3)
    worlds = [family(world(rng, alike(rng, 7), 3, 20, lead=5.0)) for _ in range(100)]
    assert np.mean([shown([(own, own) for own, _ in pairs])[5] for pairs in worlds]) < 0.3
    assert np.mean([shown(pairs)[5] for pairs in worlds]) > 0.6


def test_power_of_a_borrowing_test_is_how_often_it_finds_a_difference():
    rng = np.random.default_rng(4)
    worlds = [family(world(rng, alike(rng, 7), 3, 20, lead=3.0)) for _ in range(300)]
    last, found = [pairs[5][1] for pairs in worlds], np.mean([shown(pairs)[5] for pairs in worlds])
    error = [math.sqrt(np.mean([e.sources[i].error ** 2 for e in last if len(e.sources) > i])) for i in range(2)]
    average = Estimate(
        -0.03, (Source(error[0], float(np.mean([e.sources[0].degrees for e in last]))), Source(error[1], 19))
    )
    assert power_of(average, 0.03, ALPHA / 21) == pytest.approx(found, abs=0.1)


def test_more_seeds_keep_what_is_borrowed():
    seeds = Source(0.02, 2 + 4, lasting=0.02)
    borrowed, own = Estimate(0.0, (seeds,)), Estimate(0.0, (replace(seeds, degrees=2),))
    fewer, more = (seeds_to_separate(e, 3, 0.08, 0.8, ALPHA / 21) for e in (borrowed, own))
    assert fewer < more
    for n, yes in ((fewer, True), (fewer - 1, False)):
        there = Estimate(0.0, (Source(0.02 * math.sqrt(3 / n), n - 1 + 4),))
        assert (power_of(there, 0.08, ALPHA / 21) >= 0.8) == yes
    assert seeds_to_separate(borrowed, 3, 0.3, 0.8, ALPHA / 21) == 3  # two borrow nothing


def test_what_classes_add_stays_what_it_is():
    of_classes = Estimate(0.1, (Source(0.02, 2, lasting=0.01), Source(0.01, 39), Source(0.03, 11, 0.03)), True)
    drawn = lent(of_classes, Spread(0.03**2, 8.0, 8.0), 20)
    assert drawn.sources[1:] == of_classes.sources[1:]
    assert drawn.here.seeds.degrees == 5
