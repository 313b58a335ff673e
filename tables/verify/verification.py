"""Is every number of a rendered table what was measured, and what is stored now?

Three witnesses are heard, in this order: what a reader sees, the facts beside it, and the database (for published
values the packaged tables). Captions, notes, bold and the marks of tests are not checked.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import NamedTuple

from fewshot_bench.tables.facts import SCHEMA
from fewshot_bench.tables.literature import PublishedTable
from fewshot_bench.tables.notes import percent, span
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.sheet import lay_out_published
from fewshot_bench.tables.verify.finding import Finding, edited, gone, unknown, unreadable
from fewshot_bench.tables.verify.rendered import (
    Fact,
    Field,
    RenderedRow,
    RenderedTable,
    find_columns,
    header_of,
)
from fewshot_bench.tables.verify.restated import against_database, name_of, place_of, written

Place = tuple[str, int, int]  # variant, n_way, n_shot
Wanted = Callable[[str], Mapping[Place, int] | None]  # a table's command -> the episodes it shows now; None: unknown
COUNTS = ["n", "disjoint"]  # the last columns, not variants
NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?|\*")  # * marks a number over fewer episodes than asked for
WAY, SHOT, CHANCE = re.compile(r"(\d+)-way\b"), re.compile(r"(\d+)[ -]shots?\b"), re.compile(r"chance (\S+)")


@dataclass(frozen=True)
class Verification:
    """What was found in a file."""

    n_cells: int  # measured cells with facts
    n_published: int  # rows of published tables with facts
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where every number is true, else 3."""
        return 3 if self.findings else 0


@dataclass(frozen=True)
class Witnesses:
    """What a file is held against."""

    stored: Mapping[str, CellScore]  # every cell of the database by key, with the episodes of `keys_in`
    published: Mapping[str, PublishedTable]  # by id
    wanted: Wanted


class UnknownSchema(ValueError):
    """The facts were written by a newer version."""


def verify(tables: Sequence[RenderedTable], witnesses: Witnesses) -> Verification:
    """Check every table of a file. Raises UnknownSchema for facts of a newer version."""
    findings: list[Finding] = []
    notes: list[str] = []
    for table in tables:
        schema = table.bench.values.get("schema", SCHEMA) if table.bench else SCHEMA
        if schema != SCHEMA:
            raise UnknownSchema(f"its facts are in schema {schema}; this version reads schema {SCHEMA}")
        check = _Check(table, witnesses)
        findings += check.findings()
        notes += check.notes
    counts = [sum(fact.kind == kind for fact in _facts(tables)) for kind in ("cell", "published")]
    return Verification(counts[0], counts[1], tuple(findings), tuple(dict.fromkeys(notes)))


def keys_in(tables: Sequence[RenderedTable]) -> set[str]:
    """The keys of all cells that the tables name."""
    return {key for fact in _facts(tables) if fact.kind == "cell" for key in fact.values.get("keys", ())}


class Number(NamedTuple):
    """A number that a reader should see."""

    name: str
    column: str
    text: str


