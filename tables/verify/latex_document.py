"""LaTeX as its reader sees it: tables, and the words of captions and notes. Macros are not expanded."""

import re

from fewshot_bench.tables.verify.latex_text import plain_latex
from fewshot_bench.tables.verify.rendered import (
    FACTS,
    Document,
    Fact,
    Passage,
    RenderedRow,
    RenderedTable,
    fact_of,
    with_facts,
)
from fewshot_bench.tables.verify.seen import BOLD, MARK, field_of

EDGE = re.compile(r"\\(begin|end)\s*\{(\w+)\*?\}(?:\[[^\]]{0,99}\])?")
LABEL = re.compile(r"\\label\s*\{tab:published-")
COMMENT = re.compile(rf"\s*%+\s*({'|'.join(FACTS)})\s+(\{{.*)")
TOKEN = re.compile(
    r"\\(?P<edge>begin|end)\s*\{\w*(?:tabular|longtable|tblr)\w*\*?\}"
    r"|(?P<row>\\\\\*?(?:\s*\[[^\]]{0,99}\])?|\\tabularnewline(?![A-Za-z]))"
    r"|\\(?:[A-Za-z]+|.)|(?P<field>&)|(?P<comment>%)"
)


def read_latex(text: str) -> Document:
    """A LaTeX document."""
    reader = _LatexReader()
    for number, line in enumerate(text.split("\n"), start=1):
        reader.read(number, line)
    reader.end_table()
    reader.settle()
    return Document("latex", with_facts(reader.tables), latex_passages(text))


def latex_passages(text: str) -> list[Passage]:
    """The words between the edges of environments, those of tables left out."""
    lines = [re.sub(r"(?<!\\)%.*", "", line) for line in text.split("\n")]
    found, inside, piece, start = [Passage("the notes")], 0, list[str](), 1

    def end() -> None:
        raw = "\n".join(piece)
        if not inside and raw.strip():
            passage = Passage("the caption" if "\\caption" in raw else "the notes")
            for i, line in enumerate(piece):
                shown = plain_latex(line).replace(BOLD, "").replace(MARK, " ")
                passage.words += [(start + i, word) for word in shown.split()]
            found.append(passage)
        piece.clear()

    for number, line in enumerate(lines, start=1):
        position = 0
        for edge in EDGE.finditer(line):
            piece.append(line[position : edge.start()])
            end()
            start, position = number, edge.end()
            if re.search("tabular|longtable|tblr", edge[2]):
                inside = max(0, inside + (1 if edge[1] == "begin" else -1))
        piece.append(line[position:])
    end()
    return found


class _LatexReader:
    """Rows end with two backslashes, fields with &; facts stand in comments before their row."""

    def __init__(self) -> None:
        self.tables: list[RenderedTable] = []
        self._inside = False  # a tabular
        self._bench: Fact | None = None  # of the next table
        self._bare: RenderedTable | None = None  # the first one without facts behind it
        self._published = False  # whether the next table is labelled so
        self._table, self._row = RenderedTable(0), RenderedRow(0)
        self._text: list[str] = []  # of the field that is open
        self._line, self._blank = 0, True  # where its text begins; whether there is none yet

    def read(self, number: int, line: str) -> None:
        """One line."""
        if found := COMMENT.fullmatch(line):
            fact = fact_of(found[1], number, found[2])
            if fact.kind == "bench":
                self.settle()
                self._bench = fact
            else:
                self._row.facts.append(fact)
            return
        if LABEL.search(line) and not line.lstrip().startswith("%"):
            self._published = True
        position = 0
        for token in TOKEN.finditer(line):
            self._add(number, line[position : token.start()])
            position = token.end()
            if token["comment"]:
                return
            if token["edge"]:
                self.end_table()
                self._inside = token["edge"] == "begin"
                self._table.line = number
            elif token["row"]:
                self._end_row()
            elif token["field"]:
                self._end_field()
            else:
                self._add(number, token[0])
        self._add(number, line[position:] + "\n")

    def end_table(self) -> None:
        """The table that is open, if any, is whole."""
        self._end_row()
        if self._table.rows:
            kinds = {fact.kind for row in self._table.rows for fact in row.facts}
            if kinds - {"published"}:
                self._table.bench, self._bench = self._bench, None
            elif self._published:
                self._table.classes, self._published = ("published",), False
            elif self._bench and not kinds:
                self._bare = self._bare or self._table
            self.tables.append(self._table)
        self._table, self._inside = RenderedTable(0), False

    def settle(self) -> None:
        """The facts of a table that no table's cells claimed belong to the next one without any."""
        if self._bench and self._bare:
            self._bare.bench = self._bench
        elif self._bench:
            self.tables.append(RenderedTable(self._bench.line, self._bench))
        self._bench = self._bare = None

    def _add(self, number: int, text: str) -> None:
        if self._inside:
            if not self._text or self._blank:
                self._line, self._blank = number, not plain_latex(text)
            self._text.append(text)

    def _end_field(self) -> None:
        if self._inside:
            self._row.fields.append(field_of(self._line, plain_latex("".join(self._text))))
            self._text = []

    def _end_row(self) -> None:
        if self._row.fields or plain_latex("".join(self._text)):  # rules alone are no row
            self._end_field()
        if self._row.fields or self._row.facts:
            self._row.line = self._row.fields[0].line if self._row.fields else self._row.facts[0].line
            self._table.rows.append(self._row)
        self._row, self._text = RenderedRow(0), []
