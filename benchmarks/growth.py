"""How seconds and memory grow with ways, shots, steps, filters, pixels, tasks and episodes.

    python -m benchmarks.growth [--write]      or `make benchmark-growth`

Every point is measured in a process of its own with one thread, one after the other, on images of noise from memory.
With --write the tables and pictures go to docs/, and every number to benchmarks/results/.
"""

import argparse
import dataclasses
import json
import multiprocessing
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import growth_plot, growth_table
from benchmarks.contest.environments import ROOT
from benchmarks.contest.report import placed
from benchmarks.data import PAGE, origin
from benchmarks.growth_curves import AXES, Record, points
from benchmarks.growth_points import measure

RESULTS = ROOT / "benchmarks" / "results"
MARKER = "growth"


def run(works: list[str]) -> Record:
    """Measure all points of these works."""
    wanted, record, started = points(works), {}, time.monotonic()
    context = multiprocessing.get_context("forkserver")
    # what this module imports is then there in every process; the module itself may not be, as it is run
    context.set_forkserver_preload(["benchmarks.data", "benchmarks.growth_table"])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for point, measured in zip(wanted, pool.map(measure, wanted), strict=True):
            record[point] = measured
            seconds = time.monotonic() - started
            print(f"\r{len(record)} of {len(wanted)} points, {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return record


def stored(record: Record, about: dict[str, Any]) -> dict[str, Any]:
    """For JSON."""
    return about | {"points": [dataclasses.asdict(p) | m._asdict() for p, m in record.items()]}


def write(record: Record, about: dict[str, Any], section: str) -> list[Path]:
    """The section into the page, the pictures beside it, the numbers into the history."""
    machine = re.sub(r"[^a-z0-9]+", "-", f"{about['machine']['processor']} {about['machine']['cores']} cores".lower())
    file = RESULTS / machine.strip("-") / f"{about['commit']}-growth.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(stored(record, about), indent=1) + "\n", encoding="utf-8")
    pictures = growth_plot.pictures(record)
    for name, content in pictures.items():
        (PAGE.parent / name).write_bytes(content)
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), section, MARKER), encoding="utf-8")
    return [PAGE, file, *(PAGE.parent / name for name in pictures)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=AXES, metavar="WORK", help="; ".join(AXES))
    parser.add_argument("--write", action="store_true", help="write docs/measurements.md, pictures and the history")
    options = parser.parse_args()
    if options.write:
        if options.works:
            parser.error("--write needs all works: leave out --works")
        placed(PAGE.read_text(encoding="utf-8"), "", MARKER)  # a page without the markers is found now
    about = origin()
    record = run(options.works or list(AXES))
    section = growth_table.as_markdown(record, about)
    print(section)
    if options.write:
        for path in write(record, about, section):
            print(f"written: {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
