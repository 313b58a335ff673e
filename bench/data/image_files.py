"""Data sets of image files, in a folder or an archive: a format says what the images are, the rest is done here."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fewshot_bench.data.format import Format, ImageStore, Labels, Progress, Source, Tree, stamp
from fewshot_bench.data.labels import Listing
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.archives import SUFFIXES
from fewshot_bench.data.readers.image_decoding import decode_into, is_turned
from fewshot_bench.data.readers.trees import unknown_layout
from fewshot_bench.errors import DataError

SEE_LIST = "`bench data list` shows what can be read"


@dataclass(frozen=True)
class Files:
    """The image files that a data set was made from.

    names: in the order in which the images are stored, relative to the data set's top
    turned: those whose EXIF orientation, which is ignored, says that they lie on their side or head
    """

    names: tuple[str, ...] = ()
    turned: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageFiles:
    """A data set of image files (see `format.Source`).

    format: the name of its format, and of its split where it has several
    listing: what the images in a tree are; raises DataError naming the file (and row) that is wrong
    """

    tree: Tree
    format: str
    listing: Callable[[Tree], Listing]
    seen: list[Files] = field(default_factory=list, init=False, compare=False, repr=False)  # when it was decoded

    @property
    def name(self) -> str:
        """What the folder or archive is called."""
        return self.tree.name

    @property
    def where(self) -> str:
        """The resolved path."""
        return str(self.tree.path)

    def state(self) -> str:
        """A digest over what the images are, and the size and times of every file with images in it.

        An image that was replaced in place by one of the same size and modification time is noticed too.
        Copying the data elsewhere only means preparing it once more.
        """
        digest = hashlib.sha256(json.dumps([self.format, 1, self.where]).encode())
        texts = self.tree.state(lambda: self.listing(self.tree))
        digest.update("".join(texts).encode(errors="surrogatepass"))
        return digest.hexdigest()

    def decode(self, sink: ImageStore, image_size: int | None, progress: Progress) -> Labels:
        """Decode every listed image; see `format.Source.decode`."""
        listing = self.listing(self.tree)
        labels = listing.labels(self.name)
        turned = decode_into(sink, self.tree.encoded(listing), len(listing.rows), image_size, progress)
        self.seen[:] = [_files(listing, turned)]
        return labels

    def files(self) -> Files:
        """See `Files`; reads the head of every image file unless it was decoded just now."""
        if self.seen:
            return self.seen[0]
        listing = self.listing(self.tree)
        return _files(listing, [image.place for image in self.tree.encoded(listing) if is_turned(image.content)])


def _files(listing: Listing, turned: list[int]) -> Files:
    names = tuple(f"{listing.folder}/{row.file}" if listing.folder else row.file for row in listing.rows)
    return Files(names, tuple(names[place] for place in sorted(turned)))


def files_of(source: Source) -> Files:
    """The image files of a data set; none for one that holds its images otherwise."""
    return source.files() if isinstance(source, ImageFiles | ArchiveSource) else Files()


class ArchiveFormat:
    """Archives of any of some formats (see `format.Format`); which of them shows when the archive is read."""

    def __init__(self, formats: Mapping[str, Format]) -> None:
        self.EXPECTS = "one .zip or .tar(.xz|.gz) of any of these folders"
        self._formats = formats

    def recognises(self, tree: Tree) -> bool:
        """Whether the source is an archive."""
        return isinstance(tree, Archive)

    def find(self, tree: Tree) -> "ArchiveSource":
        """The data set in an archive. Raises DataError for another file."""
        if not isinstance(tree, Archive):
            raise DataError(f"{tree.path} is not an archive: its name must end in {', '.join(SUFFIXES)}")
        return ArchiveSource(tree.path, self._formats)


@dataclass(frozen=True)
class ArchiveSource:
    """A data set in an archive (see `format.Source`); `formats`: those that it may have, tried in their order."""

    path: Path
    formats: Mapping[str, Format]
    seen: list[Files] = field(default_factory=list, init=False, compare=False, repr=False)  # when it was decoded

    @property
    def name(self) -> str:
        """The archive's name without its suffix."""
        return Archive(self.path).name

    @property
    def where(self) -> str:
        """The resolved path."""
        return str(self.path)

    def state(self) -> str:
        """A digest over the archive's size and times."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}") from None
        text = json.dumps(["archive", 1, self.where, list(self.formats), stamp(status)])
        return hashlib.sha256(text.encode()).hexdigest()

    def decode(self, sink: ImageStore, image_size: int | None, progress: Progress) -> Labels:
        """Decode every image in the format that the archive has; see `format.Source.decode`."""
        with Archive(self.path, progress) as tree:
            name = self._format(tree)
            found = self.formats[name].find(tree)
            labels = found.decode(sink, image_size, progress)
            if isinstance(found, ImageFiles):
                self.seen[:] = found.seen
        return replace(labels, layout=name)

    def files(self) -> Files:
        """See `Files`; reads the archive unless it was decoded just now."""
        if self.seen:
            return self.seen[0]
        with Archive(self.path) as tree:
            return files_of(self.formats[self._format(tree)].find(tree))

    def _format(self, tree: Archive) -> str:
        if len(self.formats) == 1:  # a user says that it is this
            return next(iter(self.formats))
        for name, known in self.formats.items():
            if known.recognises(tree):
                return name
        raise DataError(f"{self.path} {unknown_layout(tree)}; {SEE_LIST}")
