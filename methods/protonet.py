"""Prototypical networks (Snell, Swersky, Zemel 2017): the nearest class mean in a learned space.

Trained on episodes with more ways than the test's, scored by squared Euclidean distance; nothing is fitted at
test. Batch-norm as published: support and queries together in training, running moments at test.
Deviations: 20 ways in training for every shot (published: 30 for 1-shot, 20 for 5-shot); the learning rate is
halved every `halve_every` episodes as in the published code, but there are no validation classes to stop on, so the
last iterate is used.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.backbones import make_trunk
from fewshot_bench.methods.heads import cross_entropy
from fewshot_bench.methods.interface import Episodes, Method, Problem, TaskSource
from fewshot_bench.methods.optimizers import make_optimizer
from fewshot_bench.methods.trunk import Moments, Norm


@dataclass(frozen=True)
class ProtoNetSettings:
    """Settings of ProtoNet."""

    train_way: int = 20  # classes in a training episode, or the protocol's if more; Snell: 20 (5-shot), 30
    lr: float = 1e-3  # Adam; published code
    halve_every: int = 2000  # episodes; published code
    norm: Norm = "running"  # published code: model.eval() at test


class ProtoNet(Method):
    """Nearest prototype by squared Euclidean distance."""

    Settings: ClassVar[type] = ProtoNetSettings
    version: ClassVar[int] = 1
    adapts: ClassVar[bool] = False
    trials = ({"train_way": 6},)
    settings: ProtoNetSettings

    def __init__(self, problem: Problem, settings: ProtoNetSettings) -> None:
        super().__init__(problem, settings)
        self.trunk = make_trunk(problem, self.generator())
        self.optimizers["outer"] = make_optimizer("adam", self, settings.lr)

    @classmethod
    def training_setting(cls, settings: ProtoNetSettings, n_way: int, n_shot: int) -> tuple[int, int]:
        """More ways in training than at test help (Snell et al. 2017, table 5)."""
        return max(n_way, settings.train_way), n_shot

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One update on one episode."""
        problem, settings = self.problem, self.settings
        for group in self.optimizers["outer"].param_groups:
            group["lr"] = settings.lr * 0.5 ** (self.iteration // settings.halve_every)
        episodes = source.episodes(1, problem.n_way, problem.n_shot, problem.n_query)
        loss = self.run(self.backward, episodes)
        self.optimizers["outer"].step()
        self.iteration += 1
        return {"loss": loss}

    def backward(self, episodes: Episodes) -> Tensor:
        """Set the gradients of the mean query loss; returns it, a 0-dim tensor."""
        self.zero_grad(set_to_none=True)
        observed: Moments | None = [] if self.settings.norm == "running" else None
        loss = cross_entropy(self._logits(episodes, observed), episodes.query_labels).mean()
        torch.autograd.backward(loss)
        if observed:
            self.trunk.track(observed)
        return loss.detach()

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`; there is nothing to adapt."""
        with torch.no_grad():
            return self._logits(episodes, None)

    @property
    def embeds(self) -> bool:
        """With running moments an image's features depend on that image alone."""
        return self.settings.norm == "running"

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.trunk.embed(images)

    @torch.no_grad()
    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`."""
        return _by_prototypes(episodes.support_images, episodes.support_labels, episodes.query_images, episodes.n_way)

    def _logits(self, episodes: Episodes, observed: Moments | None) -> Tensor:
        support, queries = self._features(episodes.support_images, episodes.query_images, observed)
        return _by_prototypes(support, episodes.support_labels, queries, episodes.n_way)

    def _features(self, support: Tensor, queries: Tensor, observed: Moments | None) -> tuple[Tensor, Tensor]:
        """Features of support (T, N, C, H, W) and queries, with batch-norm as the norm mode says."""
        weights, n = self.trunk.weights(support.shape[0]), support.shape[1]
        both = torch.cat([support, queries], 1)
        if self.settings.norm == "running" and observed is None:
            features = self.trunk(weights, both, self.trunk.running_moments(support.shape[0]))
        elif self.settings.norm == "support":
            features = self.trunk(weights, both, n)
        else:
            features = self.trunk(weights, both, None, observed)
        return features[:, :n], features[:, n:]


def _by_prototypes(support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
    """Logits (T, Q, n_way) of query features (T, Q, F), given support features (T, N, F) and their labels (T, N)."""
    members = F.one_hot(labels, n_way).to(support.dtype)  # (T, N, n_way)
    prototypes = members.transpose(1, 2) @ support / members.sum(1)[..., None]  # (T, n_way, F)
    return _negative_squared_distance(queries, prototypes)


def _negative_squared_distance(queries: Tensor, prototypes: Tensor) -> Tensor:
    """(T, Q, n_way): -||q - p||^2 of queries (T, Q, F) and prototypes (T, n_way, F).

    Expanded, and without ||q||^2, which is the same for all classes; no (T, Q, n_way, F) array is made.
    """
    return 2 * queries @ prototypes.transpose(1, 2) - prototypes.square().sum(-1)[:, None]
