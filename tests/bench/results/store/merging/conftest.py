"""Two databases, as runs on two machines leave them."""

import hashlib
import sqlite3
from dataclasses import replace

import pytest

from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.records import Answers, TrainingProgress
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.tables.scores import EpisodeResult

WEIGHTS = hashlib.sha256(b"\x02\0\0\0\0\0\0\0{}").hexdigest()
DONE = TrainingProgress(43, 1000, 9.0, 5, "cpu")


def episode(number: int, n_correct: int | None = None, answers: bytes = b"") -> EpisodeResult:
    correct = number % 12 if n_correct is None else n_correct
    return EpisodeResult(number, f"{number:016x}", correct, 12, Answers(answers))


@pytest.fixture(name="episode")
def _episode():
    return episode


@pytest.fixture
def store(tmp_path, monkeypatch, cell):
    """Write cells into a database, as a run on some machine does. cells: (cell, its episodes)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DB", raising=False)

    def write(where, *cells, machine="A", weights=WEIGHTS, command="bench run", end=True):
        facts = {"processor": machine, "device": "cpu"}
        writer = Writer(where, Provenance("2026-01-01T00:00:00+00:00", command, "c" * 40, False, facts))
        for of, episodes in cells or [(cell, [episode(i) for i in range(4)])]:
            writer.start_training(of.training)
            writer.record_progress(of.training, TrainingProgress(10, 10, 1.0, 5, "cpu"), {"loss": 2.0})
            if weights:
                writer.finish_training(of.training, DONE, weights)
            writer.record_episodes(of, f"label {of.name}", "bench run ...", episodes, 2.0)
        if end:
            writer.end_run(0)
        return writer

    return write


def measured(where: str) -> dict[str, list]:
    """All rows but the numbers of runs."""
    connection = sqlite3.connect(where)
    found = {
        "runs": "SELECT started_at, command, facts, exit_code FROM runs",
        "trainings": "SELECT key, identity, state, checkpoint, iteration, reason FROM trainings",
        "cells": "SELECT key, identity, label, n_episodes, sha256, reason FROM cells",
        "episodes": "SELECT e.cell_key, number, episode_id, n_correct, n_queries, command FROM episodes e, runs r "
        "WHERE r.id = e.run_id",
        "answers": "SELECT * FROM answers",
        "curves": "SELECT * FROM curves",
    }
    rows = {name: sorted(connection.execute(query).fetchall(), key=repr) for name, query in found.items()}
    connection.close()
    return rows


@pytest.fixture(name="measured")
def _measured():
    return measured


def edit(where: str, statement: str, *values: str) -> None:
    connection = sqlite3.connect(where)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


@pytest.fixture(name="edit")
def _edit():
    return edit


def counts(where: str, key: str) -> list[int]:
    return [e.n_correct for e in Reader(where).episodes([key])[key]]


@pytest.fixture(name="counts")
def _counts():
    return counts


def many_cells(cell, n: int, n_episodes: int) -> list:
    return [
        (replace(cell, setting=Setting(4, shot, 3)), [episode(i) for i in range(n_episodes)])
        for shot in range(1, n + 1)
    ]


@pytest.fixture(name="many_cells")
def _many_cells():
    return many_cells
