"""Reads members of .tar, .tar.xz, .tar.gz and .zip archives, tars as one stream.

Image files go straight into memory. Nothing is ever written to a path that an archive names: large files are written
where the caller says, so nothing can climb out of a folder. Only regular files count: devices and folders are passed
over, links and sparse files refused where they are wanted. Sizes, counts and the ratio of unpacked to packed bytes
have caps, so that a small hostile file cannot fill the memory or keep the machine busy for hours.
"""

import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from fewshot_bench.data.readers.faults import impostor, reason
from fewshot_bench.data.readers.image_decoding import MAX_IMAGE_BYTES
from fewshot_bench.errors import DataError

SUFFIXES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".zip")
UNREAD_SUFFIXES = (".7z", ".bz2", ".gz", ".lz4", ".rar", ".tbz", ".tbz2", ".xz", ".zst")
MAX_MEMBER_BYTES = MAX_IMAGE_BYTES
MAX_MEMBERS = 1_000_000
COPIED_BYTES = 1 << 20  # at once, of what is written to a disk
MAX_READS_BEYOND = 8  # of the end of a tar: tarfile skips what a header claims by reading it, a terabyte if told so
MAX_HEADER_BYTES = 64 << 10  # of long names and key-value records, which tarfile reads in one piece
MAX_RATIO = 200  # photographs pack 2:1, tiny ones 5:1 because tar pads them to 512 bytes
ALWAYS_ALLOWED_BYTES = 1 << 30  # below this the ratio does not matter

Select = Callable[[str], str | None]  # member name -> key, or None to pass over it

_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_ENCRYPTED = 0x1  # a zip's flag


def is_archive(path: Path) -> bool:
    """Whether the path is a file whose name ends like an archive that can be read here."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def archive_name(path: Path) -> str:
    """An archive's name without its suffix."""
    suffix = max((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), key=len)
    return path.name[: -len(suffix)]


def read_members(archive: Path, select: Select) -> Iterator[tuple[str, bytes]]:
    """Yield (key, content) of the regular files that `select` gives a key for, in the archive's order.

    Raises DataError when the archive is damaged, is no archive, or exceeds a cap.
    """
    with _faults(archive):
        for key, stream in _streams(archive, select, MAX_MEMBER_BYTES):
            yield key, stream.read(MAX_MEMBER_BYTES)  # never more than the size it claims, whatever it unpacks to


def write_members(archive: Path, select: Select, folder: Path) -> None:
    """Write the regular files that `select` gives a key for into a folder, under their keys, which the caller chose.

    Raises DataError as `read_members`, and when the disk is full.
    """
    with _faults(archive):
        for key, stream in _streams(archive, select, _max_bytes(archive)):
            _write(stream, folder / key, archive)


def _write(stream: IO[bytes], path: Path, archive: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} has a name that cannot be unpacked ({error.strerror})") from None
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(stream, file, COPIED_BYTES)
    except FileExistsError:
        raise DataError(f"{archive} holds {path.name!r} twice") from None
    except OSError as error:
        raise DataError(
            f"{archive} cannot be unpacked into a temporary folder ({error.strerror or reason(error)}): "
            "unpack it yourself and name its folder, or let TMPDIR name a larger disk"
        ) from None


@contextmanager
def _faults(archive: Path) -> Iterator[None]:
    """What goes wrong with an archive, as one line that names it."""
    try:
        yield
    except (
        tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError,
        NotImplementedError, ValueError,  # of zipfile: a packing or a name that it does not know
    ) as error:  # fmt: skip
        raise DataError(f"{archive} is a damaged or incomplete archive ({reason(error)})") from None
    except OSError as error:
        raise DataError(f"{archive} cannot be read ({error.strerror or reason(error)})") from None


