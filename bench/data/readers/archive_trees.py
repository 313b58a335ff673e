"""Archives as trees: a whole data set in one, or its images beside the lists in a folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from fewshot_bench.data.labels import PART_OF, Listing
from fewshot_bench.data.readers.archives import SUFFIXES, is_archive, read_members, write_members
from fewshot_bench.data.readers.image_decoding import Encoded
from fewshot_bench.data.readers.trees import LISTS, MAX_LIST_BYTES, Entries, Folder, hidden, stamp
from fewshot_bench.errors import DataError


def open_folder(path: Path) -> Folder:
    """A folder's files, those of an `images.tar` in it included."""
    if not (path / "images").exists():
        for suffix in SUFFIXES:
            if is_archive(path / f"images{suffix}"):
                return FolderWithArchive(path, path / f"images{suffix}")
    return Folder(path)


class FolderWithArchive(Folder):
    """A folder whose images lie in `images.tar` (or .tar.xz, .tar.gz, .zip) beside its lists."""

    def __init__(self, path: Path, archive: Path) -> None:
        super().__init__(path)
        self._archive = archive

    def entries(self, at: str = "") -> Entries:
        """See `Tree`; there is a folder `images`, but what is in it shows only when it is decoded."""
        found = super().entries(at)
        return found if at else Entries((*found.folders, "images"), found.files)

    def state(self, read_listing: Callable[[], Listing]) -> Iterator[str]:
        """As of a folder, but quick: the lists as they are, and the archive's stamp."""
        for file in sorted(LISTS.intersection(self.entries().files)):
            yield f"{file} {hashlib.sha256(self.read(file)).hexdigest()} "
        yield stamp(os.stat(self._archive))

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        yield from _listed_members(self._archive, listing, _below_images)


class Archive:
    """An archive of a data set, perhaps below top folders that hold nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, at: str = "") -> Entries:
        """See `Tree`."""
        folders, files = self._contents.entries.get(at, (set(), set()))
        return Entries(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, file: str) -> bytes:
        """See `Tree`."""
        return self._contents.lists[file]

    def show(self, file: str) -> str:
        """See `Tree`."""
        return f"{self.path}: {file if file.isprintable() else repr(file)}"

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        top = self._contents.top + (f"{listing.folder}/" if listing.folder else "")

        def file(member: str) -> str | None:
            name = _normal(member)
            return name.removeprefix(top) if name and name.startswith(top) else None

        yield from _listed_members(self.path, listing, file)

    def files(self, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        """All files that end like one of these, sorted, relative to the top."""
        return tuple(sorted(file for file in self._contents.files if file.endswith(suffixes)))

    def write(self, files: tuple[str, ...], folder: Path) -> None:
        """Write some of the files into a folder. Raises DataError."""
        wanted = frozenset(files)

        def select(member: str) -> str | None:
            file = self._file(member)
            return file if file in wanted else None

        write_members(self.path, select, folder)

    def _file(self, member: str) -> str | None:
        """The file that a member is, relative to the top; None for what is hidden or elsewhere."""
        name = _normal(member)
        return name.removeprefix(self._contents.top) if name and name.startswith(self._contents.top) else None

    @cached_property
    def _contents(self) -> "_Contents":
        """What is in the archive: one pass over it, that keeps no images."""
        names: set[str] = set()

        def lists_only(member: str) -> str | None:
            name = _normal(member)
            if name is None:
                return None
            names.add(name)
            return name if name.rpartition("/")[2] in LISTS else None

        lists: dict[str, bytes] = {}
        for name, data in read_members(self.path, lists_only):
            if name in lists:
                raise DataError(f"{self.show(name)} is there twice")
            lists[name] = data
            if sum(map(len, lists.values())) > MAX_LIST_BYTES:
                raise DataError(f"{self.path}: the lists in it are larger than {MAX_LIST_BYTES >> 20} MiB")
        return _Contents(names, lists)


class _Contents:
    """Names of an archive as folders.

    top: the folders that everything lies in, with a slash at the end; files: all of them below it
    lists: file -> bytes; entries: folder -> the folders and the files in it
    """

    def __init__(self, names: set[str], lists: dict[str, bytes]) -> None:
        self.top = _top(names)
        self.lists = {name.removeprefix(self.top): data for name, data in lists.items()}
        self.files = [name.removeprefix(self.top) for name in names]
        self.entries: dict[str, tuple[set[str], set[str]]] = {}
        for name in self.files:
            folder, _, file = name.rpartition("/")
            new = folder not in self.entries
            self.entries.setdefault(folder, (set(), set()))[1].add(file)
            while new and folder:
                folder, _, last = folder.rpartition("/")
                new = folder not in self.entries
                self.entries.setdefault(folder, (set(), set()))[0].add(last)


def _listed_members(archive: Path, listing: Listing, locate: Callable[[str], str | None]) -> Iterator[Encoded]:
    """The listed images in an archive. locate: member name -> file as in the rows, None for what is elsewhere."""
    missing = {row.file: index for index, row in enumerate(listing.rows)}
    listed = frozenset(missing)

    def select(member: str) -> str | None:
        file = locate(member)
        return file if file in listed else None

    for file, data in read_members(archive, select):
        if file not in missing:
            raise DataError(f"{archive} holds {file!r} twice")
        yield Encoded(missing.pop(file), f"{archive}: {file!r}", data)
    for file, index in missing.items():
        raise DataError(f"{listing.rows[index].where}: there is no {file!r} in {archive}")


def _below_images(member: str) -> str | None:
    """The file below `images` that a member is: `images/a.jpg`, `top/images/a.jpg`, or just `a.jpg`."""
    pieces = [piece for piece in member.split("/") if piece != "."]
    if "images" in pieces[:2]:
        pieces = pieces[pieces.index("images") + 1 :]
    return "/".join(pieces)


def _normal(member: str) -> str | None:
    """A member's path in its shortest form; None when it is hidden, or would lead out of the archive."""
    path = PurePosixPath(member)
    if path.is_absolute() or any(map(hidden, path.parts)):
        return None
    return str(path)


def _top(names: set[str]) -> str:
    """The folders that hold everything; never `train/`: an archive with only that lacks the other parts."""
    top = ""
    while names and all("/" in name for name in names):
        folders = {name.partition("/")[0] for name in names}
        if len(folders) > 1 or PART_OF.keys() & folders:
            break
        top += f"{folders.pop()}/"
        names = {name.partition("/")[2] for name in names}
    return top
