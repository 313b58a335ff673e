"""Accuracy over training images as a figure, one panel a setting."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import WIDE, styled
from fewshot_bench.reports.palette import Style, styles
from fewshot_bench.reports.plots import legend
from fewshot_bench.tables.over_training import Curves, curves
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import ends
from fewshot_bench.tables.wording import setting_name


def accuracy_over_training(results: Results) -> Figure:
    """Accuracy in percent over the images seen in training, a point a budget, with its 95 % interval over episodes."""
    panels, look = curves(results.by_budget), styles(results.variants)
    settings = [setting for setting in results.settings if setting in panels]
    with styled():
        columns = min(len(settings), 3)
        rows = math.ceil(len(settings) / columns)
        figure = Figure(figsize=(WIDE, 2.3 * rows + 1), layout="constrained")
        for place, setting in enumerate(settings, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(setting_name(*setting))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_formatter("")
            if place > len(settings) - columns:  # nothing is below it
                axes.set_xlabel("images seen in training")
            _panel(axes, panels[setting], look)
            axes.axhline(100 / setting[0], color=axes.xaxis.label.get_color(), linestyle="--", linewidth=1)
        figure.supylabel("accuracy (%)", fontsize=9)
        figure.legend(handles=legend(look), labels=[*look, "chance"], loc="outside lower center", ncols=4)
    return figure


def _panel(axes: Axes, by_variant: Curves, look: dict[str, Style]) -> None:
    """A line a variant through the budgets with one rule; hollow: another rule, or not complete."""
    for variant, points in by_variant.items():
        style, joined = look[variant], [point for point in points if point.same_rule]
        axes.plot(
            [p.images_seen for p in joined],
            [100 * p.mean for p in joined],
            style.line,
            color=style.colour,
            linewidth=1.2,
        )
        for point in points:
            low, high = ends(point.mean, point.half_width, point.interval) or (point.mean, point.mean)
            fill = style.colour if point.complete and point.same_rule else axes.get_facecolor()
            axes.errorbar(
                point.images_seen, 100 * point.mean, [[100 * (point.mean - low)], [100 * (high - point.mean)]],
                fmt=style.marker,
                color=style.colour, markerfacecolor=fill, markersize=4.5, elinewidth=1,
            )  # fmt: skip
