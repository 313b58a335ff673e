"""Deeper backbones: ResNet-12 of the few-shot literature and torchvision's ResNet-18, as trunks.

T tasks are run one by one. Whether folding them, as Conv-4 does, would be faster on a GPU was not measured.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from fewshot_bench.methods.trunk import EPSILON, Moments, Trunk, Weights, moments_of, normalise

WIDTHS = (64, 160, 320, 640)  # Lee et al. 2019
SLOPE = 0.1  # of LeakyReLU below zero
DROPPED_SQUARE = 5  # pixels of the feature map; Lee et al. 2019, for 84x84 images


class TaskNorm(nn.Module):
    """A batch-norm layer that normalises by what its trunk tells it: see `Trunk.forward`."""

    def __init__(self, channels: int, epsilon: float = EPSILON) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))
        self.register_buffer("running_mean", torch.empty(channels))
        self.register_buffer("running_var", torch.empty(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.by: int | tuple[Tensor, Tensor] | None = None
        self.observed: Moments | None = None  # where to write the moments of what comes, if anyone wants them

    def forward(self, x: Tensor) -> Tensor:
        """x (N, channels, H, W), normalised."""
        if self.observed is not None:
            self.observed.append(moments_of(x))
        return normalise(x, self.weight, self.bias, self.by, self.epsilon)


def initialised(build: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """A network whose convolutions start as He et al. 2015 (fan-out), and batch-norm as the identity."""
    with torch.device("meta"):  # nothing is drawn: the initial weights are the generator's alone
        net = build()
    net.to_empty(device="cpu")
    for name, p in net.named_parameters():
        if p.dim() > 1:
            nn.init.kaiming_normal_(p, mode="fan_out", nonlinearity="relu", generator=generator)
        else:
            nn.init.constant_(p, float(name.endswith("weight")))
    for name, buffer in net.named_buffers():
        nn.init.constant_(buffer, float(name.endswith("var")))
    return net


class ModuleTrunk(Trunk):
    """An ordinary network, run under each task's weights; every batch-norm layer in it must be a `TaskNorm`."""

    def __init__(self, net: nn.Module, n_features: int) -> None:
        """net: takes images (N, C, H, W) to features (N, n_features)."""
        super().__init__()
        self.net, self.n_features = net, n_features
        self._norms = [module for module in net.modules() if isinstance(module, TaskNorm)]
        if len(list(net.buffers())) != 2 * len(self._norms):
            raise ValueError("a trunk's only buffers are the running moments of its batch-norm layers (TaskNorm)")

    def forward(
        self,
        weights: Weights,
        images: Tensor,
        statistics: int | Moments | None = None,
        observed: Moments | None = None,
    ) -> Tensor:
        """See `Trunk.forward`."""
        if images.device.type == "cpu" and not torch.is_grad_enabled():
            images = images.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(images.shape)
        tasks: list[Moments] = []  # what each task's layers observe
        features = []
        for t in range(len(images)):
            seen: list[Moments] = [[] for _ in self._norms]
            for i, norm in enumerate(self._norms):
                norm.observed = None if observed is None else seen[i]
                norm.by = _of_task(statistics[i], t, len(images)) if isinstance(statistics, list) else statistics
            own = {name[4:]: weight[t] for name, weight in weights.items() if name.startswith("net.")}
            features.append(functional_call(self.net, own, (images[t],)))
            tasks.append([moments for layer in seen for moments in layer])
        if observed is not None:
            observed += [_joined(layer) for layer in zip(*tasks, strict=True)]
        return torch.stack(features)

    def running_buffers(self) -> Moments:
        """See `Trunk.running_buffers`."""
        return [(norm.running_mean, norm.running_var) for norm in self._norms]


def _of_task(moments: tuple[Tensor, Tensor], t: int, n_tasks: int) -> tuple[Tensor, Tensor]:
    mean, variance = moments
    return mean.view(n_tasks, -1)[t], variance.view(n_tasks, -1)[t]


def _joined(of_tasks: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    means, variances = zip(*of_tasks, strict=True)
    return torch.cat(means), torch.cat(variances)


class ResNet12(ModuleTrunk):
    """Four residual blocks of three 3x3 convolutions, each block followed by 2x2 max-pooling; 640 averaged features.

    As Lee et al. 2019 (MetaOptNet) and Tian et al. 2020: LeakyReLU(0.1), a 1x1 convolution with batch-norm as
    shortcut, and DropBlock (Ghiasi et al. 2018) after the last two blocks, in training mode only. The last map is
    averaged, as by Tian et al. (Lee et al.: the whole map).
    drop_block: the share of activations that it drops. Deviations: that share is the same throughout the training
    (MetaOptNet's code: it grows linearly to 0.1 over 40,000 passes), and there is no dropout after the first two blocks
    (there: 0.1).
    The dropped squares are 5x5, or the largest odd number of pixels that fits the map.
    Its random numbers are those of torch's global generator, which the caller seeds.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        generator: torch.Generator,
        drop_block: float = 0.0,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        def build() -> nn.Module:
            blocks, channels, size = [], in_channels, image_size
            for i, width in enumerate(widths):
                size //= 2
                last_two = i >= len(widths) - 2
                blocks.append(_Block(channels, width, _drop_block(drop_block, size) if last_two else nn.Identity()))
                channels = width
            return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())

        super().__init__(initialised(build, generator), widths[-1])


class _Block(nn.Module):
    """A block of ResNet-12. Pooling comes before the activation: the same values for a quarter of the work."""

    def __init__(self, in_channels: int, channels: int, drop: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            TaskNorm(channels),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            TaskNorm(channels),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            TaskNorm(channels),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), TaskNorm(channels))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """x (N, in_channels, H, W) -> (N, channels, H/2, W/2), rounded down."""
        pooled = F.max_pool2d(self.body(x) + self.shortcut(x), 2)
        dropped: Tensor = self.drop(F.leaky_relu(pooled, SLOPE))
        return dropped


def _drop_block(share: float, map_size: int) -> nn.Module:
    if not share:
        return nn.Identity()
    from torchvision.ops import DropBlock2d

    side = min(DROPPED_SQUARE, map_size)
    drop: nn.Module = DropBlock2d(share, side if side % 2 else side - 1)
    return drop


class ResNet18(ModuleTrunk):
    """torchvision's ResNet-18 (He et al. 2016) without its last layer: 512 averaged features.

    Its stem, a 7x7 convolution of stride 2 and a max-pooling of stride 2, was made for 224x224 images and is kept:
    small images lose most of their detail there. An image of 32 pixels has a map of 8x8 after it, and from 17 to
    32 pixels the last stage's map is a single pixel; 84 pixels leave 3x3. Images of one channel get a stem of one.
    """

    def __init__(self, in_channels: int, generator: torch.Generator) -> None:
        def build() -> nn.Module:
            from torchvision.models import resnet18

            net: nn.Module = resnet18(weights=None, norm_layer=TaskNorm)
            net.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            net.fc = nn.Identity()
            return net

        super().__init__(initialised(build, generator), 512)
