"""A database with everything in it that a table must carry, and the rows of its table."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fewshot_bench.experiment.records import Answers, TrainingProgress
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.tables.scores import EpisodeResult

OURS = "out/results.sqlite"
WEIGHTS = "c" * 64
DONE = TrainingProgress(43, 1000, 9.5, 2**40, "cpu")


def episode(number: int, n_correct: int | None = None, kept: bool = True) -> EpisodeResult:
    """Of 4 ways with 3 queries each; the first n_correct answers are right, the others are not."""
    correct = number % 12 if n_correct is None else n_correct
    labels = [query // 3 if query < correct else (query // 3 + 1) % 4 for query in range(12)]
    return EpisodeResult(number, f"{number:016x}", correct, 12, Answers(bytes(labels) if kept else b""))


@pytest.fixture(name="episode")
def _episode():
    return episode


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(name="read")
def _read():
    return read


def write(path: str, rows: list[dict[str, str]]) -> None:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(name="write")
def _write():
    return write


def stored(where: str) -> tuple:
    reader = Reader(where)
    cells, trainings = reader.cells(), reader.trainings()
    return cells, trainings, reader.episodes(cells), reader.answers(cells), reader.curves(trainings)


@pytest.fixture(name="stored")
def _stored():
    return stored


def run(where: str, number: int) -> Writer:
    facts = {"processor": "A", "torch": "2"}
    return Writer(where, Provenance(f"2026-01-0{number}T00:00:00+00:00", f"bench run {number}", "c" * 40, True, facts))


@pytest.fixture(name="run")
def _run():
    return run


@pytest.fixture(scope="session")
def whole(tmp_path_factory, cell, other_cell, make_training) -> Path:
    """A database with everything in it: two runs behind one cell, answers and none, failures, an idle training."""
    where = tmp_path_factory.mktemp("whole") / "results.sqlite"
    writer = run(str(where), 1)
    writer.start_training(cell.training)
    for iteration in (10, 20):
        progress = TrainingProgress(iteration, 10, 1.0, 5, "cpu")
        writer.record_progress(cell.training, progress, {"loss": 1 / iteration, "other loss": 3e-17})
    writer.finish_training(cell.training, DONE, WEIGHTS)
    writer.record_episodes(cell, "a label", "bench run --way 4", [episode(i, kept=i > 0) for i in range(3)], 0.1 + 0.2)
    writer.record_episodes(other_cell, "another label", "bench run --way 4", [episode(i) for i in range(5)], 1.0)
    writer = run(str(where), 2)
    writer.record_episodes(cell, "a label", "bench run --way 4", [episode(i) for i in range(3, 6)], 1.0)
    broken, idle = make_training("protonet"), make_training("transfer", seed=7)
    writer.start_training(broken)
    writer.fail_training(broken, replace(DONE, iteration=3), "it diverged")
    writer.fail_cell(replace(cell, training=broken, variant="protonet"), "a label", "bench run", "it diverged")
    writer.start_training(idle)
    writer.record_progress(idle, replace(DONE, iteration=5), {"loss": 0.5})
    return where


@pytest.fixture
def filled(whole, tmp_path, monkeypatch) -> Path:
    """The current folder, with the whole database as its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)
    Path(OURS).parent.mkdir()
    shutil.copy(whole, OURS)
    return tmp_path


@pytest.fixture
def all_rows(filled, bench, whole) -> list[dict[str, str]]:
    """Those of the table that it is exported to, all.csv."""
    exported = whole.with_name("all.csv")
    if not exported.exists():
        bench("export", "-o", str(exported))
    shutil.copy(exported, "all.csv")
    return read("all.csv")
