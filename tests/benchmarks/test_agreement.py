"""The comparison of gradients: ours passes it, and the shortcut that it is there for does not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.contest import network
from benchmarks.contest.agreement import REFERENCE, compare, difference, is_right
from benchmarks.contest.conversation import WorkerFailed
from benchmarks.contest.images import in_levels, with_channels
from benchmarks.contest.network import conv4, tied_windows
from benchmarks.contest.side import Answers, builders
from benchmarks.contest.sides import ours, plain
from benchmarks.contest.tasks import Tasks, initial_weights
from benchmarks.contest.work import METHODS, Work


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Flat patches of four levels, in 64 classes."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (64, 20, 1, 4, 4)).repeat(4, -1).repeat(4, -2)
    file = tmp_path_factory.mktemp("images") / "flat.npy"
    np.save(file, in_levels(patches.astype(np.uint8)))
    return file


def tiny(method: str) -> Work:
    return Work(method, 16, 1, 4, **METHODS[method]).smaller()


def gradients(side: str, method: str, images) -> dict[str, torch.Tensor]:
    work, tasks = tiny(method), Tasks(images, torch.float64)
    step, parameters = builders(side)[method](work, tasks, torch.float64)
    step()
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


@pytest.mark.parametrize("method", METHODS)
def test_ours_equals_plain_pytorch(method, images):
    assert is_right(difference(gradients("ours", method, images), gradients("plain", method, images)))


def test_large_gradients_are_compared_as_they_are(images, monkeypatch):
    """Our MAML clips them by default."""

    def steep(work):
        weights = initial_weights(work)
        return weights | {"gamma3": 1000 * weights["gamma3"]}

    monkeypatch.setattr(ours, "initial_weights", steep)
    monkeypatch.setattr(network, "initial_weights", steep)
    monkeypatch.setitem(METHODS, "maml", METHODS["maml"] | {"inner_lr": 1e-7})
    expected = gradients("plain", "maml", images)
    assert max(float(g.abs().max()) for g in expected.values()) > 10
    assert is_right(difference(gradients("ours", "maml", images), expected))


def test_first_order_is_not_taken_for_second_order(images):
    assert difference(gradients("plain", "fomaml", images), gradients("plain", "maml", images)) > 1e-3


class EveryTie(torch.autograd.Function):
    """Max-pooling whose gradient goes to every largest value of a window: right only where nothing ties."""

    @staticmethod
    def forward(ctx, x):
        pooled = F.max_pool2d(x, 2)
        ctx.save_for_backward(x, pooled)
        return pooled

    @staticmethod
    def backward(ctx, gradient):
        x, pooled = ctx.saved_tensors

        def wide(t):
            return t.repeat_interleave(2, -1).repeat_interleave(2, -2)

        return wide(gradient) * (x == wide(pooled))


def test_a_gradient_to_every_tie_is_found(images, monkeypatch):
    right = gradients("plain", "fomaml", images)

    def with_shortcut(work, dtype):
        shortcut = conv4(work, dtype)
        for i in range(4):
            setattr(shortcut, f"pool{i}", Shortcut())
        return shortcut

    class Shortcut(torch.nn.Module):
        def forward(self, x):
            return EveryTie.apply(x)

    monkeypatch.setattr(plain, "conv4", with_shortcut)
    assert difference(gradients("plain", "fomaml", images), right) > 0.01


def test_windows_tie_on_flat_images_and_not_on_noise(images, tmp_path):
    untrained = conv4(tiny("maml"), torch.float64)
    batch, _ = Tasks(images, torch.float64).batch(20)
    assert tied_windows(untrained, batch) > 0.05
    noise = torch.rand(batch.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert tied_windows(untrained, noise) == 0


def test_difference_is_relative_to_each_tensor():
    theirs = {"a": torch.tensor([100.0, 1.0]), "b": torch.tensor([1e-6])}
    assert difference({"a": torch.tensor([100.0, 2.0]), "b": torch.tensor([1e-6])}, theirs) == pytest.approx(0.01)
    assert difference({"a": theirs["a"], "b": torch.tensor([2e-6])}, theirs) == pytest.approx(1.0)


@pytest.mark.parametrize("mine", [{}, {"a": torch.tensor([float("nan")])}])
def test_what_is_missing_or_no_number_is_infinitely_wrong(mine):
    assert difference(mine, {"a": torch.tensor([1.0])}) == float("inf")
    assert not is_right(float("inf"))
    assert not is_right("it failed")


class Here:
    """A worker in this process; one kind of side cannot be asked."""

    def __init__(self, side: str) -> None:
        self._answers = Answers(side) if side != "broken" else None

    def ask(self, question, **details):
        if self._answers is None:
            raise WorkerFailed("it is broken")
        return getattr(self._answers, question)(**details)


def test_compare_names_who_is_right_and_who_fails(images):
    workers = {side: Here(side) for side in (REFERENCE, "ours", "broken")}
    outcomes, tied = compare(workers, tiny("maml"), images)
    assert outcomes["broken"] == "it is broken"
    assert is_right(outcomes["ours"])
    assert outcomes[REFERENCE] == 0
    assert tied > 0.05


def test_levels_and_channels():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.unique(in_levels(ramp)).tolist() == [0, 85, 170, 255]
    colour = with_channels(ramp, 3)
    assert colour.shape == (3, 16, 16)
    assert (with_channels(colour, 1) == ramp).all()
    assert with_channels(ramp, 1) is ramp
