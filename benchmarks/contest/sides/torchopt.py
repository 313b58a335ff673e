"""torchopt: MAML by its differentiable optimiser, FOMAML by its functional SGD. It has nothing for the others."""

import torch
import torch.nn.functional as F
import torchopt
from torch import Tensor
from torch.func import functional_call

from benchmarks.contest.network import conv4, named
from benchmarks.contest.side import Built
from benchmarks.contest.tasks import Tasks
from benchmarks.contest.work import Work


def maml(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """As in its examples: MetaSGD steps, the network put back after each task."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inner = torchopt.MetaSGD(network, lr=work.inner_lr)
    parameters = named(network)  # before the inner optimiser puts other tensors in their places

    def step() -> None:
        outer.zero_grad()
        start = torchopt.extract_state_dict(network, by="reference", detach_buffers=True)
        optimizer_start = torchopt.extract_state_dict(inner, by="reference")
        for _ in range(work.n_tasks):
            support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
            for _ in range(work.inner_steps):
                inner.step(F.cross_entropy(network(support), labels))
            (F.cross_entropy(network(queries), query_labels) / work.n_tasks).backward()
            torchopt.recover_state_dict(network, start)
            torchopt.recover_state_dict(inner, optimizer_start)
        outer.step()

    return step, parameters


def fomaml(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """Its functional interface, with gradients that count as constants."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)
    optimizer = torchopt.sgd(work.inner_lr)

    def step() -> None:
        outer.zero_grad()
        for _ in range(work.n_tasks):
            support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
            weights: dict[str, Tensor] = dict(network.named_parameters())
            state = optimizer.init(weights)
            for _ in range(work.inner_steps):
                loss = F.cross_entropy(functional_call(network, weights, (support,)), labels)
                gradients = torch.autograd.grad(loss, list(weights.values()))
                updates, state = optimizer.update(dict(zip(weights, gradients, strict=True)), state, inplace=False)
                weights = torchopt.apply_updates(weights, updates, inplace=False)
            loss = F.cross_entropy(functional_call(network, weights, (queries,)), query_labels)
            (loss / work.n_tasks).backward()
        outer.step()

    return step, named(network)


METHODS = {"maml": maml, "fomaml": fomaml}
