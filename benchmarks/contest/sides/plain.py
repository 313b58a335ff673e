"""Plain PyTorch: `functional_call` and a loop over tasks, with nothing clever and nothing clumsy in it."""

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.contest.network import conv4, named
from benchmarks.contest.side import Built
from benchmarks.contest.tasks import Tasks
from benchmarks.contest.work import Work


def maml(work: Work, tasks: Tasks, dtype: torch.dtype, *, first_order: bool = False) -> Built:
    """MAML or FOMAML."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        outer.zero_grad()
        for _ in range(work.n_tasks):
            support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
            weights: dict[str, Tensor] = dict(network.named_parameters())
            for _ in range(work.inner_steps):
                loss = F.cross_entropy(functional_call(network, weights, (support,)), labels)
                gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=not first_order)
                weights = {n: w - work.inner_lr * g for (n, w), g in zip(weights.items(), gradients, strict=True)}
            loss = F.cross_entropy(functional_call(network, weights, (queries,)), query_labels)
            (loss / work.n_tasks).backward()
        outer.step()

    return step, named(network)


def reptile(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """Reptile with its inner Adam, whose second moments persist for each task of the meta-batch."""
    network = conv4(work, dtype)
    outer = torch.optim.SGD(network.parameters(), lr=1.0)
    learners = [copy.deepcopy(network) for _ in range(work.n_tasks)]
    inner = [torch.optim.Adam(learner.parameters(), lr=work.inner_lr, betas=(0.0, 0.999)) for learner in learners]

    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for learner, optimizer in zip(learners, inner, strict=True):
            learner.load_state_dict(network.state_dict())
            support, labels, _, _ = tasks.task(work.n_way, work.n_shot, 0)
            for i in range(work.inner_steps):
                rows = torch.arange(i * work.inner_batch, (i + 1) * work.inner_batch) % len(labels)
                optimizer.zero_grad()
                F.cross_entropy(learner(support[rows]), labels[rows]).backward()
                optimizer.step()
            for start, end in zip(network.parameters(), learner.parameters(), strict=True):
                assert start.grad is not None
                start.grad += (start.detach() - end.detach()) / work.n_tasks
        outer.step()

    return step, named(network)


def protonet(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """ProtoNet, support and queries in one pass."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
        features = network(torch.cat([support, queries]))
        prototypes = torch.stack([features[: len(labels)][labels == c].mean(0) for c in range(work.n_way)])
        distances = (features[len(labels) :, None] - prototypes).square().sum(-1)
        outer.zero_grad()
        F.cross_entropy(-distances, query_labels).backward()
        outer.step()

    return step, named(network)


def supervised(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """A classifier over all classes."""
    network: nn.Module = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        images, labels = tasks.batch(work.batch)
        outer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        outer.step()

    return step, named(network)


METHODS = {
    "maml": maml,
    "fomaml": partial(maml, first_order=True),
    "reptile": reptile,
    "protonet": protonet,
    "supervised": supervised,
}
