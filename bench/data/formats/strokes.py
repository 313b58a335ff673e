"""`strokes`: synthetic handwritten characters, drawn by a program; the data set that is always there.

In the spirit of Omniglot (Lake, Salakhutdinov, Tenenbaum 2015, "Human-level concept learning through
probabilistic program induction"): a class is a random stroke program of two to four cubic Bézier curves,
and an image is one execution of it, with its own jitter of the control points, affine map, stroke width and
pixel noise.

The same bytes on every machine: random bits come straight from the counter-based generator Philox, whose
stream numpy guarantees, and everything after them uses only + - × ÷ and square roots in float64, element by
element, which IEEE 754 rounds in exactly one way. There is no exp, cos, matrix product or float sum whose
last bit depends on the library.
"""

from __future__ import annotations  # numpy.random is imported when it is used

import hashlib
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_bench.data.format import ImageSink, Labels, Progress, Tree
from fewshot_bench.data.readers.image_decoding import resized
from fewshot_bench.errors import DataError

NAME = "strokes"
EXPECTS = f"the name {NAME!r}: synthetic characters, made on first use"

SEED = 20_15
CLASSES = {"train": 64, "val": 16, "test": 20}  # as many as miniImageNet
IMAGES_PER_CLASS = 150  # 100 shots + 15 queries, and some to spare
SIDE = 28  # pixels, as Omniglot is usually used

# What makes the classes hard to tell apart. Lengths are in units of the frame's side; the first five are
# standard deviations. Chosen so that a short training tells methods apart: over 200 episodes on the 36 novel
# classes, 5-way 1-shot, the nearest image in pixels is right 35 % of the time, an untrained Conv-4 ProtoNet
# 38 %, and one trained 20-way 61 % after 100 episodes and 70 % after 250 (35-way 1-shot: 25 and 31 %).
JITTER = 0.08  # of each control point, per image
ROTATION = 0.20  # radians (as the tangent of the angle)
SHEAR = 0.15
SCALE = 0.12  # of each axis
SHIFT = 0.07
WIDTH = (0.022, 0.045)  # smallest and largest half width of the pen
NOISE = 0.10  # standard deviation of the pixel noise, in units of black to white

MARGIN = 0.12  # the control points of a class fill the frame up to this far from the edge
REACH = 0.4  # before that, a stroke ends at least this far from where it starts
BEND = 0.22  # standard deviation of the inner control points around the straight line
JOINED = 0.6  # probability that a stroke starts where an earlier one started or ended
SOFTNESS = 0.5 / SIDE  # half the width of a stroke's grey edge
CURVE_POINTS = 40  # samples a stroke: dense enough that no curve looks dotted

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]


def find(tree: Tree) -> StrokeSource:
    """Raises DataError: there is only one, made by its name; a folder of that name is reached as ./strokes."""
    raise DataError(f"{NAME}:{tree.path}: {NAME!r} takes no path: the program draws it")


class StrokeSource:
    """The embedded data set."""

    name = NAME
    where = NAME

    def state(self) -> str:
        """A digest of this file: whoever tunes a constant gets a new set, not the cached one."""
        return f"{NAME} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Draw all images; see `Source.decode`."""
        classes = sum(CLASSES.values())
        for c in range(classes):
            for i, pixels in enumerate(draw_class(c)):
                if image_size:
                    pixels = np.asarray(resized(Image.fromarray(pixels), image_size))
                sink.put(c * IMAGES_PER_CLASS + i, pixels[None])  # (1, H, W)
            progress("drawing strokes", (c + 1) * IMAGES_PER_CLASS, classes * IMAGES_PER_CLASS)
        first, parts = 0, {}
        for part, count in CLASSES.items():
            parts[part] = tuple(range(first, first + count))
            first += count
        return Labels(
            note="Synthetic images: characters drawn by a program from random strokes. "
            "Numbers measured on them say nothing about photographs.",
            class_ids=np.repeat(np.arange(classes, dtype=np.int64), IMAGES_PER_CLASS),
            class_names=tuple(f"character-{c:03d}" for c in range(classes)),
            parts=parts,
            family="characters",
        )


