"""What a run writes. Each method is one transaction, as good done twice as once; primary keys decide what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.files import as_text
from fewshot_bench.results.provenance import Provenance, now
from fewshot_bench.results.store.checking import LONGEST_BYTES
from fewshot_bench.results.store.checksums import (
    EDITED,
    answers_sum,
    check_seal,
    curves_sum,
    enter,
    episodes_sha256,
    episodes_text,
    runs_sum,
    seal,
)
from fewshot_bench.results.store.schema import answers, cells, curves, data_sets, episodes, runs, trainings, weights
from fewshot_bench.results.store.transactions import Database, transaction
from fewshot_bench.tables.scores import EpisodeResult

if TYPE_CHECKING:  # reading results must not import torch
    from fewshot_bench.experiment.identity import Cell, Training

COUNTED = ("number", "episode_id", "n_correct", "n_queries")  # of an EpisodeResult, in the table `episodes`
StoredRow = dict[str, Any]
AT_IT: StoredRow = {"state": "running", "reason": ""}


class Writer(Database):
    """One run's way to write. Opening it creates or migrates the database and records the run."""

    def __init__(self, where: str, provenance: Provenance) -> None:
        super().__init__(where, write=True)
        self._grown: dict[str, Any] = {}  # cell key -> the SHA-256 over its episodes, which can go on
        self.run_id = self._begin(provenance)

    @transaction
    def _begin(self, c: Connection, provenance: Provenance) -> int:
        values = vars(provenance) | {"facts": json.dumps(provenance.facts, sort_keys=True)}
        run_id = insert_run(c, values)
        seal(c, runs, runs.c.id == run_id)
        enter(self.where, c, runs, run_id)
        return run_id

    @transaction
    def end_run(self, c: Connection, exit_code: int) -> None:
        """Record how the run ended."""
        self._change(c, runs, self.run_id, {"ended_at": now(), "exit_code": exit_code})

    @transaction
    def use_data_set(self, c: Connection, fingerprint: str, source: str, outline: dict[str, Any]) -> None:
        """Record what this run's results are of; outline: see `data/images.py`."""
        row = {"fingerprint": fingerprint, "source": as_text(source), "run_id": self.run_id}
        self._insert_row(c, data_sets, row | {"name": outline["name"], "outline": json.dumps(outline, sort_keys=True)})
        self._change(c, data_sets, fingerprint, row)

    @transaction
    def start_training(self, c: Connection, training: Training) -> None:
        """Record that this run is at a training (again, maybe)."""
        row = AT_IT | {
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
        }
        self._insert_row(c, trainings, row)
        self._update(c, training, AT_IT)

    @transaction
    def record_progress(
        self, c: Connection, training: Training, progress: TrainingProgress, losses: dict[str, float]
    ) -> None:
        """Record how far a training is, with one point of its curves."""
        stored = self._locked(c, trainings, training.key)
        if stored["state"] == "finished":
            return
        points = {(progress.iteration, name): value for name, value in losses.items()}
        rows = [
            {"training_key": training.key, "iteration": iteration, "name": name, "value": value}
            for (iteration, name), value in points.items()
        ]
        new = insert_new(c, curves, rows)
        total = curves_sum(stored["curves_sum"], [(r.iteration, r.name, points[r.iteration, r.name]) for r in new])
        self._update(c, training, vars(progress) | {"curves_sum": total})

    @transaction
    def finish_training(self, c: Connection, training: Training, progress: TrainingProgress, checkpoint: str) -> None:
        """Record the finished weights' SHA-256. Raises DatabaseError if other weights are recorded already."""
        stored = self._locked(c, trainings, training.key)
        if stored["state"] == "finished" and stored["checkpoint"] != checkpoint:
            raise DatabaseError(
                f"training {training.key}: its weights, made again, differ from those that its results come from "
                "(another machine, device or --threads?); bring their file back, or use another --out"
            )
        self._update(c, training, vars(progress) | {"state": "finished", "checkpoint": checkpoint})

    @transaction
    def keep_weights(self, c: Connection, sha256: str, content: bytes | None) -> None:
        """Keep finished weights for other machines. Raises DatabaseError for what is too large."""
        if content is not None and len(content) > LONGEST_BYTES:
            raise DatabaseError(
                f"weights of {len(content) / 2**20:.0f} MiB are too large for the database ({LONGEST_BYTES // 2**20} "
                'MiB at most): use weights = "folder" and an --out that all machines share'
            )
        if content is not None:
            insert_new(c, weights, [{"sha256": sha256, "content": content}])

    @transaction
    def fail_training(self, c: Connection, training: Training, progress: TrainingProgress, reason: str) -> None:
        """Record that a training diverged or broke, and why."""
        self._update(c, training, vars(progress) | {"state": "failed", "reason": as_text(reason)})

    @transaction
    def record_episodes(
        self, c: Connection, cell: Cell, label: str, command: str, results: Sequence[EpisodeResult], seconds: float
    ) -> None:
        """Append a chunk of episodes to a cell. Raises DatabaseError if other results stand there already."""
        stored = self._ensure_cell(c, cell, label, command)
        n = stored["n_episodes"]
        new = [r for r in results if r.number >= n]
        _refuse_conflict(c, cell, [r for r in results if r.number < n])
        if [r.number for r in new] != list(range(n, n + len(new))):
            raise DatabaseError(f"cell {cell.key} ({cell.name}): episodes are missing between those stored and these")
        over = self._hash_of(c, stored)
        over.update(episodes_text([list(counts(r).values()) for r in new]))
        insert_new(c, episodes, [{"cell_key": cell.key, "run_id": self.run_id} | counts(r) for r in new])
        labels = {r.number: r.answers for r in results if r.answers}
        kept = insert_new(c, answers, [{"cell_key": cell.key, "number": i, "labels": b} for i, b in labels.items()])
        values: StoredRow = {
            "answers_sum": answers_sum(stored["answers_sum"], [(r.number, labels[r.number]) for r in kept]),
            "reason": "",
        }
        if new:
            values |= {
                "n_episodes": n + len(new),
                "sha256": over.hexdigest(),
                "runs_sum": runs_sum(stored["runs_sum"], [(self.run_id, r.number + 1) for r in new]),
                "seconds": stored["seconds"] + seconds,
                "run_id": self.run_id,
            }
        self._change(c, cells, cell.key, values)
        self._grown[cell.key] = over  # `_hash_of` finds out where this transaction comes to nothing

    @transaction
    def fail_cell(self, c: Connection, cell: Cell, label: str, command: str, reason: str) -> None:
        """Record why a cell has no (more) results."""
        reason = as_text(reason)
        if self._ensure_cell(c, cell, label, command)["reason"] != reason:  # else it is an earlier run's finding
            self._change(c, cells, cell.key, {"reason": reason, "run_id": self.run_id})

    def _ensure_cell(self, c: Connection, cell: Cell, label: str, command: str) -> StoredRow:
        """The cell's row, which nobody else changes until the transaction ends."""
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
        self._insert_row(c, cells, row)
        return self._locked(c, cells, cell.key)

    def _hash_of(self, c: Connection, cell: StoredRow) -> Any:
        """The SHA-256 over a cell's episodes, to go on with. They are read again only if others have added some."""
        known = self._grown.get(cell["key"])
        if known is None or known.hexdigest() != cell["sha256"]:
            known = hashlib.sha256(episodes_text(counted_episodes(c, cell["key"])))
            if known.hexdigest() != cell["sha256"]:
                what = f"the episodes of cell {cell['key']} do not match their checksum"
                raise DatabaseError(f"{self.where}: {what}: {EDITED}")
        return known.copy()

    def _insert_row(self, c: Connection, table: Table, row: StoredRow) -> None:
        """Insert a row where its key is new."""
        if insert_new(c, table, [row]):
            (column,) = table.primary_key.columns
            seal(c, table, column == row[column.name])
            enter(self.where, c, table, row[column.name])

    def _update(self, c: Connection, training: Training, values: StoredRow) -> None:
        """Change an unfinished training; it is this run's then."""
        if self._locked(c, trainings, training.key)["state"] != "finished":
            self._change(c, trainings, training.key, values | {"run_id": self.run_id})

    def _locked(self, c: Connection, table: Table, key: str | int) -> StoredRow:
        """A row, which nobody else changes until the transaction ends (on SQLite nobody changes anything)."""
        (column,) = table.primary_key.columns
        found = c.execute(select(table).where(column == key).with_for_update()).mappings().first()
        if found is None:
            raise DatabaseError(f"{self.where}: {table.name[:-1]} {key} is missing: {EDITED}")
        check_seal(self.where, table, row := dict(found))  # damage must not be sealed with what comes now
        return row

    def _change(self, c: Connection, table: Table, key: str | int, values: StoredRow) -> None:
        (column,) = table.primary_key.columns
        self._locked(c, table, key)
        c.execute(update(table).where(column == key).values(values))
        seal(c, table, column == key)


