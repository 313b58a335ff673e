"""torchmeta's HDF5 files (Deleu et al. 2019): miniImageNet, tieredImageNet, CIFAR-FS and FC100.

- miniImageNet: `{train,val,test}_data.hdf5` with `datasets/<class>` uint8 (n, H, W, 3), `{train,val,test}_labels.json`
  with the list of classes.
- tieredImageNet: the same, but `datasets/<class>` holds n PNG files, as byte strings of any length.
- CIFAR-FS, FC100: `data.hdf5` with `<superclass>/<class>`, and in the folders `cifar-fs` and `fc100`
  `{train,val,test}_labels.json` with pairs [superclass, class]. Both may lie in one folder: name the split's then.

Classes are sorted by name within their part, images keep their order within their class.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf
from fewshot_bench.data.labels import MAX_LIST_BYTES, PARTS, read_json
from fewshot_bench.data.readers.faults import read_bounded
from fewshot_bench.data.readers.hdf5_file import class_images, count_members, stored_images
from fewshot_bench.errors import DataError

NAME = "torchmeta-hdf5"
EXPECTS = (
    "a folder with {train,val,test}_data.hdf5 and {train,val,test}_labels.json, or with data.hdf5 and "
    "{cifar-fs,fc100}/{train,val,test}_labels.json"
)

_TOGETHER = "data.hdf5"
_SPLITS = ("cifar-fs", "fc100")

Classes = dict[str, str]  # class -> where in the HDF5 file it is


def recognises(tree: Tree) -> bool:
    """Whether there is at least one of the HDF5 files, or the folder is a split's beside one."""
    return any(f"{part}_data.hdf5" in tree.entries().files for part in PARTS) or _cifar(tree) is not None


def find(tree: Tree) -> ImageArrays:
    """The data set in the files. Raises DataError when one is missing, or when there are two splits."""
    folder = tree.on_disk()
    if (name := _cifar(tree)) is not None:
        split = folder / name
        lists, data, read_classes = split, dict.fromkeys(PARTS, split.parent / _TOGETHER), _pairs
    else:
        lists, data, read_classes = folder, {part: folder / f"{part}_data.hdf5" for part in PARTS}, _names
    labels = {part: lists / f"{part}_labels.json" for part in PARTS}
    files = tuple(dict.fromkeys((*data.values(), *labels.values())))
    for path in files:
        if not path.is_file():
            raise DataError(f"{path} is missing: expected {EXPECTS}")
    return ImageArrays(folder, files, partial(_read, data, labels, read_classes))


def _cifar(tree: Tree) -> str | None:
    """The folder of the CIFAR split that there is, "" for the top itself. Raises DataError when there are two."""
    if tree.path.name in _SPLITS and (tree.path.parent / _TOGETHER).is_file():
        return ""
    there = tree.entries()
    found = [name for name in _SPLITS if name in there.folders and _TOGETHER in there.files]
    if len(found) > 1:
        first, second = (tree.path / name for name in found)
        raise DataError(f"{tree.path} holds two splits: name {first} or {second} as the data")
    return found[0] if found else None


def _read(data: dict[str, Path], labels: dict[str, Path], read_classes: Callable[[Any, Path], Classes]) -> Content:
    listed = {part: read_json(read_bounded(labels[part], MAX_LIST_BYTES), str(labels[part])) for part in PARTS}
    classes = {part: dict(sorted(read_classes(listed[part], labels[part]).items())) for part in PARTS}
    shelves, kinds = [], set()
    for part in PARTS:
        found = class_images(data[part], classes[part])
        kinds |= {images.encoded for images in found.values()}
        names = tuple(name for name, images in found.items() for _ in range(images.count))
        shelves.append(Shelf(str(data[part]), names, partial(stored_images, data[part], found)))
    if len(kinds) > 1:
        raise DataError(f"{data['test']}: some classes are pixels and others are image files")
    left_out = _left_out(data, classes)
    return Content({part: tuple(classes[part]) for part in PARTS}, tuple(shelves), kinds == {True}, left_out=left_out)


def _left_out(data: dict[str, Path], classes: dict[str, Classes]) -> str:
    """A sentence about classes in the files that no list names, or nothing."""
    places: dict[Path, set[str]] = defaultdict(set)  # all parts may be in one file
    for part in PARTS:
        places[data[part]].update(classes[part].values())
    count = sum(count_members(path, listed) - len(listed) for path, listed in places.items())
    return f"Classes left out, as no list names them: {count:,}." if count else ""


def _names(listed: Any, path: Path) -> Classes:
    """["n01532829", ...] as classes and where they are."""
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise DataError(f"{path} is not a list of class names")
    return _once([(name, f"datasets/{name}") for name in listed], path)


def _pairs(listed: Any, path: Path) -> Classes:
    """[["people", "baby"], ...] as classes and where they are; the names of CIFAR-100's classes are unique."""
    for row in listed if isinstance(listed, list) else [None]:
        if not isinstance(row, list) or len(row) != 2 or not all(isinstance(name, str) for name in row):
            raise DataError(f"{path} is not a list of pairs [superclass, class]")
    return _once([(name, f"{superclass}/{name}") for superclass, name in listed], path)


def _once(classes: list[tuple[str, str]], path: Path) -> Classes:
    places: Classes = {}
    for number, (name, place) in enumerate(classes, start=1):
        if name in places:
            raise DataError(f"{path}, entry {number}: class {name[:50]!r} is listed before")
        places[name] = place
    return places
