"""Holm's correction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_bench.tables.statistics.estimate import holm


def by_hand(p_values):
    """Holm (1979): the k-th smallest of n times n - k + 1, never less than the one before, at most 1."""
    n, corrected, worst = len(p_values), [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (n - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


def test_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=30))
def test_against_the_definition(p_values):
    assert holm(p_values) == pytest.approx(by_hand(p_values))


def test_against_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(0).random(40) ** 3
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_nothing_and_one():
    assert holm([]) == []
    assert holm([0.03]) == [0.03]


def test_tiny_values_stay_apart():
    assert holm([1e-30, 1e-20, 1e-25]) == pytest.approx([3e-30, 1e-20, 2e-25])


def test_family_error_rate():
    rng = np.random.default_rng(0)
    n_families = 2000
    wrong = sum(min(holm(p)) <= 0.05 for p in rng.random((n_families, 9)))
    assert abs(wrong / n_families - 0.05) <= 2 * (0.05 * 0.95 / n_families) ** 0.5
