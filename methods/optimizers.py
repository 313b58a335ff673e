"""The outer optimisers: Adam, as the papers use it, and SGD, under which the identities of theory hold."""

from typing import Literal

import torch
from torch import nn

OptimizerName = Literal["adam", "sgd"]


def make_optimizer(name: OptimizerName, module: nn.Module, lr: float) -> torch.optim.Optimizer:
    """An optimiser over a module's parameters."""
    kinds: dict[str, type[torch.optim.Adam | torch.optim.SGD]] = {
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
    }
    return kinds[name](module.parameters(), lr=lr)
