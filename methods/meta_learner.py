"""What MAML and Reptile share: an initialisation that is learned over tasks, and fitted to a new one by gradients."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import Adaptation, fit_and_predict
from fewshot_bench.methods.backbones import make_trunk
from fewshot_bench.methods.heads import LinearHead
from fewshot_bench.methods.interface import Episodes, Method, Problem, TaskSource
from fewshot_bench.methods.trunk import Weights


class MetaLearner(Method):
    """A trunk and an n_way head; a subclass says what a meta-batch is, its gradients, and the outer step."""

    def __init__(self, problem: Problem, settings: Any) -> None:
        super().__init__(problem, settings)
        generator = self.generator()
        self.trunk = make_trunk(problem, generator)
        self.head = LinearHead(self.trunk.n_features, problem.n_way, generator)

    @abstractmethod
    def draw(self, source: TaskSource) -> Episodes:
        """A meta-batch of training tasks."""

    @abstractmethod
    def backward(self, episodes: Episodes, iteration: Tensor) -> Tensor:
        """Set each parameter's gradient; returns the loss to log, a 0-dim tensor.

        iteration: outer updates before this one, 0-dim float64; a tensor, so that all this can be recorded
        (see `execution.Recorded`).
        """

    @abstractmethod
    def update(self) -> None:
        """One outer step along the gradients that `backward` set."""

    def step(self, source: TaskSource) -> dict[str, Tensor]:
        """One outer update on a meta-batch of tasks."""
        loss = self.gradients(self.draw(source))
        self.update()
        self.iteration += 1
        return {"loss": loss}

    def gradients(self, episodes: Episodes) -> Tensor:
        """`backward` on episodes, at this iteration."""
        iteration = torch.full((), self.iteration, dtype=torch.float64, device=episodes.class_ids.device)
        return self.run(self.backward, episodes, iteration)

    def initial_weights(self, n_tasks: int) -> Weights:
        """The initialisation, seen by n_tasks tasks."""
        return self.trunk.weights(n_tasks) | self.head.weights(n_tasks)

    def predict(self, episodes: Episodes, adaptation: Adaptation) -> Tensor:
        """See `Method.predict`. The learned head is used where it fits the ways, else one of zeros."""
        n_tasks = len(episodes.class_ids)
        return fit_and_predict(
            self.trunk,
            self.trunk.weights(n_tasks) | self.head.weights_for(episodes.n_way, n_tasks),
            (episodes.support_images, episodes.support_labels),
            episodes.query_images,
            adaptation,
            self.settings.norm,
        )
