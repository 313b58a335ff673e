"""Heads on frozen features in a run: nothing is trained for them, and each image is embedded once for all."""

import numpy as np
import pytest

import fewshot_bench
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.records import unpack_answers
from fewshot_bench.methods import frozen
from fewshot_bench.results.store import Reader
from fewshot_bench.running import runner
from fewshot_bench.running.tasks import Features

HEADS = ("transfer-centroid", "transfer-logistic", "transfer-cosine")


@pytest.fixture
def headed(run, bench, monkeypatch):
    """The tiny grid with heads on its stored transfer; how often images were embedded for them."""
    monkeypatch.setattr(frozen, "BATCHES", 2)
    made = []

    class Counted(Features):
        def __init__(self, *given):
            made.append(1)
            super().__init__(*given)

    monkeypatch.setattr(runner, "Features", Counted)
    before = Reader(str(run.database)).trainings().keys()
    ran = bench("run", "-q", "--method", ",".join(HEADS), "--shot", "5")
    assert ran.code == 0, ran.err
    assert Reader(str(run.database)).trainings().keys() == before
    return run, len(made)


def test_heads_share_a_training_and_its_features_repeat_and_are_loaded(headed, bench, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    run, n_embedded = headed
    assert n_embedded == 1
    model = fewshot_bench.load("out", "transfer-logistic-4w5s-s0", device="cpu")
    replayed = bench("replay", model.cell.key)
    assert (replayed.code, "identical" in replayed.out) == (0, True)
    support, labels, queries, answers = model.episode(0)
    stored = unpack_answers(Reader(str(run.database)).answers([model.cell.key])[model.cell.key][0], 4)
    assert model.fit(support, labels).predict(queries).tolist() == stored.tolist()
    first = fewshot_bench.episodes("out", methods="transfer-logistic", shots=5).iloc[0]
    assert (first.n_correct, first.n_queries) == ((stored == answers).sum(), len(answers))
    with pytest.raises(UsageError, match="episode -1: they are counted in whole numbers, from 0"):
        model.episode(-1)
    # and by another's logistic regression on the exported features
    x, q = (f / np.linalg.norm(f, axis=1, keepdims=True) for f in map(model.features, (support, queries)))
    assert LogisticRegression(max_iter=1000).fit(x, labels).predict(q).tolist() == stored.tolist()
    # without the base classes' images there are no features
    monkeypatch.setenv("BENCH_CACHE", str(run.folder / "empty"))
    with pytest.raises(NothingSelected, match="needs the mean of its base classes' features"):
        fewshot_bench.load("out", model.cell.key)
    with pytest.raises(NothingSelected, match=r"the images of photos.* are not prepared here"):
        model.episode(0)


def test_what_is_adapted_has_no_features_to_export(run):
    with pytest.raises(UsageError, match="no features that depend on one image alone"):
        fewshot_bench.load("out", "transfer-4w5s-s0").features(np.zeros((1, 16, 16), np.uint8))


def test_an_untrained_network_is_tested_and_reported(run, bench):
    ran = bench("run", "-q", "--method", "untrained")
    assert ran.code == 0, ran.err
    found = fewshot_bench.results("out", methods="untrained")
    assert found["n_episodes"].tolist() == [6, 6]
    assert [c.cell.training.iterations for c in fewshot_bench.plan(methods="untrained").cells] == [0, 0]
    report = bench("report", "--method", "untrained,transfer")
    assert (report.code, (run.folder / "out" / "report.html").exists()) == (0, True)
    assert bench("db", "check").code == 0
