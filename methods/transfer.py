"""Transfer learning: train one classifier on all base classes, then fine-tune it to the new task.

Eshratifar, Eigen, Pedram 2019: "The base model for transfer learning is trained on all 64 training classes",
then "copying the initial feature extraction layers, and fine-tuning the resulting model on the target task".
The paper gives no hyper-parameter; deviations from where those here come from: batches of 64, and no augmentation
unless [augmentation] has some (Chen et al. 2019: 16, with it; Tian et al. 2020: 64, SGD); batch-norm by default takes
its moments at test from the support set (Chen, Tian: from training, `norm = "running"`); `frozen` and fine-tuning are
fitted by the rule that all gradient methods share (Chen: 100 epochs in batches of 4).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, OptimizerName, fit, fit_and_predict
from fewshot_bench.methods.backbones import make_trunk
from fewshot_bench.methods.heads import CosineHead, LinearHead, cross_entropy, linear, zero_head
from fewshot_bench.methods.interface import Episodes, Method, Problem, TaskSource, make_optimizer
from fewshot_bench.methods.later import later
from fewshot_bench.methods.trunk import Moments, Norm, Trunk


@dataclass(frozen=True)
class TransferSettings:
    """Settings of the transfer baseline."""

    lr: float = 1e-3  # Chen et al. 2019, Baseline
    batch_size: int = 64  # Tian et al. 2020
    optimizer: OptimizerName = "adam"  # Chen et al. 2019
    frozen: bool = False  # True: fit a linear head on frozen features, as Chen et al. 2019
    norm: Norm = "support"
    # cosine: Baseline++ (Chen et al. 2019) in training; its test is the rule's head "cosine", on frozen features
    training_head: Literal["linear", "cosine"] = later("linear")


class Transfer(Method):
    """Supervised training over the base classes; a new head of zeros and fine-tuning for each new task."""

    Settings: ClassVar[type] = TransferSettings
    version: ClassVar[int] = 1
    trials = ({"batch_size": 16}, {"batch_size": 16, "frozen": True, "norm": "running"})
    settings: TransferSettings

    def __init__(self, problem: Problem, settings: TransferSettings, trunk: Trunk | None = None) -> None:
        super().__init__(problem, settings)
        generator = self.generator()
        own = make_trunk(problem, generator)
        self.trunk = trunk or own  # meta-transfer shares its trunk; the head's draw is the same either way
        head = CosineHead if settings.training_head == "cosine" else LinearHead
        self.head = head(self.trunk.n_features, problem.n_base_classes, generator)
        self.optimizers["outer"] = make_optimizer(settings.optimizer, self, settings.lr)

    @classmethod
    def training_setting(cls, settings: TransferSettings, n_way: int, n_shot: int) -> tuple[int, int]:
        """No episodes: one training serves every setting."""
        return 0, 0

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One supervised update on an i.i.d. batch of base-class images."""
        loss = self.gradients(*source.batch(self.settings.batch_size))
        self.optimizers["outer"].step()
        self.iteration += 1
        return {"loss": loss}

    def gradients(self, images: Tensor, labels: Tensor) -> Tensor:
        """`backward`, as `execution` says."""
        return self.run(self.backward, images, labels)

    def backward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients of the mean loss over images (B, C, H, W); labels (B,) are base classes."""
        self.zero_grad(set_to_none=True)
        observed: Moments | None = [] if self.settings.norm == "running" else None
        weights = self.trunk.weights(1) | self.head.weights(1)
        logits = self.head.logits(weights, self.trunk(weights, images[None], None, observed))  # (1, B, n_base_classes)
        loss = cross_entropy(logits, labels[None]).mean()
        torch.autograd.backward(loss)
        if observed:
            self.trunk.track(observed)
        return loss.detach()

    @property
    def embeds(self) -> bool:
        """Frozen features with running moments: an image's depend on that image alone."""
        return self.settings.frozen and self.settings.norm == "running"

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.trunk.embed(images)

    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`: only a linear head is left to fit."""
        head = zero_head(self.head.head_weight, episodes.n_way, len(episodes.class_ids))
        fitted = fit(linear, head, (episodes.support_images, episodes.support_labels), adaptation)
        with torch.no_grad():
            return linear(fitted, episodes.query_images)

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`."""
        n_tasks = len(episodes.class_ids)
        head = zero_head(self.head.head_weight, episodes.n_way, n_tasks)
        return fit_and_predict(
            self.trunk,
            self.trunk.weights(n_tasks) | head,
            (episodes.support_images, episodes.support_labels),
            episodes.query_images,
            adaptation,
            self.settings.norm,
            only=tuple(head) if self.settings.frozen else (),
        )
