"""Results -> one self-contained HTML file, the table in LaTeX and Markdown, and the plots."""

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import to_png, to_svg
from fewshot_bench.reports.opening import facts, opening
from fewshot_bench.reports.palette import DARK, LIGHT, Theme
from fewshot_bench.reports.plots import accuracy_against_shots, heat_map
from fewshot_bench.reports.ranks_plot import critical_differences
from fewshot_bench.reports.training_plots import training_cost, training_curves
from fewshot_bench.tables.alarms.checks import checks
from fewshot_bench.tables.claims.file import SHIPPED, parse_claims, shipped_claims
from fewshot_bench.tables.claims.render import render_claims
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.literature import PublishedTable, load_published
from fewshot_bench.tables.ranks import CAUTION
from fewshot_bench.tables.render import environment, render, render_cells, render_published
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import Table, summarise

Draw = Callable[[Results, Table, Theme, bool], Figure]

PLOTS: dict[str, tuple[str, Draw]] = {
    "accuracy": (
        "Accuracy over shots, one panel a way. Bands are 95 % t-intervals over episodes; the dashed line is "
        "chance; a hollow marker has fewer episodes than wanted; a line breaks where a cell has no number.",
        lambda results, table, theme, narrow: accuracy_against_shots(table, theme, narrow),
    ),
    "heatmap": (
        "Accuracy (%) of every method in every setting. The colour is the share of the way from chance to "
        "perfect, so that settings with different numbers of classes can be seen side by side. Bold: the "
        "highest of its row.",
        lambda results, table, theme, narrow: heat_map(table, theme, narrow),
    ),
    "ranks": (
        "Mean ranks over the settings, 1 is best. A bar joins methods that so few settings cannot separate "
        f"(Nemenyi, 5 %). {CAUTION}",
        lambda results, table, theme, narrow: critical_differences(table, theme, narrow),
    ),
    "curves": (
        "Training loss over iterations. Methods minimise different losses: compare shapes, not heights.",
        lambda results, table, theme, narrow: training_curves(results, theme, narrow),
    ),
    "cost": (
        "Minutes and peak memory of each training, as measured on the device named in the table below.",
        lambda results, table, theme, narrow: training_cost(results, theme, narrow),
    ),
}
# A phone, a dark screen, both: the first source that matches is shown; on paper and else, the wide light one.
VIEWS = (
    ("screen and (max-width: 600px) and (prefers-color-scheme: dark)", DARK, True),
    ("screen and (max-width: 600px)", LIGHT, True),
    ("screen and (prefers-color-scheme: dark)", DARK, False),
)


@dataclass(frozen=True)
class Source:
    """One view of a plot."""

    media: str
    uri: str


@dataclass(frozen=True)
class Plot:
    """A plot in all its views; `svg` is the one that fits everywhere."""

    name: str
    caption: str
    svg: bytes
    sources: tuple[Source, ...]

    @property
    def uri(self) -> str:
        """The plot as a link that holds it."""
        return _data_uri(self.svg)


def write_report(results: Results, folder: Path, published: Sequence[PublishedTable] | None = None) -> tuple[Path, ...]:
    """Write report.html, table.tex, table.md, plots/*.{svg,png}; each file is replaced whole or not at all.

    Returns the paths, report.html first. `published` defaults to every table of `tables/published/`.
    """
    papers = load_published() if published is None else published
    table = summarise(results)
    drawn = _plots(results, table)
    contents: dict[str, bytes] = {
        "report.html": _document(results, table, drawn, papers).encode(),
        "table.tex": render(table, "latex", papers).encode(),
        "table.md": render(table, "markdown", papers).encode(),
    }
    for plot in drawn:
        _, draw = PLOTS[plot.name]
        contents[f"plots/{plot.name}.svg"] = plot.svg
        contents[f"plots/{plot.name}.png"] = to_png(draw(results, table, LIGHT, False), LIGHT)
    return tuple(_replace(folder / name, content) for name, content in contents.items())


def report_html(results: Results, published: Sequence[PublishedTable] | None = None) -> str:
    """The whole report as one HTML document that loads nothing from outside itself."""
    papers = load_published() if published is None else published
    table = summarise(results)
    return _document(results, table, _plots(results, table), papers)


def _document(results: Results, table: Table, drawn: Sequence[Plot], papers: Sequence[PublishedTable]) -> str:
    templates = environment("fewshot_bench.reports", autoescape=True)
    return templates.get_template("report.html.j2").render(
        experiment=results.experiment,
        opening=opening(table),
        checks=checks(results.cells),
        table_html=Markup(render(table, "html")),  # escaped by its own template
        published_html=Markup(render_published(papers) if papers else ""),
        plots=drawn,
        trainings=results.trainings,
        claims_html=Markup(_claims(results, papers)),
        cells_html=Markup(render_cells(table)),
        facts=facts(table),
    )


def _claims(results: Results, papers: Sequence[PublishedTable]) -> str:
    """The shipped claims, judged; empty where not a single one was measured whole."""
    variants = {column.variant for paper in papers for column in paper.columns}
    source = parse_claims(shipped_claims(), SHIPPED, variants, [paper.id for paper in papers]) if papers else None
    judged = judge(source, results, papers) if source else None
    return render_claims(judged, "html") if judged and any(not claim.missing for claim in judged.claims) else ""


def _plots(results: Results, table: Table) -> list[Plot]:
    def svg(draw: Draw, theme: Theme, narrow: bool) -> bytes:
        return to_svg(draw(results, table, theme, narrow), theme)

    return [
        Plot(
            name=name,
            caption=caption,
            svg=svg(draw, LIGHT, False),
            sources=tuple(Source(media, _data_uri(svg(draw, theme, narrow))) for media, theme, narrow in VIEWS),
        )
        for name, (caption, draw) in PLOTS.items()
    ]


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _replace(path: Path, content: bytes) -> Path:
    """Write beside the target, then rename: a reader or a crash never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
