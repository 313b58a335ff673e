"""What all layouts of image files share: a layout says what the images are, the rest is done here.

A layout is a module with `NAME`, `EXPECTS`, `fits(tree)` and `listing(tree)` (see `Layout`).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from fewshot_bench.data import packed_files
from fewshot_bench.data.format import Format, ImageSink, Labels, Progress
from fewshot_bench.data.formats import omniglot
from fewshot_bench.data.labels import Listing
from fewshot_bench.data.readers.archive_trees import Archive, open_folder
from fewshot_bench.data.readers.archives import SUFFIXES, archive_name, is_archive
from fewshot_bench.data.readers.image_decoding import decode_into
from fewshot_bench.data.readers.trees import Tree, contents, stamp
from fewshot_bench.errors import DataError

SEE_LIST = "`bench data list` shows what can be read"


class Layout(Protocol):
    """A way to lay out image files and say what they are."""

    NAME: str
    EXPECTS: str  # what a valid folder looks like, for messages and listings

    def fits(self, tree: Tree) -> bool:
        """Whether the files look like this layout; cheap, reads no image."""

    def listing(self, tree: Tree) -> Listing:
        """What the images are. Raises DataError naming the file (and row) that is wrong."""


class ListedFormat:
    """A layout as a data format (see `source.Format`)."""

    def __init__(self, layout: Layout) -> None:
        self.EXPECTS = layout.EXPECTS
        self._layout = layout

    def recognises(self, source: str) -> bool:
        """Whether the source is a folder in this layout; what is in an archive shows when it is read."""
        path = Path(source)
        return path.is_dir() and self._layout.fits(open_folder(path))

    def find(self, source: str) -> "FolderSource | ArchiveSource":
        """The data set in a folder, or in an archive that is said to have this layout."""
        path = Path(source).resolve()
        return ArchiveSource(path, [self._layout]) if is_archive(path) else FolderSource(path, self._layout)


class ArchiveFormat:
    """Archives of any of the layouts, or of files in any of the formats (see `source.Format`)."""

    def __init__(self, layouts: Sequence[Layout], formats: Mapping[str, Format]) -> None:
        self.EXPECTS = "one .zip or .tar(.xz|.gz) of any of these folders"
        self._layouts, self._formats = layouts, formats

    def recognises(self, source: str) -> bool:
        """Whether the source is an archive."""
        return is_archive(Path(source))

    def find(self, source: str) -> "ArchiveSource":
        """The data set in an archive, whose layout is told once it is read. Raises DataError for another file."""
        if not is_archive(Path(source)):
            raise DataError(f"{source} is no archive: its name must end in {', '.join(SUFFIXES)}")
        return ArchiveSource(Path(source).resolve(), self._layouts, self._formats)


class FolderSource:
    """A data set in a folder (see `source.Source`)."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path, self._layout = path, layout

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._path.name

    @property
    def where(self) -> str:
        """The resolved path."""
        return str(self._path)

    def state(self) -> str:
        """A digest over what the images are, and the size and times of every file with images in it.

        An image that was replaced in place by one of the same size and modification time is noticed too.
        Copying the data elsewhere only means preparing it once more.
        """
        tree = open_folder(self._path)
        digest = hashlib.sha256(json.dumps([self._layout.NAME, 1, self.where]).encode())
        texts = tree.state(lambda: self._layout.listing(tree))
        digest.update("".join(texts).encode(errors="surrogatepass"))
        return digest.hexdigest()

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Decode every listed image; see `source.Source.decode`."""
        tree = open_folder(self._path)
        return _decode(tree, self._layout.listing(tree), self.name, (sink, image_size, progress))


class ArchiveSource:
    """A data set in an archive (see `source.Source`); `layouts`, `formats`: those that it may have."""

    def __init__(self, path: Path, layouts: Sequence[Layout], formats: Mapping[str, Format] | None = None) -> None:
        self._path, self._layouts, self._formats = path, layouts, formats or {}

    @property
    def name(self) -> str:
        """The archive's name without its suffix."""
        return archive_name(self._path)

    @property
    def where(self) -> str:
        """The resolved path."""
        return str(self._path)

    def state(self) -> str:
        """A digest over the archive's size and times."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            raise DataError(f"{self._path}: {error.strerror}") from None
        names = [layout.NAME for layout in self._layouts]
        return hashlib.sha256(json.dumps(["archive", 1, self.where, names, stamp(status)]).encode()).hexdigest()

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Decode every listed image; see `source.Source.decode`."""
        tree = Archive(self._path)
        if self._formats and omniglot.fits(tree):
            drawings = omniglot.OmniglotSource(folder=self._path, files=(self._path,))
            return replace(drawings.decode(sink, image_size, progress), layout=omniglot.NAME)
        if self._formats and (name := packed_files.format_of(tree, self._formats)):
            labels = packed_files.decode(tree, self._formats[name], (sink, image_size, progress))
            return replace(labels, layout=name)
        layout = self._layout(tree)
        labels = _decode(tree, layout.listing(tree), self.name, (sink, image_size, progress))
        return replace(labels, layout=layout.NAME)

    def _layout(self, tree: Archive) -> Layout:
        if len(self._layouts) == 1:
            return self._layouts[0]
        for layout in self._layouts:
            if layout.fits(tree):
                return layout
        if self.name in omniglot.SETS:
            raise DataError(f"{self._path} is half of Omniglot: name the folder with {' and '.join(omniglot.SETS)}")
        raise DataError(f"{self._path} is in no known layout: it holds {contents(tree.entries())}; {SEE_LIST}")


def _decode(tree: Tree, listing: Listing, name: str, into: tuple[ImageSink, int | None, Progress]) -> Labels:
    sink, image_size, progress = into
    decode_into(sink, tree.encoded(listing), len(listing.rows), image_size, progress)
    return listing.labels(name)
