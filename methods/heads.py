"""The linear head of the methods that classify, its logits and their loss, for many tasks at once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.trunk import Weights


class LinearHead(nn.Module):
    """A linear layer over the features; starts as torch's does, uniform in ±1/sqrt(n_features)."""

    def __init__(self, n_features: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_features)
        weight = (2 * torch.rand(n_classes, n_features, generator=generator) - 1) * bound
        self.head_weight = nn.Parameter(weight)
        self.head_bias = nn.Parameter(torch.zeros(n_classes))

    def weights(self, n_tasks: int) -> Weights:
        """The head's parameters, seen by n_tasks tasks."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

    def weights_for(self, n_way: int, n_tasks: int) -> Weights:
        """The learned head where it fits n_way; else one of zeros, which favours no label."""
        if n_way == self.head_bias.numel():
            return self.weights(n_tasks)
        return zero_head(self.head_weight, n_way, n_tasks)


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
