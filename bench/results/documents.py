"""What is stored of a selection, as tables and plots."""

from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_bench.data.cache import find
from fewshot_bench.data.describing import class_samples
from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import cache_folder, write_whole
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, none_stored
from fewshot_bench.tables.latex import render_latex, type_size
from fewshot_bench.tables.papers import load_published
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.style import COUNTS, Style
from fewshot_bench.tables.summary import summarise

if TYPE_CHECKING:
    from fewshot_bench.reports.contact_sheet import ClassSample

SMALLEST = 6  # points: type that can still be read in print
SAMPLE_CLASSES, SAMPLE_IMAGES = 8, 10  # of base and of novel classes each; of a class


def write_documents(selection: Selection) -> list[Path]:
    """Write report.html, table.tex, table.md and plots/ into the output folder, each whole or not at all."""
    from fewshot_bench.reports.report import documents  # plots take long to import

    chosen, stored = _stored(selection)
    contents = documents(stored, samples=_samples(chosen))
    for name, content in contents.items():
        path = chosen.out / name
        try:
            write_whole(path, content)
        except OSError as error:
            where = path if path.parent.is_dir() else path.parent
            raise UsageError(f"{where}: cannot be written: {error.strerror}") from None
    return [chosen.out / name for name in contents]


def rendered(selection: Selection, format_: str) -> str:
    """One document: the report as HTML, or the table as markdown, csv or json, with published ones below."""
    chosen, stored = _stored(selection)
    if format_ == "html":
        from fewshot_bench.reports.report import report_html

        return report_html(stored, samples=_samples(chosen))
    return render(summarise(stored, every_pair=format_ == "json"), format_, load_published())


def typeset(selection: Selection, style: Style, *, published: bool) -> tuple[str, str]:
    """The table as LaTeX, and a warning where its type is too small; published ones stand below it if asked for."""
    table = summarise(_stored(selection)[1])
    known = [*table.variants, *COUNTS]
    for name in style.columns:
        if name not in known:
            raise UsageError(f"--columns: there is no column {name!r}: {did_you_mean(name, known)}")
    if style.columns and not set(style.columns) & set(table.variants):
        raise UsageError("--columns names no method or variant")
    text = render_latex(table, load_published() if published else (), style)
    size = type_size(text) if style.standalone and not style.bare else SMALLEST
    narrower = "--transpose, --columns or --method makes it narrower"
    shrunk = f"the table is shrunk to the page, to type of about {size:.1f} pt: {narrower}"
    return text, shrunk if size < SMALLEST else ""


def _stored(selection: Selection) -> tuple[Chosen, Results]:
    chosen = choose_stored(selection)
    stored = results(chosen, with_answers=True, with_budgets=True)
    if all(cell.state == "missing" for cell in stored.cells):
        raise none_stored(chosen, "nothing is stored of these cells, and no file was changed")
    return chosen, stored


def _samples(chosen: Chosen) -> list["ClassSample"]:
    images = chosen.novel if chosen.novel.has_pixels else find(cache_folder(), chosen.novel.fingerprint)
    if images is None:
        return []
    return class_samples(images, chosen.request.split, SAMPLE_CLASSES, SAMPLE_IMAGES)
