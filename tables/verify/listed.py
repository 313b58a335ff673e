"""The list of every cell in a report, against the facts of the same cells in its table."""

from collections.abc import Iterator, Sequence

from fewshot_bench.tables.layout import anchor
from fewshot_bench.tables.verify.finding import Finding, edited, gone, unknown
from fewshot_bench.tables.verify.rendered import Fact, RenderedRow, RenderedTable
from fewshot_bench.tables.verify.restated import name_of, place_of
from fewshot_bench.tables.verify.seen import digits
from fewshot_bench.tables.wording import percent

COLUMNS = ("accuracy", "n", "sd", "sampler")  # the first ones; the data and seeds intervals are not in the facts


def is_list(table: RenderedTable, facts: Sequence[Fact]) -> bool:
    """Whether a table lists the cells that the facts are about, and has no facts of its own."""
    named = "cells" in table.classes or {row.id for row in table.rows} & {*_by_place(facts)}
    return bool(named) and not table.is_ours


def check_list(table: RenderedTable, facts: Sequence[Fact]) -> Iterator[Finding]:
    """facts: those of all measured cells in the file."""
    whole = _by_place(facts)
    rows = {row.id: row for row in table.rows if row.id}
    for place, fact in whole.items():
        name = f"{name_of(*place_of(fact.values))} in the list of cells"
        if place in rows:
            yield from _row(rows[place], fact, name)
        else:
            yield gone(table.line, name, "is missing")
    for row in table.rows[1:]:  # the first is the heading
        if row.id not in whole and any(digits(field.text)[0] for field in row.fields[1:]):
            yield unknown(row.line, f"the listed cell {row.id!r}", "numbers", "no cell of the table is its own")


def _by_place(facts: Sequence[Fact]) -> dict[str, Fact]:
    """By the ids of the rows that list them."""
    return {anchor(name_of(*place_of(fact.values))): fact for fact in facts}


def _row(row: RenderedRow, fact: Fact, name: str) -> Iterator[Finding]:
    values = fact.values
    texts = (percent(values["mean"]), str(values["n"]), percent(values["sd"]), percent(values["half_width"]))
    for place, (column, text) in enumerate(zip(COLUMNS, texts, strict=True), start=1):
        if place >= len(row.fields):
            yield gone(row.line, name, f"has no {column}")
        elif digits(row.fields[place].text) != digits(text):
            yield edited(row.fields[place].line, f"{column} of {name}", row.fields[place].text, text)
    if row.fields and digits(row.fields[0].text) != digits(name_of(*place_of(values))):
        yield edited(row.line, f"the label of {name}", row.fields[0].text, name_of(*place_of(values)))
