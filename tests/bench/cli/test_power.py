"""`bench power` from stored results to a table, and how a selection's number of episodes is overridden."""

import json
import re
import shlex

import pytest


@pytest.mark.usefixtures("run")
def test_each_setting_against_its_best(bench):
    ran = bench("power", "-v")
    assert (ran.code, ran.err) == (0, "")
    assert "The best of a setting is chosen by these same episodes" in ran.out
    assert re.search(r"^(4-way 1-shot: )?(transfer|protonet) minus", ran.out, re.M)
    assert len(re.findall(r" 6 +5 | 6 +1 ", ran.out)) == 2  # six episodes, of disjoint ones at most 5 and 1
    assert "two checkpoints, not of two methods" in ran.out


@pytest.mark.usefixtures("run")
def test_one_pair_and_all_pairs_as_json(bench):
    pair = json.loads(bench("power", "protonet", "transfer", "--json", "--margin", "5").out)
    assert [(p["first"], p["second"], p["n_shot"]) for p in pair["pairs"]] == [
        ("protonet", "transfer", 1), ("protonet", "transfer", 5)
    ]  # fmt: skip
    assert pair["margin"] == 0.05
    assert all(p["n_episodes"] == 6 for p in pair["pairs"])
    assert all(p["for_margin"]["seconds"] is None or p["for_margin"]["seconds"] >= 0 for p in pair["pairs"])
    every = json.loads(bench("power", "--all", "--json", "--shot", "1").out)
    assert [(p["first"], p["second"]) for p in every["pairs"]] == [("transfer", "protonet")]
    assert every["pairs"][0]["difference"] == -pair["pairs"][0]["difference"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["transfer"], 2, "two different variants, or none"),
        (["transfer", "transfer"], 2, "two different variants, or none"),
        (["transfer", "protonett"], 2, "did you mean 'protonet'?"),
        (["--margin", "0"], 2, "--margin 0.0 must be above 0"),
        (["--margin", "nan"], 2, "must be above 0 and at most 100"),
        (["--power", "0.05"], 2, "--power 0.05 must be between 0.05 and 1"),
        (["--power", "1"], 2, "must be between"),
        (["--method", "transfer"], 5, "share a stored episode"),
        (["--seed", "7"], 5, "share a stored episode"),
    ],
)
@pytest.mark.usefixtures("run")
def test_errors_are_one_line(words, code, says, bench):
    ran = bench("power", *words)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.usefixtures("place")
def test_without_a_database(bench):
    assert bench("power").code == 6


@pytest.mark.usefixtures("run")
def test_a_number_of_episodes_instead_of_the_budgets(bench):
    told = bench("run", "--episodes", "9", "--shot", "1").err
    assert "plots: bench report --episodes 9\n" in told, told
    table = json.loads(bench("power", "--episodes", "9", "--all", "--json").out)
    assert [p["n_episodes"] for p in table["pairs"]] == [9, 6]
    assert [p["n_episodes"] for p in json.loads(bench("power", "--all", "--json").out)["pairs"]] == [6, 6]
    command = json.loads(bench("report", "--episodes", "9", "--format", "json").out)["experiment"]["command"]
    assert "--episodes 9" in command
    again = bench(*shlex.split(command)[1:], "-n")
    assert "9/9" in again.out
    assert "6/9" in again.out
    assert bench("run", "--episodes", "0").code == 2