def _streams(archive: Path, select: Select, max_member_bytes: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (key, its content) of each selected member; the content is to be read before the next one.

    Raises DataError when the archive is encrypted or exceeds a cap; what the libraries raise when it is damaged.
    """
    with archive.open("rb") as packed:
        is_zip = packed.read(4) == b"PK\3\4"  # suffixes are often wrong
    yield from (_zip_streams if is_zip else _tar_streams)(archive, select, max_member_bytes)


def _zip_streams(archive: Path, select: Select, max_member_bytes: int) -> Iterator[tuple[str, IO[bytes]]]:
    with _opened_zip(archive) as members:
        if len(members.infolist()) > MAX_MEMBERS:
            raise DataError(f"{archive} holds more than {MAX_MEMBERS:,} members")
        left = max_bytes = _max_bytes(archive)
        for member in members.infolist():
            name = member.filename.replace("\\", "/")  # some programs of Windows write these
            kind = stat.S_IFMT(member.external_attr >> 16)  # where Unix keeps it
            if member.is_dir() or kind not in (0, stat.S_IFREG, stat.S_IFLNK) or name.endswith("/"):
                continue
            if (key := select(name)) is None:
                continue
            if kind == stat.S_IFLNK:
                raise _link(archive, name)
            if member.flag_bits & _ENCRYPTED:
                raise DataError(f"{archive}: {member.filename!r} is encrypted: unpack the archive first")
            _check_member(archive, member.filename, member.file_size, max_member_bytes)
            left -= member.file_size
            if left < 0:
                raise DataError(f"{archive} unpacks to more than {max_bytes >> 20:,} MiB")
            with members.open(member) as stream:
                yield key, stream


def _opened_zip(archive: Path) -> zipfile.ZipFile:
    """The archive; names without the UTF-8 mark are UTF-8 all the same when macOS wrote them."""
    try:
        return zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(archive)


def _link(archive: Path, name: str) -> DataError:
    """Of a file that is wanted: what it leads to may lie anywhere, and without it the set is another."""
    return DataError(
        f"{archive}: {name!r} is a link, which is not followed: pack what it leads to "
        "(tar --dereference --hard-dereference; zip without -y)"
    )


def _check_member(archive: Path, name: str, size: int, most: int) -> None:
    if size > most:
        raise DataError(f"{archive}: {name!r} is larger than {most >> 20:,} MiB")


def _tar_streams(archive: Path, select: Select, max_member_bytes: int) -> Iterator[tuple[str, IO[bytes]]]:
    with archive.open("rb") as packed, _unpacked(archive, packed) as stream:
        capped = _Capped(stream, archive)
        with tarfile.open(fileobj=capped, mode="r|", tarinfo=_ShortHeaders, encoding="utf-8") as tar:
            count = 0
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep all
                count += 1
                if count > MAX_MEMBERS:
                    raise DataError(f"{archive} holds more than {MAX_MEMBERS:,} members")
                is_link = member.islnk() or member.issym()
                if not (member.isreg() or is_link) or (key := select(member.name)) is None:
                    continue
                if is_link:
                    raise _link(archive, member.name)
                if member.issparse():
                    raise DataError(
                        f"{archive}: {member.name!r} is stored with holes, which are not read: pack it without --sparse"
                    )
                _check_member(archive, member.name, member.size, max_member_bytes)
                if content := tar.extractfile(member):
                    yield key, content
            rest = tar.fileobj
            while rest and (data := rest.read(COPIED_BYTES)):  # to the end, where xz and gzip keep their checksum
                if data.strip(b"\0"):
                    raise tarfile.ReadError("there are data after its end")


def _unpacked(archive: Path, packed: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    """The stream of the tar itself; what packs it is told by the first bytes, as suffixes are often wrong."""
    start = packed.read(512)
    packed.seek(0)
    if problem := impostor(start):
        raise DataError(f"{archive} {problem}")
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.open(packed)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(packed)
    return packed


def _max_bytes(archive: Path) -> int:
    """What an archive may unpack to."""
    return max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size)


class _Capped(io.BufferedIOBase):
    """A readable that stops when an archive unpacks to suspiciously many bytes, or is read on and on beyond its end."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, archive: Path) -> None:
        self._stream, self._archive = stream, archive
        self._left, self._reads_beyond = _max_bytes(archive), 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._archive} unpacks to more than {MAX_RATIO} times its size")
        self._reads_beyond += not data
        if self._reads_beyond > MAX_READS_BEYOND:
            raise EOFError("it ends too early")
        return data


class _ShortHeaders(tarfile.TarInfo):
    """Refuses extended headers of a size that no honest name needs, and what tarfile takes for an archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:  # behind the first member tarfile passes over it, and all that follows
            raise tarfile.ReadError(str(error)) from None
        if member.type in _LONG_HEADERS and member.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member
