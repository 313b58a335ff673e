"""Is every number of a rendered table what was measured, and what is stored now?

Three witnesses are heard, in this order: what a reader sees, the facts beside it, and the database (for published
values the packaged tables). Captions, notes, bold and the marks † § ¶ ? ‡ are not checked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from fewshot_bench.tables.layout import SCHEMA
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.verify.columns import find_columns, header_of
from fewshot_bench.tables.verify.finding import Finding, edited, gone, unknown, unreadable
from fewshot_bench.tables.verify.listed import check_list, is_list
from fewshot_bench.tables.verify.origins import Origin, check_disjoint, check_origin
from fewshot_bench.tables.verify.papers import check_paper, printed
from fewshot_bench.tables.verify.rendered import Fact, RenderedRow, RenderedTable
from fewshot_bench.tables.verify.restated import against_database, name_of, place_of, written
from fewshot_bench.tables.verify.seen import NUMBER, check_chance, check_label, digits, way_of
from fewshot_bench.tables.wording import span

Place = tuple[str, int, int]  # variant, n_way, n_shot
Wanted = Callable[[str], Mapping[Place, int] | None]  # a table's command -> the episodes it shows now; None: unknown
COUNTS = ["n", "disjoint"]  # the last columns, not variants
NO_DATA = "the data of some rows are not at hand: the data set's name and their column disjoint are not checked"
OWN = ("cost", "claims", "images")  # classes of a report's tables that never carry facts


@dataclass(frozen=True)
class Verification:
    """What was found in a file."""

    n_cells: int  # measured cells with facts and a number
    n_empty: int  # cells with facts, but no number
    n_published: int  # rows of published tables with facts
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where every number is true, 3 where one is not, 5 where nothing measured is in the file."""
        return 3 if self.findings else 0 if self.n_cells else 5


@dataclass(frozen=True)
class Witnesses:
    """What a file is held against."""

    stored: Mapping[str, CellScore]  # every cell of the database by key, with the episodes of `keys_in`
    published: Mapping[str, PublishedTable]  # by id
    wanted: Wanted
    origins: Mapping[str, Origin] = field(default_factory=dict)  # by key, as far as they are stored


class UnknownSchema(ValueError):
    """The facts were written by a newer version."""


def verify(tables: Sequence[RenderedTable], witnesses: Witnesses) -> Verification:
    """Check every table of a file. Raises UnknownSchema for facts of a newer version."""
    findings: list[Finding] = []
    notes: list[str] = []
    cells = [fact for fact in _facts(tables) if fact.kind == "cell" and fact.values]
    for table in tables:
        if is_list(table, cells):
            findings += check_list(table, cells)
        elif not table.is_ours:
            notes += _unchecked(table)
        if not table.is_ours:
            continue
        schema = table.bench.values.get("schema", SCHEMA) if table.bench else SCHEMA
        if schema != SCHEMA:
            raise UnknownSchema(f"its facts are in schema {schema}; this version reads schema {SCHEMA}")
        check = _Check(table, witnesses)
        findings += check.findings()
        notes += check.notes
    n_cells = sum(fact.values["mean"] is not None for fact in cells)
    n_published = sum(fact.kind == "published" for fact in _facts(tables))
    empty = len(cells) - n_cells
    return Verification(n_cells, empty, n_published, tuple(findings), tuple(dict.fromkeys(notes)))


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
        """What is said of the whole, row by row, then what the table does not have."""
        yield from self._whole()
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
            elif row.fields and (found := way_of(row.fields[0].text)):
                way = found
                yield from check_chance(row.fields[0], way)
        yield from self._missing()

    def _whole(self) -> Iterator[Finding]:
        """The facts about the whole table."""
        bench, measured = self._table.bench, [fact for fact in self._facts if fact.kind != "published"]
        if bench and not bench.values:
            yield unreadable(bench.line, bench.kind)
        elif bench and not measured:
            yield gone(bench.line, "the table", "has facts about its command, but none about cells")
        elif bench:
            yield from check_origin(bench, self._origins(measured))
        elif measured:
            yield gone(self._table.line, "the table", "has no facts about its command and data")

    def _origins(self, facts: Sequence[Fact]) -> list[Origin]:
        keys = [key for fact in facts for key in fact.values.get("keys", ())]
        return [self._witnesses.origins[key] for key in keys if key in self._witnesses.origins]

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
        yield from check_label(row.fields[0], _setting(group[0])[1:], heading)
        places = set()
        for fact in group:
            contradicted = False
            for number in self._numbers(fact):
                place = self._columns.get(number.column, len(row.fields))
                places.add(place)
                if place >= len(row.fields):
                    yield gone(row.line, number.name, f"is not in its row; its facts say {number.text or 'no number'}")
                    contradicted = True
                elif digits(row.fields[place].text) != digits(number.text):
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
            numbers = [(number.name, number.text) for number in self._numbers(fact)]
            paper = self._witnesses.published.get(values["table"])
            yield from check_paper(paper, _setting(fact)[1:], _name(fact), row.line, numbers)
        elif fact.kind == "row":
            ns = [f.values["n"] for f in group if f.kind == "cell" and f.values["mean"] is not None] or [0]
            if digits(values["n"]) != digits(span(min(ns), max(ns))):
                yield edited(row.line, f"n of {_name(fact)}", values["n"], span(min(ns), max(ns)), "its cells have")
            origins = [origin for origin in self._origins(group) if origin.disjoint is not None]
            yield from check_disjoint(values, _name(fact), row.line, origins)
            self.notes += [] if origins else [NO_DATA]
        elif digits(own := written(values["mean"], values["half_width"])) != digits(values["shown"]):
            yield edited(row.line, _name(fact), values["shown"], own, "its mean and interval are")
        else:
            wanted = None if self._wanted is None else self._wanted.get(place_of(values))
            yield from against_database(values, row.line, self._witnesses.stored, wanted)

    def _missing(self) -> Iterator[Finding]:
        """Cells that its command shows and rows that its paper has, but the file has not."""
        held = {place_of(fact.values) for fact in self._facts if fact.kind == "cell"}
        for place in self._wanted or {} if held else {}:
            if place not in held:
                yield gone(self._table.line, name_of(*place), "is what its command shows, but is not in the file")
        rows = {_setting(fact) for fact in self._facts if fact.kind == "published"}
        for paper in {name: None for name, _, _ in rows}:
            for n_way, n_shot in (
                printed(self._witnesses.published[paper]) if paper in self._witnesses.published else ()
            ):
                if (paper, n_way, n_shot) not in rows:
                    yield gone(self._table.line, name_of(paper, n_way, n_shot), "is in that table, but not in the file")


def _unchecked(table: RenderedTable) -> list[str]:
    """Says so where somebody's numbers stand beside ours."""
    seen = any(NUMBER.search(field.text) for row in table.rows for field in row.fields)
    return (
        [f"line {table.line}: a table without facts is not checked"] if seen and not {*OWN} & {*table.classes} else []
    )


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
