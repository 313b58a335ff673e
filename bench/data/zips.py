"""Reads members of .zip archives into memory, under the caps of archives.py; nothing is ever written to a disk."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from fewshot_bench.data.decoding import MAX_IMAGE_BYTES, reason
from fewshot_bench.errors import DataError

_ENCRYPTED = 0x1


def read_zip(
    archive: Path, select: Callable[[str], str | None], max_members: int, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, content) of the regular files that `select` gives a key for, in the archive's order.

    select: member name -> key, or None to pass over it
    max_members, max_bytes: what the whole archive may hold, and unpack to
    Raises DataError when the archive is damaged, is encrypted, or exceeds a cap; OSError when it cannot be read.
    """
    try:
        with _opened(archive) as members:
            if len(members.infolist()) > max_members:
                raise DataError(f"{archive} holds more than {max_members:,} members")
            left = max_bytes
            for member in members.infolist():
                if not _regular(member) or (key := select(member.filename)) is None:
                    continue
                content = _content(members, member, archive)
                left -= len(content)
                if left < 0:
                    raise DataError(f"{archive} unpacks to more than {max_bytes >> 20:,} MiB")
                yield key, content
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(f"{archive} is a damaged or incomplete archive ({reason(error)})") from None


def _opened(archive: Path) -> zipfile.ZipFile:
    """The archive; names without the UTF-8 mark are UTF-8 all the same when macOS wrote them."""
    try:
        return zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(archive)


def _regular(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a plain file: no folder, and no link, which Unix keeps in the upper 16 bits."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return not member.is_dir() and kind in (0, stat.S_IFREG)


def _content(members: zipfile.ZipFile, member: zipfile.ZipInfo, archive: Path) -> bytes:
    if member.flag_bits & _ENCRYPTED:
        raise DataError(f"{archive}: {member.filename!r} is encrypted: unpack the archive first")
    if member.file_size > MAX_IMAGE_BYTES:
        raise DataError(f"{archive}: {member.filename!r} is larger than {MAX_IMAGE_BYTES >> 20} MiB")
    with members.open(member) as stream:
        return stream.read(MAX_IMAGE_BYTES)  # never more than the size it claims, whatever it unpacks to
