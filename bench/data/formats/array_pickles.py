"""miniImageNet, CIFAR-FS and FC100 as pickles that hold an array of images each, in two layouts.

- `miniimagenet-cache` (Ren et al. 2018; learn2learn uses it too): `mini-imagenet-cache-{train,val,test}.pkl`, the
  middle one also called `-validation.pkl`. Each is a dictionary: `image_data` uint8 (n, 84, 84, 3), and `class_dict`,
  which maps a class to the indices of its images.
- `label-pickles`: `miniImageNet_category_split_{train_phase_train,val,test}.pickle` (Gidaris & Komodakis 2018),
  `{CIFAR_FS,FC100}_{train,val,test}.pickle` (MetaOptNet). Each is a dictionary: `data` uint8 (n, H, W, 3), `labels`, n
  integers that need not start at 0, and in miniImageNet's also `catname2label`, the classes' names. Without names a
  class is called after its part and label, as in "train-12", and whether two parts share a class cannot be seen.
  `train_phase_val` and `train_phase_test` hold further images of the classes trained on and are not read.

Classes are sorted by name within their part, or by label without names, and images keep their order within their class.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_bench.data.format import Tree
from fewshot_bench.data.formats.pickled_values import entry, find_files, images_of, integers_of, pixels_of
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf
from fewshot_bench.data.labels import PARTS, is_class_name
from fewshot_bench.data.readers.unpickling import unpickle
from fewshot_bench.errors import DataError

Part = tuple[tuple[str, ...], Shelf, str]  # its classes in their order, its images, and what is to be said of it


@dataclass(frozen=True)
class PublishedSize:
    """How many classes (train, val, test) and images per class a data set has as it was published."""

    name: str
    n_classes: tuple[int, int, int]
    images_per_class: int = 600

    def difference(self, shelves: Sequence[Shelf]) -> str:
        """A sentence about a difference, or nothing. shelves: one a part"""
        sizes_of_part = [Counter(shelf.class_names) for shelf in shelves]
        counts = tuple(map(len, sizes_of_part))
        sizes = {count for part in sizes_of_part for count in part.values()}
        if counts == self.n_classes and sizes == {self.images_per_class}:
            return ""
        classes = "/".join(map(str, self.n_classes))
        found = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
        return f"{self.name} as published has {classes} classes of {self.images_per_class} images; these have {found}."


MINI = PublishedSize("miniImageNet", (64, 16, 20))
_GIDARIS = "miniImageNet_category_split"
_SETS = {
    MINI: (f"{_GIDARIS}_train_phase_train", f"{_GIDARIS}_val", f"{_GIDARIS}_test"),
    PublishedSize("CIFAR-FS", (64, 16, 20)): ("CIFAR_FS_train", "CIFAR_FS_val", "CIFAR_FS_test"),
    PublishedSize("FC100", (60, 20, 20)): ("FC100_train", "FC100_val", "FC100_test"),
}
_NOT_READ = (f"{_GIDARIS}_train_phase_val.pickle", f"{_GIDARIS}_train_phase_test.pickle")
_CACHES = {
    part: tuple(f"mini-imagenet-cache-{name}.pkl" for name in names)
    for part, names in zip(PARTS, (("train",), ("val", "validation"), ("test",)), strict=True)
}


class CachePickles:
    """Images, and lists of indices (see `format.Format`)."""

    NAME = "miniimagenet-cache"
    EXPECTS = "a folder with mini-imagenet-cache-train.pkl, -val.pkl (or -validation.pkl) and -test.pkl"

    def recognises(self, tree: Tree) -> bool:
        """Whether there is at least one of the files."""
        return any(name in tree.entries().files for names in _CACHES.values() for name in names)

    def find(self, tree: Tree) -> ImageArrays:
        """The data set in the files. Raises DataError when one is missing or there twice."""
        files = find_files(tree.on_disk(), _CACHES, self.EXPECTS)
        return ImageArrays(tree.on_disk(), tuple(files.values()), partial(_content, files, _cached, MINI))


class LabelPickles:
    """Images, and a label for each (see `format.Format`)."""

    NAME = "label-pickles"
    EXPECTS = (
        f"a folder with {_GIDARIS}_{{train_phase_train,val,test}}.pickle, "
        "CIFAR_FS_{train,val,test}.pickle or FC100_{train,val,test}.pickle"
    )

    def recognises(self, tree: Tree) -> bool:
        """Whether there is at least one of the files."""
        return bool(_sets_in(tree))

    def find(self, tree: Tree) -> ImageArrays:
        """The data set in the files. Raises DataError when some are missing, or when there are files of two sets."""
        folder = tree.on_disk()
        if not (found := _sets_in(tree)):
            raise DataError(f"{folder} holds none of the files: expected {self.EXPECTS}")
        published, *others = found
        if others:
            raise DataError(f"{folder} holds files of {published.name} and of {others[0].name}: give each a folder")
        names = {part: (f"{stem}.pickle",) for part, stem in zip(PARTS, _SETS[published], strict=True)}
        files = find_files(folder, names, self.EXPECTS)
        held_out = [name for name in _NOT_READ if published == MINI and (folder / name).exists()]
        said = f"Not read: {' and '.join(held_out)}, further images of the classes trained on." if held_out else ""
        looked_for = tuple(folder / name for name in held_out)  # not read, but said to be there
        return ImageArrays(folder, (*files.values(), *looked_for), partial(_content, files, _labelled, published, said))


def _sets_in(tree: Tree) -> list[PublishedSize]:
    files = set(tree.entries().files)
    return [published for published, stems in _SETS.items() if not files.isdisjoint(f"{stem}.pickle" for stem in stems)]


def _content(
    files: dict[str, Path], read: Callable[[Path, str], Part], published: PublishedSize, said: str = ""
) -> Content:
    classes, shelves, remarks = zip(*(read(files[part], part) for part in PARTS), strict=True)
    remark = " ".join(filter(None, [said, published.difference(shelves), *remarks]))
    return Content(dict(zip(PARTS, classes, strict=True)), shelves, encoded=False, remark=remark)


def _labelled(path: Path, part: str) -> Part:
    content = unpickle(path)
    images = images_of(content, "data", path)
    labels = integers_of(entry(content, "labels", path), f"{path}: 'labels'")
    if len(labels) != len(images):
        raise DataError(f"{path} has {len(images):,} images but {len(labels):,} labels")
    different, remark = np.unique(labels).tolist(), ""
    if not (names := _names(content, different)):
        names = {label: f"{part}-{label}" for label in different}
        if "catname2label" in content:
            remark = f"Not used: 'catname2label' of {part}, which does not name each label once."
    class_names = tuple(names[label] for label in labels.tolist())
    return tuple(names.values()), Shelf(str(path), class_names, partial(pixels_of, images, path)), remark


def _names(content: dict[str | int, Any], labels: list[int]) -> dict[int, str]:
    """Label -> class, in their order, as in `catname2label` where it names every label once; else nothing."""
    named = content.get("catname2label")
    if isinstance(named, dict):
        names = {label: str(name) for name, label in named.items() if type(label) is int}
        unique = len(names) == len(named) == len(set(names.values()))
        if unique and names.keys() >= set(labels):
            return {label: names[label] for label in sorted(labels, key=lambda label: (names[label], label))}
    return {}


def _cached(path: Path, _part: str) -> Part:
    content = unpickle(path)
    images = images_of(content, "image_data", path)
    listed = entry(content, "class_dict", path)
    if not isinstance(listed, dict):
        raise DataError(f"{path}: 'class_dict' is a {type(listed).__name__}, not a dictionary")
    if not listed:
        raise DataError(f"{path} has no classes")
    numbers, uses = np.full(len(images), -1, np.int64), np.zeros(len(images), np.int64)
    for number, (name, values) in enumerate(listed.items()):
        if not is_class_name(str(name)):
            raise DataError(f"{path}: {str(name)[:50]!r} cannot be the name of a class")
        indices = np.sort(integers_of(values, f"{path}: class {str(name)!r}"))
        if not len(indices):
            raise DataError(f"{path}: class {str(name)!r} has no images")
        if not 0 <= indices[0] <= indices[-1] < len(images):
            wrong = int(indices[0] if indices[0] < 0 else indices[-1])
            raise DataError(f"{path}: class {str(name)!r} has image {wrong}, but there are {len(images):,} images")
        numbers[indices] = number
        np.add.at(uses, indices, 1)
    if (uses > 1).any():
        raise DataError(f"{path}: image {int(uses.argmax())} is listed {int(uses.max())} times in 'class_dict'")
    if (uses == 0).any():
        raise DataError(f"{path}: image {int(uses.argmin())} is in no class of 'class_dict'")
    known = [str(name) for name in listed]
    if len(set(known)) < len(known):  # a number, and the text of it
        raise DataError(f"{path}: two classes in 'class_dict' have one name")
    class_names = tuple(known[number] for number in numbers.tolist())
    return tuple(sorted(set(class_names))), Shelf(str(path), class_names, partial(pixels_of, images, path)), ""
