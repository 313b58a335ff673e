"""A data set's files as folders, files, short lists to read and images to decode; here those of a folder."""

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from fewshot_bench.data.labels import PART_OF, Listing, Row
from fewshot_bench.data.readers.image_decoding import Encoded
from fewshot_bench.errors import DataError

MAX_LIST_BYTES = 64 << 20  # of all lists together; those of miniImageNet have 4 MB
LISTS = frozenset(f"{name}{suffix}" for name in (*PART_OF, "split") for suffix in (".csv", ".json", ".txt"))
KINDS = 3  # of files that a message names
LONGEST_ENDING = 8

_IGNORED = frozenset({"__MACOSX", "@eaDir", "lost+found"})


class Entries(NamedTuple):
    """What lies directly in a folder, by name, each sorted."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


class Tree(Protocol):
    """A data set's files. Paths are relative to its top, with slashes; hidden files are not there."""

    def entries(self, at: str = "") -> Entries:
        """What lies in a folder; empty when there is no such folder."""

    def read(self, file: str) -> bytes:
        """The bytes of a list: a file whose name is in LISTS."""

    def show(self, file: str) -> str:
        """A file's name in messages."""

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """The listed images, in any order. Raises DataError naming what is missing."""


class Folder:
    """A folder on the disk. Links may lead from place to place in it, or to another `images`, but not out."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._roots = (self.path, (self.path / "images").resolve())
        self._seen: dict[str, Entries] = {}

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
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_LIST_BYTES + 1)
        except OSError as error:
            raise DataError(f"{self.show(file)}: {error.strerror}") from None
        if len(data) > MAX_LIST_BYTES:
            raise DataError(f"{self.show(file)} is larger than {MAX_LIST_BYTES >> 20} MiB")
        return data

    def show(self, file: str) -> str:
        """See `Tree`."""
        return _shown(self.path / file)

    def state(self, read_listing: Callable[[], Listing]) -> Iterator[str]:
        """Texts that differ whenever the listing or a listed file does."""
        listing = read_listing()
        yield json.dumps([listing.classes, listing.remark])
        yield "".join(f"{row.label}\0{row.file}\0" for row in listing.rows)
        yield from self.stamps(listing)

    def stamps(self, listing: Listing) -> Iterator[str]:
        """For each row the size, modification time and change time of its file; cheap.

        Raises DataError for files that are missing, are no regular files, lie outside or are met twice.
        """
        folders: dict[str, str] = {}  # as named -> where it leads; text, as a Path takes longer than asking the disk
        rows: dict[str, Row] = {}
        base = os.path.join(self.path, listing.folder)
        for row in listing.rows:
            path = os.path.join(base, row.file)
            folder, name = os.path.split(path)
            try:
                if folder not in folders:
                    folders[folder] = self._inside(folder)
                status = os.lstat(path)
                real = f"{folders[folder]}/{name}"
                if stat.S_ISLNK(status.st_mode):
                    real = self._inside(path)
                    status = os.stat(real)
            except FileNotFoundError:
                raise DataError(f"{row.where}: there is no file {path!r}") from None
            except (OSError, ValueError) as error:
                raise DataError(f"{row.where}: {path!r}: {getattr(error, 'strerror', error)}") from None
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{row.where}: {path!r}: is not a regular file")
            earlier = rows.setdefault(real, row)
            if earlier is not row:
                raise DataError(f"{row.where}: {path!r} is the same file as {earlier.file!r} ({earlier.where})")
            yield stamp(status)

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        for index, (row, _) in enumerate(zip(listing.rows, self.stamps(listing), strict=True)):
            path = self.path / listing.folder / row.file
            yield Encoded(index, _shown(path), path)

    def _scan(self, path: Path) -> Entries:
        folders: list[str] = []
        files: list[str] = []
        try:
            self._inside(path)
            with os.scandir(path) as found:
                for entry in found:
                    if not hidden(entry.name):
                        (folders if entry.is_dir() else files).append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return Entries((), ())
        except OSError as error:
            raise DataError(f"{_shown(path)}: {error.strerror}") from None
        return Entries(tuple(sorted(folders)), tuple(sorted(files)))

    def _inside(self, path: str | Path) -> str:
        """Where a path leads. Raises DataError when that is out of the data set."""
        real = os.path.realpath(path)
        if not any(Path(real).is_relative_to(root) for root in self._roots):
            raise DataError(f"{_shown(path)} is a link out of {_shown(self.path)}, which is not followed")
        return real


def stamp(status: os.stat_result) -> str:
    """What changes when a file does. The change time is in it because it cannot be set back."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"


def hidden(name: str) -> bool:
    """Whether a file was not put there by whoever made the set."""
    return name.startswith(".") or name in _IGNORED


def contents(entries: Entries) -> str:
    """ "3 folders, 2 .txt files", "nothing": what lies in a folder, for messages; of the files the commonest kinds."""
    kinds = Counter(_kind(file) for file in entries.files).most_common()
    counts = [(len(entries.folders), "folder"), *((n, f"{kind} file") for kind, n in kinds[:KINDS])]
    counts.append((sum(n for _, n in kinds[KINDS:]), "more file"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n) or "nothing"


def _kind(file: str) -> str:
    """ ".txt", or "other" where a name has no ending that a person would recognise."""
    ending = os.path.splitext(file)[1].lower()
    return ending if ending.isascii() and ending[1:].isalnum() and len(ending) <= LONGEST_ENDING else "other"


def _shown(path: str | Path) -> str:
    """A path in messages: one line, whatever it is called."""
    text = str(path)
    return text if text.isprintable() else repr(text)
