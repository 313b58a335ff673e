"""The measured growth as a section of docs/measurements.md."""

import math
from textwrap import fill
from typing import Any

from benchmarks.growth_curves import BAND, BASES, Growth, Record, costs_of, curve, growths
from benchmarks.growth_plot import PICTURES
from benchmarks.growth_points import N_QUERY, RECOMPUTED, TESTED, TRAINED, Point

COMMAND = "python -m benchmarks.growth"
WIDTH = 110  # characters of a line of text
MIB = 2**20
AXIS_NAMES = {
    "n_way": "ways",
    "n_shot": "shots",
    "steps": "steps",
    "filters": "filters",
    "pixels": "pixels a side",
    "n_tasks": "tasks",
}
TEST_NAMES = AXIS_NAMES | {"n_tasks": "episodes (embedding: classes)"}
SIZES = (32, 84)  # pixels, where predictions of memory are compared


def as_markdown(record: Record, about: dict[str, Any]) -> str:
    """A section: what was measured, where and by which command; tables, outliers, memory."""
    grown = growths(record)
    tested = [g for g in grown if not BASES[g.work].trains]
    parts = [
        "## Growth",
        fill(_origin(about), WIDTH),
        fill(_how_to_read(), WIDTH),
        _table(record, [g for g in grown if BASES[g.work].trains], "a training step", AXIS_NAMES),
        _table(record, tested, "a test", TEST_NAMES),
        *(f"![{title}]({name})" for name, title in PICTURES.items()),
        "\n".join(_outliers(record, grown)),
        "\n".join(_memory(record)),
        _predictions(record),
    ]
    return "\n\n".join(part for part in parts if part)


def _origin(about: dict[str, Any]) -> str:
    machine, load = about["machine"], about["load"]
    busy = "" if load is None else f", load average {load:.1f} in the minute before"
    return (
        f"`{COMMAND}`, commit {about['commit'] or 'unknown'}, {about['measured_at'][:10]}; {machine['processor']}, "
        f"{machine['cores']} cores{busy}; python {machine['python']}, torch {machine['torch']}. One thread, processor "
        f"time, the least of a few repetitions; each point in a process of its own, on noise."
    )


def _how_to_read() -> str:
    base = Point("maml")
    return (
        f"Each line begins at a base of {base.n_way}-way {base.n_shot}-shot with {N_QUERY} queries, {base.steps} inner "
        f"steps, {base.filters} filters, {base.pixels}×{base.pixels} pixels and one task (a batch of 64 for transfer). "
        "A cell has, from the base to the end of one axis, how many times the seconds an image takes: an image pixel "
        "where pixels grow, an image and filter where filters do. Images count as often as they pass through the "
        f"network. Growth is linear at 1; what leaves {BAND[0]} to {BAND[1]} is bold, and explained below. Behind the "
        "stroke: how many times the memory that the process takes for it, in all."
    )


