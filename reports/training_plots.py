"""Training as figures: accuracy over its images, loss curves, and what each training cost."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fewshot_bench.reports.canvas import WIDE, panels, styled
from fewshot_bench.reports.palette import FAINT, Style, styles
from fewshot_bench.reports.plots import add_legend
from fewshot_bench.tables.over_training import Curves, curves
from fewshot_bench.tables.scores import CurvePoint, Results, TrainingCost
from fewshot_bench.tables.summary import ends
from fewshot_bench.tables.wording import setting_name

# whose trainings, what they were trained on, the device where there are several
Group = tuple[tuple[str, ...], str, str]
MOST_CURVES = 10  # of a variant: more lie on each other


def accuracy_over_training(results: Results) -> Figure:
    """Accuracy in percent over the images seen in training, a point a budget, with its 95 % interval over episodes."""
    measured, look = curves(results.by_budget), styles(results.variants)
    settings = [setting for setting in results.settings if setting in measured]
    with styled():
        figure, places, columns = panels(len(settings), 3, 2.3, 1)
        for place, (axes, setting) in enumerate(zip(places, settings, strict=True), start=1):
            axes.set_title(setting_name(*setting))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_formatter("")
            if place > len(settings) - columns:  # nothing is below it
                axes.set_xlabel("images seen in training")
            _budgets_panel(axes, measured[setting], look)
            axes.axhline(100 / setting[0], color=axes.xaxis.label.get_color(), linestyle="--", linewidth=1)
        figure.supylabel("accuracy (%)", fontsize=9)
        add_legend(figure, look)
    return figure


def training_curves(results: Results) -> Figure:
    """Training loss over iterations, one panel a variant: different losses share no axis."""
    look = styles(results.variants)
    losses: dict[str, dict[tuple[int, str], list[CurvePoint]]] = defaultdict(lambda: defaultdict(list))
    for point in results.curves:
        losses[point.variant][point.seed, point.trained_on].append(point)
    names = [name for name in results.variants if name in losses]
    with styled():
        figure, places, _ = panels(len(names), 4, 2.0, 0.3)
        for axes, name in zip(places, names, strict=True):
            axes.set_title(name, color=look[name].colour)
            for points in list(losses[name].values())[:MOST_CURVES]:
                _curve(axes, sorted(points, key=lambda point: point.iteration), look[name])
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        figure.supxlabel("iteration", fontsize=9)
        figure.supylabel("training loss", fontsize=9)
    return figure


def training_cost(results: Results) -> Figure:
    """Minutes and peak memory (MiB) as horizontal bars, the mean of the seeds on a device; none where not measured."""
    groups: dict[Group, list[TrainingCost]] = defaultdict(list)
    several = len({training.device for training in results.trainings if training.device}) > 1

    def device(training: TrainingCost) -> str:
        return training.device if several else ""

    for training in sorted(results.trainings, key=device):  # what compares stands together
        groups[training.variants, training.trained_on, device(training)].append(training)
    look = styles([*results.variants, *(name for variants, _, _ in groups for name in variants)])
    colours = [look[variants[0]].colour if variants else FAINT for variants, _, _ in groups]
    quantities = [
        ("minutes", [_mean([t.seconds / 60 for t in group]) for group in groups.values()]),
        ("peak memory (MiB)", [_mean([t.peak_memory_bytes / 2**20 for t in group]) for group in groups.values()]),
    ]
    with styled():
        figure = Figure(figsize=(WIDE, 0.9 + 0.3 * len(groups)), layout="constrained")
        for axes, (label, values) in zip(figure.subplots(1, 2), quantities, strict=True):
            bars = axes.barh(range(len(groups)), values, color=colours, height=0.7)
            axes.bar_label(bars, [_short(value) for value in values], padding=3)
            axes.set_yticks(range(len(groups)), [_group_name(key, groups) for key in groups])
            axes.set_ylim(len(groups) - 0.5, -0.5)
            axes.set_xlim(0, 1.25 * max(values) or 1)
            axes.set_xlabel(label)
            axes.grid(False, axis="y")
            axes.label_outer()
    return figure


def _budgets_panel(axes: Axes, by_variant: Curves, look: dict[str, Style]) -> None:
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


def _mean(values: Sequence[float]) -> float:
    """Of those that were measured; 0 where none was."""
    measured = [value for value in values if value]
    return sum(measured) / len(measured) if measured else 0.0


def _group_name(key: Group, groups: Mapping[Group, Sequence[TrainingCost]]) -> str:
    """The variants, what they were trained on where some of them have several trainings, the device, failed seeds."""
    (variants, trained_on, device), group = key, groups[key]
    parts = [", ".join(variants if len(variants) < 3 else [variants[0], f"{len(variants) - 1} more"])]
    if len({other for others, other, _ in groups if others == variants}) > 1:
        parts.append(trained_on)
    if device:
        parts.append(device)
    if len(group) > 1:
        parts.append(f"{len(group)} seeds")
    states = Counter(training.state for training in group if training.state != "finished")
    told = ", ".join(f"{n} {state}" if len(group) > 1 else state for state, n in states.items())
    return " · ".join(parts) + (f" ({told})" if told else "")
