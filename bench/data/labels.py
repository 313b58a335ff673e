"""Which class an image is of and which part a class is in: what lists say, read and checked."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.format import Labels
from fewshot_bench.data.readers.faults import impostor
from fewshot_bench.errors import DataError

PARTS = ("train", "val", "test")
PART_OF = {  # the names that parts have in the wild
    "train": "train",
    "base": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "novel": "test",
}
LISTS = frozenset(f"{name}{suffix}" for name in (*PART_OF, "split") for suffix in (".csv", ".json", ".txt"))
MAX_LIST_BYTES = 64 << 20  # of all lists together; those of miniImageNet have 4 MB
MAX_ROWS = 1_000_000  # of a list; the largest set in use has 779,165 images
MAX_NAME_LENGTH = 200  # of a class
MAX_PATH_LENGTH = 1000
FEWEST_IMAGES = 2  # one to learn from, one to be asked about; what a setting needs is checked elsewhere


class Row(NamedTuple):
    """One image: its file (relative to `Listing.folder`), its class, and for messages where it is said."""

    file: str
    label: str
    where: str


@dataclass(frozen=True)
class Listing:
    """All images in the order in which they are stored.

    classes: part -> the labels in it, sorted
    folder: the folder of the data set that the rows' files are relative to, "" for its top
    remark: a sentence about the split, if there is something to say
    """

    rows: tuple[Row, ...]
    classes: dict[str, tuple[str, ...]]
    folder: str = ""
    remark: str = ""

    def labels(self, name: str) -> Labels:
        """What the images are, for the cache."""
        index = {label: i for i, label in enumerate(label for part in PARTS for label in self.classes[part])}
        class_ids = np.array([index[row.label] for row in self.rows], np.int64)
        return labels_of(self.classes, class_ids, name, self.remark)


def labels_of(
    classes: Mapping[str, Sequence[str]], class_ids: NDArray[np.int64], read_from: str, remark: str = ""
) -> Labels:
    """What images are whose classes are numbered part by part, with the note that says where they come from.

    classes: part -> its classes; class_ids: (n,), ascending; remark: a sentence more, or nothing
    """
    counts = [len(classes[part]) for part in PARTS]
    bounds = np.cumsum([0, *counts]).tolist()
    counted = "/".join(map(str, counts))
    note = f"{len(class_ids):,} images in {sum(counts):,} classes ({counted}), read from {read_from}."
    return Labels(
        note=f"{note} {remark}".rstrip(),
        class_ids=class_ids,
        class_names=tuple(name for part in PARTS for name in classes[part]),
        parts={part: tuple(range(*bounds[i : i + 2])) for i, part in enumerate(PARTS)},
    )


def decode_text(data: bytes, where: str) -> str:
    """The text of a list. Raises DataError when it is none; where: its name in messages."""
    if problem := impostor(data):
        raise DataError(f"{where} {problem}")
    try:
        return data.decode("utf-8-sig")  # spreadsheets put a byte-order mark in front
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start})") from None


def read_table(data: bytes, where: str, header: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield (the values under `header`, where they stand) of each row of a CSV file.

    data: the file's bytes; where: its name in messages; header: the first columns; more may follow
    Raises DataError naming the row; the header is row 1.
    """
    reader = csv.reader(io.StringIO(decode_text(data, where), newline=""), strict=True)
    try:
        found = next(reader, [])
        if found[: len(header)] != header:
            raise DataError(f"{where}: the header must be {','.join(header)!r}, not {','.join(found)[:80]!r}")
        for columns in reader:
            here = f"{where}, row {reader.line_num}"
            if reader.line_num > MAX_ROWS:
                raise DataError(f"{where} has more than {MAX_ROWS:,} rows")
            if not columns:
                continue
            if len(columns) != len(found):
                raise DataError(f"{here}: expected {len(found)} columns as in the header, found {len(columns)}")
            if "" in columns[: len(header)]:
                raise DataError(f"{here}: an empty {header[columns.index('')]}")
            yield columns[: len(header)], here
    except csv.Error as error:
        raise DataError(f"{where}, row {reader.line_num}: {error}") from None


def is_class_name(name: str) -> bool:
    """Whether a class can be called so: something, not too long, that does nothing to a terminal."""
    return 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()


def check_length(path: str, where: str) -> None:
    """Raise DataError for a path that no message should repeat."""
    if len(path) > MAX_PATH_LENGTH:
        raise DataError(f"{where}: {path[:50]!r}... is too long for a path: {len(path):,} characters")


def inner_path(file: str, where: str, folder: str) -> str:
    """A relative path in its shortest form. Raises DataError when it may lead out of `folder`."""
    pieces = file.split("/")  # a PurePosixPath for each of 50,000 rows takes a quarter of a second
    check_length(file, where)
    if file.startswith("/") or ".." in pieces or "\\" in file or "\0" in file:
        raise DataError(f"{where}: {file!r} does not stay inside {folder}")
    return "/".join(piece for piece in pieces if piece not in ("", ".")) or "."


def list_images(rows_of_part: dict[str, list[Row]], folder: str = "", remark: str = "") -> Listing:
    """Put images in their order: train, val, test; classes sorted within a part, files within a class.

    Raises DataError for a file that is listed twice, a class in two parts, a class with too few images, or one with a
    name that no table could print.
    """
    file_rows: dict[str, Row] = {}
    class_rows: dict[str, tuple[str, Row]] = {}  # label -> its part and first row
    for part in PARTS:
        for row in rows_of_part[part]:
            home, first = class_rows.setdefault(row.label, (part, row))
            if first is row and not is_class_name(row.label):
                raise DataError(f"{row.where}: {row.label[:50]!r} cannot be the name of a class")
            if home != part:
                raise DataError(f"{row.where}: class {row.label!r} is in {home} already ({first.where})")
            earlier = file_rows.setdefault(row.file, row)
            if earlier is not row:
                raise DataError(f"{row.where}: {row.file!r} is listed before ({earlier.where})")
    counts = Counter(row.label for row in file_rows.values())
    smallest = min(counts, key=lambda label: (counts[label], label))
    if counts[smallest] < FEWEST_IMAGES:
        raise DataError(
            f"{class_rows[smallest][1].where}: class {smallest!r} has only {counts[smallest]} image, "
            f"and a class needs {FEWEST_IMAGES} at the very least"
        )

    classes = {part: tuple(sorted({row.label for row in rows_of_part[part]})) for part in PARTS}
    rank = {label: i for i, label in enumerate(label for part in PARTS for label in classes[part])}

    def place(row: Row) -> tuple[int, str, str]:
        # macOS takes accents off their letters in file names: both spellings must give one order
        return rank[row.label], normalize("NFC", row.file), row.file

    return Listing(tuple(sorted(file_rows.values(), key=place)), classes, folder, remark)