def _table(record: Record, grown: list[Growth], head: str, names: dict[str, str]) -> str:
    if not grown:
        return ""
    axes = [axis for axis in names if any(g.axis == axis for g in grown)]
    lines = [[head, "base", *(names[axis] for axis in axes)], ["---", "---:", *["---:"] * len(axes)]]
    for work in dict.fromkeys(g.work for g in grown):
        cells = {g.axis: _cell(g) for g in grown if g.work == work}
        base = record[BASES[work]]
        start = f"{_seconds(base.seconds)}, {base.added_bytes / MIB:.0f} MiB"
        lines.append([work, start, *(cells.get(axis, "") for axis in axes)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(g: Growth) -> str:
    seconds = f"{g.seconds:.2f}" if g.is_linear else f"**{g.seconds:.2f}**"
    return f"{g.start} → {g.end}: {seconds} / {g.memory:.1f}"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"


def _outliers(record: Record, grown: list[Growth]) -> list[str]:
    """A bullet for each reason, with all that has it."""
    found: dict[str, list[str]] = {}
    for g in grown:
        if not g.is_linear:
            found.setdefault(_reason(g), []).append(_outlier(g))
    if not found:
        return []
    bullets = [f"{reason}: {'; '.join(outliers)}." for reason, outliers in found.items()]
    lines = [fill(_costs(record), WIDTH), ""]
    return lines + [fill(bullet, WIDTH, initial_indent="- ", subsequent_indent="  ") for bullet in bullets]


def _costs(record: Record) -> str:
    """What seconds are made of, as fitted."""
    text = "Outside the band, with how many times the operations, bytes and operators' calls an image takes, as counted"
    costs = costs_of(record, "maml")
    if math.isfinite(costs[0]) and all(costs):
        rates = (1e-9 / costs[0], 1e-9 / costs[1], 1e6 * costs[2])
        text += ", and the seconds that these lead one to expect. All training steps together are fitted best by "
        text += "{:.0f} GFLOP/s, {:.0f} GB/s and {:.1f} µs a call; tests have costs of their own".format(*rates)
    return text + ":"


def _outlier(g: Growth) -> str:
    expected = "" if math.isnan(g.expected) else f", expected {g.expected:.2f}"
    counts = f"operations {g.operations:.2f}, bytes {g.bytes:.2f}, calls {g.calls:.2f}"
    return f"**{g.work}, {AXIS_NAMES[g.axis]} {g.start} → {g.end}: {g.seconds:.2f}**{expected} ({counts})"


def _reason(g: Growth) -> str:
    """In words: the cost that moved most, where the costs explain the growth."""
    larger = "larger" if g.seconds > 1 else "smaller"
    if math.isnan(g.expected):
        return "Too few points to say what costs how much"
    if not g.is_explained:
        return "Not what these lead one to expect, so that something else takes part"
    if g.main_cost == "calls":
        images = "more" if g.calls < 1 else "fewer"
        return f"An operator's call costs the same for many images as for few, and there are {images} images to a call"
    if g.axis == "filters":
        return "A convolution's operations grow with the square of the filters, all else with their number"
    if g.axis in ("steps", "n_shot") and g.work == TESTED:
        return f"Images that are fitted to have a backward pass, queries have none; the first are a {larger} share"
    if g.axis in ("steps", "n_shot") and g.work in ("maml", RECOMPUTED):
        return f"An inner step's images are differentiated twice, queries once; the first are a {larger} share"
    return f"An image's share of {g.main_cost} is {larger}"


def _memory(record: Record) -> list[str]:
    """How memory grows with the steps, where it should be flat and where not."""
    lines = []
    works = {TESTED: "adaptation steps at test", "maml": "inner steps", RECOMPUTED: "inner steps, recomputed"}
    for work, what in works.items():
        if BASES[work] not in record:
            continue
        line = [(steps, m.added_bytes / MIB) for steps, m in curve(record, work, "steps")]
        (a, low), (b, middle), (c, high) = line[-3:]
        listed = ", ".join(f"{steps}: {mib:.0f}" for steps, mib in line)
        slopes = f"{(middle - low) / (b - a):.1f} MiB a step from {a} to {b}, {(high - middle) / (c - b):.1f} from {b}"
        text = f"Memory, MiB, by {what}: {listed}; {slopes} to {c}."
        lines.append(fill(text, WIDTH, initial_indent="- ", subsequent_indent="  "))
    return lines


def _predictions(record: Record) -> str:
    """Predicted and measured peaks of the methods' training processes."""
    works = [work for work in TRAINED if BASES[work] in record]
    if not works:
        return ""
    heads = [head for size in SIZES for head in (f"{size}×{size}: predicted", "measured", "ratio")]
    lines = [["peak memory, training", *heads], ["---", *["---:"] * len(heads)]]
    for work in works:
        along = dict(curve(record, work, "pixels"))
        cells = []
        for size in SIZES:
            told, peak = along[size].predicted_bytes, along[size].peak_bytes
            cells += [f"{told / MIB:.0f} MiB", f"{peak / MIB:.0f} MiB", f"{told / peak:.2f}"]
        lines.append([work, *cells])
    own = [record[BASES[work]].own_bytes / MIB for work in works]
    text = (
        f"Of the peaks, {min(own):.0f} to {max(own):.0f} MiB are the process before its first step at 32×32, libraries "
        "and images included; less than if it had loaded the libraries itself, as these are forked from one that "
        "has. Predictions as in `bench run -n`, made in the same process."
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + fill(text, WIDTH)
