"""Expected wall time of a pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_bench.experiment.plan import wall_seconds


@pytest.mark.parametrize(
    ("work", "jobs", "seconds"),
    [
        ([], 4, 0),
        ([(3, (1, 2))], 1, 6),
        ([(3, (1, 2))], 2, 5),  # cells wait for their training
        ([(1, ()), (5, ()), (1, ()), (1, ()), (2, ())], 2, 5),  # the longest first
        ([(4, (1, 1)), (2, (3,))], 2, 6),
    ],
)
def test_by_hand(work, jobs, seconds):
    assert wall_seconds(work, jobs) == seconds


SECONDS = st.floats(0, 9)
WORK = st.tuples(SECONDS, st.lists(SECONDS, max_size=4).map(tuple))


@given(st.lists(WORK, max_size=6), st.integers(1, 9))
def test_bounds(work, jobs):
    whole = sum(training + sum(cells) for training, cells in work)
    longest = max((training + max(cells, default=0) for training, cells in work), default=0)
    found = wall_seconds(work, jobs)
    assert found >= max(whole / jobs, longest) - 1e-9
    assert found <= whole + 1e-9
