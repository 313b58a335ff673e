"""Rendered tables as their readers see them: rows and cells without markup, at their lines."""

import time

import pytest

from fewshot_bench.tables.verify.again import READERS
from fewshot_bench.tables.verify.comparison import find_columns
from fewshot_bench.tables.verify.html_document import read_html
from fewshot_bench.tables.verify.latex_document import read_latex
from fewshot_bench.tables.verify.latex_text import plain_latex
from fewshot_bench.tables.verify.seen import Field, field_of

ROW = '{"n_way": 5, "n_shot": 1, "n": "7", "disjoint": "9"}'
LATEX = rf"""\begin{{tabular}}{{@{{}}lp{{3cm}}r@{{}}}} % 1.23 & \\
\toprule Task & a\%%b
 & n \\ \midrule
% row {ROW}
\quad 1 shot &

  \textbf{{3.21}} & 7 \\[2pt]
\bottomrule
\end{{tabular}} 5 & 6 \\"""
HTML = f"""<table><tr><th>Task<th>a%<th>n</tr>
<tr data-row='{ROW}'><th>1 shot</th><td>
<b>3.21</b><sup>1</sup></td><td>7</td></tr></table><td>5</td>"""


def test_latex_rows_and_lines():
    (table,) = read_latex(LATEX).tables
    assert [[field.text for field in row.fields[1:]] for row in table.rows] == [["a%", "n"], ["3.21", "7"]]
    assert table.rows[1].fields == [Field(5, "1 shot"), Field(7, "3.21", bold=True), Field(7, "7")]
    assert [(fact.kind, fact.line, fact.values["n"]) for fact in table.rows[1].facts] == [("row", 4, "7")]
    assert find_columns(table, ["a%"], ["n"]) == ({"a%": 1, "n": 2}, [])


def test_html_rows_and_lines():
    (table,) = read_html(HTML).tables
    assert table.rows[1].fields == [Field(2, "1 shot"), Field(2, "3.21", bold=True), Field(3, "7")]
    assert [(fact.kind, fact.line, fact.values["n"]) for fact in table.rows[1].facts] == [("row", 2, "7")]
    assert find_columns(table, ["A"], ["n"]) == ({"A": 1, "n": 2}, [])


def test_columns_that_cannot_be_told_apart_are_not_guessed():
    (table,) = read_html(HTML).tables
    assert find_columns(table, ["x"], ["n"]) == ({"x": 1, "n": 2}, ["a%"])
    assert find_columns(table, ["x", "y"], ["n"]) == ({"n": 2}, [])


@pytest.mark.parametrize(
    "piece",
    [
        "\\\\[",
        "\\a",
        "&",
        "{",
        "\\footnotemark[",
        "^",
        "\\begin{tabular}",
        "% row {",
        "<td>",
        "<tr>",
        "<section class=published><table>",
    ],
)
def test_a_hostile_file_takes_no_time(piece):
    before = time.process_time()
    for read in READERS.values():
        read("\\begin{tabular}<table><tr><td>" + 50_000 * piece)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\\begin{tabular}{l}\n5 & 6 \\\\\n\\end{tabular}",
        "<table><tr><td>5</td></tr></table>",
        "% cell",
        "\\\\ & %",
        "{\\",
    ],
)
def test_files_without_facts_have_no_tables(text):
    assert READERS[".tex"](text).tables == READERS[".html"](text).tables == []


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\textbf{31.91{\scriptsize\,$\pm$\,2.00}}*\textsuperscript{\textsection{}a}", "31.91 ± 2.00*"),
        (r"$31.91^{\dagger}_{\pm 2}$", "31.91 ±2"),
        (r"31.91$^\circ$", "31.91"),
        (r"\multicolumn{3}{@{}l}{\textbf{5-way}, chance 20.00 \%}", "5-way, chance 20.00 %"),
        (r"3{1}.91\footnote{see \cite[p.~3]{x} {4}}", "31.91"),
        (r"$\times$\,---", "× ---"),
        (r"a\_b\&c", "a_b&c"),
        (r"\unknown{5}{6}", "56"),
        ("{", ""),
        ("\\", "\\"),
    ],
)
def test_latex_as_it_is_read(latex, text):
    assert field_of(1, plain_latex(latex)).text == text
