"""Table -> Sheet: the words and digits that the printed formats share. Here fractions become percent.

Beside its numbers a table carries facts, so that `bench verify` can read them again: each is one line of ASCII JSON,
a comment in LaTeX, an attribute in HTML.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fewshot_bench.tables.captions import (
    DATA_MARK,
    NEAR_MARK,
    REUSE_MARK,
    SEED_MARK,
    UNTESTED_MARK,
    Note,
    caption,
    general_notes,
)
from fewshot_bench.tables.papers import PublishedRow, PublishedTable, PublishedValue
from fewshot_bench.tables.scores import CellState, Experiment
from fewshot_bench.tables.summary import Cell, Row, Table
from fewshot_bench.tables.wording import accuracy, cell_name, percent, setting_name, shots, span

SCHEMA = 1  # of the facts; raise it when a reader of them must change
COPIED_MARK = "°"


@dataclass(frozen=True)
class Entry:
    """One cell as printed."""

    value: str  # percent; empty where there is no number
    half_width: str  # percentage points; empty where there is none
    state: CellState
    marks: str = ""  # what the notes explain, e.g. "†§"
    note: str = ""  # the letter of its footnote
    best: bool = False
    place: str = ""  # fit for an anchor, e.g. "maml-5-way-1-shot"
    facts: str = ""


@dataclass(frozen=True)
class Line:
    """One setting as printed."""

    label: str  # "5 shots"
    entries: tuple[Entry, ...]
    n_episodes: str
    disjoint_episodes: str
    reuse_mark: str
    facts: str


@dataclass(frozen=True)
class Group:
    """The settings of one way."""

    label: str  # "5-way"
    chance: str  # "chance 20.00 %"
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Sheet:
    """A measured table as printed."""

    label: str  # fit for an anchor: lower-case letters, digits and hyphens
    caption: str
    variants: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[Note, ...]
    facts: str
    is_first: bool  # whose numbers link to the list of cells


@dataclass(frozen=True)
class PublishedEntry:
    """A printed number of a paper."""

    value: str
    half_width: str
    copied_mark: str


@dataclass(frozen=True)
class PublishedLine:
    """One setting of a paper's table as printed."""

    label: str
    entries: tuple[PublishedEntry, ...]
    facts: str


@dataclass(frozen=True)
class PublishedSheet:
    """A paper's table as printed."""

    label: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[PublishedLine, ...]], ...]  # way, its lines
    notes: tuple[str, ...]


def lay_out(table: Table, *, is_first: bool = True) -> Sheet:
    """Everything that a printed table says."""
    letters = _letters(table.cells)
    groups = tuple(
        Group(f"{way}-way", f"chance {percent(1 / way)} %", tuple(_line(row, letters) for row in rows))
        for way, rows in groupby(table.rows, key=lambda row: row.n_way)
    )
    notes = [*general_notes(table), *(Note(letter, text) for text, letter in letters.items())]
    name, facts = anchor(table.experiment.dataset), _facts_of_table(table.experiment)
    label = name if is_first else f"{name}-beside"
    return Sheet(label, caption(table), table.variants, groups, tuple(notes), facts, is_first)


@dataclass(frozen=True)
class CellLine:
    """All that is known of one cell, as printed."""

    place: str  # the anchor that the table links to
    name: str
    mean: str
    n: int
    deviation: str
    sampler: str  # the half-widths of the three intervals, percentage points
    data: str
    seeds: str
    keys: tuple[tuple[int, str], ...]  # by seed


def lay_out_cells(table: Table) -> tuple[CellLine, ...]:
    """One line a cell, row by row."""
    return tuple(
        CellLine(
            place=place_of(cell),
            name=cell_name(cell.variant, cell.n_way, cell.n_shot),
            mean=percent(cell.mean),
            n=cell.n_episodes,
            deviation=percent(cell.deviation),
            sampler=percent(cell.half_width),
            data=percent(cell.data_half_width),
            seeds=percent(cell.seed_half_width),
            keys=tuple((seed.seed, seed.key) for seed in cell.seeds),
        )
        for cell in table.cells
    )


