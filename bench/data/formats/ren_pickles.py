"""miniImageNet as the cache pickles of Ren et al. 2018, which learn2learn uses too: images and lists of indices.

`mini-imagenet-cache-{train,val,test}.pkl`, the middle one also called `-validation.pkl`. Each is a dictionary:
`image_data` uint8 (n, 84, 84, 3), and `class_dict`, which maps a class to the indices of its images. Classes are
sorted by name within their part, images by index within their class.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.format import Tree
from fewshot_bench.data.formats.pickled_values import (
    PublishedSize,
    entry,
    find_files,
    images_of,
    integers_of,
    pixels_of,
)
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf
from fewshot_bench.data.labels import PARTS, is_class_name
from fewshot_bench.data.readers.unpickling import unpickle
from fewshot_bench.errors import DataError

EXPECTS = "a folder with mini-imagenet-cache-train.pkl, -val.pkl (or -validation.pkl) and -test.pkl"

_NAMES = {
    "train": ("mini-imagenet-cache-train.pkl",),
    "val": ("mini-imagenet-cache-val.pkl", "mini-imagenet-cache-validation.pkl"),
    "test": ("mini-imagenet-cache-test.pkl",),
}


def recognises(tree: Tree) -> bool:
    """Whether there is at least one of the files."""
    return any(name in tree.entries().files for names in _NAMES.values() for name in names)


def find(tree: Tree) -> ImageArrays:
    """The data set in the files. Raises DataError when one is missing or there twice."""
    folder = tree.on_disk()
    files = find_files(folder, _NAMES, EXPECTS)
    return ImageArrays(folder, tuple(files.values()), partial(_read, files))


def _read(files: dict[str, Path]) -> Content:
    shelves = tuple(_shelf(files[part]) for part in PARTS)
    classes = {part: tuple(sorted(set(shelf.class_names))) for part, shelf in zip(PARTS, shelves, strict=True)}
    remark = PublishedSize("miniImageNet", (64, 16, 20)).difference(shelves)
    return Content(classes, shelves, encoded=False, remark=remark)


def _shelf(path: Path) -> Shelf:
    content = unpickle(path)
    images = images_of(content, "image_data", path)
    listed = entry(content, "class_dict", path)
    if not isinstance(listed, dict):
        raise DataError(f"{path}: 'class_dict' is a {type(listed).__name__}, not a dictionary")
    if not listed:
        raise DataError(f"{path} has no classes")
    names = np.full(len(images), -1, np.int64)
    uses = np.zeros(len(images), np.int64)
    for number, (name, values) in enumerate(listed.items()):
        if not is_class_name(str(name)):
            raise DataError(f"{path}: {str(name)[:50]!r} cannot be the name of a class")
        indices = _indices(values, name, len(images), path)
        names[indices] = number
        np.add.at(uses, indices, 1)
    if (uses > 1).any():
        raise DataError(f"{path}: image {int(uses.argmax())} is listed {int(uses.max())} times in 'class_dict'")
    if (uses == 0).any():
        raise DataError(f"{path}: image {int(uses.argmin())} is in no class of 'class_dict'")
    known = [str(name) for name in listed]
    return Shelf(str(path), tuple(known[number] for number in names.tolist()), partial(pixels_of, images, path))


def _indices(values: Any, name: object, n_images: int, path: Path) -> NDArray[np.int64]:
    """The indices of one class, ascending, all of them of images that exist."""
    indices = np.sort(integers_of(values, f"{path}: class {str(name)[:50]!r}"))
    if len(indices) and not 0 <= indices[0] <= indices[-1] < n_images:
        wrong = int(indices[0] if indices[0] < 0 else indices[-1])
        raise DataError(f"{path}: class {str(name)[:50]!r} has image {wrong}, but there are {n_images:,} images")
    return indices
