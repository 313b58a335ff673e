"""What a data format provides: the contract between the files that read data and the cache that keeps it.

A new format is one module with `NAME`, `EXPECTS`, `recognises` and `find` (see `Layout`), and one line in
`fewshot_bench.data`. It sees a folder and an archive alike, as a `Tree`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fewshot_bench.data.cache import ImageFile
    from fewshot_bench.data.labels import Listing
    from fewshot_bench.data.readers.image_decoding import Encoded

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


class Entries(NamedTuple):
    """What lies directly in a folder, by name, each sorted."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


class Tree(Protocol):
    """A data set's files. Paths in it are relative to its top, with slashes; hidden files are not there."""

    @property
    def path(self) -> Path:
        """The folder or the archive."""

    @property
    def name(self) -> str:
        """What it is called, without an archive's suffix."""

    def entries(self, at: str = "") -> Entries:
        """What lies in a folder; empty when there is no such folder."""

    def read(self, file: str) -> bytes:
        """The bytes of a list: a file whose name is in `labels.LISTS`."""

    def show(self, file: str) -> str:
        """A file's name in messages."""

    def state(self, read_listing: Callable[[], Listing], /) -> Iterator[str]:
        """Texts that differ whenever the listing or a listed file does; looks at the disk again."""

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """The listed images, in any order. Raises DataError naming what is missing."""

    def on_disk(self) -> Path:
        """A folder where the files that hold many images each can be opened; those of an archive are unpacked."""


FAMILIES = ("characters",)  # those that a format here declares; photographs have none


@dataclass(frozen=True)
class Labels:
    """What the images are, in the order in which they are stored.

    note: one plain sentence about the data
    class_ids: (n,) int64, ascending: the images of one class stand together
    class_names: one name a class, those of "train" first, then "val", then "test"
    parts: "train" | "val" | "test" -> indices into class_names
    layout: of an archive the name of its layout, which shows only when it is read
    family: one of FAMILIES, of [families] in bench.toml, whose settings suit such images; "" for those of photographs
    left_out: what lies with the images and is not read, in words that are in the note too; "" for nothing
    turned: see `image_decoding.turned_text`
    """

    note: str
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]
    parts: dict[str, tuple[int, ...]]
    layout: str = ""
    family: str = ""
    left_out: str = ""
    turned: str = ""


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

    def decode(self, sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into the sink and say what they are.

        image_size: side in pixels of the square that images are resized to; None leaves them as they are
        Raises DataError, in one line that names the file, for data that cannot be used.
        """


class Format(Protocol):
    """A module that knows one way in which data sets lie in a folder or an archive."""

    EXPECTS: str  # what a valid source looks like, for messages and listings

    def find(self, tree: Tree, /) -> Source:
        """The data set in files that are recognised, or that a user says to be this (FORMAT:PATH).

        Raises DataError when parts of it are missing.
        """


class Layout(Format, Protocol):
    """A format that files are recognised by."""

    NAME: str

    def recognises(self, tree: Tree, /) -> bool:
        """Whether the files look like this format; decided by their names and lists, without reading images."""


def stamp(status: os.stat_result) -> str:
    """What changes when a file does. The change time is in it because it cannot be set back."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"
