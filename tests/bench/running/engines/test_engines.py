"""The same grid through an engine is the same grid, whoever is killed on the way."""

import os
import re

import psycopg
import pytest

from fewshot_bench.results.store import Reader

SLOW = "[budgets.slow]\niterations = { other = 4000 }\nepisodes = { 1 = 6 }\nadaptation = {}\n"


@pytest.fixture
def elsewhere(place, cluster, new_database, monkeypatch):
    """A workplace with a database on a server, and the words that name the engine."""
    monkeypatch.setenv("BENCH_DB", new_database())
    place.add(SLOW)
    return ["run", *cluster.ready()]


def rows() -> dict:
    reader = Reader(os.environ["BENCH_DB"])
    weights = {key: training.checkpoint for key, training in reader.trainings().items()}
    return {"weights": weights, "episodes": reader.episodes(list(reader.cells()))}


def at_work() -> list[int]:
    """Processes that hold a claim."""
    if not (counts := Reader(os.environ["BENCH_DB"]).counts()):
        return []
    return [int(re.match(r"process (\d+) of", unit["who"])[1]) for unit in counts.at_work]


def local(bench, *words) -> dict:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("BENCH_DB")
        assert bench("run", *words, "--out", "local").code == 0
        patched.setenv("BENCH_DB", "local/results.sqlite")
        return rows()


def test_a_grid_is_the_same_grid(elsewhere, bench):
    ran = bench(*elsewhere, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) == 4
    assert rows() == local(bench)
    with psycopg.connect(os.environ["BENCH_DB"]) as c:
        runs = c.execute("SELECT facts, exit_code FROM runs").fetchall()
    assert len(runs) == 6  # two trainings, four cells
    assert {code for _, code in runs} == {0}
    assert all("job" in facts for facts, _ in runs)
    assert bench(*elsewhere).code == 0  # nothing is left
    assert Reader(os.environ["BENCH_DB"]).counts().runs == 6
