"""A supervised stream beside or before a meta-learner: transfer's loss on the same trunk, under a head of its own."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.optimizers import OptimizerName
from fewshot_bench.methods.transfer import Transfer, TransferSettings
from fewshot_bench.methods.trunk import Norm, Trunk


@dataclass(frozen=True)
class SupervisedSettings:
    """The supervised stream's data and optimiser."""

    # "all instances in the sampled tasks are used for the task-specific optimization" (tasks), or "defined over
    # the entire base model's training dataset" (iid)
    supervised_data: Literal["tasks", "iid"] = "tasks"
    supervised_batch: int = 64  # images, for iid
    supervised_lr: float = 1e-3  # alpha_d; no value is given: the transfer baseline's
    supervised_optimizer: OptimizerName = "adam"  # line 9 is plain descent; its sources use Adam


def supervised_on(trunk: Trunk, problem: Problem, settings: SupervisedSettings, norm: Norm) -> Transfer:
    """Transfer's training on a trunk that it shares."""
    own = TransferSettings(
        lr=settings.supervised_lr,
        batch_size=settings.supervised_batch,
        optimizer=settings.supervised_optimizer,
        norm=norm,
    )
    return Transfer(problem, own, trunk=trunk)


def instances(episodes: Episodes) -> tuple[Tensor, Tensor]:
    """All images (B, C, H, W) of some tasks, support and queries, with their base-class labels (B,)."""
    images = torch.cat([episodes.support_images, episodes.query_images], 1).flatten(0, 1)
    labels = torch.cat([episodes.support_labels, episodes.query_labels], 1)  # (T, N+Q) within each task
    return images, episodes.class_ids.gather(1, labels).flatten()