def counts(result: EpisodeResult) -> dict[str, int | str]:
    """What the table `episodes` keeps of a result."""
    return {name: getattr(result, name) for name in COUNTED}


def counted_episodes(c: Connection, cell_key: str) -> Sequence[Row[Any]]:
    """COUNTED of a cell's episodes, in order."""
    query = select(*(episodes.c[name] for name in COUNTED)).where(episodes.c.cell_key == cell_key)
    return c.execute(query.order_by(episodes.c.number)).all()


def insert_run(c: Connection, values: dict[str, Any]) -> int:
    """Insert a row of `runs`; returns its number."""
    key = c.execute(runs.insert().values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_new(c: Connection, table: Table, rows: list[dict[str, Any]]) -> list[Row[Any]]:
    """Insert the rows whose primary key is new; returns their keys. (`rowcount` is -1 on PostgreSQL.)"""
    dialect = {"sqlite": sqlite, "postgresql": postgresql}.get(c.dialect.name)
    if dialect is None:
        raise DatabaseError(f"a {c.dialect.name} database cannot be used: only SQLite and PostgreSQL can")
    if not rows:
        return []
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return list(c.execute(statement, rows).all())


def _refuse_conflict(c: Connection, cell: Cell, results: Sequence[EpisodeResult]) -> None:
    """Equal rows may come twice (two runs at once); different ones for one episode may not."""
    if not results:
        return
    numbers = episodes.c.number.between(min(r.number for r in results), max(r.number for r in results))
    query = select(episodes).where((episodes.c.cell_key == cell.key) & numbers)
    stored = {row.number: row for row in c.execute(query)}
    for r in results:
        row = stored.get(r.number)
        if row is None:
            raise DatabaseError(f"cell {cell.key} ({cell.name}): its episode {r.number} is missing: {EDITED}")
        if (row.episode_id, row.n_correct, row.n_queries) != (r.episode_id, r.n_correct, r.n_queries):
            raise DatabaseError(
                f"cell {cell.key} ({cell.name}), episode {r.number}: {r.n_correct}/{r.n_queries} correct "
                f"now, {row.n_correct}/{row.n_queries} stored; nothing was changed"
            )
