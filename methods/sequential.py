"""Pretrain, then meta-learn: the two losses of meta-transfer one after the other, on the same trunk.

The control that decides whether training them jointly is what helps: the recipe of Meta-Baseline (Chen et al. 2021)
and of pretrained MAML (Ye and Chao 2022) at meta-transfer's own cost. With twice meta-transfer's iterations and a
share of 1/2 it takes as many supervised steps on as many images, and then as many meta-steps on as many tasks, by the
same optimisers at the same rates. What differs beside the order: each stage draws images of its own.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from fewshot_bench.methods.interface import Problem, TaskSource
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.supervised import SupervisedSettings, TwoLosses, instances


@dataclass(frozen=True)
class PretrainingSettings(SupervisedSettings):
    """What comes before the meta-learner."""

    pretraining: float = field(default=0.5, metadata={"max": 1})  # share of the iterations; meta-transfer's cost


@dataclass(frozen=True)
class PretrainedMamlSettings(PretrainingSettings, MamlSettings):
    """Settings of pretrained MAML."""


@dataclass(frozen=True)
class PretrainedReptileSettings(PretrainingSettings, ReptileSettings):
    """Settings of pretrained Reptile."""


class Sequential(TwoLosses):
    """Transfer's training, then a learner's from the trunk that it left."""

    version: ClassVar[int] = 1

    def __init__(self, problem: Problem, settings: Any) -> None:
        pretraining_steps = round(settings.pretraining * problem.iterations)
        super().__init__(problem, settings, replace(problem, iterations=problem.iterations - pretraining_steps))
        self.pretraining_steps = pretraining_steps
        self.optimizers = {
            "supervised": self.transfer.optimizers["outer"],
            "meta": self.meta.optimizers["outer"],
        }

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One update of the stage that is on."""
        self.meta.execution = self.transfer.execution = self.execution
        self.meta.iteration = self.iteration - self.pretraining_steps
        pretrains = self.iteration < self.pretraining_steps
        losses = {"loss": self._pretrain(source)} if pretrains else self.meta.step(source)
        self.iteration += 1
        return losses

    def _pretrain(self, source: TaskSource) -> Tensor:
        iid = self.settings.supervised_data == "iid"
        batch = source.batch(self.settings.supervised_batch) if iid else instances(self.meta.draw(source))
        loss = self.transfer.gradients(*batch)
        self.transfer.optimizers["outer"].step()
        return loss


class PretrainedMaml(Sequential):
    """MAML from a pretrained trunk."""

    Settings: ClassVar[type] = PretrainedMamlSettings
    trials = tuple({**trial, "supervised_lr": 3e-3} for trial in Maml.trials)
    Learner = Maml


class PretrainedReptile(Sequential):
    """Reptile from a pretrained trunk."""

    Settings: ClassVar[type] = PretrainedReptileSettings
    trials = tuple({**trial, "supervised_lr": 3e-3} for trial in Reptile.trials)
    Learner = Reptile
