"""Hugging Face's image data sets in Parquet, as `timm/mini-imagenet` is.

Files `data/<split>-00000-of-00013.parquet` (or `<split>/0000.parquet`, as the hub converts them) with the columns
`image`, a struct of `bytes` and `path`, and `label`, whose names stand in the schema's metadata, or which is text.

The splits of `timm/mini-imagenet` hold all 100 classes each: whoever takes them for few-shot learning tests on classes
that were trained on. So splits that share classes are never used as they are. Where the classes are those of a
published split (see `data.splits`), train and validation are united, 600 images a class, and split anew by its
list; the test split, which is ImageNet's validation images, is left out. Splits without a common class are kept.

Classes are sorted by name within their part, images keep the order of the files within their class.
"""

import re
from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf
from fewshot_bench.data.labels import PART_OF, PARTS, told_left_out
from fewshot_bench.data.readers.parquet_file import parquet_images, parquet_labels
from fewshot_bench.data.splits import Standard, of_classes
from fewshot_bench.errors import DataError

NAME = "hf-parquet"
EXPECTS = "a folder with data/{train,validation,test}-*.parquet (columns image and label), as Hugging Face has them"

_SUFFIX = ".parquet"
_NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})(-|$)")  # one of several files of a split
_PLACES = ("", "data", *PART_OF, *(f"data/{name}" for name in PART_OF))  # folders that files of a split may lie in

Splits = dict[str, tuple[Shelf, ...]]  # part -> its files, as they are labelled


def recognises(tree: Tree) -> bool:
    """Whether there are Parquet files of a split."""
    return bool(_files(tree).keys() - {""})


def find(tree: Tree) -> ImageArrays:
    """The data set in the files. Raises DataError when there are none."""
    folder = tree.on_disk()
    found = _files(tree)
    others = found.pop("", [])
    files = {part: tuple(folder / file for file in names) for part, names in found.items()}
    if not files:
        raise DataError(f"{folder} has no Parquet files of a split: expected {EXPECTS}")
    paths = tuple(path for part in PARTS for path in files.get(part, ()))
    for part in files:
        _check_whole(files[part])
    left_out = told_left_out("Parquet files", "as their names are of no split", others)
    return ImageArrays(folder, (*paths, *map(folder.joinpath, others)), partial(_read, folder, files, left_out))


def _files(tree: Tree) -> dict[str, list[str]]:
    """part -> the files of the split that is called so, by name; "" -> those beside them that are of no split."""
    found: dict[str, list[str]] = defaultdict(list)
    for at in _PLACES:
        folder = (at or tree.name).rpartition("/")[2]
        for file in tree.entries(at).files:
            if file.endswith(_SUFFIX):
                split = folder if folder in PART_OF else file.removesuffix(_SUFFIX).partition("-")[0]
                found[PART_OF.get(split, "")].append(f"{at}/{file}" if at else file)
    return found


def _check_whole(paths: tuple[Path, ...]) -> None:
    """Raise DataError unless files numbered 0 of 2, 1 of 2 are all there."""
    numbers: dict[tuple[Path, str, int], dict[int, Path]] = {}
    for path in paths:
        if found := _NUMBERED.search(path.stem):
            number, total = int(found[1]), int(found[2])
            numbers.setdefault((path.parent, path.stem[: found.start()], total), {})[number] = path
    for (_, split, total), there in numbers.items():
        if missing := sorted(set(range(total)) - set(there)):
            raise DataError(
                f"{next(iter(there.values()))}: of the {total:,} files of {split!r} number {missing[0]} is missing"
            )


def _read(folder: Path, files: dict[str, tuple[Path, ...]], left_out: str) -> Content:
    splits: Splits = {part: tuple(map(_shelf, files[part])) for part in PARTS if part in files}
    classes = {part: {name for shelf in shelves for name in shelf.class_names} for part, shelves in splits.items()}
    homes = Counter(name for names in classes.values() for name in names)
    shared = sorted(name for name, count in homes.items() if count > 1)
    if not shared:
        if missing := [part for part in PARTS if part not in splits]:
            raise DataError(f"{folder} has no Parquet files of {' and '.join(missing)}: expected {EXPECTS}")
        kept = tuple(shelf for shelves in splits.values() for shelf in shelves)
        sorted_classes = {part: tuple(sorted(names)) for part, names in classes.items()}
        return Content(sorted_classes, kept, encoded=True, left_out=left_out)
    if published := of_classes(set(homes)):
        return replace(_anew(splits, published), left_out=left_out)
    others = f" and {len(shared) - 1:,} more" if len(shared) > 1 else ""
    raise DataError(
        f"{folder}: its splits share classes ({shared[0]!r}{others}), so test classes would have "
        "been trained on, and no published split has these classes: write the images into {train,val,test}/<class>/"
    )


def _shelf(path: Path) -> Shelf:
    return Shelf(str(path), tuple(parquet_labels(path)), partial(parquet_images, path))


def _anew(splits: Splits, published: Standard) -> Content:
    """All splits but `test` as one, split by a published list."""
    left_out = sum(len(shelf.class_names) for shelf in splits.get("test", ()))
    remark = f"Split anew by class as by {published.authors}: the files' own splits share their classes."
    if left_out:
        remark += f" Not read: the {left_out:,} images of their test split."
    kept = tuple(shelf for part, shelves in splits.items() if part != "test" for shelf in shelves)
    return Content({part: tuple(sorted(published.parts[part])) for part in PARTS}, kept, encoded=True, remark=remark)
