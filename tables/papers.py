"""The numbers of papers, as data: where each was printed, under which protocol, and what to beware of.

They are other people's measurements on other data, shown in a block of their own, never beside measured ones.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from fewshot_bench.tables.parsing import parse_toml
from fewshot_bench.tables.wording import cell_name

STATEMENT = (
    "Printed in papers, on other data and under other protocols: not measured here, and not comparable with "
    "the measured table."
)


@dataclass(frozen=True)
class PublishedColumn:
    """One column of a printed table."""

    name: str  # as printed
    variant: str  # this benchmark's name for the method
    source: str  # where it differs from the table's own
    protocol: tuple[str, ...]


@dataclass(frozen=True)
class PublishedValue:
    """One printed number."""

    accuracy: float  # a fraction
    half_width: float | None  # a fraction, as printed after ±; what it covers differs from paper to paper
    copied_from: str  # not empty where the paper repeats another paper's number


@dataclass(frozen=True)
class PublishedRow:
    """One printed setting."""

    n_way: int
    n_shot: int
    values: tuple[PublishedValue, ...]  # one a column


@dataclass(frozen=True)
class PublishedTable:
    """One file of `published/`."""

    id: str
    title: str
    citation: str
    location: str  # page or table in the source
    dataset: str
    protocol: tuple[str, ...]
    caveats: tuple[str, ...]
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    def value(self, variant: str, n_way: int, n_shot: int) -> PublishedValue:
        """The first printed number for a variant in a setting; KeyError if there is none."""
        for row in self.rows:
            for column, value in zip(self.columns, row.values, strict=True):
                if (column.variant, row.n_way, row.n_shot) == (variant, n_way, n_shot):
                    return value
        raise KeyError(f"{self.id}: no value for {cell_name(variant, n_way, n_shot)}")


def load_published() -> tuple[PublishedTable, ...]:
    """Every table of `published/`, the paper this benchmark starts from first."""
    folder = resources.files("fewshot_bench.tables.published")
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    tables = [parse_published(file.read_text(encoding="utf-8")) for file in files]
    return tuple(sorted(tables, key=lambda table: (table.id != "eshratifar2019", table.id)))


@cache
def published_updates() -> dict[str, int]:
    """Method -> outer updates of its published training; the file beside this one has their sources."""
    text = resources.files("fewshot_bench.tables").joinpath("published_updates.toml").read_text(encoding="utf-8")
    return {method: entry["updates"] for method, entry in parse_toml(text).items()}


def parse_published(text: str) -> PublishedTable:
    """One table from its TOML; raises ValueError, KeyError or TypeError on a malformed one."""
    document = parse_toml(text)
    columns = tuple(
        PublishedColumn(column["name"], column["variant"], column.get("source", ""), tuple(column.get("protocol", ())))
        for column in document["columns"]
    )
    copied = _copied(document)
    rows = tuple(_row(row, columns, copied) for row in document["rows"])
    if copied:
        raise ValueError(f"{document['id']}: copied values that the table does not have: {sorted(copied)}")
    named: dict[str, Any] = {name: document[name] for name in ("id", "title", "citation", "location", "dataset")}
    told: dict[str, Any] = {name: tuple(document[name]) for name in ("protocol", "caveats")}
    return PublishedTable(**named, **told, columns=columns, rows=rows)


def _copied(document: dict[str, Any]) -> dict[tuple[str, int, int], str]:
    return {
        (entry["column"], n_way, n_shot): entry["source"]
        for entry in document.get("copied", ())
        for n_way, n_shot in entry["settings"]
    }


def _row(
    row: dict[str, Any], columns: tuple[PublishedColumn, ...], copied: dict[tuple[str, int, int], str]
) -> PublishedRow:
    """One row; takes what it uses out of `copied`, so that a leftover shows a wrong entry."""
    half_widths = row.get("half_width_percent", [None] * len(columns))
    values = tuple(
        PublishedValue(
            accuracy=percent / 100,
            half_width=None if half_width is None else half_width / 100,
            copied_from=copied.pop((column.name, row["n_way"], row["n_shot"]), ""),
        )
        for column, percent, half_width in zip(columns, row["accuracy_percent"], half_widths, strict=True)
    )
    return PublishedRow(row["n_way"], row["n_shot"], values)
