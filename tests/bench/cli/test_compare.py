"""`bench compare`: which cells it compares, and what it says where it cannot."""

import json
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.mark.usefixtures("run")
def test_two_variants_in_the_settings_that_both_have(bench):
    found = json.loads(bench("compare", "transfer", "protonet", "--json").out)["comparisons"]
    assert [(c["n_way"], c["n_shot"], c["n_episodes"]) for c in found] == [(4, 1, 6), (4, 5, 6)]
    one = json.loads(bench("compare", "transfer", "protonet", "-k", "not (protonet and 1s-s0)", "--json").out)
    assert [(c["n_shot"], c["p"] == c["p_corrected"], c["scope"]) for c in one["comparisons"]] == [
        (5, True, "for classes like these")
    ]
    assert bench("compare", "transfer", "protonet", "-k", "protonet").code == 5


@pytest.mark.usefixtures("run")
def test_two_databases_cell_by_cell(bench):
    shutil.copy("out/results.sqlite", "old.sqlite")
    told = bench("compare", "old.sqlite", "out", "--method", "transfer")
    assert told.code == 0
    assert told.out.count("equal counts\n") == 2
    assert "protonet" not in told.out
    assert bench("compare", "old.sqlite", "out", "-k", "nosuch").code == 5
    refused = bench("compare", "old.sqlite", "out", "--budget", "tiny")
    assert (refused.code, "--budget is not for two databases" in refused.err) == (2, True)
    for option in ("--novel-data", "--measured"):  # as it was typed
        refused = bench("compare", "old.sqlite", "out", option, "strokes")
        assert (refused.code, f"{option} is not for two databases" in refused.err) == (2, True)
    with closing(sqlite3.connect("old.sqlite")) as c, c:
        c.execute("DELETE FROM answers")
    c.close()
    assert bench("compare", "old.sqlite", "out").code == 0  # counts are enough


@pytest.mark.usefixtures("run")
def test_a_database_on_a_server_is_named_by_its_url(bench, new_database, monkeypatch):
    url = new_database()
    with monkeypatch.context() as patched:
        patched.setenv("BENCH_DB", url)
        assert bench("merge", "out").code == 0
    told = bench("compare", url, "out", "--method", "transfer")
    assert told.out.count("equal counts\n") == 2
    assert "bench@" not in told.out
    for other in (url, "out"):
        assert bench("check", "--against", other).out.startswith("Identical")
        refused = bench("check", "--against", other, "--write")
        assert (refused.code, "leaves a database alone" in refused.err) == (2, True)
    assert "no cell of one variant" in bench("compare", url, "out", "-k", "nosuch").err


@pytest.mark.usefixtures("run")
def test_one_key_with_other_answers_is_a_conflict(bench, monkeypatch):
    from fewshot_bench.results import comparisons
    from fewshot_bench.results.collect import stored_scores

    stored, asked = stored_scores, []

    def other_answers(reader, wanted):
        asked.append(reader)
        found = stored(reader, wanted)
        lost = len(asked) - 1  # none in the first database
        return {
            place: [
                replace(c, episodes=tuple(replace(e, n_correct=e.n_correct - lost) for e in c.episodes)) for c in cs
            ]
            for place, cs in found.items()
        }

    monkeypatch.setattr(comparisons, "stored_scores", other_answers)
    shutil.copy("out/results.sqlite", "old.sqlite")
    told = " ".join(bench("compare", "old.sqlite", "out").out.split())
    assert "with one key, so of one experiment, have other answers in the other database, " in told
    assert "4 of them with the same weights: a conflict, as `bench merge` says" in told
    assert "another seed may turn the order" not in told


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["transfer"], "not 1 names"),
        (["transfer", "transfer"], "compared with itself"),
        (["transfer", "nosuch.sqlite"], "nosuch.sqlite: no such file"),
        (["transfer", "out"], "out is a database: compare it with another one"),
        (["postgresql://me:pw@h/db", "transfer"], "postgresql://***@h/db is a database: compare it with another one"),
        (["transfer", "protonett"], "did you mean 'protonet'?"),
        (["transfer", "protonet", "--method", "transfer"], "--method is not for"),
    ],
)
@pytest.mark.usefixtures("run")
def test_mistakes_are_one_line(bench, names, said):
    told = bench("compare", *names)
    assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1)
    assert said in told.err


@pytest.mark.usefixtures("run")
def test_ranks_need_three_settings(bench):
    told = bench("compare")
    assert told.code == 5
    assert "ranks need 3 settings" in told.err


@pytest.mark.usefixtures("run")
def test_nothing_stored_leaves_an_earlier_report_alone(bench):
    assert bench("report", "-q").code == 0
    before = Path("out/table.tex").read_bytes()
    asked = ("report", "--budget", "smoke", "--method", "transfer", "--shot", "1")
    told = bench(*asked)
    assert told.code == 5
    assert "nothing is stored of these cells" in told.err
    assert re.search(
        r"\(grid tiny: photos\d* paper single smoke\); stored here: 4 cells of photos\d* paper single tiny;", told.err
    )
    assert Path("out/table.tex").read_bytes() == before
    make, why = (shlex.split(command) for command in re.findall("`bench ([^`]+)`", told.err))
    assert why == ["why", "transfer-4w1s-s0"]
    assert "changed since" in bench(*why, *make[1:]).out
    assert bench(*make).code == 0  # as it was pasted
    assert bench(*asked).code == 0
