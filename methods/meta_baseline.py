"""Meta-Baseline (Chen, Liu, Xu, Darrell, Wang 2021): a pretrained classifier, then episodes of cosine prototypes.

Both stages in one training: the first 30,000 of every 34,000 updates are transfer's, as published (100 epochs of
38,400 images by 128; 20 epochs of 200 updates), the rest are four episodes of the protocol's size each, scored by the
cosine with the class mean times a temperature that is learned from 10; SGD at 0.001, momentum 0.9, weight decay 0.0005.
Deviations: pretraining is transfer's here (Adam, batches of 64; published: SGD from 0.1, with augmentation), and the
last iterate is used, as there are no validation classes; batch-norm in the second stage as ProtoNet's.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.embedding import EpisodicEmbedding, class_means
from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.sequential import PretrainingSettings, Sequential
from fewshot_bench.methods.trunk import Norm

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4  # published code


@dataclass(frozen=True)
class MetaBaselineSettings(PretrainingSettings):
    """Settings of Meta-Baseline."""

    pretraining: float = field(default=30 / 34, metadata={"max": 1})  # share of the iterations; published
    supervised_data: Literal["tasks", "iid"] = "iid"
    lr: float = 1e-3  # SGD, of the episodes; published code
    temperature: float = 10.0  # at the start; published code
    norm: Norm = "running"


class CosinePrototypes(EpisodicEmbedding):
    """Nearest class mean by cosine."""

    Settings: ClassVar[type] = MetaBaselineSettings
    version: ClassVar[int] = 1
    meta_batch = 4
    settings: MetaBaselineSettings
    embeds = EpisodicEmbedding.embeds

    def __init__(self, problem: Problem, settings: MetaBaselineSettings) -> None:
        super().__init__(problem, settings)
        self.temperature = nn.Parameter(torch.tensor(settings.temperature))
        sgd = torch.optim.SGD(self.parameters(), settings.lr, MOMENTUM, weight_decay=WEIGHT_DECAY)
        self.optimizers["outer"] = sgd

    @classmethod
    def training_setting(cls, settings: MetaBaselineSettings, n_way: int, n_shot: int) -> tuple[int, int]:
        """The protocol's own."""
        return n_way, n_shot

    def set_rate(self) -> None:
        """It is a constant."""

    def logits(self, support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
        """See `EpisodicEmbedding.logits`."""
        prototypes = F.normalize(class_means(support, labels, n_way), dim=-1)
        return self.temperature * F.normalize(queries, dim=-1) @ prototypes.transpose(1, 2)


class MetaBaseline(Sequential):
    """Transfer's training, then episodes of cosine prototypes."""

    Settings: ClassVar[type] = MetaBaselineSettings
    Learner = CosinePrototypes
    adapts = False
    trials = ({"supervised_batch": 16},)
    meta: CosinePrototypes

    @property
    def embeds(self) -> bool:
        """As its prototypes."""
        return self.meta.embeds

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.meta.embed(images)

    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`."""
        return self.meta.classify(episodes, adaptation)
