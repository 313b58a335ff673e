"""Meta-transfer learning (Eshratifar, Eigen, Pedram 2019, Algorithm 1): one trunk, two losses, averaged updates.

    7/8: theta_metalearner   = theta after a step of MAML / of Reptile
    9:   theta_discriminator = theta - alpha_d grad L_(x,y)
    10:  theta               = beta theta_metalearner + (1 - beta) theta_discriminator

Not to be confused with "Meta-Transfer Learning" of Sun et al. 2019, another method. Algorithm 1 leaves much
open; each choice is a setting here, with the paper's words beside it. Where the words allow it, the default is
the literal reading. Two choices have no setting: the N-way and the all-classes losses need heads of different
sizes, so each has its own; and running moments (norm "running") are fed by the supervised stream alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Episodes, Method, Problem, TaskSource
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.meta_learner import MetaLearner
from fewshot_bench.methods.optimizers import OptimizerName, make_optimizer
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.transfer import Transfer, TransferSettings


@dataclass(frozen=True)
class JointSettings:
    """The choices that Algorithm 1 adds to its meta-learner's."""

    # "weighted average of these two update vectors"; no value is given
    beta: float = field(default=0.5, metadata={"max": 1})
    # "all instances in the sampled tasks are used for the task-specific optimization" (tasks), or "defined over
    # the entire base model's training dataset" (iid)
    supervised_data: Literal["tasks", "iid"] = "tasks"
    supervised_batch: int = 64  # images, for iid
    supervised_lr: float = 1e-3  # alpha_d; no value is given: the transfer baseline's
    supervised_optimizer: OptimizerName = "adam"  # line 9 is plain descent; its sources use Adam
    # line 9 takes the gradient at theta, before line 7 (old), or after it (new)
    supervised_at: Literal["old", "new"] = "old"
    # line 10 averages parameters (parameters); "two gradient updates are computed independently from these two
    # loss functions, and the model is updated using the weighted average of these" by one optimiser (gradients):
    # the supervised one, at its rate; the meta-learner's own optimiser, rate, clip and outer step are then unused
    average: Literal["parameters", "gradients"] = "parameters"
    # each head has one loss alone: line 10 to the letter scales its update by beta or 1 - beta (literal)
    head_step: Literal["literal", "full"] = "literal"


@dataclass(frozen=True)
class MamlMetaTransferSettings(JointSettings, MamlSettings):
    """Settings of meta-transfer on MAML."""


@dataclass(frozen=True)
class ReptileMetaTransferSettings(JointSettings, ReptileSettings):
    """Settings of meta-transfer on Reptile."""


