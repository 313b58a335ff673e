"""Reptile (Nichol, Achiam, Schulman 2018): move the initialisation towards the weights that each task ends at.

As published: 15 shots in a training task whatever the test's, 8 inner steps of Adam with beta1 = 0 on
mini-batches of 10, 5 tasks in an outer step, and an outer step that falls linearly from 1 to 0. For characters, as on
Omniglot, 10 shots and 5 steps ([families] in bench.toml).
Deviations: Adam's second moments persist from one outer step to the next as published, but each of the
meta-batch's tasks keeps its own (published: one set, used by the tasks in turn), so that tasks do not depend
on their order; mini-batches run through the task's shuffled images without shuffling them again, so that with many
ways 8 batches of 10 do not see them all. At test the initialisation is fitted by the rule that all gradient methods
share, plain SGD (published: 50 more steps of the inner Adam): the paper compared here says "regular stochastic
gradient descent"; by default batch-norm then takes its moments from the support set alone (published: from it and
the one query that is asked, or, with transduction, all of them: one a class, not 15), and under `transductive` from
the queries alone. Poolings have no padding (published: they have, 6x6 features of 84 pixels, not 5x5).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fewshot_bench.methods.adaptation import Update, adapt, classifier, sgd, slices
from fewshot_bench.methods.interface import Episodes, Problem, TaskSource
from fewshot_bench.methods.meta_learner import MetaLearner
from fewshot_bench.methods.trunk import Moments, Norm, Weights

ADAM_BETA2, ADAM_EPSILON = 0.999, 1e-8  # Kingma & Ba 2015


@dataclass(frozen=True)
class ReptileSettings:
    """Settings of Reptile."""

    train_shot: int = 15  # images per class in a training task; published
    inner_optimizer: Literal["adam", "sgd"] = "adam"  # published: Adam with beta1 = 0
    inner_lr: float = 1e-3  # published, for Adam
    inner_steps: int = 8  # published
    inner_batch: int = 10  # images; published
    meta_batch: int = 5  # tasks in an outer step; published
    outer_step: float = 1.0  # at the start; falls linearly to 0; published
    task_reduction: Literal["mean", "sum"] = "mean"  # "sum" is Algorithm 1, line 8, to the letter
    norm: Norm = "support"


class InnerAdam:
    """Adam with beta1 = 0 for the inner loop; `slots` are its second moments, changed in place.

    steps_before: 0-dim float64, in which the bias correction keeps its digits.
    """

    def __init__(self, lr: float, slots: Weights, steps_before: Tensor) -> None:
        self.lr, self.slots, self.steps = lr, slots, steps_before

    def __call__(self, weights: Weights, gradients: Weights) -> Weights:
        """One step for each of T tasks."""
        self.steps = self.steps + 1
        correction = 1 - ADAM_BETA2**self.steps
        # lists of tensors at once: a tenth of the kernels
        names, values = list(gradients), list(gradients.values())
        slots = [self.slots[name] for name in names]
        torch._foreach_lerp_(slots, torch._foreach_pow(values, 2), 1 - ADAM_BETA2)
        lengths = torch._foreach_sqrt(torch._foreach_div(slots, correction.to(slots[0].dtype)))
        torch._foreach_add_(lengths, ADAM_EPSILON)
        moves = torch._foreach_div(torch._foreach_mul(values, self.lr), lengths)
        return dict(zip(names, torch._foreach_sub([weights[name] for name in names], moves), strict=True))


class Reptile(MetaLearner):
    """Reptile with the published inner Adam, or with plain SGD."""

    Settings: ClassVar[type] = ReptileSettings
    version: ClassVar[int] = 1
    trials = ({"train_shot": 5, "inner_steps": 2, "meta_batch": 2},)
    settings: ReptileSettings

    def __init__(self, problem: Problem, settings: ReptileSettings) -> None:
        super().__init__(problem, settings)
        # theta + eps*(mean theta_i - theta) is a step of SGD along theta - mean theta_i
        self.optimizers["outer"] = torch.optim.SGD(self.parameters(), lr=settings.outer_step)
        self.slots = nn.Module()  # the inner Adam's second moments, a set for each task of the meta-batch
        for name, weight in self.initial_weights(settings.meta_batch).items():
            # a buffer's name may hold no dot
            self.slots.register_buffer(
                name.replace(".", "/"), torch.zeros_like(weight, memory_format=torch.contiguous_format)
            )

    @classmethod
    def training_setting(cls, settings: ReptileSettings, n_way: int, n_shot: int) -> tuple[int, int]:
        """Always `train_shot` images per class, whatever the test's shots."""
        return n_way, settings.train_shot

    def draw(self, source: TaskSource) -> Episodes:
        """A meta-batch of training tasks; Reptile has no queries."""
        return source.episodes(self.settings.meta_batch, self.problem.n_way, self.problem.n_shot, 0)

    def backward(self, episodes: Episodes, iteration: Tensor) -> Tensor:
        """Set each parameter's gradient to theta - mean theta_i; returns the mean loss of the last mini-batches."""
        n_tasks, at_once = len(episodes.class_ids), self.execution.tasks_at_once
        divisor = n_tasks if self.settings.task_reduction == "mean" else 1
        start = dict(self.trunk.named_parameters()) | dict(self.head.named_parameters())
        for p in start.values():
            p.grad = torch.zeros_like(p)
        total = torch.zeros((), device=episodes.support_images.device)
        for first, some in zip(range(0, n_tasks, at_once), episodes.split(at_once), strict=True):
            ends, loss = self._train_tasks(some, first, iteration)
            for name, p in start.items():
                assert p.grad is not None
                p.grad += (p.detach() - ends[name].detach()).sum(0) / divisor
            total += loss.sum()
        return total / n_tasks

    def update(self) -> None:
        """One interpolation step; its length falls linearly over the training."""
        left = 1 - self.iteration / self.problem.iterations
        for group in self.optimizers["outer"].param_groups:
            group["lr"] = self.settings.outer_step * left
        self.optimizers["outer"].step()

    def _train_tasks(self, episodes: Episodes, first: int, iteration: Tensor) -> tuple[Weights, Tensor]:
        """The weights at which tasks first, first+1, ... of the meta-batch end, and their last loss (T,)."""
        s = self.settings
        images, labels = episodes.support_images, episodes.support_labels
        batches = list(slices(images, labels, s.inner_batch, s.inner_steps))
        ends, loss = adapt(
            classifier(self.trunk),
            self.initial_weights(len(images)),
            batches,
            self._inner_update(first, len(images), iteration),
        )
        if s.norm == "running" and self.tracks_moments:
            observed: Moments = []
            with torch.no_grad():
                self.trunk(ends, batches[-1][0], None, observed)
            self.trunk.track(observed)
        return ends, loss

    def _inner_update(self, first: int, n_tasks: int, iteration: Tensor) -> Update:
        s = self.settings
        if s.inner_optimizer == "sgd":
            return sgd(s.inner_lr)
        lanes = {n.replace("/", "."): slot[first : first + n_tasks] for n, slot in self.slots.named_buffers()}
        return InnerAdam(s.inner_lr, lanes, iteration * s.inner_steps)
