"""Finished weights brought from another folder of checkpoints; a file is named by the SHA-256 of its content."""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_bench.errors import BenchError
from fewshot_bench.files import write_whole
from fewshot_bench.tables.parsing import ParseError, parse_json

LARGEST_BYTES = 2**32  # of a file of weights
LARGEST_HEADER_BYTES = 2**24
HEADER_AT = 8  # bytes that say how long the header is


@dataclass(frozen=True)
class Brought:
    """What became of some weights, by SHA-256."""

    copied: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # neither here nor there, or there only damaged


def bring(wanted: Iterable[str], source: Path | None, target: Path, *, dry_run: bool = False) -> Brought:
    """Copy the wanted weights that are missing in the folder `target` from `source`, each whole or not at all.

    Raises BenchError where the target cannot be written.
    """
    copied, missing = [], []
    for sha256 in dict.fromkeys(wanted):
        name = f"{sha256}.safetensors"
        if content_of(target / name, sha256) is not None:
            continue
        content = content_of(source / name, sha256) if source else None
        if content is None:
            missing.append(sha256)
            continue
        copied.append(sha256)
        if not dry_run:
            write_weights(target / name, content, "the results are merged: make room and merge again")
    return Brought(tuple(copied), tuple(missing))


def write_weights(path: Path, content: bytes, advice: str) -> None:
    """Write a file whole, or leave what was there. Raises BenchError, with the advice, where it cannot be written."""
    if os.path.lexists(path) and not path.is_file():  # a pipe would be waited for
        raise BenchError(
            f"{path}: it is no file, but weights belong there; move it away and run the same command again"
        )
    try:
        write_whole(path, content)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror}); {advice}") from error


def forbidden(path: Path, error: PermissionError) -> BenchError:
    """What is to be raised of a file that we may not read."""
    again = "make it readable or move it away, and run the same command again"
    return BenchError(f"{path}: cannot be read ({error.strerror}); {again}")


def content_of(path: Path, sha256: str) -> bytes | None:
    """A file of safetensors with that SHA-256; None where there is none.

    What is no regular file, or whose header does not account for every byte, is not read: it could have any size.
    Raises BenchError where we may not read it: what it holds is not lost.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES:
            return None
        with path.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_AT), "little")
            header = parse_json(file.read(length)) if length <= LARGEST_HEADER_BYTES else None
            if HEADER_AT + length + _data_bytes(header) != status.st_size:
                return None
            file.seek(0)
            content = file.read(status.st_size)
    except PermissionError as error:
        raise forbidden(path, error) from None
    except (OSError, ParseError):
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _data_bytes(header: Any) -> int:
    """What the tensors that a header names take up; -1 for no header."""
    if not isinstance(header, dict):
        return -1
    entries = (entry for name, entry in header.items() if name != "__metadata__")
    offsets = [entry.get("data_offsets") if isinstance(entry, dict) else None for entry in entries]
    right = all(isinstance(pair, list) and len(pair) == 2 and type(pair[1]) is int for pair in offsets)
    return max((pair[1] for pair in offsets if pair), default=0) if right else -1
