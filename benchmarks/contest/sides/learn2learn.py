"""learn2learn: its MAML wrapper and its prototypical classifier.

It has no Reptile (its example is plain PyTorch) and nothing for supervised training.
"""

from functools import partial

import torch
import torch.nn.functional as F
from learn2learn.algorithms import MAML  # pyright: ignore[reportMissingImports]  # peers are in environments of their own
from learn2learn.nn import PrototypicalClassifier  # pyright: ignore[reportMissingImports]  # as above

from benchmarks.contest.network import conv4, named
from benchmarks.contest.side import Built
from benchmarks.contest.tasks import Tasks
from benchmarks.contest.work import Work


def maml(work: Work, tasks: Tasks, dtype: torch.dtype, *, first_order: bool = False) -> Built:
    """As in its examples: clone, adapt, backward."""
    network = conv4(work, dtype)
    wrapped = MAML(network, lr=work.inner_lr, first_order=first_order)
    outer = torch.optim.Adam(wrapped.parameters(), lr=1e-3)

    def step() -> None:
        outer.zero_grad()
        for _ in range(work.n_tasks):
            support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
            learner = wrapped.clone()
            for _ in range(work.inner_steps):
                learner.adapt(F.cross_entropy(learner(support), labels))
            (F.cross_entropy(learner(queries), query_labels) / work.n_tasks).backward()
        outer.step()

    return step, named(network)


def protonet(work: Work, tasks: Tasks, dtype: torch.dtype) -> Built:
    """Its classifier, on features of support and queries in one pass."""
    network = conv4(work, dtype)
    outer = torch.optim.Adam(network.parameters(), lr=1e-3)
    classifier = PrototypicalClassifier()

    def step() -> None:
        support, labels, queries, query_labels = tasks.task(work.n_way, work.n_shot, work.n_query)
        features = network(torch.cat([support, queries]))
        classifier.fit_(features[: len(labels)], labels)
        outer.zero_grad()
        F.cross_entropy(classifier(features[len(labels) :]), query_labels).backward()
        outer.step()

    return step, named(network)


METHODS = {"maml": maml, "fomaml": partial(maml, first_order=True), "protonet": protonet}
