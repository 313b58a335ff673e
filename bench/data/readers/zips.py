"""Reads members of .zip archives, under the caps of archives.py."""

import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fewshot_bench.data.readers.image_decoding import MAX_IMAGE_BYTES
from fewshot_bench.errors import DataError

_ENCRYPTED = 0x1


def read_zip(
    archive: Path, select: Callable[[str], str | None], max_members: int, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, content) of the regular files that `select` gives a key for, in the archive's order.

    select: member name -> key, or None to pass over it
    max_members, max_bytes: what the whole archive may hold, and unpack to
    Raises DataError when the archive is encrypted or exceeds a cap; what zipfile raises when it is damaged.
    """
    for key, stream in zip_streams(archive, select, max_members, max_bytes, MAX_IMAGE_BYTES):
        yield key, stream.read(MAX_IMAGE_BYTES)  # never more than the size it claims, whatever it unpacks to


def zip_streams(
    archive: Path, select: Callable[[str], str | None], max_members: int, max_bytes: int, max_member_bytes: int
) -> Iterator[tuple[str, IO[bytes]]]:
    """The same, each member as a stream that is to be read before the next one."""
    with _opened(archive) as members:
        if len(members.infolist()) > max_members:
            raise DataError(f"{archive} holds more than {max_members:,} members")
        left = max_bytes
        for member in members.infolist():
            if not _regular(member) or (key := select(member.filename)) is None:
                continue
            if member.flag_bits & _ENCRYPTED:
                raise DataError(f"{archive}: {member.filename!r} is encrypted: unpack the archive first")
            if member.file_size > max_member_bytes:
                raise DataError(f"{archive}: {member.filename!r} is larger than {max_member_bytes >> 20:,} MiB")
            left -= member.file_size
            if left < 0:
                raise DataError(f"{archive} unpacks to more than {max_bytes >> 20:,} MiB")
            with members.open(member) as stream:
                yield key, stream


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
