"""A data set's files as a tree (see `format.Tree`); here those of a folder, whose images an archive may hold."""

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from fewshot_bench.data.format import Entries, Tree, stamp
from fewshot_bench.data.labels import LISTS, MAX_LIST_BYTES, Listing, Row, hidden
from fewshot_bench.data.readers.archive_trees import Archive, below_images, listed_members
from fewshot_bench.data.readers.archives import SUFFIXES, is_archive
from fewshot_bench.data.readers.faults import read_bounded, shown, told
from fewshot_bench.data.readers.image_decoding import Encoded
from fewshot_bench.errors import DataError

LINKED = "linked:"  # before a path that a user names: links in it may lead anywhere
KINDS = 3  # of files that a message names
LONGEST_ENDING = 8


def open_tree(path: Path, follow_links: bool = False) -> "Folder | Archive":
    """A folder's files, those of an `images.tar` in it included, or those of an archive, which is not read yet."""
    if is_archive(path):
        return Archive(Path(os.path.realpath(path)))
    if not (path / "images").exists():
        for suffix in SUFFIXES:
            if is_archive(path / f"images{suffix}"):
                return FolderWithArchive(path, path / f"images{suffix}", follow_links)
    return Folder(path, follow_links)


class Folder:
    """A folder on the disk. Links may lead from place to place in it, or to another `images`, but not out.

    follow_links: they may lead anywhere
    """

    def __init__(self, path: Path, follow_links: bool = False) -> None:
        self.follow_links = follow_links
        self.path = Path(os.path.realpath(path))  # as `resolve`, but a circle of links is met later, and told
        self._roots = (self.path, (self.path / "images").resolve())
        self._seen: dict[str, Entries] = {}

    @property
    def name(self) -> str:
        """See `Tree`."""
        return self.path.name

    def entries(self, at: str = "") -> Entries:
        """See `Tree`."""
        if at not in self._seen:
            self._seen[at] = self._scan(self.path / at)
        return self._seen[at]

    def read(self, file: str) -> bytes:
        """See `Tree`."""
        path = Path(self._inside(self.path / file))
        if not path.is_file():  # a pipe would be waited for
            raise DataError(f"{self.show(file)} is not a regular file")
        return read_bounded(path, MAX_LIST_BYTES, self.show(file))

    def show(self, file: str) -> str:
        """See `Tree`."""
        return shown(self.path / file)

    def state(self, read_listing: Callable[[], Listing], /) -> Iterator[str]:
        """See `Tree`."""
        self._seen.clear()
        listing = read_listing()
        yield json.dumps([listing.classes, f"{listing.remark} {listing.left_out}".strip()])
        yield "".join(f"{row.label}\0{row.file}\0" for row in listing.rows)
        yield from self.stamps(listing)

    def stamps(self, listing: Listing) -> Iterator[str]:
        """For each row the size, modification time and change time of its file; cheap.

        Raises DataError for files that are missing, are no regular files, lie outside or are met twice.
        """
        folders: dict[str, str] = {}  # as named -> where it leads; text, as a Path takes longer than asking the disk
        rows: dict[str, Row] = {}
        missing: list[str] = []
        base = str(self.path / listing.folder)
        for row in listing.rows:
            path = f"{base}/{row.file}"
            folder, name = os.path.split(path)
            try:
                if folder not in folders:
                    folders[folder] = self._inside(folder)
                status = os.lstat(path)
                real = f"{folders[folder]}/{name}"
                if stat.S_ISLNK(status.st_mode):
                    real = self._inside(path)
                    status = Path(real).stat()
            except FileNotFoundError:
                missing.append(f"{row.where}: there is no file {path!r}")
                continue
            except (OSError, ValueError) as error:
                raise DataError(f"{row.where}: {path!r}: {getattr(error, 'strerror', error)}") from None
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{row.where}: {path!r}: is not a regular file")
            earlier = rows.setdefault(real, row)
            if earlier is not row:
                raise DataError(f"{row.where}: {path!r} is the same file as {earlier.file!r} ({earlier.where})")
            yield stamp(status)
        if missing:
            raise DataError(told(missing, len(missing), "listed files are missing"))

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        for index, (row, _) in enumerate(zip(listing.rows, self.stamps(listing), strict=True)):
            path = self.path / listing.folder / row.file
            yield Encoded(index, shown(path), path)

    def on_disk(self) -> Path:
        """See `Tree`."""
        return self.path

    def _scan(self, path: Path) -> Entries:
        folders: list[str] = []
        files: list[str] = []
        try:
            self._inside(path)
            with os.scandir(path) as found:
                for entry in found:
                    if not hidden(entry.name):
                        (folders if entry.is_dir() else files).append(entry.name)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a zero byte
            return Entries((), ())
        except OSError as error:
            raise DataError(f"{shown(path)}: {error.strerror}") from None
        return Entries(tuple(sorted(folders)), tuple(sorted(files)))

    def _inside(self, path: str | Path) -> str:
        """Where a path leads. Raises DataError when that is out of the data set."""
        real = os.path.realpath(path)
        if not self.follow_links and not any(Path(real).is_relative_to(root) for root in self._roots):
            raise DataError(
                f"{shown(path)} is a link out of {shown(self.path)}, which is not followed: name the data "
                f"{LINKED}{shown(self.path)} where it may be"
            )
        return real


class FolderWithArchive(Folder):
    """A folder whose images lie in `images.tar` (or .tar.xz, .tar.gz, .zip) beside its lists."""

    def __init__(self, path: Path, archive: Path, follow_links: bool) -> None:
        super().__init__(path, follow_links)
        self._archive = archive

    def entries(self, at: str = "") -> Entries:
        """See `Tree`; there is a folder `images`, but what is in it shows only when it is decoded."""
        found = super().entries(at)
        return found if at else Entries((*found.folders, "images"), found.files)

    def state(self, _read_listing: Callable[[], Listing], /) -> Iterator[str]:
        """As of a folder, but quick: the lists as they are, and the archive's stamp."""
        self._seen.clear()
        for file in sorted(LISTS.intersection(self.entries().files)):
            yield f"{file} {hashlib.sha256(self.read(file)).hexdigest()} "
        yield stamp(self._archive.stat())

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        yield from listed_members(self._archive, listing, below_images)


def unknown_layout(tree: Tree) -> str:
    """What a message says of a folder or an archive in no known layout, and what to name where one folder is in it."""
    found, way = tree.entries(), ""
    if len(found.folders) == 1:
        inner = found.folders[0]
        there = f"name {shown(tree.path / inner)}" if isinstance(tree, Folder) else f"unpack it, and name {inner!r}"
        way = f": {there} if the data lie there"
    return f"is in no known layout: it holds {_contents(found)}{way}"


def _contents(entries: Entries) -> str:
    """ "3 folders, 2 .txt files", "nothing"; of the files the commonest kinds."""
    kinds = Counter(_kind(file) for file in entries.files).most_common()
    counts = [(len(entries.folders), "folder"), *((n, f"{kind} file") for kind, n in kinds[:KINDS])]
    counts.append((sum(n for _, n in kinds[KINDS:]), "more file"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n) or "nothing"


def _kind(file: str) -> str:
    """ ".txt", or "other" where a name has no ending that a person would recognise."""
    ending = PurePosixPath(file).suffix.lower()
    return ending if ending.isascii() and ending[1:].isalnum() and len(ending) <= LONGEST_ENDING else "other"
