"""tieredImageNet (Ren et al. 2018): PNG files in a pickle, or one array in an .npz (Lee et al. 2019, MetaOptNet).

- `{train,val,test}_images_png.pkl`: a list with the bytes of a PNG file for each image, as an array of bytes
- `{train,val,test}_images.npz`: `images` uint8 (n, H, W, 3) in the order blue, green, red, which is turned round here
- `{train,val,test}_labels.pkl`: `label_specific`, n indices into the names `label_specific_str`, or MetaOptNet's
  `labels`, n integers without names

Zenodo serves Ren's files as `tiered-imagenet-train_labels.pkl` and so on. With both kinds of images the PNG files are
read. Classes are sorted by name, or by label without names, and images keep their order within their class.
`label_general_str` names the categories, whose parts should share none; the category of an image, `label_general`, is
not read: the script that made the files numbers it before it stores the category's name, so that most numbers are
those of the next category.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_bench.data.format import Tree
from fewshot_bench.data.formats.pickled_values import entry, find_files, integers_of, texts_of
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf, Stored
from fewshot_bench.data.labels import PARTS
from fewshot_bench.data.readers.npz_file import npz_images
from fewshot_bench.data.readers.unpickling import unpickle
from fewshot_bench.data.splits import shortened
from fewshot_bench.errors import DataError

NAME = "tiered-imagenet"
EXPECTS = (
    "a folder with {train,val,test}_images_png.pkl or {train,val,test}_images.npz, and {train,val,test}_labels.pkl"
)

_PNG, _NPZ, _LABELS = "{}_images_png.pkl", "{}_images.npz", "{}_labels.pkl"
_PREFIXES = ("", "tiered-imagenet-")


def recognises(tree: Tree) -> bool:
    """Whether there are images of at least one part."""
    return any(_are_there(tree, name) for name in (_PNG, _NPZ))


def find(tree: Tree) -> ImageArrays:
    """The data set in the files. Raises DataError when one is missing."""
    folder = tree.on_disk()
    name = _PNG if _are_there(tree, _PNG) else _NPZ
    images, labels = (find_files(folder, _names(wanted), EXPECTS) for wanted in (name, _LABELS))
    return ImageArrays(folder, (*images.values(), *labels.values()), partial(_read, images, labels, name == _PNG))


def _names(name: str) -> dict[str, tuple[str, ...]]:
    """part -> what its file may be called."""
    return {part: tuple(prefix + name.format(part) for prefix in _PREFIXES) for part in PARTS}


def _are_there(tree: Tree, name: str) -> bool:
    """Whether there is a file of at least one part."""
    return any(file in tree.entries().files for files in _names(name).values() for file in files)


def _read(images: dict[str, Path], labels: dict[str, Path], encoded: bool) -> Content:
    classes, shelves, categories = {}, [], {}
    for part in PARTS:
        content = unpickle(labels[part])
        class_of_image = _labels(content, labels[part])
        by_number = dict(sorted(_class_names(content, class_of_image, labels[part], part).items()))  # label -> name
        numbered = "label_specific" not in content
        classes[part] = tuple(by_number.values() if numbered else sorted(by_number.values()))
        read = partial(_pngs if encoded else _pixels, images[part])
        shelves.append(Shelf(str(images[part]), tuple(by_number[label] for label in class_of_image), read))
        categories[part] = set(texts_of(content.get("label_general_str", []), f"{labels[part]}: 'label_general_str'"))
    return Content(classes, tuple(shelves), encoded, _shared(categories))


def _labels(content: Any, path: Path) -> list[int]:
    """The label of each image."""
    key = "label_specific" if isinstance(content, dict) and "label_specific" in content else "labels"
    return [int(label) for label in integers_of(entry(content, key, path), f"{path}: {key!r}")]


def _class_names(content: Any, labels: list[int], path: Path, part: str) -> dict[int, str]:
    """label -> the name of its class, of the labels that occur. Raises DataError for a label that has none."""
    if "label_specific" not in content:
        return {label: f"{part}-{label}" for label in set(labels)}
    known = texts_of(entry(content, "label_specific_str", path), f"{path}: 'label_specific_str'")
    for image, label in enumerate(labels):
        if not 0 <= label < len(known):
            raise DataError(f"{path}: image {image} has the label {label}, but there are {len(known):,} names")
    names = {label: known[label] for label in set(labels)}
    if len(set(names.values())) < len(names):
        raise DataError(f"{path}: two classes in 'label_specific_str' have one name")
    return names


def _shared(categories: dict[str, set[str]]) -> str:
    """A sentence about categories that are in two parts, which those of tieredImageNet are not."""
    train, val, test = (categories[part] for part in PARTS)
    shared = sorted((train & val) | (train & test) | (val & test))
    if not shared:
        return ""
    return f"Categories in two parts, unlike in the published split: {shortened(tuple(shared))}."


def _pngs(path: Path) -> Iterator[Stored]:
    images = unpickle(path)
    if not isinstance(images, list | tuple):
        raise DataError(f"{path} holds a {type(images).__name__}, not a list of images")
    for number, image in enumerate(images):
        where = f"{path}: image {number}"
        if isinstance(image, np.ndarray) and (image.dtype != np.uint8 or image.size != max(image.shape, default=0)):
            raise DataError(f"{where} has the type {image.dtype} and shape {image.shape}, not the bytes of a file")
        if not isinstance(image, np.ndarray | bytes | memoryview):
            raise DataError(f"{where} is a {type(image).__name__}, not the bytes of a file")
        yield Stored(where, image.tobytes() if isinstance(image, np.ndarray) else bytes(image))


def _pixels(path: Path) -> Iterator[Stored]:
    for number, pixels in enumerate(npz_images(path, "images")):
        yield Stored(f"{path}: image {number}", pixels[:, :, ::-1])  # blue, green, red -> red, green, blue
