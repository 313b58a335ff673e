"""Heads on frozen features against scikit-learn and torch's own optimiser, and the contract for each."""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods import contract, frozen
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.contract import EasyImages, Subject
from fewshot_bench.methods.cosine_head import cosine_logits
from fewshot_bench.methods.frozen import HEADS, Frozen
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.logistic_head import logistic_logits
from fewshot_bench.methods.registry import find_method


@pytest.fixture(autouse=True)
def _few_base_images(monkeypatch):
    monkeypatch.setattr(frozen, "BATCHES", 2)


def tasks(n_way: int, n_shot: int, n_features: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """Two tasks' support features, labels and query features, in float64, none below zero as after a ReLU."""
    g = torch.Generator().manual_seed(0)
    means = torch.rand(2, n_way, n_features, generator=g, dtype=torch.float64) / 2
    labels = torch.stack(
        [torch.arange(n_way).repeat(n_shot)[torch.randperm(n_way * n_shot, generator=g)] for _ in "ab"]
    )

    def around(labels: Tensor) -> Tensor:
        centres = means.gather(1, labels[..., None].expand(-1, -1, n_features))
        return (centres + torch.randn(centres.shape, generator=g, dtype=torch.float64) / 2).relu() + 1e-3

    return around(labels), labels, around(torch.arange(n_way).repeat(2, 4))


@pytest.mark.parametrize(("n_way", "n_shot"), [(5, 1), (20, 5), (5, 100)])
def test_logistic_regression_is_scikit_learn_s(n_way, n_shot):
    from sklearn.linear_model import LogisticRegression

    support, labels, queries = tasks(n_way, n_shot)
    mine = logistic_logits(support, labels, queries, n_way)
    for t in range(2):
        x, q = (F.normalize(features[t], dim=-1).numpy() for features in (support, queries))
        theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x, labels[t].numpy()).decision_function(q)
        free = mine[t] - mine[t].mean(-1, keepdim=True)  # a number added to all classes says nothing
        torch.testing.assert_close(free, torch.from_numpy(theirs - theirs.mean(-1, keepdims=True)), rtol=0, atol=2e-6)


def test_logistic_regression_in_single_precision_gives_the_same_answers():
    support, labels, queries = tasks(20, 5)
    exact = logistic_logits(support, labels, queries, 20)
    torch.testing.assert_close(
        logistic_logits(support.float(), labels, queries.float(), 20).double(), exact, rtol=0, atol=1e-4
    )


def test_the_cosine_classifier_is_torch_s_sgd_on_a_weight_normed_layer():
    """As the published code builds it, in the order that the support images stand in."""
    support, labels, queries = tasks(5, 2)
    mine = cosine_logits(support, labels, queries, 5)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(24, 5, bias=False).double())
    draw = torch.rand(5, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        layer.weight = (2 * draw - 1) / 24**0.5
    sgd = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, dampening=0.9, weight_decay=0.001)
    x = F.normalize(support[0], dim=-1)
    for i in range(100 * 3):  # ten images are three batches of four, which start again at the end
        rows = torch.arange(4 * i, 4 * i + 4) % 10
        sgd.zero_grad()
        F.cross_entropy(2 * layer(x[rows]), labels[0, rows]).backward()
        sgd.step()
    torch.testing.assert_close(mine[0], 2 * layer(F.normalize(queries[0], dim=-1)).detach(), rtol=1e-9, atol=1e-9)


def test_the_nearest_centroid_is_that_of_centred_features_of_unit_length():
    method, episodes = made("transfer"), EasyImages(1).novel(1)
    logits = method.predict(episodes, Adaptation(head="centroid"))[0]
    support, queries = (
        F.normalize(method.embed(images[0]) - method.centre, dim=1)
        for images in (episodes.support_images, episodes.query_images)
    )
    means = torch.stack([support[episodes.support_labels[0] == c].mean(0) for c in range(episodes.n_way)])
    distances = torch.cdist(queries, means).square()
    torch.testing.assert_close(-distances, logits - queries.square().sum(1, keepdim=True), rtol=1e-4, atol=1e-4)


@functools.cache
def made(name: str, iterations: int = 3, seed: int = 1) -> Frozen:
    method = find_method(name)
    return Frozen(Subject(name, method, method.trials[0]).trained(iterations, seed), EasyImages())


class Headed(Subject):
    """A method under a head."""

    def trained(self, iterations: int = 3, seed: int = 1, tasks_at_once: int = 1) -> Method:
        return copy.deepcopy(made(self.name, iterations, seed))


APPLIES = (
    contract.answers, contract.leaves_itself_alone, contract.takes_episodes_together, contract.sees_queries_one_by_one,
    contract.classifies_what_it_embeds, contract.beats_chance,
)  # fmt: skip


@pytest.mark.parametrize("check", APPLIES)
@pytest.mark.parametrize("head", list(HEADS))
def test_a_head_does_what_every_method_must(check, head, monkeypatch):
    monkeypatch.setattr(contract, "RULE", Adaptation(head=head))
    method = find_method("transfer")
    check(Headed("transfer", method, method.trials[0]))


@pytest.mark.parametrize("name", ["maml-mtl", "pretrained-maml", "protonet"])
def test_any_method_with_a_trunk_can_have_a_head(name):
    logits = made(name).predict(EasyImages(1).novel(2), Adaptation(head="logistic"))
    assert logits.isfinite().all()


def test_the_moments_are_those_of_base_images_whatever_the_method_s_norm():
    method = find_method("transfer")
    features = []
    for norm in ("support", "running"):
        trained = Subject("transfer", method, {"batch_size": 16, "norm": norm}).trained()
        features.append(Frozen(trained, EasyImages()).embed(EasyImages(3).batch(8)[0]))
    assert torch.equal(*features)
    assert float(features[0].mean()) > 0.05
