"""The images of the contest: of few grey levels, so that pooling windows tie, or photographs."""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest.environments import PEERS
from benchmarks.contest.work import SHAPES
from fewshot_bench.data import open_images

N_CLASSES, PER_CLASS = 64, 40


@functools.cache
def prepared(source: str, shape: str) -> Path:
    """A file of images (classes, images of a class, C, H, W) uint8 of a data set at a shape of SHAPES.

    Drawn images are reduced to four levels: their flat parts are then really flat, as those of scanned or
    compressed images are. Photographs are taken as they are. Raises DataError.
    """
    pixels, channels, _ = SHAPES[shape]
    data = open_images(source, PEERS / "cache", pixels)
    rows = np.stack([rows[:PER_CLASS] for rows in data.images_of_class[:N_CLASSES]])
    images = with_channels(np.asarray(data.images[rows]), channels)
    file = PEERS / f"{data.name}-{shape}.npy"
    np.save(file, in_levels(images) if source == "strokes" else images)
    return file


def in_levels(images: NDArray[np.uint8], levels: int = 4) -> NDArray[np.uint8]:
    """The images with so many equally spaced grey levels, 0 and 255 among them."""
    return (images // (256 // levels) * (255 // (levels - 1))).astype(np.uint8)


def with_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Grey from colour, or colour from grey, where (..., C, H, W) has another number of channels."""
    if images.shape[-3] == channels:
        return images
    grey = images.mean(-3, keepdims=True).astype(np.uint8)
    return np.repeat(grey, channels, -3)
