"""Proto-MAML (Triantafillou et al. 2020, Meta-Dataset): MAML whose head starts at ProtoNet's classifier.

Class c starts with the weight 2 p_c and the bias -|p_c|^2 of its prototype p_c, at any number of ways, and outer
gradients go through the prototypes; the control for "is MAML's weak part its head's start?". MAML's settings.
Deviations: those of MAML here; second order by default (published runs: first order, `first_order = true`); the
published inner rate of 0.31, on a ResNet-18, was searched for and is not taken over.
"""

from typing import ClassVar

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, fit_and_predict
from fewshot_bench.methods.embedding import class_means
from fewshot_bench.methods.interface import Episodes, Problem, make_optimizer
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.trunk import Moments, Weights


class ProtoMaml(Maml):
    """MAML with prototypes as its head's start."""

    version: ClassVar[int] = 1

    def __init__(self, problem: Problem, settings: MamlSettings) -> None:
        super().__init__(problem, settings)
        del self.head  # there is none to learn
        self.optimizers["outer"] = make_optimizer(settings.optimizer, self, settings.lr)

    @classmethod
    def versions(cls) -> list[int]:
        """Its own, and MAML's."""
        return [cls.version, Maml.version]

    def start(self, episodes: Episodes, moments: Moments | None = None) -> Weights:
        """The trunk's weights, and prototypes from the support set; by its own moments unless given.

        The prototypes are made from other views of the trunk than the inner loop moves, so that its gradients do not
        take the head for a function of the trunk; the outer ones do.
        """
        n_tasks = len(episodes.class_ids)
        support = self.trunk(self.trunk.weights(n_tasks), episodes.support_images, moments)
        prototypes = class_means(support, episodes.support_labels, episodes.n_way)  # (T, n_way, F)
        head = {"head_weight": 2 * prototypes, "head_bias": -prototypes.square().sum(-1)}
        return self.trunk.weights(n_tasks) | head

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`."""
        norm, n_tasks = self.settings.norm, len(episodes.class_ids)
        moments = self.trunk.running_moments(n_tasks) if norm == "running" else None
        with torch.no_grad():
            start = self.start(episodes, moments)
        support = episodes.support_images, episodes.support_labels
        return fit_and_predict(self.trunk, start, support, episodes.query_images, adaptation, norm)
