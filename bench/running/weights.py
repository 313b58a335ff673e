"""Finished weights brought from another folder of checkpoints; a file is named by the SHA-256 of its content."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fewshot_bench.errors import BenchError
from fewshot_bench.files import write_whole


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
        if _content(target / name, sha256) is not None:
            continue
        content = _content(source / name, sha256) if source else None
        if content is None:
            missing.append(sha256)
            continue
        copied.append(sha256)
        if not dry_run:
            write_weights(target / name, content, "the results are merged: make room and merge again")
    return Brought(tuple(copied), tuple(missing))


def write_weights(path: Path, content: bytes, advice: str) -> None:
    """Write a file whole, or leave what was there. Raises BenchError, with the advice, where it cannot be written."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror}); {advice}") from error


def _content(path: Path, sha256: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except (OSError, ValueError):  # a database may name anything, even what can be no file's name
        return None
    return content if hashlib.sha256(content).hexdigest() == sha256 else None
