"""What a soak found: a line a row in a file for machines, and from there the table of docs/reliability.md."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.contest.environments import ROOT
from benchmarks.contest.report import placed

FILE, PAGE = ROOT / "benchmarks" / "results" / "soak.jsonl", ROOT / "docs" / "reliability.md"
MARKER = "soak"
HEAD = ("what", "runs and outcome", "wrong", "minutes", "processor minutes", "measured")


@dataclass(frozen=True)
class Row:
    """One row of the table, and where its figures come from."""

    name: str
    what: str
    figure: str
    faults: list[str]
    seconds: float
    processor_seconds: float  # of every process
    command: str
    commit: str
    measured_at: str  # when the soak began
    machine: str
    load: float  # processes that wanted a core in the minute before

    def keep(self) -> None:
        """Add it to those of the past."""
        with FILE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(self)) + "\n")


def render(names: Iterable[str]) -> None:
    """Put the newest row of each name on the page."""
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), markdown(kept(names)), MARKER), encoding="utf-8")


def kept(names: Iterable[str]) -> list[Row]:
    """The newest row of each name that was ever measured in full."""
    rows = [Row(**json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]
    newest = {row.name: row for row in rows}
    return [newest[name] for name in names if name in newest]


def markdown(rows: list[Row]) -> str:
    """The table, and where it comes from."""
    machines, loads = dict.fromkeys(row.machine for row in rows), [row.load for row in rows]
    seconds = sum(row.processor_seconds for row in rows)
    return "\n".join(
        [
            f"{'; '.join(machines)}; load average in the minute before {min(loads):.1f} to {max(loads):.1f}; "
            f"{seconds / 60:.1f} processor minutes.",
            "",
            f"| {' | '.join(HEAD)} |",
            "|:---|:---|---:|---:|---:|:---|",
            *map(line, rows),
        ]
    )


def line(row: Row) -> str:
    """One row of the table."""
    minutes = f"{row.seconds / 60:.1f} | {row.processor_seconds / 60:.1f}"
    origin = f"`{row.command}`, commit {row.commit}, {row.measured_at[:10]}"
    return f"| {row.what} | {row.figure} | {len(row.faults)} | {minutes} | {origin} |"
