"""The layout of miniImageNet in the wild (Ravi & Larochelle 2017): `images/` and `{train,val,test}.csv`.

Each CSV file has the header `filename,label` and one image a line; file names are relative to `images/`. It
may come as

- a folder with `images/` in it,
- a folder with `images.tar`, `.tar.xz`, `.tar.gz` or `.zip` beside the CSV files (`images/` comes first),
- one archive that holds all of it, perhaps below one top folder.

Classes are named by the label column and sorted by name within train, val and test; images are sorted by
file name within their class. So the array depends on nothing but the files' content and names. Files that
no CSV names are ignored.
"""

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles
from fewshot_bench.data.labels import PARTS, Listing, Row, inner_path, list_images, read_table
from fewshot_bench.data.readers.trees import Folder
from fewshot_bench.errors import DataError

NAME = "miniimagenet-csv"
EXPECTS = "a folder with images/ (or images.tar) and train.csv, val.csv, test.csv (header filename,label)"
CSV_NAMES = tuple(f"{part}.csv" for part in PARTS)


def recognises(tree: Tree) -> bool:
    """Whether there is at least one of the CSV files, or `images/`."""
    found = tree.entries()
    return not {*CSV_NAMES, "images"}.isdisjoint({*found.files, *found.folders})


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """The images that the CSV files name. Raises DataError naming file and row."""
    rows = rows_of_csvs(tree, ["filename", "label"], EXPECTS)
    images = "images" in tree.entries().folders
    if not images and isinstance(tree, Folder):  # an archive may hold its images at its top
        raise DataError(f"{tree.path} has no images/ folder and no images.tar(.xz|.gz): expected {EXPECTS}")
    images_of_part = {
        part: [Row(inner_path(file, where, "images/"), label, where) for (file, label), where in rows[part]]
        for part in PARTS
    }
    return list_images(images_of_part, "images" if images else "")


def rows_of_csvs(tree: Tree, header: list[str], expected: str) -> dict[str, list[tuple[list[str], str]]]:
    """part -> (values, where they stand) of each row of its CSV file. Raises DataError naming file and row."""
    rows = {}
    for part, name in zip(PARTS, CSV_NAMES, strict=True):
        if name not in tree.entries().files:
            raise DataError(f"{tree.show(name)} is missing: expected {expected}")
        rows[part] = list(read_table(tree.read(name), tree.show(name), header))
        if not rows[part]:
            raise DataError(f"{tree.show(name)} names no images")
    return rows
