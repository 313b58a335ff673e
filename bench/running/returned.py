"""What a method returned, checked before it is believed: a wrong shape must not become a number."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fewshot_bench.errors import BenchError
from fewshot_bench.methods.interface import Episodes
from fewshot_bench.methods.strangers import contained, in_one_line

MAX_NAME = 50  # letters of a loss's name, as stored


class BrokenMethod(Exception):
    """A method does not do what its interface says; one line that names it and what is wrong."""


@contextmanager
def blaming(method: str) -> Iterator[None]:
    """Raise BrokenMethod, naming the method, for whatever its own code raises inside, an end of the program too."""
    try:
        with contained():
            yield
    except (BenchError, BrokenMethod, FloatingPointError, MemoryError):
        raise
    except Exception as error:  # a method's own code may raise anything
        raise BrokenMethod(f"{method} broke: {in_one_line(error)}") from error


def check_step(method: str, losses: Any, counted: Any) -> None:
    """Raise BrokenMethod unless a step returned detached 0-dim tensors by name, and counted itself.

    counted: what it added to `iteration`
    """
    if type(counted) is not int or counted != 1:
        raise BrokenMethod(f"{method}: step must add 1 to self.iteration, a whole number; it added {counted!r}")
    if not isinstance(losses, dict):
        raise BrokenMethod(f"{method}: step returned {_kind(losses)}, not a dict of losses")
    for name, value in losses.items():
        if not (isinstance(name, str) and name.isprintable() and 1 <= len(name) <= MAX_NAME):
            raise BrokenMethod(f"{method}: step named a loss {name!r:.60}, not in 1 to {MAX_NAME} printable letters")
        if not isinstance(value, Tensor) or value.shape != () or value.is_complex():
            raise BrokenMethod(f"{method}: step returned {name!r} as {_kind(value)}, not as a 0-dim tensor")
        if value.requires_grad:
            raise BrokenMethod(f"{method}: step returned {name!r} with its graph, which fills memory: detach() it")


def check_features(method: str, features: Any, images: Tensor) -> None:
    """Raise BrokenMethod unless `embed` returned features (N, F) of images (N, C, H, W)."""
    _check_tensor(f"{method}: embed", features, images.device)
    if features.dim() != 2 or len(features) != len(images):
        raise BrokenMethod(f"{method}: embed returned features of shape {_shape(features)}, not ({len(images)}, F)")


def check_logits(method: str, logits: Any, episodes: Episodes) -> None:
    """Raise BrokenMethod unless `predict` or `classify` returned logits (T, n_way*n_query, n_way) of T episodes."""
    _check_tensor(f"{method}: predict", logits, episodes.query_labels.device)
    expected = (*episodes.query_labels.shape, episodes.n_way)
    if logits.shape != expected:
        raise BrokenMethod(
            f"{method}: predict returned logits of shape {_shape(logits)}, not {expected}: episodes, queries, classes"
        )


def _check_tensor(what: str, value: Any, device: torch.device) -> None:
    if not isinstance(value, Tensor):
        raise BrokenMethod(f"{what} returned {_kind(value)}, not a tensor")
    if not value.is_floating_point():
        raise BrokenMethod(f"{what} returned numbers of {value.dtype}, not floating point")
    if value.device.type != device.type:
        raise BrokenMethod(f"{what} returned a tensor on {value.device.type}, but its input is on {device.type}")


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a {'complex ' if value.is_complex() else ''}tensor of shape {_shape(value)}"


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape)
