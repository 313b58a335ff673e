"""Other machines: the same units of work as jobs of an engine that a lab has. Each file here imports one engine.

A job is an ordinary `bench run`, narrowed to one training or one cell, that records its own rows. An engine knows
names and commands; what is done, the database says.
"""

import hashlib
import os
import secrets
import signal
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from fewshot_bench import files, machine
from fewshot_bench.config import choose, config_file, load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import HERE
from fewshot_bench.results.store.engine import server_url, sqlite_path

ENGINES = {"slurm": "Slurm", "dask": "Dask"}  # module -> class
JOB = "BENCH_JOB"  # environment of a job: what the engine calls it; recorded with what it makes
PROOF = "BENCH_SHARED_FOLDER"  # a file that it must see, or weights would not travel
PARENT = "BENCH_PARENT"  # the process with which it ends
CANCELLED = Path("jobs") / "cancelled"  # in the folder that the machines share; see `cancellation`


@dataclass(frozen=True)
class Job:
    """One unit of work for another machine."""

    name: str  # see `job_name`
    words: tuple[str, ...]  # of `bench`
    after: str = ""  # name of the job whose success it waits for
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(Protocol):
    """Whoever runs jobs. All names are of this benchmark's jobs. Every call raises UsageError where it is refused."""

    def submit(self, job: Job) -> None:
        """Have it run."""

    def alive(self) -> set[str]:
        """Names of the jobs that wait or run, whoever submitted them."""

    def held(self, names: Collection[str]) -> str:
        """Why some of these jobs, which `alive` last saw, may wait for ever, in a line; empty if no reason is known."""

    def cancel(self, names: Collection[str]) -> None:
        """Stop jobs; what they saved stays."""

    def last_words(self, name: str) -> str:
        """The last line that an ended job said, or what became of it; empty where nothing is known."""

    def close(self) -> None:
        """Leave it. Jobs go on."""


def _prefix(database: str) -> str:
    """How the names of all jobs of a database begin."""
    return f"bench-{hashlib.sha256(server_url(database).encode()).hexdigest()[:8]}-"


def job_name(database: str, kind: Literal["training", "cell"], key: str) -> str:
    """The name of a unit's job: by it another driver knows the job."""
    return f"{_prefix(database)}{kind[0]}{key}"


def own(names: Collection[str], database: str) -> list[str]:
    """Those of a database's jobs, sorted."""
    return sorted(name for name in names if name.startswith(_prefix(database)))


def named_engine(name: str | None, configured: str, options: Collection[object]) -> str:
    """Which engine is meant: the one named, else the configured one. Raises UsageError for options of none."""
    found = name or configured
    if found == HERE and options:
        raise UsageError("--engine-option is for an engine: name one, --engine slurm or dask")
    return found


@contextmanager
def open_engine(name: str, options: Mapping[str, str], out: Path, database: str) -> Iterator[Engine]:
    """An engine by name. Raises UsageError where it, the database or `out` cannot serve several machines.

    options: the engine's own, by the names that it has for them
    out: the folder that the machines share; jobs write what they say to out/jobs
    """
    choose(name, {HERE: "", **ENGINES}, "unknown engine")
    if sqlite_path(database) is not None:
        raise UsageError(
            f"--engine {name} needs a database that several machines can write, and SQLite is damaged on a network's "
            "file system: set BENCH_DB=postgresql://USER@HOST/NAME (docs/storage.md)"
        )
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"--engine {name}: {error}: pip install 'fewshot-bench[{name}]'") from None
    engine = getattr(module, ENGINES[name])(options, out.absolute(), server_url(database))
    try:
        with closing(engine):
            yield engine
    except OSError as error:
        if error.filename is None:
            raise
        raise UsageError(f"{error.filename}: {error.strerror}: choose an --out that can be written") from None


def cancellation(out: Path) -> bytes:
    """Another one after each `bench cancel`: a driver that waits for jobs of this folder then submits no more."""
    path = out / CANCELLED
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
    where = files.database(folder)
    with open_engine(name, config.engine.options | dict(options), folder, where) as engine:
        names = own(engine.alive(), where)
        held = engine.held(names)
        if cancel:
            files.write_whole(folder / CANCELLED, secrets.token_bytes(8))
            engine.cancel(names)
    return names, held


def begin_job() -> None:
    """In a job, before it works: end with whoever runs it, and see the folder in which weights travel.

    Raises UsageError where it does not.
    """
    if (parent := os.environ.get(PARENT)) and sys.platform == "linux":
        machine.end_with_parent(signal.SIGTERM)
        if os.getppid() != int(parent):
            raise UsageError(f"process {parent}, which ran this job, has ended")
    proof = os.environ.get(PROOF)
    if proof and not Path(proof).is_file():
        raise UsageError(
            f"{proof} cannot be seen on this machine: name an --out that all machines share, or set "
            'weights = "database" in [run], so that weights travel in the database'
        )
