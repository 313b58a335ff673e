"""Where a command's text goes: a file, or the terminal, which nothing that is printed may command."""

import io
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

import click

from fewshot_bench import machine
from fewshot_bench.errors import UsageError
from fewshot_bench.files import whole_file, write_whole
from fewshot_bench.results.passwords import hide_passwords

# control characters but line end and tab, marks that turn the direction of writing, and halves of characters
_COMMANDS = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]|\r(?!\n)"
)


def cleaned(text: str) -> str:
    """A text that a terminal shows and does not obey: \\x1b in letters for an escape; passwords are hidden."""
    return hide_passwords(_COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


class Cleaned(io.TextIOWrapper):
    """stdout or stderr for everything that prints: click, Python's own tracebacks and warnings."""

    def __init__(self, stream: TextIO) -> None:
        encoding = "utf-8" if stream.encoding.lower() in ("ascii", "ansi_x3.4-1968", "us-ascii") else stream.encoding
        super().__init__(stream.buffer, encoding, "backslashreplace", line_buffering=True)
        self.obeyed = stream  # what rich's own colours and bars are written to

    def write(self, text: str) -> int:
        """Write it cleaned."""
        return super().write(cleaned(text))


@contextmanager
def clean_streams() -> Iterator[None]:
    """All that is printed inside is cleaned; after an error that nobody expected, its traceback too."""
    _open_closed_streams()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Cleaned(stream) if hasattr(stream, "buffer") else stream for stream in before)
    try:
        yield
    except SystemExit:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, Cleaned):
                with suppress(OSError, ValueError):  # nobody listens any more
                    _let_go(stream)
        sys.stdout, sys.stderr = before
        raise


def _let_go(stream: Cleaned) -> None:
    """What is left to print goes nowhere where a person will not wait for who does not read it: a pager, say."""
    try:
        stream.detach()
    except KeyboardInterrupt:
        machine.lead_nowhere(stream.fileno())
        stream.detach()


def _open_closed_streams() -> None:
    """What the shell closed (>&-) leads nowhere: else the next file would take its number, and what is printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)  # to workers
            setattr(sys, name, os.fdopen(number, mode))


def terminal_width(most: int = 110) -> int:
    """Columns that a line may have: the terminal's, and no more than `most`, which a pipe has."""
    named = sys.stdout.isatty() or "COLUMNS" in os.environ
    return min(most, shutil.get_terminal_size().columns) if named else most


def hanging(start: str, text: str, most: int = 110) -> str:
    """Text in `terminal_width` columns behind a name, its further lines below the first; words and paths stay whole."""
    return textwrap.fill(
        text, terminal_width(most), initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def between_words(text: str) -> str:
    """A message in the lines of the terminal that reads it; a command in backticks can be copied whole."""
    if not sys.stderr.isatty():
        return text
    whole = re.sub("`[^`]*`", lambda command: command[0].replace(" ", "\xa0"), cleaned(text))
    lines = textwrap.wrap(whole, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\xa0", " ")


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
