"""Name -> backbone: what `[model]` in bench.toml chooses from. A new one is a file and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fewshot_bench.methods import pretrained
from fewshot_bench.methods.conv4 import Conv4
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.pretrained import TimmTrunk
from fewshot_bench.methods.resnets import ResNet12, ResNet18
from fewshot_bench.methods.trunk import Trunk


@dataclass(frozen=True)
class Backbone:
    """A kind of trunk, and what has to be known of it before one is built."""

    label: str  # as tables name it
    smallest: int  # pixels: the smallest image that it can take
    build: Callable[[Problem, torch.Generator], Trunk]
    # of `filters`, `drop_block`, `input_size`, `normalisation` and `weights`, those that it has
    settings: tuple[str, ...] = ()
    folds: bool = False  # whether a GPU is given many tasks in one pass, or one after the other


TIMM = "timm:"  # and a name of timm's

BACKBONES = {
    "conv4": Backbone(
        "Conv-4",
        16,  # four poolings leave one
        lambda p, generator: Conv4(p.in_channels, p.image_size, p.filters, generator),
        settings=("filters",),
        folds=True,
    ),
    "resnet12": Backbone(
        "ResNet-12",
        16,  # likewise
        lambda p, generator: ResNet12(p.in_channels, p.image_size, generator, drop_block=p.drop_block),
        settings=("drop_block",),
    ),
    "resnet18": Backbone(
        "ResNet-18",
        17,  # five layers halve, rounding up, and the last has more than one pixel to halve
        lambda p, generator: ResNet18(p.in_channels, generator),
    ),
}


def find_backbone(name: str) -> Backbone:
    """The backbone of a name in BACKBONES, or timm's network of a name "timm:NAME".

    Raises KeyError for another, UnusableNetwork where timm is not installed or has none of that name.
    """
    if not name.startswith(TIMM):
        return BACKBONES[name]
    network = name.removeprefix(TIMM)
    pretrained.check_name(network)
    return Backbone(
        f"{network} of timm",
        1,
        lambda p, _: TimmTrunk(network, p.input_size, p.seed, p.weights, p.normalisation),
        settings=("input_size", "normalisation", "weights"),
    )


def make_trunk(problem: Problem, generator: torch.Generator) -> Trunk:
    """The problem's backbone with initial weights from the generator or a file, the same on every device.

    Raises ValueError for images that it cannot take.
    """
    backbone = find_backbone(problem.backbone)
    if problem.image_size < backbone.smallest:
        raise ValueError(f"{backbone.label}: {problem.image_size} pixels are fewer than {backbone.smallest}")
    return backbone.build(problem, generator)
