"""Training as figures: loss curves, and what each training cost. Each for a page or a phone."""

import math
from collections import defaultdict
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fewshot_bench.reports.canvas import NARROW, WIDE, styled
from fewshot_bench.reports.palette import FAINT, Style, styles
from fewshot_bench.tables.scores import CurvePoint, Results, TrainingCost


def training_curves(results: Results, narrow: bool = False) -> Figure:
    """Training loss over iterations, one panel a variant: different losses share no axis."""
    look = styles(results.variants)
    curves: dict[str, dict[tuple[int, str], list[CurvePoint]]] = defaultdict(lambda: defaultdict(list))
    for point in results.curves:
        curves[point.variant][point.seed, point.trained_on].append(point)
    names = [name for name in results.variants if name in curves]
    with styled():
        columns = min(len(names), 2 if narrow else 4)
        rows = math.ceil(len(names) / columns)
        figure = Figure(figsize=(NARROW if narrow else WIDE, 2.0 * rows + 0.3), layout="constrained")
        for place, name in enumerate(names, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(name, color=look[name].colour)
            for points in curves[name].values():
                _curve(axes, sorted(points, key=lambda point: point.iteration), look[name])
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        figure.supxlabel("iteration", fontsize=9)
        figure.supylabel("training loss", fontsize=9)
    return figure


def training_cost(results: Results, narrow: bool = False) -> Figure:
    """Minutes and peak memory (MiB) of each training, as horizontal bars; what was not measured has none."""
    trainings = results.trainings
    look = styles([*results.variants, *(name for training in trainings for name in training.variants)])
    colours = [look[training.variants[0]].colour if training.variants else FAINT for training in trainings]
    quantities = [
        ("minutes", [training.seconds / 60 for training in trainings]),
        ("peak memory (MiB)", [training.peak_memory_bytes / 2**20 for training in trainings]),
    ]
    with styled():
        height = 0.9 + 0.3 * len(trainings)
        size = (NARROW, 2 * height) if narrow else (WIDE, height)
        figure = Figure(figsize=size, layout="constrained")
        shape = (2, 1) if narrow else (1, 2)
        for axes, (label, values) in zip(figure.subplots(*shape, squeeze=False).flat, quantities, strict=True):
            bars = axes.barh(range(len(trainings)), values, color=colours, height=0.7)
            axes.bar_label(bars, [_short(value) for value in values], padding=3)
            axes.set_yticks(range(len(trainings)), [_training_name(results, t) for t in trainings])
            axes.invert_yaxis()
            axes.set_xlim(0, 1.25 * max(values) or 1)
            axes.set_xlabel(label)
            axes.grid(False, axis="y")
            if not narrow:
                axes.label_outer()
    return figure


def _curve(axes: Axes, points: Sequence[CurvePoint], style: Style) -> None:
    """The finite points; where the loss stopped being a number, a dotted line says so."""
    finite = [point for point in points if math.isfinite(point.loss)]
    axes.plot([point.iteration for point in finite], [point.loss for point in finite], color=style.colour,
              linewidth=1.2, marker="o" if len(finite) == 1 else "", alpha=0.85)  # fmt: skip
    broken = [point.iteration for point in points if not math.isfinite(point.loss)]
    if broken:
        axes.axvline(broken[0], color=style.colour, linestyle=":")
        label = axes.text(broken[0], 0.98, "diverged", transform=axes.get_xaxis_transform(), fontsize=7)
        label.set(rotation=90, ha="right", va="top")


def _short(value: float) -> str:
    if not value:
        return "not measured"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def _training_name(results: Results, training: TrainingCost) -> str:
    parts = [", ".join(training.variants)]
    if len({other.trained_on for other in results.trainings if other.variants == training.variants}) > 1:
        parts.append(training.trained_on)
    if len(results.seeds) > 1:
        parts.append(f"seed {training.seed}")
    name = " · ".join(parts)
    return name if training.state == "finished" else f"{name} ({training.state})"
