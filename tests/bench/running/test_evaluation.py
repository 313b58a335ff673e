"""The runner evaluates: chunk by chunk, from any episode on, with the same results whatever the chunks."""

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Method
from fewshot_bench.running import runner
from fewshot_bench.tables.scores import EpisodeResult

N = 7


@pytest.fixture
def method(make_training, make_lab) -> Method:
    training, lab = make_training("protonet", iterations=5, train_way=5), make_lab()
    return runner.load(training, list(runner.train(training, lab))[-1].checkpoint, lab)


@pytest.fixture
def cell(make_training) -> Cell:
    training = make_training("protonet", iterations=5, train_way=5)
    return Cell("protonet", training, "paper", Setting(4, 2, 3), 0, Adaptation(steps=2), N)


def results_of(cell, method, lab, first=0) -> list[EpisodeResult]:
    return [result for chunk in runner.evaluate(cell, method, lab, first) for result in chunk]


def until(kind: type[Exception], chunks, said: str = "") -> list[EpisodeResult]:
    """The results before it raises."""
    done = []
    while True:
        try:
            done += next(chunks)
        except kind as error:
            if said not in str(error):
                raise
            return done


def test_every_episode_of_the_bank_is_judged(cell, method, make_lab, images):
    results = results_of(cell, method, make_lab())
    sampler = bank(images, "paper", 4, 3, 0)
    assert [r.number for r in results] == list(range(N))
    assert [r.episode_id for r in results] == [sampler.draw(i, cell.setting).id for i in range(N)]
    assert {r.n_queries for r in results} == {4 * 3}
    assert all(0 <= r.n_correct <= 12 for r in results)
    assert sum(r.n_correct for r in results) / (12 * N) > 0.35  # chance is 0.25, a standard error 0.05


def test_counts_are_the_methods_own_answers(cell, make_lab, images):
    """A method that always says label 2 is right in n_query of n_way * n_query queries."""

    class Stubborn:
        embeds = False

        def predict(self, episodes, adaptation):
            return torch.eye(4)[2].expand(*episodes.query_labels.shape, 4)

    assert [r.n_correct for r in results_of(cell, Stubborn(), make_lab())] == [3] * N


def test_the_method_gets_the_cells_rule_and_episodes(cell, make_lab):
    seen = []

    class Curious:
        embeds = False

        def predict(self, episodes, adaptation):
            seen.append((episodes, adaptation))
            return torch.zeros(*episodes.query_labels.shape, 4)

    results_of(cell, Curious(), make_lab())
    assert {adaptation for _, adaptation in seen} == {Adaptation(steps=2)}
    assert [e.support_images.shape[:2] for e, _ in seen] == [(1, 8)] * N
    # class ids count within the 16 novel classes
    assert max(int(e.class_ids.max()) for e, _ in seen) < 16


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_chunks_change_nothing(seconds, cell, method, make_lab, monkeypatch):
    expected = results_of(cell, method, make_lab())
    monkeypatch.setattr(runner, "CHUNK_SECONDS", seconds)
    chunks = list(runner.evaluate(cell, method, make_lab(), 0))
    assert [len(c) for c in chunks] == ([1] * N if seconds == 0 else [1, N - 1])
    assert [r for chunk in chunks for r in chunk] == expected


@pytest.mark.parametrize("first", [0, 3, N - 1, N])
def test_it_goes_on_from_any_episode(first, cell, method, make_lab):
    assert results_of(cell, method, make_lab(), first) == results_of(cell, method, make_lab())[first:]


def test_a_stop_loses_nothing(cell, method, make_lab):
    answers = iter([False, False, True])
    done = until(runner.Stopped, runner.evaluate(cell, method, make_lab(lambda: next(answers)), 0))
    assert [r.number for r in done] == [0, 1, 2]
    assert done + results_of(cell, method, make_lab(), 3) == results_of(cell, method, make_lab())


def test_a_stop_in_the_last_episode_is_the_end(cell, method, make_lab):
    answers = iter([False] * (N - 1) + [True])
    assert len(results_of(cell, method, make_lab(lambda: next(answers)))) == N


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_none_fail_after_what_was_done_before(bad, cell, method, make_lab, monkeypatch):
    expected = results_of(cell, method, make_lab())
    original, calls = method.classify, iter(range(N))

    def broken(episodes, adaptation):
        logits = original(episodes, adaptation)
        logits[0, 0, 0] = bad if next(calls) == 4 else logits[0, 0, 0]
        return logits

    monkeypatch.setattr(method, "classify", broken)
    done = until(FloatingPointError, runner.evaluate(cell, method, make_lab(), 0), "not finite in episode 4 ")
    assert done == expected[:4]


@pytest.fixture
def on_gpu(monkeypatch):
    """A lab as on a GPU, where episodes go through the network together."""
    monkeypatch.setattr(runner, "arithmetic", lambda numerics, device: nullcontext())
    return lambda lab: dataclasses.replace(lab, device=SimpleNamespace(type="cuda"))


def test_a_gpu_without_room_takes_fewer_episodes_at_once(cell, method, make_lab, on_gpu, monkeypatch):
    expected, original, tried = results_of(cell, method, make_lab()), method.classify, []

    def crowded(episodes, adaptation):
        tried.append(len(episodes.query_labels))
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(episodes, adaptation)

    monkeypatch.setattr(method, "classify", crowded)
    assert results_of(cell, method, on_gpu(make_lab())) == expected
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]


def test_a_gpu_without_room_for_one_episode_says_so(cell, method, make_lab, on_gpu, monkeypatch):
    def full(episodes, adaptation):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(method, "classify", full)
    with pytest.raises(torch.OutOfMemoryError):
        results_of(cell, method, on_gpu(make_lab()))


def test_evaluating_changes_no_weight(cell, method, make_lab):
    before = method.training_state()
    results_of(cell, method, make_lab())
    assert all(torch.equal(before[k], v) for k, v in method.training_state().items())


@pytest.mark.parametrize(
    ("name", "settings"), [("protonet", {"train_way": 5}), ("transfer", {"frozen": True, "norm": "running"})]
)
def test_an_image_is_embedded_once_for_all_settings(name, settings, make_training, make_lab, images, monkeypatch):
    training, lab = make_training(name, iterations=5, **settings), make_lab()
    method = runner.load(training, list(runner.train(training, lab))[-1].checkpoint, lab)
    cells = [Cell(name, training, "paper", Setting(*size, 3), 0, Adaptation(steps=2), N) for size in ((4, 2), (6, 1))]
    embedded, embed = [], method.embed
    monkeypatch.setattr(method, "embed", lambda some: (embedded.append(len(some)), embed(some))[1])
    counts = [[r.n_correct for r in results_of(cell, method, lab)] for cell in cells]
    novel = sum(len(images.images_of_class[c]) for c in images.split("paper").novel)
    assert sum(embedded) == novel
    monkeypatch.setattr(type(method), "embeds", False)  # every episode from its images
    assert counts == [[r.n_correct for r in results_of(cell, method, lab)] for cell in cells]
