"""One table of a rendered file, and the words around it, against the witnesses."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from fewshot_bench.tables.pairs import spreads_of
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.scores import CellScore, Results
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.style import COUNTS, style_of
from fewshot_bench.tables.summary import Table, summarise
from fewshot_bench.tables.verify.again import (
    READERS,
    SUFFIX,
    Family,
    listed_names,
    rendered_again,
    set_again,
    shows_the_same,
    table_of,
)
from fewshot_bench.tables.verify.comparison import (
    added_passages,
    compare_field,
    compare_passages,
    compare_rows,
    find_columns,
    header_of,
)
from fewshot_bench.tables.verify.finding import Finding, edited, gone, misquoted, unknown, unreadable
from fewshot_bench.tables.verify.rendered import Document, Fact, RenderedRow, RenderedTable
from fewshot_bench.tables.verify.restated import against_database, place_of
from fewshot_bench.tables.verify.seen import NUMBER, Field, check_chance, check_label, digits, way_of
from fewshot_bench.tables.wording import cell_name, setting_name

LISTED = ("accuracy", "n", "sd", "sampler")  # columns of the list of cells that facts are enough for
NAMED = ("dataset", "fingerprint", "split")  # in the facts of a table
NO_DATA = "the data of some rows are not at hand: the data set's name and their column disjoint are not checked"
SINCE = "how seeds vary is taken from the file, not from what is stored: more may have been measured since"
PARTLY = "bold, marks, captions, notes and words are not checked: what the command shows has changed since"

Place = tuple[str, int, int]  # variant, n_way, n_shot
Wanted = Callable[[str], Mapping[Place, int] | None]  # a table's command -> the episodes it shows now; None: unknown
Again = Callable[[str, Mapping[Place, int]], Results | None]  # what it shows, given the episodes of complete cells
Page = Callable[[Results], str]  # the whole report, its pictures left out


@dataclass(frozen=True)
class Origin:
    """The data behind a stored cell."""

    fingerprint: str
    split: str
    dataset: str = ""  # its name; empty where the data are not at hand
    disjoint: int | None = None  # episodes of the cell's setting without a shared image; None likewise


@dataclass(frozen=True)
class Witnesses:
    """What a file is held against."""

    stored: Mapping[str, CellScore]  # every cell of the database by key, with the episodes of `keys_in`
    published: Mapping[str, PublishedTable]  # by id
    wanted: Wanted
    origins: Mapping[str, Origin] = field(default_factory=dict)  # by key, as far as they are stored
    again: Again | None = None
    page: Page | None = None


class TableCheck:
    """One table, and the words around it, against the witnesses."""

    def __init__(self, table: RenderedTable, document: Document, witnesses: Witnesses, *, is_first: bool) -> None:
        """is_first: whether the words around are its own, not those of the table that it stands beside."""
        self._table, self._document, self._witnesses = table, document, witnesses
        self._is_first = is_first
        self._facts = [fact for row in table.rows for fact in row.facts if fact.values]
        self._cells = [fact for fact in self._facts if fact.kind == "cell"]
        self.notes: list[str] = []
        self._command = str(table.bench.values.get("command", "")) if table.bench else ""
        style = style_of(table.bench.values.get("style") if table.bench else None)
        held = {*COUNTS, *(fact.values["variant"] for fact in self._cells)}
        self._style = replace(style, columns=tuple(name for name in style.columns if name in held))
        self._wanted = witnesses.wanted(self._command) if self._command else None
        if self._command and self._wanted is None:
            self.notes.append(f"what `{self._command}` shows is not known here: all stored episodes count")
        again = self._read_again()
        self._results = again[0] if again else None
        self._stored = again[1] if again else None  # the table of these
        self._again = self._laid_out_again()
        self._rows = {_setting(row.facts[0]): row for t in self._again.tables for row in t.rows if row.facts}
        names = list(dict.fromkeys(name for row in self._rows.values() for name in self._fields(row)))
        counts = [name for name in COUNTS if self._cells and self._style.shows(name)]
        self._columns, reworded = find_columns(table, [name for name in names if name not in counts], counts)
        self.notes += [f"line {table.line}: the column headed {title!r} was taken by its place" for title in reworded]

    def _read_again(self) -> tuple[Results, Table] | None:
        """What the table's command shows, over as many episodes as the table does; None where that is not known."""
        if not self._witnesses.again or self._wanted is None or not self._cells:
            return None
        shown = {place_of(f.values): f.values["n"] for f in self._cells if f.values.get("state") == "done"}
        results = self._in_its_family(self._witnesses.again(self._command, shown))
        if results and shows_the_same(table := summarise(results), self._cells, self._style):
            return results, table
        self.notes.append(PARTLY)
        return None

    def _in_its_family(self, results: Results | None) -> Results | None:
        """In the family that was compared when the table was made: variants, and more of them, may have come since."""
        if not results:
            return None
        spreads = spreads_of(results)
        now: dict[tuple[int, int], Family] = {s: (results.n_compared(*s), spreads[s]) for s in results.settings}
        then = {s: family for s, family in self._families().items() if s in now and family[0] <= now[s][0]}
        if any(n == now[s][0] and not _alike(spread, now[s][1]) for s, (n, spread) in then.items()):
            self.notes.append(SINCE)  # so that an edited one is not passed over
        now |= then
        return replace(
            results,
            n_measured={setting: n for setting, (n, _) in now.items()},
            spreads={setting: spread for setting, (_, spread) in now.items()},
        )

    def _families(self) -> dict[tuple[int, int], Family]:
        """As the facts of the rows have them."""
        rows = [fact for fact in self._facts if fact.kind == "row" and type(fact.values.get("compared")) is int]
        return {
            _setting(fact)[1:]: (max(0, fact.values["compared"]), _spread(fact.values.get("spread"))) for fact in rows
        }

    def _laid_out_again(self) -> Document:
        disjoint: dict[tuple[int, int], int] = {}
        for fact in (f for f in self._facts if f.kind != "published"):
            said = fact.values.get("disjoint", "")
            true = [o.disjoint for o in self._origins([fact]) if o.disjoint is not None]
            place = _setting(fact)[1:]
            disjoint[place] = (
                true[0] if true else disjoint.get(place, int(said) if said.isdecimal() and len(said) < 10 else 0)
            )
        families = self._families()
        if self._stored:
            families = {(row.n_way, row.n_shot): (row.n_compared, row.spread) for row in self._stored.rows}
        table = table_of(self._cells, disjoint, families, self._stored)
        return rendered_again(table, self._document.format, self._papers([self._table]), self._style)

    def _papers(self, tables: Sequence[RenderedTable]) -> list[PublishedTable]:
        """The published tables that some tables are copies of."""
        named = [f.values.get("table", "") for t in tables for r in t.rows for f in r.facts if f.kind == "published"]
        return [self._witnesses.published[name] for name in dict.fromkeys(named) if name in self._witnesses.published]

    def findings(self) -> Iterator[Finding]:
        """What is said of the whole, row by row, then what the table does not have, then the words around it."""
        yield from self._whole()
        yield from self._turned() if self._style.transpose else self._upright()
        yield from self._missing()
        if self._cells and self._is_first:
            yield from self._listed()
        if self._results and self._stored and self._is_first:
            yield from self._around(self._results, self._stored)

    def _turned(self) -> Iterator[Finding]:
        """A table with a row a variant: each field against the same table laid out again, then the facts."""
        yield from (
            unreadable(fact.line, fact.kind) for row in self._table.rows for fact in row.facts if not fact.values
        )
        true, seen = ([row for row in t.rows if row.fields] for t in (self._again.tables[0], self._table))
        if [len(row.fields) for row in true] != [len(row.fields) for row in seen]:
            yield gone(self._table.line, "the table", "has not the rows and columns that its facts are about")
            return
        for should, row in zip(true, seen, strict=True):
            for due, found in list(zip(should.fields, row.fields, strict=True))[row is seen[0] :]:
                name = f"a field of {'the heading' if row is seen[0] else should.fields[0].text}"
                yield from compare_field(name, due, found, "its facts say", self._results is not None)
        for fact in self._cells:
            wanted = None if self._wanted is None else self._wanted.get(place_of(fact.values))
            yield from against_database(fact.values, fact.line, self._witnesses.stored, wanted)

    def _upright(self) -> Iterator[Finding]:
        """A table with a row a setting."""
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

    def _whole(self) -> Iterator[Finding]:
        """The facts about the whole table."""
        bench, measured = self._table.bench, [fact for fact in self._facts if fact.kind != "published"]
        if bench and not bench.values:
            yield unreadable(bench.line, bench.kind)
        elif bench and not measured:
            yield gone(bench.line, "the table", "has facts about its command, but none about cells")
        elif bench:
            origins = self._origins(measured)
            for name in NAMED:
                true = sorted({getattr(origin, name) for origin in origins} - {""})
                if true and [bench.values.get(name)] != true:
                    said = str(bench.values.get(name) or "")
                    yield edited(bench.line, name, said, ", ".join(true), "its cells are of")
            if (
                self._results
                and self._is_all
                and (commit := self._results.experiment.facts.get("commit", ""))
                != (said := bench.values.get("commit", ""))
            ):
                yield misquoted(bench.line, "the table", "commit", said, commit)
        elif measured:
            yield gone(self._table.line, "the table", "has no facts about its command and data")

    @property
    def _is_all(self) -> bool:
        """Whether nothing was stored of these cells since: else other runs stand behind them by now."""
        held = [(self._witnesses.stored.get(key), fact) for fact in self._cells for key in fact.values["keys"]]
        return all(score is None or len(score.episodes) <= fact.values["n"] for score, fact in held)

    def _origins(self, facts: Sequence[Fact]) -> list[Origin]:
        keys = [key for fact in facts for key in fact.values.get("keys", ())]
        return [self._witnesses.origins[key] for key in keys if key in self._witnesses.origins]

    def _fields(self, row: RenderedRow) -> dict[str, tuple[str, Field]]:
        """Of a row that was laid out again: its columns, each with the name and the content of its number."""
        place, titles = _setting(row.facts[0]), [f.values["variant"] for f in row.facts if f.kind == "cell"]
        setting, whose = setting_name(*place[1:]), place[0]
        if whose:
            columns = [column.name for column in self._witnesses.published[whose].columns]
            names = [f"{whose} {setting} {column}" for column in columns]
        else:
            columns = [*self._style.columns_of(tuple(titles))]
            names = [f"{name} of {setting}" if name in COUNTS else f"{name} {setting}" for name in columns]
        return dict(zip(columns, zip(names, row.fields[1:], strict=False), strict=False))

    def _row(self, row: RenderedRow, group: list[Fact], heading: int) -> Iterator[Finding]:
        yield from check_label(row.fields[0], _setting(group[0])[1:], heading)
        true = self._rows.get(_setting(group[0]))
        if true is None:
            yield unknown(row.line, _name(group[0]), "its numbers", "no such table or row is packaged here")
            return
        places, wrong = set(), set()
        cells = {fact.values["variant"]: fact for fact in group if fact.kind == "cell"}
        for column, (name, should) in self._fields(true).items():
            fact = cells.get(column, group[0])
            if cells and column not in cells and column not in COUNTS:  # its facts are gone: told below
                continue
            place = self._columns.get(column, len(row.fields))
            places.add(place)
            if place >= len(row.fields):
                yield gone(row.line, name, f"is not in its row; it should show {should.text or 'no number'}")
                wrong.add(column)
                continue
            seen = row.fields[place]
            whose = self._whose(column, seen, fact)
            if found := list(compare_field(name, should, seen, whose, self._results is not None)):
                yield from found
                wrong.add(column)
        for fact in group:
            yield from self._deeper(fact, row, true, wrong)
        for place, seen in enumerate(row.fields[1:], start=1):
            if place not in places and NUMBER.search(seen.text):
                yield unknown(
                    seen.line, f"a number of {setting_name(*_setting(group[0])[1:])}", seen.text, "has no facts"
                )

    @cached_property
    def _has_data(self) -> bool:
        return any(origin.disjoint is not None for origin in self._origins(self._cells))

    def _whose(self, column: str, seen: Field, fact: Fact) -> str:
        """Who contradicts what is seen in a column."""
        if fact.kind == "published":
            return "the paper's table has"
        if column in COUNTS:
            return "its cells have" if column == "n" else "its data allow" if self._has_data else "its facts say"
        return "its mean and interval are" if digits(seen.text) == digits(fact.values["shown"]) else "its facts say"

    def _deeper(self, fact: Fact, row: RenderedRow, true: RenderedRow, wrong: set[str]) -> Iterator[Finding]:
        """What is seen is right: are its facts?"""
        values = fact.values
        if fact.kind == "cell" and values["variant"] not in wrong:
            wanted = None if self._wanted is None else self._wanted.get(place_of(values))
            yield from against_database(values, row.line, self._witnesses.stored, wanted)
        if fact.kind == "row" and not any(origin.disjoint is not None for origin in self._origins(row.facts)):
            self.notes = [note for note in self.notes if note != PARTLY] + [NO_DATA]
        if fact.kind == "cell" or (fact.kind == "published" and wrong):
            return
        should = next(other.values for other in true.facts if other.kind == fact.kind)
        for name, said in values.items():
            if name in should and name not in wrong and said != should[name]:
                yield misquoted(row.line, _name(fact), name, said, should[name])

    def _missing(self) -> Iterator[Finding]:
        """Cells that its command shows and rows that its paper has, but the file has not."""
        held = {place_of(fact.values) for fact in self._cells}
        for place in self._wanted or {} if held else {}:
            if place not in held and self._style.shows(place[0]):
                yield gone(self._table.line, cell_name(*place), "is what its command shows, but is not in the file")
        rows = {_setting(fact) for fact in self._facts if fact.kind == "published"}
        for place in self._rows:
            if place[0] and place not in rows:
                yield gone(self._table.line, cell_name(*place), "is in that table, but not in the file")

    def _listed(self) -> Iterator[Finding]:
        """The list of every cell in a report."""
        cells = listed_names(self._cells)
        true = {row.id: row for table in self._again.tables for row in table.rows if row.id}
        for table in self._document.tables:
            rows = {row.id: row for row in table.rows if row.id}
            if table.is_ours or not ("cells" in table.classes or cells.keys() & rows.keys()):
                continue
            for anchor, cell in cells.items():
                if anchor not in rows:
                    yield gone(table.line, f"{cell} in the list of cells", "is missing")
                    continue
                yield from self._listed_row(true[anchor], rows[anchor], f"{cell} in the list of cells")
            for row in table.rows[1:]:  # the first is the heading
                if row.id not in cells and any(NUMBER.search(seen.text) for seen in row.fields[1:]):
                    yield unknown(row.line, f"the listed cell {row.id!r}", "numbers", "no cell of the table is its own")

    def _listed_row(self, true: RenderedRow, seen: RenderedRow, name: str) -> Iterator[Finding]:
        columns = [*LISTED, *(("data", "seeds", "keys") if self._results else ())]
        for place, column in enumerate(columns, start=1):
            if place >= len(seen.fields):
                yield gone(seen.line, name, f"has no {column}")
            elif column == "keys" and true.fields[place].text != seen.fields[place].text:
                yield edited(seen.line, f"keys of {name}", seen.fields[place].text, true.fields[place].text)
            elif column != "keys":
                whose = "its facts say" if column in LISTED else "what is stored gives"
                yield from compare_field(f"{column} of {name}", true.fields[place], seen.fields[place], whose, False)
        if seen.fields:
            yield from compare_field(f"the label of {name}", true.fields[0], seen.fields[0], "its facts say", False)

    def _around(self, results: Results, table: Table) -> Iterator[Finding]:
        """The words around the table, and a report's tables of costs and claims."""
        format, page = self._document.format, self._document.is_page and self._witnesses.page
        text = page(results) if page else set_again(table, format, self._papers(self._document.tables), self._style)
        again = READERS[SUFFIX[format]](text)
        passages = [p for p in again.passages if "Provenance" not in p.name or self._is_all]
        yield from compare_passages(passages, self._document.passages, bool(page))
        if page:
            yield from added_passages(again.passages, self._document.passages)
        for kind in ("cost", "claims") if page else ():
            for true in (t for t in again.tables if kind in t.classes):
                seen = next((t for t in self._document.tables if kind in t.classes), None)
                if seen is None:
                    yield gone(1, f"the table of {kind}", "is missing")
                else:
                    yield from compare_rows(true.rows, seen, f"the table of {kind}")


def _spread(said: Any) -> Spread | None:
    """As a fact has it; None where it has none, or nonsense."""
    if not isinstance(said, list) or len(said) != len(fields(Spread)):
        return None
    known = all(type(number) in (int, float) and math.isfinite(number) and number > 0 for number in said)
    return Spread(*said) if known else None


def _alike(one: Spread | None, other: Spread | None) -> bool:
    """But for rounding, which another processor does in another way."""
    return one == other or bool(one and other and np.allclose(astuple(one), astuple(other), rtol=1e-9, atol=0))


def _setting(fact: Fact) -> Place:
    """Facts with equal ones stand at one row."""
    return fact.values.get("table", ""), fact.values["n_way"], fact.values["n_shot"]


def _name(fact: Fact) -> str:
    whose = fact.values.get("variant") or fact.values.get("table") or ""
    return f"{whose} {setting_name(*_setting(fact)[1:])}".strip()
