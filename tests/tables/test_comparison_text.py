"""`bench compare` in a terminal."""

from fewshot_bench.tables.comparison_text import render_comparisons
from fewshot_bench.tables.pairs import Comparison
from fewshot_bench.tables.statistics.estimate import Estimate, Source


def test_columns_stay_apart_where_the_numbers_are_longest():
    """Signs and two digits at both ends, and a p that is too small to print."""
    estimate = Estimate(0.2111, (Source(0.025, 11.0),))
    found = Comparison("one", "two", 35, 100, (0,), 600, 0.2111, estimate, 2.0, 1e-7, 0.3, False, 6, 6e-7)
    lines = render_comparisons([found], "text").splitlines()
    row = next(line for line in lines if "35-way 100-shot" in line)
    assert " ".join(row.split()) == "35-way 100-shot 600 +21.11 +15.61 to +26.61 < 0.0001 < 0.0001 higher"
    assert all(len(line) <= 80 for line in lines)
