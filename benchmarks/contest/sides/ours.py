"""Ours: `Method.step` as the runner calls it, on tasks from memory.

Batch-norm takes its moments from the queries themselves (`norm = "transductive"`), as in the other libraries,
except for ProtoNet, whose default does so in training, and collects running moments.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.contest.side import Built
from benchmarks.contest.tasks import Tasks, initial_weights
from benchmarks.contest.work import Work
from fewshot_bench.methods.interface import Episodes, Method, Problem
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.protonet import ProtoNet, ProtoNetSettings
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.transfer import Transfer, TransferSettings
from fewshot_bench.running.device import prepare

ENDLESS = 10**9  # outer updates: Reptile's outer step stays at its full length


class Source:
    """The tasks as our methods ask for them (`TaskSource`)."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> Episodes:
        """The next tasks, stacked."""
        drawn = [self._tasks.task(n_way, n_shot, n_query) for _ in range(n_tasks)]
        support, labels, queries, query_labels = (torch.stack(field) for field in zip(*drawn, strict=True))
        return Episodes(support, labels, queries, query_labels, torch.arange(n_way).repeat(n_tasks, 1))

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The next batch."""
        return self._tasks.batch(size)


def build(make: type[Method], settings: object, work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """One of our methods, from the weights that all sides start with."""
    prepare(torch.device("cpu"), torch.get_num_threads())  # as `bench run` sets its processes up
    problem = Problem(
        work.channels, work.pixels, work.filters, work.n_way, work.n_way, work.n_shot, work.n_query, ENDLESS, 0
    )
    method = make(problem, settings).to(dtype)
    parameters: dict[str, nn.Parameter] = {n.split(".")[-1]: p for n, p in method.named_parameters()}
    weights = initial_weights(work)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    source = Source(tasks)

    def step() -> None:
        method.step(source)

    return step, parameters


def maml(work: Work, tasks: Tasks, dtype: torch.dtype, *, first_order: bool = False) -> Built:
    """MAML or FOMAML."""
    settings = MamlSettings(
        first_order=first_order,
        inner_lr_per_way=work.inner_lr / work.n_way,
        inner_steps=work.inner_steps,
        meta_batch=work.n_tasks,
        clip=math.inf,  # as the others; the published 10 takes the same time, but changes the gradient that is compared
        norm="transductive",
    )
    return build(Maml, settings, work, tasks, dtype)


def reptile(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """Reptile."""
    settings = ReptileSettings(
        inner_lr=work.inner_lr,
        inner_steps=work.inner_steps,
        inner_batch=work.inner_batch,
        meta_batch=work.n_tasks,
        norm="transductive",
    )
    return build(Reptile, settings, work, tasks, dtype)


def protonet(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """ProtoNet."""
    return build(ProtoNet, ProtoNetSettings(), work, tasks, dtype)


def supervised(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """The training of transfer learning."""
    return build(Transfer, TransferSettings(batch_size=work.batch, norm="transductive"), work, tasks, dtype)


METHODS = {
    "maml": maml,
    "fomaml": partial(maml, first_order=True),
    "reptile": reptile,
    "protonet": protonet,
    "supervised": supervised,
}
