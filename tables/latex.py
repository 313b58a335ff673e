"""The measured table as LaTeX, to paste into a paper. What the notes do not print stands in comments."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fewshot_bench.tables import documents, layout
from fewshot_bench.tables.documents import latex, latex_environment
from fewshot_bench.tables.layout import REUSE_MARK, Note, caption
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.style import COUNTS, Style
from fewshot_bench.tables.summary import Cell, Row, Table
from fewshot_bench.tables.wording import percent, reach, shots, span

PAGE = 145  # letters that the text of DOCUMENT is wide, at 10 pt, as TeX sets these tables (with siunitx some fewer)
_UNSEEN = re.compile(r"\\(scriptsize|textsuperscript|textbf|bfseries|quad|,)|[{}$ ]")
_SIGN = re.compile(r"\\([a-z]+|.)")
FITTED = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
DOCUMENT = r"""\documentclass{article}
\usepackage{%s}
\usepackage[landscape,margin=1.5cm]{geometry}
\pagestyle{empty}
\begin{document}
%s\end{document}
"""


def render_latex(table: Table, published: Sequence[PublishedTable] = (), style: Style = Style()) -> str:  # noqa: B008
    """The table as LaTeX that ends in a newline; the one beside it and published ones follow."""
    blocks = ["\n".join(_measured(one, style, is_first=one is table)) + "\n" for one in table.with_beside]
    blocks += [_published(paper, style) for paper in published]
    text = "\n".join(blocks)
    return DOCUMENT % (",".join(_packages(style)), text) if style.standalone else text


def type_size(document: str) -> float:
    """Points of the type of a standalone document's widest table, once it is shrunk to the page: an estimate."""
    return min(10, *(10 * PAGE / _letters(table) for table in document.split(r"\begin{tabular}")[1:]))


def _letters(tabular: str) -> int:
    """How many stand in the longest fields of its columns together."""
    body = tabular.split(r"\end{tabular}")[0]
    rows = [line[:-2].split(" & ") for line in body.splitlines() if line.endswith(r"\\") and line[0] != "%"]
    n_columns = max(map(len, rows))  # other rows have a field over several
    seen = ([len(_SIGN.sub("x", _UNSEEN.sub("", field))) for field in row] for row in rows if len(row) == n_columns)
    return sum(map(max, zip(*seen, strict=True)))


def _packages(style: Style) -> list[str]:
    return ["booktabs", *([] if style.bare else ["graphicx"]), *(["siunitx"] if style.siunitx else [])]


