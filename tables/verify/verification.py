"""Is every number, mark and word of a rendered table what was measured, and what is stored now?

Three witnesses are heard: what a reader sees, the facts beside it, and the database (for published values the packaged
tables). The table is laid out again from its facts, and where its command is known and the data are at hand from what
is stored, so that bold, marks, captions, notes and a report's words are read, too.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fewshot_bench.tables.documents import one_line
from fewshot_bench.tables.layout import SCHEMA
from fewshot_bench.tables.verify.again import listed_names
from fewshot_bench.tables.verify.finding import LABELS, Finding
from fewshot_bench.tables.verify.rendered import Document, Fact, RenderedTable
from fewshot_bench.tables.verify.seen import NUMBER
from fewshot_bench.tables.verify.table_check import TableCheck, Witnesses

UNCHECKED = "not checked: plots, images, and what is not the benchmark's own; --help says more"
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

    def lines(self, file: str) -> list[str]:
        """For people: what is wrong in the file, then the count."""
        lines = [finding.text for finding in self.findings] + [f"note: {one_line(note)}" for note in self.notes]
        empty = f", {self.n_empty} empty" if self.n_empty else ""
        counted = f"{self.n_cells} measured cells{empty} and {self.n_published} published rows"
        if not self.findings:
            agree = "all agree with their facts, and these with what is stored"
            lines.append(f"{file}: {counted}: {agree if self.n_cells else 'nothing measured is in the file'}")
            return [*lines, UNCHECKED]
        kinds = Counter(finding.kind for finding in self.findings)
        return [*lines, f"{file}: {counted}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in LABELS if kinds[kind])]


class UnknownSchema(ValueError):
    """The facts were written by a newer version."""


def verify(document: Document, witnesses: Witnesses) -> Verification:
    """Check every table of a file, and the words around it. Raises UnknownSchema for facts of a newer version."""
    findings: list[Finding] = []
    notes: list[str] = []
    cells = [fact for fact in document.facts if fact.kind == "cell" and fact.values]
    first = next((table for table in document.tables if table.bench), None)
    for table in document.tables:
        if not table.is_ours:
            notes += _unchecked(table, cells)
            continue
        schema = table.bench.values.get("schema", SCHEMA) if table.bench else SCHEMA
        if schema != SCHEMA:
            raise UnknownSchema(f"its facts are in schema {schema}; this version reads schema {SCHEMA}")
        check = TableCheck(table, document, witnesses, is_first=first in (None, table))
        findings += check.findings()
        notes += check.notes
    n_cells = sum(fact.values["mean"] is not None for fact in cells)
    n_published = sum(fact.kind == "published" for fact in document.facts)
    empty = len(cells) - n_cells
    return Verification(n_cells, empty, n_published, tuple(findings), tuple(dict.fromkeys(notes)))


def keys_in(document: Document) -> set[str]:
    """The keys of all cells that a document names."""
    return {key for fact in document.facts if fact.kind == "cell" for key in fact.values.get("keys", ())}


def _unchecked(table: RenderedTable, cells: Sequence[Fact]) -> list[str]:
    """Says so where somebody's numbers stand beside ours."""
    listed = {row.id for row in table.rows} & {*listed_names(cells)}
    own = {*OWN, "cells"} & {*table.classes} or listed
    seen = any(NUMBER.search(field.text) for row in table.rows for field in row.fields)
    return [f"line {table.line}: a table without facts is not checked"] if seen and not own else []
