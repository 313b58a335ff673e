"""What all sides train on: the same initial weights, and the same tasks in the same order, from memory."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.contest.work import Work

Task = tuple[Tensor, Tensor, Tensor, Tensor]  # support images (N, C, H, W), labels (N,), query images, labels


class Tasks:
    """Tasks over images (classes, images of a class, C, H, W) uint8, drawn by a seeded generator."""

    def __init__(self, file: Path, dtype: torch.dtype, seed: int = 0) -> None:
        self._images: NDArray[np.uint8] = np.load(file)
        self._dtype = dtype
        self._rng = np.random.default_rng(seed)

    def task(self, n_way: int, n_shot: int, n_query: int) -> Task:
        """The next task; its support images stand in a random order, as mini-batches need them."""
        n_classes, per_class = self._images.shape[:2]
        classes = self._rng.choice(n_classes, n_way, replace=False)
        rows = np.stack([self._rng.choice(per_class, n_shot + n_query, replace=False) for _ in classes])
        labels = np.arange(n_way)
        order = self._rng.permutation(n_way * n_shot)
        support_labels = labels.repeat(n_shot)[order]
        support = self._pick(classes[support_labels], rows[:, :n_shot].ravel()[order])
        query_labels = labels.repeat(n_query)
        queries = self._pick(classes[query_labels], rows[:, n_shot:].ravel())
        return support, torch.from_numpy(support_labels), queries, torch.from_numpy(query_labels)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The next i.i.d. batch over all classes."""
        n_classes, per_class = self._images.shape[:2]
        labels = self._rng.integers(n_classes, size=size)
        return self._pick(labels, self._rng.integers(per_class, size=size)), torch.from_numpy(labels)

    def _pick(self, classes: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._images[classes, rows]).to(self._dtype).div_(255)


def initial_weights(work: Work, seed: int = 0) -> dict[str, Tensor]:
    """conv0..3, gamma0..3, beta0..3, head_weight and head_bias (no head for ProtoNet), float64, the same for all."""
    rng = np.random.default_rng(seed)
    weights, channels = {}, work.channels
    for i in range(4):
        weights[f"conv{i}"] = rng.normal(0, np.sqrt(2 / (9 * channels)), (work.filters, channels, 3, 3))
        weights[f"gamma{i}"] = 1 + rng.normal(0, 0.1, work.filters)
        weights[f"beta{i}"] = rng.normal(0, 0.1, work.filters)
        channels = work.filters
    if work.method != "protonet":
        bound = 1 / np.sqrt(work.n_features)
        weights["head_weight"] = rng.uniform(-bound, bound, (work.n_way, work.n_features))
        weights["head_bias"] = np.zeros(work.n_way)
    return {name: torch.from_numpy(np.asarray(value)) for name, value in weights.items()}
