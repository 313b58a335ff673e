"""The views that other programs read."""

import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from fewshot_bench.results.frames import episodes, results


def test_they_say_what_the_library_says(run):
    with closing(sqlite3.connect(run.database)) as connection, connection:
        cells = pd.read_sql("SELECT * FROM accuracy ORDER BY cell_key", connection)
        rows = pd.read_sql("SELECT * FROM accuracy_by_episode ORDER BY cell_key, number", connection)
    ours = results(run.folder / "out").sort_values("cell_key", ignore_index=True)
    assert list(cells["cell_key"]) == list(ours["cell_key"])
    assert list(cells["accuracy"]) == pytest.approx(list(ours["accuracy"]))
    assert list(cells["n_episodes"]) == list(ours["n_episodes"])
    each = episodes(run.folder / "out").sort_values(["cell_key", "number"], ignore_index=True)
    assert list(rows["episode_id"]) == list(each["episode_id"])
    assert list(rows["accuracy"]) == pytest.approx(list(each["accuracy"]))


def test_another_view_of_their_name_is_refused(run, bench):
    with closing(sqlite3.connect(run.database)) as connection, connection:
        connection.execute("DROP VIEW accuracy")
        connection.execute("CREATE VIEW accuracy AS SELECT * FROM cells")
    ran = bench("status")
    assert ran.code != 0
    assert "the view 'accuracy'" in ran.err
