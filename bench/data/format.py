"""What a data format provides: the contract between the files that read data and the cache that keeps it.

A new format is one module with `EXPECTS`, `recognises` and `find` (see `Format`), and one line in
`fewshot_bench.data`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


@dataclass(frozen=True)
class Labels:
    """What the images are, in the order in which they are stored.

    note: one plain sentence about the data
    class_ids: (n,) int64, ascending: the images of one class stand together
    class_names: one name a class, those of "train" first, then "val", then "test"
    parts: "train" | "val" | "test" -> indices into class_names
    layout: of an archive the name of its layout, which shows only when it is read
    """

    note: str
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    layout: str = ""


class ImageSink(Protocol):
    """Takes decoded images in any order."""

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Store one image, (C, H, W) uint8 with C 1 or 3, at its place in the array."""


class Source(Protocol):
    """One data set that was found and can be decoded."""

    @property
    def name(self) -> str:
        """The short name that tables print."""

    @property
    def where(self) -> str:
        """Where it lies, for the record: a path, or the name of an embedded set."""

    def state(self) -> str:
        """A text that differs whenever the data may differ; cheap, as every opening asks for it."""

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into the sink and say what they are.

        image_size: side in pixels of the square that images are resized to; None leaves them as they are
        Raises DataError, in one line that names the file, for data that cannot be used.
        """


class Format(Protocol):
    """A module that knows one layout."""

    EXPECTS: str  # what a valid source looks like, for messages and listings

    def recognises(self, source: str) -> bool:
        """Whether the source looks like this format; decided without reading images."""

    def find(self, source: str) -> Source:
        """The data set at a source that is recognised, or that a user says to be this (FORMAT:PATH).

        Raises DataError when parts of it are missing.
        """
