"""What the printed formats show beside the numbers of a table: marks, footnotes, anchors, and facts.

`bench verify` reads facts again: each is one line of ASCII JSON, a comment in LaTeX, an attribute in HTML.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import Any, TypeVar

from fewshot_bench.tables.captions import DATA_MARK, NEAR_MARK, SEED_MARK, UNCLEAR_MARK, Note, general_notes
from fewshot_bench.tables.papers import PublishedRow, PublishedTable, PublishedValue
from fewshot_bench.tables.scores import Experiment
from fewshot_bench.tables.summary import Cell, Row, Table
from fewshot_bench.tables.wording import accuracy, cell_name, setting_name, span

SCHEMA = 1  # of the facts; raise it when a reader of them must change
COPIED_MARK = "°"


R = TypeVar("R", Row, PublishedRow)


def by_way(rows: Iterable[R]) -> list[tuple[int, list[R]]]:
    """Each way with its rows, which stand together."""
    return [(way, list(some)) for way, some in groupby(rows, key=lambda row: row.n_way)]


def anchor(text: str) -> str:
    """A name that is safe as an HTML id and a LaTeX label."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return kept.strip("-") or "table"


def label_of(table: Table, is_first: bool) -> str:
    """A table's name, fit for an anchor; the one beside the first has another."""
    return anchor(table.experiment.dataset) + ("" if is_first else "-beside")


def place_of(cell: Cell) -> str:
    """A cell's name, fit for an anchor: "maml-5-way-1-shot"."""
    return anchor(cell_name(cell.variant, cell.n_way, cell.n_shot))


def marks(cell: Cell, *, interval: bool = True) -> str:
    """What the notes explain of a cell, e.g. "†§"; interval: whether it is shown, and so what is wider."""
    marked = (
        (cell.near_best, NEAR_MARK),
        (cell.unclear, UNCLEAR_MARK),
        (cell.data_is_wide and interval, DATA_MARK),
        (cell.seeds_are_wide and interval, SEED_MARK),
    )
    return "".join(mark for holds, mark in marked if holds)


def copied(value: PublishedValue) -> str:
    """The mark of a number that another paper printed before."""
    return COPIED_MARK if value.copied_from else ""


def letters(table: Table) -> dict[str, str]:
    """One letter for each different thing to say about a cell, by what is said."""
    texts = dict.fromkeys(why(cell) for cell in table.cells if cell.reason)
    return {text: _letter(number) for number, text in enumerate(texts)}


def why(cell: Cell) -> str:
    """What a footnote says of a cell that has a reason."""
    return f"{cell.state}: {cell.reason}"


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    earlier, place = divmod(number, 26)
    return (_letter(earlier - 1) if earlier else "") + chr(ord("a") + place)


def notes(table: Table, *, interval: bool = True) -> list[Note]:
    """All footnotes of a measured table; interval: whether it is shown."""
    return [*general_notes(table, interval=interval), *(Note(letter, text) for text, letter in letters(table).items())]


def facts_of_table(experiment: Experiment, style: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What the whole table comes from, and how it is set where that is not as usual."""
    named = {name: getattr(experiment, name) for name in ("command", "dataset", "fingerprint", "split")}
    set_so = {"style": dict(style)} if style else {}
    return _facts(schema=SCHEMA, **named, commit=experiment.facts.get("commit", ""), **set_so)


def facts_of_row(row: Row) -> str:
    """One setting, with its counts as they are shown."""
    shown = {"n": span(*row.n_episodes), "disjoint": str(row.disjoint_episodes)}
    return _facts(n_way=row.n_way, n_shot=row.n_shot, **shown, compared=row.n_compared)


def facts_of_cell(cell: Cell) -> str:
    """One number: where it is stored, what it was computed to, and how it is shown."""
    around = {"interval": cell.interval} if cell.interval else {}
    return _facts(
        variant=cell.variant,
        n_way=cell.n_way,
        n_shot=cell.n_shot,
        keys=list(cell.keys),
        state=cell.state,
        n=cell.n_episodes,
        mean=cell.mean,
        sd=cell.deviation,
        half_width=cell.half_width,
        **around,
        shown=accuracy(cell.mean, cell.half_width, cell.interval),
    )


def facts_of_published(table: PublishedTable, row: PublishedRow) -> str:
    """One printed setting."""
    shown = [accuracy(value.accuracy, value.half_width) + copied(value) for value in row.values]
    return _facts(table=table.id, n_way=row.n_way, n_shot=row.n_shot, shown=shown)


def _facts(**facts: Any) -> str:
    return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def published_notes(table: PublishedTable) -> list[str]:
    """All that must be known beside a paper's table."""
    told = [f"Source: {table.citation}. {table.location}.", f"{table.dataset}; {'; '.join(table.protocol)}."]
    told += table.caveats
    for column in table.columns:
        if parts := [part for part in (column.source, *column.protocol) if part]:
            told.append(f"{column.name}: {'; '.join(parts)}.")
    sources: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for column, value in zip(table.columns, row.values, strict=True):
            if value.copied_from:
                place = setting_name(row.n_way, row.n_shot)
                sources.setdefault((column.name, value.copied_from), []).append(place)
    for (name, source), places in sources.items():
        told.append(f"{COPIED_MARK} {name}, {' and '.join(places)}: the same digits as {source}.")
    return told
