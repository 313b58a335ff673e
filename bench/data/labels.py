"""Which class an image is of and which part a class is in: what lists say, read and checked."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.format import Labels
from fewshot_bench.data.readers.faults import impostor, reason
from fewshot_bench.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

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
IGNORED = frozenset({"__MACOSX", "@eaDir", "lost+found"})
MAX_LIST_BYTES = 64 << 20  # of all lists together; those of miniImageNet have 4 MB
MAX_ROWS = 1_000_000  # of a list; the largest set in use has 779,165 images
MAX_VALUES = 4_000_000  # of a list in JSON
MAX_NAME_LENGTH = 200  # of a class
MAX_PATH_LENGTH = 1000
ALIKE = (
    "differ only in capitals, blanks, Unicode form or how a number is written: give them one name, or two that differ"
)
# printable and without a shape: joiners, fillers, variation selectors; U+2800 is a blank that counts as a symbol
_NUMBER = re.compile(r"0*(\d+?)(?:\.0*)?", re.ASCII)
_UNSEEN = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
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
    left_out: see `Labels`
    """

    rows: tuple[Row, ...]
    classes: dict[str, tuple[str, ...]]
    folder: str = ""
    remark: str = ""
    left_out: str = ""

    def labels(self, name: str) -> Labels:
        """What the images are, for the cache."""
        index = {label: i for i, label in enumerate(label for part in PARTS for label in self.classes[part])}
        class_ids = np.array([index[row.label] for row in self.rows], np.int64)
        return labels_of(self.classes, class_ids, name, self.remark, self.left_out)


def labels_of(
    classes: Mapping[str, Sequence[str]],
    class_ids: NDArray[np.int64],
    read_from: str,
    remark: str = "",
    left_out: str = "",
) -> Labels:
    """What images are whose classes are numbered part by part, with the note that says where they come from.

    classes: part -> its classes; class_ids: (n,), ascending; remark: a sentence more, or nothing
    left_out: see `Labels`
    Raises DataError for two classes whose names differ only in what a person overlooks.
    """
    if alike := twins(name for part in PARTS for name in classes[part]):
        raise DataError(f"{read_from}: the classes {alike[0]!r} and {alike[1]!r} {ALIKE}")
    counts = [len(classes[part]) for part in PARTS]
    bounds = np.cumsum([0, *counts]).tolist()
    counted = "/".join(map(str, counts))
    note = f"{len(class_ids):,} images in {sum(counts):,} classes ({counted}), read from {read_from}."
    return Labels(
        note=" ".join(said for said in (note, remark, left_out) if said),
        class_ids=class_ids,
        class_names=tuple(name for part in PARTS for name in classes[part]),
        parts={part: tuple(range(*bounds[i : i + 2])) for i, part in enumerate(PARTS)},
        left_out=left_out,
    )


def decode_text(data: bytes, where: str) -> str:
    """The text of a list. Raises DataError when it is none; where: its name in messages."""
    if problem := impostor(data):
        raise DataError(f"{where} {problem}")
    encoding = _encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        row = len((data[: error.start] + b".").splitlines())
        raise DataError(
            f"{where}, row {row} is not {encoding.upper()} text: save it as UTF-8; if it is Latin-1, as older programs "
            "write it, by `iconv -f LATIN1 -t UTF-8`"
        ) from None


