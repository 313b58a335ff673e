"""A data set without its pixels: enough to say what results of it mean on a machine that lacks the images."""

from itertools import groupby
from typing import Any

import numpy as np

from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.labels import PARTS

Outline = dict[str, Any]  # JSON
MOST_IMAGES = 2 * 10**7  # of an outline that somebody else may have written


def outline(images: ImageSet) -> Outline:
    """Everything but pixels and fingerprint; runs: (class, number of images) in the order of the images."""
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
