"""Ranks over blocks: against published numbers, scipy by another route, and simulation."""

import numpy as np
import pytest
from scipy import stats

from fewshot_bench.tables.statistics.ranks import against_first, critical_difference, friedman_p, mean_ranks

# Demsar (2006), Table 6: AUC of C4.5 and three variants on 14 data sets
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip


def test_worked_example_of_demsar():
    assert mean_ranks(DEMSAR) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    ties = (4**3 - 4) + 3 * (2**3 - 2)  # one row of four, three of two; the paper's 9.28 is not corrected for them
    statistic = stats.chi2.isf(friedman_p(DEMSAR), 3)
    assert statistic * (1 - ties / (14 * (4**3 - 4))) == pytest.approx(9.28, abs=0.01)
    assert critical_difference(4, 14) == pytest.approx(2.569 * (20 / 84) ** 0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("n_treatments", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (7, 2.949), (10, 3.164)]
)  # Demsar's Table 5
def test_critical_difference_has_demsars_quantiles(n_treatments, quantile):
    error = (n_treatments * (n_treatments + 1) / (6 * 9)) ** 0.5
    assert critical_difference(n_treatments, 9) == pytest.approx(quantile * error, abs=1e-3)


def test_nine_settings_and_seven_variants_need_three_ranks():
    assert critical_difference(7, 9) == pytest.approx(3.0, abs=0.01)


def test_ties_share_their_mean_rank_also_when_rounded_on_different_ways():
    assert list(mean_ranks(np.array([[0.5, 0.5, 0.1], [0.3, 0.2, 0.1]]))) == [1.25, 1.75, 3]
    assert list(mean_ranks(np.array([[0.1 + 0.2, 0.3, 0.1]]))) == [1.5, 1.5, 3]
    apart = np.array([[0.3, 0.2, 0.1], [0.1 + 0.2, 0.3, 0.1], [0.3, 0.2, 0.1]])
    tied = np.array([[0.3, 0.2, 0.1], [0.3, 0.3, 0.1], [0.3, 0.2, 0.1]])
    assert friedman_p(apart) == friedman_p(tied) == pytest.approx(stats.friedmanchisquare(*tied.T).pvalue)


def test_all_tied_is_no_difference():
    assert friedman_p(np.full((4, 3), 0.1)) == 1.0


def test_against_first_agrees_with_the_critical_difference():
    needed = critical_difference(7, 9)
    p_values = against_first([1.0, 1.0 + needed, 1.0 + 0.99 * needed, 1.0 + 1.01 * needed, 4, 5, 6], 9)
    assert p_values[0] == 1.0
    assert p_values[1] == pytest.approx(0.05, abs=1e-6)
    assert p_values[3] < 0.05 < p_values[2]


@pytest.mark.parametrize(("n_blocks", "n_treatments"), [(3, 3), (9, 7)])
def test_false_alarms_over_independent_blocks(n_blocks, n_treatments):
    rng = np.random.default_rng(n_blocks)
    n_grids = 1000
    friedman, nemenyi, first = 0, 0, 0
    needed = critical_difference(n_treatments, n_blocks)
    for _ in range(n_grids):
        values = rng.random((n_blocks, n_treatments))
        ranks = mean_ranks(values)
        friedman += friedman_p(values) <= 0.05
        nemenyi += bool(np.ptp(ranks) >= needed)
        first += min(against_first(list(ranks), n_blocks)) <= 0.05
    most = 0.05 + 2 * (0.05 * 0.95 / n_grids) ** 0.5
    assert max(friedman, nemenyi, first) / n_grids <= most


@pytest.mark.parametrize("n_treatments", [3, 7, 20])
def test_against_scipy(n_treatments):
    quantile = stats.studentized_range.ppf(0.95, n_treatments, np.inf)
    error = (n_treatments * (n_treatments + 1) / (6 * 9)) ** 0.5
    assert critical_difference(n_treatments, 9) == pytest.approx(quantile / 2**0.5 * error, rel=1e-9)
    ranks = [1.0, 1.1, 3.0, *np.linspace(3.0, 9.0, n_treatments - 3)]
    distances = (np.array(ranks[1:]) - 1) / error * 2**0.5
    expected = stats.studentized_range.sf(distances, n_treatments, np.inf)
    assert against_first(ranks, 9)[1:] == pytest.approx(expected, abs=1e-9)
    values = np.random.default_rng(n_treatments).integers(0, 5, (6, n_treatments)) / 4  # with ties
    assert mean_ranks(values) == pytest.approx(stats.rankdata(-values, axis=1).mean(axis=0), rel=1e-12)
    assert friedman_p(values) == pytest.approx(stats.friedmanchisquare(*values.T).pvalue, rel=1e-9)
