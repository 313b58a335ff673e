"""Class folders side by side, `<class>/*`, with `split.csv` beside them or else split by us.

`split.csv` has the header `class,part` and one class a line, each class folder once; a part is train, val or test.
Without it, the classes of miniImageNet or tieredImageNet (all WordNet ids and no other) are split as published. Others
are split 64/16/20 % at random: the seed is made from the sorted class names alone, so the same classes are split in the
same way everywhere.
"""

from unicodedata import normalize

from fewshot_bench.data import splits
from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles, class_folders, is_image, left_out, rows_of_classes
from fewshot_bench.data.labels import LISTS, PART_OF, PARTS, Listing, list_images, quoted, read_table
from fewshot_bench.errors import DataError
from fewshot_bench.seeding import Stream, shuffled

NAME = "class-folders"
EXPECTS = "a folder with <class>/<image> and, if the split is not left to chance, split.csv (header class,part)"
SPLIT_FILE = "split.csv"
HEADER = ["class", "part"]
VAL_PERCENT, TEST_PERCENT = 16, 20  # as in miniImageNet


def recognises(tree: Tree) -> bool:
    """Whether there is a folder with images directly in it, or folders and a split file."""
    found = tree.entries()
    if SPLIT_FILE in found.files and found.folders:
        return True
    return any(is_image(file) for folder in found.folders for file in tree.entries(folder).files)


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """Every image in the class folders. Raises DataError naming the folder, file or row that is wrong."""
    folders = class_folders(tree)
    if SPLIT_FILE in tree.entries().files:
        part_of, remark = _listed_parts(tree, folders), f"Split by {SPLIT_FILE}."
    elif published := splits.of_classes(set(folders)):
        part_of = {name: part for part, names in published.parts.items() for name in names}
        remark = f"Split by class as by {published.authors}: the classes are those of {published.data_set}."
    elif unread := [file for file in tree.entries().files if file.lower() in LISTS]:
        raise DataError(
            f"{tree.show(unread[0])} is not read, and without it the classes would be split at random: "
            f"write {SPLIT_FILE} (header {','.join(HEADER)}) beside it, or move it away"
        )
    else:
        part_of = random_parts(list(folders), tree.show(""))
        remark = (
            "The classes were split at random (64/16/20 %, seeded by their names) by this program: "
            "not a published split, so its numbers are not comparable with published ones."
        )
    classes_of_part = {part: {c: folders[c] for c in folders if part_of[c] == part} for part in PARTS}
    rows = {part: rows_of_classes(tree, classes_of_part[part]) for part in PARTS}
    return list_images(rows, remark=remark, left_out=left_out(tree, folders.values(), [""]))


def random_parts(classes: list[str], where: str = "") -> dict[str, str]:
    """Class -> part, by chance. Raises DataError when there are too few for three parts; where: for that message."""
    n = len(classes)
    n_val, n_test = (max(1, (percent * n + 50) // 100) for percent in (VAL_PERCENT, TEST_PERCENT))
    n_train = n - n_val - n_test
    if n_train < 1:
        raise DataError(f"{where} holds {n} class {'folder' if n == 1 else 'folders'}: train, val and test need 3")
    parts = ["train"] * n_train + ["val"] * n_val + ["test"] * n_test
    names = sorted(classes)
    order = shuffled(Stream("split by class", names).words(0, n))
    return {names[c]: part for c, part in zip(order.tolist(), parts, strict=True)}


def _listed_parts(tree: Tree, folders: dict[str, str]) -> dict[str, str]:
    """Class -> part, as the split file says."""
    part_of: dict[str, str] = {}
    file = tree.show(SPLIT_FILE)
    for (name, part), where in read_table(tree.read(SPLIT_FILE), file, HEADER):
        label = normalize("NFC", name)
        if label not in folders:
            raise DataError(f"{where}: there is no class folder {name[:50]!r}")
        if label in part_of:
            raise DataError(f"{where}: class {name!r} is listed before, in {part_of[label]}")
        if part.lower() not in PART_OF:
            raise DataError(f"{where}: {part[:50]!r} is not a part: write train, val or test")
        part_of[label] = PART_OF[part.lower()]
    if missing := folders.keys() - part_of.keys():
        raise DataError(f"{file} has no row for the class folder {quoted(missing)}")
    for part in PARTS:
        if part not in part_of.values():
            raise DataError(f"{file} puts no class into {part}")
    return part_of
