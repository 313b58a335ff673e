"""Reads and checks the CSV files that say which class an image is of, and which part a class is in."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from fewshot_bench.data.decoding import impostor
from fewshot_bench.data.source import Labels
from fewshot_bench.errors import DataError

PARTS = ("train", "val", "test")
HEADER = ["filename", "label"]
FEWEST_IMAGES = 2  # one to learn from, one to be asked about; what a setting needs is checked elsewhere


class Row(NamedTuple):
    """One image: its file relative to `images/`, its class, and the CSV file and row for messages."""

    file: str
    label: str
    where: str


@dataclass(frozen=True)
class Listing:
    """All images in the order in which they are stored; classes: part -> the labels in it, sorted."""

    rows: tuple[Row, ...]
    classes: dict[str, tuple[str, ...]]

    def labels(self, name: str) -> Labels:
        """What the images are, for the cache."""
        class_names = tuple(label for part in PARTS for label in self.classes[part])
        index = {label: i for i, label in enumerate(class_names)}
        counts = "/".join(str(len(self.classes[part])) for part in PARTS)
        return Labels(
            note=f"{len(self.rows):,} images in {len(class_names)} classes ({counts}), read from {name}.",
            class_ids=np.array([index[row.label] for row in self.rows], np.int64),
            class_names=class_names,
            parts={part: tuple(index[label] for label in self.classes[part]) for part in PARTS},
        )


def read_rows(data: bytes, where: str) -> list[Row]:
    """The images that one CSV file names, in its order.

    data: the file's bytes; where: its name in messages
    Raises DataError naming the row; the header is row 1.
    """
    if problem := impostor(data):
        raise DataError(f"{where} {problem}")
    try:
        text = data.decode("utf-8-sig")  # spreadsheets put a byte-order mark in front
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start})") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        header = next(reader, [])
        if header[:2] != HEADER:
            raise DataError(f"{where}: the header must be 'filename,label', not {','.join(header)[:80]!r}")
        for columns in reader:
            if columns:
                rows.append(_row(columns, len(header), f"{where}, row {reader.line_num}"))
    except csv.Error as error:
        raise DataError(f"{where}, row {reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"{where} names no images")
    return rows


def list_images(rows_of_part: dict[str, list[Row]]) -> Listing:
    """Put images in their order: train, val, test; classes sorted within a part, files within a class.

    Raises DataError for a file that is listed twice, a class in two parts, or a class with too few images.
    """
    file_rows: dict[str, Row] = {}
    class_rows: dict[str, tuple[str, Row]] = {}  # label -> its part and first row
    for part in PARTS:
        for row in rows_of_part[part]:
            earlier = file_rows.setdefault(row.file, row)
            if earlier is not row:
                raise DataError(f"{row.where}: {row.file!r} is listed before ({earlier.where})")
            home, first = class_rows.setdefault(row.label, (part, row))
            if home != part:
                raise DataError(f"{row.where}: class {row.label!r} is in {home} already ({first.where})")
    counts = Counter(row.label for row in file_rows.values())
    smallest = min(counts, key=lambda label: (counts[label], label))
    if counts[smallest] < FEWEST_IMAGES:
        raise DataError(
            f"{class_rows[smallest][1].where}: class {smallest!r} has only {counts[smallest]} image, "
            f"and a class needs {FEWEST_IMAGES} at the very least"
        )
    order = sorted(file_rows.values(), key=lambda r: (PARTS.index(class_rows[r.label][0]), r.label, r.file))
    classes = {part: tuple(sorted({row.label for row in rows_of_part[part]})) for part in PARTS}
    return Listing(tuple(order), classes)


def _row(columns: list[str], expected: int, where: str) -> Row:
    """Check one line of a CSV file: its columns, and that its file stays inside `images/`."""
    if len(columns) != expected:
        raise DataError(f"{where}: expected {expected} columns as in the header, found {len(columns)}")
    file, label = columns[:2]
    path = PurePosixPath(file)
    if not file or not label:
        raise DataError(f"{where}: an empty {'label' if file else 'filename'}")
    if path.is_absolute() or ".." in path.parts or "\\" in file or "\0" in file:
        raise DataError(f"{where}: {file!r} does not stay inside images/")
    return Row(str(path), label, where)
