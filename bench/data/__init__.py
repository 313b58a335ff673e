"""Data sets: one small file a format, all opened by `open_images`."""

import os
from collections.abc import Callable
from pathlib import Path

from fewshot_bench.data import (
    bertinetto,
    chen_json,
    easyfsl_csv,
    flat_folders,
    folders,
    miniimagenet_csv,
    pickled_cache,
    pickled_labels,
    strokes,
)
from fewshot_bench.data.cache import open_cached
from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.listed import ArchiveFormat, Layout, ListedFormat
from fewshot_bench.data.source import Format, Source
from fewshot_bench.errors import DataError, did_you_mean

__all__ = ["FORMATS", "ImageSet", "find_source", "open_images"]

# Layouts of image files, in folders and archives. The order matters: the last fits nearly any folder.
LAYOUTS: tuple[Layout, ...] = (folders, bertinetto, chen_json, easyfsl_csv, miniimagenet_csv, flat_folders)

# The first format that recognises a source reads it.
FORMATS: dict[str, Format] = {
    "strokes": strokes,
    "miniimagenet-cache": pickled_cache,
    "label-pickles": pickled_labels,
    **{layout.NAME: ListedFormat(layout) for layout in LAYOUTS},
    bertinetto.NAME: bertinetto.BertinettoFormat(bertinetto),  # in its place, and its splits by their paths
    "archive": ArchiveFormat(LAYOUTS),
}

MAX_IMAGE_SIZE = 1024


def open_images(
    source: str,
    cache: Path,
    image_size: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ImageSet:
    """Open a data set; the first time it is decoded into the cache, later it is mapped from there.

    source: "strokes", or the path of a folder or archive in a known layout (see FORMATS)
    cache: the folder that prepared data sets are kept in
    image_size: side in pixels of the square that all images are resized to (Lanczos); None keeps them as
        stored, and they must all have one size then
    progress: called with (what is being done, how many are done, of how many) while images are prepared
    Raises DataError, in one line that names the file.
    """
    if image_size is not None and not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise DataError(f"image_size = {image_size} is not between 1 and {MAX_IMAGE_SIZE} pixels")
    return open_cached(cache, find_source(source), image_size, progress or _silent)


def find_source(source: str) -> Source:
    """The data set that a name or path stands for. Raises DataError with what would be valid."""
    source = os.path.expanduser(source)
    try:
        for layout in FORMATS.values():
            if layout.recognises(source):
                return layout.find(source)
        exists = Path(source).exists()
    except OSError as error:  # no permission to look, a name that is too long
        raise DataError(f"{source}: {error.strerror}") from None
    layouts = "; ".join(f"{name}: {layout.EXPECTS}" for name, layout in FORMATS.items())
    if exists:
        raise DataError(f"{source} is in no known layout ({layouts})")
    if os.sep in source:
        raise DataError(f"there is no {source}; a data set is one of: {layouts}")
    raise DataError(f"unknown data set {source!r}, and no such path: {did_you_mean(source, [strokes.NAME])}")


def _silent(text: str, done: int, total: int) -> None:
    """Reports progress to nobody."""
