"""`bench why`: which fields of its identity changed since the nearest stored result."""

import json
import re
import sqlite3

import pytest

from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.replay.why import ABSENT, Identified, changes, explain, fields_of, nearest


def identified(key, label="paper", run=1, reason="", n_episodes=6, **fields):
    return Identified(key, fields, label, n_episodes, reason, run)


def test_fields_are_named_with_dots():
    training = {"method": "maml", "versions": (1, 1), "settings": {"lr": 0.1, "inner": {"steps": 5}}}
    cell = {"training": "0123", "split": "paper", "bank": [1, 0], "adaptation": {"steps": 3}}
    assert fields_of(training, cell) == {
        "training.method": "maml",
        "training.versions": [1, 1],
        "training.settings.lr": 0.1,
        "training.settings.inner.steps": 5,
        "split": "paper",
        "bank": [1, 0],
        "adaptation.steps": 3,
    }
    # as the database has it: lists for tuples, null for no adaptation
    stored = json.loads(json.dumps(training)), json.loads(json.dumps(cell))
    assert changes(fields_of(*stored), fields_of(training, cell)) == ()
    assert fields_of({}, {"adaptation": None}) == {"adaptation": None}


def test_changes_are_old_to_new_and_name_what_is_not_there():
    old = {"lr": 0.1, "momentum": 0.9, "training.versions": [1], "same": None}
    new = {"lr": 0.2, "training.versions": [2], "clip": 10, "same": None}
    found = {c.field: (c.old, c.new, c.meaning) for c in changes(old, new)}
    assert found == {
        "lr": (0.1, 0.2, ""),
        "training.versions": ([1], [2], "the code's version"),
        "clip": (ABSENT, 10, ""),
        "momentum": (0.9, ABSENT, ""),
    }


def test_the_nearest_has_the_fewest_changes_then_the_label_then_is_the_newest():
    wanted = identified("w", a=1, b=1, c=1)
    far, near = identified("far", a=2, b=2, c=1), identified("near", label="quick", a=2, b=1, c=1)
    assert nearest(wanted, [far, near]) is near
    same_label = identified("same", a=1, b=2, c=1)
    assert nearest(wanted, [near, same_label, far]) is same_label
    newer = identified("newer", run=2, a=1, b=1, c=2)
    assert nearest(wanted, [near, same_label, newer]) is newer
    assert nearest(wanted, []) is None


def test_what_is_held_is_told():
    wanted = identified("w", n_episodes=9, a=1)
    assert explain("x", wanted, identified("w", a=1)).held == "6 episodes, 9 wanted"
    assert explain("x", wanted, identified("v", a=2)).held == "6 episodes"
    assert explain("x", wanted, identified("v", n_episodes=0, reason="it diverged", a=2)).held == "failed: it diverged"
    assert explain("x", wanted, identified("v", reason="it diverged", a=2)).held == "6 episodes"
    assert explain("x", wanted, None).near is None


@pytest.fixture
def run(place, bench):
    assert bench("run", "-q", "--method", "transfer", "--shot", "1").code == 0
    return place


def key_of(place):
    connection = sqlite3.connect(place.database)
    ((key,),) = connection.execute("SELECT key FROM cells").fetchall()
    connection.close()
    return key


def test_up_to_date_by_name_and_by_key(run, bench):
    key = key_of(run)
    said = f"transfer-4w1s-s0: up to date: stored under {key} (6 episodes)\n"
    for words in (["transfer-4w1s-s0"], [key], [key[:7]]):
        ran = bench("why", *words)
        assert (ran.code, ran.out, ran.err) == (0, said, "")
    assert json.loads(bench("why", key, "--json").out)["up_to_date"] is True


def test_every_kind_of_change_is_named(run, bench, monkeypatch):
    key = key_of(run)
    run.add('\n[methods.transfer]\nmethod = "transfer"\nlr = 0.01\n')
    monkeypatch.setattr(Transfer, "version", 7)
    config = (run.folder / "bench.toml").read_text()
    (run.folder / "bench.toml").write_text(config.replace("steps = 2", "steps = 3"))
    for words in (["transfer-4w1s-s0"], [key]):
        ran = bench("why", *words)
        assert ran.code == 0
        first, *rest = ran.out.splitlines()
        assert f"stored is {key} (6 episodes); changed since:" in first
        assert [re.sub(" +", " ", line) for line in rest] == [
            " training.versions [1, 1, 1] -> [7, 1, 1] (the code's version)",
            " training.settings.lr 0.001 -> 0.01",
            " adaptation.steps 2 -> 3",
        ]
    document = json.loads(bench("why", key, "--json").out)
    assert document["up_to_date"] is False
    assert document["changes"][1] == {"field": "training.settings.lr", "old": 0.001, "new": 0.01, "meaning": ""}


