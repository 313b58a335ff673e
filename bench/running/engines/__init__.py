"""Other machines: the same units of work as jobs of an engine that a lab has. Each file here imports one engine.

A job is an ordinary `bench run`, narrowed to one training or one cell, that records its own rows. An engine knows
names and commands; what is done, the database says.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from fewshot_bench.config import choose
from fewshot_bench.errors import UsageError
from fewshot_bench.results.passwords import hide_passwords
from fewshot_bench.results.store.engine import sqlite_path

ENGINES = {"slurm": "Slurm", "dask": "Dask"}  # module -> class
PROOF = "BENCH_SHARED_FOLDER"  # environment of a job: a file that it must see, or weights would not travel


@dataclass(frozen=True)
class Job:
    """One unit of work for another machine."""

    name: str  # see `job_name`
    command: tuple[str, ...]
    after: str = ""  # name of the job whose success it waits for


class Engine(Protocol):
    """Whoever runs jobs. All names are of this benchmark's jobs."""

    def submit(self, job: Job) -> None:
        """Have it run. Raises UsageError for options that the engine refuses."""

    def alive(self) -> set[str]:
        """Names of the jobs that wait or run, whoever submitted them."""

    def cancel(self, names: Collection[str]) -> None:
        """Stop jobs; what they saved stays."""

    def last_words(self, name: str) -> str:
        """The last line that an ended job said, or what became of it; empty where nothing is known."""


def prefix(database: str) -> str:
    """How the names of all jobs of a database begin."""
    return f"bench-{hashlib.sha256(hide_passwords(database, database).encode()).hexdigest()[:8]}-"


def job_name(database: str, kind: Literal["training", "cell"], key: str) -> str:
    """The name of a unit's job: by it another driver knows the job."""
    return f"{prefix(database)}{kind[0]}{key}"


def open_engine(name: str, options: Mapping[str, str], out: Path, database: str) -> Engine:
    """An engine by name. Raises UsageError where it or the database cannot serve several machines.

    options: the engine's own, by the names that it has for them
    out: the folder that the machines share; jobs write what they say to out/jobs
    """
    choose(name, ENGINES, "unknown engine")
    if sqlite_path(database) is not None:
        raise UsageError(
            f"--engine {name} needs a database that several machines can write; SQLite on a network's file system is "
            "damaged by it: set BENCH_DB=postgresql://USER@HOST/NAME (docs/storage.md)"
        )
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"--engine {name}: {error}: pip install 'fewshot-bench[{name}]'") from None
    engine: Engine = getattr(module, ENGINES[name])(options, out.absolute(), database)
    return engine


def check_shared_folder() -> None:
    """Raise UsageError in a job that does not see the folder in which weights travel."""
    proof = os.environ.get(PROOF)
    if proof and not Path(proof).is_file():
        raise UsageError(
            f"{proof} is not to be seen on this machine: name an --out that all machines share, or set "
            'weights = "database" in [run], so that weights travel in the database'
        )
