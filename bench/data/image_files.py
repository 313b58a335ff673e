"""Data sets of image files, in a folder or an archive: a format says what the images are, the rest is done here.

Here too is what layouts with class folders share: which files count as images, and what a class folder may hold.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import Labels, Layout, Progress, Source, Tree, stamp
from fewshot_bench.data.labels import Listing, Row, told_left_out
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.archives import SUFFIXES
from fewshot_bench.data.readers.image_decoding import decode_into, turned_text
from fewshot_bench.data.readers.trees import unknown_layout
from fewshot_bench.errors import DataError

IMAGES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif"})
UNREAD = frozenset({
    ".apng", ".avif", ".heic", ".heif", ".j2c", ".j2k", ".jp2", ".jpe", ".jpf", ".jpx", ".jxl", ".mpo",
    ".pbm", ".pgm", ".pnm", ".ppm", ".qoi", ".svg", ".tga", ".tif", ".tiff",
})  # fmt: skip
COMPANIONS = frozenset({".csv", ".db", ".htm", ".html", ".ini", ".json", ".md", ".txt", ".xml"})  # no images
AS_CLASSES = "class-folders:"  # before a path: read it so, whatever it looks like
SEE_LIST = "`bench data list` shows what can be read"


@dataclass(frozen=True)
class ImageFiles:
    """A data set of image files (see `format.Source`).

    format: the name of its format, and of its split where it has several
    listing: what the images in a tree are; raises DataError naming the file (and row) that is wrong
    """

    tree: Tree
    format: str
    listing: Callable[[Tree], Listing]

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

    def decode(self, sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
        """Decode every listed image; see `format.Source.decode`."""
        listing = self.listing(self.tree)
        labels = listing.labels(self.name)
        turned = decode_into(sink, self.tree.encoded(listing), len(listing.rows), image_size, progress)
        names = _names(listing)
        return replace(labels, turned=turned_text([names[place] for place, _ in turned]))

    def files(self) -> tuple[str, ...]:
        """See `files_of`."""
        return _names(self.listing(self.tree))


def _names(listing: Listing) -> tuple[str, ...]:
    return tuple(f"{listing.folder}/{row.file}" if listing.folder else row.file for row in listing.rows)


def files_of(source: Source) -> tuple[str, ...]:
    """The image files of a data set in the order in which the images are stored, relative to its top.

    None of them where it holds its images otherwise.
    """
    return source.files() if isinstance(source, ImageFiles | ArchiveSource) else ()


class ArchiveFormat:
    """Archives of any of some formats (see `format.Format`); which of them shows when the archive is read."""

    EXPECTS = "one .zip or .tar(.xz|.gz) of any of these folders"

    def __init__(self, formats: Mapping[str, Layout]) -> None:
        self._formats = formats

    def find(self, tree: Tree) -> "ArchiveSource":
        """The data set in an archive. Raises DataError for another file."""
        if not isinstance(tree, Archive):
            raise DataError(f"{tree.path} is not an archive: its name must end in {', '.join(SUFFIXES)}")
        return ArchiveSource(tree.path, self._formats)


@dataclass(frozen=True)
class ArchiveSource:
    """A data set in an archive (see `format.Source`); `formats`: those that it may have, tried in their order."""

    path: Path
    formats: Mapping[str, Layout]
    seen: list[tuple[str, ...]] = field(default_factory=list, init=False, compare=False, repr=False)  # when decoded

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

    def decode(self, sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
        """Decode every image in the format that the archive has; see `format.Source.decode`."""
        with Archive(self.path, progress) as tree:
            name = self._format(tree)
            found = self.formats[name].find(tree)
            labels = found.decode(sink, image_size, progress)
            self.seen[:] = [files_of(found)]
        return replace(labels, layout=name)

    def files(self) -> tuple[str, ...]:
        """See `files_of`; reads the archive unless it was decoded just now."""
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


def is_image(file: str) -> bool:
    """Whether a file is called like an image that can be read; what it is shows when it is decoded."""
    return _ending(file) in IMAGES


def class_folders(tree: Tree, at: str = "") -> dict[str, str]:
    """Class -> its folder, of all folders in one. Raises DataError for names that no table could print.

    Accented letters are one character in a class's name, however the file system spells them.
    """
    found: dict[str, str] = {}
    for name in tree.entries(at).folders:
        folder = f"{at}/{name}" if at else name
        if not _is_unicode(name):
            raise DataError(f"{tree.show(at)}: the name of the folder {name!a} is not UTF-8: rename it")
        label = normalize("NFC", name)
        if found.setdefault(label, folder) != folder:
            raise DataError(
                f"{tree.show(folder)}: another folder has the same name but for the spelling of its accents"
            )
    return found


def left_out(tree: Tree, classes: Iterable[str], above: Iterable[str] = ()) -> tuple[str, str]:
    """Sentences about files that may be images and are not read, each or nothing.

    classes: the folders of the classes, in which all but companions are told; above: folders above them, in which
    what is called like an image is
    """
    known = IMAGES | COMPANIONS
    found = [f"{at}/{file}" for at in classes for file in tree.entries(at).files if _ending(file) not in known]
    stray = [(at, file) for at in above for file in tree.entries(at).files if _ending(file) in IMAGES | UNREAD]
    return (
        told_left_out("Files", "as they are not called like images", found),
        told_left_out(
            "Images", "as they lie in no class folder", [f"{at}/{file}" if at else file for at, file in stray]
        ),
    )


def rows_of_classes(tree: Tree, classes: dict[str, str]) -> list[Row]:
    """The images in some class folders. classes: class -> its folder"""
    return [row for label, folder in classes.items() for row in class_rows(tree, folder, label, tree.show(folder))]


def class_rows(tree: Tree, folder: str, label: str, where: str) -> list[Row]:
    """The images in one class folder; where: what says that it is this class, for messages.

    Raises DataError when there are none, and for what would be left out unnoticed: folders in it, and images that
    cannot be read.
    """
    found = tree.entries(folder)
    if found.folders:
        inner = tree.show(f"{folder}/{found.folders[0]}")
        raise DataError(f"{inner} is a folder in a class folder: images lie directly in the folder of their class")
    suffixes = [_ending(file) for file in found.files]
    if not UNREAD.isdisjoint(suffixes):
        file = next(file for file in found.files if _ending(file) in UNREAD)
        raise DataError(f"{tree.show(f'{folder}/{file}')}: images of this kind are not read: convert it to PNG")
    files = [file for file, suffix in zip(found.files, suffixes, strict=True) if suffix in IMAGES]
    if not files:
        raise DataError(f"{tree.show(folder)} holds no images ({', '.join(sorted(IMAGES))})")
    if not _is_unicode("".join(files)):
        file = next(file for file in files if not _is_unicode(file))
        raise DataError(f"the name of the file {tree.show(f'{folder}/{file}')} is not UTF-8: rename it")
    return [Row(f"{folder}/{file}", label, where) for file in files]


def _ending(file: str) -> str:
    _, dot, ending = file.rpartition(".")  # a Path for each of 50,000 files takes a quarter of a second
    return dot + ending.lower()


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
