"""The jobs of a database that wait or run, whoever submitted them."""

from collections.abc import Mapping
from pathlib import Path

from fewshot_bench.config import config_file, load
from fewshot_bench.errors import UsageError
from fewshot_bench.files import database
from fewshot_bench.running.engines import Engine, open_engine, prefix


def jobs_of(where: str, engine: Engine) -> set[str]:
    """Names of a database's jobs."""
    return {name for name in engine.alive() if name.startswith(prefix(where))}


def jobs_at(out: Path | None, name: str | None, options: Mapping[str, str]) -> tuple[Engine, set[str]] | None:
    """The engine that is named, or configured, and its jobs of the database of `out`; None where it is this machine."""
    config = load(config_file(None))
    name = name or config.engine.name
    if name == "here":
        return None
    folder = out or Path(config.run.out)
    engine = open_engine(name, config.engine.options | dict(options), folder, database(folder))
    return engine, jobs_of(database(folder), engine)


def cancel_jobs(out: Path | None, name: str | None, options: Mapping[str, str]) -> int:
    """Tell all jobs of a database to end; returns how many. Raises UsageError where no engine is named."""
    found = jobs_at(out, name, options)
    if found is None:
        raise UsageError("nothing runs elsewhere: name an engine, --engine slurm or dask")
    engine, names = found
    engine.cancel(names)
    return len(names)