def draw_class(index: int) -> NDArray[np.uint8]:
    """All images of one class, white on black. Returns (IMAGES_PER_CLASS, SIDE, SIDE) uint8."""
    bits = np.random.Philox(key=np.array([SEED, index], np.uint64))
    points, strokes = _program(bits)
    n = IMAGES_PER_CLASS
    points = points + JITTER * _bell(bits.random_raw((n, *points.shape)))  # (n, P, 2)
    curves = _curves(_warped(points, bits), strokes)  # (n, S * CURVE_POINTS, 2)
    low, high = WIDTH
    radius = (low + (high - low) * _uniform(bits.random_raw(n)))[:, None, None]
    ink = np.clip((radius + SOFTNESS - _distance(curves)) / (2 * SOFTNESS), 0.0, 1.0)  # (n, SIDE, SIDE)
    ink += NOISE * _bell(bits.random_raw(ink.shape))
    return np.floor(np.clip(ink, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def _program(bits: np.random.Philox) -> tuple[Floats, NDArray[np.int64]]:
    """A class: its control points (P, 2) in the unit frame, and for each stroke the indices of four (S, 4).

    Strokes that are joined share a point, so that they stay joined when the points are jittered.
    """
    points: list[Floats] = []
    ends: list[int] = []
    strokes: list[list[int]] = []

    def add(point: Floats) -> int:
        points.append(point)
        return len(points) - 1

    def anywhere() -> Floats:
        return _uniform(bits.random_raw(2))

    for _ in range(2 + int(bits.random_raw()) % 3):
        joined, which = _uniform(bits.random_raw(2))
        start = ends[int(which * len(ends))] if ends and joined < JOINED else add(anywhere())
        end = anywhere()
        while ((end - points[start]) ** 2).sum() < REACH**2:
            end = anywhere()
        line = end - points[start]
        inner = [add(points[start] + line * t + BEND * _bell(bits.random_raw(2))) for t in (1 / 3, 2 / 3)]
        strokes.append([start, *inner, add(end)])
        ends += [start, len(points) - 1]
    box = np.array(points)
    low, high = box.min(axis=0), box.max(axis=0)
    fill = (1 - 2 * MARGIN) / (high - low).max()
    return 0.5 + fill * (box - (low + high) / 2), np.array(strokes)


def _warped(points: Floats, bits: np.random.Philox) -> Floats:
    """Each image's points under a small affine map of its own around the middle. (n, P, 2) -> (n, P, 2)"""
    turn, shear, scale_x, scale_y, shift_x, shift_y = _bell(bits.random_raw((6, len(points), 1)))
    turn, shear = ROTATION * turn, SHEAR * shear
    x, y = points[:, :, 0] - 0.5, points[:, :, 1] - 0.5  # (n, P)
    x = (1 + SCALE * scale_x) * x + shear * y
    y = (1 + SCALE * scale_y) * y
    norm = np.sqrt(1 + turn * turn)
    x, y = (x - turn * y) / norm, (turn * x + y) / norm
    return np.stack([x + 0.5 + SHIFT * shift_x, y + 0.5 + SHIFT * shift_y], axis=-1)


def _curves(points: Floats, strokes: NDArray[np.int64]) -> Floats:
    """Points along all strokes. points: (n, P, 2), strokes: (S, 4) -> (n, S * CURVE_POINTS, 2)"""
    t = np.arange(CURVE_POINTS, dtype=np.float64)[:, None] / (CURVE_POINTS - 1)
    s = 1 - t
    a, b, c, d = (points[:, strokes[:, k], None, :] for k in range(4))  # each (n, S, 1, 2)
    curves = a * (s * s * s) + b * (3 * s * s * t) + c * (3 * s * t * t) + d * (t * t * t)
    return curves.reshape(len(points), -1, 2)


def _distance(curves: Floats) -> Floats:
    """From every pixel's centre to the nearest curve point. (n, K, 2) -> (n, SIDE, SIDE)"""
    centres = (np.arange(SIDE) + 0.5) / SIDE
    dx = (curves[:, :, None, 0] - centres) ** 2  # (n, K, SIDE)
    dy = (curves[:, :, None, 1] - centres) ** 2
    nearest = np.full((len(curves), SIDE, SIDE), np.inf)
    squared = np.empty_like(nearest)
    for k in range(curves.shape[1]):
        np.add(dy[:, k, :, None], dx[:, k, None, :], out=squared)
        np.minimum(nearest, squared, out=nearest)
    distance: Floats = np.sqrt(nearest)
    return distance


def _uniform(words: Words) -> Floats:
    """Uniform in [0, 1) from 64 random bits each: the upper 53 of them, exactly."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _bell(words: Words) -> Floats:
    """Mean 0, standard deviation 1, nearly normal, never beyond ±3.5: the sum of four 16-bit uniforms a word.

    A sum of integers is exact, which the logarithm and cosine of a true normal are not.
    """
    mask = np.uint64(0xFFFF)
    total = words & mask
    for k in (1, 2, 3):
        total = total + ((words >> np.uint64(16 * k)) & mask)
    return (total.astype(np.float64) / 65536 - (2 - 2 / 65536)) * math.sqrt(3)
