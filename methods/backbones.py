"""Name -> backbone: what `[model]` in bench.toml chooses from. A new one is a file and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fewshot_bench.methods import conv4, pretrained, resnets
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
    settings: tuple[
        str, ...
    ] = ()  # of `filters`, `drop_block`, `input_size`, `normalisation` and `weights`, those that it has
    folds: bool = False  # whether a GPU is given many tasks in one pass, or one after the other


TIMM = "timm:"  # and a name of timm's

BACKBONES = {
    "conv4": Backbone(
        "Conv-4",
        conv4.SMALLEST,
        lambda p, generator: Conv4(p.in_channels, p.image_size, p.filters, generator),
        settings=("filters",),
        folds=True,
    ),
    "resnet12": Backbone(
        "ResNet-12",
        resnets.SMALLEST_12,
        lambda p, generator: ResNet12(p.in_channels, p.image_size, generator, drop_block=p.drop_block),
        settings=("drop_block",),
    ),
    "resnet18": Backbone(
        "ResNet-18", resnets.SMALLEST_18, lambda p, generator: ResNet18(p.in_channels, p.image_size, generator)
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
    """The problem's backbone with initial weights from the generator or a file, the same on every device."""
    return find_backbone(problem.backbone).build(problem, generator)
