"""What a statistician does: export, simulate with known truth, import, and ask every command."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

JSON_COLUMNS = ("cell_facts", "training_facts", "curves", "unmeasured")


CLAIMS = """
schema = 1
source = "a simulation"
ways = [4]
shots = [1, 5]
[[claims]]
id = "true"
sentence = "ProtoNet is better."
where = "here"
reading = "ProtoNet beats transfer at every number of shots."
quantifier = "all"
kind = "better"
better = ["protonet"]
worse = ["transfer"]
[[claims]]
id = "false"
sentence = "Transfer is better."
where = "here"
reading = "Transfer beats ProtoNet at every number of shots."
quantifier = "all"
kind = "better"
better = ["transfer"]
worse = ["protonet"]
"""


def simulated(real: pd.DataFrame, truth: dict[str, float], n_episodes: int) -> pd.DataFrame:
    """As many episodes as are wanted of each cell, with counts drawn from a known accuracy."""
    more = []
    for _, cell in real.groupby("cell_key", sort=False):
        longer = cell.set_index("number").reindex(range(n_episodes)).rename_axis("number").reset_index()
        words = [name for name in cell.columns if name not in ("number", "episode_id", "answers", *JSON_COLUMNS)]
        longer[words] = longer[words].ffill()
        longer["episode_id"] = [f"{i:016x}" for i in range(n_episodes)]  # equal in all cells: they pair
        more.append(longer)
    table = pd.concat(more)
    told = json.loads(table["unmeasured"].dropna().iloc[0]) | {"data_sets": []}  # these episodes are none of the data's
    table["unmeasured"] = [json.dumps(told)] + [""] * (len(table) - 1)
    table["n_correct"] = np.random.default_rng(0).binomial(table.n_queries.astype(int), table.variant.map(truth))
    return table


@pytest.mark.slow
def test_a_statistician_simulates_a_database_with_known_truth(place, bench):
    """Export a real one, replace the counts, import into a new folder, and ask every command there."""
    assert bench("run", "-q").code == 0
    bench("export", "-o", "real.csv")
    assert bench("import", "real.csv", "--out", "copy").code == 0
    for format_ in ("markdown", "csv"):
        reports = [bench("report", "--format", format_, "--out", out) for out in ("out", "copy")]
        assert (reports[0].code, reports[0].out) == (0, reports[1].out)
    table = simulated(
        pd.read_csv("real.csv", dtype=dict.fromkeys(("cell_key", "training_key", "episode_id"), str)),
        {"transfer": 0.3, "protonet": 0.7},
        n_episodes=40,
    )
    table.to_csv("simulated.csv", index=False)
    refused = bench("import", "simulated.csv", "--out", "simulated")
    assert (refused.code, Path("simulated").exists()) == (2, False)
    assert "drop the column answers if the counts are not those of these answers (simulated" in refused.err
    table.drop(columns="answers").to_csv("simulated.csv", index=False)
    assert bench("import", "simulated.csv", "--out", "simulated").out.startswith("imported: 4 cells new, 0 extended")

    there = ("--episodes", "40", "--out", "simulated")
    report = bench("report", "--format", "json", *there).out
    means = (table.n_correct / table.n_queries).groupby([table.variant, table.n_shot]).mean()
    shown = [float(number) for number in re.findall(r"0\.\d+", report)]
    assert all(any(number == pytest.approx(mean, abs=1e-9) for number in shown) for mean in means)
    assert "simulated.csv, SHA-256" in report  # whoever reads the table learns where it is from
    assert bench("report", "-q", *there).code == 0
    Path("claims.toml").write_text(CLAIMS)
    assert "1 supported, 1 refuted" in bench("claims", "--claims", "claims.toml", *there).out
    compared = json.loads(bench("compare", "protonet", "transfer", "--json", *there).out)["comparisons"]
    assert [(c["n_episodes"], c["verdict"]) for c in compared] == [(40, "higher")] * 2
    assert all(c["mean"] == pytest.approx(0.4, abs=0.1) for c in compared)
    assert bench("check", "--against", "truth.json", "--write", *there).code == 0
    assert bench("check", "--against", "truth.json", *there).out.startswith("Identical")
    assert bench("check", "--against", "truth.json").out.splitlines()[1].startswith("4 cells: ")
    conflict = bench("import", "simulated.csv")
    assert conflict.code == 2
    assert "of these data is" in conflict.err  # the database there knows its data set's episodes
