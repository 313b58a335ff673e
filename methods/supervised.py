"""A supervised stream beside or before a meta-learner: transfer's loss on the same trunk, under a head of its own."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, OptimizerName
from fewshot_bench.methods.interface import Episodes, Method, Problem
from fewshot_bench.methods.transfer import Transfer, TransferSettings
from fewshot_bench.methods.trunk import Trunk


@dataclass(frozen=True)
class SupervisedSettings:
    """The supervised stream's data and optimiser."""

    # "all instances in the sampled tasks are used for the task-specific optimization" (tasks), or "defined over
    # the entire base model's training dataset" (iid)
    supervised_data: Literal["tasks", "iid"] = "tasks"
    supervised_batch: int = 64  # images, for iid
    supervised_lr: float = 1e-3  # alpha_d; no value is given: the transfer baseline's
    supervised_optimizer: OptimizerName = "adam"  # line 9 is plain descent; its sources use Adam


class TwoLosses(Method):
    """A learner, and transfer's training on the trunk that they share; a subclass says when each takes a step."""

    Learner: ClassVar[type[Any]]  # a method with a trunk
    meta: Any

    def __init__(self, problem: Problem, settings: Any, learned: Problem) -> None:
        """learned: the problem as the learner has it."""
        super().__init__(problem, settings)
        self.meta = self.Learner(learned, settings)
        own = TransferSettings(
            lr=settings.supervised_lr,
            batch_size=settings.supervised_batch,
            optimizer=settings.supervised_optimizer,
            norm=settings.norm,
        )
        self.transfer = Transfer(problem, own, trunk=self.meta.trunk)

    @classmethod
    def training_setting(cls, settings: Any, n_way: int, n_shot: int) -> tuple[int, int]:
        """As the learner."""
        size: tuple[int, int] = cls.Learner.training_setting(settings, n_way, n_shot)
        return size

    @classmethod
    def versions(cls) -> list[int]:
        """Its own, and those of the two methods that it is made of."""
        return [cls.version, *cls.Learner.versions(), Transfer.version]

    @property
    def trunk(self) -> Trunk:
        """The shared one."""
        trunk: Trunk = self.meta.trunk
        return trunk

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """The learner's."""
        logits: Tensor = self.meta.predict(episodes, adaptation)
        return logits


def instances(episodes: Episodes) -> tuple[Tensor, Tensor]:
    """All images (B, C, H, W) of some tasks, support and queries, with their base-class labels (B,)."""
    images = torch.cat([episodes.support_images, episodes.query_images], 1).flatten(0, 1)
    labels = torch.cat([episodes.support_labels, episodes.query_labels], 1)  # (T, N+Q) within each task
    return images, episodes.class_ids.gather(1, labels).flatten()
