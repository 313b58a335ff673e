"""Logistic regression on frozen features (RFS: Tian, Wang, Krishnan, Tenenbaum, Isola 2020).

As in the published code: features of unit length, the minimum of sum of cross-entropies + |W|^2 / 2 (scikit-learn's
LogisticRegression at its defaults). Deviations: no augmented copies of the support images (published: five), no
distillation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.heads import full_precision

ITERATIONS = 30  # measured: the logits are then within 1e-5 of the minimum's, from 5-way 1-shot to 35-way 100-shot
LINE_STEPS = 3  # of Newton's method along a direction


def logistic_logits(support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
    """(T, Q, n_way) of query features (T, Q, F), given support features (T, N, F) with labels (T, N)."""
    with full_precision(support, queries) as (x, q):
        x, q = F.normalize(x, dim=-1), F.normalize(q, dim=-1)
        if x.shape[1] < x.shape[2]:  # the weights lie in the span of the support features
            basis, coordinates = torch.linalg.qr(x.transpose(1, 2))  # (T, F, N), (T, N, N)
            x, q = coordinates.transpose(1, 2), q @ basis
        weight = minimum(F.pad(x, (0, 1), value=1.0), F.one_hot(labels, n_way).to(x.dtype))
        return F.pad(q, (0, 1), value=1.0) @ weight


def minimum(x: Tensor, y: Tensor) -> Tensor:
    """(T, D, K): where the sum of cross-entropies + |W|^2 / 2 is least, for x (T, N, D) and one-hot y (T, N, K).

    The last column of x is ones, for the bias, which is not shrunk. Conjugate gradients (Polak and Ribiere) under
    Boehning's bound on the Hessian, x'x / 2 + 1 for every class, with a search along each direction; no step of one
    task depends on another, none waits for the host.
    """
    shrunk = torch.ones_like(x[:, :1].transpose(1, 2))  # (T, D, 1)
    shrunk[:, -1] = 0
    bound = torch.linalg.cholesky_ex(x.transpose(1, 2) @ x / 2 + torch.diag_embed(shrunk[..., 0]))[0]
    weight = x.new_zeros(len(x), x.shape[2], y.shape[2])
    logits, direction = torch.zeros_like(y), torch.zeros_like(weight)
    before, scale = torch.zeros_like(weight), torch.zeros_like(shrunk[:, :1])
    for _ in range(ITERATIONS):
        gradient = x.transpose(1, 2) @ (logits.softmax(-1) - y) + shrunk * weight
        towards = torch.cholesky_solve(gradient, bound)
        along = _dot(gradient, towards)
        direction = _ratio(along - _dot(before, towards), scale).clamp(min=0) * direction - towards
        direction = torch.where(_dot(gradient, direction) < 0, direction, -towards)
        before, scale = gradient, along
        change = x @ direction
        length = _search(logits, change, y, _dot(shrunk * weight, direction), _dot(shrunk * direction, direction))
        weight, logits = weight + length * direction, logits + length * change
    return weight


def _search(logits: Tensor, change: Tensor, y: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
    """(T, 1, 1): about where the loss is least along a direction that changes the logits by `change`.

    slope, bend: the penalty's first derivative at 0, and its second.
    """
    steepest = bend + change.square().sum((1, 2), keepdim=True) / 2  # no second derivative is larger

    def slope_at(length: Tensor) -> tuple[Tensor, Tensor]:
        p = (logits + length * change).softmax(-1)
        mean = (p * change).sum(-1, keepdim=True)
        first = slope + length * bend + ((p - y) * change).sum((1, 2), keepdim=True)
        return first, bend + (p * (change - mean).square()).sum((1, 2), keepdim=True)

    start, curvature = slope_at(torch.zeros_like(slope))
    safe = _ratio(-start, steepest)
    length = _ratio(-start, curvature)
    for _ in range(LINE_STEPS - 1):
        first, curvature = slope_at(length)
        length = length - _ratio(first, curvature)
    end, _ = slope_at(length)
    return torch.where(end.abs() <= start.abs() / 2, length, safe)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is not positive: there is nothing left to gain."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)
