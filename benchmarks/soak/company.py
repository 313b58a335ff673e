"""Several runs at once, a server that goes away under them, and many who write or make one database."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.postgresql import Server
from benchmarks.soak.little import Content, Little
from benchmarks.soak.victim import Victim
from fewshot_bench import cli
from fewshot_bench.errors import NoResultsYet
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.tables.scores import EpisodeResult

NOTICING_SECONDS = 30.0  # a run under way asks the server more often
CHUNK, N_CHUNKS = 50, 8  # episodes a transaction, transactions a writer
PROVENANCE = Provenance("2026-01-01T00:00:00+00:00", "bench run", "", None, {})


def share(little: Little, wanted: Content, kind: str, n_runs: int) -> tuple[int, list[str]]:
    """Several runs of one grid: how many units were begun beyond those there are, and what went wrong."""
    with little.temporary(kind) as place:
        note = place.folder / "begun"
        runs = [Victim(place, "run", "--jobs", "1", act=noting(note)) for _ in range(n_runs)]
        faults = [fault for run in runs for fault in run.faults()] + place.faults(wanted)
        return twice(note), faults


def twice(note: Path) -> int:
    """How much was begun that had been begun before."""
    return n_begun(note) - len(set(_begun(note)))


def n_begun(note: Path) -> int:
    """How much was begun."""
    return len(_begun(note))


def _begun(note: Path) -> list[str]:
    return note.read_text(encoding="ascii").splitlines() if note.exists() else []


def noting(note: Path) -> Callable[[], None]:
    """`bench`, of which each training that is begun and each chunk of episodes leaves a line."""

    def line(words: str) -> None:
        with note.open("a", encoding="ascii") as file:
            file.write(f"{words}\n")

    def act() -> None:
        start, record = Writer.start_training, Writer.record_episodes

        def starting(self: Writer, training: Any) -> None:
            line(training.key)
            start(self, training)

        def recording(self: Writer, cell: Any, label: str, command: str, results: Any, seconds: float) -> None:
            line(f"{cell.key} {results[0].number}")
            record(self, cell, label, command, results, seconds)

        Writer.start_training, Writer.record_episodes = starting, recording  # type: ignore[method-assign]
        cli.main()

    return act


def outage(little: Little, wanted: Content, server: Server, jobs: tuple[int, ...], rng: random.Random) -> list[str]:
    """Stop the server while runs of so many jobs are at work: what goes wrong, or that no run noticed it."""
    with little.temporary("postgresql") as place:
        note, after = place.folder / "begun", rng.randrange(1, 30)
        runs = [Victim(place, "run", "--jobs", str(number), act=noting(note)) for number in jobs]
        while n_begun(note) < after or _n_runs(place.where) < len(runs):  # from the first on they are patient
            time.sleep(0.01)
        server.stop()
        noticed = _any_says(runs, "server is away")
        time.sleep(rng.uniform(0, 2))
        server.start()
        faults = [fault for run in runs for fault in run.faults()] + place.faults(wanted)
        return faults if noticed else [*faults, "no run noticed"]


def _any_says(runs: list[Victim], words: str) -> bool:
    """Whether one of them comes to print this while it is waited for."""
    end = time.monotonic() + NOTICING_SECONDS
    while not any(words in run.said() for run in runs) and time.monotonic() < end:
        time.sleep(0.05)
    return any(words in run.said() for run in runs)


def _n_runs(where: str) -> int:
    try:
        return Reader(where).counts().runs
    except NoResultsYet:
        return 0


def create(little: Little, kind: str, n: int) -> list[str]:
    """What goes wrong where several processes are the first to write to a database."""
    with little.temporary(kind) as place:
        creators = [Victim(place, act=lambda: Writer(place.where, PROVENANCE).end_run(0)) for _ in range(n)]
        faults = [fault for creator in creators for fault in creator.faults()]
        n_runs = Reader(place.where).counts().runs
        return faults if n_runs == n else [*faults, f"{n_runs} runs are recorded, not {n}"]


def write(little: Little, kind: str, n: int) -> tuple[float, list[str]]:
    """Rows a second that several writers add, each to a cell of its own, and what goes wrong."""
    with little.temporary(kind) as place:
        Writer(place.where, PROVENANCE).start_training(_training())
        started = time.monotonic()
        writers = [Victim(place, act=_filling(place.where, n_shot)) for n_shot in range(1, n + 1)]
        faults = [fault for writer in writers for fault in writer.faults()]
        seconds, counts = time.monotonic() - started, Reader(place.where).counts()
        if counts.episodes != n * N_CHUNKS * CHUNK:
            faults.append(f"{counts.episodes} episodes are stored, not {n * N_CHUNKS * CHUNK}")
        return counts.episodes / seconds, faults


def _training() -> Training:
    return Training("transfer", (1,), Transfer.Settings(), "f", ("train",), 1, 16, 4, 6, 0, 0, 0, 10, 0)


def _filling(where: str, n_shot: int) -> Callable[[], None]:
    cell = Cell("transfer", _training(), "paper", Setting(4, n_shot, 3), 0, Adaptation(), N_CHUNKS * CHUNK)

    def fill() -> None:
        writer = Writer(where, PROVENANCE)
        for start in range(0, cell.n_episodes, CHUNK):
            chunk = [EpisodeResult(i, f"{i:016x}", i % 12, 12) for i in range(start, start + CHUNK)]
            writer.record_episodes(cell, f"label {n_shot}", "bench run", chunk, 1.0)

    return fill
