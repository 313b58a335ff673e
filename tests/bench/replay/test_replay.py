"""`bench replay`: a stored cell is computed again, and what is not as it was is found and named."""

import json
import re
import shutil
import sqlite3
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from fewshot_bench.machine import cores
from fewshot_bench.methods import names
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.replay import rebuild
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.checksums import episodes_sha256
from fewshot_bench.seeding import digest

N_QUERIES = 4 * 3


@pytest.fixture
def run(place, bench, finished):
    """The tiny grid, finished; its protonet under a name that no packaged configuration knows."""
    place.add('\n[methods.mine]\nmethod = "protonet"\ntrain_way = 5\n')
    if not finished.exists():
        assert bench("run", "-q", "--method", "transfer,mine").code == 0
        shutil.copytree(place.folder / "out", finished)
    else:
        shutil.copytree(finished, place.folder / "out")
    return place


@pytest.fixture
def change(reseal):
    """Change what is stored, with checksums that fit."""

    def change(place, statement, *values):
        connection = sqlite3.connect(place.database)
        connection.execute(statement, values)
        connection.commit()
        connection.close()
        reseal(place.database)

    return change


def key_of(place, variant, n_shot=1):
    connection = sqlite3.connect(place.database)
    ((key,),) = connection.execute("SELECT key FROM cells WHERE variant = ? AND n_shot = ?", (variant, n_shot))
    connection.close()
    return key


def files(place):
    return {path: path.read_bytes() for path in sorted((place.folder / "out").rglob("*")) if path.is_file()}


@pytest.mark.parametrize("variant", ["transfer", "mine"])
@pytest.mark.parametrize("n_shot", [1, 5])
def test_what_was_stored_comes_out_again(variant, n_shot, run, bench):
    before = files(run)
    ran = bench("replay", key_of(run, variant, n_shot)[:10])
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "identical (6 episodes, 72 queries)")
    told = rf"^{variant}-4w{n_shot}s-s0 of photos\d* paper single tiny: 6 episodes; when it was made, that took"
    assert re.search(told, ran.err, re.MULTILINE), ran.err
    assert files(run) == before


def test_the_database_alone_says_what_to_do(run, bench, photos):
    """The variant, its settings, the adaptation and the budget have left the configuration since."""
    (run.folder / "bench.toml").write_text("[adaptation]\nsteps = 9\n[model]\nfilters = 99\n[data]\nimage_size = 20\n")
    ran = bench("replay", key_of(run, "mine"))
    assert (ran.code, "identical" in ran.out) == (0, True), ran.err
    shutil.copytree(photos, run.folder / "copy")
    assert bench("replay", key_of(run, "mine"), "--data", "copy").code == 0


def test_one_episode(run, bench):
    document = json.loads(bench("replay", "mine-4w1s-s0", "--episode", "4", "--json").out)
    assert (document["verdict"], document["n_queries"]) == ("identical", N_QUERIES)
    assert [episode["number"] for episode in document["episodes"]] == [4]
    ran = bench("replay", key_of(run, "mine"), "--episode", "6")
    assert (ran.code, "has the episodes 0 to 5" in ran.err) == (5, True)


