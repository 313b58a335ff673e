"""Prototypical networks (Snell, Swersky, Zemel 2017): the nearest class mean in a learned space.

Trained on episodes with more ways than the test's, scored by squared Euclidean distance; nothing is fitted at
test. Batch-norm as published: support and queries together in training, running moments at test.
Deviations: 20 ways in training for every shot (published: 30 for 1-shot, 20 for 5-shot); the learning rate is
halved every `halve_every` episodes as in the published code, but there are no validation classes to stop on, so the
last iterate is used.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fewshot_bench.methods.embedding import EpisodicEmbedding, class_means, negative_squared_distance
from fewshot_bench.methods.trunk import Norm


@dataclass(frozen=True)
class ProtoNetSettings:
    """Settings of ProtoNet."""

    train_way: int = 20  # classes in a training episode, or the protocol's if more; Snell: 20 (5-shot), 30
    lr: float = 1e-3  # Adam; published code
    halve_every: int = 2000  # episodes; published code
    norm: Norm = "running"  # published code: model.eval() at test


class ProtoNet(EpisodicEmbedding):
    """Nearest prototype by squared Euclidean distance."""

    Settings: ClassVar[type] = ProtoNetSettings
    version: ClassVar[int] = 1
    trials = ({"train_way": 6},)
    embeds = EpisodicEmbedding.embeds

    def logits(self, support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
        """See `EpisodicEmbedding.logits`."""
        return negative_squared_distance(queries, class_means(support, labels, n_way))
