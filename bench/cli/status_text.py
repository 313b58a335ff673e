"""What `bench status` looks at: the database, its alarms, and the jobs of an engine."""

from collections.abc import Mapping
from pathlib import Path

from fewshot_bench.doctor.stored_alarms import overview
from fewshot_bench.errors import UsageError
from fewshot_bench.running.engines.jobs import jobs_at

__all__ = ["jobs_of", "overview"]


def jobs_of(out: Path | None, engine: str | None, options: Mapping[str, str]) -> tuple[list[str] | None, str]:
    """The jobs that wait or run, and in words; None where the engine of bench.toml is out of reach from here."""
    try:
        jobs = jobs_at(out, engine, options)
    except UsageError as error:
        if engine or options:
            raise
        return None, f"unknown: {error}"
    return jobs, f"{len(jobs)} wait or run: {' '.join(jobs[:3])}{' ...' * (len(jobs) > 3)}" if jobs else ""
