"""What the layouts made of pickles share: three files, each with the images and the classes of one part."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_bench.data.format import ImageSink, Labels, Progress, stamp
from fewshot_bench.data.labels import FEWEST_IMAGES, PARTS, is_class_name, labels_of
from fewshot_bench.data.readers.image_decoding import MAX_STORED_PIXELS, resized
from fewshot_bench.errors import DataError

PROGRESS_EVERY = 256  # images


@dataclass(frozen=True)
class Part:
    """The content of one file.

    images: (n, H, W, C) uint8, C 1 or 3
    classes: name -> the indices of its images, ascending; in the order in which they are stored
    """

    images: NDArray[np.uint8]
    classes: dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class PublishedSize:
    """How many classes (train, val, test) and images per class a data set has as it was published."""

    name: str
    n_classes: tuple[int, int, int]
    images_per_class: int = 600

    def difference(self, parts: dict[str, Part]) -> str:
        """A sentence about a difference, or nothing."""
        counts = tuple(len(parts[part].classes) for part in PARTS)
        sizes = {len(indices) for part in parts.values() for indices in part.classes.values()}
        if counts == self.n_classes and sizes == {self.images_per_class}:
            return ""
        classes = "/".join(map(str, self.n_classes))
        found = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
        return f"{self.name} as published has {classes} classes of {self.images_per_class} images; these have {found}."


@dataclass(frozen=True)
class PickledSource:
    """A data set in three pickles.

    folder: where they lie; files: part -> its file
    read: (file, part) -> its content; raises DataError
    published: what the whole set has, for the note
    not_read: names of files beside them that belong to the layout and are not read
    """

    folder: Path
    files: dict[str, Path]
    read: Callable[[Path, str], Part]
    published: PublishedSize
    not_read: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def where(self) -> str:
        """The resolved path of the folder."""
        return str(self.folder)

    def state(self) -> str:
        """A digest over the size and times of the files; the change time cannot be set back."""
        digest = hashlib.sha256(f"pickled 1 {self.folder} {self.not_read}\n".encode(errors="surrogateescape"))
        for part in PARTS:
            path = self.files[part]
            try:
                digest.update(f"{path.name} {stamp(path.stat())}".encode(errors="surrogateescape"))
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}") from None
        return digest.hexdigest()

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into the sink, class by class; see `Source.decode`."""
        parts = {part: self.read(self.files[part], part) for part in PARTS}
        self._check(parts, image_size)
        total = sum(len(indices) for part in parts.values() for indices in part.classes.values())
        for place, pixels in enumerate(_in_order(parts)):
            if image_size and pixels.shape[1:] != (image_size, image_size):
                pixels = resized_pixels(pixels, image_size)
            sink.put(place, pixels)
            if (place + 1) % PROGRESS_EVERY == 0 or place + 1 == total:
                progress("reading images", place + 1, total)
        return self._labels(parts)

    def _check(self, parts: dict[str, Part], image_size: int | None) -> None:
        """What no file can be wrong in alone: classes in two parts, images of several sizes."""
        homes: dict[str, str] = {}
        first = parts[PARTS[0]].images.shape[1:3]
        for part in PARTS:
            for name in parts[part].classes:
                home = homes.setdefault(name, part)
                if home != part:
                    raise DataError(f"{self.files[part]}: class {name!r} is in {self.files[home]} already")
            shape = parts[part].images.shape[1:3]
            if shape != first and not image_size:
                raise DataError(
                    f"{self.files[part]} has images of {shape[1]}×{shape[0]} pixels but {self.files[PARTS[0]]} of "
                    f"{first[1]}×{first[0]}: set `image_size` to bring all images to one size"
                )

    def _labels(self, parts: dict[str, Part]) -> Labels:
        class_sizes = [len(indices) for part in PARTS for indices in parts[part].classes.values()]
        class_ids = np.repeat(np.arange(len(class_sizes), dtype=np.int64), class_sizes)
        files = " and ".join(self.not_read)
        not_read = f"Not read: {files}, further images of the classes trained on." if files else ""
        remark = f"{not_read} {self.published.difference(parts)}".strip()
        return labels_of({part: tuple(parts[part].classes) for part in PARTS}, class_ids, self.name, remark)


