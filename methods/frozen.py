"""Heads on frozen features: what a trained trunk is worth where nothing but a classifier is fitted to a task.

The head belongs to the rule of adaptation (`adaptation = { head = "logistic" }`), not to the training: heads share one,
and any method with a trunk can have one. Features are the trained trunk's under batch-norm's moments over base images,
whatever the method's norm: an image's depend on that image alone, and each is embedded once for all heads.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, HeadName
from fewshot_bench.methods.centroid_head import centroid_logits
from fewshot_bench.methods.cosine_head import cosine_logits
from fewshot_bench.methods.interface import Episodes, Method, TaskSource
from fewshot_bench.methods.logistic_head import logistic_logits
from fewshot_bench.methods.trunk import Moments, Trunk

# (support features (T, N, F), labels (T, N), query features (T, Q, F), n_way) -> logits (T, Q, n_way)
Head = Callable[[Tensor, Tensor, Tensor, int], Tensor]
HEADS: dict[HeadName, Head] = {"centroid": centroid_logits, "logistic": logistic_logits, "cosine": cosine_logits}
BATCHES = BATCH = 64  # of base images: batch-norm's moments are the mean over so many batches; as many for the centre


class Frozen(Method):
    """A trained method's trunk, frozen, under the head that the rule names; it is not trained further."""

    Settings: ClassVar[type] = object
    version: ClassVar[int] = 1

    def __init__(self, trained: Method, source: TaskSource, *, keep_moments: bool = False) -> None:
        """trained: a finished method, whose `trunk` is changed; source: of the base classes that it was trained on.

        keep_moments: the trunk's own, as those of a pretrained network that was not trained further.
        """
        super().__init__(trained.problem, trained.settings)
        trunk = getattr(trained, "trunk", None)
        if not isinstance(trunk, Trunk):
            raise TypeError(f"{type(trained).__name__} has no `trunk`, whose features a head could be fitted to")
        self.trunk = trunk
        if not keep_moments:
            _take_moments(trunk, source)
        self.register_buffer("centre", _centre(trunk, source))
        self.centre: Tensor
        self.eval()

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """There is none."""
        raise NotImplementedError

    @property
    def embeds(self) -> bool:
        """Always."""
        return True

    def embed(self, images: Tensor) -> Tensor:
        """See `Method.embed`."""
        return self.trunk.embed(images)

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`."""
        return self.classify(episodes.embedded(self.embed), adaptation)

    @torch.no_grad()
    def classify(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.classify`."""
        support, queries = episodes.support_images, episodes.query_images
        if adaptation.head == "centroid":
            support, queries = support - self.centre, queries - self.centre
        return HEADS[adaptation.head](support, episodes.support_labels, queries, episodes.n_way)


@torch.no_grad()
def _take_moments(trunk: Trunk, source: TaskSource) -> None:
    """Set the running moments to their mean over batches of base images."""
    for i in range(BATCHES):
        images, _ = source.batch(BATCH)
        observed: Moments = []
        trunk(trunk.weights(1), images[None], None, observed)
        trunk.track(observed, 1 / (i + 1))


@torch.no_grad()
def _centre(trunk: Trunk, source: TaskSource) -> Tensor:
    """The mean feature (F,) of batches of base images under the running moments."""
    features = torch.cat([trunk.embed(source.batch(BATCH)[0]) for _ in range(BATCHES)])
    return features.to(torch.promote_types(features.dtype, torch.float32)).mean(0)
