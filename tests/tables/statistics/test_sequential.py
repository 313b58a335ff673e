"""Group-sequential boundaries: published values, another route to them, and simulated runs without a difference."""

import math

import numpy as np
import pytest
from scipy import special

from fewshot_bench.tables.statistics.estimate import of_seeds_and_episodes
from fewshot_bench.tables.statistics.sequential import (
    as_z,
    boundaries,
    fractions_of,
    planned_looks,
    separated,
    spent,
)

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
DOUBLING = (0.125, 0.25, 0.5, 1.0)


def test_the_published_boundaries():
    # Lan and DeMets 1983; Reboussin et al. 2000: O'Brien-Fleming type, two-sided 0.05, five equal looks
    assert boundaries(FIFTHS) == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=6e-4)
    # the same for three looks, and one-sided 0.025 is two-sided 0.05
    assert boundaries((1 / 3, 2 / 3, 1.0)) == pytest.approx((3.710, 2.511, 1.993), abs=6e-4)


def test_one_look_is_the_ordinary_test():
    assert boundaries((1.0,)) == pytest.approx((1.959964,), abs=1e-6)
    assert spent(1.0, 0.01) == pytest.approx(0.01)


def test_nearly_nothing_is_spent_early():
    assert spent(0.2) == pytest.approx(2 * 5.4e-7, rel=0.02)
    assert spent(0.5) == pytest.approx(2 * 0.001525, rel=0.01)


def test_boundaries_cross_as_often_as_was_spent():
    """By simulated sums of normal increments, look by look."""
    rng, runs = np.random.default_rng(3), 200_000
    fractions = (0.3, 0.45, 0.9, 1.0)
    steps = rng.normal(size=(runs, 4)) * np.sqrt(np.diff(fractions, prepend=0.0))
    z = np.abs(np.cumsum(steps, axis=1) / np.sqrt(fractions))
    beyond = z >= np.array(boundaries(fractions, 0.2))
    for look, fraction in enumerate(fractions, start=1):
        share = beyond[:, :look].any(axis=1).mean()
        assert share == pytest.approx(spent(fraction, 0.2), abs=3 * math.sqrt(0.16 / runs))


def test_a_larger_share_never_makes_a_look_stricter():
    """Holm's handing-on needs it: what was separated stays so."""
    shares = [0.05 / n for n in range(1, 40)]
    limits = np.array([boundaries(DOUBLING, share) for share in shares])
    assert (np.diff(limits, axis=0) > 0).all()


def test_a_look_too_early_to_spend_anything_separates_nothing():
    limits = boundaries((1e-4, 1.0), 1e-3)
    assert limits[0] == math.inf
    assert limits[1] == pytest.approx(boundaries((1.0,), 1e-3)[0], abs=1e-6)
    assert separated([[math.inf]], [(1e-4, 1.0)]) == [True]  # p = 0 to the last bit


@pytest.mark.parametrize(
    ("first", "most", "looks"),
    [(60, 480, (60, 120, 240, 480)), (60, 400, (60, 120, 240, 400)), (60, 60, (60,)), (60, 61, (60, 61)),
     (60, 120, (60, 120)), (1, 8, (1, 2, 4, 8))],
)  # fmt: skip
def test_looks_double_and_end_at_the_maximum(first, most, looks):
    assert planned_looks(first, most) == looks
    assert fractions_of(looks)[-1] == 1.0


def test_z_of_a_p_value():
    assert as_z(0.05) == pytest.approx(1.959964)
    assert as_z(1.0) == 0.0
    assert as_z(0.0) == math.inf
    assert as_z(1e-250) > 33


def test_a_separated_pair_hands_its_share_on():
    last = boundaries((1.0,), 0.05 / 2)[0]
    between = (boundaries((1.0,))[0] + last) / 2
    assert separated([[between], [0.0]], [(1.0,)] * 2) == [False, False]
    assert separated([[between], [5.0]], [(1.0,)] * 2) == [True, True]
    assert separated([[between], [5.0], [0.0]], [(1.0,)] * 3) == [False, True, False]


