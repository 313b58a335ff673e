"""A few images of a few classes, so that a person sees what is trained on: as one picture, and as strips for a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fewshot_bench.reports.canvas import styled, to_png
from fewshot_bench.reports.palette import BACKGROUND

DPI = 160  # of `canvas.to_png`
SIDE = 84  # pixels: smaller images are enlarged to about this by a whole number, larger ones shrunk to it
STRIP_SIDE = 64  # pixels: larger images are shrunk to it on a page, so that 16 x 10 photographs take 0.2 MB
GAP, LINE = 4, 36  # pixels: between images, and the height of a line of text
BETWEEN = "#808080"  # images on a page, light or dark
LETTER = 12  # pixels that a letter takes, with room to spare
LONGEST_NAME = 24  # letters
MEANING = {"base": "Base classes: trained on", "novel": "Novel classes: adapted to, never trained on"}


@dataclass(frozen=True, eq=False)
class ClassSample:
    """Some images of one class.

    kind: "base" or "novel"; part: the part of the data set that the class is in, e.g. "val"
    images: (n, C, H, W) uint8, n at least 1, C 1 or 3
    """

    name: str
    kind: str
    part: str
    images: NDArray[np.uint8]

    @property
    def label(self) -> str:
        """ "n01532829 (train)"; a long name is cut."""
        name = self.name if len(self.name) <= LONGEST_NAME else self.name[: LONGEST_NAME - 1] + "…"
        return f"{_printable(name)} ({self.part})"

    @property
    def small(self) -> bool:
        """Whether a page should show the single pixels."""
        height, width = self.images.shape[2:]
        return bool(max(height, width) < STRIP_SIDE)

    @property
    def uri(self) -> str:
        """The images side by side, as a link that holds them; JPEG, since PNG takes six times the bytes."""
        pictures = [_picture(image, STRIP_SIDE) for image in self.images]
        stream = io.BytesIO()
        Image.fromarray(_side_by_side(pictures, 1, BETWEEN)).save(stream, "JPEG", quality=85, subsampling=0)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def contact_sheet(title: str, samples: Sequence[ClassSample]) -> bytes:
    """A PNG with a row of images for each class under the heading of its kind; equal samples give equal bytes.

    samples: at least one, those of one kind together
    """
    rows = [_Row(_printable(title), LINE, bold=True), *_rows(samples)]
    tops = list(accumulate((row.height for row in rows), initial=0))
    names = LETTER * max(len(sample.label) for sample in samples)
    width = max(names + row.strip.shape[1] + GAP if row.strip is not None else LETTER * len(row.text) for row in rows)
    paper = _with_texts(rows, tops, (width, tops[-1]))
    for row, top in zip(rows, tops, strict=False):
        if row.strip is not None:  # pasted, as matplotlib may resample what it draws
            paper.paste(Image.fromarray(row.strip), (names, top))
    stream = io.BytesIO()
    paper.save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True, eq=False)
class _Row:
    """A line of text at the bottom of some pixels, or beside images."""

    text: str
    height: int
    strip: NDArray[np.uint8] | None = None
    bold: bool = False


def _rows(samples: Sequence[ClassSample]) -> list[_Row]:
    """From top to bottom: a heading for each kind, and its classes."""
    rows = []
    for kind, classes in groupby(samples, key=lambda sample: sample.kind):
        rows.append(_Row(MEANING[kind], 3 * LINE // 2))  # apart from what is above
        for sample in classes:
            strip = _side_by_side([_enlarged(_picture(image, SIDE)) for image in sample.images], GAP, BACKGROUND)
            rows.append(_Row(sample.label, len(strip) + GAP, strip))
    return rows


def _with_texts(rows: Sequence[_Row], tops: Sequence[int], size: tuple[int, int]) -> Image.Image:
    """A paper of `size` (width, height) with the texts of all rows on it."""
    width, height = size
    with styled():
        figure = Figure(figsize=(width / DPI, height / DPI))
        for row, top in zip(rows, tops, strict=False):
            middle = top + (row.height - LINE / 2 if row.strip is None else len(row.strip) / 2)
            text = figure.text(2 * GAP / width, 1 - middle / height, row.text, va="center")
            text.set_fontsize(9 if row.strip is None else 8)
            text.set_fontweight("bold" if row.bold else "normal")
    return Image.open(io.BytesIO(to_png(figure))).convert("RGB")


def _enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A small picture (H, W, 3) with each pixel repeated, so that all of them are to be seen."""
    times = max(1, round(SIDE / max(picture.shape[:2])))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _side_by_side(pictures: Sequence[NDArray[np.uint8]], gap: int, colour: str) -> NDArray[np.uint8]:
    """Pictures (H, W, 3) in a row, with gaps of a colour between them."""
    paint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    between = np.broadcast_to(paint, (len(pictures[0]), gap, 3))
    return np.concatenate([piece for picture in pictures for piece in (picture, between)][:-1], axis=1)


def _picture(image: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """An image (C, H, W) as (H', W', 3) of at most `most` pixels a side."""
    pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    longest = max(pixels.shape[:2])
    if longest <= most:
        return pixels
    height, width = (max(1, round(n * most / longest)) for n in pixels.shape[:2])
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BOX))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
