"""Class folders sorted into parts: `{train,val,test}/<class>/*` (OpenAI's Reptile, Finn's MAML, and most people).

`valid` and `validation` stand for val, `base` and `novel` for train and test. Here too is what all layouts with class
folders share: which files count as images, and what a class folder may hold.
"""

from collections.abc import Iterable
from itertools import combinations
from shlex import quote
from unicodedata import normalize

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles
from fewshot_bench.data.labels import PART_OF, PARTS, Listing, Row, list_images
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.errors import DataError

NAME = "split-folders"
EXPECTS = "a folder with train/, val/, test/ and in each <class>/<image>"

SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif"})
FEWEST_TO_DIVIDE = 2  # classes, of which one can go to another part

UNREAD = frozenset({".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".heic", ".avif", ".jp2", ".jxl", ".tga", ".svg"})


def recognises(tree: Tree) -> bool:
    """Whether there is a folder named like a part, with folders in it."""
    return any(tree.entries(folder).folders for folder in tree.entries().folders if folder.lower() in PART_OF)


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """Every image in the folders of the three parts. Raises DataError naming the folder or file that is wrong."""
    folders: dict[str, str] = {}  # part -> its folder
    for folder in tree.entries().folders:
        part = PART_OF.get(folder.lower())
        if part and folders.setdefault(part, folder) != folder:
            raise DataError(f"{tree.show(folder)} and {folders[part]!r} beside it both mean {part!r}: move one away")
    classes = {part: class_folders(tree, folder) for part, folder in folders.items()}  # part -> class -> its folder
    for first, second in combinations([part for part in PARTS if part in folders], 2):
        if shared := sorted(classes[first].keys() & classes[second].keys()):
            at, there = (tree.show(classes[part][shared[0]]) for part in (second, first))
            others = f", and {len(shared) - 1:,} more are" if len(shared) > 1 else ""
            way = "" if tree.path.is_dir() else "unpack it, and "
            top = shown(tree.path) if tree.path.is_dir() else "FOLDER"
            raise DataError(
                f"{at}: class {shared[0]!r} is in {first} already ({there}){others}, but few-shot learning tests on "
                f"classes that are not trained on: {way}name class-folders:{top}/{folders[first]} to have those of "
                f"{folders[first]} split at random"
            )
    for part in PARTS:
        if part not in folders:
            raise DataError(f"{tree.show(part)} is missing: expected {EXPECTS}{_way_to(part, tree, folders)}")
        if not classes[part]:
            raise DataError(f"{tree.show(folders[part])} holds no class folders")
    return list_images({part: rows_of_classes(tree, classes[part]) for part in PARTS})


def _way_to(part: str, tree: Tree, folders: dict[str, str]) -> str:
    """The end of a message: how to make the part that is missing out of `train`."""
    classes = tree.entries(folders["train"]).folders if "train" in folders else ()
    if len(classes) < FEWEST_TO_DIVIDE:
        return ""
    if not tree.path.is_dir():
        return f"; unpack it, and move some classes of {folders['train']} into {part}"
    own, new = (str(tree.path / folder) for folder in (f"{folders['train']}/{classes[0]}", part))
    return f"; move some classes there, as by `mkdir {quote(new)}; mv {quote(own)} {quote(new)}`"


def is_image(file: str) -> bool:
    """Whether a file is called like an image that can be read; what it is shows when it is decoded."""
    return _suffix(file) in SUFFIXES


def class_folders(tree: Tree, at: str = "") -> dict[str, str]:
    """Class -> its folder, of all folders in one. Raises DataError for names that no table could print.

    Accented letters are one character in a class's name, however the file system spells them.
    """
    found: dict[str, str] = {}
    for name in tree.entries(at).folders:
        folder = f"{at}/{name}" if at else name
        if not _is_unicode(name):
            raise DataError(f"{tree.show(at)}: the name of the folder {name!a} is not UTF-8: rename it")
        label = normalize("NFC", name)
        if found.setdefault(label, folder) != folder:
            raise DataError(
                f"{tree.show(folder)}: another folder has the same name but for the spelling of its accents"
            )
    return found


def rows_of_classes(tree: Tree, classes: dict[str, str]) -> list[Row]:
    """The images in some class folders. classes: class -> its folder"""
    return [row for label, folder in classes.items() for row in class_rows(tree, folder, label, tree.show(folder))]


def class_rows(tree: Tree, folder: str, label: str, where: str) -> list[Row]:
    """The images in one class folder; where: what says that it is this class, for messages.

    Raises DataError when there are none, and for what would be left out unnoticed: folders in it, and images that
    cannot be read.
    """
    found = tree.entries(folder)
    if found.folders:
        inner = tree.show(f"{folder}/{found.folders[0]}")
        raise DataError(f"{inner} is a folder in a class folder: images lie directly in the folder of their class")
    suffixes = [_suffix(file) for file in found.files]
    if not UNREAD.isdisjoint(suffixes):
        file = next(file for file in found.files if _suffix(file) in UNREAD)
        raise DataError(f"{tree.show(f'{folder}/{file}')}: images of this kind are not read: convert it to PNG")
    files = [file for file, suffix in zip(found.files, suffixes, strict=True) if suffix in SUFFIXES]
    if not files:
        raise DataError(f"{tree.show(folder)} holds no images ({', '.join(sorted(SUFFIXES))})")
    if not _is_unicode("".join(files)):
        file = next(file for file in files if not _is_unicode(file))
        raise DataError(f"the name of the file {tree.show(f'{folder}/{file}')} is not UTF-8: rename it")
    return [Row(f"{folder}/{file}", label, where) for file in files]


def quoted(names: Iterable[str]) -> str:
    """Names for a message, at most five."""
    first, rest = sorted(names)[:5], len(set(names)) - 5
    return ", ".join(map(repr, first)) + (f" and {rest} more" if rest > 0 else "")


def _suffix(file: str) -> str:
    _, dot, ending = file.rpartition(".")  # a Path for each of 50,000 files takes a quarter of a second
    return dot + ending.lower()


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
