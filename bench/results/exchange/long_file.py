"""A table in long form that anyone may have written: its rows as text, and each field checked where it stands."""

from __future__ import annotations

import csv
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any, NoReturn

from fewshot_bench.errors import UsageError

REQUIRED = ("cell_key", "number", "episode_id", "n_correct", "n_queries")
EMPTY = ("", "NA")  # R writes NA
LARGEST = 2**31 - 1
LONGEST_LINE = 2**24  # letters; a row has 3,000, the first one more
ROWS = 200  # of Parquet, in memory at once
XZ = b"\xfd7zXZ\0"  # how such a file begins
INTEGER = re.compile(r"[0-9]{1,18}(\.0+)?", re.ASCII)  # pandas writes 12.0 where a column has gaps
KEY = re.compile(r"[0-9a-f]{16}", re.ASCII)


class Field:
    """One field: what it says, and where it stands."""

    def __init__(self, path: Path, row: int, column: str, text: str) -> None:
        self.path, self.row, self.column, self.text = path, row, column, text

    def wrong(self, what: str) -> NoReturn:
        """Raise UsageError with file, row and column."""
        raise UsageError(f"{self.path}, row {self.row}, column {self.column}: {what}")

    def integer(self) -> int:
        """A whole number from 0."""
        if not INTEGER.fullmatch(self.text):
            is_negative = self.text.startswith("-") and INTEGER.fullmatch(self.text[1:])
            self.wrong(f"{_short(self.text)} is {'negative' if is_negative else 'no whole number'}")
        value = int(self.text.partition(".")[0])
        if value > LARGEST:
            self.wrong(f"{_short(self.text)} is too large")
        return value

    def key(self) -> str:
        """16 hex digits."""
        if not KEY.fullmatch(self.text):
            self.wrong(f"{_short(self.text)} is not 16 hex digits (0-9, a-f)")
        return self.text

    def answers(self) -> bytes:
        """The bytes of hex digits, empty where nothing is said."""
        try:
            return bytes.fromhex(self.text.removeprefix("x"))
        except ValueError:
            self.wrong(f"{_short(self.text)} is not x and hex digits, two a query")

    def json(self) -> dict[str, Any]:
        """A JSON object."""
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            self.wrong(f"{_short(self.text)} is no JSON ({' '.join(str(error).split())[:80]})")
        if not isinstance(value, dict):
            self.wrong("it must be a JSON object")
        return value


class LongFileRow:
    """One row of the file; fields that say nothing count as missing."""

    def __init__(self, path: Path, number: int, texts: Mapping[str, str]) -> None:
        self._path, self.number, self._texts = path, number, texts

    def get(self, column: str) -> Field | None:
        """The field in a column, if it is there and says something."""
        text = self._texts.get(column, "").strip()
        return None if text in EMPTY else Field(self._path, self.number, column, text)

    def texts(self, columns: Iterable[str]) -> tuple[str, ...]:
        """What stands in some columns, as it is."""
        return tuple(self._texts.get(column, "") for column in columns)

    def __getitem__(self, column: str) -> Field:
        """The field in a column that every row needs."""
        return self.get(column) or Field(self._path, self.number, column, "").wrong("it is empty")


def read_rows(path: Path) -> Iterator[LongFileRow]:
    """The rows of a CSV, plain or packed by xz (its header is row 1), or of a Parquet file (its first row is row 1).

    Raises UsageError for what is neither, and where a required column is missing.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UsageError(f"{path}: it is not a regular file")
    try:
        with path.open("rb") as file:
            begins = file.read(6)
        if begins.startswith(b"PAR1"):
            yield from _parquet_rows(path)
        else:
            yield from _csv_rows(path, packed=begins == XZ)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it is not UTF-8 text; save it as CSV in UTF-8") from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', '') or error}") from None


def _csv_rows(path: Path, *, packed: bool) -> Iterator[LongFileRow]:
    csv.field_size_limit(LONGEST_LINE)
    number = 0
    with (lzma.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        try:
            lines = _lines(path, file)
            begins = next(lines, "")
            delimiter = max(",;\t", key=begins.count)  # as spreadsheets write it where a comma is the decimal point
            reader = csv.reader(chain([begins], lines), delimiter=delimiter, strict=True)
            header: list[str] = []
            for number, texts in enumerate(reader, start=1):
                if not any(texts):  # a spreadsheet's rows without content
                    continue
                if not header:
                    header = _checked_header(path, texts)
                elif len(texts) != len(header):
                    raise UsageError(f"{path}, row {number}: {len(texts)} fields, but the header has {len(header)}")
                else:
                    yield LongFileRow(path, number, dict(zip(header, texts, strict=True)))
        except csv.Error as error:
            raise UsageError(f"{path}, row {number + 1}: it is not CSV: {error}") from None
    if not header:
        raise UsageError(f"{path}: it is empty")


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise UsageError(f"{path}: a line has {LONGEST_LINE:,} letters or more")
        yield line


def _parquet_rows(path: Path) -> Iterator[LongFileRow]:
    try:
        from pyarrow import DictionaryArray, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'fewshot-bench[parquet]'") from None
    number = 0
    try:
        names = parquet.read_schema(path).names
        _checked_header(path, [str(name) for name in names])
        with parquet.ParquetFile(path, read_dictionary=names) as file:  # a text that is repeated is there once
            for batch in file.iter_batches(ROWS):
                letters = sum(_letters(column) for column in batch.columns if isinstance(column, DictionaryArray))
                if letters >= LONGEST_LINE:
                    raise UsageError(
                        f"{path}, from row {number + 1}: {ROWS} rows have {LONGEST_LINE:,} letters or more"
                    )
                for row in batch.to_pylist():
                    number += 1
                    fields = {
                        name: "" if value is None or value != value else str(value) for name, value in row.items()
                    }
                    yield LongFileRow(path, number, fields)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  # what the library makes of damaged bytes is of many kinds
        raise UsageError(f"{path}: it is not a complete Parquet file: {' '.join(str(error).split())[:120]}") from None


def _letters(column: Any) -> int:
    """Of all rows, without making their texts."""
    lengths = [len(str(text)) for text in column.dictionary]
    return sum(lengths[i] for i in column.indices.to_pylist() if i is not None)


def _checked_header(path: Path, names: list[str]) -> list[str]:
    found = [name.strip() for name in names]
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise UsageError(
            f"{path}: there is no column {', '.join(missing)}; commas, semicolons or tabs must stand between columns, "
            "and `bench export --help` describes them"
        )
    twice = [name for name, count in Counter(found).items() if name and count > 1]
    if twice:
        raise UsageError(f"{path}: the column {_short(min(twice))} is there twice")
    return found


def _short(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."
