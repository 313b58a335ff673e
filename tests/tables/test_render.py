"""The printed formats: right, escaped, marked, and the same bytes every time."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot_bench.tables import documents
from fewshot_bench.tables.documents import csv_text
from fewshot_bench.tables.papers import STATEMENT, load_published
from fewshot_bench.tables.render import CSV_COLUMNS, RENDERERS, render, render_published
from fewshot_bench.tables.summary import summarise

GOLDEN = Path(__file__).parent / "golden"


def without_comments(text):
    """The lines that LaTeX reads; comments carry facts and may hold anything but a line break."""
    return "\n".join(line for line in text.split("\n") if not line.startswith("%"))


def check_latex(text):
    """Balanced braces and environments, and in each tabular the same number of columns in every row."""
    text = without_comments(text)
    bare = re.sub(r"(?<!\\)%.*", "", text.replace(r"\\", "\n"))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", bare):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", bare):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for columns, body in re.findall(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}(.*?)\\end\{tabular\}", text, re.S):
        rows = [line for line in body.split("\n") if line.endswith(r"\\")]
        assert rows
        for row in rows:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + spans == len(columns), row


def markdown_rows(text):
    """The cells of every table row, split at bars that are not escaped."""
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("format", "name"), [("markdown", "table.md"), ("latex", "table.tex")])
def test_golden(table, format, name):
    """To renew: write `render(...)` of the same table over the file, and read the difference."""
    assert render(table, format, load_published()[:1]) == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("format", RENDERERS)
def test_same_table_same_bytes(marked, format):
    shuffled = replace(marked, cells=marked.cells[::-1])
    published = load_published()
    assert render(summarise(shuffled), format, published) == render(summarise(marked), format, published)


def test_unknown_format_names_the_known():
    with pytest.raises(ValueError, match="known: markdown, latex, csv, json, html"):
        render(None, "pdf")


def test_latex_is_balanced(table, hostile):
    check_latex(render(table, "latex", load_published()))
    check_latex(render(hostile, "latex"))


def test_markdown_has_equal_columns(table, hostile):
    assert {len(row) for row in markdown_rows(render(table, "markdown"))} == {7 + 3}
    assert {len(row) for row in markdown_rows(render(hostile, "markdown"))} == {6 + 3}


def test_marks_of_every_state(table):
    text = render(table, "markdown")
    rows = {}
    for cells in markdown_rows(text):
        rows.setdefault(cells[0].strip(), []).append([cell.strip() for cell in cells])
    assert rows["1 shot"][0][3] == "✗ [a]"  # maml 5-way 1-shot
    assert rows["100 shots"][1][5] == "—"  # reptile 20-way 100-shot
    assert rows["5 shots"][2][1].endswith(r"\* [b]")  # transfer 35-way 5-shot
    assert rows["1 shot"][0][5].startswith("**")
    assert "- [a] failed: the loss became NaN at step 30\n- [b] partial: 12 of 40 episodes" in text
    assert rows["100 shots"][2][-2:] == ["40‡", "1"]
    assert rows["1 shot"][0][-2:] == ["40", "64"]


def test_no_marks_where_all_is_done(make_results):
    text = render(summarise(make_results(images_per_novel_class=60_000)), "markdown")
    assert not re.search(r"✗|‡|\*\s*fewer|not measured", text)


def test_a_row_of_nothing_is_printed(make_results):
    results = make_results(("maml",), ((5, 1),))
    empty = replace(results.cells[0], state="missing", episodes=())
    for format in RENDERERS:
        text = render(summarise(replace(results, cells=(empty,))), format)
        assert "nan" not in text.lower()
        assert "missing" in text or "not measured" in text


def test_percent_only_in_print(table):
    assert "47.93" in render(table, "markdown")
    [row] = [r for r in csv_rows(table) if (r["variant"], r["n_way"], r["n_shot"]) == ("reptile", "5", "1")]
    assert float(row["mean"]) == pytest.approx(0.4793, abs=5e-5)


def csv_rows(table):
    return list(csv.DictReader(io.StringIO(render(table, "csv", load_published()), newline="")))


def test_csv_is_long_complete_and_measured_only(table):
    rows = csv_rows(table)
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 63
    assert {row["variant"] for row in rows} == set(table.variants)
    [failed] = [r for r in rows if r["state"] == "failed" and r["n_shot"] == "1"]
    assert (failed["mean"], failed["half_width"], failed["n_episodes"]) == ("", "", "0")
    assert failed["keys"] == "maml-5-1-0"


def test_csv_marks_as_the_other_formats_do(make_results):
    """A cell of which nothing can be told must not read like one that is significantly worse."""
    results = make_results(("maml", "reptile"), ((5, 1),))
    one = replace(results.cells[0], episodes=results.cells[0].episodes[:1], n_episodes_wanted=1)
    table = summarise(replace(results, cells=(one, results.cells[1])))
    marks = [(row["best"], row["near_best"], row["unclear"]) for row in csv_rows(table)]
    assert sorted(marks) == [("0", "0", "1"), ("1", "0", "0")]
    assert [mark[2] == "1" for mark in marks] == [cell.unclear for cell in table.cells]


def test_csv_disarms_formulas(hostile):
    rows = csv_rows(hostile)
    assert {row["variant"] for row in rows} >= {"'=cmd()", "new\n\nline"}
    assert rows[0]["reason"].startswith("'=1+1")
    assert [csv_text(text)[0] for text in ("\uff1d1", "\u3000=1", " \xa0-1", "@a", "+1")] == ["'"] * 5
    assert csv_text("1-1") == "1-1"


def test_json_holds_every_seed(make_results):
    document = json.loads(render(summarise(make_results(seeds=(3, 4))), "json", load_published()))
    cell = document["rows"][0]["cells"][0]
    assert [seed["seed"] for seed in cell["seeds"]] == [3, 4]
    assert cell["mean"] == pytest.approx(sum(seed["mean"] for seed in cell["seeds"]) / 2)
    assert document["experiment"]["facts"]["commit"] == "499b31c (clean)"
    assert document["published"]["tables"][0]["rows"][0]["values"][0]["accuracy"] == pytest.approx(0.3744)


class Cells(HTMLParser):
    """Collects the tags and the text of an HTML fragment."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_html_escapes(hostile):
    text = render(hostile, "html")
    parsed = Cells(text)
    assert "script" not in parsed.tags
    assert "b" not in parsed.tags[: parsed.tags.index("ul")]
    for name in hostile.variants:
        assert name in parsed.text


