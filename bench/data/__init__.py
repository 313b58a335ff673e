"""Data sets: one small file a format, all opened by `open_images`."""

import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from fewshot_bench.data.cache import Decoded, open_cached
from fewshot_bench.data.format import Format, Layout, Source, Tree
from fewshot_bench.data.formats import (
    array_pickles,
    bertinetto,
    chen_json,
    class_folders,
    csv_lists,
    easyfsl_json,
    hf_parquet,
    omniglot,
    split_folders,
    strokes,
    tiered_imagenet,
    torchmeta_hdf5,
)
from fewshot_bench.data.formats.cifar100 import Cifar100Format, Cifar100Source, UnsplitFormat
from fewshot_bench.data.image_files import SEE_LIST, ArchiveFormat, ArchiveSource
from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.archives import UNREAD_SUFFIXES
from fewshot_bench.data.readers.downloads import FOLDER as DOWNLOADS
from fewshot_bench.data.readers.downloads import Downloaded
from fewshot_bench.data.readers.trees import LINKED, open_tree, unknown_layout
from fewshot_bench.errors import DataError, did_you_mean

__all__ = ["FORMATS", "NAMED", "ImageSet", "find_source", "open_images", "recognise"]

# What is a data set by its name and needs no path.
NAMED: dict[str, Callable[[], Source]] = {
    strokes.NAME: strokes.StrokeSource,
    "cifar-fs": partial(Cifar100Source, name="cifar-fs"),
    "fc100": partial(Cifar100Source, name="fc100"),
    omniglot.NAME: omniglot.OmniglotSource,
}

# What may lie in a folder or an archive. The order matters: the first that recognises it reads it, and the last fits
# nearly any folder.
_LAYOUTS: tuple[Layout, ...] = (
    omniglot,
    array_pickles.CachePickles(),
    array_pickles.LabelPickles(),
    tiered_imagenet,
    torchmeta_hdf5,
    hf_parquet,
    split_folders,
    bertinetto,
    chen_json,
    csv_lists.EasyfslCsv(),
    easyfsl_json,
    csv_lists.RaviCsv(),
    class_folders,
)
LAYOUTS: dict[str, Layout] = {layout.NAME: layout for layout in _LAYOUTS}
_UNSPLIT = UnsplitFormat()

FORMATS: dict[str, Format] = {
    strokes.NAME: strokes,
    "cifar-fs": Cifar100Format("cifar-fs"),
    "fc100": Cifar100Format("fc100"),
    "cifar-100": _UNSPLIT,
    **LAYOUTS,
    "archive": ArchiveFormat(LAYOUTS),
}

MAX_IMAGE_SIZE = 1024
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # https, s3, file


def open_images(
    source: str | Source,
    cache: Path,
    image_size: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    decoded: Decoded | None = None,
) -> ImageSet:
    """Open a data set; the first time it is decoded into the cache, later it is mapped from there.

    source: a name, the path of a folder or archive in a known format (see FORMATS), or FORMAT:PATH; or what was found
    cache: the folder that prepared data sets are kept in
    image_size: side in pixels of the square that all images are resized to (Lanczos); None keeps them as
        stored, and they must all have one size then
    progress: called with (what is being done, how many are done, of how many) while images are prepared
    decoded: called with the source and the images where they are prepared now
    Raises DataError, in one line that names the file.
    """
    if image_size is not None and not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise DataError(f"image_size = {image_size} is not between 1 and {MAX_IMAGE_SIZE} pixels")
    found = find_source(source) if isinstance(source, str) else source
    if isinstance(found, Downloaded):  # what is fetched is kept beside what is prepared
        found = replace(found, downloads=cache / DOWNLOADS)
    return open_cached(cache, found, image_size, progress or (lambda *_: None), decoded)


def find_source(source: str) -> Source:
    """The data set that a name, a path or FORMAT:PATH stands for. Raises DataError with what would be valid."""
    return recognise(source)[1]


def recognise(source: str) -> tuple[str, Source]:
    """The name in FORMATS of the format that a data set has, and the data set.

    source: a name, a path, or FORMAT:PATH, which is read in that format whatever it looks like; after `linked:` the
    links in a folder may lead out of it. What is recognised as it stands comes first, so that a path may hold a colon.
    """
    if source in NAMED:
        return source, NAMED[source]()
    linked = source.startswith(LINKED) and not os.path.lexists(source)
    source = _at_home(source.removeprefix(LINKED) if linked else source)
    try:
        tree = open_tree(Path(source), linked)
        if _UNSPLIT.recognises(tree):
            return "cifar-100", _UNSPLIT.find(tree)
        if isinstance(tree, Archive):  # what else it is shows only when it is read
            return "archive", FORMATS["archive"].find(tree)
        for name, layout in LAYOUTS.items():
            if layout.recognises(tree):
                return name, layout.find(tree)
        if not os.path.lexists(source):
            return _forced(source, linked)
        raise DataError(f"{source} {_strange(tree)}; {SEE_LIST}")
    except OSError as error:  # no permission to look, a name that is too long
        raise DataError(f"{source}: {error.strerror}") from None
    except ValueError as error:  # a zero byte
        raise DataError(f"{source!r}: {error}") from None


def _at_home(path: str) -> str:
    """A path with its ~ replaced, as a shell does; as it is where there is no such user."""
    with suppress(RuntimeError):
        return str(Path(path).expanduser()) if path.startswith("~") else path
    return path


def _forced(source: str, follow_links: bool) -> tuple[str, Source]:
    """What FORMAT:PATH stands for. Raises DataError for anything else that does not exist."""
    name, colon, path = source.partition(":")
    if _ADDRESS.match(address := path if name in FORMATS else source):
        raise DataError(f"{address} is an address: download what is there, and name the file or folder by its path")
    path = _at_home(path)
    if colon and os.sep not in name:
        if name not in FORMATS:
            raise DataError(f"there is no {source}, and no format {name!r}: {did_you_mean(name, list(FORMATS))}")
        if not path or not Path(path).exists():
            raise DataError(f"there is no {path or 'path after ' + source}")
        tree = open_tree(Path(path), follow_links)
        if isinstance(tree, Archive) and name in LAYOUTS:
            return name, ArchiveSource(tree.path, {name: LAYOUTS[name]})
        return name, FORMATS[name].find(tree)
    if os.sep in source:
        raise DataError(f"there is no {source}; {SEE_LIST}")
    raise DataError(
        f"there is no folder or file {source} here, and no data set of that name ({did_you_mean(source, list(NAMED))})"
    )


def _strange(tree: Tree) -> str:
    """Why an existing path is no data set."""
    if tree.path.is_dir():
        return unknown_layout(tree)
    if stat.S_ISREG(tree.path.stat().st_mode):
        if tree.path.name.lower().endswith(UNREAD_SUFFIXES):
            return "is packed in a way that is not read: unpack it and name its folder, or pack it as .zip or .tar.gz"
        return "is a file in no known format (of several files, name their folder)"
    return "is neither a folder nor a file"
