"""Images and labels in a Parquet file as Hugging Face's `datasets` writes them, a few rows at a time."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewshot_bench.data.image_arrays import Stored
from fewshot_bench.data.readers.archives import MAX_RATIO
from fewshot_bench.data.readers.faults import library
from fewshot_bench.data.readers.guarded import reading
from fewshot_bench.errors import DataError

MAX_ROWS = 10_000_000
MAX_GROUP_BYTES = 1 << 30  # of a row group, unpacked: a page of it can be as large, and needs as much memory twice
ROWS = 1  # of images read at once, as one small page can hold many large ones; 8 at once are no faster
LABEL_ROWS = 4096
MAX_NAME_BYTES = 1000  # of a label's text
BUFFER_BYTES = 1 << 20  # instead of a whole column of a row group
ALWAYS_ALLOWED_BYTES = 1 << 28  # whatever they are packed to


def parquet_labels(path: Path) -> Iterator[str]:
    """The class of each row. Raises DataError naming the row, UsageError without pyarrow."""
    pyarrow = library("pyarrow", path, "Parquet")
    with _opened(path, "label") as file:
        as_texts = _is_text(pyarrow, file.schema_arrow.field("label").type)
    with _opened(path, "label", as_texts) as file:
        names = _label_names(file)
        repeated = {name for name, count in Counter(names).items() if count > 1}
        row = 0
        for batch in file.iter_batches(LABEL_ROWS, columns=["label"], use_threads=False):
            labels = batch.column(0)
            if isinstance(labels, pyarrow.DictionaryArray):  # texts: a repeated one is there once
                if any(len(text.as_buffer() or b"") > MAX_NAME_BYTES for text in labels.dictionary if text.is_valid):
                    raise DataError(f"{path}, row {row}: a label is longer than {MAX_NAME_BYTES:,} bytes")
                texts = labels.dictionary.to_pylist()
                found = [None if at is None else texts[at] for at in labels.indices.to_pylist()]
            else:
                found = labels.to_pylist()
            for label in found:
                yield _label(label, names, repeated, f"{path}, row {row}")
                row += 1


def parquet_images(path: Path) -> Iterator[Stored]:
    """The image file in each row. Raises DataError naming the row, UsageError without pyarrow."""
    pyarrow = library("pyarrow", path, "Parquet")
    with _opened(path, "image") as file:
        row, plain = 0, not pyarrow.types.is_struct(file.schema_arrow.field("image").type)
        for batch in file.iter_batches(ROWS, columns=["image" if plain else "image.bytes"], use_threads=False):
            for image in batch.column(0) if plain else batch.column(0).field("bytes"):
                where = f"{path}, row {row}"
                if not image.is_valid:
                    raise DataError(
                        f"{where} has no image bytes, only a path: save the data set with its images embedded"
                    )
                yield Stored(where, image.as_py())
                row += 1


@contextmanager
def _opened(path: Path, column: str, each_once: bool = False) -> Iterator[Any]:
    """The file when a column can be read from it, each different value of it once if so wanted."""
    parquet = library("pyarrow.parquet", path, "Parquet")
    with (
        reading(path, "Parquet"),
        parquet.ParquetFile(
            path, buffer_size=BUFFER_BYTES, pre_buffer=False, read_dictionary=[column] if each_once else []
        ) as file,
    ):
        _check(file, column, path)
        yield file


def _check(file: Any, column: str, path: Path) -> None:
    """The column's type, and sizes that an honest file has."""
    pyarrow = library("pyarrow", path, "Parquet")
    schema, rows = file.schema_arrow, file.metadata.num_rows
    if column not in schema.names:
        columns = ", ".join(repr(name[:30]) for name in schema.names[:5]) or "nothing"
        raise DataError(f"{path} has no column {column!r}, only {columns}")
    kind = schema.field(column).type
    if column == "image":
        fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        stored = fields.get("bytes") if pyarrow.types.is_struct(kind) else kind
        right, wanted = pyarrow.types.is_binary(stored) or pyarrow.types.is_large_binary(stored), "image files"
    else:
        texts = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        right, wanted = pyarrow.types.is_integer(kind) or _is_text(pyarrow, texts), "integers or texts"
    if not right:
        raise DataError(f"{path}: the column {column!r} has the type {str(kind)[:60]}, not that of {wanted}")
    if rows > MAX_ROWS:
        raise DataError(f"{path} declares {rows:,} rows, more than {MAX_ROWS:,}")
    # of whole row groups, not of the column: pyarrow (26) ends the process where a column's statistics are damaged
    sizes = [file.metadata.row_group(group).total_byte_size for group in range(file.metadata.num_row_groups)]
    if max(sizes, default=0) > MAX_GROUP_BYTES:
        raise DataError(
            f"{path} has a row group of {max(sizes):,} bytes, more than {MAX_GROUP_BYTES:,}: write it in smaller ones"
        )
    if sum(sizes) > max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * path.stat().st_size):
        raise DataError(f"{path} unpacks to more than {MAX_RATIO} times its size")


def _is_text(pyarrow: Any, kind: Any) -> bool:
    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _label_names(file: Any) -> list[str] | None:
    """The names of the labels 0, 1, ..., which `datasets` keeps in the schema's metadata; None where there are none."""
    metadata = file.schema_arrow.metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _label(label: Any, names: list[str] | None, repeated: set[str], where: str) -> str:
    """The name of the class of one row; repeated: names that two numbers have."""
    if isinstance(label, str):
        return label
    if label is None:
        raise DataError(f"{where} has no label")
    if names is None:
        return str(label)
    if not 0 <= label < len(names):
        raise DataError(f"{where} has the label {label}, but there are {len(names):,} names")
    name: str = names[label]
    if name in repeated:
        raise DataError(
            f"{where} has the label {label}, whose name {name[:50]!r} another label has too: give each a name of its "
            "own by `cast_column` of `datasets`, and write the files again"
        )
    return name
