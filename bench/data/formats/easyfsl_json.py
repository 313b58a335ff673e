"""easyfsl's class lists: `{train,val,test}.json` beside class folders, as it ships them for CUB and tieredImageNet.

Each file is an object of two lists: `class_names`, and in `class_roots` the folder of each class, as a path of the
machine that wrote it. The longest end of that path which is a folder of the data set, or of `images` in it, is taken:
`001.Albatross`.
"""

from unicodedata import normalize

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles, class_rows, left_out
from fewshot_bench.data.labels import PARTS, Listing, Row, check_text, list_images, read_json, told_left_out
from fewshot_bench.errors import DataError

NAME = "easyfsl-json"
EXPECTS = "a folder with train.json, val.json, test.json (class_names, class_roots) and <class>/<image>"
KEYS = ("class_names", "class_roots")

_FILES = tuple(f"{part}.json" for part in PARTS)


def recognises(tree: Tree) -> bool:
    """Whether one of the files speaks of `class_roots`; those of other layouts do not."""
    there = [name for name in _FILES if name in tree.entries().files]
    return any(b"class_roots" in tree.read(name).replace(b"\0", b"") for name in there)  # in UTF-16 and -32 as well


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """The images in the listed folders. Raises DataError naming file and class."""
    for file in _FILES:
        if file not in tree.entries().files:
            raise DataError(f"{tree.show(file)} is missing: expected {EXPECTS}")
    rows = {part: _rows(tree, file) for part, file in zip(PARTS, _FILES, strict=True)}
    listed = {row.file.rpartition("/")[0] for part in PARTS for row in rows[part]}
    homes = {folder.rpartition("/")[0] for folder in listed}
    beside = {f"{home}/{name}" if home else name for home in homes for name in tree.entries(home).folders}
    unlisted = told_left_out("Folders", "as no list names them", sorted(beside - listed))
    files = left_out(tree, sorted(listed))
    return list_images(rows, remark="Split by train.json, val.json and test.json.", left_out=(unlisted, *files))


def _rows(tree: Tree, file: str) -> list[Row]:
    where = tree.show(file)
    rows: list[Row] = []
    seen: set[str] = set()
    for number, (name, root) in enumerate(_classes(tree.read(file), where), start=1):
        here = f"{where}, class {number}"
        label = normalize("NFC", name.strip())
        if label in seen:
            raise DataError(f"{here}: {label[:50]!r} is listed before")
        seen.add(label)
        rows += class_rows(tree, _folder(tree, root, here), label, here)
    return rows


def _classes(data: bytes, where: str) -> list[tuple[str, str]]:
    """(name, folder) of each class of one file; checked, as nothing in JSON is certain."""
    names, roots = read_json(data, where, KEYS)
    for value in (*names, *roots):
        check_text(value, where)
    if len(names) != len(roots):
        raise DataError(f"{where}: {len(names)} class_names but {len(roots)} class_roots")
    if not names:
        raise DataError(f"{where} names no classes")
    return list(zip(names, roots, strict=True))


def _folder(tree: Tree, root: str, where: str) -> str:
    """The folder of the data set that a path of another machine means."""
    pieces = [piece for piece in root.replace("\\", "/").split("/") if piece not in ("", ".", "..")]
    for start in range(len(pieces)):
        for folder in ("/".join(pieces[start:]), "/".join(["images", *pieces[start:]])):
            if tree.entries(folder).files:
                return folder
    raise DataError(f"{where}: there is no folder {pieces[-1] if pieces else root!r} with images in {tree.show('')}")
