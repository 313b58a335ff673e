"""The jobs of a database that wait or run, whoever submitted them."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from fewshot_bench.config import config_file, load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import HERE
from fewshot_bench.files import database, write_whole
from fewshot_bench.running.engines import named_engine, open_engine, prefix


def cancellation(out: Path) -> bytes:
    """Another one after each `bench cancel`: a driver that waits for jobs of this folder then submits no more."""
    path = _cancelled(out)
    return path.read_bytes() if path.exists() else b""


def jobs_at(
    out: Path | None, name: str | None, options: Mapping[str, str], *, cancel: bool = False
) -> tuple[list[str], str]:
    """Names of the jobs of `out`'s database that wait or run on the engine named or configured; why some may never run.

    cancel: tell all of them to end; raises UsageError where no engine is named or configured
    """
    config = load(config_file(None))
    name = named_engine(name, config.engine.name, options)
    if name == HERE and cancel:
        raise UsageError("nothing runs elsewhere: name an engine, --engine slurm or dask")
    if name == HERE:
        return [], ""
    folder = out or Path(config.run.out)
    where = database(folder)
    with open_engine(name, config.engine.options | dict(options), folder, where) as engine:
        names = sorted(name for name in engine.alive() if name.startswith(prefix(where)))
        held = engine.held() if names else ""
        if cancel:
            write_whole(_cancelled(folder), secrets.token_bytes(8))
            engine.cancel(names)
    return names, held


def _cancelled(out: Path) -> Path:
    return out / "jobs" / "cancelled"
