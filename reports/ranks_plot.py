"""The critical-difference diagram (Demsar 2006): mean ranks over the settings, and who is not separated."""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fewshot_bench.reports.canvas import WIDE, styled
from fewshot_bench.reports.fonts import letters_of
from fewshot_bench.reports.palette import TEXT, Style, styles
from fewshot_bench.tables.ranks import Ranking, rank
from fewshot_bench.tables.summary import Table

LINE = 0.34  # inches between two names
BAR = 0.6  # of it between two bars
APART = 0.25  # inches at least between two ranks
EDGE = 0.1  # inches beside the names
ABOVE = 2.2  # lines: the critical difference, and the numbers of the ranks


def critical_differences(table: Table) -> Figure:
    """Best rank at the left; a bar joins variants whose ranks lie closer than the critical difference.

    Raises ValueError where there are too few settings or variants to rank.
    """
    ranking = rank(table)
    if ranking is None:
        raise ValueError("too few settings or variants to rank")
    n = len(ranking.ranked)
    bars = BAR * (len(ranking.groups) + 1)  # lines
    depth = bars + (n + 1) // 2
    with styled():
        names = _widest([_label(i, ranking) for i in range(n)]) + EDGE
        width = max(WIDE, 2 * names + APART * n)
        scale = (width - 2 * names) / (n - 0.5)  # inches a rank
        figure = Figure(figsize=(width, LINE * (depth + ABOVE)))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0.75 - names / scale, n + 0.25 + names / scale)
        axes.set_ylim(depth, -ABOVE)
        _axis(axes, ranking)
        for level, group in enumerate(ranking.groups):
            ends = [r.mean_rank for r in ranking.ranked if r.variant in (group[0], group[-1])]
            y = BAR * level + 0.5
            axes.plot([min(ends) - 0.06 / scale, max(ends) + 0.06 / scale], [y, y], color=TEXT, linewidth=3.5)
        _variants(axes, ranking, styles(table.variants), bars)
    return figure


def _axis(axes: Axes, ranking: Ranking) -> None:
    """The line of ranks, and above it the length of the critical difference."""
    n, length = len(ranking.ranked), ranking.critical_difference
    axes.plot([1, n], [0, 0], color=TEXT, linewidth=1)
    for tick in range(1, n + 1):
        axes.plot([tick, tick], [0, -0.18], color=TEXT, linewidth=1)
        axes.text(tick, -0.3, str(tick), ha="center", va="bottom", fontsize=8)
    axes.plot([1, 1 + length], [-1.3, -1.3], color=TEXT, linewidth=1)
    for x in (1, 1 + length):
        axes.plot([x, x], [-1.2, -1.4], color=TEXT, linewidth=1)
    told = f"critical difference {length:.2f}, {len(ranking.settings)} settings"
    told += "" if ranking.separates else ": nothing is separated"
    axes.text(sum(axes.get_xlim()) / 2, -1.5, told, ha="center", va="bottom")


def _variants(axes: Axes, ranking: Ranking, look: dict[str, Style], top: float) -> None:
    """A marker on the line for each, and a leader to its name, from the line `top` downwards."""
    n = len(ranking.ranked)
    for i, ranked in enumerate(ranking.ranked):
        at_left = _at_left(i, ranking)
        y = top + (i if at_left else n - 1 - i)
        end = 0.75 if at_left else n + 0.25
        style = look[ranked.variant]
        axes.plot([ranked.mean_rank, ranked.mean_rank, end], [0, y, y], color=style.colour, linewidth=1.3)
        axes.plot([ranked.mean_rank], [0], style.marker, color=style.colour, markersize=5.5)
        axes.text(end, y, _label(i, ranking), ha="right" if at_left else "left", va="center", color=style.colour)


def _at_left(i: int, ranking: Ranking) -> bool:
    """The better half has its names at the left."""
    return i < (len(ranking.ranked) + 1) // 2


def _label(i: int, ranking: Ranking) -> str:
    """Name and mean rank, the rank towards the leader."""
    name, rank = ranking.ranked[i].variant, f"{ranking.ranked[i].mean_rank:.2f}"
    return f"{name}  {rank} " if _at_left(i, ranking) else f" {rank}  {name}"


def _widest(texts: list[str]) -> float:
    """Inches."""
    figure = Figure()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    drawn = [figure.text(0, 0, text) for text in texts]
    with letters_of(figure):
        return max(text.get_window_extent(renderer).width for text in drawn) / figure.dpi