class _Check:
    """One table against the witnesses."""

    def __init__(self, table: RenderedTable, witnesses: Witnesses) -> None:
        self._table, self._witnesses = table, witnesses
        self._facts = [fact for fact in _facts([table]) if fact.values]
        self._columns, reworded = find_columns(table, *self._names())
        self.notes = [f"line {table.line}: the column headed {title!r} was taken by its place" for title in reworded]
        command = table.bench.values.get("command", "") if table.bench else ""
        self._wanted = witnesses.wanted(command) if command else None
        if command and self._wanted is None:
            self.notes.append(f"what `{command}` shows is not known here: all stored episodes count")

    def findings(self) -> Iterator[Finding]:
        """Row by row, then what the table does not have."""
        way, headed = 0, bool(header_of(self._table))
        for row in self._table.rows:
            yield from (unreadable(fact.line, fact.kind) for fact in row.facts if not fact.values)
            groups = [list(group) for _, group in groupby((f for f in row.facts if f.values), key=_setting)]
            for group in groups if not row.fields else groups[:-1]:
                yield gone(group[0].line, _name(group[0]), f"has {len(group)} lines of facts, but no row")
            if groups and row.fields:
                yield from self._row(row, groups[-1], way)
            elif headed and len(row.fields) > 1:
                headed = False
            elif numbers := [field for field in row.fields[1:] if NUMBER.search(field.text)]:
                yield from (unknown(field.line, "a number", field.text, "has no facts") for field in numbers)
            elif row.fields and (found := WAY.search(row.fields[0].text)):
                way = int(found[1])
                yield from _chance(row.fields[0], way)
        yield from self._missing()

    def _names(self) -> tuple[list[str], list[str]]:
        """The columns that there should be; those to be looked for from the right stand apart."""
        shown = [number for fact in self._facts for number in self._numbers(fact)]
        names = list(dict.fromkeys(number.column for number in shown))
        counts = [name for name in COUNTS if any(fact.kind == "row" for fact in self._facts)]
        return [name for name in names if name not in counts], counts

    def _numbers(self, fact: Fact) -> list[Number]:
        """What a reader should see."""
        values = fact.values
        if fact.kind == "row":
            return [Number(f"{name} of {_name(fact)}", name, values[name]) for name in COUNTS]
        if fact.kind == "cell":
            star = "*" if values.get("state") == "partial" else ""
            return [Number(_name(fact), values["variant"], values["shown"] + star)]
        columns = [f"column {i}" for i in range(1, len(values["shown"]) + 1)]
        if paper := self._witnesses.published.get(values["table"]):
            columns[: len(paper.columns)] = [column.name for column in paper.columns]
        pairs = zip(columns, values["shown"], strict=False)
        return [Number(f"{_name(fact)} {column}", column, text) for column, text in pairs]

    def _row(self, row: RenderedRow, group: list[Fact], heading: int) -> Iterator[Finding]:
        yield from _label(row.fields[0], group[0], heading)
        places = set()
        for fact in group:
            contradicted = False
            for number in self._numbers(fact):
                place = self._columns.get(number.column, len(row.fields))
                places.add(place)
                if place >= len(row.fields):
                    yield gone(row.line, number.name, f"is not in its row; its facts say {number.text or 'no number'}")
                    contradicted = True
                elif _digits(row.fields[place].text) != _digits(number.text):
                    field = row.fields[place]
                    yield edited(field.line, number.name, field.text, number.text)
                    contradicted = True
            if not contradicted:
                yield from self._deeper(fact, row, group)
        for place, field in enumerate(row.fields[1:], start=1):
            if place not in places and NUMBER.search(field.text):
                yield unknown(field.line, f"a number of {_setting_name(group[0])}", field.text, "has no facts")

    def _deeper(self, fact: Fact, row: RenderedRow, group: list[Fact]) -> Iterator[Finding]:
        """What is seen is what its facts say: are they true?"""
        values = fact.values
        if fact.kind == "published":
            yield from self._against_paper(fact, row.line)
        elif fact.kind == "row":
            ns = [f.values["n"] for f in group if f.kind == "cell" and f.values["mean"] is not None] or [0]
            if _digits(values["n"]) != _digits(span(min(ns), max(ns))):
                yield edited(row.line, f"n of {_name(fact)}", values["n"], span(min(ns), max(ns)), "its cells have")
        elif _digits(own := written(values["mean"], values["half_width"])) != _digits(values["shown"]):
            yield edited(row.line, _name(fact), values["shown"], own, "its mean and interval are")
        else:
            wanted = None if self._wanted is None else self._wanted.get(place_of(values))
            yield from against_database(values, row.line, self._witnesses.stored, wanted)

    def _against_paper(self, fact: Fact, line: int) -> Iterator[Finding]:
        paper = self._witnesses.published.get(fact.values["table"])
        rows = _printed(paper) if paper else {}
        printed = rows.get((fact.values["n_way"], fact.values["n_shot"]))
        if printed is None:
            yield unknown(line, _name(fact), "its numbers", "no such table or row is packaged here")
            return
        for number, true in zip_longest(self._numbers(fact), printed):
            if number is None:
                yield gone(line, _name(fact), f"lacks {true}, which the paper's table has")
            elif true is None or _digits(number.text) != _digits(true):
                yield edited(line, number.name, number.text, true or "", "the paper's table has")

    def _missing(self) -> Iterator[Finding]:
        """Cells that its command shows and rows that its paper has, but the file has not."""
        held = {place_of(fact.values) for fact in self._facts if fact.kind == "cell"}
        for place in self._wanted or {} if held else {}:
            if place not in held:
                yield gone(self._table.line, name_of(*place), "is what its command shows, but is not in the file")
        rows = {_setting(fact) for fact in self._facts if fact.kind == "published"}
        for paper in {name: None for name, _, _ in rows}:
            for n_way, n_shot in (
                _printed(self._witnesses.published[paper]) if paper in self._witnesses.published else ()
            ):
                if (paper, n_way, n_shot) not in rows:
                    yield gone(self._table.line, name_of(paper, n_way, n_shot), "is in that table, but not in the file")


def _facts(tables: Sequence[RenderedTable]) -> list[Fact]:
    return [fact for table in tables for row in table.rows for fact in row.facts]


def _setting(fact: Fact) -> Place:
    """Facts with equal ones stand at one row."""
    return fact.values.get("table", ""), fact.values["n_way"], fact.values["n_shot"]


def _setting_name(fact: Fact) -> str:
    return "{n_way}-way {n_shot}-shot".format(**fact.values)


def _name(fact: Fact) -> str:
    whose = fact.values.get("variant") or fact.values.get("table") or ""
    return f"{whose} {_setting_name(fact)}".strip()


def _digits(text: str) -> tuple[list[str], int]:
    """The numbers in a text, and how often a * stands there."""
    found = NUMBER.findall(text)
    return [token for token in found if token != "*"], found.count("*")


def _label(label: Field, fact: Fact, heading: int) -> Iterator[Finding]:
    """Whether the row says of which setting it is."""
    found = {"way": WAY.search(label.text), "shot": SHOT.search(label.text)}
    seen = {"way": int(found["way"][1]) if found["way"] else heading, "shot": found["shot"] and int(found["shot"][1])}
    for name, n in seen.items():
        true = fact.values[f"n_{name}"]
        if n != true:
            what = f"{n}-{name}" if n else ""
            yield edited(label.line, f"the label of {_setting_name(fact)}", what, f"{true}-{name}")


def _chance(heading: Field, way: int) -> Iterator[Finding]:
    found = CHANCE.search(heading.text)
    if found and found[1] != percent(1 / way):
        yield edited(heading.line, f"chance of {way}-way", found[1], percent(1 / way), "it is")


def _printed(paper: PublishedTable) -> dict[tuple[int, int], list[str]]:
    """Setting -> its numbers as the paper's table shows them."""
    lines = [line for _, lines in lay_out_published(paper).groups for line in lines]
    return {
        (row.n_way, row.n_shot): [f"{e.value} ± {e.half_width}" if e.half_width else e.value for e in line.entries]
        for row, line in zip(paper.rows, lines, strict=True)
    }
