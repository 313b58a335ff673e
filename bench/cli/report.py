"""`bench report` and `bench check`: stored results as tables, plots and verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import Chosen, choose, selection_options
from fewshot_bench.errors import NothingSelected, UsageError

if TYPE_CHECKING:
    from fewshot_bench.tables.scores import Results

FORMATS = ["html", "latex", "markdown", "csv", "json"]


@click.command()
@selection_options
@click.option("--format", "format_", type=click.Choice(FORMATS), help="One format only, to -o or stdout.")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write that format; - is stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Do not name the files written.")
def report(*, format_: str | None, output: str | None, quiet: bool, **selection: Any) -> None:
    """Tables and plots of stored results.

    Without --format, everything: report.html, table.tex, table.md and plots/ in the output folder.
    """
    if output and not format_:
        raise UsageError("-o needs --format: it names one file")
    chosen = choose(**selection)
    results = _results(chosen)
    if not format_:
        from fewshot_bench.reports.report import write_report

        try:
            written = write_report(results, chosen.out)
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None
        if not quiet:
            click.echo("\n".join(map(str, written)), err=True)
        return
    text = _rendered(results, format_)
    if output in (None, "-"):
        click.echo(text, nl=False)
    else:
        _write(Path(str(output)), text)


@click.command()
@selection_options
@click.option(
    "--against",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The stored accuracies.",
)
@click.option(
    "--margin",
    type=float,
    default=0.0,
    metavar="POINTS",
    help="Differences up to this many percentage points are within the margin, too.",
)
@click.option("--write", is_flag=True, help="Write the file from the database instead of checking.")
@click.option("--format", "format_", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option(
    "--junit", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="A JUnit report besides."
)
def check(
    *, against: Path, margin: float, write: bool, format_: str, junit: Path | None, **selection: Any
) -> int:  # fmt: skip
    """Compare the database with stored accuracies, cell by cell.

    Exits 3 if a cell is worse than the stored one by more than its margin, 5 if no cell could be compared.
    """
    from fewshot_bench.tables.baseline import BaselineError, make_baseline
    from fewshot_bench.tables.regression import compare
    from fewshot_bench.tables.verdicts import render_verdicts

    if not 0 <= margin <= 100:  # nan, too
        raise UsageError(f"--margin {margin} must be between 0 and 100 percentage points")
    chosen = choose(**selection)
    results = _results(chosen)
    if write:
        if not any(cell.state == "done" for cell in results.cells):
            raise NothingSelected("no finished cell to write: `bench run` makes them")
        _write(against, json.dumps(make_baseline(results), indent=1, sort_keys=True) + "\n")
        return 0
    try:
        stored = json.loads(against.read_text(encoding="utf-8"))
        verdict = compare(results, stored, margin / 100)
    except OSError as error:
        raise UsageError(f"--against {against}: {error.strerror}; `--write` makes one") from None
    except (json.JSONDecodeError, UnicodeDecodeError, BaselineError) as error:
        raise UsageError(f"--against {against}: not a file of stored accuracies: {error}") from None
    click.echo(render_verdicts(verdict, format_), nl=False)
    if junit:
        _write(junit, render_verdicts(verdict, "junit"))
    return verdict.exit_code


def _results(chosen: Chosen) -> Results:
    from fewshot_bench.collect import results
    from fewshot_bench.store import Reader

    return results(chosen.request, chosen.images, chosen.cells, Reader(chosen.database), chosen.command())


def _rendered(results: Results, format_: str) -> str:
    from fewshot_bench.reports.report import report_html
    from fewshot_bench.tables.literature import load_published
    from fewshot_bench.tables.render import render
    from fewshot_bench.tables.summary import summarise

    if format_ == "html":
        return report_html(results)
    return render(summarise(results), format_, load_published())


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(path, err=True)
