"""Pickles of images with a label each: miniImageNet of Gidaris & Komodakis 2018, CIFAR-FS and FC100 of MetaOptNet.

- `miniImageNet_category_split_{train_phase_train,val,test}.pickle`
- `CIFAR_FS_{train,val,test}.pickle`
- `FC100_{train,val,test}.pickle`

Each is a dictionary: `data` uint8 (n, H, W, 3), `labels` n integers that need not start at 0, and in
miniImageNet's also `catname2label`, the classes' names. Without names a class is called after its part and
label, as in "train-12", and whether two parts share a class cannot be seen. `train_phase_val` and
`train_phase_test` hold further images of the classes trained on and are not read. Classes are sorted by name,
or by label without names, and images keep their order within their class.
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
from fewshot_bench.data.labels import PARTS
from fewshot_bench.data.readers.unpickling import unpickle
from fewshot_bench.errors import DataError

EXPECTS = (
    "a folder with miniImageNet_category_split_{train_phase_train,val,test}.pickle, "
    "CIFAR_FS_{train,val,test}.pickle or FC100_{train,val,test}.pickle"
)

_MINI = "miniImageNet_category_split"
_SETS = {
    PublishedSize("miniImageNet", (64, 16, 20)): (f"{_MINI}_train_phase_train", f"{_MINI}_val", f"{_MINI}_test"),
    PublishedSize("CIFAR-FS", (64, 16, 20)): ("CIFAR_FS_train", "CIFAR_FS_val", "CIFAR_FS_test"),
    PublishedSize("FC100", (60, 20, 20)): ("FC100_train", "FC100_val", "FC100_test"),
}
_NOT_READ = (f"{_MINI}_train_phase_val.pickle", f"{_MINI}_train_phase_test.pickle")


def recognises(tree: Tree) -> bool:
    """Whether there is at least one of the files."""
    return bool(_sets_in(tree))


def find(tree: Tree) -> ImageArrays:
    """The data set in the files. Raises DataError when some are missing, or when there are files of two sets."""
    folder = tree.on_disk()
    if not (found := _sets_in(tree)):
        raise DataError(f"{folder} holds none of the files: expected {EXPECTS}")
    published, *others = found
    if others:
        raise DataError(f"{folder} holds files of {published.name} and of {others[0].name}: give each a folder")
    names = {part: (f"{stem}.pickle",) for part, stem in zip(PARTS, _SETS[published], strict=True)}
    files = find_files(folder, names, EXPECTS)
    held_out = tuple(name for name in _NOT_READ if (folder / name).exists()) if published.name == "miniImageNet" else ()
    looked_for = tuple(folder / name for name in held_out)  # not read, but said to be there
    return ImageArrays(folder, (*files.values(), *looked_for), partial(_read, files, published, held_out))


def _sets_in(tree: Tree) -> list[PublishedSize]:
    files = set(tree.entries().files)
    return [published for published, stems in _SETS.items() if not files.isdisjoint(f"{stem}.pickle" for stem in stems)]


def _read(files: dict[str, Path], published: PublishedSize, not_read: tuple[str, ...]) -> Content:
    classes, shelves = {}, []
    for part in PARTS:
        classes[part], shelf = _part(files[part], part)
        shelves.append(shelf)
    said = f"Not read: {' and '.join(not_read)}, further images of the classes trained on." if not_read else ""
    return Content(classes, tuple(shelves), encoded=False, remark=f"{said} {published.difference(shelves)}".strip())


def _part(path: Path, part: str) -> tuple[tuple[str, ...], Shelf]:
    """The classes of a file, in their order, and its images."""
    content = unpickle(path)
    images = images_of(content, "data", path)
    labels = integers_of(entry(content, "labels", path), f"{path}: 'labels'")
    if len(labels) != len(images):
        raise DataError(f"{path} has {len(images):,} images but {len(labels):,} labels")
    names = _names(content, np.unique(labels), part)
    name_of = {label: name for name, label in names}
    class_names = tuple(name_of[label] for label in labels.tolist())
    return tuple(name for name, _ in names), Shelf(str(path), class_names, partial(pixels_of, images, path))


def _names(content: dict[str | int, Any], labels: NDArray[np.int64], part: str) -> list[tuple[str, int]]:
    """(name, label) of each class: from `catname2label` where it names every label once, else from the part."""
    named = content.get("catname2label")
    if isinstance(named, dict):
        names = {label: str(name) for name, label in named.items() if type(label) is int}
        unique = len(names) == len(named) == len(set(names.values()))
        if unique and names.keys() >= set(labels.tolist()):
            return sorted((names[label], label) for label in labels.tolist())
    return [(f"{part}-{label}", label) for label in labels.tolist()]
