"""The contract catches what it is there to catch: one broken promise of each kind, planted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from fewshot_bench.methods import contract, registry
from fewshot_bench.methods.contract import ContractBroken, EasyImages, Subject, check_method
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.protonet import ProtoNet, ProtoNetSettings
from fewshot_bench.methods.strangers import contained

ROOT = Path(__file__).parents[2]


class Small(ProtoNet):
    """Keeps all its promises, cheaply."""

    trials = ({"train_way": 6, "norm": "support"},)


class Mutating(Small):
    def predict(self, episodes, adaptation):
        with torch.no_grad():
            next(self.parameters()).add_(1e-3)
        return super().predict(episodes, adaptation)


class Training(Small):
    def predict(self, episodes, adaptation):
        self.train()
        return super().predict(episodes, adaptation)


class Rewriting(Small):
    def predict(self, episodes, adaptation):
        episodes.support_images.mul_(0.5)
        return super().predict(episodes, adaptation)


class Random(Small):
    def predict(self, episodes, adaptation):
        logits = super().predict(episodes, adaptation)
        return logits + torch.randn_like(logits)


class Remembering(Small):
    seen = 0.0

    def predict(self, episodes, adaptation):
        self.seen = 0.5 * self.seen + 0.5 * float(episodes.support_images.mean())
        return super().predict(episodes, adaptation) + self.seen


class Flat(Small):
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation)[..., :1]


class Whole(Small):
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation).long()


class Nothing(Small):
    def predict(self, episodes, adaptation):
        return None


class WithoutGradients(Small):
    def predict(self, episodes, adaptation):
        torch.set_grad_enabled(False)
        return super().predict(episodes, adaptation)


class Double(Small):
    def step(self, source):
        losses = super().step(source)
        torch.set_default_dtype(torch.float64)
        return losses


class Named(Small):
    def step(self, source):
        return {"l" * 100: super().step(source)["loss"]}


class Late(Small):
    version = 2**80


@dataclass(frozen=True, kw_only=True)
class OddSettings(ProtoNetSettings):
    more: object = object()


class Odd(Small):
    Settings = OddSettings


class Sizeless(Small):
    @classmethod
    def training_setting(cls, settings, n_way, n_shot):
        return 5


class Graph(Small):
    def predict(self, episodes, adaptation):
        return self._logits(episodes, None)


class Infinite(Small):
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation) / 0


class Transductive(Small):
    def predict(self, episodes, adaptation):
        logits = super().predict(episodes, adaptation)
        return logits - logits.mean(1, keepdim=True)


class Mixing(Small):
    def predict(self, episodes, adaptation):
        logits = super().predict(episodes, adaptation)
        return logits - logits.mean(0, keepdim=True)


class Blind(Small):
    def predict(self, episodes, adaptation):
        return torch.zeros(*episodes.query_labels.shape, episodes.n_way)


class Cheating(Small):
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation) + nn.functional.one_hot(episodes.query_labels, episodes.n_way)


def position(episodes):
    """Where each query stands, (T, n_way*n_query)."""
    return torch.arange(episodes.query_labels.shape[1]).expand(episodes.query_labels.shape)


class ByBlock(Small):
    """Knows that queries come class by class."""

    def predict(self, episodes, adaptation):
        n_query = episodes.query_labels.shape[1] // episodes.n_way
        guessed = nn.functional.one_hot(position(episodes) // n_query, episodes.n_way)
        return super().predict(episodes, adaptation) + 0.05 * guessed


class ByTurn(Small):
    """Believes that queries come in turns."""

    trials = ({"train_way": 6, "norm": "transductive"},)

    def predict(self, episodes, adaptation):
        guessed = nn.functional.one_hot(position(episodes) % episodes.n_way, episodes.n_way)
        return super().predict(episodes, adaptation) + 0.05 * guessed


class Seedless(Small):
    def generator(self):
        return torch.Generator().manual_seed(3)


class Unseeded(Small):
    def generator(self):
        return torch.default_generator


class Forgetful(Small):
    """Has a state that no checkpoint holds."""

    rate = 1.0

    def step(self, source):
        self.rate *= 0.5
        losses = super().step(source)
        with torch.no_grad():
            next(self.parameters()).mul_(self.rate)
        return losses


class Uncounted(Small):
    def step(self, source):
        losses = super().step(source)
        self.iteration -= 1
        return losses


class Still(Small):
    def step(self, source):
        self.iteration += 1
        return {"loss": torch.zeros(())}


class Silent(Small):
    def step(self, source):
        return {"accuracy": super().step(source)["loss"]}


class Attached(Small):
    def step(self, source):
        return {"loss": super().step(source)["loss"].requires_grad_()}


class Other(Small):
    """Classifies otherwise than it predicts."""

    embeds = True

    def embed(self, images):
        return images.flatten(1)

    def classify(self, episodes, adaptation):
        return super().classify(episodes, adaptation).flip(-1)

    predict = ProtoNet.predict


class Folding(Small):
    def step(self, source):
        losses = super().step(source)
        with torch.no_grad():
            next(self.parameters()).mul_(1 + 1e-3 * self.execution.tasks_at_once)
        return losses


class Guessing(Small):
    def predict(self, episodes, adaptation):
        return super().predict(episodes, adaptation).roll(1, -1)


class Versions(Small):
    @classmethod
    def versions(cls):
        return ["1.2"]


class Elsewhere(Small):
    def step(self, source):
        losses = super().step(source)
        torch.set_default_device("meta")
        return losses


class Counting(Small):
    def step(self, source):
        losses = super().step(source)
        for optimizer in self.optimizers.values():
            for slots in optimizer.state.values():
                slots["seen"] = self.iteration
        return losses


class Breaking(Small):
    def predict(self, episodes, adaptation):
        return episodes.support_images.reshape(3, 5)


class Misnamed(Small):
    trials = ({"train_ways": 6},)


PLANTED: list[tuple[type[Method], Callable[[Subject], None], str]] = [
    (Mutating, contract.leaves_itself_alone, "predict changed trunk."),
    (Training, contract.leaves_itself_alone, "predict left the method in training mode"),
    (Rewriting, contract.leaves_itself_alone, "predict changed the episodes that it was given"),
    (Random, contract.leaves_itself_alone, "predict says something else the second time"),
    (Remembering, contract.leaves_itself_alone, "predict says something else the second time"),
    (Flat, contract.answers, "predict returned logits of shape (2, 20, 1), not (2, 20, 4)"),
    (Whole, contract.answers, "predict returned numbers of torch.int64, not floating point"),
    (Nothing, contract.answers, "predict returned a NoneType, not a tensor"),
    (WithoutGradients, contract.answers, "predict left gradients switched off"),
    (Double, contract.steps, "step left torch's default dtype at torch.float64"),
    (Elsewhere, contract.steps, "step left torch's default device at meta"),
    (Named, contract.steps, "step named a loss 'llll"),
    (Late, contract.says_what_it_is, "its versions are [1208925819614629174706176], not whole numbers from 0 to "),
    (Odd, contract.says_what_it_is, "the setting more can be in no identity: TypeError: a object is no number"),
    (Sizeless, contract.says_what_it_is, "its training setting is 5, not two whole numbers"),
    (Graph, contract.answers, "4-way 1-shot logits have their graph"),
    (Infinite, contract.answers, "4-way 1-shot logits are not finite"),
    (Transductive, contract.sees_queries_one_by_one, "a query's logits depend on other queries"),
    (Blind, contract.sees_queries_one_by_one, "a query's logits do not depend on it"),
    (Cheating, contract.sees_queries_one_by_one, "logits depend on the labels of the queries"),
    (ByBlock, contract.sees_no_order, "predict depends on the order of the queries"),
    (ByTurn, contract.sees_no_order, "predict depends on the order of the queries"),
    (Mixing, contract.takes_episodes_together, "logits of 3 episodes at once differ from one by one"),
    (Seedless, contract.follows_its_seed, "two seeds gave the same weights"),
    (Unseeded, contract.follows_its_seed, "trained twice with one seed, trunk."),
    (Forgetful, contract.goes_on_where_it_stopped, "stopped after 2 of 4 steps and restored, trunk."),
    (Uncounted, contract.steps, "step must add 1 to self.iteration, a whole number; it added 0"),
    (Still, contract.steps, "a step moved no parameter"),
    (Silent, contract.steps, "step returned ['accuracy'], no 'loss'"),
    (Attached, contract.steps, "step returned 'loss' with its graph"),
    (Other, contract.classifies_what_it_embeds, "classify differs from predict"),
    (Folding, contract.folds_tasks, "with 8 tasks at once, a step gives another trunk."),
    (Guessing, contract.beats_chance, "60 steps make "),
    (Versions, contract.says_what_it_is, "its versions are ['1.2'], not whole numbers"),
]


@pytest.fixture(autouse=True)
def _nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


@pytest.mark.parametrize(("method", "check", "said"), PLANTED, ids=[method.__name__ for method, *_ in PLANTED])
def test_a_broken_promise_is_caught_in_one_line(method, check, said):
    subject = Subject("planted", method, method.trials[0])
    with pytest.raises(ContractBroken) as broken, contained():
        check(subject)
    assert str(broken.value).startswith(said)
    assert "\n" not in str(broken.value)


def test_every_check_has_caught_something():
    assert {check for _, check, _ in PLANTED} == {*contract.EVERY_NORM, *contract.ONCE}


def test_a_method_that_keeps_its_promises_passes_and_a_broken_one_does_not():
    registry.register("small", Small)
    check_method("small")
    registry.register("small", Cheating)
    with pytest.raises(ContractBroken) as broken:
        check_method("small")
    assert str(broken.value) == "small, train_way = 6, norm = support: logits depend on the labels of the queries"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Breaking, "RuntimeError: shape '[3, 5]' is invalid"),
        (Misnamed, "TypeError: "),
        (Counting, "TypeError: optimizers['outer'] keeps 'seen' as int: only tensors are stored"),
    ],
)
def test_what_breaks_in_a_check_is_a_finding(method, said):
    registry.register("planted", method)
    problems = [finding.problem for finding in contract.findings("planted") if finding.problem]
    assert problems
    assert all(problem.startswith(said) and "\n" not in problem for problem in problems)


@pytest.mark.parametrize("method", [Nothing, WithoutGradients, Double, Elsewhere, Sizeless])
def test_what_would_fail_every_check_is_one_line_and_changes_nothing_here(method):
    registry.register("planted", method)
    with pytest.raises(ContractBroken) as broken:
        check_method("planted")
    assert "\n" not in str(broken.value)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(1).device.type == "cpu"


def test_a_method_without_trials_is_none():
    with pytest.raises(registry.UnusableMethod, match=r"Small\.trials are none: nothing would be checked"):
        registry.register("small", type("Small", (ProtoNet,), {"trials": ()}))


def test_easy_images_are_the_same_for_the_same_seed():
    a, b = EasyImages(5).novel(2), EasyImages(5).novel(2)
    assert all(map(torch.equal, a, b))
    assert not torch.equal(a.query_images, EasyImages(6).novel(2).query_images)


TRIED = """
import sys
import pytest
sys.path[:0] = {paths}
sys.dont_write_bytecode = True
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", {words}]))
"""
CODE = """
from fewshot_bench.methods.protonet import ProtoNet

