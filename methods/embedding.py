"""What ProtoNet and its relatives share: episodes whose classes are read off features, with nothing to fit."""

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.backbones import make_trunk
from fewshot_bench.methods.heads import cross_entropy
from fewshot_bench.methods.interface import Episodes, Method, Problem, TaskSource, make_optimizer
from fewshot_bench.methods.trunk import Moments, Norm, Trunk


class EpisodicEmbedding(Method):
    """A trunk trained on episodes; a subclass says how support features become logits of queries.

    Its settings have `lr` (Adam's), `halve_every` (episodes), `train_way` and `norm`.
    """

    adapts = False
    meta_batch = 1  # episodes in an update

    def __init__(self, problem: Problem, settings: Any) -> None:
        super().__init__(problem, settings)
        self.trunk = make_trunk(problem, self.generator())
        self.optimizers["outer"] = make_optimizer("adam", self, settings.lr)

    @abstractmethod
    def logits(self, support: Tensor, labels: Tensor, queries: Tensor, n_way: int) -> Tensor:
        """(T, Q, n_way) for query features (T, Q, F), given support features (T, N, F) and their labels (T, N)."""

    @classmethod
    def training_setting(cls, settings: Any, n_way: int, n_shot: int) -> tuple[int, int]:
        """More ways in training than at test help (Snell et al. 2017, table 5)."""
        return max(n_way, settings.train_way), n_shot

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One update on `meta_batch` episodes."""
        self.set_rate()
        loss = self.run(self.backward, self.draw(source))
        self.optimizers["outer"].step()
        self.iteration += 1
        return {"loss": loss}

    def draw(self, source: TaskSource) -> Episodes:
        """The training episodes of an update."""
        p = self.problem
        return source.episodes(self.meta_batch, p.n_way, p.n_shot, p.n_query)

    def set_rate(self) -> None:
        """The rate of this update: halved every `halve_every`."""
        for group in self.optimizers["outer"].param_groups:
            group["lr"] = self.settings.lr * 0.5 ** (self.iteration // self.settings.halve_every)

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
        return bool(self.settings.norm == "running")

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.trunk.embed(images)

    @torch.no_grad()
    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`."""
        return self.logits(episodes.support_images, episodes.support_labels, episodes.query_images, episodes.n_way)

    def _logits(self, episodes: Episodes, observed: Moments | None) -> Tensor:
        support, queries = features(
            self.trunk, episodes.support_images, episodes.query_images, self.settings.norm, observed
        )
        return self.logits(support, episodes.support_labels, queries, episodes.n_way)


def features(
    trunk: Trunk, support: Tensor, queries: Tensor, norm: Norm, observed: Moments | None = None
) -> tuple[Tensor, Tensor]:
    """Features of support (T, N, C, H, W) and queries in one pass, with batch-norm as the norm mode says.

    transductive: moments of all of them together. running: from training; with `observed`, this *is* training: the
    moments of all of them together, and written there.
    """
    weights, n = trunk.weights(support.shape[0]), support.shape[1]
    both = torch.cat([support, queries], 1)
    if norm == "running" and observed is None:
        found = trunk(weights, both, trunk.running_moments(support.shape[0]))
    elif norm == "support":
        found = trunk(weights, both, n)
    else:
        found = trunk(weights, both, None, observed)
    return found[:, :n], found[:, n:]


def class_means(support: Tensor, labels: Tensor, n_way: int) -> Tensor:
    """Prototypes (T, n_way, F) of support features (T, N, F) with labels (T, N)."""
    members = F.one_hot(labels, n_way).to(support.dtype)  # (T, N, n_way)
    return members.transpose(1, 2) @ support / members.sum(1)[..., None]


def negative_squared_distance(queries: Tensor, prototypes: Tensor) -> Tensor:
    """(T, Q, n_way): -||q - p||^2 of queries (T, Q, F) and prototypes (T, n_way, F).

    Expanded, and without ||q||^2, which is the same for all classes; no (T, Q, n_way, F) array is made.
    """
    return 2 * queries @ prototypes.transpose(1, 2) - prototypes.square().sum(-1)[:, None]