class MetaTransfer(Method):
    """Algorithm 1 over a meta-learner."""

    Learner: ClassVar[type[MetaLearner]]
    version: ClassVar[int] = 1
    settings: MamlMetaTransferSettings | ReptileMetaTransferSettings

    def __init__(self, problem: Problem, settings: MamlMetaTransferSettings | ReptileMetaTransferSettings) -> None:
        super().__init__(problem, settings)
        self.meta = self.Learner(problem, settings)
        supervised = TransferSettings(
            lr=settings.supervised_lr,
            batch_size=settings.supervised_batch,
            optimizer=settings.supervised_optimizer,
            norm=settings.norm,
        )
        self.transfer = Transfer(problem, supervised, trunk=self.meta.trunk)
        self.meta.tracks_moments = False
        if settings.average == "gradients":
            joint = make_optimizer(settings.supervised_optimizer, self, settings.supervised_lr)
            self.optimizers = {"joint": joint}
        else:
            self.optimizers = {
                "meta": self.meta.optimizers["outer"],
                "supervised": self.transfer.optimizers["outer"],
            }

    @classmethod
    def training_setting(
        cls, settings: MamlMetaTransferSettings | ReptileMetaTransferSettings, n_way: int, n_shot: int
    ) -> tuple[int, int]:
        """As the meta-learner."""
        return cls.Learner.training_setting(settings, n_way, n_shot)

    @classmethod
    def versions(cls) -> list[int]:
        """Its own, and those of the two methods that it is made of."""
        return [cls.version, cls.Learner.version, Transfer.version]

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One iteration of Algorithm 1."""
        self.meta.iteration = self.iteration
        self.meta.execution = self.transfer.execution = self.execution
        episodes = self.meta.draw(source)
        batch = self._supervised_batch(episodes, source)
        joint = self._average_gradients if self.settings.average == "gradients" else self._average_parameters
        meta_loss, supervised_loss = joint(episodes, *batch)
        self.iteration += 1
        return {"loss": meta_loss, "supervised_loss": supervised_loss}

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """The meta-learner's prediction from the shared trunk."""
        return self.meta.predict(episodes, adaptation)

    def _supervised_batch(self, episodes: Episodes, source: TaskSource) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and base-class labels (B,) for line 9."""
        if self.settings.supervised_data == "iid":
            return source.batch(self.settings.supervised_batch)
        images = torch.cat([episodes.support_images, episodes.query_images], 1).flatten(0, 1)
        labels = torch.cat([episodes.support_labels, episodes.query_labels], 1)  # (T, N+Q) within each task
        return images, episodes.class_ids.gather(1, labels).flatten()

    def _average_parameters(self, episodes: Episodes, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Lines 7 to 10 to the letter: two optimisers, two states, and the resulting parameters averaged."""
        beta, trunk = self.settings.beta, list(self.meta.trunk.parameters())
        heads = [(self.meta.head, beta), (self.transfer.head, 1 - beta)]
        old_trunk, old_heads = _copies(trunk), [_copies(head.parameters()) for head, _ in heads]
        meta_loss = self.meta.gradients(episodes)
        self.meta.update()  # line 7 or 8
        metalearner = _copies(trunk)
        if self.settings.supervised_at == "old":
            _assign(trunk, old_trunk)
        supervised_loss = self.transfer.gradients(images, labels)
        self.transfer.optimizers["outer"].step()  # line 9
        _assign(trunk, _weighted(beta, metalearner, _copies(trunk)))  # line 10
        if self.settings.head_step == "literal":
            for (head, weight), old in zip(heads, old_heads, strict=True):
                _assign(head.parameters(), _weighted(weight, _copies(head.parameters()), old))
        return meta_loss, supervised_loss

    def _average_gradients(self, episodes: Episodes, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One optimiser on beta g_meta + (1 - beta) g_supervised."""
        literal, beta, trunk = self.settings.head_step == "literal", self.settings.beta, self.meta.trunk
        meta_loss = self.meta.gradients(episodes)
        of_meta = [p.grad for p in trunk.parameters()]
        supervised_loss = self.transfer.gradients(images, labels)  # sets the trunk's gradients anew
        for p, g in zip(trunk.parameters(), of_meta, strict=True):
            assert p.grad is not None
            assert g is not None
            p.grad = beta * g + (1 - beta) * p.grad
        if literal:
            for head, weight in ((self.meta.head, beta), (self.transfer.head, 1 - beta)):
                for p in head.parameters():
                    assert p.grad is not None
                    p.grad *= weight
        self.optimizers["joint"].step()
        return meta_loss, supervised_loss


class MamlMetaTransfer(MetaTransfer):
    """Meta-transfer with MAML as its meta-learner."""

    Settings: ClassVar[type] = MamlMetaTransferSettings
    trials = tuple({**trial, "supervised_lr": 3e-3} for trial in Maml.trials)
    Learner = Maml


class ReptileMetaTransfer(MetaTransfer):
    """Meta-transfer with Reptile as its meta-learner."""

    Settings: ClassVar[type] = ReptileMetaTransferSettings
    trials = tuple({**trial, "supervised_lr": 3e-3} for trial in Reptile.trials)
    Learner = Reptile


def _copies(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def _weighted(beta: float, a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    return list(torch._foreach_add(torch._foreach_mul(a, beta), torch._foreach_mul(b, 1 - beta)))


@torch.no_grad()
def _assign(parameters: Iterable[Tensor], values: list[Tensor]) -> None:
    torch._foreach_copy_(list(parameters), values)
