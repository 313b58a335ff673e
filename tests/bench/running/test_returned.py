"""What a method returns is checked: what is no answer becomes one line that names the method, never a number."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fewshot_bench import config
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.plan import PlannedCell, PlannedTraining
from fewshot_bench.methods import returned
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.running import runner, units
from fewshot_bench.running.events import CellFailed, CellFinished, Event, Trained, TrainingFailed
from fewshot_bench.running.signals import AtOnce

RIGHT = (1, 4 * 3, 4)  # episodes, queries, classes


@pytest.fixture
def planned(make_training) -> PlannedCell:
    training = make_training("protonet", iterations=5, train_way=5)
    return PlannedCell(Cell("protonet", training, "paper", Setting(4, 2, 3), 0, Adaptation(), 4), "todo", 0)


@pytest.fixture
def job(planned, make_lab) -> units.CellJob:
    *_, finished = runner.train(planned.cell.training, make_lab())
    assert isinstance(finished, Trained)
    return units.CellJob(planned, finished.checkpoint)


@pytest.fixture
def answering(monkeypatch, make_lab, job) -> Callable[..., list[Event]]:
    """The events of a cell whose method answers as it is told."""
    monkeypatch.setattr(ProtoNet, "embeds", False)

    def events(predict) -> list[Event]:
        monkeypatch.setattr(ProtoNet, "predict", predict)
        return list(units.do(job, make_lab()))

    return events


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (torch.zeros(1, 12, 1), "logits of shape (1, 12, 1), not (1, 12, 4): episodes, queries, classes"),
        (torch.zeros(12, 4), "logits of shape (12, 4), not (1, 12, 4): episodes, queries, classes"),
        (torch.zeros(1, 12, 5), "logits of shape (1, 12, 5), not (1, 12, 4): episodes, queries, classes"),
        (torch.zeros(RIGHT, dtype=torch.int64), "numbers of torch.int64, not floating point"),
        (torch.zeros(RIGHT, dtype=torch.complex64), "numbers of torch.complex64, not floating point"),
        (torch.zeros(RIGHT, device="meta"), "a tensor on meta, but its input is on cpu"),
        ([[0.0] * 4] * 12, "a list, not a tensor"),
        (torch.zeros(RIGHT).numpy(), "a ndarray, not a tensor"),
        (None, "a NoneType, not a tensor"),
    ],
)
def test_what_is_no_logits_fails_the_cell_in_one_line(answering, answer, said):
    (failed,) = answering(lambda self, episodes, adaptation: answer)
    assert isinstance(failed, CellFailed)
    assert failed.reason == f"protonet: predict returned {said}"
    assert failed.details == ""


def test_what_a_method_leaves_changed_is_its_own_failure_and_set_back(answering):
    def predict(self, episodes, adaptation):
        torch.set_grad_enabled(False)
        return torch.zeros(RIGHT)

    (failed,) = answering(predict)
    assert isinstance(failed, CellFailed)
    assert failed.reason == "protonet: predict left gradients switched off"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("number", [0, 2])
def test_logits_that_are_none_fail_the_cell_after_whole_chunks(answering, number, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK_SECONDS", 1e9)
    calls = iter(range(9))
    *done, failed = answering(
        lambda self, episodes, adaptation: torch.full(RIGHT, [1.0, torch.nan][next(calls) == number])
    )
    assert [len(event.results) for event in done] == ([1, 1] if number else [])  # never an empty chunk
    assert isinstance(failed, CellFailed)
    assert failed.reason == f"adaptation diverged: logits not finite in episode {number} or soon after"


def test_half_precision_is_an_answer(answering):
    *_, end = answering(lambda self, episodes, adaptation: torch.zeros(RIGHT, dtype=torch.bfloat16))
    assert isinstance(end, CellFinished)


def test_nobody_sees_the_labels_of_the_queries(answering):
    seen = set()

    def predict(self, episodes, adaptation):
        seen.update(episodes.query_labels.flatten().tolist())
        return torch.zeros(RIGHT)

    answering(predict)
    assert seen == {-1}


@pytest.mark.parametrize("features", [torch.zeros(3, 5), torch.zeros(24, 5, 1), torch.zeros(24, dtype=torch.int64)])
def test_features_have_a_row_an_image(features, job, make_lab, monkeypatch):
    monkeypatch.setattr(ProtoNet, "embed", lambda self, images: features)
    (failed,) = units.do(job, make_lab())
    assert isinstance(failed, CellFailed)
    assert failed.reason.startswith("protonet: embed returned ")
    assert failed.details == ""


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "step returned a NoneType, not a dict of losses"),
        (torch.zeros(()), "step returned a tensor of shape (), not a dict of losses"),
        ({3: torch.zeros(())}, "step named a loss 3, not in 1 to 50 printable letters"),
        ({"": torch.zeros(())}, "step named a loss '', not in 1 to 50 printable letters"),
        ({"\ud800": torch.zeros(())}, "step named a loss '\\ud800', not in 1 to 50 printable letters"),
        ({"l" * 51: torch.zeros(())}, f"step named a loss '{'l' * 51}', not in 1 to 50 printable letters"),
        (
            {"loss": torch.zeros((), dtype=torch.complex64)},
            "step returned 'loss' as a complex tensor of shape (), not as a 0-dim tensor",
        ),
        ({"loss": 0.5}, "step returned 'loss' as a float, not as a 0-dim tensor"),
        ({"loss": torch.zeros(1)}, "step returned 'loss' as a tensor of shape (1,), not as a 0-dim tensor"),
        (
            {"loss": torch.zeros((), requires_grad=True)},
            "step returned 'loss' with its graph, which fills memory: detach() it",
        ),
    ],
)
def test_a_step_that_returns_no_losses_fails_its_training(returned, said, planned, make_lab, monkeypatch):
    def step(self, source):
        self.iteration += 1
        return returned

    monkeypatch.setattr(ProtoNet, "step", step)
    _, failed = units.do(PlannedTraining(planned.cell.training, None, (planned,)), make_lab())
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == f"protonet: {said}"
    assert failed.details == ""


@pytest.mark.parametrize("count", [0, 2, -1, 1.0, np.int64(1), torch.tensor(1)])
def test_a_step_that_miscounts_itself_ends(count, planned, make_lab, monkeypatch):
    original = ProtoNet.step

    def step(self, source):
        losses = original(self, source)
        self.iteration = self.iteration - 1 + count
        return losses

    monkeypatch.setattr(ProtoNet, "step", step)
    _, failed = units.do(PlannedTraining(planned.cell.training, None, (planned,)), make_lab())
    assert isinstance(failed, TrainingFailed)
    assert failed.reason == f"protonet: step must add 1 to self.iteration, a whole number; it added {count!r}"


class OtherPredict(ProtoNet):
    """Always says label 2."""

    def predict(self, episodes, adaptation):
        return torch.eye(4)[2].expand(*episodes.query_labels.shape, 4)


class OtherInside(ProtoNet):
    """Says something else by what its parent's `predict` calls."""

    def _logits(self, episodes, observed):
        return torch.eye(4)[2].expand(*episodes.query_labels.shape, 4)


