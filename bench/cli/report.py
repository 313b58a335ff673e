"""`bench report`: stored results as tables and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import choose, selection_options
from fewshot_bench.cli.output import write_out
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
    results = chosen.results()
    if all(cell.state == "missing" for cell in results.cells):
        raise NothingSelected("nothing is stored of these cells: `bench run` makes results; no file was changed")
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
    write_out(output, text)


def _rendered(results: Results, format_: str) -> str:
    from fewshot_bench.reports.report import report_html
    from fewshot_bench.tables.literature import load_published
    from fewshot_bench.tables.render import render
    from fewshot_bench.tables.summary import summarise

    if format_ == "html":
        return report_html(results)
    return render(summarise(results), format_, load_published())
