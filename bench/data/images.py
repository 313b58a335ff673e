"""A data set as every other part sees it: one uint8 array, a class for each image, and named splits."""

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data import splits
from fewshot_bench.data.labels import PARTS
from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.seeding import digest

Outline = dict[str, Any]  # an image set without its pixels, as JSON
MOST_IMAGES = 2 * 10**7  # of an outline that somebody else may have written

# split name -> (base parts, novel parts): what is trained on, and what is adapted to
SPLITS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "paper": (("train",), ("val", "test")),  # 64/36: Eshratifar, Eigen, Pedram 2019; nothing left to tune on
    "ravi": (("train",), ("test",)),  # 64/20: Ravi & Larochelle 2017
    "ravi-val": (("train",), ("val",)),  # 64/16: the classes to tune on, apart from every test class of `ravi`
}

# The same by the name of the published split, for data that is split so: `bertinetto` is `ravi` on CIFAR-FS alone.
STANDARD_SPLITS = {
    f"{standard}{val}": f"ravi{val}" for standard in splits.NAMES for val in ("", "-val") if standard != "ravi"
}


# `innerN`: of the base part, N classes to tune on, and the others to train on; novel classes are never looked at
INNER = re.compile(r"inner([0-9]{1,4})")


def check_split(name: str) -> None:
    """Raise UsageError for the name of no split."""
    if name not in SPLITS and name not in STANDARD_SPLITS and not INNER.fullmatch(name):
        raise UsageError(f"unknown split {name!r}: {did_you_mean(name, [*SPLITS, *STANDARD_SPLITS, 'inner'])}")


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
    left_out, turned: see `Labels`; turned is None where an earlier version decoded it, which did not keep it
    """

    name: str
    note: str  # one plain sentence about what it is
    images: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    fingerprint: str
    family: str = ""  # of settings, see `Labels`; no part of the data's identity
    left_out: str = ""
    turned: str | None = ""

    def split(self, name: str) -> ClassSplit:
        """The base and novel classes of a split of SPLITS or STANDARD_SPLITS; it is called as in SPLITS.

        Raises UsageError for an unknown name, and for that of a published split which the classes do not have.
        """
        check_split(name)
        if name in STANDARD_SPLITS:
            self._check_split_as(name)
        name = STANDARD_SPLITS.get(name, name)
        parts = ((f"{name}-base",), (f"{name}-novel",)) if INNER.fullmatch(name) else SPLITS[name]
        base, novel = map(self.classes_of, parts)
        return ClassSplit(name, parts[0], base, novel)

    @cached_property
    def standard(self) -> splits.Match | None:
        """The published split whose classes these are, and whether they are split so; None for other classes."""
        return splits.recognise(self._names_of_parts)

    @property
    def has_pixels(self) -> bool:
        """Whether these are images; False for what `without_pixels` makes."""
        return any(self.images.strides)

    @property
    def standard_note(self) -> str:
        """The same in a sentence without a full stop, "" for other classes."""
        return self.standard.sentence() if self.standard else ""

    def classes_of(self, parts: tuple[str, ...]) -> tuple[int, ...]:
        """The classes in some parts, in order."""
        return tuple(c for part in parts for c in (self._inner(part) if part not in self.parts else self.parts[part]))

    def _inner(self, part: str) -> tuple[int, ...]:
        """The base classes of inner35-base or inner35-novel: the hash of its name alone decides where a class is."""
        split, _, side = part.partition("-")
        n_novel = int(split.removeprefix("inner"))
        base = self.parts["train"]
        if len(base) < n_novel + 2:
            raise UsageError(
                f"split {split!r}: {self.name} has {len(base)} base classes, too few to tune on {n_novel} and train on "
                "at least 2 others; tune for fewer ways"
            )
        novel = set(sorted(base, key=lambda c: digest(["inner", self.class_names[c]]))[:n_novel])
        return tuple(c for c in base if (c in novel) == (side == "novel"))

    @property
    def _names_of_parts(self) -> dict[str, tuple[str, ...]]:
        return {part: tuple(self.class_names[c] for c in classes) for part, classes in self.parts.items()}

    def _check_split_as(self, split: str) -> None:
        match = splits.compare(self._names_of_parts, split.removesuffix("-val"))
        if not match.exact:
            wanted, names = match.standard, match.differing
            differing = f"of {self.name} {len(names):,} classes differ ({splits.shortened(names)})"
            if len(match.foreign) == len(self.class_names):
                differing = f"{self.name} has other classes"
            raise UsageError(
                f"split {split!r} is that of {wanted.authors} ({wanted.data_set}), but {differing}: "
                f"{STANDARD_SPLITS[split]!r} takes the parts as they are"
            )

    @cached_property
    def images_of_class(self) -> tuple[NDArray[np.int64], ...]:
        """For each class, the indices of its images, ascending."""
        order = np.argsort(self.class_ids, kind="stable")
        bounds = np.searchsorted(self.class_ids[order], np.arange(len(self.class_names) + 1))
        return tuple(order[a:b].astype(np.int64) for a, b in pairwise(bounds))


def outline(images: ImageSet) -> Outline:
    """What results of a data set mean on a machine that lacks its images: everything but pixels and fingerprint.

    runs: (class, number of images) in the order of the images
    """
    return {
        "name": images.name,
        "note": images.note,
        "family": images.family,
        "image_shape": list(images.images.shape[1:]),
        "class_names": list(images.class_names),
        "runs": [[int(c), sum(1 for _ in same)] for c, same in groupby(images.class_ids)],
        "parts": {part: list(classes) for part, classes in images.parts.items()},
    }


def without_pixels(fingerprint: str, outlined: Outline) -> ImageSet:
    """The data set of an outline; its images are all 0, and take no memory."""
    classes, counts = np.array(outlined["runs"], dtype=np.int64).reshape(-1, 2).T
    class_ids = np.repeat(classes, counts)
    return ImageSet(
        name=outlined["name"],
        note=outlined["note"],
        images=np.broadcast_to(np.uint8(0), (len(class_ids), *outlined["image_shape"])),
        class_ids=class_ids,
        class_names=tuple(outlined["class_names"]),
        parts={part: tuple(classes) for part, classes in outlined["parts"].items()},
        fingerprint=fingerprint,
        family=outlined["family"],
    )


def wrong_outline(value: Any) -> str:
    """What is wrong with an outline that has the fields of one; empty where nothing is."""
    n_classes, runs = len(value["class_names"]), value["runs"]
    if not all(isinstance(run, list) and len(run) == 2 and all(type(n) is int and n >= 0 for n in run) for run in runs):
        return "runs must be pairs of a class and a number of images"
    if sum(n for _, n in runs) > MOST_IMAGES:
        return f"it has more than {MOST_IMAGES:,} images"
    there = [c for c, _ in runs]  # a class whose images are gone has no run
    if there != sorted(set(there)) or not set(there) <= set(range(n_classes)):
        return f"runs must be of its {n_classes} classes, each at most once, in order"
    if set(value["parts"]) != set(PARTS):
        return f"parts must be {', '.join(PARTS)}"
    named = sorted(c for classes in value["parts"].values() for c in classes)
    return "" if named == list(range(n_classes)) else f"parts must name each of its {n_classes} classes once"
