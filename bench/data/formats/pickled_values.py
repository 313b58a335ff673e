"""What the formats made of pickles share: finding three files, and the values in them, checked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.image_arrays import Stored, check_shape
from fewshot_bench.data.labels import PARTS
from fewshot_bench.errors import DataError


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
    check_shape(images.shape[1:], str(path))
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


def texts_of(values: Any, what: str) -> list[str]:
    """A list of names, which Python 2 wrote as bytes. Raises DataError naming `what`."""
    if not isinstance(values, list | tuple) or not all(isinstance(value, str | bytes) for value in values):
        raise DataError(f"{what} is not a list of names")
    return [value if isinstance(value, str) else str(value, "latin1") for value in values]


def pixels_of(images: NDArray[np.uint8], path: Path) -> Iterator[Stored]:
    """Images (n, H, W, C), one after the other."""
    for number, pixels in enumerate(images):
        yield Stored(f"{path}: image {number}", pixels)
