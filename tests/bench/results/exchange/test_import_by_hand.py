"""`bench import`: tables that went through other programs, or were written by hand."""

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from fewshot_bench.results.store import Reader

OURS = "out/results.sqlite"


def test_through_pandas_and_back(filled, bench, stored):
    """Index column, 12.0 for 12, shuffled rows, a column more: still the same results."""
    bench("export", "-o", "all.csv")
    table = pd.read_csv("all.csv", dtype={"cell_key": str, "training_key": str, "episode_id": str})
    table["accuracy"] = table.n_correct / table.n_queries
    table["n_correct"] = table.n_correct.astype(float)
    table.sample(frac=1, random_state=0).to_csv("shuffled.csv", na_rep="NA")
    assert ",0.0," in Path("shuffled.csv").read_text()
    assert bench("import", "shuffled.csv", "--out", "again").code == 0
    assert stored(OURS) == stored("again/results.sqlite")


def test_pandas_reads_a_long_table_with_the_types_of_the_help(filled, bench):
    """pandas guesses types for 32,768 rows at a time: those with JSON are not like the others."""
    (named,) = re.findall(r"dict\.fromkeys\(\[(.*?)\], str\)", bench("export", "--help").out, re.DOTALL)
    columns = re.findall(r"\w+", named)
    bench("export", "-o", "all.csv")
    first = pd.read_csv("all.csv", dtype=str)
    rest = first.assign(cell_facts="", training_facts="", curves="", unmeasured="")
    pd.concat([first, *[rest] * (40_000 // len(rest))]).to_csv("long.csv", index=False)
    with pytest.warns(pd.errors.DtypeWarning):
        pd.read_csv("long.csv")
    table = pd.read_csv("long.csv", low_memory=False, dtype=dict.fromkeys(columns, str))  # a warning is an error
    assert set(columns) <= set(table)
    assert table.cell_key[0] == first.cell_key[0]


def test_as_a_spreadsheet_saves_it(filled, bench, stored):
    bench("export", "-o", "all.csv")
    text = Path("all.csv").read_text(encoding="utf-8")
    Path("windows.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert bench("import", "windows.csv", "--out", "again").code == 0
    assert stored(OURS) == stored("again/results.sqlite")
    rows = list(csv.reader(text.splitlines()))
    for name, delimiter in (("semicolons", ";"), ("tabs", "\t")):  # where a comma is the decimal point; copied out
        with Path(name).open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([*rows, [""] * len(rows[0])])
        assert bench("import", name, "--out", f"from {name}").code == 0
        assert stored(OURS) == stored(f"from {name}/results.sqlite")


def by_hand(cell, n: int, n_correct: int | None = None) -> list[dict[str, str]]:
    """Only what is needed, for a cell that the database knows."""
    return [
        {
            "cell_key": cell.key,
            "number": str(i),
            "episode_id": f"{i:016x}",
            "n_correct": str(i % 12 if n_correct is None else n_correct),
            "n_queries": "12",
        }
        for i in range(n)
    ]


def test_five_columns_extend_a_cell_that_the_database_knows(filled, bench, cell, write):
    write("more.csv", by_hand(cell, 9))
    ran = bench("import", "more.csv")
    assert ran.out.splitlines() == [
        "imported: 0 cells new, 1 extended, 0 equal",
        "6 equal episodes of unknown origin, which is no independent evidence",
        "no weights came for 1 training: `bench replay` of such cells will need --retrain",
    ]
    assert [e.n_correct for e in Reader(OURS).episodes([cell.key])[cell.key]] == list(range(9))
    assert len(Reader(OURS).answers([cell.key])[cell.key]) == 5  # those that were there
    assert bench("import", "more.csv").out.startswith("imported: nothing new; 1 cell equal\n9 equal episodes of unk")


def test_nothing_is_overwritten(filled, bench, cell, write):
    write("other.csv", by_hand(cell, 9, n_correct=5))
    before = Path(OURS).read_bytes()
    ran = bench("import", "other.csv")
    assert ran.code == 6
    assert len(ran.out.splitlines()) == 5  # all but the episode in which 5 are right
    assert f"{cell.name}  episode    0  {0:016x}  ours 0/12  theirs 5/12" in ran.out
    assert "other.csv contradicts our results: 5 episodes of 1 cell with other counts (1 with equal ones)" in ran.err
    assert Path(OURS).read_bytes() == before


def test_a_dry_run_imports_nothing(filled, bench, tmp_path):
    bench("export", "-o", "all.csv")
    before = sorted(tmp_path.rglob("*"))
    assert bench("import", "all.csv", "--out", "again", "-n").out.startswith("would import: 3 cells new")
    assert sorted(tmp_path.rglob("*")) == before
    assert json.loads(bench("import", "all.csv", "--json").out)["proof"]["n_copied"] == 11


@pytest.mark.usefixtures("place")
def test_episodes_that_the_data_say_are_others_are_refused(bench, read, write):
    """The outline is in the file, or in the database; without one nothing can be said."""
    assert bench("run", "-q", "--method", "protonet").code == 0
    assert bench("export", "-o", "all.csv").code == 0
    rows = read("all.csv")
    assert bench("import", "all.csv", "--out", "again").code == 0
    true, rows[2]["episode_id"] = rows[2]["episode_id"], "0" * 16
    write("other.csv", rows)
    for out in ("new", "again"):
        ran = bench("import", "other.csv", "--out", out)
        assert ran.code == 2
        assert f"row 4, column episode_id: episode 2 of these data is {true}: these results are of others" in ran.err
    rows[0]["unmeasured"] = ""
    write("unknown.csv", rows)
    assert bench("import", "unknown.csv", "--out", "new").code == 0
    assert bench("import", "unknown.csv", "--out", "again").code == 2
