"""Image files that `{train,val,test}.csv` name: the layouts of miniImageNet in the wild and of easyfsl.

- `miniimagenet-csv` (Ravi & Larochelle 2017): the header `filename,label`; file names are relative to `images/`.
- `easyfsl-csv`: the header `class_name,image_name`; the images lie at `<class_name>/<image_name>`, beside the CSV files
  or below `images/`. easyfsl ships its CSV files apart from the images; here they lie together.

Either may come as a folder, as a folder with `images.tar`, `.tar.xz`, `.tar.gz` or `.zip` beside the CSV files
(`images/` comes first), or as one archive that holds all of it, perhaps below one top folder.

Classes are named by the label column and sorted by name within train, val and test; images are sorted by
file name within their class. So the array depends on nothing but the files' content and names. Files that
no CSV names are ignored.
"""

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import AS_CLASSES, ImageFiles
from fewshot_bench.data.labels import PARTS, Listing, Row, has_header, inner_path, list_images, read_table
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.data.readers.trees import Folder
from fewshot_bench.errors import DataError

CSV_NAMES = tuple(f"{part}.csv" for part in PARTS)


class RaviCsv:
    """Miniimagenet's layout in the wild (see `format.Format`)."""

    NAME = "miniimagenet-csv"
    EXPECTS = "a folder with images/ (or images.tar) and train.csv, val.csv, test.csv (header filename,label)"

    def recognises(self, tree: Tree) -> bool:
        """Whether there is at least one of the CSV files, or `images/`."""
        found = tree.entries()
        return not {*CSV_NAMES, "images"}.isdisjoint({*found.files, *found.folders})

    def find(self, tree: Tree) -> ImageFiles:
        """The data set."""
        return ImageFiles(tree, self.NAME, self._listing)

    def _lists(self, tree: Tree) -> set[str]:
        return set(CSV_NAMES).intersection(tree.entries().files)

    def _listing(self, tree: Tree) -> Listing:
        """The images that the CSV files name. Raises DataError naming file and row."""
        if not self._lists(tree) and tree.entries("images").folders:
            raise DataError(
                f"{tree.path} has images/ but none of {', '.join(CSV_NAMES)}: for the class folders in images/ "
                f"{'name' if isinstance(tree, Folder) else 'unpack it and name'} {tree.path / 'images'} as the data, "
                "with split.csv (header class,part) in it unless they are to be split at random"
            )
        beside = {"images"} < set(tree.entries().folders) and not self._lists(tree)
        way = f"; if 'images' is a class, name {AS_CLASSES}{shown(tree.path)}" if beside else ""
        rows = _rows(tree, ["filename", "label"], self.EXPECTS + way)
        images = "images" in tree.entries().folders
        if not images and isinstance(tree, Folder):  # an archive may hold its images at its top
            raise DataError(f"{tree.path} has no images/ folder and no images.tar(.xz|.gz): expected {self.EXPECTS}")
        images_of_part = {
            part: [Row(inner_path(file, where, "images/"), label, where) for (file, label), where in rows[part]]
            for part in PARTS
        }
        return list_images(images_of_part, "images" if images else "")


class EasyfslCsv:
    """easyfsl's layout (see `format.Format`)."""

    NAME = "easyfsl-csv"
    EXPECTS = "a folder with train.csv, val.csv, test.csv (header class_name,image_name) and <class>/<image>"
    HEADER = ("class_name", "image_name")

    def recognises(self, tree: Tree) -> bool:
        """Whether there is a CSV file with this header; the same names with another header are Ravi's."""
        present = [name for name in CSV_NAMES if name in tree.entries().files]
        return any(has_header(tree.read(name), list(self.HEADER)) for name in present)

    def find(self, tree: Tree) -> ImageFiles:
        """The data set."""
        return ImageFiles(tree, self.NAME, self._listing)

    def _listing(self, tree: Tree) -> Listing:
        """The images that the CSV files name. Raises DataError naming file and row."""
        rows_of_part = {
            part: [
                Row(inner_path(f"{label}/{file}", where, "the data set"), label, where) for (label, file), where in rows
            ]
            for part, rows in _rows(tree, list(self.HEADER), self.EXPECTS).items()
        }
        return list_images(rows_of_part, "images" if "images" in tree.entries().folders else "")


def _rows(tree: Tree, header: list[str], expected: str) -> dict[str, list[tuple[list[str], str]]]:
    """part -> (values, where they stand) of each row of its CSV file. Raises DataError naming file and row."""
    rows = {}
    for part, name in zip(PARTS, CSV_NAMES, strict=True):
        if name not in tree.entries().files:
            raise DataError(f"{tree.show(name)} is missing: expected {expected}")
        rows[part] = list(read_table(tree.read(name), tree.show(name), header))
        if not rows[part]:
            raise DataError(f"{tree.show(name)} names no images")
    return rows
