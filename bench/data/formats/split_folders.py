"""Class folders sorted into parts: `{train,val,test}/<class>/*` (OpenAI's Reptile, Finn's MAML, and most people).

`valid` and `validation` stand for val, `base` and `novel` for train and test.
"""

from itertools import combinations
from shlex import quote

from fewshot_bench.data.format import Tree
from fewshot_bench.data.image_files import ImageFiles, class_folders, left_out, rows_of_classes
from fewshot_bench.data.labels import PART_OF, PARTS, Listing, list_images, quoted, told_left_out
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.errors import DataError

NAME = "split-folders"
EXPECTS = "a folder with train/, val/, test/ and in each <class>/<image>"

FEWEST_TO_DIVIDE = 2  # classes, of which one can go to another part


def recognises(tree: Tree) -> bool:
    """Whether there is a folder named like a part, with folders in it."""
    return any(tree.entries(folder).folders for folder in tree.entries().folders if folder.lower() in PART_OF)


def find(tree: Tree) -> ImageFiles:
    """The data set in files of this layout."""
    return ImageFiles(tree, NAME, listing)


def listing(tree: Tree) -> Listing:
    """Every image in the folders of the three parts. Raises DataError naming the folder or file that is wrong."""
    folders: dict[str, str] = {}  # part -> its folder
    others = [folder for folder in tree.entries().folders if folder.lower() not in PART_OF]
    for folder in tree.entries().folders:
        if (part := PART_OF.get(folder.lower())) and folders.setdefault(part, folder) != folder:
            raise DataError(f"{tree.show(folder)} and {folders[part]!r} beside it both mean {part!r}: move one away")
    classes = {part: class_folders(tree, folder) for part, folder in folders.items()}  # part -> class -> its folder
    for first, second in combinations([part for part in PARTS if part in folders], 2):
        if shared := sorted(classes[first].keys() & classes[second].keys()):
            at, there = (tree.show(classes[part][shared[0]]) for part in (second, first))
            more = f", and {len(shared) - 1:,} more are" if len(shared) > 1 else ""
            way = "" if tree.path.is_dir() else "unpack it, and "
            top = shown(tree.path) if tree.path.is_dir() else "FOLDER"
            raise DataError(
                f"{at}: class {shared[0]!r} is in {first} already ({there}){more}, but few-shot learning tests on "
                f"classes that are not trained on: {way}name class-folders:{top}/{folders[first]} to have those of "
                f"{folders[first]} split at random"
            )
    for part in PARTS:
        if part not in folders:
            raise DataError(f"{tree.show(part)} is missing: expected {EXPECTS}{_way_to(part, tree, folders, others)}")
        if not classes[part]:
            raise DataError(f"{tree.show(folders[part])} holds no class folders")
    rows = {part: rows_of_classes(tree, classes[part]) for part in PARTS}
    files = left_out(tree, [at for part in PARTS for at in classes[part].values()], ["", *folders.values()])
    folders_left_out = told_left_out("Folders", "as they are called like no part", others)
    return list_images(rows, left_out=(folders_left_out, *files))


def _way_to(part: str, tree: Tree, folders: dict[str, str], others: list[str]) -> str:
    """The end of a message: which folder the part that is missing may be, or how to make it out of `train`."""
    beside = f"; if it is {quoted(others)}, call that {part}" if others else ""
    classes = tree.entries(folders["train"]).folders if "train" in folders else ()
    if len(classes) < FEWEST_TO_DIVIDE:
        return beside
    if not tree.path.is_dir():
        return f"{beside}; unpack it, and move some classes of {folders['train']} into {part}"
    own, new = (str(tree.path / folder) for folder in (f"{folders['train']}/{classes[0]}", part))
    return f"{beside}; move some classes there, as by `mkdir {quote(new)}; mv {quote(own)} {quote(new)}`"