def find_files(folder: Path, names: Mapping[str, Sequence[str]], expects: str) -> dict[str, Path]:
    """part -> its file in a folder, the only one of its possible names. Raises DataError."""
    files = {}
    for part in PARTS:
        found = [folder / name for name in names[part] if (folder / name).exists()]
        if not found:
            raise DataError(f"{folder / names[part][0]} is missing: expected {expects}")
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1].name} are the same part: remove one of them")
        files[part] = found[0]
    return files


def entry(content: Any, key: str, path: Path) -> Any:
    """What a pickled dictionary holds under a key. Raises DataError when it is no dictionary or lacks the key."""
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a dictionary with {key!r}")
    if key not in content:
        keys = ", ".join(repr(str(known)[:30]) for known in list(content)[:5]) or "nothing"
        raise DataError(f"{path} has no {key!r}, only {keys}")
    return content[key]


def images_of(content: Any, key: str, path: Path) -> NDArray[np.uint8]:
    """The images under a key, (n, H, W, C) uint8 with C 1 or 3. Raises DataError for anything else."""
    images = entry(content, key, path)
    if not isinstance(images, np.ndarray):
        raise DataError(f"{path}: {key!r} is a {type(images).__name__}, not an array")
    if images.dtype != np.uint8:
        raise DataError(f"{path}: {key!r} has the type {images.dtype}, not uint8: pixels must be 0 to 255")
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise DataError(f"{path}: {key!r} has the shape {images.shape}, not (images, height, width, 3)")
    height, width = images.shape[1:3]
    if height * width > MAX_STORED_PIXELS:
        raise DataError(f"{path} has images of {width}×{height} pixels, more than {MAX_STORED_PIXELS:,}")
    return images


def integers_of(values: Any, what: str) -> NDArray[np.int64]:
    """A list, tuple or one-dimensional array of integers, as (n,) int64. Raises DataError naming `what`."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise DataError(f"{what} has the shape {values.shape} and type {values.dtype}, not a list of integers")
        values = values.tolist()  # Python's integers, of which one beyond 64 bits is noticed below
    elif not isinstance(values, list | tuple) or any(type(value) is not int for value in values):
        raise DataError(f"{what} is not a list of integers")
    try:
        return np.array(values, np.int64)
    except OverflowError:
        raise DataError(f"{what} has integers beyond 64 bits") from None


def checked_classes(classes: dict[str, NDArray[np.int64]], path: Path) -> dict[str, NDArray[np.int64]]:
    """The same classes when each can be used and printed. Raises DataError."""
    if not classes:
        raise DataError(f"{path} has no classes")
    for name, indices in classes.items():
        if not is_class_name(name):
            raise DataError(f"{path}: {name[:50]!r} cannot be the name of a class")
        if len(indices) < FEWEST_IMAGES:
            raise DataError(
                f"{path}: class {name!r} has only {len(indices)} image(s), "
                f"and a class needs {FEWEST_IMAGES} at the very least"
            )
    return classes


def _in_order(parts: dict[str, Part]) -> Iterator[NDArray[np.uint8]]:
    """Every image, (C, H, W) uint8: train, val, test; class by class."""
    for part in PARTS:
        for indices in parts[part].classes.values():
            for index in indices:
                yield parts[part].images[index].transpose(2, 0, 1)


def resized_pixels(pixels: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """(C, H, W) -> (C, image_size, image_size)."""
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    small = np.asarray(resized(picture, image_size))
    return small[None] if small.ndim == 2 else small.transpose(2, 0, 1)
