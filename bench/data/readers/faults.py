"""How a fault is told: what a file is instead of data, and what another library says of a damaged one.

Here too is how a file is read no further than it may be large.
"""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from fewshot_bench.errors import DataError, UsageError

TOLD = 10  # faults of one kind that a message names
MOST_SAID = 100  # characters of another library's message


def read_bounded(path: Path, most_bytes: int, where: str = "") -> bytes:
    """The bytes of a file. Raises DataError for one that is missing or larger; where: its name in messages."""
    try:
        with path.open("rb") as stream:
            data = stream.read(min(most_bytes, os.fstat(stream.fileno()).st_size) + 1)  # what is asked for is reserved
    except OSError as error:
        raise DataError(f"{where or path}: {error.strerror}") from None
    if len(data) > most_bytes:
        raise DataError(f"{where or path} is larger than {most_bytes >> 20} MiB")
    return data


def impostor(data: bytes) -> str | None:
    """What a file with these first bytes is when it is no data at all but the trace of a failed download."""
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page (HTML), not data: the download failed, fetch it again"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not data: run `git lfs pull` where it came from"
    if not data:
        return "is empty"
    return None


def told(faults: Sequence[str], count: int, what: str) -> str:
    """One fault as it is; of several how many there are, and the first of them.

    faults: the first TOLD, or all; count: of all; what: is wrong with them, "images cannot be used"
    """
    if count == 1:
        return faults[0]
    more = f"; and {count - TOLD:,} more" if count > TOLD else ""
    return f"{count:,} {what}: {'; '.join(faults[:TOLD])}{more}"


def reason(error: Exception) -> str:
    """What another library's exception says, in one short line, without the file's bytes that it may quote."""
    text = " ".join(str(error).split())[:MOST_SAID] or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)


def library(name: str, where: object, what: str) -> Any:
    """A library that only some data need. Raises UsageError, naming the data, where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        extra, package = what.lower(), name.partition(".")[0]
        raise UsageError(f"{where}: {what} needs {package}: pip install 'fewshot-bench[{extra}]'") from None


def shown(path: object) -> str:
    """A path in messages: one line, whatever it is called."""
    text = str(path)
    return text if text.isprintable() else repr(text)
