"""easyfsl's layout: `{train,val,test}.csv` with the header `class_name,image_name`, images in class folders.

The images lie at `<class_name>/<image_name>`, beside the CSV files or below `images/`. easyfsl ships its CSV files
apart from the images; here they lie together.
"""

import csv

from fewshot_bench.data.format import Tree
from fewshot_bench.data.formats.miniimagenet_csv import CSV_NAMES, rows_of_csvs
from fewshot_bench.data.image_files import ImageFiles
from fewshot_bench.data.labels import Listing, Row, inner_path, list_images

NAME = "easyfsl-csv"
EXPECTS = "a folder with train.csv, val.csv, test.csv (header class_name,image_name) and <class>/<image>"
HEADER = ["class_name", "image_name"]


def recognises(tree: Tree) -> bool:
    """Whether there is a CSV file with this header; the same names with another header are Ravi's."""
    present = [name for name in CSV_NAMES if name in tree.entries().files]
    return any(_header(tree.read(name)) == HEADER for name in present)


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """The images that the CSV files name. Raises DataError naming file and row."""
    rows_of_part = {
        part: [Row(inner_path(f"{label}/{file}", where, "the data set"), label, where) for (label, file), where in rows]
        for part, rows in rows_of_csvs(tree, HEADER, EXPECTS).items()
    }
    return list_images(rows_of_part, "images" if "images" in tree.entries().folders else "")


def _header(data: bytes) -> list[str]:
    line = data[:1000].decode("utf-8-sig", errors="replace").partition("\n")[0]
    return next(csv.reader([line.rstrip("\r")]), [])[: len(HEADER)]
