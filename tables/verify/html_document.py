"""HTML as its reader sees it: tables, and the words of each section."""

from html.parser import HTMLParser

from fewshot_bench.tables.verify.rendered import (
    FACTS,
    Document,
    Passage,
    RenderedRow,
    RenderedTable,
    fact_of,
    with_facts,
)
from fewshot_bench.tables.verify.seen import Field, field_of, marked


def read_html(text: str) -> Document:
    """An HTML document."""
    reader = _HtmlReader()
    reader.feed(text)
    reader.close()
    return Document("html", with_facts(reader.tables), [*reader.passages, reader.code], "<html" in text)


UNSEEN = ("svg", "nav")  # pictures and the bar of contents are not read
CODE = ("script", "style")  # can hide, or show, what stands nowhere in the text


class _HtmlReader(HTMLParser):
    """Rows and cells of tables, and the words of each section; of superscripts the marks of ours alone."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[RenderedTable] = []
        self.passages = [Passage("the opening")]
        self.code = Passage("the page's style and script")
        self._coding = False
        self._inside = False  # a table
        self._text: list[str] | None = None  # of the cell that is open
        self._bold = False  # whether that is the best one of its row
        self._unseen = self._raised = 0  # open elements whose text nobody sees, and that are footnote marks
        self._sections: list[bool] = []  # those that are open: published values or not
        self._titled = False  # whether the text that comes names a section

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        line, given = self.getpos()[0], dict(attrs)
        classes = (given.get("class") or "").split()
        facts = [fact_of(n[5:], line, v or "") for n, v in attrs if n.startswith("data-") and n[5:] in FACTS]
        if not self._unseen:
            self.code.words += [(line, f"{tag} {name}={given[name]}") for name in ("hidden", "style") if name in given]
        self._coding = tag in CODE
        if tag in UNSEEN:
            self._unseen += 1
        elif tag == "sup":
            self._raised += 1
        elif tag == "table":
            bench = next((fact for fact in facts if fact.kind == "bench"), None)
            published = ["published"] * any(self._sections)
            self.tables.append(RenderedTable(line, bench, classes=(*classes, *published)))
            self._inside = True
        elif tag == "section":
            self._sections.append("published" in classes)
            self.passages.append(Passage(""))
        elif tag in ("b", "strong") and self._text is not None:
            self._bold = True
        elif tag == "h2":
            self._titled = True
        elif self._inside and tag == "tr":
            self._end_cell()
            self.tables[-1].rows.append(RenderedRow(line, facts=facts, id=given.get("id") or ""))
        elif self._inside and tag in ("td", "th") and self.tables[-1].rows:
            self._end_cell()
            row = self.tables[-1].rows[-1]
            row.facts += facts
            row.fields.append(Field(line, ""))
            self._text, self._bold = [], "best" in classes

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        self._coding = False
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()
            self._inside = self._inside and tag != "table"
        elif tag == "section" and self._sections:
            self._sections.pop()
        elif tag in UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "sup":
            self._raised = max(0, self._raised - 1)

    def handle_data(self, data: str) -> None:
        """Text."""
        if self._coding:
            self.code.words += [(self.getpos()[0], word) for word in data.split()]
        if self._unseen or self._coding:
            return
        if self._text is not None:
            self._text.append(marked(data) if self._raised else data)
            return
        passage, line = self.passages[-1], self.getpos()[0]
        if self._titled and data.strip():
            passage.name, self._titled = passage.name or f"the section {data.strip()!r}", False
        for number, part in enumerate(data.split("\n"), start=line):
            passage.words += [(number, word) for word in part.split()]

    def _end_cell(self) -> None:
        if self._text is not None:
            fields = self.tables[-1].rows[-1].fields
            fields[-1] = field_of(fields[-1].line, "".join(self._text), self._bold)
        self._text, self._unseen, self._raised = None, 0, 0