class Nearest(ProtoNet):
    trials = ({"train_way": 6, "norm": "support"},)
"""


@pytest.mark.parametrize("mean", [False, True])
def test_the_tests_run_over_whatever_is_declared(mean, install, processes):
    """The contract's tests meet a package from outside the repository, whole or broken, by its entry point."""
    code = CODE + "    def predict(self, e, a):\n        return super().predict(e, a)[..., :1]\n" if mean else CODE
    module = install("neighbours", code, nearest="neighbours:Nearest")
    words = '"tests/methods/test_contract.py", "-k", "nearest"'
    done = processes.begin(TRIED.format(paths=[str(ROOT), str(module.parent)], words=words), cwd=ROOT)
    out, err = done.communicate()
    assert done.wait() == (1 if mean else 0), out + err
    if mean:
        assert "ContractBroken: predict returned logits of shape (2, 20, 1), not (2, 20, 4)" in out
    else:
        assert "13 passed" in out


def test_all_other_tests_are_of_the_house_alone(install, processes):
    """A contributor's package in the same environment, with names that tests give to theirs, too."""
    module = install("visitors", CODE, nearest="visitors:Nearest", own="visitors:Nearest")
    paths = [str(ROOT), str(module.parent)]
    done = processes.begin(TRIED.format(paths=paths, words='"tests/methods/test_registry.py"'), cwd=ROOT)
    out, err = done.communicate()
    assert done.wait() == 0, out + err
