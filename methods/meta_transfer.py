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

from fewshot_bench.methods.interface import Episodes, Problem, TaskSource, make_optimizer
from fewshot_bench.methods.later import later
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.meta_learner import MetaLearner
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.supervised import SupervisedSettings, TwoLosses, instances


@dataclass(frozen=True)
class JointSettings(SupervisedSettings):
    """The choices that Algorithm 1 adds to its meta-learner's."""

    # "weighted average of these two update vectors"; no value is given
    beta: float = field(default=0.5, metadata={"max": 1})
    # line 9 takes the gradient at theta, before line 7 (old), or after it (new)
    supervised_at: Literal["old", "new"] = "old"
    # line 10 averages parameters (parameters); "two gradient updates are computed independently from these two
    # loss functions, and the model is updated using the weighted average of these" by one optimiser (gradients):
    # the supervised one, at its rate; the meta-learner's own optimiser, rate, clip and outer step are then unused
    average: Literal["parameters", "gradients"] = "parameters"
    # each head has one loss alone: line 10 to the letter scales its update by beta or 1 - beta (literal)
    head_step: Literal["literal", "full"] = "literal"
    # of `parameters`: line 10's weights add up to 1 (literal), so that under Adam, whose steps have a length of their
    # own, each loss moves the trunk half as far as alone; over the larger weight (full), at beta = 0.5 as far as alone
    trunk_step: Literal["literal", "full"] = later("literal")
    # alpha_d is a constant (constant); linear: it falls to 0 over the training, as Reptile's outer step does, which
    # otherwise leaves the end of the training to the supervised loss
    supervised_decay: Literal["constant", "linear"] = later("constant")


@dataclass(frozen=True)
class MamlMetaTransferSettings(JointSettings, MamlSettings):
    """Settings of meta-transfer on MAML."""


@dataclass(frozen=True)
class ReptileMetaTransferSettings(JointSettings, ReptileSettings):
    """Settings of meta-transfer on Reptile."""


class MetaTransfer(TwoLosses):
    """Algorithm 1 over a meta-learner."""

    Learner: ClassVar[type[MetaLearner]]
    meta: MetaLearner
    version: ClassVar[int] = 1
    settings: MamlMetaTransferSettings | ReptileMetaTransferSettings

    def __init__(self, problem: Problem, settings: MamlMetaTransferSettings | ReptileMetaTransferSettings) -> None:
        super().__init__(problem, settings, problem)
        self.meta.tracks_moments = False
        if settings.average == "gradients":
            joint = make_optimizer(settings.supervised_optimizer, self, settings.supervised_lr)
            self.optimizers = {"joint": joint}
        else:
            self.optimizers = {
                "meta": self.meta.optimizers["outer"],
                "supervised": self.transfer.optimizers["outer"],
            }

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One iteration of Algorithm 1."""
        self.meta.iteration = self.iteration
        self.meta.execution = self.transfer.execution = self.execution
        episodes = self.meta.draw(source)
        iid = self.settings.supervised_data == "iid"
        batch = source.batch(self.settings.supervised_batch) if iid else instances(episodes)
        by_gradients = self.settings.average == "gradients"
        if self.settings.supervised_decay == "linear":
            for group in self.optimizers["joint" if by_gradients else "supervised"].param_groups:
                group["lr"] = self.settings.supervised_lr * (1 - self.iteration / self.problem.iterations)
        joint = self._average_gradients if by_gradients else self._average_parameters
        meta_loss, supervised_loss = joint(episodes, *batch)
        self.iteration += 1
        return {"loss": meta_loss, "supervised_loss": supervised_loss}

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
        start = old_trunk if self.settings.supervised_at == "old" else metalearner
        _assign(trunk, self._line_ten(metalearner, _copies(trunk), start))
        if self.settings.head_step == "literal":
            for (head, weight), old in zip(heads, old_heads, strict=True):
                _assign(head.parameters(), _weighted(weight, _copies(head.parameters()), old))
        return meta_loss, supervised_loss

    def _line_ten(self, metalearner: list[Tensor], discriminator: list[Tensor], start: list[Tensor]) -> list[Tensor]:
        """The trunk's new parameters; start: where the discriminator's step began."""
        beta = self.settings.beta
        average = _weighted(beta, metalearner, discriminator)
        if self.settings.trunk_step == "literal":
            return average
        larger = max(beta, 1 - beta)
        return _weighted(1 / larger, average, start)  # start + (average - start) / larger

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
