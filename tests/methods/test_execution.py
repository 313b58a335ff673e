"""How a step is carried out changes nothing: recorded and replayed, recomputed, or plain."""

import dataclasses
import gc
import weakref
from contextlib import nullcontext

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods import interface
from fewshot_bench.methods.adaptation import adapt, classifier, sgd, slices
from fewshot_bench.methods.execution import WARM_UP, Execution, Recorded
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running.tasks import BaseClasses, Gallery

CPU = torch.device("cpu")
STEPS = WARM_UP + 2  # the second replay is of a later iteration than was recorded
SMALL = {"train_way": 5, "train_shot": 3, "batch_size": 8, "meta_batch": 2, "inner_steps": 2, "pretraining": 0.5}
NORMS = ["support", "running"]


def make(name: str, norm: str):
    cls = METHODS[name]
    known = {f.name for f in dataclasses.fields(cls.Settings)}
    settings = cls.Settings(**{k: v for k, v in (SMALL | {"norm": norm}).items() if k in known})
    n_way, n_shot = cls.training_setting(settings, 4, 2)
    return cls(Problem(1, 16, 4, 8, n_way, n_shot, 3, STEPS * (1 + ("pretraining" in known)), 1), settings)


class Tape:
    """A CUDA graph as far as Python sees it: replays with the host's numbers as they were, into the same tensors."""

    def __init__(self, method):
        self.n_replays, self._method = 0, method

    def __call__(self, function):
        method, state = self._method, {k: v.clone() for k, v in self._method.state_dict().items()}
        iteration = method.iteration
        output = function()
        gradients = [p.grad for p in method.parameters()]
        for name, value in method.state_dict().items():
            value.copy_(state[name])  # recording computes nothing

        def replay():
            now, method.iteration = method.iteration, iteration
            inner = getattr(method, "meta", None)
            if inner:
                before, inner.iteration = inner.iteration, iteration
            output.copy_(function())
            for p, gradient in zip(method.parameters(), gradients, strict=True):
                if gradient is not None and p.grad is not gradient:
                    gradient.copy_(p.grad)
            method.iteration = now
            if inner:
                inner.iteration = before
            self.n_replays += 1

        return replay, output


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("norm", NORMS)
def test_replayed_steps_are_the_plain_ones(name, norm, images, monkeypatch):
    ends, tapes = [], []
    for recorded in (False, True):
        method = make(name, norm)
        method.execution = Execution(recorded=recorded)

        def on_tape(module, method=method):
            tapes.append(Tape(method))
            return Recorded(module, tapes[-1])

        monkeypatch.setattr(interface, "Recorded", on_tape)
        source = BaseClasses(images.parts["train"], Gallery(images, CPU), ["test"])
        losses = [method.step(source)["loss"] for _ in range(method.problem.iterations)]
        ends.append((losses, method.training_state()))
    (plain_losses, plain), (losses, replayed) = ends
    assert tapes
    assert all(tape.n_replays == STEPS - WARM_UP for tape in tapes)
    assert plain_losses == losses
    assert all(torch.equal(plain[k], replayed[k]) for k in plain)


def test_other_shapes_than_the_recorded_are_computed_plainly():
    module = torch.nn.Linear(3, 1)

    def gradients(x):
        module.zero_grad()
        loss = module(x).sum()
        loss.backward()
        return loss.detach()

    recorded = Recorded(module, lambda function: (lambda: None, function()))
    for _ in range(WARM_UP + 1):
        recorded(gradients, torch.ones(4, 3))
    assert recorded(gradients, torch.ones(2, 3)) == gradients(torch.ones(2, 3))
    assert torch.equal(module.weight.grad, torch.full((1, 3), 2.0))


def test_where_nothing_can_be_recorded_steps_go_on_plainly(images, monkeypatch):
    def refuse(function):
        raise RuntimeError("operation not permitted when stream is capturing")

    ends = []
    for recorded in (False, True):
        method = make("maml", "support")
        method.execution = Execution(recorded=recorded)
        monkeypatch.setattr(interface, "Recorded", lambda module: Recorded(module, refuse))
        source = BaseClasses(images.parts["train"], Gallery(images, CPU), ["test"])
        with pytest.warns(UserWarning, match="no CUDA graph could be made") if recorded else nullcontext():
            for _ in range(STEPS):
                method.step(source)
        ends.append(method.training_state())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


def test_a_recorded_method_is_freed_without_a_search_for_garbage(images):
    method = make("maml-mtl", "support")
    method.execution = Execution(recorded=True)
    method.step(BaseClasses(images.parts["train"], Gallery(images, CPU), ["test"]))
    known = weakref.ref(method.meta)
    gc.collect()
    gc.disable()
    try:
        del method
        assert known() is None
    finally:
        gc.enable()


def tied_tasks(images):
    sampler = bank(images, "paper", 4, 3, 0)
    drawn = [sampler.draw(i, Setting(4, 2, 3)) for i in range(2)]
    episodes = Gallery(images, CPU).collate(drawn, torch.arange(len(images.class_names)).numpy())
    return episodes._replace(
        support_images=(episodes.support_images * 4).round().double(),  # few grey levels: pooling windows tie
        query_images=(episodes.query_images * 4).round().double(),
    )


@pytest.mark.parametrize("norm", ["support", "transductive", "running"])
@pytest.mark.parametrize("inner_batch", [3, 200])
def test_recomputed_meta_gradients_are_the_kept_ones(norm, inner_batch, images):
    settings = MamlSettings(inner_steps=3, meta_batch=2, norm=norm, inner_batch=inner_batch)
    results = []
    for recompute in (False, True):
        method = Maml(Problem(1, 16, 4, 8, 4, 2, 3, 10, 1), settings).double()
        method.execution = Execution(recompute=recompute)
        loss = method.gradients(tied_tasks(images))
        results.append([loss, *(p.grad for p in method.parameters())])
    for kept, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(recomputed, kept, rtol=1e-12, atol=1e-14)


def test_recomputing_keeps_memory_flat_in_inner_steps(images):
    method, episodes = Maml(Problem(1, 16, 4, 8, 4, 2, 3, 10, 1), MamlSettings()).double(), tied_tasks(images)

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor

    def kept_bytes(recompute: bool, steps: int) -> int:
        held = weakref.WeakSet()

        def hold(tensor):
            holder = Held(tensor)
            held.add(holder)
            return holder

        batches = slices(episodes.support_images, episodes.support_labels, 8, steps)
        with torch.autograd.graph.saved_tensors_hooks(hold, lambda holder: holder.tensor):
            graph = adapt(
                classifier(method.trunk), method.initial_weights(2), batches, sgd(0.1),
                second_order=True, recompute=recompute,
            )  # fmt: skip
        storages = {h.tensor.untyped_storage().data_ptr(): h.tensor.untyped_storage().nbytes() for h in held}
        assert graph[0]["head_bias"].requires_grad
        return sum(storages.values())

    weights = 2 * sum(p.numel() for p in method.parameters()) * 8
    more_steps = kept_bytes(True, 6) - kept_bytes(True, 3)
    assert more_steps <= 3 * weights  # a step's weights, no activations
    assert kept_bytes(False, 6) - kept_bytes(False, 3) > 10 * more_steps
