"""`bench doctor` and the alarms of `bench status`: what is planted rings, and nothing else."""

import dataclasses
import hashlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from typing import cast

import pytest
import torch

from fewshot_bench.doctor.models import Model, PermutedLabels, influence, label_control, one_a_column, queries_apart
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.checksums import episodes_sha256
from fewshot_bench.running import runner
from fewshot_bench.running.events import Trained

RULE = Adaptation(lr_per_way=0.025, steps=3)
SMALL = {
    "protonet": {"train_way": 5},
    "maml": {"meta_batch": 2},
    "reptile": {"meta_batch": 2},
    "reptile-mtl": {"meta_batch": 2},
}


@pytest.fixture
def make_model(make_training, make_lab):
    """A trained model of a method, tested 4-way 1-shot."""

    def make(name: str = "protonet", seed: int = 0, n_way: int = 4, **settings) -> Model:
        training = make_training(name, iterations=8, seed=seed, **SMALL.get(name, {}) | settings)
        ended = list(runner.train(training, make_lab()))[-1]
        assert isinstance(ended, Trained)
        return Model(Cell(name, training, "paper", Setting(n_way, 1, 3), 0, RULE, 6), ended.checkpoint, 0.1)

    return make


def unheard(_: str) -> None:
    """Progress that nobody reads."""


