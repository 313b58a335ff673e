"""Where a command's text goes: a file or stdout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from fewshot_bench.errors import UsageError
from fewshot_bench.files import whole_file, write_whole


def write_out(output: str | None, text: str) -> None:
    """To the file that -o named; to stdout without one, or for "-"."""
    if output in (None, "-"):
        click.echo(text, nl=False)
    else:
        write_file(Path(str(output)), text)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all, and name it on stderr. Raises UsageError where it cannot be written."""
    with _explained(path):
        write_whole(path, content.encode() if isinstance(content, str) else content)
    click.echo(path, err=True)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write, see `whole_file`. Raises UsageError where it cannot be written."""
    with _explained(path), whole_file(path) as file:
        yield file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of a pipe that is named: whoever read it has had enough
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
