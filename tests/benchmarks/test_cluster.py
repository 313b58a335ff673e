"""The simulation of a cluster, on an export of two trainings."""

import json

import pandas as pd
import pytest

from benchmarks.cluster import table, work_of
from fewshot_bench.config import load


@pytest.fixture
def export(tmp_path):
    def row(cell: str, method: str, number: int, seed: int = 0) -> dict:
        return {
            "cell_key": cell, "method": method, "training_key": f"{method}{seed}", "n_way": 5, "n_shot": 1,
            "seed": seed, "number": number, "cell_facts": json.dumps({"seconds": 4.0}),
            "training_facts": json.dumps({"seconds": 10.0, "iteration": 0 if method == "untrained" else 1000}),
        }  # fmt: skip

    rows = [row("a", "maml", 0), row("a", "maml", 1), row("b", "maml", 0), row("c", "untrained", 0)]
    path = tmp_path / "export.csv"
    pd.DataFrame([*rows, row("d", "maml", 0, seed=1)]).to_csv(path)
    return path


def test_durations_are_those_of_the_budget_paper(export):
    budget = load().budgets["paper"]
    n = budget.episodes_at(5, 1)
    assert work_of(export) == [(0.01 * budget.iterations["maml"], (2.0 * n, 4.0 * n)), (0.0, (4.0 * n,))]


def test_a_row_for_each_number_of_seeds():
    lines = table([(3600.0, (1800.0, 1800.0))], [1, 2]).splitlines()
    assert lines[2] == "| 1 | 1 | 2 | 2.0 h (1.0×) | 1.5 h (1.3×) | 1.5 h (1.3×) | 2.0 h (1.0×) |"
    assert lines[3].startswith("| 2 | 2 | 4 | 4.0 h (1.0×) | 1.5 h (2.7×)")
