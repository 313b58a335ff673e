"""Where things are kept, and files that are written whole or not at all."""

import functools
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from fewshot_bench import machine
from fewshot_bench.errors import UsageError

DATABASE = "results.sqlite"
NO_TEMPORARY, OTHER_TEMPORARY = "no temporary file can be written", "let TMPDIR name a folder that has room"
BY_CONTENT = "sha256:"  # before a file's SHA-256, where an identity has it instead of a name


def database(out: Path) -> str:
    """Path or URL of the results database: BENCH_DB, or a file in `out`."""
    return os.environ.get("BENCH_DB") or str(out / DATABASE)


def database_at(where: str) -> str:
    """Path or URL of a results database that is named itself, or by its folder."""
    with suppress(OSError):  # who opens it says why it cannot be looked at
        return str(Path(where) / DATABASE) if "://" not in where and Path(where).is_dir() else where
    return where


def is_database(name: str) -> bool:
    """Whether a word names a database, by path, folder or URL, and no variant."""
    return "://" in name or is_there(Path(name))


def is_there(path: Path) -> bool:
    """Whether something is called so; not where we may not look, or where nothing can be called so."""
    with suppress(OSError):
        return path.exists()
    return False


def as_text(name: str) -> str:
    """A name of the system's, or words with one, as a text that can be stored: \\xff for a byte that is not UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def cache_folder() -> Path:
    """Where prepared data sets are kept: BENCH_CACHE, or the user's cache folder."""
    if named := os.environ.get("BENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewshot-bench"


def checkpoints(out: Path) -> Path:
    """Where weights are kept."""
    return out / "checkpoints"


def content_of(path: Path) -> str:
    """SHA-256 of a file's content, by which a file that a setting names counts. Raises OSError."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name when all is written and on the disk.

    A pipe or a device is written as it is. Raises OSError, and leaves what was there.
    """
    path = path.resolve()  # a link goes on leading to it
    is_device = path.exists() and not path.is_file()  # it cannot be replaced
    target = path if is_device else temporary(path)
    try:
        with target.open("wb") as file:
            yield file
            if not is_device:
                file.flush()
                os.fsync(file.fileno())
        if not is_device:
            target.replace(path)
    finally:
        if not is_device:
            with suppress(OSError):
                target.unlink()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for what is read again soon, gone in the end. Raises UsageError where none can be made."""
    try:
        made = TemporaryDirectory(prefix="fewshot-bench-")
    except OSError as error:
        raise UsageError(f"{NO_TEMPORARY} ({error.strerror}): {OTHER_TEMPORARY}") from None
    with made as folder:
        yield Path(folder)


def temporary(path: Path) -> Path:
    """A name beside it that no other process of any machine takes, and that says whose it is."""
    return path.with_name(f".{path.name}.{machine.host()}.{machine.process()}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine left that were killed while they wrote; others' may still be written."""
    for leftover in folder.glob("*.tmp"):
        owner = leftover.name.split(".")[-4:-2]
        if len(owner) == 2 and machine.is_gone(*owner):
            with suppress(OSError):  # another process removes it too
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as `whole_file` does, in a folder made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(content)
