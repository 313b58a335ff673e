"""The layout of miniImageNet in the wild (Ravi & Larochelle 2017): `images/` and `{train,val,test}.csv`.

Each CSV file has the header `filename,label` and one image a line; file names are relative to `images/`. It
may come as

- a folder with `images/` in it,
- a folder with `images.tar`, `images.tar.xz` or `images.tar.gz` beside the CSV files (`images/` comes first),
- one `.tar`, `.tar.xz` or `.tar.gz` that holds all of it, perhaps below one top folder.

Classes are named by the label column and sorted by name within train, val and test; images are sorted by
file name within their class. So the array depends on nothing but the files' content and names. Files that
no CSV names are ignored.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fewshot_bench.data.archives import SUFFIXES, is_archive, read_members
from fewshot_bench.data.class_lists import PARTS, Listing, list_images, read_rows
from fewshot_bench.data.decoding import Encoded, decode_into
from fewshot_bench.data.source import ImageSink, Labels, Progress
from fewshot_bench.errors import DataError

EXPECTS = "a folder or .tar(.xz|.gz) with images/ and train.csv, val.csv, test.csv"

_CSV_NAMES = tuple(f"{part}.csv" for part in PARTS)


def recognises(source: str) -> bool:
    """Whether the source is an archive, or a folder with at least one of the CSV files or `images/`."""
    path = Path(source)
    return is_archive(path) or any((path / name).exists() for name in (*_CSV_NAMES, "images"))


def find(source: str) -> "CsvSource":
    """The data set in a folder or archive. Raises DataError when a folder lacks images or a CSV file."""
    path = Path(source).resolve()
    if is_archive(path):
        return CsvSource(path, pictures=path)
    for name in _CSV_NAMES:
        if not (path / name).is_file():
            raise DataError(f"{path / name} is missing: expected {EXPECTS}")
    archives = [path / f"images{suffix}" for suffix in SUFFIXES]
    for pictures in (path / "images", *archives):
        if pictures.is_dir() or is_archive(pictures):
            return CsvSource(path, pictures)
    raise DataError(f"{path} has no images/ folder and no images.tar(.xz|.gz): expected {EXPECTS}")


@dataclass(frozen=True)
class CsvSource:
    """A data set in this layout.

    path: the folder or archive
    pictures: the folder or archive with the images; `path` itself when that is an archive of everything
    """

    path: Path
    pictures: Path

    @property
    def name(self) -> str:
        """The folder's name, or the archive's without its suffix."""
        if self.path.is_dir():
            return self.path.name
        suffix = max((s for s in SUFFIXES if self.path.name.lower().endswith(s)), key=len)
        return self.path.name[: -len(suffix)]

    @property
    def where(self) -> str:
        """The resolved path."""
        return str(self.path)

    def state(self) -> str:
        """A digest over the CSV files and the size and times of every file with images in it.

        The change time is in it because it cannot be set back: an image that was replaced in place by one
        of the same size and modification time is noticed too. Copying the data elsewhere only means
        preparing it once more.
        """
        digest = hashlib.sha256(f"miniimagenet-csv 1 {self.path}\n".encode(errors="surrogateescape"))
        if self.path.is_dir():
            csvs = self._csv_files()
            for part in PARTS:
                digest.update(hashlib.sha256(csvs[part]).digest())
            if self.pictures.is_dir():
                digest.update("".join(self._stamps(self._listing(csvs))).encode())
        if not self.pictures.is_dir():
            digest.update(_stamp(self.pictures).encode())
        return digest.hexdigest()

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Decode every image that a CSV file names; see `Source.decode`."""
        listing = self._listing(self._csv_files())
        files = self._in_folder(listing) if self.pictures.is_dir() else self._in_archive(listing)
        decode_into(sink, files, len(listing.rows), image_size, progress)
        return listing.labels(self.name)

    def _csv_files(self) -> dict[str, bytes]:
        """part -> the bytes of its CSV file."""
        if self.path.is_dir():
            return {part: _read_csv(self.path / f"{part}.csv") for part in PARTS}
        found: dict[str, bytes] = {}
        for part, data in read_members(self.path, _csv_part):
            if part in found:
                raise DataError(f"{self.path} holds {part}.csv twice")
            found[part] = data
            if len(found) == len(PARTS):
                break
        for part in PARTS:
            if part not in found:
                raise DataError(f"{self.path} holds no {part}.csv: expected {EXPECTS}")
        return found

    def _listing(self, csvs: dict[str, bytes]) -> Listing:
        return list_images({part: read_rows(csvs[part], self._csv_name(part)) for part in PARTS})

    def _csv_name(self, part: str) -> str:
        name = f"{part}.csv"
        return str(self.path / name) if self.path.is_dir() else f"{self.path}: {name}"

    def _stamps(self, listing: Listing) -> Iterator[str]:
        for row in listing.rows:
            try:
                yield _stamp(self.pictures / row.file)
            except FileNotFoundError:
                raise DataError(f"{row.where}: there is no file {str(self.pictures / row.file)!r}") from None
            except OSError as error:
                raise DataError(f"{row.where}: {str(self.pictures / row.file)!r}: {error.strerror}") from None

    def _in_folder(self, listing: Listing) -> Iterator[Encoded]:
        for index, row in enumerate(listing.rows):
            path = self.pictures / row.file
            yield Encoded(index, str(path), path)

    def _in_archive(self, listing: Listing) -> Iterator[Encoded]:
        missing = {row.file: index for index, row in enumerate(listing.rows)}
        listed = frozenset(missing)
        for file, data in read_members(self.pictures, lambda name: _in_images(name, listed)):
            if file not in missing:
                raise DataError(f"{self.pictures} holds {file!r} twice")
            yield Encoded(missing.pop(file), f"{self.pictures}: {file!r}", data)
        for file, index in missing.items():
            raise DataError(f"{listing.rows[index].where}: there is no {file!r} in {self.pictures}")


def _csv_part(member: str) -> str | None:
    """The part whose CSV file this member is, if it lies at the top or in one top folder."""
    *folders, name = [piece for piece in member.split("/") if piece != "."]
    return name.removesuffix(".csv") if name in _CSV_NAMES and len(folders) <= 1 else None


def _in_images(member: str, listed: frozenset[str]) -> str | None:
    """The listed file that a member is: `images/a.jpg`, `top/images/a.jpg`, or just `a.jpg`."""
    pieces = [piece for piece in member.split("/") if piece != "."]
    if "images" in pieces[:2]:
        pieces = pieces[pieces.index("images") + 1 :]
    file = "/".join(pieces)
    return file if file in listed else None


def _read_csv(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def _stamp(path: Path) -> str:
    """Size, modification time and change time of a regular file. Raises OSError."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "is not a regular file")
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"
