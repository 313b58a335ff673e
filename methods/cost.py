"""What training costs, in images that pass forward and backward through the trunk: counted, not typed in."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_bench.methods.interface import Episodes, Method, Problem
from fewshot_bench.methods.trunk import Trunk

SMALLEST = 16  # pixels: what is counted does not depend on their number
LAST = 999  # the number of the last step of a training of 1,000


@contextmanager
def one_thread() -> Iterator[None]:
    """For tiny steps: on cores that are busy, threads wait for each other a hundred times as long as they compute."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@functools.lru_cache
@one_thread()
def image_passes(method: type[Method], settings: Any, problem: Problem) -> float:
    """Images forward and backward in a step, on average over a training.

    An image counts as often as it is passed: in each inner step, and with the support set's moments beside the queries.
    A second derivative counts no further. Steps may differ where the settings have a share of `pretraining`.
    """
    if hasattr(settings, "first_order"):
        settings = replace(settings, first_order=True)  # counts the same, in less time
    small = replace(problem, in_channels=1, image_size=SMALLEST, filters=1, backbone="conv4", iterations=LAST + 1)
    made, passed = method(small, settings), [0]

    def count(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        passed[-1] += inputs[1].shape[0] * inputs[1].shape[1] if torch.is_grad_enabled() else 0

    for module in made.modules():
        if isinstance(module, Trunk):
            module.register_forward_pre_hook(count)
    made.step(Blank(1, SMALLEST))
    share = getattr(settings, "pretraining", None)
    if share is None:
        return passed[0]
    made.iteration = LAST
    passed.append(0)
    made.step(Blank(1, SMALLEST))
    return share * passed[0] + (1 - share) * passed[1]  # type: ignore[no-any-return]


class Blank:
    """A TaskSource of black images, all of one class."""

    def __init__(self, in_channels: int, image_size: int) -> None:
        self._shape = (in_channels, image_size, image_size)

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> Episodes:
        """See `TaskSource.episodes`."""
        n_support, n_queries = n_way * n_shot, n_way * n_query
        labels = torch.arange(n_way).expand(n_tasks, -1)
        return Episodes(
            *(torch.zeros(n_tasks, n_support, *self._shape), labels.repeat(1, n_shot)),
            *(torch.zeros(n_tasks, n_queries, *self._shape), labels.repeat(1, n_query)),
            labels,
        )

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """See `TaskSource.batch`."""
        return torch.zeros(size, *self._shape), torch.zeros(size, dtype=torch.int64)