def test_a_change_of_the_test_alone_needs_no_training(run, bench):
    config = (run.folder / "bench.toml").read_text()
    (run.folder / "bench.toml").write_text(config.replace("steps = 2", "steps = 3"))
    out = bench("why", "transfer-4w1s-s0").out
    assert "adaptation.steps  2 -> 3" in out
    assert "only the test is to be done again" in out
    assert "only the test" not in bench("why", "transfer-4w1s-s3").out  # another seed is another training


def test_options_choose_what_is_asked_for(run, bench):
    out = bench("why", "transfer-4w1s-s0", "--split", "ravi").out
    assert re.search(r'split +"paper" -> "ravi"', out)
    out = bench("why", "transfer-4w1s-s2").out
    assert re.search(r"training.seed +0 -> 2", out)


def test_the_last_run_is_meant_where_nothing_is_said(place, bench):
    assert bench("run", "-q", "--method", "transfer", "--shot", "1", "--set", "methods.transfer.lr=0.02").code == 0
    ran = bench("why", "transfer-4w1s-s0")
    assert "transfer-4w1s-s0: up to date: stored under " in ran.out
    assert ran.err == "as in the last run: --set=methods.transfer.lr=0.02\n"
    out = bench("why", "transfer-4w1s-s0", "--set", "methods.transfer.lr=0.03").out
    assert "training.settings.lr  0.02 -> 0.03" in out
    config = place.folder / "bench.toml"
    config.write_text(config.read_text().replace("steps = 2", "steps = 3"))
    assert "adaptation.steps  2 -> 3" in bench("why", "transfer-4w1s-s0").out


def test_nothing_near(run, bench):
    ran = bench("why", "transfer-4w5s-s0")
    assert (ran.code, "is not stored, and nothing near it" in ran.out) == (0, True)


def test_a_variant_that_is_configured_no_more(place, bench):
    config = (place.folder / "bench.toml").read_text()
    place.add('\n[methods.mine]\nmethod = "transfer"\nlr = 0.01\n')
    assert bench("run", "-q", "--method", "mine", "--shot", "1").code == 0
    (place.folder / "bench.toml").write_text(config)
    key = key_of(place)
    for words in (["mine-4w1s-s0"], [key]):
        ran = bench("why", *words)
        assert (ran.code, "the configuration has no such cell, and nothing like it is stored" in ran.out) == (0, True)
    (place.folder / "bench.toml").write_text(config + '\n[methods.mine]\nmethod = "transfer"\nlr = 0.02\n')
    assert bench("run", "-q", "--method", "mine", "--shot", "1").code == 0
    (place.folder / "bench.toml").write_text(config)
    ran = bench("why", "mine-4w1s-s0")
    assert (ran.code, "stands for more than one stored cell" in ran.err) == (5, True)
    out = bench("why", key).out
    assert "the configuration has no such cell; from " in out
    assert "training.settings.lr  0.02 -> 0.01" in out


def test_a_variant_that_is_another_method_now(place, bench):
    config = (place.folder / "bench.toml").read_text()
    place.add('\n[methods.mine]\nmethod = "transfer"\n')
    assert bench("run", "-q", "--method", "mine", "--shot", "1").code == 0
    (place.folder / "bench.toml").write_text(config + '\n[methods.mine]\nmethod = "maml"\n')
    ran = bench("why", key_of(place))
    assert ran.code == 0
    assert re.search(r'training\.method +"transfer" -> "maml"', ran.out)


def test_no_such_cell(run, bench):
    for words in (["nothing-4w1s-s0"], ["zzzz"], [""]):
        ran = bench("why", *words)
        if words == [""]:  # the beginning of every key: the one that is stored
            assert ran.code == 0
        else:
            assert (ran.code, "no cell is called" in ran.err) == (5, True)
    ran = bench("why", "transfer-9w1s-s0")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "9-way 1-shot needs 9 classes" in ran.err
