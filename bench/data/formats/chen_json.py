"""Chen's layout (Chen et al. 2019, "A Closer Look at Few-shot Classification"): `{base,val,novel}.json`.

Each file is an object of three lists: `label_names`, and for each image its path in `image_names` and its label's
number in `image_labels`. The paths are those of the machine that wrote the files. A path is taken as it is, from the
top of the data set, if there is such a file; otherwise its last two pieces, `<class>/<image>`, must be found once
below it.
"""

from collections import Counter

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles, is_image
from fewshot_bench.data.labels import PART_OF, Listing, Row, check_text, list_images, read_json
from fewshot_bench.errors import DataError

NAME = "chen-json"
EXPECTS = "a folder with base.json, val.json, novel.json and the images in class folders somewhere below it"
KEYS = ("label_names", "image_names", "image_labels")
MAX_DEPTH = 8  # of folders below the top

_FILES = ("base.json", "val.json", "novel.json")


def recognises(tree: Tree) -> bool:
    """Whether there is `base.json` or `novel.json`; other layouts have a `val.json` too."""
    return not {"base.json", "novel.json"}.isdisjoint(tree.entries().files)


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """The images that the files name. Raises DataError naming file and image."""
    for file in _FILES:
        if file not in tree.entries().files:
            raise DataError(f"{tree.show(file)} is missing: expected {EXPECTS}")
    pictures = _Pictures(tree)
    return list_images({PART_OF[file.removesuffix(".json")]: _rows(tree, file, pictures) for file in _FILES})


class _Pictures:
    """Finds the image files of a data set by paths of another machine."""

    def __init__(self, tree: Tree) -> None:
        self._top = tree.show("")
        self._files = set(_image_files(tree))
        self._by_tail: dict[str, list[str]] = {}  # class/image -> the files that end so
        for file in sorted(self._files):
            self._by_tail.setdefault(_tail(file), []).append(file)

    def find(self, path: str, where: str) -> str:
        path = path.replace("\\", "/").removeprefix("./")
        if path in self._files:
            return path
        found = self._by_tail.get(_tail(path), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{where}: {_tail(path)!r} is there more than once: {found[0]!r} and {found[1]!r}")
        raise DataError(
            f"{where}: no file {_tail(path)!r} in {self._top}, nor in a folder below it: "
            "put the class folders beside the JSON files"
        )


def _rows(tree: Tree, file: str, pictures: _Pictures) -> list[Row]:
    """The images that one file names; checked, as nothing in JSON is certain."""
    where = tree.show(file)
    names, images, labels = read_json(tree.read(file), where, KEYS)
    names = [check_text(name, f"{where}, label_names {i}").strip() for i, name in enumerate(names, start=1)]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{where}: label_names holds {repeated[0]!r} twice")
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images)} image_names but {len(labels)} image_labels")
    if not images:
        raise DataError(f"{where} names no images")
    rows = []
    for number, (path, label) in enumerate(zip(images, labels, strict=True), start=1):
        here = f"{where}, image {number}"
        check_text(path, here)
        if type(label) is not int or not 0 <= label < len(names):
            raise DataError(f"{here}: label {str(label)[:80]!r} is not a number from 0 to {len(names) - 1}")
        rows.append(Row(pictures.find(path, here), names[label], here))
    return rows


def _image_files(tree: Tree, at: str = "", depth: int = 0) -> list[str]:
    """All image files below a folder."""
    if depth > MAX_DEPTH:
        raise DataError(f"{tree.show(at)}: folders lie more than {MAX_DEPTH} deep")
    found, prefix = tree.entries(at), f"{at}/" if at else ""
    files = [prefix + file for file in found.files if is_image(file)]
    for folder in found.folders:
        files += _image_files(tree, prefix + folder, depth + 1)
    return files


def _tail(path: str) -> str:
    return "/".join(path.split("/")[-2:])
