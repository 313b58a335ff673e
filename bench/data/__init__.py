"""Data sets: one small file a format, all opened by `open_images`."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fewshot_bench.data.cache import open_cached
from fewshot_bench.data.format import Format, Source
from fewshot_bench.data.formats import (
    bertinetto,
    chen_json,
    class_folders,
    easyfsl_csv,
    hf_parquet,
    metaoptnet_pickles,
    miniimagenet_csv,
    omniglot,
    ren_pickles,
    split_folders,
    strokes,
    tiered_imagenet,
    torchmeta_hdf5,
)
from fewshot_bench.data.formats.cifar100 import Cifar100Format, UnsplitFormat
from fewshot_bench.data.image_files import SEE_LIST, ArchiveFormat, Layout, ListedFormat
from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.readers.archive_trees import open_folder
from fewshot_bench.data.readers.downloads import FOLDER as DOWNLOADS
from fewshot_bench.data.readers.downloads import Downloaded
from fewshot_bench.data.readers.trees import contents
from fewshot_bench.errors import DataError, did_you_mean

__all__ = ["FORMATS", "ImageSet", "find_source", "open_images", "recognise"]

# Layouts of image files, in folders and archives. The order matters: the last fits nearly any folder.
LAYOUTS: tuple[Layout, ...] = (split_folders, bertinetto, chen_json, easyfsl_csv, miniimagenet_csv, class_folders)

# Files that hold many images each, in folders and archives.
FILES: dict[str, Format] = {
    "miniimagenet-cache": ren_pickles,
    "label-pickles": metaoptnet_pickles,
    tiered_imagenet.NAME: tiered_imagenet,
    torchmeta_hdf5.NAME: torchmeta_hdf5,
    hf_parquet.NAME: hf_parquet,
}

# The first format that recognises a source reads it.
FORMATS: dict[str, Format] = {
    "strokes": strokes,
    "cifar-fs": Cifar100Format("cifar-fs"),
    "fc100": Cifar100Format("fc100"),
    "cifar-100": UnsplitFormat(),
    "omniglot": omniglot,
    **FILES,
    **{layout.NAME: ListedFormat(layout) for layout in LAYOUTS},
    bertinetto.NAME: bertinetto.BertinettoFormat(bertinetto),  # in its place, and its splits by their paths
    "archive": ArchiveFormat(LAYOUTS, FILES),
}

NAMED = (strokes.NAME, "cifar-fs", "fc100", "omniglot")  # of FORMATS, what is a data set itself and needs no path

MAX_IMAGE_SIZE = 1024


def open_images(
    source: str,
    cache: Path,
    image_size: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ImageSet:
    """Open a data set; the first time it is decoded into the cache, later it is mapped from there.

    source: a name, the path of a folder or archive in a known format (see FORMATS), or FORMAT:PATH
    cache: the folder that prepared data sets are kept in
    image_size: side in pixels of the square that all images are resized to (Lanczos); None keeps them as
        stored, and they must all have one size then
    progress: called with (what is being done, how many are done, of how many) while images are prepared
    Raises DataError, in one line that names the file.
    """
    if image_size is not None and not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise DataError(f"image_size = {image_size} is not between 1 and {MAX_IMAGE_SIZE} pixels")
    found = find_source(source)
    if isinstance(found, Downloaded):  # what is fetched is kept beside what is prepared
        found = replace(found, downloads=cache / DOWNLOADS)
    return open_cached(cache, found, image_size, progress or _silent)


def find_source(source: str) -> Source:
    """The data set that a name, a path or FORMAT:PATH stands for. Raises DataError with what would be valid."""
    return recognise(source)[1]


def recognise(source: str) -> tuple[str, Source]:
    """The name in FORMATS of the format that a data set has, and the data set.

    source: a name, a path, or FORMAT:PATH, which is read in that format whatever it looks like. What is recognised as
    it stands comes first, so that a path may hold a colon.
    """
    source = os.path.expanduser(source)
    try:
        for name, layout in FORMATS.items():
            if layout.recognises(source):
                return name, layout.find(source)
        if not os.path.lexists(source):
            return _forced(source)
        raise DataError(f"{source} {_strange(source)}; {SEE_LIST}")
    except OSError as error:  # no permission to look, a name that is too long
        raise DataError(f"{source}: {error.strerror}") from None


def _forced(source: str) -> tuple[str, Source]:
    """What FORMAT:PATH stands for. Raises DataError for anything else that does not exist."""
    name, colon, path = source.partition(":")
    path = os.path.expanduser(path)
    if colon and os.sep not in name:
        if name not in FORMATS:
            raise DataError(f"there is no {source}, and no format {name!r}: {did_you_mean(name, list(FORMATS))}")
        if not os.path.exists(path):
            raise DataError(f"there is no {path or 'path after ' + source}")
        return name, FORMATS[name].find(path)
    if os.sep in source:
        raise DataError(f"there is no {source}; {SEE_LIST}")
    raise DataError(f"unknown data set {source!r}, and no such path: {did_you_mean(source, list(NAMED))}")


def _strange(source: str) -> str:
    """Why an existing path is no data set."""
    path = Path(source)
    if path.is_dir():
        return f"is in no known layout: it holds {contents(open_folder(path).entries())}"
    if stat.S_ISREG(os.stat(path).st_mode):
        return "is a file in no known format (of several files, name their folder)"
    return "is neither a folder nor a file"


def _silent(text: str, done: int, total: int) -> None:
    """Reports progress to nobody."""
