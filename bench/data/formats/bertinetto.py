"""Bertinetto's layout: `data/<class>/*` and `splits/<name>/{train,val,test}.txt`, one class a line.

CIFAR-FS came out in it (Bertinetto et al. 2019, `splits/bertinetto`), and miniImageNet (`splits/ravi-larochelle`). With
several splits one is chosen by its path: `cifar100/splits/bertinetto`. Class folders that the split does not name are
ignored.
"""

import io
from functools import partial
from pathlib import Path
from unicodedata import normalize

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import AS_CLASSES, ImageFiles, class_folders, class_rows, left_out
from fewshot_bench.data.labels import PARTS, Listing, Row, decode_text, is_class_name, list_images, quoted
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.data.readers.trees import Folder, open_tree
from fewshot_bench.errors import DataError

NAME = "bertinetto"
EXPECTS = "a folder with data/<class>/<image> and splits/<name>/train.txt, val.txt, test.txt (a class a line)"

_FILES = tuple(f"{part}.txt" for part in PARTS)


def recognises(tree: Tree) -> bool:
    """Whether there are `data/` and `splits/`, or the folder is one of the splits."""
    return _is_split(tree.path) or {"data", "splits"} <= set(tree.entries().folders)


def find(tree: Tree) -> ImageFiles:
    """The data set; the folder of one split means the data set with that split."""
    if isinstance(tree, Folder) and _is_split(tree.path):
        split, whole = tree.path.name, open_tree(tree.path.parents[1], tree.follow_links)
        return ImageFiles(whole, f"{NAME} {split}", partial(_listing, split=split))
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """The images of the only split's classes. Raises DataError when there are several splits."""
    splits = [name for name in tree.entries("splits").folders if _lists(tree, name)]
    if len(splits) == 1:
        return _listing(tree, splits[0])
    if not splits:
        there = {"data", "splits"} <= set(tree.entries().folders)
        way = f"; if these are classes, name {AS_CLASSES}{shown(tree.path)}" if there else ""
        raise DataError(
            f"{tree.show('splits')} holds no folder with train.txt, val.txt, test.txt: expected {EXPECTS}{way}"
        )
    raise DataError(
        f"{tree.show('splits')} holds several splits ({quoted(splits)}): "
        f"{'unpack the archive, and ' if isinstance(tree, Archive) else ''}name the folder of one as the data"
    )


def _is_split(path: Path) -> bool:
    return path.parent.name == "splits" and (path / "train.txt").is_file() and (path.parents[1] / "data").is_dir()


def _lists(tree: Tree, split: str) -> bool:
    """Whether a folder is a split, whole or not."""
    return not set(_FILES).isdisjoint(tree.entries(f"splits/{split}").files)


def _listing(tree: Tree, split: str) -> Listing:
    folders = class_folders(tree, "data")
    rows_of_part: dict[str, list[Row]] = {}
    for part, name in zip(PARTS, _FILES, strict=True):
        file = f"splits/{split}/{name}"
        if name not in tree.entries(f"splits/{split}").files:
            raise DataError(f"{tree.show(file)} is missing: expected {EXPECTS}")
        rows_of_part[part] = [
            row
            for label, where in _class_lines(tree, file)
            for row in class_rows(tree, _folder(folders, label, where), label, where)
        ]
    listed = {row.label for rows in rows_of_part.values() for row in rows}
    n_unlisted = len(folders) - len(listed)
    unlisted = f"Class folders left out, as it does not list them: {n_unlisted:,}." if n_unlisted else ""
    files = left_out(tree, [folders[label] for label in sorted(listed)], ["data"])
    return list_images(rows_of_part, remark=f"The split is splits/{split}.", left_out=(unlisted, *files))


def _class_lines(tree: Tree, file: str) -> list[tuple[str, str]]:
    """(class, where it stands) of each line of a list of classes."""
    found: dict[str, str] = {}
    for number, line in enumerate(io.StringIO(decode_text(tree.read(file), tree.show(file)), newline=None), start=1):
        label, where = normalize("NFC", line.strip()), f"{tree.show(file)}, line {number}"
        if label and not is_class_name(label):
            raise DataError(f"{where}: {label[:50]!r} cannot be the name of a class")
        if label and found.setdefault(label, where) != where:
            raise DataError(f"{where}: class {label!r} is listed before ({found[label]})")
    if not found:
        raise DataError(f"{tree.show(file)} names no classes")
    return list(found.items())


def _folder(folders: dict[str, str], label: str, where: str) -> str:
    if label not in folders:
        raise DataError(f"{where}: there is no class folder {'data/' + label!r}")
    return folders[label]
