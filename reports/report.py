"""Results -> one self-contained HTML file, the table in LaTeX and Markdown, and the plots."""

import base64
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import to_png, to_svg
from fewshot_bench.reports.contact_sheet import MEANING, ClassSample
from fewshot_bench.reports.inline_svg import colours, inline
from fewshot_bench.reports.opening import answer, facts, for_one_number, measured
from fewshot_bench.reports.plots import (
    FEWEST_FOR_A_BAND,
    MOST_VARIANTS,
    accuracy_against_shots,
    heat_map,
    leading,
    over_seeds_and_settings,
)
from fewshot_bench.reports.ranks_plot import critical_differences
from fewshot_bench.reports.training_plots import MOST_CURVES, accuracy_over_training, training_cost, training_curves
from fewshot_bench.tables.aggregate import Aggregate, aggregates
from fewshot_bench.tables.alarms.checks import checks
from fewshot_bench.tables.claims.file import SHIPPED, parse_claims, shipped_claims
from fewshot_bench.tables.claims.render import render_claims
from fewshot_bench.tables.claims.verdicts import judge
from fewshot_bench.tables.documents import environment
from fewshot_bench.tables.over_training import among, crossings
from fewshot_bench.tables.papers import PublishedTable, load_published
from fewshot_bench.tables.ranks import CAUTION, rank
from fewshot_bench.tables.render import render, render_cells, render_published
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import Table, summarise

SCRIPT = (files("fewshot_bench.reports") / "templates" / "report.js").read_text(encoding="utf-8")


class Shown(NamedTuple):
    """What plots are drawn from."""

    results: Results
    table: Table
    overall: tuple[Aggregate, ...]  # none where these are too many for a plot


Draw = Callable[[Shown], Figure]

PLOTS: dict[str, tuple[str, Draw]] = {
    "accuracy": (
        "Accuracy over shots, one panel a way. Bands are 95 % t-intervals over episodes, where there are "
        f"{FEWEST_FOR_A_BAND} or more; the dashed line is chance; a hollow marker has fewer episodes than wanted; a "
        "line breaks where a cell has no number.",
        lambda shown: accuracy_against_shots(shown.table),
    ),
    "heatmap": (
        "Accuracy (%) of every method in every setting. The colour is the share of the way from chance to "
        "perfect, so that settings with different numbers of classes can be seen side by side. Bold: the "
        "highest of its row.",
        lambda shown: heat_map(shown.table),
    ),
    "ranks": (
        "Mean ranks over the settings, 1 is best. A bar joins methods that so few settings cannot separate "
        f"(Nemenyi, 5 %). {CAUTION}",
        lambda shown: critical_differences(shown.table),
    ),
    "aggregate": (
        "Left: each method's interquartile mean over seeds and settings, the middle half of all scores, a score being "
        "the share of the way from chance to perfect; methods with one seed are left out, and settings that not all of "
        "the others have finished. Right: the probability that the method with the highest one is "
        "above each other in a setting and with seeds drawn at random; 0.5 is no difference. As Agarwal et al. (2021) "
        "advise, but that under `single` whole seeds are resampled, as one training serves all settings. 95 % "
        "bootstrap intervals over training seeds alone: not over other classes, settings or episodes, and with few "
        "seeds too narrow (docs/statistics.md); the first was chosen from these data. No test is made of them.",
        lambda shown: over_seeds_and_settings(shown.overall, shown.results.variants),
    ),
    "budgets": (
        "Accuracy over the images that training saw, a point a budget that is stored, with its 95 % t-interval over "
        "episodes; a hollow marker is not complete, or its tasks were fitted by another rule.",
        lambda shown: accuracy_over_training(shown.results),
    ),
    "curves": (
        "Training loss over iterations. Methods minimise different losses: compare shapes, not heights. Of a method "
        f"with more than {MOST_CURVES} trainings the first are shown.",
        lambda shown: training_curves(shown.results),
    ),
    "cost": (
        "Minutes and peak memory of a training, the mean of the seeds on one device, which the table below names; "
        "minutes on different devices do not compare.",
        lambda shown: training_cost(shown.results),
    ),
}


@dataclass(frozen=True)
class Plot:
    """A plot, and as SVG."""

    name: str
    caption: str
    figure: Figure
    svg: bytes

    @property
    def inlined(self) -> Markup:
        """As a part of the page."""
        return inline(self.svg, self.name)


def documents(results: Results, samples: Sequence[ClassSample] = ()) -> dict[str, bytes]:
    """The files of a report by their paths in its folder: report.html, table.tex, table.md, plots/*.{svg,png}.

    samples: images to show, those of one kind together; none where the data set is not at hand
    """
    table = summarise(results)
    drawn = _plots(results, table)
    contents: dict[str, bytes] = {
        "report.html": _document(results, table, drawn, samples).encode(),
        "table.tex": render(table, "latex").encode(),
        "table.md": render(table, "markdown", load_published()).encode(),
    }
    for plot in drawn:
        contents[f"plots/{plot.name}.svg"] = plot.svg
        contents[f"plots/{plot.name}.png"] = to_png(plot.figure)
    return contents


