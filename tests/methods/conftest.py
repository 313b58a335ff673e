"""A ResNet-12 at widths that a test can pay for, and the same network written out from the papers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.methods.backbones import BACKBONES, Backbone
from fewshot_bench.methods.resnets import ResNet12

WIDTHS = (4, 6, 6, 8)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ResNet12]:
    """Makes a narrow ResNet-12 for grey images, which is also the backbone "narrow" of every method."""
    monkeypatch.setitem(
        BACKBONES,
        "narrow",
        Backbone("Narrow", 16, lambda p, g: ResNet12(p.in_channels, p.image_size, g, p.drop_block, WIDTHS)),
    )

    def make(drop_block: float = 0.0, size: int = 16) -> ResNet12:
        return ResNet12(1, size, torch.Generator().manual_seed(0), drop_block, WIDTHS)

    return make


@pytest.fixture
def plain_resnet12() -> Callable[..., Tensor]:
    """features (N, F) of (weights by name, images (N, C, H, W), n): batch-norm by the first n images."""
    return _plain_resnet12


def _plain_resnet12(w: dict[str, Tensor], x: Tensor, n: int | None = None) -> Tensor:
    """One task's ResNet-12, written out from the papers; batch-norm by the first n images."""

    def normalised(x: Tensor, name: str) -> Tensor:
        mean = x[:n].mean((0, 2, 3), keepdim=True)
        variance = ((x[:n] - mean) ** 2).mean((0, 2, 3), keepdim=True)
        gamma, beta = w[f"{name}.weight"][:, None, None], w[f"{name}.bias"][:, None, None]
        return (x - mean) / (variance + 1e-5).sqrt() * gamma + beta

    for block in range(4):
        start, name = x, f"net.{block}"
        for layer in (0, 3, 6):
            x = F.conv2d(x, w[f"{name}.body.{layer}.weight"], padding=1)
            x = normalised(x, f"{name}.body.{layer + 1}")
            x = x if layer == 6 else torch.where(x > 0, x, 0.1 * x)
        x = x + normalised(F.conv2d(start, w[f"{name}.shortcut.0.weight"]), f"{name}.shortcut.1")
        x = F.max_pool2d(torch.where(x > 0, x, 0.1 * x), 2)
    return x.mean((2, 3))
