"""R2-D2 (Bertinetto, Henriques, Torr, Vedaldi 2019): ridge regression in closed form on learned features.

W = (X'X / N + lambda I)^-1 X'Y / N on the support set, with a column of ones for the bias; logits are alpha times the
queries' regression, and gradients go through the solution. As in the published code: 16 ways in training, Adam at
5e-3 halved every 2,000 episodes, lambda from 50, and the N (the paper's equation has none: its lambda is N times this).
Deviations: lambda and alpha are learned through their logarithms, so that they stay positive (the published code
learns alpha and, by its default, keeps lambda); alpha starts at 1 (published code: 1e-4); the paper's shift, the same
for all classes, is left out, as cross-entropy cannot see it; features are the backbone's last block, with ReLU and
without dropout (the published network joins its last two, and has leaky ReLU and dropout of 0.1); training episodes
have the protocol's shots and queries (published code: 1 to 9 shots, drawn, and queries up to 15 images a class); the
last iterate is used, as there are no validation classes.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.embedding import EpisodicEmbedding
from fewshot_bench.methods.heads import full_precision
from fewshot_bench.methods.interface import Problem, make_optimizer
from fewshot_bench.methods.trunk import Norm


@dataclass(frozen=True)
class R2D2Settings:
    """Settings of R2-D2."""

    train_way: int = 16  # classes in a training episode, or the protocol's if more; published code
    lr: float = 5e-3  # Adam; published code
    halve_every: int = 2000  # episodes; published code
    ridge: float = field(default=50.0, metadata={"min": 1e-6})  # lambda at the start; published code
    norm: Norm = "running"  # published code


class R2D2(EpisodicEmbedding):
    """A ridge regression onto the classes, solved anew for each task."""

    Settings: ClassVar[type] = R2D2Settings
    version: ClassVar[int] = 1
    trials = ({"train_way": 6},)
    settings: R2D2Settings
    embeds = EpisodicEmbedding.embeds

    def __init__(self, problem: Problem, settings: R2D2Settings) -> None:
        super().__init__(problem, settings)
        self.log_ridge = nn.Parameter(torch.tensor(math.log(settings.ridge)))
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.optimizers["outer"] = make_optimizer("adam", self, settings.lr)

    def logits(self, support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
        """See `EpisodicEmbedding.logits`."""
        with full_precision(support, queries) as (x, q):
            weight = ridge_regression(_with_ones(x), labels, n_way, self.log_ridge.exp())  # (T, F+1, n_way)
            return self.log_scale.exp() * _with_ones(q) @ weight


def ridge_regression(x: Tensor, labels: Tensor, n_way: int, ridge: Tensor) -> Tensor:
    """(T, F, n_way): (X'X + N ridge I)^-1 X'Y of x (T, N, F), through the smaller of two systems (Woodbury)."""
    y, n, across = F.one_hot(labels, n_way).to(x.dtype), x.shape[1], x.transpose(1, 2)  # y: (T, N, n_way)
    few = n < x.shape[2]
    gram = x @ across if few else across @ x
    system = gram + n * ridge * torch.eye(gram.shape[-1], device=x.device, dtype=x.dtype)
    solution: Tensor = torch.linalg.solve_ex(system, y if few else across @ y)[0]
    return across @ solution if few else solution


def _with_ones(x: Tensor) -> Tensor:
    return F.pad(x, (0, 1), value=1.0)
