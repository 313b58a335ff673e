"""`bench report`: stored results as tables and plots."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.cli.output import write_out
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.experiment.choosing import Chosen
    from fewshot_bench.reports.contact_sheet import ClassSample
    from fewshot_bench.tables.scores import Results

SAMPLE_CLASSES, SAMPLE_IMAGES = 8, 10  # of base and of novel classes each; of a class
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
@selection_options
@click.option("--format", "format_", type=click.Choice(FORMATS), help="One format only, to -o or stdout.")
@click.option("-o", "--output", metavar="FILE|-", help="Where to write that format; - is stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Do not name the files written.")
@_uncollected()
def report(*, format_: str | None, output: str | None, quiet: bool, selection: Selection) -> None:
    """Tables and plots of stored results.

    Without --format, everything: report.html, table.tex, table.md and plots/ in the output folder.
    """
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.collect import results as results_of

    if output and not format_:
        raise UsageError("-o needs --format: it names one file")
    chosen = choose(selection)
    results = results_of(chosen, with_answers=True)
    if all(cell.state == "missing" for cell in results.cells):
        raise NothingSelected("nothing is stored of these cells: `bench run` makes results; no file was changed")
    if not format_:
        from fewshot_bench.reports.report import write_report

        try:
            written = write_report(results, chosen.out, samples=_samples(chosen))
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None
        if not quiet:
            click.echo("\n".join(map(str, written)), err=True)
        return
    write_out(output, _rendered(chosen, results, format_))


def _samples(chosen: Chosen) -> list[ClassSample]:
    from fewshot_bench.data.describing import class_samples
    from fewshot_bench.reports.contact_sheet import ClassSample

    samples = class_samples(chosen.images, chosen.request.split, SAMPLE_CLASSES, SAMPLE_IMAGES)
    return [ClassSample(*sample) for sample in samples]


def _rendered(chosen: Chosen, results: Results, format_: str) -> str:
    from fewshot_bench.reports.report import report_html
    from fewshot_bench.tables.literature import load_published
    from fewshot_bench.tables.render import render
    from fewshot_bench.tables.summary import summarise

    if format_ == "html":
        return report_html(results, samples=_samples(chosen))
    return render(summarise(results), format_, load_published())
