"""What `bench status` looks at: the database, its alarms, and the jobs of an engine."""

from pathlib import Path

from fewshot_bench.doctor.stored_alarms import overview
from fewshot_bench.running.engines.jobs import jobs_at

__all__ = ["overview", "waiting"]


def waiting(out: Path | None, engine: str | None, options: tuple[tuple[str, str], ...]) -> list[str]:
    """Names of the jobs that wait or run on the engine named or configured."""
    found = jobs_at(out, engine, dict(options))
    return sorted(found[1]) if found else []
