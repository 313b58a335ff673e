"""Each method over all seeds and settings as one number, and how likely the first is better: two panels."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import WIDE, styled
from fewshot_bench.reports.palette import Style, styles
from fewshot_bench.tables.aggregate import Aggregate, Measured

LINE = 0.28  # inches between two methods


def over_seeds_and_settings(found: Sequence[Aggregate], variants: Sequence[str]) -> Figure:
    """Interquartile means, the highest at the top, and beside probabilities of improvement.

    variants: all of the report's, whose styles these keep
    """
    with styled():
        figure = Figure(figsize=(WIDE, LINE * len(found) + 0.9), layout="constrained")
        means, chances = (figure.add_subplot(1, 2, i) for i in (1, 2))
        look = styles(variants)
        _panel(means, found, [a.middle for a in found], look)
        means.set_xlabel("interquartile mean, chance = 0, perfect = 1")
        _panel(chances, found[1:], [a.beaten for a in found if a.beaten], look)
        chances.set_xlabel(f"probability that {found[0].variant} is better")
        chances.set_xlim(0, 1.02)
        chances.axvline(0.5, color=chances.xaxis.label.get_color(), linestyle="--", linewidth=1)
    return figure


def _panel(axes: Axes, shown: Sequence[Aggregate], measured: Sequence[Measured], look: dict[str, Style]) -> None:
    """A line a method: its value, and a bar from end to end of its interval."""
    for y, (aggregate, (value, low, high)) in enumerate(zip(shown, measured, strict=True)):
        style = look[aggregate.variant]
        axes.plot([low, high], [y, y], color=style.colour, linewidth=1.6)
        axes.plot([value], [y], style.marker, color=style.colour, markersize=5.5)
    axes.set_yticks(range(len(shown)), [aggregate.variant for aggregate in shown])
    axes.invert_yaxis()