def lay_out_published(table: PublishedTable) -> PublishedSheet:
    """A paper's table, with all that must be known beside it."""
    groups = tuple(
        (f"{way}-way", tuple(_published_line(table.id, row) for row in rows))
        for way, rows in groupby(table.rows, key=lambda row: row.n_way)
    )
    return PublishedSheet(
        label=anchor(table.id),
        title=table.title,
        columns=tuple(column.name for column in table.columns),
        groups=groups,
        notes=tuple(_published_notes(table)),
    )


def anchor(text: str) -> str:
    """A name that is safe as an HTML id and a LaTeX label."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return kept.strip("-") or "table"


def _letters(cells: Sequence[Cell]) -> dict[str, str]:
    """One letter for each different thing to say about a cell."""
    texts = dict.fromkeys(f"{cell.state}: {cell.reason}" for cell in cells if cell.reason)
    return {text: _letter(number) for number, text in enumerate(texts)}


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    earlier, place = divmod(number, 26)
    return (_letter(earlier - 1) if earlier else "") + chr(ord("a") + place)


def _line(row: Row, letters: dict[str, str]) -> Line:
    low, high = row.n_episodes
    counts = (span(low, high), str(row.disjoint_episodes))
    return Line(
        shots(row.n_shot),
        tuple(_entry(cell, letters) for cell in row.cells),
        *counts,
        reuse_mark=REUSE_MARK if row.reuses_images else "",
        facts=_facts(n_way=row.n_way, n_shot=row.n_shot, n=counts[0], disjoint=counts[1]),
    )


def _entry(cell: Cell, letters: dict[str, str]) -> Entry:
    marked = (
        (cell.near_best, NEAR_MARK),
        (cell.untested, UNTESTED_MARK),
        (cell.data_is_wide, DATA_MARK),
        (cell.seeds_are_wide, SEED_MARK),
    )
    return Entry(
        value=percent(cell.mean),
        half_width=percent(cell.half_width),
        state=cell.state,
        marks="".join(mark for holds, mark in marked if holds),
        note=letters.get(f"{cell.state}: {cell.reason}", ""),
        best=cell.best,
        place=place_of(cell),
        facts=_facts_of_cell(cell),
    )


def place_of(cell: Cell) -> str:
    """A cell's name, fit for an anchor: "maml-5-way-1-shot"."""
    return anchor(cell_name(cell.variant, cell.n_way, cell.n_shot))


def _facts_of_table(experiment: Experiment) -> str:
    """What the whole table comes from."""
    return _facts(
        schema=SCHEMA,
        command=experiment.command,
        dataset=experiment.dataset,
        fingerprint=experiment.fingerprint,
        split=experiment.split,
        commit=experiment.facts.get("commit", ""),
    )


def _facts_of_cell(cell: Cell) -> str:
    """One number: where it is stored, what it was computed to, and how it is shown."""
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
        shown=accuracy(cell.mean, cell.half_width),
    )


def _facts(**facts: Any) -> str:
    return json.dumps(facts, ensure_ascii=True, allow_nan=False)


def _published_line(table_id: str, row: PublishedRow) -> PublishedLine:
    entries = tuple(map(_published_entry, row.values))
    shown = [accuracy(v.accuracy, v.half_width) + e.copied_mark for v, e in zip(row.values, entries, strict=True)]
    facts = _facts(table=table_id, n_way=row.n_way, n_shot=row.n_shot, shown=shown)
    return PublishedLine(shots(row.n_shot), entries, facts)


def _published_entry(value: PublishedValue) -> PublishedEntry:
    mark = COPIED_MARK if value.copied_from else ""
    return PublishedEntry(percent(value.accuracy), percent(value.half_width), mark)


def _published_notes(table: PublishedTable) -> list[str]:
    notes = [f"Source: {table.citation}. {table.location}.", f"{table.dataset}; {'; '.join(table.protocol)}."]
    notes += table.caveats
    for column in table.columns:
        told = "; ".join(part for part in (column.source, *column.protocol) if part)
        if told:
            notes.append(f"{column.name}: {told}.")
    sources: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for column, value in zip(table.columns, row.values, strict=True):
            if value.copied_from:
                place = setting_name(row.n_way, row.n_shot)
                sources.setdefault((column.name, value.copied_from), []).append(place)
    for (name, source), places in sources.items():
        notes.append(f"{COPIED_MARK} {name}, {' and '.join(places)}: the same digits as {source}.")
    return notes
