"""The one inner loop: gradient steps on a support set, in training and at test, for every gradient method."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot_bench.methods.backbones import Conv4, Moments, Norm, Weights, cross_entropy, linear

Batch = tuple[Tensor, Tensor]  # images (T, B, C, H, W), labels (T, B)
Update = Callable[[Weights, Weights], Weights]  # (weights, gradients) -> new weights


@dataclass(frozen=True)
class Adaptation:
    """How a trained network is fitted to a new task: the same rule for every gradient method.

    The paper says only that "regular stochastic gradient descent will be used". This is the published test rule of
    MAML (Finn et al. 2017, code): full-batch steps, whose rate grows with the ways because the loss is summed over
    them. It was not tuned. Beyond `full_batch` images, where nothing is published, mini-batch SGD at the same rate.
    """

    lr_per_way: float = 0.01  # times n_way: the rate in units of mean cross-entropy
    steps: int = 10  # full-batch steps
    full_batch: int = 200  # images: the largest support set that is used whole
    batch_size: int = 64  # images in a mini-batch, beyond that
    batches: int = 50  # mini-batch steps, beyond that; at least
    epochs: int = 2  # through the support set, beyond that; at least

    def schedule(self, n_support: int) -> tuple[int, int]:
        """(images in a step, steps) for a support set of n_support images."""
        if n_support <= self.full_batch:
            return n_support, self.steps
        return self.batch_size, max(self.batches, math.ceil(self.epochs * n_support / self.batch_size))


def sgd(lr: float) -> Update:
    """Plain gradient descent."""

    def update(weights: Weights, gradients: Weights) -> Weights:
        return {name: weights[name] - lr * gradient for name, gradient in gradients.items()}

    return update


def slices(images: Tensor, labels: Tensor, size: int, count: int) -> Iterator[Batch]:
    """`count` consecutive mini-batches of `size`, starting again at the end; of everything if it is less.

    The images stand in a random order already (see Episodes), so nothing needs to be shuffled.
    """
    n = images.shape[1]
    for i in range(count):
        rows = torch.arange(i * size, (i + 1) * size, device=images.device) % n if size < n else slice(None)
        yield images[:, rows], labels[:, rows]


def adapt(
    trunk: Conv4,
    weights: Weights,
    batches: Iterable[Batch],
    update: Update,
    *,
    statistics: Moments | None = None,
    second_order: bool = False,
    only: tuple[str, ...] = (),
) -> tuple[Weights, Tensor]:
    """The weights after one gradient step on each batch, for T tasks at once, and the last batch's loss (T,).

    second_order keeps the graph of the gradients, so that a later gradient goes through them exactly; without
    it the steps count as constants and memory stays flat in their number. `only` names the weights to move.
    """
    names = only or tuple(weights)
    with torch.enable_grad():
        for images, labels in batches:
            # tasks do not touch each other: the gradient of the sum is every task's own gradient
            loss = cross_entropy(linear(weights, trunk(weights, images, statistics)), labels)
            moved = [weights[n] for n in names]
            gradients = torch.autograd.grad(loss.sum(), moved, create_graph=second_order)
            weights = weights | update(weights, dict(zip(names, gradients, strict=True)))
    return weights, loss.detach()


def query_logits(
    trunk: Conv4,
    weights: Weights,
    support: Tensor,
    queries: Tensor,
    norm: Norm,
    observed: Moments | None = None,
) -> Tensor:
    """Logits (T, Q, n_classes) of queries (T, Q, C, H, W), batch-norm's moments as `norm` says.

    support: from the support set alone, so that a query's logits depend on no other query.
    transductive: from the query set, as in the published code of MAML and Reptile.
    running: from training. With `observed`, this *is* training: the queries' own, and written there.
    """
    if norm == "support":
        both = torch.cat([support, queries], 1)
        features = trunk(weights, both, support.shape[1], observed)[:, support.shape[1] :]
    elif norm == "running" and observed is None:
        features = trunk(weights, queries, trunk.running_moments(queries.shape[0]))
    else:
        features = trunk(weights, queries, None, observed)
    return linear(weights, features)


def fit_and_predict(
    trunk: Conv4,
    weights: Weights,
    support: Batch,
    queries: Tensor,
    rule: Adaptation,
    norm: Norm,
    only: tuple[str, ...] = (),
) -> Tensor:
    """Logits (T, Q, n_way) for the queries after fitting T copies of the weights to T support sets."""
    images, labels = support
    n_way = weights["head_bias"].shape[1]
    batches = slices(images, labels, *rule.schedule(images.shape[1]))
    copies = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    fixed = trunk.running_moments(images.shape[0]) if norm == "running" else None
    fitted, _ = adapt(trunk, copies, batches, sgd(rule.lr_per_way * n_way), statistics=fixed, only=only)
    with torch.no_grad():
        return query_logits(trunk, fitted, images, queries, norm)
