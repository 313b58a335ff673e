"""A data set as every other part sees it: one uint8 array, a class for each image, and named splits."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.errors import UsageError, did_you_mean

# split name -> (base parts, novel parts): what is trained on, and what is adapted to
SPLITS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "paper": (("train",), ("val", "test")),  # 64/36: Eshratifar, Eigen, Pedram 2019; nothing left to tune on
    "ravi": (("train",), ("test",)),  # 64/20: Ravi & Larochelle 2017
    "ravi-val": (
        ("train",),
        ("val",),
    ),  # 64/16: the classes to tune on, apart from every test class of `ravi`
}


@dataclass(frozen=True)
class ClassSplit:
    """Which classes are trained on and which are new, as indices into `ImageSet.class_names`."""

    name: str
    base_parts: tuple[str, ...]
    base: tuple[int, ...]
    novel: tuple[int, ...]


@dataclass(frozen=True)
class ImageSet:
    """A decoded data set.

    images: (n, C, H, W) uint8, usually a read-only memory map; the images of one class stand together
    class_ids: (n,) int64, indices into class_names
    parts: "train" | "val" | "test" -> the classes in it
    fingerprint: SHA-256 over pixels, class names and parts: the data's identity
    """

    name: str
    note: str  # one plain sentence about what it is
    images: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    fingerprint: str

    def split(self, name: str) -> ClassSplit:
        """The base and novel classes of a named split. Raises UsageError for an unknown name."""
        if name not in SPLITS:
            raise UsageError(f"unknown split {name!r}: {did_you_mean(name, list(SPLITS))}")
        base, novel = (self.classes_of(parts) for parts in SPLITS[name])
        return ClassSplit(name, SPLITS[name][0], base, novel)

    def classes_of(self, parts: tuple[str, ...]) -> tuple[int, ...]:
        """The classes in some parts, in order."""
        return tuple(c for part in parts for c in self.parts[part])

    @cached_property
    def images_of_class(self) -> tuple[NDArray[np.int64], ...]:
        """For each class, the indices of its images, ascending."""
        order = np.argsort(self.class_ids, kind="stable")
        bounds = np.searchsorted(self.class_ids[order], np.arange(len(self.class_names) + 1))
        return tuple(order[a:b].astype(np.int64) for a, b in pairwise(bounds))
