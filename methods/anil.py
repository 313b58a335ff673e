"""ANIL (Raghu, Raghu, Bengio, Vinyals 2020): MAML whose inner loop moves the head alone, in training and at test.

The control for "rapid learning or feature reuse?": what of MAML remains where features cannot adapt. MAML's settings.
Deviations: those of MAML here; under `transductive` the moments are those of support and queries together.
"""

from typing import ClassVar

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, adapt, fit, sgd, slices
from fewshot_bench.methods.embedding import features
from fewshot_bench.methods.heads import cross_entropy, linear
from fewshot_bench.methods.interface import Episodes
from fewshot_bench.methods.maml import Maml
from fewshot_bench.methods.trunk import Moments


class Anil(Maml):
    """MAML with almost no inner loop: features are computed once a task."""

    version: ClassVar[int] = 1
    trials = ({"inner_lr_per_way": 0.025, "inner_steps": 2, "meta_batch": 2, "lr": 0.01},)

    @classmethod
    def versions(cls) -> list[int]:
        """Its own, and MAML's."""
        return [cls.version, Maml.version]

    def query_loss(self, episodes: Episodes) -> Tensor:
        """(T,): each task's query loss under its adapted head, a function of the initial weights."""
        s, labels = self.settings, episodes.support_labels
        observed: Moments | None = [] if s.norm == "running" else None
        support, queries = features(self.trunk, episodes.support_images, episodes.query_images, s.norm, observed)
        head, _ = adapt(
            linear,
            self.head.weights(len(labels)),
            slices(support, labels, min(s.inner_batch, labels.shape[1]), s.inner_steps),
            sgd(s.inner_rate(self.problem.n_way)),
            second_order=not s.first_order,
        )
        if observed and self.tracks_moments:
            self.trunk.track(observed)
        return cross_entropy(linear(head, queries), episodes.query_labels)

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`; features once, then as `classify`."""
        with torch.no_grad():
            seen = features(self.trunk, episodes.support_images, episodes.query_images, self.settings.norm)
        return self.classify(episodes._replace(support_images=seen[0], query_images=seen[1]), adaptation)

    @property
    def embeds(self) -> bool:
        """With running moments an image's features depend on that image alone."""
        return self.settings.norm == "running"

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.trunk.embed(images)

    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`: the head is fitted, the learned one where it fits the ways, else one of zeros."""
        head = self.head.weights_for(episodes.n_way, len(episodes.class_ids))
        fitted = fit(linear, head, (episodes.support_images, episodes.support_labels), adaptation)
        with torch.no_grad():
            return linear(fitted, episodes.query_images)
