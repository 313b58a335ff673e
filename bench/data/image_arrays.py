"""What data sets share whose files hold many images each: a format reads the labels, then gives image after image.

The images are never in memory together: each goes to its place in the cache as it is read, in whatever order the
files hold them.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import ImageSink, Labels, Progress, stamp
from fewshot_bench.data.labels import FEWEST_IMAGES, PARTS, is_class_name, labels_of
from fewshot_bench.data.readers import guarded
from fewshot_bench.data.readers.image_decoding import (
    CHUNK,
    MAX_STORED_PIXELS,
    Decoded,
    Encoded,
    decode_into,
    put_all,
    resized_pixels,
    turned_text,
)
from fewshot_bench.errors import DataError


class Stored(NamedTuple):
    """One image as a file holds it: its name in messages, and pixels (H, W, C) uint8 or the bytes of an image file."""

    where: str
    content: NDArray[np.uint8] | bytes


@dataclass(frozen=True)
class Shelf:
    """Images that follow each other in a file.

    file: its name in messages
    class_names: the class of each image
    images: gives exactly as many images, in that order; raises DataError
    """

    file: str
    class_names: tuple[str, ...]
    images: Callable[[], Iterator[Stored]]


@dataclass(frozen=True)
class Content:
    """What a data set holds.

    classes: "train" | "val" | "test" -> its classes, in the order in which they are kept
    shelves: all images; encoded: whether they are image files, and not pixels
    remark: sentences about the data, or nothing; left_out: see `Labels`
    """

    classes: dict[str, tuple[str, ...]]
    shelves: tuple[Shelf, ...]
    encoded: bool
    remark: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class ImageArrays:
    """A data set in a folder (see `format.Source`).

    folder: what the user named; files: all that the content depends on
    read: gives the content, for which it reads the labels; raises DataError
    called: its name, if that is not the folder's
    """

    folder: Path
    files: tuple[Path, ...]
    read: Callable[[], Content]
    called: str = ""

    @property
    def name(self) -> str:
        """What tables print."""
        return self.called or self.folder.name

    @property
    def where(self) -> str:
        """The resolved path of the folder."""
        return str(self.folder)

    def state(self) -> str:
        """A digest over the names, sizes and times of the files."""
        digest = hashlib.sha256(f"parted 1 {self.folder}\n".encode(errors="surrogateescape"))
        for path in self.files:
            try:
                digest.update(f"{path} {stamp(path.stat())}".encode(errors="surrogateescape"))
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}") from None
        return digest.hexdigest()

    def decode(self, sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into its place, under the guard; see `format.Source.decode`."""
        return guarded.read(self, sink, image_size, progress)

    def fill(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """The same in this process."""
        content = self.read()
        class_ids, places = _places(content)
        images = ((place, *image) for place, image in zip(places, _stored(content.shelves), strict=True))
        if content.encoded:
            files = (Encoded(place, where, bytes(data)) for place, where, data in images)
            turned = decode_into(sink, files, len(places), image_size, progress)
        else:
            decoded = (Decoded(place, where, _pixels(data, image_size)) for place, where, data in images)
            chunks = iter(lambda: list(islice(decoded, CHUNK)), [])
            turned = put_all(sink, chunks, len(places), partial(progress, "reading images"))
        labels = labels_of(content.classes, class_ids, self.name, content.remark, content.left_out)
        return replace(labels, turned=turned_text([where.removeprefix(f"{self.folder}/") for _, where in turned]))


def check_shape(shape: tuple[int, ...], where: str) -> None:
    """Raise DataError unless (H, W, C) is the shape of a grey or RGB image that is not too large."""
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise DataError(f"{where} has images of the shape {shape}, not (height, width, 3)")
    if shape[0] * shape[1] > MAX_STORED_PIXELS:
        raise DataError(f"{where} has images of {shape[1]}×{shape[0]} pixels, more than {MAX_STORED_PIXELS:,}")


def _places(content: Content) -> tuple[NDArray[np.int64], list[int]]:
    """The class of each image as they are kept, ascending, and for each image as it is stored its place there."""
    index = _class_index(content)
    class_ids = np.array([index[name] for shelf in content.shelves for name in shelf.class_names], np.int64)
    counts = np.bincount(class_ids, minlength=len(index))
    for name, count in zip(index, counts.tolist(), strict=True):
        if count < FEWEST_IMAGES:
            raise DataError(
                f"{_file_of(content, name)}: class {name!r} has only {count} image(s), and a class needs "
                f"{FEWEST_IMAGES} at the very least"
            )
    order = np.argsort(class_ids, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return class_ids[order], places.tolist()


def _class_index(content: Content) -> dict[str, int]:
    """Class -> its number: those of train first. Raises DataError for names that cannot be used."""
    homes: dict[str, str] = {}
    for part in PARTS:
        if not content.classes[part]:
            raise DataError(f"{content.shelves[0].file}: there are no classes in {part}")
        for name in content.classes[part]:
            if not is_class_name(name):
                raise DataError(f"{_file_of(content, name)}: {name[:50]!r} cannot be the name of a class")
            if homes.setdefault(name, part) != part:
                raise DataError(f"{_file_of(content, name, last=True)}: class {name!r} is in {homes[name]} already")
    return {name: number for number, name in enumerate(homes)}


def _file_of(content: Content, name: str, last: bool = False) -> str:
    files = [shelf.file for shelf in content.shelves if name in shelf.class_names] or [content.shelves[0].file]
    return files[-1 if last else 0]


def _stored(shelves: tuple[Shelf, ...]) -> Iterator[Stored]:
    for shelf in shelves:
        count, wanted = 0, len(shelf.class_names)
        for count, image in enumerate(shelf.images(), start=1):
            if count > wanted:
                raise DataError(f"{shelf.file} has more images than labels, of which there are {wanted:,}")
            yield image
        if count < wanted:
            raise DataError(f"{shelf.file} has {count:,} images but {wanted:,} labels")


def _pixels(stored: NDArray[np.uint8] | bytes, image_size: int | None) -> NDArray[np.uint8]:
    """(H, W, C) -> (C, H, W), resized where that is wanted."""
    pixels = np.asarray(stored).transpose(2, 0, 1)
    return resized_pixels(pixels, image_size) if image_size and pixels.shape[1:] != (image_size,) * 2 else pixels
