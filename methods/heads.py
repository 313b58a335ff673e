"""The linear head of the methods that classify, its logits and their loss, for many tasks at once."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.trunk import Weights


class LinearHead(nn.Module):
    """A linear layer over the features; its weight starts as torch's, uniform in ±1/sqrt(n_features), its bias at 0."""

    def __init__(self, n_features: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_features)
        weight = (2 * torch.rand(n_classes, n_features, generator=generator) - 1) * bound
        self.head_weight = nn.Parameter(weight)
        self.head_bias = nn.Parameter(torch.zeros(n_classes))

    def weights(self, n_tasks: int) -> Weights:
        """The head's parameters, seen by n_tasks tasks."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

    @staticmethod
    def logits(weights: Weights, features: Tensor) -> Tensor:
        """Logits (T, N, n_classes) of features (T, N, n_features) under some weights of such a head."""
        return linear(weights, features)

    def weights_for(self, n_way: int, n_tasks: int) -> Weights:
        """The learned head where it fits n_way; else one of zeros, which favours no label."""
        if n_way == self.head_bias.numel():
            return self.weights(n_tasks)
        return zero_head(self.head_weight, n_way, n_tasks)


class CosineHead(nn.Module):
    """Cosines with a weight a class, times a learned norm a class, times 2 (Chen et al. 2019, Baseline++, their code).

    Deviation: the published code takes 10 in place of 2 for more than 200 classes. Starts as `LinearHead` does.
    """

    def __init__(self, n_features: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = LinearHead(n_features, n_classes, generator).head_weight.detach()
        self.head_weight = nn.Parameter(weight)  # its direction counts
        self.head_norm = nn.Parameter(weight.norm(dim=1))

    def weights(self, n_tasks: int) -> Weights:
        """See `LinearHead.weights`."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

    @staticmethod
    def logits(weights: Weights, features: Tensor) -> Tensor:
        """Logits (T, N, n_classes) of features (T, N, n_features)."""
        directions = F.normalize(weights["head_weight"], dim=-1) * weights["head_norm"][..., None]
        return 2 * F.normalize(features, dim=-1) @ directions.transpose(1, 2)


def zero_head(like: Tensor, n_way: int, n_tasks: int) -> Weights:
    """A new linear head (n_tasks, n_way, n_features) of zeros on `like`'s (_, n_features) device."""
    weight = like.new_zeros(n_tasks, n_way, like.shape[-1])
    return {"head_weight": weight, "head_bias": like.new_zeros(n_tasks, n_way)}


def linear(weights: Weights, features: Tensor) -> Tensor:
    """Logits (T, N, n_classes) of features (T, N, n_features)."""
    return torch.baddbmm(weights["head_bias"][:, None], features, weights["head_weight"].transpose(1, 2))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(T,): each task's mean cross-entropy of logits (T, N, n_classes) against labels (T, N)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[list[Tensor]]:
    """The tensors in at least float32; inside the block no autocast shortens products. For solving equations."""
    with torch.autocast("cuda" if tensors[0].is_cuda else "cpu", enabled=False):
        yield [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]