def _measured(table: Table, style: Style, *, is_first: bool) -> Iterator[str]:
    columns = style.columns_of(table.variants)
    shown = _narrowed(table, columns)
    notes = layout.notes(shown, interval=style.interval)
    if hidden := [name for name in table.variants if name not in columns]:
        notes.append(Note("", f"Compared with them, but not shown: {', '.join(hidden)}."))
    title = (
        documents.one_line(style.caption)
        if style.caption and is_first
        else latex(caption(shown, interval=style.interval))
    )
    tabular = [*(_turned if style.transpose else _upright)(shown, style, columns), r"\end{tabular}"]
    yield f"% bench {layout.facts_of_table(table.experiment, style.facts)}"
    yield rf"% In the preamble: \usepackage{{{','.join(_packages(style))}}}  " + (
        "(scripts other than Latin and Greek need XeLaTeX or LuaLaTeX)"
    )
    if style.bare:
        yield f"% caption: {title}"
        yield from (_comment(note) for note in notes)
        yield from tabular
        return
    environment = _environment(style)
    label = style.label if style.label and is_first else f"tab:{layout.label_of(table, is_first)}"
    yield from (_comment(note) for note in notes if note.minor)
    yield from (rf"\begin{{{environment}}}[t]", r"\centering", rf"\caption{{{title}}}", rf"\label{{{label}}}")
    yield r"\par\smallskip\setlength{\tabcolsep}{3pt}"
    yield "% A table wider than the text is shrunk to fit, never enlarged."
    yield r"\sbox0{" + tabular[0]
    yield from tabular[1:-1]
    yield from (tabular[-1] + "}", FITTED, r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright")
    for note in (note for note in notes if not note.minor):
        yield (rf"\textsuperscript{{{latex(note.mark)}}}~" if note.mark else "") + latex(note.text) + r"\par"
    yield from (r"\end{minipage}", rf"\end{{{environment}}}")


def _comment(note: Note) -> str:
    return f"% note: {documents.one_line(f'{note.mark} {note.text}')}"


def _narrowed(table: Table, columns: tuple[str, ...]) -> Table:
    """The table with these variants alone, in this order; what was compared stays as it was."""
    variants = tuple(name for name in columns if name not in COUNTS)
    rows = []
    for row in table.rows:
        cells = {cell.variant: cell for cell in row.cells}
        rows.append(replace(row, cells=tuple(cells[name] for name in variants if name in cells)))
    return replace(table, variants=variants, rows=tuple(rows))


def _upright(table: Table, style: Style, columns: tuple[str, ...]) -> Iterator[str]:
    """A row a setting, below its way."""
    noted = layout.letters(table)
    kinds = ["r" if name in COUNTS else _kind(table.cells, style, noted) for name in columns]
    yield rf"\begin{{tabular}}{{@{{}}l{''.join(kinds)}@{{}}}}"
    yield r"\toprule"
    yield _row(["Task", *(_head(name, style) for name in columns)])
    for way, rows in layout.by_way(table.rows):
        yield r"\midrule"
        yield rf"\multicolumn{{{len(columns) + 1}}}{{@{{}}l}}{{\textbf{{{way}-way}}, chance {percent(1 / way)} \%}} \\"
        for row in rows:
            fields = {cell.variant: _number(cell, noted, style) for cell in row.cells}
            fields |= {name: _count(row, name) for name in COUNTS}
            yield f"% row {layout.facts_of_row(row)}"
            yield from (f"% cell {layout.facts_of_cell(cell)}" for cell in row.cells)
            yield _row([r"\quad " + _setting(row, columns), *(fields[name] for name in columns if name in fields)])
    yield r"\bottomrule"


def _turned(table: Table, style: Style, columns: tuple[str, ...]) -> Iterator[str]:
    """A row a variant; the settings of one way stand together."""
    noted = layout.letters(table)
    numbers = [_kind(row.cells, style, noted) for row in table.rows]
    yield rf"\begin{{tabular}}{{@{{}}l{''.join(numbers)}@{{}}}}"
    yield r"\toprule"
    yield from (f"% row {layout.facts_of_row(row)}" for row in table.rows)
    ways = [(way, len(rows)) for way, rows in layout.by_way(table.rows)]
    yield _row(["", *(rf"\multicolumn{{{n}}}{{c}}{{{way}-way, chance {percent(1 / way)} \%}}" for way, n in ways)])
    starts = [2 + sum(n for _, n in ways[:i]) for i in range(len(ways))]
    yield "".join(rf"\cmidrule(lr){{{at}-{at + n - 1}}}" for at, (_, n) in zip(starts, ways, strict=True))
    yield _row(["Method", *(_head(_setting(row, columns), style, is_text=False) for row in table.rows)])
    yield r"\midrule"
    for name in table.variants:
        cells = [cell for row in table.rows for cell in row.cells if cell.variant == name]
        yield from (f"% cell {layout.facts_of_cell(cell)}" for cell in cells)
        yield _row([latex(name), *(_number(cell, noted, style) for cell in cells)])
    counts = [name for name in columns if name in COUNTS]
    yield from [r"\midrule"] if counts else []
    for name in counts:
        yield _row([name, *(_head(_count(row, name), style, is_text=False) for row in table.rows)])
    yield r"\bottomrule"


def _row(fields: Sequence[str]) -> str:
    return " & ".join(fields) + r" \\"


def _kind(cells: Sequence[Cell], style: Style, noted: dict[str, str]) -> str:
    """The column of some numbers: for siunitx with the digits and the marks of the longest."""
    if not style.siunitx:
        return "r"
    whole = max((len(percent(cell.mean)) - 3 for cell in cells if cell.mean is not None), default=1)
    around = [cell for cell in cells if cell.half_width is not None and not cell.interval and style.interval]
    halves = [percent(cell.half_width) for cell in around]
    digits = max((len(half.replace(".", "").lstrip("0")) for half in halves), default=0)
    uncertain = f"({digits}), separate-uncertainty" if digits else ""
    marks = max((_marks(cell, noted, style) for cell in cells), key=len, default="")
    space = f", table-space-text-post={{{_raised(marks)}}}" if marks else ""
    return f"S[table-format={whole}.2{uncertain}, detect-weight, mode=text{space}]"


def _head(text: str, style: Style, *, is_text: bool = True) -> str:
    """A heading or a count, which is no number to siunitx; is_text: it is to be escaped."""
    text = latex(text) if is_text else text
    return f"{{{text}}}" if style.siunitx and text not in COUNTS else text


def _setting(row: Row, columns: tuple[str, ...]) -> str:
    """Its shots, with the mark that stands at n where that is shown."""
    return shots(row.n_shot) + (latex(REUSE_MARK) if row.reuses_images and "n" not in columns else "")


def _count(row: Row, name: str) -> str:
    if name == "disjoint":
        return str(row.disjoint_episodes)
    return span(*row.n_episodes) + (latex(REUSE_MARK) if row.reuses_images else "")


def _number(cell: Cell, noted: dict[str, str], style: Style) -> str:
    """The number, its interval, and its marks."""
    marks = _raised(_marks(cell, noted, style))
    if cell.mean is None:
        shown = (r"$\times$" if cell.state == "failed" else "---") + marks
        return f"{{{shown}}}" if style.siunitx else shown
    mean, half = percent(cell.mean), percent(cell.half_width) if style.interval else ""
    if cell.interval and style.interval:
        number = rf"{mean}{{\scriptsize\,{latex(reach(cell.half_width, cell.interval))}}}"
        number = (rf"\textbf{{{number}}}" if cell.best else number) + marks
        return f"{{{number}}}" if style.siunitx else number
    if style.siunitx:
        number = mean + (rf" \pm {half}" if half else "") + (f"{{{marks}}}" if marks else "")
        return r"\bfseries " * cell.best + number
    number = mean + (rf"{{\scriptsize\,$\pm$\,{half}}}" if half else "")
    return (rf"\textbf{{{number}}}" if cell.best else number) + marks


def _marks(cell: Cell, noted: dict[str, str], style: Style) -> str:
    """What stands behind a number: "*†a"."""
    return (
        "*" * (cell.state == "partial") + layout.marks(cell, interval=style.interval) + noted.get(layout.why(cell), "")
    )


def _raised(marks: str) -> str:
    raised = marks.lstrip("*")
    return "*" * marks.startswith("*") + (rf"\textsuperscript{{{latex(raised)}}}" if raised else "")


def _published(paper: PublishedTable, style: Style) -> str:
    environment, template = _environment(style), latex_environment().get_template("published.tex.j2")
    return template.render(**layout.SPELLING, paper=paper, environment=environment, comment=documents.Comment)


def _environment(style: Style) -> str:
    return "table" if style.one_column else "table*"
