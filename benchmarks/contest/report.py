"""What was measured, as a table for people and as a record for machines."""

import dataclasses
import re
import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.contest.agreement import is_right
from benchmarks.contest.rounds import Layout, Reading, Timing
from benchmarks.contest.work import SHAPES

OURS = "ours"
TITLES = {"plain": "plain PyTorch"}


@dataclass(frozen=True)
class Check:
    """The comparison of gradients for one method at one shape."""

    method: str
    shape: str
    images: str  # which data set
    tied: float  # share of the first block's pooling windows
    outcomes: dict[str, float | str]  # side -> `agreement.difference`, or why there is none

    def wrong(self) -> list[str]:
        """The sides that are not to be timed."""
        return [side for side, outcome in self.outcomes.items() if not is_right(outcome)]


@dataclass(frozen=True)
class Contest:
    """Everything of one run."""

    command: str
    commit: str
    date: str
    machine: str
    versions: dict[str, str]
    import_bytes: int  # memory of a process of plain PyTorch before it does anything
    layout: Layout
    missing: dict[str, str]  # side -> why it could not be installed
    checks: list[Check]
    timings: list[Timing]


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Median, smallest and largest of our rate over theirs in the same round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def in_short(timing: Timing) -> str:
    """One line, for who waits."""
    rates = (f"{r.side} {r.failure or f'{statistics.median(r.rates):.0f}'}" for r in timing.readings)
    return f"images/s: {', '.join(rates)}"


def record(contest: Contest) -> dict[str, Any]:
    """For JSON: all readings, with each work's images and operations."""
    stored = dataclasses.asdict(contest)
    for timing, described in zip(contest.timings, stored["timings"], strict=True):
        described |= {"images_per_update": timing.work.images, "flops_per_update": timing.work.flops}
    return stored


def markdown(contest: Contest) -> str:
    """The section for docs/measurements.md."""
    best = max((rate for timing in contest.timings for rate in timing.gemm), default=0.0)
    layout = contest.layout
    lines = [
        f"`{contest.command}`, commit `{contest.commit}`, {contest.date}.",
        f"{contest.machine}; {', '.join(f'{name} {version}' for name, version in contest.versions.items())}.",
        f"Each side: {layout.processes} × {layout.threads} (processes × threads), {layout.rounds} rounds, "
        f"{layout.clock} time. Matrix product: {best / 1e9:.0f} GFLOP/s in float32, the best of the run. "
        f"Memory: of which {contest.import_bytes / 2**20:.0f} MiB are PyTorch itself.",
        *(f"Not installed: {side} ({why})." for side, why in contest.missing.items()),
    ]
    for shape in SHAPES:
        timings = [timing for timing in contest.timings if timing.work.shape == shape]
        checks = [check for check in contest.checks if check.shape == shape]
        if timings or checks:
            lines += ["", f"### {shape.replace('x', '×')}", "", *_table(timings, best), "", *_agreement(checks)]
    return "\n".join(lines)


def summary(section: str) -> str:
    """That section in short, for docs/performance.md: the lowest and highest ratio of each method and shape."""
    ratios: dict[str, dict[str, list[str]]] = {}  # method -> shape -> ours over each other side
    for part in section.split("\n### ")[1:]:
        shape, _, table = part.partition("\n")
        for of_method in table.split("\n| **")[1:]:
            over = re.findall(r"\*\*(\d+\.\d+)\*\*", of_method)
            ratios.setdefault(of_method.partition("*")[0], {})[shape] = sorted(over, key=float)
    shapes = list(dict.fromkeys(shape for of_method in ratios.values() for shape in of_method))
    lines = [f"| | {' | '.join(shapes)} |", f"|:---|{'---:|' * len(shapes)}"]
    for method, of_shape in ratios.items():
        ends = (dict.fromkeys(over[:1] + over[-1:]) for over in (of_shape.get(shape, []) for shape in shapes))
        lines.append(f"| {method} | {' | '.join(' to '.join(each) for each in ends)} |")
    return "\n".join(lines)


def _table(timings: list[Timing], best: float) -> list[str]:
    lines = [
        "| method | side | images/s | ours / this side | of the matrix product | peak memory |",
        "|:---|:---|---:|:---|---:|---:|",
    ]
    for timing in timings:
        ours = next((r for r in timing.readings if r.side == OURS and not r.failure), None)
        name = f"**{timing.work.method}**"
        for reading in timing.readings:
            lines.append(f"| {name} | {_row(timing, reading, ours, best)} |")
            name = ""
    return lines


def _row(timing: Timing, reading: Reading, ours: Reading | None, best: float) -> str:
    title = TITLES.get(reading.side, reading.side)
    if reading.failure:
        return f"{title} | failed: {reading.failure} | | |"
    rate = statistics.median(reading.rates)
    share = rate / timing.work.images * timing.work.flops / best
    against = ""
    if ours and reading is not ours:
        middle, low, high = ratio(ours.rates, reading.rates)
        against = f"**{middle:.2f}** ({low:.2f} to {high:.2f})"
    return f"{title} | {rate:.0f} | {against} | {100 * share:.0f} % | {reading.peak_bytes / 2**20:.0f} MiB"


def _agreement(checks: list[Check]) -> list[str]:
    """Bullets on gradients: what agreed, how closely, and what was wrong."""
    lines = []
    for images in dict.fromkeys(check.images for check in checks):
        some = [check for check in checks if check.images == images]
        right = [o for check in some for o in check.outcomes.values() if is_right(o)]
        tied = ", ".join(dict.fromkeys(f"{100 * check.tied:.1f} %" for check in some))
        lines.append(
            f"- Gradients on {images}, where {tied} of the first block's windows tie: {len(right)} of "
            f"{sum(len(check.outcomes) for check in some)} equal plain PyTorch's, "
            f"to {max(map(float, right), default=0.0):.0e} of a tensor's largest entry."
        )
        for check in some:
            for side in check.wrong():
                outcome = check.outcomes[side]
                kind = "Wrong" if isinstance(outcome, float) else "Failed"
                said = f"off by {outcome:.2g}" if isinstance(outcome, float) else outcome
                name = TITLES.get(side, side)
                lines.append(f"- **{kind}, so not timed**: {name}'s {check.method} on {images}: {said}.")
    return lines


def placed(page: str, section: str, name: str = "peers") -> str:
    """The page with the section between its two markers. Raises ValueError where the page lacks them."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs one {begin} and one {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{section}\n{end}{rest.partition(end)[2]}"