class Mixed:
    """Brings a `predict` of its own."""

    predict = OtherPredict.predict


class OtherParent(Mixed, ProtoNet):
    """`predict` comes from a class that is no method."""


class Grandchild(OtherPredict):
    """Changes nothing."""


class OtherTransfer(Transfer):
    """Embeds, as long as nobody asks it."""

    predict = OtherPredict.predict


@pytest.mark.parametrize("kind", [OtherPredict, OtherInside, OtherParent, Grandchild, OtherTransfer])
def test_a_subclass_is_asked_itself(kind, make_training, make_lab, monkeypatch):
    parent = "transfer" if issubclass(kind, Transfer) else "protonet"
    settings = {"frozen": True, "norm": "running"} if parent == "transfer" else {"train_way": 5}
    training, lab = make_training(parent, iterations=1, **settings), make_lab()
    *_, finished = runner.train(training, lab)
    assert isinstance(finished, Trained)
    monkeypatch.setitem(METHODS, parent, kind)
    cell = Cell(parent, training, "paper", Setting(4, 2, 3), 0, Adaptation(), 4)
    method = runner.load(training, finished.checkpoint, lab)
    assert not method.embeds
    assert [r.n_correct for chunk in runner.evaluate(cell, method, lab, 0) for r in chunk] == [3] * 4


def test_a_subclass_may_say_that_it_still_embeds(make_training, make_lab, monkeypatch):
    class Other(ProtoNet):
        embeds = ProtoNet.embeds  # type: ignore[assignment, unused-ignore]

    monkeypatch.setitem(METHODS, "protonet", Other)
    assert runner.build(make_training("protonet", train_way=5), make_lab()).embeds


@pytest.mark.parametrize("bases", [(OtherPredict,), (Mixed, ProtoNet)])
def test_a_way_around_predict_that_is_older_is_refused(bases):
    with pytest.raises(TypeError, match="Wrong declares `embeds`, but its `embed` is older than its `predict`"):
        type("Wrong", bases, {"embeds": True, "classify": ProtoNet.classify})


class Wordless(ValueError):
    """Cannot even be said."""

    def __str__(self):
        raise RuntimeError


class OfItsOwn(BaseException):
    """No `Exception`."""


RAISED = (
    SystemExit(3), GeneratorExit(), asyncio.CancelledError("gone"), KeyboardInterrupt(),
    OfItsOwn("a\nb\ud800\0\x1b[31m"), Wordless(),
    StopIteration(),
)  # fmt: skip


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["__init__", "predict", "load_training_state", "step", "training_state"])
def test_whatever_a_method_raises_fails_its_unit_alone(where, error, planned, job, make_lab, monkeypatch):
    """Also what ends a program or a generator."""

    def raises(self, *_):
        raise error

    monkeypatch.setattr(ProtoNet, "embeds", False)
    monkeypatch.setattr(ProtoNet, where, raises)
    todo = PlannedTraining(planned.cell.training, None, (planned,)) if where in ("step", "training_state") else job
    *_, failed = units.do(todo, make_lab(checkpoints="new" if todo is not job else "checkpoints"))
    assert isinstance(failed, CellFailed | TrainingFailed)
    assert type(error).__name__ in failed.reason
    assert failed.reason.isprintable()


@pytest.mark.parametrize("item", ["training", "cell"])
def test_a_second_ctrl_c_is_no_fault_of_the_method(item, planned, job, make_lab, monkeypatch):
    def interrupted(self, *_):
        raise AtOnce

    monkeypatch.setattr(ProtoNet, "step", interrupted)
    monkeypatch.setattr(ProtoNet, "embed", interrupted)
    todo = job if item == "cell" else PlannedTraining(planned.cell.training, None, (planned,))
    with pytest.raises(AtOnce):
        list(units.do(todo, make_lab()))


def test_a_method_trains_on_as_many_ways_as_bench_toml_may_say():
    """methods/ imports no configuration."""
    assert returned.MOST_WAYS == config.MOST_WAYS
