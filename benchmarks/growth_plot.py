"""The measured growth as pictures: seconds and memory along every axis."""

import dataclasses
import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from benchmarks.growth_curves import AXES, BASES, Record, amount, curve
from benchmarks.growth_points import EMBEDDED, LOOKED_UP, RECOMPUTED, TESTED, TRAINED
from fewshot_bench.reports.canvas import WIDE, styled, to_png
from fewshot_bench.reports.palette import TEXT, styles

TRAINING, TEST = "growth-training.png", "growth-test.png"
PICTURES = {
    TRAINING: "Seconds and memory of a training step along six axes",
    TEST: "Seconds and memory of a test along four axes",
}
LABELS = {
    "n_way": "ways",
    "n_shot": "shots",
    "steps": "inner steps",
    "filters": "filters",
    "pixels": "pixels a side",
    "n_tasks": "tasks (transfer: batches of 64 in one)",
}
TEST_LABELS = {
    "n_way": "ways",
    "n_shot": "shots",
    "steps": "adaptation steps",
    "n_tasks": "episodes (embedding: classes)",
}
MIB = 2**20


def pictures(record: Record) -> dict[str, bytes]:
    """File name -> PNG."""
    return {TRAINING: to_png(training(record)), TEST: to_png(test(record))}


def training(record: Record) -> Figure:
    """Training steps: in each of two bands three axes, seconds above memory."""
    with styled():
        figure = Figure(figsize=(WIDE, 9.2), layout="constrained")
        panels = _panels(figure, 4, 3)
        works = [*TRAINED, RECOMPUTED]
        for place, (axis, label) in enumerate(LABELS.items()):
            band, column = divmod(place, 3)
            _column(panels[2 * band][column], panels[2 * band + 1][column], record, works, axis)
            panels[2 * band + 1][column].set_xlabel(label)
        _finish(figure, panels)
    return figure


def test(record: Record) -> Figure:
    """Tests: an axis a column, seconds above memory."""
    with styled():
        figure = Figure(figsize=(WIDE, 5.0), layout="constrained")
        panels = _panels(figure, 2, 4)
        for column, (axis, label) in enumerate(TEST_LABELS.items()):
            _column(panels[0][column], panels[1][column], record, [TESTED, LOOKED_UP, EMBEDDED], axis)
            panels[1][column].set_xlabel(label)
        _finish(figure, panels)
    return figure


def _panels(figure: Figure, rows: int, columns: int) -> Any:
    """Rows of seconds, which share a scale, and of memory in turn."""
    panels = figure.subplots(rows, columns)
    for row in panels[::2]:
        for panel in row[1:]:
            panel.sharey(row[0])
    return panels


def _column(seconds: Axes, memory: Axes, record: Record, works: list[str], axis: str) -> None:
    """Draw the works that have this axis; dotted: the seconds, if they grew as the images do."""
    ticks: set[int] = set()
    for work in works:
        if axis not in AXES[work] or BASES[work] not in record:
            continue
        line, look = curve(record, work, axis), _look(work)
        values = [value for value, _ in line]
        ticks |= set(values)
        seconds.plot(values, [m.seconds for _, m in line], label=work, **look)
        memory.plot(values, [m.added_bytes / MIB for _, m in line], **look)
        seconds.plot(values, _linear(record, work, axis), ":", color=look["color"], linewidth=0.9)
    _scale(seconds, sorted(ticks))
    if axis == "steps":  # linear, so that a straight line is one
        memory.set_ylim(0, 1.15 * memory.dataLim.ymax)
        memory.set_xlim(left=0)
    else:
        _scale(memory, sorted(ticks))


def _scale(panel: Axes, ticks: list[int]) -> None:
    """Logarithmic, with a tick at each value that does not stand too close to the one before."""
    kept = ticks[:1]
    for tick in ticks[1:]:
        if tick / kept[-1] > (ticks[-1] / ticks[0]) ** 0.1:
            kept.append(tick)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(FixedLocator(kept))
    panel.xaxis.set_minor_locator(NullLocator())
    for scale in (panel.xaxis, panel.yaxis):
        scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


def _linear(record: Record, work: str, axis: str) -> list[float]:
    """Seconds along an axis, if each image (pixel, filter) took what it takes at the base."""
    base = BASES[work]
    each = record[base].seconds / amount(base, record[base].images)
    along = curve(record, work, axis)
    return [each * amount(dataclasses.replace(base, **{axis: value}), m.images) for value, m in along]  # type: ignore[arg-type]


def _finish(figure: Figure, panels: Any) -> None:
    """Units, and one legend for all panels."""
    for row, what in zip(panels, itertools.cycle(("seconds", "memory, MiB")), strict=False):
        row[0].set_ylabel(what)
    drawn = {name: line for panel in panels.flat for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    named = {work: drawn[work] for work in AXES if work in drawn}
    named["linear in the images"] = Line2D([], [], linestyle=":", color=TEXT, linewidth=0.9)
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=4)


def _look(work: str) -> dict[str, Any]:
    """A method's own colour and marker, as in the report; a second work of it is dashed."""
    name, second = work.partition(",")[0], work in (RECOMPUTED, EMBEDDED)
    own = styles([name])[name]
    look = {"color": own.colour, "marker": "x" if second else own.marker, "linestyle": "--" if second else "-"}
    return look | {"markersize": 4, "linewidth": 1.2}
