"""What a soak found, as a file for machines and as a table for docs/reliability.md."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest.environments import ROOT
from benchmarks.contest.report import placed
from benchmarks.data import file_for

PAGE = ROOT / "docs" / "reliability.md"
MARKER = "soak"
HEAD = ("what", "how often, and what came of it", "wrong", "minutes", "of a processor")


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    what: str
    figure: str
    faults: list[str]
    seconds: float
    processor_seconds: float  # of every process


@dataclass(frozen=True)
class Record:
    """All of a soak."""

    command: str
    about: dict[str, Any]  # see `benchmarks.data.origin`
    rows: list[Row]
    seconds: float
    processor_seconds: float  # with its own and the servers'

    def write(self) -> Path:
        """Every figure to benchmarks/results/, the table from there to the page; returns the file."""
        file = file_for(self.about, "soak")
        file.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")
        render(file)
        return file


def render(file: Path) -> None:
    """Put the table of a soak's file on the page."""
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), markdown(read(file)), MARKER), encoding="utf-8")


def read(file: Path) -> Record:
    """What `write` wrote."""
    stored = json.loads(file.read_text(encoding="utf-8"))
    return Record(**stored | {"rows": [Row(**row) for row in stored["rows"]]})


def markdown(record: Record) -> str:
    """The table, and where it comes from."""
    about, machine = record.about, record.about["machine"]
    return "\n".join(
        [
            f"`{record.command}`, commit {about['commit'] or 'unknown'}, {about['measured_at'][:10]}; "
            f"{machine['processor']}, {machine['cores']} cores, load average {about['load']:.1f} in the minute before: "
            f"{record.seconds / 60:.1f} minutes, {record.processor_seconds / 60:.1f} of a processor.",
            "",
            f"| {' | '.join(HEAD)} |",
            "|:---|:---|---:|---:|---:|",
            *map(line, record.rows),
        ]
    )


def line(row: Row) -> str:
    """One row of the table."""
    minutes = f"{row.seconds / 60:.1f} | {row.processor_seconds / 60:.1f}"
    return f"| {row.what} | {row.figure} | {len(row.faults)} | {minutes} |"
