"""What a backbone is to the methods: features under weights that are handed to it, for many tasks at once.

Weights are arguments, not state, because the gradient methods give every task weights of its own and differentiate
through how they came about. Batch-norm's moments are arguments, too: which images they come from is a setting.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["support", "transductive", "running"]
Weights = dict[str, Tensor]  # each with a leading task dimension T
Moments = list[tuple[Tensor, Tensor]]  # per layer: mean (T*C,), variance (T*C,)

EPSILON = 1e-5
MOMENTUM = 0.1  # of the running moments; torch's default


class Trunk(nn.Module, ABC):
    """A network without a head. Its parameters are the ones to learn; its buffers are batch-norm's running moments."""

    n_features: int

    @abstractmethod
    def forward(
        self,
        weights: Weights,
        images: Tensor,
        statistics: int | Moments | None = None,
        observed: Moments | None = None,
    ) -> Tensor:
        """Features (T, N, n_features) of images (T, N, C, H, W) under T sets of weights.

        statistics: what batch-norm normalises with. None: all N images. An int n: the first n images (the
        support set, whose moments then serve the queries behind it). Moments: constants.
        observed: a list that receives the moments of every layer, detached.
        """

    @abstractmethod
    def running_buffers(self) -> Moments:
        """The running mean (C,) and variance (C,) of every layer, in the order of `observed`; `track` changes them."""

    def weights(self, n_tasks: int) -> Weights:
        """The trunk's parameters, seen by n_tasks tasks; gradients flow back to the one trunk."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Features (N, n_features) of images (N, C, H, W) under the running moments, which ties none to another."""
        features: Tensor = self(self.weights(1), images[None], self.running_moments(1))[0]
        return features

    def running_moments(self, n_tasks: int) -> Moments:
        """The moments collected in training, for n_tasks tasks."""
        return [(mean.repeat(n_tasks), variance.repeat(n_tasks)) for mean, variance in self.running_buffers()]

    @torch.no_grad()
    def track(self, observed: Moments, share: float = MOMENTUM) -> None:
        """Move the running moments that share of the way to those of a pass (averaged over its tasks)."""
        for (running_mean, running_variance), (mean, variance) in zip(self.running_buffers(), observed, strict=True):
            n = running_mean.numel()
            running_mean.lerp_(mean.view(-1, n).mean(0).type_as(running_mean), share)
            running_variance.lerp_(variance.view(-1, n).mean(0).type_as(running_variance), share)


def moments_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (channels,) of x (N, channels, H, W), detached."""
    # on a CPU var_mean takes ten times as long, and batch-norm's own moments of a channels-last x lose two digits
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean((0, 2, 3))
    variance = (x - mean[:, None, None]).square().mean((0, 2, 3))
    return mean, variance


def normalise(
    x: Tensor, gamma: Tensor, beta: Tensor, by: int | tuple[Tensor, Tensor] | None, epsilon: float = EPSILON
) -> Tensor:
    """Batch-norm of x (N, channels, H, W) by its own moments, by its first images' or by given ones."""
    if not torch.is_grad_enabled() and not isinstance(by, tuple):
        by = moments_of(x[:by])
    if isinstance(by, tuple):
        return F.batch_norm(x, *by, gamma, beta, training=False, eps=epsilon)
    if by is None:
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=epsilon)
    # written out, because the native operator lets no gradient into given moments
    variance, mean = torch.var_mean(x[:by], (0, 2, 3), correction=0)
    scale = gamma * torch.rsqrt(variance + epsilon)
    return x * scale[:, None, None] + (beta - mean * scale)[:, None, None]
