"""`bench report`: stored results as documents."""

import csv
import io
import sqlite3

import pytest


def test_a_report_is_written_whole(run, bench):
    ran = bench("report")
    assert (ran.code, ran.out) == (0, "")
    out = run.folder / "out"
    for name in ("report.html", "table.tex", "table.md", "plots/accuracy.svg", "plots/accuracy.png"):
        assert (out / name).stat().st_size > 0
        assert name in ran.err
    assert "transfer" in (out / "report.html").read_text(encoding="utf-8")
    assert bench("report", "-q").err == ""


@pytest.mark.parametrize("kind", ["html", "latex", "markdown", "csv", "json"])
def test_every_format_goes_to_stdout_or_a_file(kind, run, bench):
    printed = bench("report", "--format", kind)
    assert (printed.code, printed.err) == (0, "")
    assert bench("report", "--format", kind, "-o", "-").out == printed.out
    assert bench("report", "--format", kind, "-o", "deep/table.x").code == 0
    written = (run.folder / "deep" / "table.x").read_bytes().decode()
    assert written == printed.out
    assert "protonet" in written


def test_the_table_tells_what_the_database_holds(run, bench):
    table = list(csv.DictReader(io.StringIO(bench("report", "--format", "csv").out)))
    assert len(table) == 4
    connection = sqlite3.connect(run.database)
    counted = "SELECT SUM(n_correct * 1.0 / n_queries) / COUNT(*) FROM episodes WHERE cell_key = ?"
    for row in table:
        (mean,) = connection.execute(counted, (row["keys"],)).fetchone()
        assert float(row["mean"]) == pytest.approx(mean)
        assert (row["state"], row["n_episodes"]) == ("done", "6")
    connection.close()


@pytest.mark.usefixtures("run")
def test_what_is_missing_is_marked(bench):
    table = csv.DictReader(io.StringIO(bench("report", "--format", "csv", "--shot", "1,2").out))
    assert [(row["n_shot"], row["state"]) for row in table] == [
        ("1", "done"), ("1", "done"), ("2", "missing"), ("2", "missing"),
    ]  # fmt: skip


@pytest.mark.usefixtures("run")
def test_a_filtered_report_has_only_what_was_asked_for(bench):
    ran = bench("report", "--format", "csv", "-k", "protonet")
    assert [row["variant"] for row in csv.DictReader(io.StringIO(ran.out))] == ["protonet"] * 2
    ran = bench("report", "--format", "markdown", "-k", "protonet or 4w5s")  # not a rectangle
    assert ran.code == 0, ran.err


@pytest.mark.usefixtures("run")
def test_the_latex_table_is_set_as_asked_for(bench):
    words = ("report", "--format", "latex", "--columns", "protonet,n", "--transpose", "--no-interval", "--siunitx")
    ran = bench(*words, "--one-column", "--caption", r"A \emph{caption}", "--label", "tab:mine")
    assert ran.code == 0, ran.err
    for part in (r"\begin{table}[t]", r"\caption{A \emph{caption}}", r"\label{tab:mine}", "S[table-format=2.2"):
        assert part in ran.out
    assert "\ntransfer &" not in ran.out
    assert "Published" not in ran.out
    assert "Published" in bench("report", "--format", "latex", "--published").out
    assert bench("report", "--format", "latex", "--standalone").out.startswith(r"\documentclass")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--columns", "protnet"], "--columns: there is no column 'protnet': did you mean 'protonet'?"),
        (["--columns", "n"], "--columns names no method or variant"),
        (["--bare", "--caption", "x"], "--bare is the tabular alone"),
        (["--caption", "5 % of {it"], "is not whole: braces must match"),
        (["--label", "a}b"], "--label 'a}b': letters, digits"),
        (["--format", "csv", "--transpose"], "options of the LaTeX table need --format latex"),
    ],
)
@pytest.mark.usefixtures("run")
def test_a_table_that_cannot_be_set_so_is_one_line(words, said, bench):
    ran = bench("report", "--format", "latex", *words)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert said in ran.err


@pytest.mark.usefixtures("run")
def test_a_report_repeats_byte_for_byte(bench):
    assert bench("report", "--format", "json").out == bench("report", "--format", "json").out


def test_an_edited_database_makes_no_table(run, bench):
    connection = sqlite3.connect(run.database)
    connection.execute("UPDATE episodes SET n_correct = 12 WHERE number = 0")
    connection.commit()
    connection.close()
    for words in (["report"], ["report", "--format", "csv"], ["check", "--against", "x.json", "--write"]):
        ran = bench(*words)
        assert ran.code == 6
        assert "do not match their checksum" in ran.err
        assert ran.out == ""
    assert not (run.folder / "out" / "report.html").exists()
