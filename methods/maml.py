"""MAML (Finn, Abbeel, Levine 2017): an initialisation from which a few gradient steps learn a new task.

The outer gradient goes through the inner steps exactly; with `first_order` (FOMAML) the inner gradients count
as constants. Hyper-parameters as in the published code, whose inner rate of 0.01 is on a loss summed over the
classes: 0.01 times n_way in the units used here, the mean cross-entropy. Characters have those of Omniglot, see
[families] in bench.toml.
Deviations: every parameter is adapted, batch-norm's scale and shift too (the published code has no scale and
does not adapt the shift; re-implementations do); by default batch-norm takes its moments from the support set,
not from the queries (`norm = "transductive"` is the published way, at test with as many queries a class as shots, not
15); meta_batch is 4 for any shots (the paper's appendix: 2 for 5-shot).
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fewshot_bench.methods.adaptation import OptimizerName, adapt, classifier, query_logits, sgd, slices
from fewshot_bench.methods.heads import cross_entropy
from fewshot_bench.methods.interface import Episodes, Problem, TaskSource, make_optimizer
from fewshot_bench.methods.later import later
from fewshot_bench.methods.meta_learner import MetaLearner
from fewshot_bench.methods.trunk import Moments, Norm, Weights

Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class MamlSettings:
    """Settings of MAML and FOMAML."""

    first_order: bool = False
    inner_lr_per_way: float = 0.01  # times n_way: the rate in units of mean cross-entropy; published code
    inner_lr_most: float = later(0.0)  # and no more than this, however many the ways; 0: without end
    inner_steps: int = 5  # published code
    inner_batch: int = 200  # images in a sub-batch, where the support set is larger (Algorithm 1, line 5)
    meta_batch: int = 4  # tasks in an outer update; published code
    lr: float = 1e-3  # published code
    optimizer: OptimizerName = "adam"  # published code
    clip: float = field(default=10.0, metadata={"min": 1e-6})  # largest entry of a gradient; published code
    task_reduction: Reduction = "mean"  # "sum" is Algorithm 1, line 7, to the letter
    norm: Norm = "support"

    def inner_rate(self, n_way: int) -> float:
        """In units of mean cross-entropy."""
        return min(self.inner_lr_per_way * n_way, self.inner_lr_most or math.inf)


class Maml(MetaLearner):
    """Second-order MAML, or first-order with `first_order`."""

    Settings: ClassVar[type] = MamlSettings
    version: ClassVar[int] = 1
    trials = ({"inner_lr_per_way": 0.025, "inner_steps": 2, "meta_batch": 2},)
    settings: MamlSettings

    def __init__(self, problem: Problem, settings: MamlSettings) -> None:
        super().__init__(problem, settings)
        self.optimizers["outer"] = make_optimizer(settings.optimizer, self, settings.lr)

    def draw(self, source: TaskSource) -> Episodes:
        """A meta-batch of training episodes."""
        p = self.problem
        return source.episodes(self.settings.meta_batch, p.n_way, p.n_shot, p.n_query)

    def backward(self, episodes: Episodes, iteration: Tensor) -> Tensor:
        """Set the gradients of the query loss after adaptation; returns its mean over tasks."""
        self.zero_grad(set_to_none=True)
        n_tasks = len(episodes.class_ids)
        total = torch.zeros((), device=episodes.support_images.device)
        for some in episodes.split(self.execution.tasks_at_once):
            losses = self.query_loss(some)  # (at most tasks_at_once,)
            torch.autograd.backward(losses.sum() / (n_tasks if self.settings.task_reduction == "mean" else 1))
            total += losses.detach().sum()
        return total / n_tasks

    def query_loss(self, episodes: Episodes) -> Tensor:
        """(T,): each task's query loss under its adapted weights, a function of the initial ones."""
        s = self.settings
        images, labels = episodes.support_images, episodes.support_labels
        weights, _ = adapt(
            classifier(self.trunk),
            self.start(episodes),
            slices(images, labels, min(s.inner_batch, images.shape[1]), s.inner_steps),
            sgd(s.inner_rate(self.problem.n_way)),
            second_order=not s.first_order,
            recompute=self.execution.recompute,
        )
        observed: Moments | None = [] if s.norm == "running" else None
        logits = query_logits(self.trunk, weights, images, episodes.query_images, s.norm, observed)
        if observed and self.tracks_moments:
            self.trunk.track(observed)
        return cross_entropy(logits, episodes.query_labels)

    def start(self, episodes: Episodes) -> Weights:
        """The weights that the inner loop starts from, for each task."""
        return self.initial_weights(len(episodes.class_ids))

    def update(self) -> None:
        """One step of the outer optimiser along the gradients that `backward` set."""
        torch.nn.utils.clip_grad_value_(self.parameters(), self.settings.clip)
        self.optimizers["outer"].step()