def test_latex_and_markdown_print_hostile_names_as_they_are(hostile):
    text = without_comments(render(hostile, "latex"))
    assert r"50\%\_a\&b\#c\$d\{e\}f\textasciitilde{}g\textasciicircum{}h\textbackslash{}i" in text
    assert r"\input{x}" not in text
    assert "<script>" not in render(hostile, "markdown")


@given(st.text())
def test_escaped_text_stays_in_its_place(text):
    latex, markdown = documents.latex(text), documents.markdown(text)
    assert "\n" not in latex
    assert "\n" not in markdown
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`]", markdown)
    check_latex(latex)
    left = re.sub(r"\\text[a-z]+\{\}|\\dots\{\}|\$[^$]*\$|\\[{}%&#_$]", "", latex)
    assert not re.search(r"[\\{}%&#_$~^<>|\"`]", left)


def test_published_stand_apart_and_say_so(table):
    for format in ("markdown", "latex", "html"):
        measured, _, apart = render(table, format, load_published()).partition("Published values")
        assert "37.44" in apart
        assert "37.44" not in measured
        assert STATEMENT.split(":")[0] in apart
    assert render_published(load_published()).count("<table") == len(load_published())
    assert "Published" not in render(table, "markdown")


def test_an_interval_near_100_percent_is_shown_from_to(make_results):
    """Of 40 episodes of 75 queries with one wrong answer in all; the others keep ±."""
    results = make_results(("maml", "reptile"), ((5, 1),))
    first = results.cells[0]
    right = tuple(replace(e, n_correct=75 - (e.number == 7)) for e in first.episodes)
    table = summarise(replace(results, cells=(replace(first, episodes=right), *results.cells[1:])))
    low, high = table.cells[0].interval
    assert 0.99 < low < table.cells[0].mean < high < 1
    shown = f"({100 * low:.2f}–{100 * high:.2f})"
    assert f"**99.97 {shown}**" in render(table, "markdown")
    assert f"99.97 <small>{shown}</small>" in render(table, "html")
    assert rf"\textbf{{99.97{{\scriptsize\,{shown.replace('–', '--')}}}}}" in render(table, "latex")
    assert "(from–to) stands where ± would reach" in render(table, "markdown")
    assert render(table, "markdown").count(" ± ") == 3  # the other cell's, the caption's and the note's
    rows = csv_rows(table)
    assert (float(rows[0]["low"]), float(rows[0]["high"])) == (low, high)
    assert float(rows[0]["half_width"]) == pytest.approx((high - low) / 2)
    assert float(rows[1]["high"]) - float(rows[1]["mean"]) == pytest.approx(float(rows[1]["half_width"]))