def report_html(results: Results, samples: Sequence[ClassSample] = ()) -> str:
    """The whole report as one HTML document that loads nothing from outside itself; see `documents`."""
    table = summarise(results)
    return _document(results, table, _plots(results, table), samples)


def page(results: Results) -> str:
    """The report without its pictures: what `bench verify` holds one against."""
    table = summarise(results)
    drawn = [Plot(name, caption, Figure(), b"<svg/>") for name, (caption, _) in _shown(results, table).items()]
    return _document(results, table, drawn, ())


def _document(results: Results, table: Table, drawn: Sequence[Plot], samples: Sequence[ClassSample]) -> str:
    papers = load_published()
    looked, claims = checks(results.cells), _claims(results, papers)
    plots = dict.fromkeys(PLOTS) | {plot.name: plot for plot in drawn}
    sections = {
        "accuracy": ("Accuracy", True),
        "shots": ("Over shots", bool(plots["accuracy"])),
        "measured": ("What was measured", True),
        "alarms": ("Alarms", True),
        "compared": ("Methods compared", bool(plots["heatmap"] or plots["ranks"] or plots["aggregate"])),
        "budgets": ("Over training", bool(plots["budgets"])),
        "images": ("Images", bool(samples)),
        "cost": ("Training", bool(results.trainings)),
        "claims": ("Claims", bool(claims)),
        "cells": ("Every cell", True),
        "published": ("Published values", True),
        "provenance": ("Provenance", True),
    }
    templates = environment("fewshot_bench.reports", autoescape=True)
    return templates.get_template("report.html.j2").render(
        experiment=results.experiment,
        answer=answer(table),
        measured=measured(table),
        checks=looked,
        alarms=[alarm for check in looked for alarm in check.alarms],
        table_html=Markup(render(table, "html")),  # escaped by its own template
        published_html=Markup(render_published(papers)),
        plots=plots,
        most_variants=MOST_VARIANTS,
        n_variants=len(table.variants),
        sections=[(place, title) for place, (title, there) in sections.items() if there],
        among=among(results.by_budget),
        crossings=crossings(results.by_budget),
        samples={MEANING[kind]: list(some) for kind, some in groupby(samples, key=lambda sample: sample.kind)},
        trainings=results.trainings,
        claims_html=Markup(claims),
        cells_html=Markup(render_cells(table)),
        facts=facts(table),
        one_number=for_one_number(results.experiment.command),
        colours=colours,
        script=Markup(SCRIPT),
        script_sha256=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )


def _claims(results: Results, papers: Sequence[PublishedTable]) -> str:
    """The shipped claims, judged; empty where not a single one was measured whole."""
    variants = {column.variant for paper in papers for column in paper.columns}
    source = parse_claims(shipped_claims(), SHIPPED, variants, [paper.id for paper in papers])
    judged = judge(source, results, papers)
    return render_claims(judged, "html") if any(not claim.missing for claim in judged.claims) else ""


def _shown(results: Results, table: Table) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """The plots that have something to show: caption, and how it is drawn."""
    whole = len(table.variants) <= MOST_VARIANTS  # ranks among those that did best are not those among all
    overall = aggregates(results) if whole else ()
    if not whole:
        table = leading(table)
        results = _narrowed(results, table.variants)
    shown = Shown(results, table, overall)
    has_numbers = any(cell.mean is not None for cell in table.cells)
    full = {
        "accuracy": has_numbers,
        "heatmap": has_numbers and len(table.cells) > 1,
        "ranks": whole and rank(table) is not None,
        "aggregate": bool(overall),
        "budgets": len({score.budget for score in results.by_budget if score.images_seen}) > 1,
        "curves": any(math.isfinite(point.loss) for point in results.curves),
        "cost": any(training.seconds or training.peak_memory_bytes for training in results.trainings),
    }
    return {name: (caption, partial(draw, shown)) for name, (caption, draw) in PLOTS.items() if full[name]}


def _narrowed(results: Results, variants: Sequence[str]) -> Results:
    """What plots of training show of some variants."""
    return replace(
        results,
        variants=tuple(variants),
        trainings=tuple(t for t in results.trainings if set(t.variants) & set(variants)),
        curves=tuple(point for point in results.curves if point.variant in variants),
        by_budget=tuple(score for score in results.by_budget if score.variant in variants),
    )


def _plots(results: Results, table: Table) -> list[Plot]:
    figures = {name: (caption, draw()) for name, (caption, draw) in _shown(results, table).items()}
    return [Plot(name, caption, figure, to_svg(figure)) for name, (caption, figure) in figures.items()]
