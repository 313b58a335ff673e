"""The one inner loop: gradient steps on a support set, in training and at test, for every gradient method."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fewshot_bench.methods.heads import cross_entropy, linear
from fewshot_bench.methods.later import later, mentioned
from fewshot_bench.methods.trunk import Moments, Norm, Trunk, Weights

Batch = tuple[Tensor, Tensor]  # images (T, B, C, H, W), labels (T, B)
Update = Callable[[Weights, Weights], Weights]  # (weights, gradients) -> new weights
OptimizerName = Literal["adam", "sgd"]  # Adam, as the papers use it, and SGD, under which identities of theory hold
HeadName = Literal["", "centroid", "logistic", "cosine"]
HEAD_VERSION = 1  # raise it when a head comes to compute something else
Network = Callable[[Weights, Tensor], Tensor]  # (weights, images (T, B, C, H, W)) -> logits (T, B, n_classes)


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
    lr_most: float = later(0.0)  # and no more than this, however many the ways; 0: without end
    optimizer: OptimizerName = later("sgd")  # adam: its state is new for each task
    head: HeadName = later("")  # fitted to frozen features in place of all that stands above; see frozen.py

    @property
    def identity(self) -> dict[str, Any]:
        """What a result depends on."""
        return {"head": self.head, "head_version": HEAD_VERSION} if self.head else mentioned(self)

    def rate(self, n_way: int) -> float:
        """In units of mean cross-entropy."""
        return min(self.lr_per_way * n_way, self.lr_most or math.inf)

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


def adam(lr: float) -> Update:
    """Adam (Kingma and Ba 2015) with its published constants, from a new state: for one task's steps alone."""
    moments: dict[str, tuple[Tensor, Tensor]] = {}
    count = 0

    def update(weights: Weights, gradients: Weights) -> Weights:
        nonlocal count
        count += 1
        moved = {}
        for name, gradient in gradients.items():
            first, second = moments.get(name, (torch.zeros_like(gradient),) * 2)
            moments[name] = first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            unbiased = second / (1 - 0.999**count)
            moved[name] = weights[name] - lr / (1 - 0.9**count) * first / (unbiased.sqrt() + 1e-8)
        return moved

    return update


UPDATES: dict[str, Callable[[float], Update]] = {"sgd": sgd, "adam": adam}


def slices(images: Tensor, labels: Tensor, size: int, count: int) -> Iterator[Batch]:
    """`count` consecutive mini-batches of `size`, starting again at the end; of everything if it is less.

    The images stand in a random order already (see Episodes), so nothing needs to be shuffled.
    """
    n = images.shape[1]
    for i in range(count):
        rows = torch.arange(i * size, (i + 1) * size, device=images.device) % n if size < n else slice(None)
        yield images[:, rows], labels[:, rows]


def adapt(
    logits_of: Network,
    weights: Weights,
    batches: Iterable[Batch],
    update: Update,
    *,
    second_order: bool = False,
    recompute: bool = False,
    only: tuple[str, ...] = (),
) -> tuple[Weights, Tensor]:
    """The weights after one gradient step on each batch, for T tasks at once, and the last batch's loss (T,).

    second_order keeps the graph of the gradients, so that a later gradient goes through them exactly; without
    it the steps count as constants and memory stays flat in their number. recompute: neither is kept but computed
    again when it is needed, step by step, so that memory stays flat in second order, too; not for an `update` that
    counts its calls or has learned rates, which would get no gradient.
    `only` names the weights to move.
    """
    names = only or tuple(weights)

    def step(weights: Weights, images: Tensor, labels: Tensor, create_graph: bool) -> tuple[Weights, Tensor]:
        with torch.enable_grad():
            # tasks do not touch each other: the gradient of the sum is every task's own gradient
            loss = cross_entropy(logits_of(weights, images), labels)
            moved = [weights[n] for n in names]
            gradients = torch.autograd.grad(loss.sum(), moved, create_graph=create_graph)
            return weights | update(weights, dict(zip(names, gradients, strict=True))), loss.detach()

    for batch in batches:
        if second_order and recompute:
            weights, loss = _recomputed(step, weights, batch)
        else:
            weights, loss = step(weights, *batch, second_order)
    return weights, loss


Step = Callable[[Weights, Tensor, Tensor, bool], tuple[Weights, Tensor]]


class _Recompute(torch.autograd.Function):
    """An inner step that keeps the weights it started from, and is done again when a gradient goes through it."""

    @staticmethod
    def forward(ctx: Any, step: Step, batch: Batch, names: tuple[str, ...], *values: Tensor) -> tuple[Tensor, ...]:
        ctx.step, ctx.batch, ctx.names = step, batch, names
        ctx.save_for_backward(*values)
        weights = {name: value.detach().requires_grad_() for name, value in zip(names, values, strict=True)}
        moved, loss = step(weights, *batch, False)
        ctx.mark_non_differentiable(loss)
        return loss, *(moved[name].detach() for name in names)

    @staticmethod
    def backward(ctx: Any, *of_loss_and_moved: Tensor) -> tuple[Tensor | None, ...]:
        weights = [value.detach().requires_grad_() for value in ctx.saved_tensors]
        moved, _ = ctx.step(dict(zip(ctx.names, weights, strict=True)), *ctx.batch, True)
        ends = [moved[name] for name in ctx.names]
        return None, None, None, *torch.autograd.grad(ends, weights, of_loss_and_moved[1:])


def _recomputed(step: Step, weights: Weights, batch: Batch) -> tuple[Weights, Tensor]:
    loss, *moved = _Recompute.apply(step, batch, tuple(weights), *weights.values())
    return dict(zip(weights, moved, strict=True)), loss


def classifier(trunk: Trunk, statistics: Moments | None = None) -> Network:
    """The trunk with a linear head; batch-norm by each batch's own moments, or by given constants."""
    return lambda weights, images: linear(weights, trunk(weights, images, statistics))


def query_logits(
    trunk: Trunk,
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
    trunk: Trunk,
    weights: Weights,
    support: Batch,
    queries: Tensor,
    rule: Adaptation,
    norm: Norm,
    only: tuple[str, ...] = (),
) -> Tensor:
    """Logits (T, Q, n_way) for the queries after fitting T copies of the weights to T support sets."""
    fixed = trunk.running_moments(len(queries)) if norm == "running" else None
    fitted = fit(classifier(trunk, fixed), weights, support, rule, only)
    with torch.no_grad():
        return query_logits(trunk, fitted, support[0], queries, norm)


def fit(logits_of: Network, weights: Weights, support: Batch, rule: Adaptation, only: tuple[str, ...] = ()) -> Weights:
    """The weights after fitting T copies of them to T support sets; `only` names those to fit."""
    images, labels = support
    n_way = weights["head_bias"].shape[1]
    batches = slices(images, labels, *rule.schedule(images.shape[1]))
    copies = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}
    return adapt(logits_of, copies, batches, UPDATES[rule.optimizer](rule.rate(n_way)), only=only)[0]
