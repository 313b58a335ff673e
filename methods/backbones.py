"""Conv-4, the backbone of the papers compared here (Vinyals et al. 2016; Finn et al. 2017; Snell et al. 2017).

T tasks with T sets of weights run as one network: tasks are folded into channels, so that images are
(N, T*C, H, W), convolutions have T groups, and batch-norm, which works per channel, needs no change.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["support", "transductive", "running"]
Weights = dict[str, Tensor]  # each with a leading task dimension T
Moments = list[tuple[Tensor, Tensor]]  # per layer: mean (T*C,), variance (T*C,)

SMALLEST = 16  # pixels: four poolings leave one
EPSILON = 1e-5
MOMENTUM = 0.1  # of the running moments; torch's default


class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, batch-norm, ReLU and 2x2 max-pooling without padding.

    Convolutions have no bias: the batch-norm after them would take it out again. Pooling comes before ReLU,
    which gives the same values and gradients for a quarter of the work.
    """

    def __init__(self, in_channels: int, image_size: int, filters: int, generator: torch.Generator) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ValueError(f"Conv-4 halves its input four times: {image_size} pixels are fewer than {SMALLEST}")
        self.n_features = filters * (image_size // SMALLEST) ** 2
        channels = in_channels
        for i in range(4):
            spread = math.sqrt(2 / (9 * channels))  # He et al. 2015
            weight = torch.randn(filters, channels, 3, 3, generator=generator) * spread
            self.register_parameter(f"conv{i}", nn.Parameter(weight))
            self.register_parameter(f"gamma{i}", nn.Parameter(torch.ones(filters)))
            self.register_parameter(f"beta{i}", nn.Parameter(torch.zeros(filters)))
            self.register_buffer(f"running_mean{i}", torch.zeros(filters))
            self.register_buffer(f"running_var{i}", torch.ones(filters))
            channels = filters

    def weights(self, n_tasks: int) -> Weights:
        """The trunk's parameters, seen by n_tasks tasks; gradients flow back to the one trunk."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

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
        n_tasks, n_images = images.shape[:2]
        x = images.transpose(0, 1).flatten(1, 2)  # (N, T*C, H, W)
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            x = x.contiguous(memory_format=torch.channels_last)  # twice as fast forwards, slower backwards
        for i in range(4):
            x = F.conv2d(x, weights[f"conv{i}"].flatten(0, 1), padding=1, groups=n_tasks)
            if observed is not None:
                variance, mean = torch.var_mean(x.detach(), (0, 2, 3), correction=0)
                observed.append((mean, variance))
            gamma, beta = weights[f"gamma{i}"].flatten(), weights[f"beta{i}"].flatten()  # (T*filters,)
            fixed = statistics[i] if isinstance(statistics, list) else None
            x = _normalise(x, gamma, beta, fixed or (statistics if isinstance(statistics, int) else None))
            x = F.relu(F.max_pool2d(x, 2))
        return x.reshape(n_images, n_tasks, -1).transpose(0, 1)  # (T, N, n_features)

    def running_moments(self, n_tasks: int) -> Moments:
        """The moments collected in training, for n_tasks tasks."""
        buffers = dict(self.named_buffers())
        return [
            (buffers[f"running_mean{i}"].repeat(n_tasks), buffers[f"running_var{i}"].repeat(n_tasks)) for i in range(4)
        ]

    @torch.no_grad()
    def track(self, observed: Moments) -> None:
        """Move the running moments towards those of a training pass (averaged over its tasks)."""
        buffers = dict(self.named_buffers())
        for i, (mean, variance) in enumerate(observed):
            n = buffers[f"running_mean{i}"].numel()
            buffers[f"running_mean{i}"].lerp_(mean.view(-1, n).mean(0), MOMENTUM)
            buffers[f"running_var{i}"].lerp_(variance.view(-1, n).mean(0), MOMENTUM)


def _normalise(x: Tensor, gamma: Tensor, beta: Tensor, by: int | tuple[Tensor, Tensor] | None) -> Tensor:
    """Batch-norm of x (N, channels, H, W) by its own moments, by its first images' or by given ones."""
    if by is None:
        return F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPSILON)
    if isinstance(by, tuple):
        return F.batch_norm(x, *by, gamma, beta, training=False, eps=EPSILON)
    if not torch.is_grad_enabled():
        _, mean, inverse = torch.native_batch_norm(x[:by], gamma, beta, None, None, True, 0.0, EPSILON)
        return F.batch_norm(x, mean, inverse**-2 - EPSILON, gamma, beta, training=False, eps=EPSILON)
    # written out, because the native operator lets no gradient into given moments
    variance, mean = torch.var_mean(x[:by], (0, 2, 3), correction=0)
    scale = gamma * torch.rsqrt(variance + EPSILON)
    return x * scale[:, None, None] + (beta - mean * scale)[:, None, None]


class LinearHead(nn.Module):
    """A linear layer over the features; starts as torch's does, uniform in ±1/sqrt(n_features)."""

    def __init__(self, n_features: int, n_classes: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_features)
        weight = (2 * torch.rand(n_classes, n_features, generator=generator) - 1) * bound
        self.head_weight = nn.Parameter(weight)
        self.head_bias = nn.Parameter(torch.zeros(n_classes))

    def weights(self, n_tasks: int) -> Weights:
        """The head's parameters, seen by n_tasks tasks."""
        return {name: p.expand(n_tasks, *p.shape) for name, p in self.named_parameters()}

    def weights_for(self, n_way: int, n_tasks: int) -> Weights:
        """The learned head where it fits n_way; else one of zeros, which favours no label."""
        if n_way == self.head_bias.numel():
            return self.weights(n_tasks)
        return zero_head(self.head_weight, n_way, n_tasks)


def zero_head(like: Tensor, n_way: int, n_tasks: int) -> Weights:
    """A new linear head (n_tasks, n_way, n_features) of zeros on `like`'s (_, n_features) device."""
    weight = like.new_zeros(n_tasks, n_way, like.shape[-1])
    return {"head_weight": weight, "head_bias": like.new_zeros(n_tasks, n_way)}


def linear(weights: Weights, features: Tensor) -> Tensor:
    """Logits (T, N, n_classes) of features (T, N, n_features)."""
    return torch.baddbmm(weights["head_bias"][:, None], features, weights["head_weight"].transpose(1, 2))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """(T,): each task's mean cross-entropy of logits (T, N, n_classes) against labels (T, N)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)
