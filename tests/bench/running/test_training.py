"""The runner trains: to the end, through interruptions bit for bit, and no further than to a loss that is none."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_bench.errors import BenchError
from fewshot_bench.experiment.plan import PlannedTraining
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.running import runner, units
from fewshot_bench.running.checkpoint import Checkpoints, Unusable
from fewshot_bench.running.curves import Losses
from fewshot_bench.running.events import Progressed, Saved, Trained, TrainingFailed

META = {"meta_batch": 2, "inner_steps": 1}
REPTILE = {"meta_batch": 2, "inner_steps": 2, "train_shot": 4}
SMALL = {"transfer": {"batch_size": 8}, "protonet": {"train_way": 5}, "r2d2": {"train_way": 5}}
SMALL |= dict.fromkeys(["maml", "anil", "protomaml", "maml-mtl", "pretrained-maml"], META)
SMALL |= dict.fromkeys(["reptile", "reptile-mtl", "pretrained-reptile"], REPTILE)

ITERATIONS = 13  # an odd number of them, so that the last comes between two points of the curves


@pytest.fixture(autouse=True)
def _points_at_every_second_iteration(monkeypatch):
    monkeypatch.setattr(runner, "CURVE_POINTS", ITERATIONS // 2)


@pytest.fixture(params=list(METHODS))
def training(request, make_training):
    own, known = METHODS[request.param].Settings(), {"train_way": 5, "batch_size": 8} | META
    small = SMALL.get(request.param, {key: value for key, value in known.items() if hasattr(own, key)})
    return make_training(request.param, ITERATIONS, **small)


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> tuple[dict, Path]:
    """The events of uninterrupted trainings by key, and the folder of their weights."""
    return {}, tmp_path_factory.mktemp("known")


@pytest.fixture
def whole(training, make_lab, known) -> list:
    """The events of the uninterrupted training, computed once a method."""
    events, folder = known
    if training.key not in events:
        events[training.key] = run(training, make_lab(checkpoints=folder))
    return events[training.key]


@pytest.fixture
def quick(make_training):
    """The cheapest training, for what does not depend on the method."""
    return make_training("transfer", ITERATIONS, **SMALL["transfer"])


def curve(events) -> dict[int, dict[str, float]]:
    return {e.progress.iteration: e.losses for e in events if isinstance(e, Progressed)}


def run(training, lab) -> list:
    return list(runner.train(training, lab))


def until_stopped(training, lab) -> list:
    """The events before it raises Stopped."""
    events, training_ = [], runner.train(training, lab)
    while True:
        try:
            events.append(next(training_))
        except runner.Stopped:
            return events


def stop_at(*steps: int):
    """A should_stop that is asked once a step, and says yes at some."""
    count = iter(range(1, 10**6))
    return lambda: next(count) in steps


def test_a_training_ends_with_stored_weights(training, whole, known, make_lab):
    lab = make_lab(checkpoints=known[1])
    *progressed, finished = whole
    assert isinstance(finished, Trained)
    assert finished.progress.iteration == training.iterations
    assert finished.progress.images_seen > 0
    assert finished.progress.seconds > 0
    assert finished.progress.peak_memory_bytes > 2**20
    assert list(curve(progressed)) == [*range(2, ITERATIONS, 2), ITERATIONS]
    method = runner.load(training, finished.checkpoint, lab)
    assert method.iteration == training.iterations
    assert lab.checkpoints.save_finished(method.training_state()) == finished.checkpoint


def test_stopped_and_resumed_is_uninterrupted_bit_for_bit(training, whole, make_lab):
    events = until_stopped(training, make_lab(stop_at(3)))  # between two points of the curves
    events += until_stopped(training, make_lab(stop_at(5)))
    events += run(training, make_lab())
    assert events[-1].checkpoint == whole[-1].checkpoint
    assert curve(events) == curve(whole)
    assert events[-1].progress.images_seen == whole[-1].progress.images_seen


class OnceIn(Checkpoints):
    """Saves a partial state only at one iteration, as if SAVE_SECONDS had passed just then."""

    iteration = 5

    def save_partial(self, training_key, state):
        if int(state["iteration"]) == self.iteration:
            super().save_partial(training_key, state)


def test_killed_and_resumed_is_uninterrupted_bit_for_bit(training, whole, make_lab, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SAVE_SECONDS", 0.0)
    killed = make_lab()
    killed = runner.Laboratory(**vars(killed) | {"checkpoints": OnceIn(tmp_path / "checkpoints")})
    before = []
    for event in runner.train(training, killed):
        before.append(event)
        if event.progress.iteration == 8:
            break  # nothing more is saved
    after = run(training, make_lab())
    assert min(curve(after)) == 6  # it went on from iteration 5
    assert after[-1].checkpoint == whole[-1].checkpoint
    assert curve(before) | curve(after) == curve(whole)
    assert all(curve(before)[i] == curve(after)[i] for i in curve(before).keys() & curve(after).keys())


def test_time_counts_over_interruptions(quick, make_lab, monkeypatch):
    seconds = iter(range(10**6))
    monkeypatch.setattr("fewshot_bench.running.runner.time.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(runner, "SAVE_SECONDS", 1e9)
    first = until_stopped(quick, make_lab(stop_at(6)))[-1].progress.seconds
    goes_on, then, *_ = run(quick, make_lab())
    assert isinstance(goes_on, Saved)
    assert goes_on.progress.seconds == first < then.progress.seconds


def test_a_stop_in_the_last_step_finishes(quick, make_lab):
    assert isinstance(run(quick, make_lab(stop_at(quick.iterations)))[-1], Trained)


def test_a_stop_before_the_first_step_loses_nothing(quick, make_lab):
    until_stopped(quick, make_lab(stop_at(1)))
    assert run(quick, make_lab())[-1].checkpoint == run(quick, make_lab(checkpoints="whole"))[-1].checkpoint


def test_a_damaged_partial_state_is_only_lost(quick, make_lab, tmp_path):
    whole = run(quick, make_lab(checkpoints="whole"))
    until_stopped(quick, make_lab(stop_at(6)))
    (partial,) = (tmp_path / "checkpoints").iterdir()
    content = bytearray(partial.read_bytes())
    content[len(content) // 2] ^= 1
    partial.write_bytes(content)
    with pytest.raises(Unusable, match="it is damaged: it was not used"):
        run(quick, make_lab())
    events = run(quick, make_lab())
    assert min(curve(events)) == 2  # from the start
    assert events[-1].checkpoint == whole[-1].checkpoint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("iteration"), "other code saved it"),
        (lambda state: state.update(iteration=state["drawn/images"][None].repeat(2)), "other code saved it"),
        (lambda state: state["iteration"].fill_(-5), "it stands at iteration -5"),
        (lambda state: state["iteration"].fill_(10**6), "it stands at iteration 1000000"),
    ],
)
def test_a_state_of_other_code_is_put_aside_and_nothing_is_said_of_the_method(change, said, quick, make_lab):
    whole, lab = run(quick, make_lab(checkpoints="whole")), make_lab()
    until_stopped(quick, make_lab(stop_at(6)))
    state = lab.checkpoints.load_partial(quick)
    change(state)
    lab.checkpoints.save_partial(quick, state)
    planned = PlannedTraining(quick, None, ())
    _, warned, *events = units.do(planned, lab)
    assert said in warned.text
    assert "it was not used" in warned.text
    assert events[-1].checkpoint == whole[-1].checkpoint


def test_missing_or_damaged_weights_are_not_used(quick, make_lab, tmp_path):
    sha256 = run(quick, make_lab())[-1].checkpoint
    path = tmp_path / "checkpoints" / f"{sha256}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    for name in (sha256, "0" * 64):
        with pytest.raises(FileNotFoundError, match=f"{name} are missing or damaged"):
            runner.load(quick, name, make_lab())


def test_a_kill_between_the_weights_and_the_database_loses_nothing(quick, make_lab, monkeypatch):
    """The partial state stays until someone says that the end is recorded."""
    monkeypatch.setattr(runner, "SAVE_SECONDS", 0.0)
    end = run(quick, make_lab())[-1]
    again = run(quick, make_lab())
    assert min(curve(again)) == ITERATIONS
    assert again[-1].checkpoint == end.checkpoint


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", [1, 4, 5, ITERATIONS])
def test_a_loss_that_is_none_stops_the_training(bad, step, quick, make_lab, monkeypatch):
    original = METHODS["transfer"].step

    def broken(self, source):
        losses = original(self, source)
        return losses if self.iteration < step else {"loss": losses["loss"] * bad}

    monkeypatch.setattr(METHODS["transfer"], "step", broken)
    *before, end = run(quick, make_lab())
    assert isinstance(end, TrainingFailed)
    assert end.progress.iteration == step
    assert end.reason == f"training diverged: loss not finite at iteration {step}"
    assert max(curve(before), default=0) < step  # no point of the curves is made of it


def test_weights_that_are_none_are_not_stored(quick, make_lab, tmp_path, monkeypatch):
    original = METHODS["transfer"].step

    def broken(self, source):
        losses = original(self, source)
        if self.iteration == ITERATIONS:
            torch.nn.init.constant_(self.head.head_bias, float("nan"))
        return losses

    monkeypatch.setattr(METHODS["transfer"], "step", broken)
    end = run(quick, make_lab())[-1]
    assert isinstance(end, TrainingFailed)
    assert f"weights not finite at iteration {ITERATIONS}" in end.reason
    assert not (tmp_path / "checkpoints").exists()


def test_a_learning_rate_beyond_reason_diverges(make_training, make_lab):
    wild = make_training("maml", ITERATIONS, inner_lr_per_way=1e38, meta_batch=2, inner_steps=3)
    assert isinstance(run(wild, make_lab())[-1], TrainingFailed)


def test_a_disk_that_cannot_be_written_is_one_line(quick, make_lab, tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(BenchError, match="cannot be written"):
        run(quick, make_lab())


def test_seeds_differ_and_global_generators_are_left_alone(make_training, make_lab):
    def states() -> list:
        return [random.getstate(), *map(str, np.random.get_state()), *torch.get_rng_state().tolist()]

    before = states()
    ends = {run(make_training("transfer", ITERATIONS, s, batch_size=8), make_lab())[-1].checkpoint for s in (0, 1, 0)}
    assert len(ends) == 2
    assert states() == before


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), torch.AcceleratorError("CUDA error")])
def test_a_gpu_that_fails_ends_the_run_and_keeps_what_was_saved(error, place, bench, monkeypatch):
    calls, step = [], Transfer.step

    def failing(self, source):
        if len(calls) == 3:
            raise error
        calls.append(self.iteration)
        return step(self, source)

    monkeypatch.setattr(runner, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(Transfer, "step", failing)
    words = ("run", "-q", "--method", "transfer", "--jobs", "1")
    ran = bench(*words)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "the GPU failed" in ran.err
    monkeypatch.setattr(Transfer, "step", lambda self, source: (calls.append(self.iteration), step(self, source))[1])
    assert bench(*words).code == 0
    assert calls == sorted(set(calls))  # no step was taken twice


def test_losses_go_on_where_the_training_computes():
    losses = Losses()
    losses.load_state({"pending/loss": torch.ones(2)}, torch.device("meta"))
    losses.add({"loss": torch.ones((), device="meta")})
    assert len(losses) == 3
    assert losses._values["loss"][0].device.type == "meta"


@pytest.mark.parametrize(
    "loss", [torch.tensor(torch.nan), torch.tensor(-torch.inf), torch.tensor(1e301, dtype=torch.float64)]
)
def test_a_loss_that_cannot_be_kept_is_none(loss):
    losses = Losses()
    losses.add({"loss": torch.tensor(3.0, dtype=loss.dtype)})
    losses.add({"loss": loss})
    assert losses.first_not_finite() == 1
