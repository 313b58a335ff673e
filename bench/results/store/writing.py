"""What a run writes. Each method is one transaction; the primary keys alone decide what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import EpisodeResult, TrainingProgress
from fewshot_bench.results.provenance import Provenance, now
from fewshot_bench.results.store.engine import explained, open_engine
from fewshot_bench.results.store.schema import answers, cells, curves, episodes, runs, trainings

if TYPE_CHECKING:  # reading results must not import torch
    from fewshot_bench.experiment.identity import Cell, Training

COUNTED = ("number", "episode_id", "n_correct", "n_queries")  # of an EpisodeResult, in the table `episodes`


class Writer:
    """One run's way to write. Opening it creates or migrates the database and records the run."""

    def __init__(self, where: str, provenance: Provenance) -> None:
        self._where = where
        self._engine = open_engine(where, write=True)
        with explained(where), self._engine.begin() as c:
            row = c.execute(
                runs.insert().values(
                    started_at=provenance.started_at,
                    command=provenance.command,
                    git_commit=provenance.git_commit,
                    git_dirty=provenance.git_dirty,
                    facts=json.dumps(provenance.facts, sort_keys=True),
                )
            )
            assert row.inserted_primary_key is not None
            self.run_id: int = row.inserted_primary_key[0]

    def end_run(self, exit_code: int) -> None:
        """Record how the run ended."""
        with explained(self._where), self._engine.begin() as c:
            c.execute(update(runs).where(runs.c.id == self.run_id).values(ended_at=now(), exit_code=exit_code))

    def start_training(self, training: Training) -> None:
        """Record that this run is at a training (again, maybe)."""
        row = {
            "key": training.key,
            "identity": json.dumps(training.identity, sort_keys=True),
            "method": training.method,
            "iterations": training.iterations,
            "iteration": 0,
            "images_seen": 0,
            "seconds": 0.0,
            "peak_memory_bytes": 0,
            "device": "",
            "checkpoint": "",
            "run_id": self.run_id,
            "state": "running",
            "reason": "",
        }
        with explained(self._where), self._engine.begin() as c:
            if not _insert_new(c, trainings, [row]):
                unfinished = (trainings.c.key == training.key) & (trainings.c.state != "finished")
                again = {"run_id": self.run_id, "state": "running", "reason": ""}
                c.execute(update(trainings).where(unfinished).values(again))

    def record_progress(
        self, training: Training, progress: TrainingProgress, losses: dict[str, float] | None = None
    ) -> None:
        """Record how far a training is, with one point of its curves."""
        with explained(self._where), self._engine.begin() as c:
            _update_training(c, training, progress)
            _insert_new(
                c,
                curves,
                [
                    {
                        "training_key": training.key,
                        "iteration": progress.iteration,
                        "name": name,
                        "value": value,
                    }
                    for name, value in (losses or {}).items()
                ],
            )

    def finish_training(self, training: Training, progress: TrainingProgress, checkpoint: str) -> None:
        """Record the finished weights' SHA-256. Raises DatabaseError if other weights are recorded already."""
        with explained(self._where), self._engine.begin() as c:
            row = c.execute(
                select(trainings.c.state, trainings.c.checkpoint).where(trainings.c.key == training.key)
            ).one()
            if row.state == "finished" and row.checkpoint != checkpoint:
                raise DatabaseError(
                    f"training {training.key}: its weights, made again, differ from those that its results come from "
                    "(another machine, device or --threads?); bring their file back, or use another --out"
                )
            _update_training(c, training, progress, state="finished", checkpoint=checkpoint)

    def fail_training(self, training: Training, progress: TrainingProgress, reason: str) -> None:
        """Record that a training diverged or broke, and why."""
        with explained(self._where), self._engine.begin() as c:
            _update_training(c, training, progress, state="failed", reason=reason)

    def record_episodes(
        self, cell: Cell, label: str, command: str, results: Sequence[EpisodeResult], seconds: float
    ) -> None:
        """Append a chunk of episodes to a cell. Raises DatabaseError if other results stand there already."""
        with explained(self._where), self._engine.begin() as c:
            self._ensure_cell(c, cell, label, command)
            rows = [{"cell_key": cell.key, "run_id": self.run_id} | counts(r) for r in results]
            n_new = _insert_new(c, episodes, rows)
            if n_new < len(rows):
                _refuse_conflict(c, cell, results)
            kept = [{"cell_key": cell.key, "number": r.number, "labels": r.answers} for r in results if r.answers]
            _insert_new(c, answers, kept)
            stored = c.execute(
                select(episodes.c.number, episodes.c.episode_id, episodes.c.n_correct, episodes.c.n_queries)
                .where(episodes.c.cell_key == cell.key)
                .order_by(episodes.c.number)
            ).all()
            c.execute(
                update(cells)
                .where(cells.c.key == cell.key)
                .values(
                    n_episodes=len(stored),
                    sha256=episodes_sha256(stored),
                    seconds=cells.c.seconds + (seconds if n_new else 0.0),
                    run_id=self.run_id,
                    reason="",
                )
            )

    def fail_cell(self, cell: Cell, label: str, command: str, reason: str) -> None:
        """Record why a cell has no (more) results."""
        with explained(self._where), self._engine.begin() as c:
            self._ensure_cell(c, cell, label, command)
            c.execute(update(cells).where(cells.c.key == cell.key).values(reason=reason, run_id=self.run_id))

    def _ensure_cell(self, c: Connection, cell: Cell, label: str, command: str) -> None:
        row = {
            "key": cell.key,
            "identity": json.dumps(cell.identity, sort_keys=True),
            "training_key": cell.training.key,
            "label": label,
            "variant": cell.variant,
            "n_way": cell.setting.n_way,
            "n_shot": cell.setting.n_shot,
            "n_query": cell.setting.n_query,
            "seed": cell.training.seed,
            "run_id": self.run_id,
            "command": command,
            "n_episodes": 0,
            "sha256": episodes_sha256([]),
            "seconds": 0.0,
            "reason": "",
        }
        _insert_new(c, cells, [row])


