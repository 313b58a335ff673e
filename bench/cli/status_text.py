"""What `bench status` looks at: the database, its alarms, the jobs of an engine; and what `bench show` says."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot_bench.doctor.stored_alarms import overview
from fewshot_bench.errors import UsageError
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.writing import counts
from fewshot_bench.running.engines import jobs_at
from fewshot_bench.tables.summary import accuracy_of
from fewshot_bench.tables.wording import duration, setting_name

__all__ = ["jobs_of", "overview", "shown"]


def jobs_of(out: Path | None, engine: str | None, options: Mapping[str, str]) -> tuple[list[str] | None, str]:
    """The jobs that wait or run, and in words; None where the engine of bench.toml is out of reach from here."""
    try:
        jobs, held = jobs_at(out, engine, options)
    except UsageError as error:
        if engine or options:
            raise
        return None, f"unknown: {error}"
    told = f"{len(jobs)} wait or run: {' '.join(jobs[:3])}{' ...' * (len(jobs) > 3)}" if jobs else ""
    return jobs, f"{told}; {held}" if held else told


def shown(database: str, cell: str, *, as_json: bool) -> str:
    """Every stored fact behind a cell: for people, or as JSON."""
    facts = Reader(database).cell(cell)
    if as_json:
        return json.dumps(dataclasses.asdict(facts) | {"episodes": [counts(result) for result in facts.episodes]})
    row, training, run = facts.cell, facts.training, facts.run
    lines: list[tuple[str, Any]] = [
        ("cell", f"{row['key']}, {facts.of}"),
        ("variant", f"{row['variant']}, seed {row['seed']}"),
        ("setting", f"{setting_name(row['n_way'], row['n_shot'])}, {row['n_query']} queries a class"),
    ]
    if facts.episodes:
        lines.append(("accuracy", f"{accuracy_of(facts.episodes)} over {len(facts.episodes)} episodes"))
    if row["reason"]:
        lines.append(("failed", row["reason"]))
    lines += [
        ("episodes", f"SHA-256 {row['sha256']}, {duration(row['seconds'])}"),
        ("repeat", row["command"]),
        ("training", f"{training['key']}, {training['state']}, iteration {training['iteration']}"),
        ("cost", f"{duration(training['seconds'])}, {training['images_seen']} images, "
                 f"{training['peak_memory_bytes'] / 2**20:.0f} MiB, on {training['device']}"),
        ("weights", f"SHA-256 {training['checkpoint']}" if training["checkpoint"] else "none"),
        ("run", f"{run['started_at']}  {run['command']}"),
        ("code", (run["git_commit"] or "not a checkout") + (" with uncommitted changes" if run["git_dirty"] else "")),
        *run["facts"].items(),
    ]  # fmt: skip
    told = [f"{name:<14} {value}" for name, value in lines]
    told.append("identity")
    for name, value in (training["identity"] | {f"test {k}": v for k, v in row["identity"].items()}).items():
        told.append(f"  {name:<16} {json.dumps(value)}")
    return "\n".join(told)
