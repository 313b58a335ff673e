"""Where a command's text goes: a file or stdout."""

from pathlib import Path

import click

from fewshot_bench.errors import UsageError


def write_out(output: str | None, text: str) -> None:
    """To the file that -o named; to stdout without one, or for "-"."""
    if output in (None, "-"):
        click.echo(text, nl=False)
    else:
        write_file(Path(str(output)), text)


def write_file(path: Path, text: str) -> None:
    """Write a file, its folder too, and name it on stderr. Raises UsageError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(path, err=True)
