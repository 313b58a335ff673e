"""Accuracy as figures: over the shots, as a heat map, and over all seeds and settings."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fewshot_bench.reports.canvas import VALUE, WIDE, panels, styled
from fewshot_bench.reports.palette import BACKGROUND, FAINT, TEXT, Style, readable_on, styles
from fewshot_bench.tables.aggregate import Aggregate, Measured
from fewshot_bench.tables.layout import by_way
from fewshot_bench.tables.summary import Cell, Row, Table
from fewshot_bench.tables.wording import accuracy, cell_name, setting_name

FEWEST_FOR_A_BAND = 5  # episodes: an interval over fewer says little
MOST_VARIANTS = 16
LINE = 0.28  # inches between two methods
_MARKS = {"failed": "✗", "missing": "—", "partial": "—"}


def leading(table: Table) -> Table:
    """The table of no more variants than a plot can tell apart: those with the highest mean over the settings.

    Accuracies count as shares of the way from chance to perfect.
    """
    if len(table.variants) <= MOST_VARIANTS:
        return table
    totals = dict.fromkeys(table.variants, 0.0)
    for row in table.rows:
        for cell in row.cells:
            totals[cell.variant] += _above_chance(row, cell) or 0.0
    kept = set(sorted(totals, key=lambda variant: -totals[variant])[:MOST_VARIANTS])
    rows = tuple(replace(row, cells=tuple(cell for cell in row.cells if cell.variant in kept)) for row in table.rows)
    return replace(table, variants=tuple(name for name in table.variants if name in kept), rows=rows)


def accuracy_against_shots(table: Table) -> Figure:
    """Accuracy in percent over the shots, one panel a way; bands are the 95 % intervals of the table."""
    look = styles(table.variants)
    ways = by_way(table.rows)
    with styled():
        figure, places, columns = panels(len(ways), 3, 3.6, 1)
        for place, (axes, (way, rows)) in enumerate(zip(places, ways, strict=True)):
            _accuracy_panel(axes, sorted(rows, key=lambda row: row.n_shot), look)
            axes.set_title(f"{way}-way")
            axes.set_xlabel("shots (images a class)")
            axes.set_ylim(0, min(100, axes.get_ylim()[1]))
            if place % columns == 0:
                axes.set_ylabel("accuracy (%)")
        add_legend(figure, look)
    return figure


def heat_map(table: Table) -> Figure:
    """Accuracy in percent of every variant in every setting, coloured from chance to perfect."""
    columns, rows = len(table.variants), len(table.rows)
    with styled():
        width = max(WIDE, 1.6 + 0.62 * columns)
        figure = Figure(figsize=(width, 1.9 + 0.36 * rows), layout="constrained")
        axes = figure.subplots()
        shown = [[_above_chance(row, cell) for cell in row.cells] for row in table.rows]
        colours = matplotlib.colormaps["viridis"].with_extremes(bad=FAINT)
        grid = [[math.nan if value is None else value for value in line] for line in shown]
        image = axes.pcolormesh(grid, cmap=colours, vmin=0, vmax=1, edgecolors=BACKGROUND, linewidth=1.5)
        for y, row in enumerate(table.rows):
            for x, (cell, value) in enumerate(zip(row.cells, shown[y], strict=True)):
                label = axes.text(x + 0.5, y + 0.5, _heat_text(cell), ha="center", va="center")
                label.set_color(TEXT if value is None else readable_on(*colours(value)[:3]))
                label.set_fontweight("bold" if cell.best else "normal")
        for y in range(1, rows):
            if table.rows[y].n_way != table.rows[y - 1].n_way:
                axes.axhline(y, color=BACKGROUND, linewidth=5)
        names = [setting_name(row.n_way, row.n_shot) for row in table.rows]
        axes.set_xticks(
            [x + 0.5 for x in range(columns)], table.variants, rotation=40, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks([y + 0.5 for y in range(rows)], names)
        axes.invert_yaxis()
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=40, shrink=0.8)
        bar.set_label("share of the way from chance (0) to perfect (1)")
        bar.outline.set_visible(False)
    return figure


def over_seeds_and_settings(found: Sequence[Aggregate], variants: Sequence[str]) -> Figure:
    """Interquartile means, the highest at the top, and beside probabilities of improvement.

    variants: all of the report's, whose styles these keep
    """
    with styled():
        figure = Figure(figsize=(WIDE, LINE * len(found) + 0.9), layout="constrained")
        means, chances = (figure.add_subplot(1, 2, i) for i in (1, 2))
        look = styles(variants)
        _aggregate_panel(means, found, [a.middle for a in found], look)
        means.set_xlabel("interquartile mean, chance = 0, perfect = 1")
        _aggregate_panel(chances, found[1:], [a.beaten for a in found if a.beaten], look)
        chances.set_xlabel(f"probability that {found[0].variant} is better")
        chances.set_xlim(0, 1.02)
        chances.axvline(0.5, color=chances.xaxis.label.get_color(), linestyle="--", linewidth=1)
    return figure


def _accuracy_panel(axes: Axes, rows: Sequence[Row], look: dict[str, Style]) -> None:
    """One line a variant, broken where a cell has no number; a partial cell's marker is hollow."""
    for column, cell in enumerate(rows[0].cells):
        style = look[cell.variant]
        points = [(row.n_shot, row.cells[column]) for row in rows]
        for measured, run in groupby(points, key=lambda point: point[1].mean is not None):
            if measured:
                _accuracy_line(axes, list(run), style)
    axes.axhline(100 * rows[0].chance, color=axes.xaxis.label.get_color(), linestyle="--", linewidth=1)
    shots = sorted({row.n_shot for row in rows})
    axes.set_xscale("log")
    axes.set_xlim(shots[0] / 1.4, shots[-1] * 1.4)
    axes.set_xticks(shots, [str(shot) for shot in shots])
    axes.set_xticks([], minor=True)


