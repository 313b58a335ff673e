"""What a method returned, checked before it is believed, in a run and by the contract: what is wrong, "" if nothing.

A wrong shape must not become a number.
"""

from typing import Any

import torch
from torch import Tensor

from fewshot_bench.methods.interface import Episodes
from fewshot_bench.methods.strangers import Modes, modes

MAX_NAME = 50  # letters of a loss's name, as stored
MOST_VERSIONS = 1_000_000
MOST_WAYS = 10_000  # as in bench.toml


def wrong_versions(versions: Any) -> str:
    """Of `versions`."""
    if isinstance(versions, tuple | list) and all(type(v) is int and 0 <= v <= MOST_VERSIONS for v in versions):
        return ""
    return f"its versions are {versions!r:.60}, not whole numbers from 0 to {MOST_VERSIONS}"


def wrong_training_setting(sizes: Any) -> str:
    """Of `training_setting`."""
    if (
        isinstance(sizes, tuple | list)
        and len(sizes) == 2
        and all(type(n) is int and 0 <= n <= MOST_WAYS for n in sizes)
    ):
        return ""
    return f"its training setting is {sizes!r:.60}, not two whole numbers up to {MOST_WAYS}"


def wrong_losses(losses: Any, counted: Any) -> str:
    """Of `step`, which gives detached 0-dim tensors by name, and counts itself.

    counted: what it added to `iteration`
    """
    if type(counted) is not int or counted != 1:
        return f"step must add 1 to self.iteration, a whole number; it added {counted!r}"
    if not isinstance(losses, dict):
        return f"step returned {_kind(losses)}, not a dict of losses"
    for name, value in losses.items():
        if not (isinstance(name, str) and name.isprintable() and 1 <= len(name) <= MAX_NAME):
            return f"step named a loss {name!r:.60}, not in 1 to {MAX_NAME} printable letters"
        if not isinstance(value, Tensor) or value.shape != () or value.is_complex():
            return f"step returned {name!r} as {_kind(value)}, not as a 0-dim tensor"
        if value.requires_grad:
            return f"step returned {name!r} with its graph, which fills memory: detach() it"
    return ""


def wrong_features(features: Any, images: Tensor) -> str:
    """Of `embed`, which gives features (N, F) of images (N, C, H, W)."""
    if wrong := _no_numbers("embed", features, images.device):
        return wrong
    if features.dim() != 2 or len(features) != len(images):
        return f"embed returned features of shape {_shape(features)}, not ({len(images)}, F)"
    return ""


def wrong_logits(logits: Any, episodes: Episodes) -> str:
    """Of `predict` or `classify`, which give logits (T, n_way*n_query, n_way) of T episodes."""
    if wrong := _no_numbers("predict", logits, episodes.query_labels.device):
        return wrong
    expected = (*episodes.query_labels.shape, episodes.n_way)
    if logits.shape != expected:
        return f"predict returned logits of shape {_shape(logits)}, not {expected}: episodes, queries, classes"
    return ""


def left_behind(what: str, before: Modes) -> str:
    """Of what a method's function changed for all code after it.

    before: `modes()` when it was called
    """
    gradients, dtype, device = modes()
    if gradients != before.gradients:
        return f"{what} left gradients switched {'on' if gradients else 'off'}"
    if dtype != before.dtype:
        return f"{what} left torch's default dtype at {dtype}"
    return "" if device == before.device else f"{what} left torch's default device at {device}"


def _no_numbers(what: str, value: Any, device: torch.device) -> str:
    if not isinstance(value, Tensor):
        return f"{what} returned {_kind(value)}, not a tensor"
    if not value.is_floating_point():
        return f"{what} returned numbers of {value.dtype}, not floating point"
    if value.device.type != device.type:
        return f"{what} returned a tensor on {value.device.type}, but its input is on {device.type}"
    return ""


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a {'complex ' if value.is_complex() else ''}tensor of shape {_shape(value)}"


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape)
