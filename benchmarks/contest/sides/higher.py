"""higher: its differentiable SGD. It has MAML's inner loop and nothing else."""

from functools import partial

import higher
import torch
import torch.nn.functional as F

from benchmarks.contest.network import conv4, named
from benchmarks.contest.side import Built
from benchmarks.contest.tasks import Tasks
from benchmarks.contest.work import Work


def maml(work: Work, tasks: Tasks, dtype: torch.dtype, *, first_order: bool = False) -> Built:
    """As in its examples; first order: the adapted weights' gradients are added to the initial ones'."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)
    inner = torch.optim.SGD(network.parameters(), lr=work.inner_lr)

    def step() -> None:
        outer.zero_grad()
        for _ in range(work.n_tasks):
            support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
            with higher.innerloop_ctx(
                network, inner, copy_initial_weights=False, track_higher_grads=not first_order
            ) as (learner, optimizer):
                for _ in range(work.inner_steps):
                    optimizer.step(F.cross_entropy(learner(support), labels))
                loss = F.cross_entropy(learner(queries), query_labels) / work.n_tasks
                if first_order:
                    gradients = torch.autograd.grad(loss, list(learner.parameters()))
                    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
                else:
                    loss.backward()
        outer.step()

    return step, named(network)


METHODS = {"maml": maml, "fomaml": partial(maml, first_order=True)}