def _accuracy_line(axes: Axes, points: list[tuple[int, Cell]], style: Style) -> None:
    shots = [shot for shot, _ in points]
    means = [100 * (cell.mean or 0.0) for _, cell in points]
    ends = [
        cell.ends if cell.n_episodes >= FEWEST_FOR_A_BAND and cell.ends else (cell.mean or 0.0,) * 2
        for _, cell in points
    ]
    low, high = ([100 * pair[i] for pair in ends] for i in (0, 1))
    axes.plot(shots, means, color=style.colour, linestyle=style.line, linewidth=1.4)
    axes.fill_between(shots, low, high, color=style.colour, alpha=0.18, linewidth=0)
    axes.vlines(shots, low, high, color=style.colour, alpha=0.5, linewidth=1.4)  # a single point has no band
    for shot, mean, (_, cell) in zip(shots, means, points, strict=True):
        fill = style.colour if cell.state == "done" else axes.get_facecolor()
        value = f"{VALUE}{cell_name(cell.variant, cell.n_way, cell.n_shot)}: {accuracy(cell.mean, cell.half_width)} %"
        axes.plot([shot], [mean], style.marker, color=style.colour, markerfacecolor=fill, markersize=5.5, gid=value)


def _aggregate_panel(
    axes: Axes, shown: Sequence[Aggregate], measured: Sequence[Measured], look: dict[str, Style]
) -> None:
    """A line a method: its value, and a bar from end to end of its interval."""
    for y, (aggregate, (value, low, high)) in enumerate(zip(shown, measured, strict=True)):
        style = look[aggregate.variant]
        axes.plot([low, high], [y, y], color=style.colour, linewidth=1.6)
        axes.plot([value], [y], style.marker, color=style.colour, markersize=5.5)
    axes.set_yticks(range(len(shown)), [aggregate.variant for aggregate in shown])
    axes.invert_yaxis()


def add_legend(figure: Figure, look: dict[str, Style]) -> None:
    """Below the panels: every variant, then the line of chance."""
    handles = [Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line) for style in look.values()]
    handles.append(Line2D([], [], color=TEXT, linestyle="--", linewidth=1))
    figure.legend(handles=handles, labels=[*look, "chance"], loc="outside lower center", ncols=4)


def _above_chance(row: Row, cell: Cell) -> float | None:
    """0 at chance or below, 1 where every query is right; None where there is no number."""
    return None if cell.mean is None else max(0.0, (cell.mean - row.chance) / (1 - row.chance))


def _heat_text(cell: Cell) -> str:
    if cell.mean is None:
        return _MARKS.get(cell.state, "")
    return f"{100 * cell.mean:.1f}" + ("*" if cell.state == "partial" else "")
