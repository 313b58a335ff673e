"""The critical-difference diagram (Demsar 2006): mean ranks over the settings, and who is not separated."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import NARROW, WIDE, empty, themed
from fewshot_bench.reports.palette import LIGHT, Theme, styles
from fewshot_bench.tables.ranks import FEWEST_SETTINGS, FEWEST_VARIANTS, Ranking, rank
from fewshot_bench.tables.summary import Table

LINE = 0.34  # inches between two names or bars


def critical_differences(table: Table, theme: Theme = LIGHT, narrow: bool = False) -> Figure:
    """Best rank at the left; a bar joins variants whose ranks lie closer than the critical difference."""
    ranking = rank(table)
    if ranking is None:
        return empty(
            f"Ranks need {FEWEST_SETTINGS} settings in which each of {FEWEST_VARIANTS} variants or more is done.",
            theme,
            narrow,
        )
    look = styles(table.variants, theme)
    n = len(ranking.ranked)
    left = (n + 1) // 2  # the better half has its names at the left
    depth = len(ranking.groups) * 0.6 + left + 0.6
    with themed(theme):
        figure = Figure(figsize=(NARROW if narrow else WIDE * 0.8, LINE * (depth + 3)), layout="constrained")
        axes = figure.add_subplot()
        _axis(axes, ranking, theme)
        for level, group in enumerate(ranking.groups):
            ends = [r.mean_rank for r in ranking.ranked if r.variant in (group[0], group[-1])]
            axes.plot([min(ends) - 0.06, max(ends) + 0.06], [0.5 + 0.6 * level] * 2, color=theme.text, linewidth=3.5)
        below = len(ranking.groups) * 0.6 + 0.6
        for i, ranked in enumerate(ranking.ranked):
            y = below + (i if i < left else n - 1 - i)
            end, side = (0.75, "right") if i < left else (n + 0.25, "left")
            colour = look[ranked.variant].colour
            axes.plot([ranked.mean_rank, ranked.mean_rank, end], [0, y, y], color=colour, linewidth=1.3)
            axes.plot([ranked.mean_rank], [0], look[ranked.variant].marker, color=colour, markersize=5.5)
            name = (
                f"{ranked.variant}  {ranked.mean_rank:.2f}" if i < left else f"{ranked.mean_rank:.2f}  {ranked.variant}"
            )
            axes.text(end + (-0.08 if i < left else 0.08), y, name, ha=side, va="center", color=colour)
        axes.set_ylim(depth, -2.2)
    return figure


def _axis(axes: Axes, ranking: Ranking, theme: Theme) -> None:
    """The line of ranks, and above it the length of the critical difference."""
    n, length = len(ranking.ranked), ranking.critical_difference
    axes.axis("off")
    margin = 0.42 * n
    axes.set_xlim(1 - margin, n + margin)
    axes.plot([1, n], [0, 0], color=theme.text, linewidth=1)
    for tick in range(1, n + 1):
        axes.plot([tick, tick], [0, -0.18], color=theme.text, linewidth=1)
        axes.text(tick, -0.3, str(tick), ha="center", va="bottom", fontsize=8)
    end = min(1 + length, n + margin)
    axes.plot([1, end], [-1.5, -1.5], color=theme.text, linewidth=1)
    for x in (1, end):
        axes.plot([x, x], [-1.4, -1.6], color=theme.text, linewidth=1)
    told = f"critical difference {length:.2f}, {len(ranking.settings)} settings"
    told += "" if ranking.separates else ": nothing is separated"
    axes.text(1, -1.65, told, ha="left", va="bottom")