def test_another_answer_is_found_and_named(run, bench, change):
    key = key_of(run, "mine", 5)
    answers = Reader(str(run.database)).answers([key])[key]
    labels = np.frombuffer(answers[3], "u1").copy()
    # a wrong answer becomes another wrong one: no count and no checksum tells
    query = next(q for q in range(N_QUERIES) if labels[q] != q // 3)
    was, labels[query] = int(labels[query]), next(x for x in range(4) if x not in (labels[query], query // 3))
    change(run, "UPDATE answers SET labels = ? WHERE cell_key = ? AND number = 3", labels.tobytes(), key)
    ran = bench("replay", key)
    assert ran.code == 3
    named = f"episode 3, query {query} (class {query // 3}): stored answer {labels[query]}, now {was};"
    assert named in ran.out
    assert "different: 1 query of 72, in 1 episode more than rounding explains" in ran.out
    document = json.loads(bench("replay", key, "--json").out)
    assert (document["verdict"], document["n_differing"]) == ("different", 1)
    assert document["episodes"][3]["discordant"][0]["query"] == query
    assert bench("replay", key, "--episode", "2").code == 0


def test_answers_that_do_not_fit_their_count_are_damage(run, bench, change):
    key = key_of(run, "mine")
    change(run, "UPDATE answers SET labels = zeroblob(12) WHERE cell_key = ? AND number = 3", key)
    ran = bench("replay", key)
    assert (ran.code, "episode 3 do not fit its stored count" in ran.err) == (6, True)


def test_without_answers_counts_are_compared(run, bench, change):
    key = key_of(run, "mine")
    change(run, "DELETE FROM answers WHERE cell_key = ?", key)
    ran = bench("replay", key)
    assert (ran.code, "equal counts (6 episodes, 72 queries; only counts were kept of 6 episodes)" in ran.out) == (
        0,
        True,
    )
    change(run, "UPDATE episodes SET n_correct = (n_correct + 3) % 13 WHERE cell_key = ? AND number = 1", key)
    connection = sqlite3.connect(run.database)
    counted = "SELECT number, episode_id, n_correct, n_queries FROM episodes WHERE cell_key = ? ORDER BY number"
    change(run, "UPDATE cells SET sha256 = ? WHERE key = ?", episodes_sha256(connection.execute(counted, (key,))), key)
    connection.close()
    ran = bench("replay", key)
    assert ran.code == 3
    assert "first     episode 1; its answers were not kept" in ran.out


def test_other_images_are_not_the_same_episodes(run, bench, change):
    key = key_of(run, "mine")
    change(run, "UPDATE episodes SET episode_id = '0123456789abcdef' WHERE cell_key = ? AND number = 0", key)
    connection = sqlite3.connect(run.database)
    counted = "SELECT number, episode_id, n_correct, n_queries FROM episodes WHERE cell_key = ? ORDER BY number"
    change(run, "UPDATE cells SET sha256 = ? WHERE key = ?", episodes_sha256(connection.execute(counted, (key,))), key)
    connection.close()
    ran = bench("replay", key)
    assert (ran.code, "different: 1 episode of 6 with other images than were stored" in ran.out) == (3, True)


@pytest.fixture
def tie(monkeypatch):
    """Makes two classes nearly tie for the first query of every episode; what it returns says by how much."""
    state = {"by": 1e-6}
    original = Transfer.predict

    def predict(self, episodes, adaptation):
        logits = original(self, episodes, adaptation)
        spread = logits.max() - logits.min()
        logits[:, 0, 2], logits[:, 0, 3] = logits.max() + state["by"] * spread, logits.max()
        return logits

    monkeypatch.setattr(Transfer, "predict", predict)
    return state


@pytest.mark.parametrize(("by", "verdict", "code"), [(-1e-6, "same", 0), (-0.1, "different", 3)])
def test_near_ties_are_rounding_and_others_are_not(by, verdict, code, place, bench, tie):
    assert bench("run", "-q", "--method", "transfer", "--shot", "1").code == 0
    tie["by"] = by
    ran = bench("replay", key_of(place, "transfer"))
    assert ran.code == code
    assert "episode 0, query 0 (class 0): stored answer 2, now 3;" in ran.out
    assert ran.out.count("1 other answer") == 6
    said = {"same": "same within 6 queries of 72, no more than rounding explains", "different": "different: 6 queries"}
    assert said[verdict] in ran.out
    assert json.loads(bench("replay", key_of(place, "transfer"), "--json").out)["verdict"] == verdict


def test_changed_code_is_told(run, bench, monkeypatch):
    original = ProtoNet.classify
    monkeypatch.setattr(ProtoNet, "classify", lambda *words: -original(*words))
    ran = bench("replay", key_of(run, "mine"))
    assert (ran.code, "first     episode 0, query " in ran.out) == (3, True)
    assert bench("replay", key_of(run, "transfer")).code == 0


def test_logits_that_are_none_are_a_difference(run, bench, monkeypatch):
    monkeypatch.setattr(ProtoNet, "classify", lambda *words: torch.full((1, N_QUERIES, 4), torch.nan))
    ran = bench("replay", key_of(run, "mine"))
    assert (ran.code, "different: adaptation diverged" in ran.out) == (3, True)


def test_another_version_of_the_code_cannot_repeat_it(run, bench, monkeypatch):
    monkeypatch.setattr(ProtoNet, "version", 99)
    ran = bench("replay", key_of(run, "mine"))
    assert (ran.code, ran.out) == (5, "")
    assert "core and episode bank were (1, 1, 1), this code's are (99, 1, 1)" in ran.err
    assert "commit " in ran.err or "fewshot-bench " in ran.err


@pytest.fixture
def trained_otherwise(change):
    """Make a cell's training one of another identity, with the keys that follow from it; returns the cell's."""

    def otherwise(place, key, identity):
        facts = Reader(str(place.database)).cell(key)
        training_key = digest(identity)[:16]
        cell_identity = facts.cell["identity"] | {"training": training_key}
        cell_key = digest(cell_identity)[:16]
        for statement, *values in (
            ("UPDATE trainings SET key = ?, identity = ?, method = ? WHERE key = ?",
             training_key, json.dumps(identity), identity["method"], facts.training["key"]),
            ("DELETE FROM cells WHERE training_key = ? AND key != ?", facts.training["key"], key),
            ("UPDATE cells SET key = ?, identity = ?, training_key = ? WHERE key = ?",
             cell_key, json.dumps(cell_identity), training_key, key),
            ("UPDATE episodes SET cell_key = ? WHERE cell_key = ?", cell_key, key),
            ("UPDATE answers SET cell_key = ? WHERE cell_key = ?", cell_key, key),
            ("UPDATE curves SET training_key = ? WHERE training_key = ?", training_key, facts.training["key"]),
            ("DELETE FROM episodes WHERE cell_key NOT IN (SELECT key FROM cells)",),
            ("DELETE FROM answers WHERE cell_key NOT IN (SELECT key FROM cells)",),
        ):  # fmt: skip
            change(place, statement, *values)
        return cell_key

    return otherwise


def test_a_method_with_another_setting_cannot_repeat_it(run, bench, trained_otherwise):
    key = key_of(run, "mine")
    identity = Reader(str(run.database)).cell(key).training["identity"]
    for changed in ({"settings": {}}, {"settings": identity["settings"] | {"momentum": 1}}, {"method": "gone"}):
        key = trained_otherwise(run, key, identity | changed)
        ran = bench("replay", key)
        assert (ran.code, "this code cannot repeat mine-4w1s-s0" in ran.err) == (5, True), ran.err


@pytest.mark.parametrize("choice", [{"numerics": "float16"}, {"normalisation": "mine"}])
def test_a_choice_that_is_none_of_this_code_cannot_be_repeated(choice, run, bench, trained_otherwise):
    key = key_of(run, "mine")
    identity = Reader(str(run.database)).cell(key).training["identity"] | choice
    ran = bench("replay", trained_otherwise(run, key, identity))
    assert (ran.code, ran.out, ran.err.count("\n")) == (5, "", 1)
    ((name, value),) = choice.items()
    assert f"there is no {name} {value!r} here" in ran.err


def test_weights_that_are_gone_can_be_trained_again(run, bench):
    folder = run.folder / "out" / "checkpoints"
    key = key_of(run, "transfer")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    ran = bench("replay", key)
    assert (ran.code, "missing or damaged; --retrain makes them again" in ran.err) == (6, True)
    shutil.rmtree(folder)
    before = files(run)
    ran = bench("replay", key, "--retrain")
    assert (ran.code, "identical (6 episodes" in ran.out) == (0, True)
    assert files(run) == before


def test_weights_that_come_out_otherwise_are_told(run, bench, monkeypatch):
    original = Transfer.step

    def step(self, source):
        for group in self.optimizers["outer"].param_groups:
            group["lr"] = 0.1
        return original(self, source)

    monkeypatch.setattr(Transfer, "step", step)
    ran = bench("replay", key_of(run, "transfer"), "--retrain")
    assert (ran.code, "weights   differ: SHA-256 " in ran.out) == (3, True)
    assert bench("replay", key_of(run, "transfer")).code == 0  # the stored weights are still there


def test_other_data_are_refused(run, bench, photos):
    shutil.copytree(photos, run.folder / "copy")
    (run.folder / "copy" / "test.csv").write_text((photos / "test.csv").read_text().replace("class13", "class14"))
    ran = bench("replay", key_of(run, "mine"), "--data", "copy")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "copy is not the data of this result" in ran.err


def test_a_method_from_outside(place, bench, monkeypatch):
    outsider = EntryPoint("outsider", "fewshot_bench.methods.protonet:ProtoNet", names.GROUP)
    monkeypatch.setattr(names, "_declared", lambda _: {"outsider": [outsider]})
    place.add('\n[methods.outside]\nmethod = "outsider"\ntrain_way = 5\n')
    assert bench("run", "-q", "--method", "outside", "--shot", "1").code == 0
    assert bench("replay", key_of(place, "outside")).code == 0
    monkeypatch.setattr(names, "_declared", lambda _: {})
    ran = bench("replay", key_of(place, "outside"))
    assert (ran.code, "no method 'outsider' is installed here" in ran.err) == (5, True)


def test_no_such_cell_and_nothing_to_repeat(place, bench):
    assert bench("run", "-q", "--method", "hopeless", "--shot", "1").code == 4
    ran = bench("replay", key_of(place, "hopeless"))
    assert (ran.code, "has no episodes to repeat: it failed, " in ran.err) == (5, True)
    ran = bench("replay", "0000000000000000")
    assert (ran.code, "no cell's key starts with" in ran.err) == (5, True)


def test_what_differs_from_the_stored_run_is_told(run, bench, change):
    facts = '{"torch": "1.0", "threads": "512", "device": "NVIDIA A100", "processor": "8086"}'
    change(run, "UPDATE runs SET facts = ?", facts)
    out = bench("replay", key_of(run, "mine")).out
    assert "torch     1.0 -> " in out
    assert f"threads   512 -> {cores()}" in out
    assert torch.get_num_threads() <= cores()
    if not torch.cuda.is_available():
        assert "device    NVIDIA A100 -> cpu" in out


def test_a_cell_is_rebuilt_as_it_was(run):
    stored = rebuild.find_stored(Reader(str(run.database)), key_of(run, "mine"))
    cell = rebuild.rebuild(stored)
    assert (cell.key, cell.name, cell.n_episodes) == (key_of(run, "mine"), "mine-4w1s-s0", 6)
    assert cell.training.key == stored.facts.training["key"]
    assert cell.training.settings.train_way == 5
