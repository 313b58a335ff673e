"""LaTeX to paste: every style is whole, says the same, and is set by a real TeX."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from fewshot_bench.tables.latex import render_latex, type_size
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.style import Style, style_of
from fewshot_bench.tables.summary import summarise

STYLES = {
    "usual": Style(),
    "columns": Style(columns=("maml-mtl", "maml", "n")),
    "turned": Style(transpose=True),
    "means": Style(interval=False, one_column=True),
    "siunitx": Style(siunitx=True),
    "siunitx turned": Style(siunitx=True, transpose=True, interval=False),
    "bare": Style(bare=True, transpose=True, columns=("protonet", "maml")),
    "named": Style(caption=r"Accuracy on \emph{strokes} (\%)", label="tab:main"),
}
EVERY = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
HAS_TEX = shutil.which("pdflatex") and not subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True).returncode


def rows_of(text):
    """The fields of each row of the tabular, the facts left out."""
    body = re.sub(r"(?m)^%.*\n", "", text).split(r"\begin{tabular}")[1].split(r"\end{tabular}")[0]
    return [re.split(r"(?<!\\)&", line) for line in body.split("\n") if line.endswith(r"\\")]


@EVERY
def test_what_is_not_the_default_stands_in_the_facts(style, table):
    assert style_of(style.facts) == style
    assert style_of({"columns": 3, "transpose": "yes", "caption": None, "more": 1}) == style_of([]) == Style()
    assert ('"style"' in render_latex(table, style=style)) == (style != Style())


def test_one_tabular_and_published_values_only_on_request(table):
    text = render_latex(table)
    assert text.count(r"\begin{tabular}") == text.count(r"\begin{table*}") == 1
    assert render_latex(table, load_published()).count(r"\begin{tabular}") == 1 + len(load_published())


def test_notes_that_explain_no_mark_are_comments(table):
    text = render_latex(table)
    printed = re.sub(r"(?m)^%.*\n", "", text)
    for words in ("Normalisation at test", "The interval is over episodes", "disjoint: at most how many"):
        assert f"% note: {words}" in text
        assert words not in printed
    assert "Bold: the highest mean" in printed


def test_chosen_columns_in_their_order(table):
    rows = rows_of(render_latex(table, style=STYLES["columns"]))
    assert [field.strip(" \\") for field in rows[0]] == ["Task", "maml-mtl", "maml", "n"]
    assert {len(row) for row in rows if len(row) > 1} == {4}
    text = render_latex(table, style=STYLES["columns"])
    assert "Compared with them, but not shown: transfer, protonet, fomaml, reptile, reptile-mtl." in text
    assert render_latex(table, style=Style(columns=("maml",))).count(r"100 shots$\ddagger$") == 3  # n is not there


def test_notes_speak_of_what_is_shown(table):
    wide = replace(
        table,
        rows=tuple(replace(row, cells=tuple(replace(c, data_half_width=0.9) for c in row.cells)) for row in table.rows),
    )
    text = render_latex(wide)
    assert "more than twice as wide" in text
    assert "The interval is over episodes" in text
    means = re.sub(r"(?m)^% (row|cell|bench) .*\n", "", render_latex(wide, style=STYLES["means"]))
    for words in ("twice as wide", "The interval is over", r"\textsection"):
        assert words not in means
    worst = next(name for name in table.variants if not any(c.best for c in table.cells if c.variant == name))
    assert "Bold:" in means
    assert "Bold:" not in render_latex(table, style=Style(columns=(worst,)))


def test_turned_it_says_the_same(table):
    def numbers(rows):
        return sorted(found for row in rows for field in row for found in re.findall(r"\d\d\.\d\d", field))

    upright, turned = (rows_of(render_latex(table, style=style)) for style in (Style(), STYLES["turned"]))
    assert len(turned) == 2 + 7 + 2
    assert {len(row) for row in turned[1:]} == {1 + 9}
    assert numbers(turned) == numbers(upright)


def test_means_alone_fill_one_column(table):
    text = render_latex(table, style=STYLES["means"])
    assert r"\begin{table}[t]" in text
    assert "strokes: mean over episodes;" in text
    assert not any(r"\pm" in field for row in rows_of(text) for field in row)


def test_bare_is_a_tabular_and_comments(table):
    text = render_latex(table, style=STYLES["bare"])
    printed = [line for line in text.splitlines() if not line.startswith("%")]
    assert (printed[0][:15], printed[-1]) == (r"\begin{tabular}", r"\end{tabular}")
    assert "% caption: Accuracy" in text
    assert "% note: † not significantly worse" in text


def test_a_caption_and_a_label_of_ones_own(table):
    text = render_latex(table, style=STYLES["named"])
    assert r"\caption{Accuracy on \emph{strokes} (\%)}" in text
    assert r"\label{tab:main}" in text


def compile_latex(text, folder):
    """The log of pdflatex; the PDF is pages.pdf."""
    (folder / "pages.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "pages.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TEX, reason="no pdflatex with siunitx here")
@pytest.mark.parametrize("options", ["", "[twocolumn]"])
def test_every_style_is_set_in_one_column_and_in_two(options, table, hostile, tmp_path):
    bodies = [render_latex(table, style=style) for style in STYLES.values()]
    bodies += [render_latex(table, load_published(), Style(one_column=True)), render_latex(hostile)]
    start = rf"\documentclass{options}{{article}}\usepackage{{booktabs,graphicx,siunitx}}\begin{{document}}"
    log = compile_latex("\n\\clearpage\n".join([start, *bodies, r"\end{document}"]), tmp_path)
    wide = re.findall(r"Overfull \\hbox.*", log)
    assert len(wide) <= 1, wide  # the bare one, which nothing shrinks


@pytest.fixture
def wide(make_results):
    """A table of many methods."""
    return summarise(make_results(tuple(f"a-method-called-{i}" for i in range(17))))


@pytest.mark.parametrize("style", [Style(), Style(interval=False), Style(transpose=True), Style(siunitx=True)])
def test_the_type_is_small_where_there_are_many_columns(style, table, wide):
    few, many = (
        type_size(render_latex(one, load_published(), replace(style, standalone=True))) for one in (table, wide)
    )
    assert few > 6
    assert (many < 6) == (not style.transpose)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TEX, reason="no pdflatex with siunitx here")
@pytest.mark.parametrize(
    "style", [Style(), Style(interval=False), Style(columns=tuple(f"a-method-called-{i}" for i in range(8)))]
)
def test_the_type_is_about_as_small_as_tex_makes_it(style, wide, tmp_path):
    text = render_latex(wide, style=replace(style, standalone=True))
    log = compile_latex(text.replace(r"\ifdim", r"\typeout{it is \the\wd0{} on \the\linewidth}\ifdim"), tmp_path)
    width, room = map(float, re.findall(r"it is ([\d.]+)pt.* on ([\d.]+)pt", log)[0])
    assert type_size(text) == pytest.approx(min(10, 10 * room / width), rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TEX, reason="no pdflatex with siunitx here")
@pytest.mark.parametrize("siunitx", [False, True])
def test_a_standalone_document_compiles_alone(siunitx, table, tmp_path):
    log = compile_latex(render_latex(table, style=Style(standalone=True, siunitx=siunitx)), tmp_path)
    assert "Overfull" not in log
