"""The measurements of `benchmarks.data` as tables."""

import statistics
from textwrap import fill
from typing import Any

COMMAND = "python -m benchmarks.data"
WIDTH = 110  # characters of a line of text


def as_markdown(measured: dict[str, Any]) -> str:
    """A section: what was measured, where, and by which command."""
    machine = measured["machine"]
    libraries = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "numpy", "pillow"))
    about = (
        f"`{COMMAND}`, commit {measured['commit'] or 'unknown'}, {measured['measured_at'][:10]}; "
        f"{machine['processor']}, {machine['cores']} cores{_load(measured)}; {libraries}. "
        f"{measured['images']:,} JPEG files of 84×84 pixels in {measured['classes']} folders, "
        f"{measured['file_bytes'] / 1000:.1f} kB each on average: synthetic, with the spectrum of photographs."
    )
    parts = (
        "## Images and episodes",
        fill(about, WIDTH),
        _preparing(measured),
        _episodes(measured["episodes_per"]),
        _drawing(measured["draw_microseconds"]),
        _augmenting(measured["augmented_images_per_second"]),
    )
    return "\n\n".join(parts)


def _load(measured: dict[str, Any]) -> str:
    load = measured["load"]
    return "" if load is None else f", load average {load:.1f} in the minute before"


def _preparing(measured: dict[str, Any]) -> str:
    rows = [
        ("decode all into the cache, with the fingerprint", f"{measured['prepare_seconds']:.1f} s"),
        ("open again", f"{measured['open_again_seconds']:.2f} s"),
    ]
    return _table(("", "time"), rows)


def _episodes(rates: dict[str, dict[str, list[float]]]) -> str:
    ours = next(iter(rates.values()))
    rows = []
    for name, theirs in rates.items():
        ratios = [_ratio(ours[clock], theirs[clock]) for clock in ("second", "processor second")]
        rows.append((name, f"{statistics.median(theirs['second']):.1f}", *ratios))
    about = (
        "5-way 5-shot episodes with 15 queries a class, the same ones from every side, in turns: the median of "
        f"{len(ours['second'])} rounds, in brackets the lowest and the highest. The memory map's side is one process "
        "with one thread, and it draws the episodes and makes their labels, too; a DataLoader decodes the 100 files of "
        "each in its own process, or in workers besides, whose processor time is not known. Processor time leaves out "
        "what else the machine did."
    )
    heads = ("episodes from", "episodes/s", "memory map faster, times", "in processor time, times")
    return fill(about, WIDTH) + "\n\n" + _table(heads, rows)


def _ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = [a / b for a, b in zip(ours, theirs, strict=False)]
    if not ratios or ours is theirs:
        return "–"
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def _drawing(microseconds: dict[str, dict[str, float]]) -> str:
    settings = next(iter(microseconds.values()))
    rows = [
        (setting, *(f"{of.get(setting, float('nan')):.0f} µs" for of in microseconds.values())) for setting in settings
    ]
    heads = ("drawing an episode's indices, processor time", *(f"{n} images a class" for n in microseconds))
    return _table(heads, rows)


def _augmenting(rates: dict[str, float]) -> str:
    rows = [(shape.replace("x", "×"), f"{rate:,.0f}") for shape, rate in rates.items()]
    return _table(("augmented (crop, flip, jitter), one thread", "images a processor second"), rows)


def _table(heads: tuple[str, ...], rows: list[Any]) -> str:
    lines = [heads, ("---", *["---:"] * (len(heads) - 1)), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
