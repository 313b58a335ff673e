"""`bench tune`: the same candidates for every method, the best of them written, used and named."""

import json
import re
import shutil
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

import fewshot_bench

TUNING = """
[tuning.few]
ways = [4]
shots = [1, 2]
episodes = 3
rules = [{ steps = 1 }, { steps = 12, lr_per_way = 0.05 }]
[tuning.many]
ways = [4]
shots = [5]
from_shot = 4
episodes = 2
rules = [{ steps = 1 }, { lr_per_way = 0.02, optimizer = "adam" }]
[methods.steady]
method = "transfer"
adaptation = { steps = 3 }
[methods.centroid]
method = "transfer"
adaptation = { head = "centroid" }
"""


@pytest.fixture
def place(place):
    place.add(TUNING)
    return place


def tuned(place) -> dict:
    return tomllib.loads((place.folder / "tuned.toml").read_text())


def test_the_best_candidate_is_written_with_all_that_were_tried(place, bench):
    assert bench("tune", "--method", "transfer,protonet,centroid").code == 0
    found = tuned(place)
    assert {rule["variant"] for rule in found["rules"]} == {"transfer"}  # the others are not fitted by a rule
    assert len(found["candidates"]) == 4
    for rule in found["rules"]:
        of_group = [c for c in found["candidates"] if c["from_shot"] == rule["from_shot"]]
        assert rule["accuracy"] == max(c["accuracy"] for c in of_group)
        assert rule["adaptation"] in [c["adaptation"] for c in of_group]
        assert rule["adaptation"]["full_batch"]  # resolved: what it is does not hang on [adaptation] any more
    assert [t["variant"] for t in found["trainings"]] == ["transfer"]
    again = bench("tune", "--method", "transfer", "-o", "again.toml")
    assert "0 to do" in again.err
    assert "\nTo do: 0 s of training and 0 s of testing with one job" in bench("tune", "--method", "transfer", "-n").out


def test_from_python_it_is_the_same(place, bench):
    rules = fewshot_bench.tune("mine.toml", methods="transfer", jobs=1)
    bench("tune", "--method", "transfer")
    mine = tomllib.loads((place.folder / "mine.toml").read_text())
    assert mine["rules"] == tuned(place)["rules"] == rules.to_dict("records")
    assert fewshot_bench.plan(methods="transfer", rules="mine.toml").count("todo") == 2


def test_results_of_tuned_rules_are_others_of_the_same_training(place, bench):
    bench("tune", "--method", "transfer")
    assert bench("run", "--method", "protonet").code == 0
    assert bench("run", "--method", "transfer", "--shot", "1", "--rules", "tuned.toml").code == 0
    told = bench("report", "--rules", "tuned.toml", "--format", "json").out
    assert json.loads(told).get("beside") is None  # no second table of what no rule fits
    assert bench("run", "--method", "transfer").code == 0
    assert bench("run", "--method", "transfer", "--rules", "tuned.toml").code == 0
    with closing(sqlite3.connect(place.database)) as connection, connection:
        cells = connection.execute(
            "SELECT label, identity, training_key FROM cells WHERE variant = 'transfer'"
        ).fetchall()
        facts = connection.execute("SELECT facts FROM runs ORDER BY id DESC LIMIT 1").fetchone()[0]
    assert len(cells) == 4
    assert len({training for *_, training in cells}) == 1
    assert len({identity for _, identity, _ in cells}) == 4
    assert sum("+tuned:" in label for label, *_ in cells) == 2
    assert "rules at test" in facts
    assert " stale" not in bench("run", "-n", "--method", "transfer", "--rules", "tuned.toml").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run", "--rules", "none.toml"],
            "--rules none.toml: cannot be read: No such file or directory; `bench tune` writes one",
        ),
        (
            ["run", "--rules", "bench.toml"],
            "--rules bench.toml: it is not what `bench tune` writes: [[rules]] is missing",
        ),
        (["run", "--rules", "wrong.toml"], "--rules wrong.toml: [[rules]] n_way = 'four' must be a whole number"),
        (["run", "--rules", "other.toml"], "other.toml has no rule for transfer with 4 ways and 1 shots: tune it too"),
        (["run", "--rules", "other.toml"], "with `bench tune --method maml,transfer` and"),
        (["run", "--rules", "twice.toml"], "twice.toml: 2 [[rules]] are for maml, n_way = 4, from_shot = 1: keep one"),
        (["run", "--rules", "tested.toml"], "--rules tested.toml: split = 'paper': rules are tuned on `inner` alone"),
        (["run", "--rules", "bare.toml"], "bare.toml: it is not what `bench tune` writes: 'data' is missing"),
        (["tune", "--split", "ravi"], "--split has no meaning here"),
        (["tune", "--novel-data", "photos"], "--novel-data has no meaning here"),
        (["tune", "--method", "protonet"], "nothing to tune"),
    ],
)
def test_what_cannot_be_is_one_line(place, bench, words, said):
    entry = '[[rules]]\nvariant = "maml"\nn_way = {}\nfrom_shot = 1\nadaptation = {{}}\n'
    (place.folder / "wrong.toml").write_text(entry.format('"four"'))
    head = 'trainings = []\ndata = "photos"\nfingerprint = "ab"\nsplit = "{}"\n'
    (place.folder / "bare.toml").write_text(entry.format(4))
    (place.folder / "other.toml").write_text(head.format("inner4") + entry.format(4))
    (place.folder / "twice.toml").write_text(head.format("inner4") + 2 * entry.format(4))
    (place.folder / "tested.toml").write_text(head.format("paper") + entry.format(4))
    done = bench(*words)
    assert done.code in (2, 5)
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_rules_are_not_used_on_other_data_and_other_trainings_than_they_were_tuned_on_are_named(place, bench, tmp_path):
    """A class that is novel here may be one that they were tuned on there."""
    bench("tune", "--method", "transfer")
    source = Path(tomllib.loads((place.folder / "bench.toml").read_text())["data"]["source"])
    moved = shutil.copytree(source, tmp_path / "moved")
    rows = [(moved / f"{part}.csv").read_text() for part in ("train", "test")]
    for part, text in zip(("train", "test"), reversed(rows), strict=True):
        (moved / f"{part}.csv").write_text(text)
    refused = bench("run", "--rules", "tuned.toml", "--method", "transfer", "--data", str(moved))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "tuned.toml was tuned on photos" in refused.err
    assert "whose novel classes it may have seen: `bench tune` on these data" in refused.err
    words = ("--rules", "tuned.toml", "--method", "transfer")
    assert bench("run", "-q", *words).code == 0
    assert "; tuned on other trainings" not in bench("report", *words, "--format", "markdown").out
    assert bench("run", "-q", *words, "--set", "model.filters=3").code == 0
    other = bench("report", *words, "--set", "model.filters=3", "--format", "markdown").out
    assert re.search(r"\(tuned.toml, SHA-256 \w{8}; tuned on other trainings than here: transfer\)", other)


def test_what_is_tested_on_another_data_set_is_tuned_where_it_is_trained(place, bench):
    told = bench("tune", "-n", "--method", "transfer", "--set", "data.novel_source=nowhere")
    assert (told.code, "on split inner4" in told.out) == (0, True), told.err
