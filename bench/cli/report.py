"""`bench report`: stored results as tables and plots."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fewshot_bench.cli.options import reading_options
from fewshot_bench.cli.output import write_out
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import Selection

FORMATS = ["html", "latex", "markdown", "csv", "json"]


@contextmanager
def _uncollected() -> Iterator[None]:
    """For work that soon ends: looking for garbage among its many small records is a fifth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@click.command()
@reading_options
@click.option("--format", "format_", type=click.Choice(FORMATS), help="One format only, to -o or stdout.")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write that format; - is stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Do not name the files written.")
@_uncollected()
def report(*, format_: str | None, output: str | None, quiet: bool, selection: Selection) -> None:
    """Tables and plots of stored results.

    Without --format, everything: report.html, table.tex, table.md and plots/ in the output folder.
    """
    from fewshot_bench.results.documents import rendered, write_documents

    if output and not format_:
        raise UsageError("-o needs --format: it names one file")
    if format_:
        write_out(output, rendered(selection, format_))
        return
    written = write_documents(selection)
    if not quiet:
        click.echo("\n".join(map(str, written)), err=True)
