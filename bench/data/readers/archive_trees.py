"""Archives as trees: a whole data set in one, or its images beside the lists in a folder.

Files that hold many images each (pickles, HDF5, .npz, Parquet) are unpacked into a temporary folder, and only they.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from fewshot_bench.data.format import Entries, Progress, stamp
from fewshot_bench.data.labels import LISTS, MAX_LIST_BYTES, PART_OF, Listing, check_length, hidden
from fewshot_bench.data.readers.archives import archive_name, read_members, write_members
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.data.readers.image_decoding import Encoded
from fewshot_bench.errors import DataError

UNPACKED = (".pkl", ".pickle", ".npz", ".hdf5", ".parquet", "_labels.json")  # how files end that must be on a disk
MAX_DEPTH = 64  # folders
MAX_FILES = 10_000  # of these, in an archive


class Archive:
    """An archive of a data set, perhaps below top folders that hold nothing else.

    It is read when it is first asked. With `with`, what was unpacked is removed at the end, and messages name the
    archive, not the folder that it was unpacked into.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self.path = path
        self._progress = progress
        self._temporary: TemporaryDirectory[str] | None = None
        self._folder: Path | None = None  # in it, called like the data set

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._temporary and self._folder:
            self._temporary.cleanup()
            if isinstance(error, DataError):
                folder = str(self._folder)
                text = str(error).replace(f"{folder}/", f"{self.path}: ").replace(folder, str(self.path))
                raise DataError(text) from None

    @property
    def name(self) -> str:
        """See `Tree`."""
        return archive_name(self.path)

    def entries(self, at: str = "") -> Entries:
        """See `Tree`."""
        folders, files = self._contents.entries.get(at, (set(), set()))
        return Entries(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, file: str) -> bytes:
        """See `Tree`."""
        return self._contents.lists[file]

    def show(self, file: str) -> str:
        """See `Tree`."""
        return f"{self.path}: {shown(file)}"

    def state(self, _read_listing: Callable[[], Listing], /) -> Iterator[str]:
        """See `Tree`; the archive's stamp, as reading it takes long."""
        yield stamp(self.path.stat())

    def encoded(self, listing: Listing) -> Iterator[Encoded]:
        """See `Tree`."""
        below = f"{listing.folder}/" if listing.folder else ""

        def file(member: str) -> str | None:
            name = self._file(member)
            return name.removeprefix(below) if name and name.startswith(below) else None

        yield from listed_members(self.path, listing, file)

    def on_disk(self) -> Path:
        """See `Tree`; raises DataError, also where there is no room."""
        if self._folder:
            return self._folder
        files = frozenset(file for file in self._contents.files if file.endswith(UNPACKED))
        if len(files) > MAX_FILES:
            raise DataError(f"{self.path} holds more than {MAX_FILES:,} files of data")
        try:
            self._temporary = TemporaryDirectory(prefix="fewshot-bench-")
        except OSError as error:
            raise DataError(f"{self.path} cannot be unpacked ({error.strerror}): let TMPDIR name a folder") from None
        self._folder = Path(self._temporary.name).resolve() / (self.name.strip(".") or "data")
        self._folder.mkdir()
        if self._progress:
            self._progress("unpacking the archive", 0, 1)

        def select(member: str) -> str | None:
            file = self._file(member)
            return file if file in files else None

        write_members(self.path, select, self._folder)
        return self._folder

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
            if name.count("/") > MAX_DEPTH:
                raise DataError(f"{self.path}: {name[:50]!r}... lies more than {MAX_DEPTH} folders deep")
            check_length(name, str(self.path))
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
        self.entries: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        for name in self.files:
            folder, _, file = name.rpartition("/")
            self.entries[folder][1].add(file)
            while folder:
                folder, _, last = folder.rpartition("/")
                self.entries[folder][0].add(last)


def listed_members(archive: Path, listing: Listing, locate: Callable[[str], str | None]) -> Iterator[Encoded]:
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


def below_images(member: str) -> str | None:
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
