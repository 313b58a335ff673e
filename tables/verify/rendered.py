"""A rendered table as its reader sees it: the text of every cell without markup, beside the facts that it carries."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from fewshot_bench.tables.parsing import ParseError, parse_json
from fewshot_bench.tables.verify.latex_text import plain_latex

# kind of fact -> what it must hold (see facts.py)
FACTS: Mapping[str, Mapping[str, type]] = {
    "bench": {"schema": int, "command": str},
    "row": {"n_way": int, "n_shot": int, "n": str, "disjoint": str},
    "cell": {"variant": str, "n_way": int, "n_shot": int, "keys": list, "n": int, "shown": str},
    "published": {"table": str, "n_way": int, "n_shot": int, "shown": list},
}


@dataclass(frozen=True)
class Fact:
    """One line of facts; `values` is empty where it cannot be read."""

    kind: str  # one of FACTS
    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One cell of the table, without markup."""

    line: int
    text: str


@dataclass
class RenderedRow:
    """One row, and the facts that stand at it; without fields where facts stand at no row."""

    line: int
    fields: list[Field] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    id: str = ""


@dataclass
class RenderedTable:
    """A table; `bench` says where the whole of it comes from."""

    line: int
    bench: Fact | None = None
    rows: list[RenderedRow] = field(default_factory=list)
    classes: tuple[str, ...] = ()  # "published" where a block of published values is named as such

    @property
    def is_ours(self) -> bool:
        """Whether it carries facts, or says that it should."""
        return bool(self.bench) or "published" in self.classes or any(row.facts for row in self.rows)


def read_html(text: str) -> list[RenderedTable]:
    """The tables of an HTML document, if one of them is ours."""
    reader = _HtmlReader()
    reader.feed(text)
    reader.close()
    return _with_facts(reader.tables)


def read_latex(text: str) -> list[RenderedTable]:
    """The tables of a LaTeX document, if one of them is ours. Macros are not expanded."""
    reader = _LatexReader()
    for number, line in enumerate(text.split("\n"), start=1):
        reader.read(number, line)
    reader.end_table()
    reader.settle()
    return _with_facts(reader.tables)


READERS: Mapping[str, Callable[[str], list[RenderedTable]]] = {
    ".tex": read_latex,
    ".html": read_html,
    ".htm": read_html,
}


def _with_facts(tables: list[RenderedTable]) -> list[RenderedTable]:
    return tables if any(table.is_ours for table in tables) else []


def _fact(kind: str, line: int, text: str) -> Fact:
    try:
        values = parse_json(text)
    except ParseError:
        values = {}
    whole = isinstance(values, dict) and all(isinstance(values.get(name), type_) for name, type_ in FACTS[kind].items())
    if whole and kind in ("cell", "published"):
        whole = all(isinstance(item, str) for item in values["keys" if kind == "cell" else "shown"])
    if whole and kind == "cell":
        whole = all(isinstance(values.get(name), float | None) for name in ("mean", "sd", "half_width"))
    return Fact(kind, line, values if whole else {})


class _HtmlReader(HTMLParser):
    """Rows and cells of tables; superscripts are footnote marks and no part of a number."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[RenderedTable] = []
        self._inside = False  # a table
        self._text: list[str] | None = None  # of the cell that is open
        self._unseen = 0  # open elements whose text is no number
        self._sections: list[bool] = []  # those that are open: published values or not
        self._n_published = 0  # of them

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line = self.getpos()[0]
        facts = [_fact(n[5:], line, v or "") for n, v in attrs if n.startswith("data-") and n[5:] in FACTS]
        if tag == "table":
            bench = next((fact for fact in facts if fact.kind == "bench"), None)
            classes = [*(dict(attrs).get("class") or "").split(), *["published"] * bool(self._n_published)]
            self.tables.append(RenderedTable(line, bench, classes=tuple(classes)))
            self._inside = True
        elif tag == "section":
            self._sections.append("published" in (dict(attrs).get("class") or "").split())
            self._n_published += self._sections[-1]
        elif not self._inside:
            return
        elif tag == "tr":
            self._end_cell()
            self.tables[-1].rows.append(RenderedRow(line, facts=facts, id=dict(attrs).get("id") or ""))
        elif tag in ("td", "th") and self.tables[-1].rows:
            self._end_cell()
            row = self.tables[-1].rows[-1]
            row.facts += facts
            row.fields.append(Field(line, ""))
            self._text = []
        elif tag in ("sup", "script", "style"):
            self._unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()
            self._inside = self._inside and tag != "table"
        elif tag == "section" and self._sections:
            self._n_published -= self._sections.pop()
        elif tag in ("sup", "script", "style"):
            self._unseen = max(0, self._unseen - 1)

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._unseen:
            self._text.append(data)

    def _end_cell(self) -> None:
        if self._text is not None:
            fields = self.tables[-1].rows[-1].fields
            fields[-1] = Field(fields[-1].line, " ".join("".join(self._text).split()))
        self._text, self._unseen = None, 0


LABEL = re.compile(r"\\label\s*\{tab:published-")
COMMENT = re.compile(rf"\s*%+\s*({'|'.join(FACTS)})\s+(\{{.*)")
TOKEN = re.compile(
    r"\\(?P<edge>begin|end)\s*\{\w*(?:tabular|longtable|tblr)\w*\*?\}"
    r"|(?P<row>\\\\\*?(?:\s*\[[^\]]{0,99}\])?|\\tabularnewline(?![A-Za-z]))"
    r"|\\(?:[A-Za-z]+|.)|(?P<field>&)|(?P<comment>%)"
)


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
            fact = _fact(found[1], number, found[2])
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
            self._row.fields.append(Field(self._line, plain_latex("".join(self._text))))
            self._text = []

    def _end_row(self) -> None:
        if self._row.fields or plain_latex("".join(self._text)):  # rules alone are no row
            self._end_field()
        if self._row.fields or self._row.facts:
            self._row.line = self._row.fields[0].line if self._row.fields else self._row.facts[0].line
            self._table.rows.append(self._row)
        self._row, self._text = RenderedRow(0), []