class Oracle:
    """Knows the answers by another way than the support labels: in half of the cases, or always."""

    embeds = False

    def __init__(self, share: float) -> None:
        self._share = share

    def predict(self, episodes, adaptation):
        n_tasks, n_queries = episodes.query_labels.shape  # which a method is not told; but queries stand class by class
        labels = torch.arange(episodes.n_way).repeat_interleave(n_queries // episodes.n_way).expand(n_tasks, -1)
        answers = torch.where(torch.arange(n_queries) < self._share * n_queries, labels, 0)
        return torch.nn.functional.one_hot(answers, episodes.n_way).float()


@pytest.mark.parametrize("name", ["protonet", "transfer", "maml", "reptile-mtl"])
@pytest.mark.parametrize("norm", ["support", "running"])
def test_queries_of_an_inductive_model_are_apart(name, norm, make_model, make_lab):
    check = queries_apart([make_model(name, norm=norm)], make_lab())
    assert (check.alarms, check.notes) == ((), ())
    assert check.looked_at == "1 model, an episode each"


@pytest.mark.parametrize("name", ["protonet", "maml"])
def test_a_transductive_model_is_called_so(name, make_model, make_lab):
    check = queries_apart([make_model(name, norm="transductive")], make_lab())
    assert check.alarms == ()
    assert "transductive, as its norm says" in check.notes[0]


def test_a_model_that_claims_to_be_inductive_and_is_not_rings(make_model, make_lab, monkeypatch):
    model, original = make_model("protonet", norm="support"), runner.load

    def transductive(*args):
        method = original(*args)
        method.settings = dataclasses.replace(method.settings, norm="transductive")
        return method

    monkeypatch.setattr(runner, "load", transductive)
    (alarm,) = queries_apart([model], make_lab()).alarms
    assert alarm.kind == "queries see each other"
    assert alarm.where.startswith("protonet seed 0")
    assert "though its norm is 'support'" in alarm.text


def test_influence_is_measured_in_both_halves_of_the_queries(images, make_lab):
    class Centred:
        """Takes the mean over every second query from all of them."""

        def __init__(self, parity: int) -> None:
            self._parity = parity

        def predict(self, episodes, adaptation):
            brightness = episodes.query_images.mean((2, 3, 4))[..., None].expand(-1, -1, episodes.n_way)
            return brightness - brightness[:, self._parity :: 2].mean(1, keepdim=True)

    sampler, lab = bank(images, "paper", 4, 3, 0), make_lab()
    episodes = lab.gallery.collate([sampler.draw(0, Setting(4, 1, 3))], torch.arange(24).numpy())
    for parity in (0, 1):
        assert influence(cast(Method, Centred(parity)), episodes, RULE)[0] > 0.1


def test_weights_that_are_gone_are_told(make_model, make_lab):
    gone = dataclasses.replace(make_model("transfer"), checkpoint="0" * 64)
    check = queries_apart([gone], make_lab())
    assert "not looked at: the weights" in check.notes[0]
    assert "not looked at: the weights" in label_control([gone], make_lab(), unheard).notes[0]
    assert check.looked_at == "0 models, an episode each"


@pytest.mark.parametrize("bad", ["raises", "not finite"])
def test_a_model_that_breaks_rings_and_hides_no_other(bad, make_model, make_lab, monkeypatch):
    original = runner.load

    class Broken:
        embeds = False

        def predict(self, episodes, adaptation):
            if bad == "raises":
                raise RuntimeError("no such layer")
            return torch.full((1, episodes.query_labels.shape[1], 4), torch.nan)

    models = [make_model("transfer"), make_model("protonet")]
    monkeypatch.setattr(
        runner, "load", lambda training, *a: Broken() if training.method == "transfer" else original(training, *a)
    )
    for check in (queries_apart(models, make_lab()), label_control(models, make_lab(), unheard)):
        (alarm,) = check.alarms
        assert alarm.where == models[0].name
        assert ("no such layer" if bad == "raises" else "not finite") in alarm.text
        assert check.looked_at.startswith("1 model,")


def test_shuffled_labels_stay_with_the_episode_and_leave_its_queries_alone(images, make_lab):
    lab, sampler = make_lab(), bank(images, "paper", 5, 3, 0)
    drawn = [sampler.draw(i, Setting(5, 4, 3)) for i in range(40)]
    index = torch.arange(24).numpy()
    permuted = PermutedLabels(images, lab.device)
    before, after = lab.gallery.collate(drawn, index), permuted.collate(drawn, index)
    for name in ("support_images", "query_images", "query_labels", "class_ids"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert torch.equal(before.support_labels.sort().values, after.support_labels.sort().values)
    kept = (before.support_labels == after.support_labels).float().mean()
    assert kept == pytest.approx(1 / 5, abs=0.06)  # 800 labels, four standard errors
    assert torch.equal(after.support_labels, permuted.collate(drawn, index).support_labels)


def test_models_without_labels_are_at_chance(make_model, make_lab):
    """The easy images: with their labels these models are right far more often than guessing."""
    models = [make_model("protonet"), make_model("transfer"), make_model("reptile", seed=1)]
    told: list[str] = []
    check = label_control(models, make_lab(), told.append)
    assert (check.alarms, check.notes) == ((), ())
    assert check.looked_at == "3 models, 50 episodes each"
    assert told == [model.name for model in models]


@pytest.mark.parametrize(("share", "rings"), [(0.0, False), (0.5, True), (1.0, True)])
def test_labels_that_reach_a_model_by_another_way_ring(share, rings, make_model, make_lab, monkeypatch):
    model = make_model("transfer")
    monkeypatch.setattr(runner, "load", lambda *_: Oracle(share))
    found = label_control([model], make_lab(), unheard).alarms
    assert [(alarm.kind, alarm.where) for alarm in found] == (
        [("permuted labels", "transfer 4-way 1-shot seed 0")] if rings else []
    )


def test_the_control_takes_the_cheapest_model_of_a_column(make_training):
    def model(way, seed):
        training = make_training("maml", seed=seed, iterations=way)
        return Model(Cell("maml", training, "paper", Setting(way, 1, 3), 0, RULE, 6), "", 0.0)

    models = [model(8, 0), model(4, 0), model(8, 1)]
    assert one_a_column(models) == models[1:]


@pytest.fixture
def run(place, bench, finished):
    """Two seeds of the tiny grid, finished."""
    place.add('[grids.two]\nmethods = ["transfer", "protonet"]\nways = [4]\nshots = [1, 5]\nseeds = [0, 1]\n')
    config = place.folder / "bench.toml"
    config.write_text(config.read_text().replace('grid = "tiny"', 'grid = "two"').replace("{ 1 = 6 }", "{ 1 = 24 }"))
    if finished.exists():
        shutil.copytree(finished, place.folder / "out")
    else:
        assert bench("run", "-q").code == 0
        shutil.copytree(place.folder / "out", finished)
    return place


@pytest.fixture
def set_counts(reseal):
    """Give a cell (maml-4w1s-s0) other counts, with checksums that fit."""

    def change(database, cell: str, counts) -> None:
        with closing(sqlite3.connect(database)) as c, c:
            (key,) = c.execute("SELECT key FROM cells WHERE label LIKE ?", (f"% {cell}",)).fetchone()
            for number, count in enumerate(counts):
                c.execute("UPDATE episodes SET n_correct = ? WHERE cell_key = ? AND number = ?", (count, key, number))
            query = "SELECT number, episode_id, n_correct, n_queries FROM episodes WHERE cell_key = ? ORDER BY number"
            sha256 = episodes_sha256(c.execute(query, (key,)).fetchall())
            c.execute("UPDATE cells SET sha256 = ? WHERE key = ?", (sha256, key))
        c.close()
        reseal(database)

    return change


def counts_of(database, cell: str) -> list[int]:
    reader = Reader(str(database))
    (key,) = (row["key"] for row in reader.all_cells() if row["label"].endswith(f" {cell}"))
    return [result.n_correct for result in reader.episodes([key])[key]]


def test_a_sound_run_is_silent_and_left_as_it_is(run, bench):
    before = hashlib.sha256(run.database.read_bytes()).hexdigest()
    ran = bench("doctor", "--strict")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "13 checks, 0 alarms")
    assert re.search(r"^ok     queries see each other +4 models, an episode each$", ran.out, re.MULTILINE)
    assert "permuted" not in ran.out
    assert hashlib.sha256(run.database.read_bytes()).hexdigest() == before


def test_the_control_says_first_how_long_it_takes(run, bench):
    ran = bench("doctor", "--control", "--json")
    assert ran.code == 0
    assert "testing 4 models with shuffled labels, 50 episodes each: about " in ran.err
    document = json.loads(ran.out)
    assert (document["schema"], document["alarms"]) == (1, 0)
    (control,) = (check for check in document["checks"] if check["kind"] == "permuted labels")
    assert control["looked_at"] == "4 models, 50 episodes each"
    assert len(document["checks"]) == 14


def test_equal_seeds_ring_in_doctor_and_status(run, bench, set_counts):
    for cell in ("protonet-4w1s", "protonet-4w5s"):
        set_counts(run.database, f"{cell}-s1", counts_of(run.database, f"{cell}-s0"))
    assert bench("doctor").code == 0
    for ran in (bench("doctor", "--strict"), bench("status")):
        assert "alarm  equal seeds  protonet seeds 0 and 1" in ran.out
        assert max(map(len, ran.out.splitlines())) <= 110
    assert bench("doctor", "--strict").code == 3
    assert json.loads(bench("status", "--json").out)["alarms"][0]["kind"] == "equal seeds"


def test_answers_that_no_longer_fit_the_counts_ring(run, bench, set_counts):
    set_counts(run.database, "transfer-4w1s-s0", [0] * 24)
    ran = bench("doctor")
    for kind in ("below chance", "all or nothing", "contradicted"):
        assert f"alarm  {kind}  transfer 4-way 1-shot seed 0" in ran.out
    assert ran.out.splitlines()[-1] == "13 checks, 3 alarms"
    told = bench("status").out
    assert "alarms:    3 (" in told
    assert "alarm  contradicted  transfer 4-way 1-shot seed 0: the stored answers of episode 0 give" in " ".join(
        told.split(" ")
    )


def test_equal_weights_of_two_seeds_ring_in_status(run, bench, reseal):
    with closing(sqlite3.connect(run.database)) as c, c:
        (one,) = c.execute("SELECT checkpoint FROM trainings WHERE method = 'transfer'").fetchone()
        c.execute("UPDATE trainings SET checkpoint = ? WHERE method = 'transfer'", (one,))
    c.close()
    reseal(run.database)
    assert "alarm  equal seeds  transfer seeds 0 and 1: trainings " in bench("status").out
    assert "transfer seeds 0 and 1: their weights are equal" in bench("doctor").out


def test_status_is_silent_without_alarms_and_names_tables_with_several(run, bench, set_counts):
    assert "alarms:    none (" in bench("status").out
    with closing(sqlite3.connect(run.database)) as c, c:
        c.execute("UPDATE cells SET label = replace(label, ' single ', ' matched ') WHERE n_shot = 5")
    c.close()
    set_counts(run.database, "transfer-4w1s-s0", [0] * 24)
    told = " ".join(bench("status").out.split())
    assert "transfer 4-way 1-shot seed 0 (photos" in told
    assert "single tiny)" in told


def test_a_database_too_large_for_status_is_left_to_doctor(run, bench, monkeypatch):
    from fewshot_bench.doctor import stored_alarms

    monkeypatch.setattr(stored_alarms, "MOST_EPISODES", 10)
    assert "alarms:    not looked for among 192 episodes: bench doctor" in bench("status").out
    assert json.loads(bench("status", "--json").out)["alarms"] is None


def test_damaged_counts_are_said_before_anything_is_shown(run, bench):
    with closing(sqlite3.connect(run.database)) as c, c:
        c.execute("UPDATE episodes SET n_correct = 1 - n_correct")
    c.close()
    ran = bench("status")
    assert ran.code == 6
    assert "column n_correct: it cannot be" in ran.err
    assert "damaged or edited" in ran.err


def test_without_results_the_images_are_looked_at(place, bench, photos):
    for word in ("--strict", "--control"):
        ran = bench("doctor", word)
        assert ran.code == 5
        assert "ok     duplicates of base images  156 images\nok     duplicates across classes  156" in ran.out
        assert "no results of these cells are stored" in ran.err


def test_cells_that_failed_are_said_to(place, bench, monkeypatch):
    monkeypatch.setattr(ProtoNet, "step", lambda self, source: None)
    assert bench("run", "-q", "--method", "protonet", "--shot", "1").code == 4
    ran = bench("doctor", "--method", "protonet", "--shot", "1")
    assert ran.code == 5
    assert "1 of these cells failed and none has results: `bench run -n` says why" in ran.err


def test_a_test_image_among_the_training_images_rings(place, bench, photos, tmp_path):
    folder = tmp_path / "copied"
    shutil.copytree(photos, folder)
    shutil.copy(folder / "images" / "c01_00.png", folder / "images" / "c13_05.png")
    ran = bench("doctor", "--data", str(folder))
    assert "alarm  duplicates of base images  split paper: 1 of 84 images of novel classes" in ran.out
    assert "class13[5] = class01[0]" in ran.out
    assert bench("doctor", "--data", str(folder), "--split", "ravi-val").out.count("alarm  ") == 0
