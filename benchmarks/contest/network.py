"""Conv-4 as users of plain PyTorch and of the other libraries write it."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contest.tasks import initial_weights
from benchmarks.contest.work import Work


def conv4(work: Work, dtype: torch.dtype) -> nn.Sequential:
    """Four blocks of convolution with bias, batch-norm by the batch's own moments, ReLU, pooling; then the head.

    Only ProtoNet's batch-norm collects running moments, as only ProtoNet needs them at test.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = work.channels
    for i in range(4):
        layers[f"conv{i}"] = nn.Conv2d(channels, work.filters, 3, padding=1)
        layers[f"norm{i}"] = nn.BatchNorm2d(work.filters, track_running_stats=work.method == "protonet")
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        channels = work.filters
    layers["flatten"] = nn.Flatten()
    if work.method != "protonet":
        layers["head"] = nn.Linear(work.n_features, work.n_way)
    network = nn.Sequential(layers).to(dtype)
    weights = initial_weights(work)
    with torch.no_grad():
        for name, parameter in named(network).items():
            parameter.copy_(weights[name])
        for i in range(4):
            bias = layers[f"conv{i}"].bias
            assert isinstance(bias, Tensor)
            bias.zero_()
    return network


def named(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters by the names of `initial_weights`; the convolutions' biases are left out.

    The batch-norm behind a convolution takes its bias out again: the true gradient is zero.
    """
    renamed = {"conv": {"weight": "conv"}, "norm": {"weight": "gamma", "bias": "beta"}}
    found = {}
    for name, parameter in network.named_parameters():
        layer, kind = name.split(".")[-2:]
        if layer == "head":
            found[f"head_{kind}"] = parameter
        elif kind in renamed[layer[:-1]]:
            found[renamed[layer[:-1]][kind] + layer[-1]] = parameter
    return found


def tied_windows(network: nn.Sequential, images: Tensor) -> float:
    """The share of the first block's pooling windows with a positive largest value that is there twice."""
    with torch.no_grad():
        x = images
        for name in ("conv0", "norm0", "relu0"):
            x = network.get_submodule(name)(x)
        windows = F.unfold(x.flatten(0, 1)[:, None], 2, stride=2)  # (N*filters, 4, windows)
        largest = windows.amax(1, keepdim=True)
        tied = ((windows == largest).sum(1) > 1) & (largest[:, 0] > 0)
    return float(tied.double().mean())