def _encoding(data: bytes) -> str:
    """What spreadsheets write: UTF-8 or UTF-16, with a byte-order mark or without; or UTF-32 with one."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return {1: "utf-16-le", 0: "utf-16-be"}.get(data[:2].find(0), "utf-8")


def read_json(data: bytes, where: str, keys: Sequence[str] = ()) -> Any:
    """What a list in JSON holds; of an object its lists under some keys, unchecked inside. Raises DataError."""
    text = decode_text(data, where)
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:  # each takes 64 bytes
        raise DataError(f"{where} has more than {MAX_VALUES:,} values")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({reason(error)})") from None
    lists = [found.get(key) if isinstance(found, dict) else None for key in keys]
    for key, value in zip(keys, lists, strict=True):
        if not isinstance(value, list):
            raise DataError(f"{where} holds no list {key!r}: expected an object with {', '.join(keys)}")
    return lists if keys else found


def check_text(value: object, where: str) -> str:
    """A value of JSON that is a name or a path. Raises DataError for another."""
    if not isinstance(value, str) or not value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise DataError(f"{where}: {str(value)[:80]!a} is not a name in valid Unicode")
    check_length(value, where)
    return value


def read_table(data: bytes, where: str, header: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield (the values under `header`, where they stand) of each row of a CSV file.

    data: the file's bytes; where: its name in messages; header: the first columns; more may follow
    Columns stand between commas, semicolons or tabs; blanks around a value, and rows of nothing, do not count.
    Raises DataError naming the row; the header is row 1.
    """
    reader = _csv_rows(decode_text(data, where))
    try:
        found = next(reader, [])
        if _columns(found, header) != header:
            raise DataError(f"{where}: the header must be {','.join(header)!r}, not {','.join(found)[:80]!r}")
        if repeated := {name for name in header if _columns(found, found).count(name) > 1}:
            raise DataError(f"{where}: the header has {min(repeated)!r} more than once")
        for columns in reader:
            here = f"{where}, row {reader.line_num}"
            if reader.line_num > MAX_ROWS:
                raise DataError(f"{where} has more than {MAX_ROWS:,} rows")
            if not any(columns):
                continue
            if len(columns) != len(found):
                raise DataError(f"{here}: expected {len(found)} columns as in the header, found {len(columns)}")
            values = [value.strip() for value in columns[: len(header)]]
            if "" in values:
                raise DataError(f"{here}: an empty {header[values.index('')]}")
            yield values, here
    except csv.Error as error:
        raise DataError(f"{where}, row {reader.line_num}: {error}") from None


def has_header(data: bytes, header: list[str]) -> bool:
    """Whether a CSV file begins with these columns; False for what cannot be read."""
    start = data[:1000].decode(_encoding(data), errors="ignore").removeprefix("\ufeff")
    try:
        return _columns(next(_csv_rows(start), []), header) == header
    except csv.Error:
        return False


def _csv_rows(text: str) -> "Reader":
    """The rows of a CSV file; what its columns stand between shows in its first row."""
    first = io.StringIO(text, newline="").readline()
    delimiter = max(",;\t", key=first.count)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)


def _columns(found: list[str], header: list[str]) -> list[str]:
    return [name.strip().lower() for name in found[: len(header)]]


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are one but for capitals, blanks, Unicode form, what cannot be seen, or zeros of a number."""
    seen: dict[str, str] = {}
    for name in names:
        shape = _UNSEEN.sub("", normalize("NFKC", name).casefold()).replace("\u2800", " ")
        key = " ".join(shape.replace("\u0131", "i").split())  # a small I of Turkish
        if number := _NUMBER.fullmatch(key):  # spreadsheets take zeros away, and put .0 behind
            key = number[1]
        if seen.setdefault(key, name) != name:
            return seen[key], name
    return None


def told_left_out(what: str, why: str, names: Sequence[str]) -> str:
    """ "Folders left out, as they are no part: 2 ('dog', 'eval')." for `Labels.left_out`, or nothing."""
    return f"{what} left out, {why}: {len(names):,} ({quoted(names)})." if names else ""


def quoted(names: Iterable[str]) -> str:
    """Names for a message, at most five."""
    first, rest = sorted(names)[:5], len(set(names)) - 5
    return ", ".join(map(repr, first)) + (f" and {rest} more" if rest > 0 else "")


def hidden(name: str) -> bool:
    """Whether a file was not put there by whoever made the set."""
    return name.startswith(".") or name in IGNORED


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


def list_images(
    rows_of_part: dict[str, list[Row]], folder: str = "", remark: str = "", left_out: Iterable[str] = ()
) -> Listing:
    """Put images in their order: train, val, test; classes sorted within a part, files within a class.

    left_out: sentences of what is not read; empty ones do not count
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
    if alike := twins(class_rows):
        (_, first), (_, second) = (class_rows[name] for name in alike)
        raise DataError(f"{second.where}: the classes {second.label!r} and {first.label!r} ({first.where}) {ALIKE}")
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

    return Listing(
        tuple(sorted(file_rows.values(), key=place)), classes, folder, remark, " ".join(filter(None, left_out))
    )