def counts(result: EpisodeResult) -> dict[str, int | str]:
    """What the table `episodes` keeps of a result."""
    return {name: getattr(result, name) for name in COUNTED}


def episodes_sha256(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 over (number, episode id, number correct, number of queries) of a cell's episodes, in order."""
    text = "".join(f"{number} {name} {correct} {queries}\n" for number, name, correct, queries in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def _insert_new(c: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Insert the rows whose primary key is new; returns how many were. (`rowcount` is -1 on PostgreSQL.)"""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}.get(c.dialect.name)
    if dialect is None:
        raise DatabaseError(f"a {c.dialect.name} database cannot be used: only SQLite and PostgreSQL can")
    if not rows:
        return 0
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return len(c.execute(statement, rows).all())


def _update_training(c: Connection, training: Training, progress: TrainingProgress, **values: str) -> None:
    values_now = vars(progress) | values
    unfinished = (trainings.c.key == bindparam("which")) & (trainings.c.state != "finished")
    c.execute(update(trainings).where(unfinished).values(values_now), {"which": training.key})


def _refuse_conflict(c: Connection, cell: Cell, results: Sequence[EpisodeResult]) -> None:
    """Equal rows may come twice (two runs at once); different ones for one episode may not."""
    stored = {row.number: row for row in c.execute(select(episodes).where(episodes.c.cell_key == cell.key))}
    for r in results:
        row = stored[r.number]
        if (row.episode_id, row.n_correct, row.n_queries) != (r.episode_id, r.n_correct, r.n_queries):
            raise DatabaseError(
                f"cell {cell.key} ({cell.name}), episode {r.number}: {r.n_correct}/{r.n_queries} correct "
                f"now, {row.n_correct}/{row.n_queries} stored; nothing was changed"
            )