def test_without_a_family_of_several_it_is_holm():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(4)
    for _ in range(5):  # statsmodels collects garbage at each call
        p = rng.uniform(size=60) ** 4
        assert separated([[as_z(x)] for x in p], [(1.0,)] * 60) == list(multipletests(p, method="holm")[0])


def test_what_was_separated_at_a_look_stays_so():
    z = [[11.0], [2.0]]
    assert separated(z, [DOUBLING] * 2) == [True, False]
    assert separated([[11.0, 1.0], [2.0, 2.5]], [DOUBLING] * 2) == [True, False]


def z_at_looks(values, looks):
    """|z| of the t statistics (..., n_looks) of the first so many of values (..., E)."""
    total, squares = np.cumsum(values, -1), np.cumsum(values**2, -1)
    z = []
    for n in looks:
        mean = total[..., n - 1] / n
        deviation = np.sqrt(np.maximum((squares[..., n - 1] - n * mean**2) / (n - 1), 1e-8))
        z.append(-special.ndtri(special.stdtr(n - 1, -np.abs(mean) / deviation * math.sqrt(n))))
    return np.stack(z, -1)


@pytest.mark.parametrize("first", [4, 20])
def test_seven_variants_without_a_difference_are_rarely_separated(first):
    """2,000 runs: 21 correlated pairs, accuracies of 75 queries, stopping as soon as any pair is separated."""
    rng, runs, looks = np.random.default_rng(5), 2000, planned_looks(first, 8 * first)
    shared = rng.normal(0.6, 0.08, (runs, 1, looks[-1]))  # an episode is hard for every variant
    accuracy = rng.binomial(75, np.clip(shared + rng.normal(0, 0.04, (runs, 7, looks[-1])), 0, 1)) / 75
    pairs = np.stack([accuracy[:, a] - accuracy[:, b] for a in range(7) for b in range(a)], 1)  # (runs, 21, E)
    z = z_at_looks(pairs, looks)
    planned = [fractions_of(looks)] * 21
    alarms = sum(any(separated(run, planned)) for run in z.tolist())
    within = 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
    assert alarms / runs <= within
    assert alarms > 0
    # the same looks without spending, and without a correction for 21 pairs, would find something nearly always
    assert (z >= 1.96).any(axis=(1, 2)).mean() > 0.5
    # spending alone, a pair at a time, holds its own error rate and uses it
    alone = (z >= np.array(boundaries(fractions_of(looks)))).any(axis=2)
    assert 0.03 < alone.mean() <= 0.055


def test_pairs_that_differ_do_not_cost_the_others_their_error_rate():
    """Three of seven variants are better: 12 pairs are soon separated, the 9 others still rarely."""
    rng, runs, looks = np.random.default_rng(6), 2000, (20, 40, 80, 160)
    quality = np.array([0.0, 0, 0, 0, 0.3, 0.3, 0.3])
    values = rng.normal(size=(runs, 1, 160)) + 0.4 * rng.normal(size=(runs, 7, 160)) + quality[None, :, None]
    names = [(a, b) for a in range(7) for b in range(a)]
    z = z_at_looks(np.stack([values[:, a] - values[:, b] for a, b in names], 1), looks)
    same = np.array([quality[a] == quality[b] for a, b in names])
    found = np.array([separated(run, [fractions_of(looks)] * 21) for run in z.tolist()])
    assert found[:, ~same].mean() > 0.9
    assert 0 < found[:, same].any(axis=1).mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_seeds_that_differ_do_not_break_the_error_rate(n_seeds):
    """The looks then depend on one another more than was assumed, which errs on the safe side."""
    rng, runs, looks = np.random.default_rng(7), 1000, (20, 40, 80, 160)
    planned, alarms = [fractions_of(looks)], 0
    for _ in range(runs):
        noise, episodes = rng.normal(size=(n_seeds, 160)), rng.normal(size=(1, 160))
        values = 0.01 * rng.normal(size=(n_seeds, 1)) + 0.05 * episodes + 0.04 * noise
        z = [as_z(of_seeds_and_episodes(values[:, :n], 0.004).p_value()) for n in looks]
        alarms += separated([z], planned)[0]
    assert alarms / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
