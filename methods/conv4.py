"""Conv-4, the backbone of the papers compared here (Vinyals et al. 2016; Finn et al. 2017; Snell et al. 2017).

T tasks with T sets of weights run as one network: tasks are folded into channels, so that images are
(N, T*C, H, W), convolutions have T groups, and batch-norm, which works per channel, needs no change.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fewshot_bench.methods.derivatives import convolution, norm_pool_relu
from fewshot_bench.methods.trunk import EPSILON, Moments, Trunk, Weights, moments_of, normalise


class Conv4(Trunk):
    """Four blocks of 3x3 convolution, batch-norm, ReLU and 2x2 max-pooling without padding.

    Convolutions have no bias: the batch-norm after them would take it out again. Pooling comes before ReLU,
    which gives the same values and gradients for a quarter of the work. Torch's epsilon and He's initial weights
    (the published code of MAML and Reptile, in TensorFlow: 0.001, and Glorot's).
    """

    def __init__(self, in_channels: int, image_size: int, filters: int, generator: torch.Generator) -> None:
        super().__init__()
        self.n_features = filters * (image_size // 16) ** 2  # four poolings
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

    def forward(
        self,
        weights: Weights,
        images: Tensor,
        statistics: int | Moments | None = None,
        observed: Moments | None = None,
    ) -> Tensor:
        """See `Trunk.forward`."""
        n_tasks, n_images = images.shape[:2]
        x = images.transpose(0, 1).flatten(1, 2)  # (N, T*C, H, W)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)  # the layout that its kernels are fastest in
        for i in range(4):
            x = _convolve(x, weights[f"conv{i}"].flatten(0, 1), n_tasks)
            if observed is not None:
                observed.append(moments_of(x))
            gamma, beta = weights[f"gamma{i}"].flatten(), weights[f"beta{i}"].flatten()  # (T*filters,)
            fixed = statistics[i] if isinstance(statistics, list) else None
            x = _block(x, gamma, beta, fixed or (statistics if isinstance(statistics, int) else None))
        return x.reshape(n_images, n_tasks, -1).transpose(0, 1)  # (T, N, n_features)

    def running_buffers(self) -> Moments:
        """See `Trunk.running_buffers`."""
        buffers = dict(self.named_buffers())
        return [(buffers[f"running_mean{i}"], buffers[f"running_var{i}"]) for i in range(4)]


def _convolve(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    # torch's second derivative runs a convolution with a kernel of the whole image, group by group, on a GPU too
    if _differentiated(x):
        return convolution(x, weight, groups)
    return F.conv2d(x, weight, padding=1, groups=groups)


def _block(x: Tensor, gamma: Tensor, beta: Tensor, by: int | tuple[Tensor, Tensor] | None) -> Tensor:
    """What follows a convolution: batch-norm as `normalise` has it, pooling, ReLU."""
    if x.device.type == "cpu" and _differentiated(x) and not isinstance(by, tuple):
        return norm_pool_relu(x, gamma, beta, by or len(x), EPSILON)
    return F.relu(F.max_pool2d(normalise(x, gamma, beta, by), 2))


def _differentiated(x: Tensor) -> bool:
    """Whether the operators with closed-form derivatives apply: where there are gradients, in one precision."""
    return torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
