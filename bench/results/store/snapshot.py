"""A whole database as one transaction shows it, each row checked as it is read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, create_engine, select
from sqlalchemy.pool import StaticPool

from fewshot_bench.errors import NoResultsYet, OldSchema
from fewshot_bench.files import temporary_folder
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.store import whole
from fewshot_bench.results.store.checksums import check_census, check_seal, recount, runs_of
from fewshot_bench.results.store.engine import explained, open_engine, refuse_folder, sqlite_path
from fewshot_bench.results.store.schema import answers, cells, curves, episodes, metadata, runs, trainings
from fewshot_bench.results.store.whole import Row, StoredEpisode

COUNTED = [episodes.c[name] for name in StoredEpisode._fields]


class Snapshot:
    """Every stored row, read over one connection and so in its transaction.

    Everything raises DatabaseError for what is not as it was stored.
    """

    def __init__(self, where: str, connection: Connection) -> None:
        self.where = without_password(where)
        self._c = connection

    def runs(self) -> dict[int, Row]:
        """The rows of `runs` by id."""
        return self._checked(runs, whole.check_run)

    def trainings(self) -> dict[str, Row]:
        """The rows of `trainings` by key."""
        return self._checked(trainings, whole.check_training)

    def cells(self) -> dict[str, Row]:
        """The rows of `cells` by key, in an order that only their content decides."""
        found, theirs = self._all(cells), self.trainings()
        identities = {key: json.loads(row["identity"]) for key, row in theirs.items()}
        for row in found.values():
            whole.check_cell(self.where, row, identities.get(row["training_key"], {}))
        order = ("variant", "n_way", "n_shot", "seed", "key")
        return dict(sorted(found.items(), key=lambda pair: [pair[1][name] for name in order]))

    def episodes(self, cell: Row) -> list[StoredEpisode]:
        """A cell's, in order."""
        return self.episodes_of([cell])[cell["key"]]

    def episodes_of(self, rows: Iterable[Row]) -> dict[str, list[StoredEpisode]]:
        """By key of these cells, in order."""
        of = {row["key"]: row for row in rows}
        query = select(episodes.c.cell_key, *COUNTED).where(episodes.c.cell_key.in_(of))
        found: dict[str, list[StoredEpisode]] = {key: [] for key in of}
        # all at once: row by row takes twice as long
        for key, *counted in self._read(query.order_by(episodes.c.cell_key, episodes.c.number)):
            found[key].append(StoredEpisode(*counted))
        for key, theirs in found.items():
            whole.check_episodes(self.where, of[key], theirs)
        return found

    def answers(self, cell: Row) -> dict[int, bytes]:
        """Number of an episode -> the label given to each query, where they were kept; see records.Answers."""
        return self.answers_of([cell])[cell["key"]]

    def answers_of(self, rows: Iterable[Row]) -> dict[str, dict[int, bytes]]:
        """By key of these cells, as `answers`."""
        of = {row["key"]: row for row in rows}
        found: dict[str, dict[int, bytes]] = {key: {} for key in of}
        for key, number, labels in self._read(select(answers).where(answers.c.cell_key.in_(of))):
            found[key][number] = labels
        for key, theirs in found.items():
            whole.check_answers(self.where, of[key], theirs)
        return found

    def curves(self, training: Row) -> list[Row]:
        """The points of a training's curves."""
        query = select(curves).where(curves.c.training_key == training["key"])
        found = [row._asdict() for row in self._read(query.order_by(curves.c.name, curves.c.iteration))]
        whole.check_curves(self.where, training, found)
        return found

    def runs_behind(self, rows: Iterable[Row]) -> set[int]:
        """The numbers of the runs that made these cells' episodes."""
        found: dict[str, list[tuple[int, int]]] = {row["key"]: [] for row in rows}
        for key, run, numbers in self._read(runs_of(found)):
            found[key].append((run, numbers))
        for row in rows:
            whole.check_runs(self.where, row, found[row["key"]])
        return {run for theirs in found.values() for run, _ in theirs}

    def all(self, table: Table) -> dict[Any, Row]:
        """By key, whatever their keys are the hashes of."""
        return self._checked(table, lambda where, row: check_seal(where, table, row))

    def some(self, table: Table, keys: Iterable[str]) -> list[Row]:
        """Those of the rows with these keys that are stored."""
        (column,) = table.primary_key.columns
        found = [row._asdict() for row in self._read(select(table).where(column.in_(list(keys))))]
        for row in found:
            check_seal(self.where, table, row)
        return found

    def _checked(self, table: Table, check: Callable[[str, Row], object]) -> dict[Any, Row]:
        found = self._all(table)
        for row in found.values():
            check(self.where, row)
        return found

    def _all(self, table: Table) -> dict[Any, Row]:
        """By key. Raises DatabaseError where they are not all that were stored."""
        (column,) = table.primary_key.columns
        found = {row[column.name]: row for row in (row._asdict() for row in self._read(select(table).order_by(column)))}
        with explained(self.where):
            check_census(self.where, self._c, table, list(found))
        return found

    def _read(self, query: Select[Any]) -> list[Any]:
        with explained(self.where):
            return list(self._c.execute(query).all())


@contextmanager
def snapshot(where: str, *, or_empty: bool = False) -> Iterator[Snapshot]:
    """A database as it is now, which is left as it is: one of an older schema is read from a migrated copy.

    With `or_empty` a database that does not exist is an empty one. Raises DatabaseError, NoResultsYet and
    UsageError as `open_engine` does, DatabaseError also where rows refer to rows that are not there.
    """
    with ExitStack() as stack:
        engine = _readable_engine(where, stack, or_empty)
        stack.callback(engine.dispose)
        with explained(where):
            connection = stack.enter_context(engine.connect())
            stack.enter_context(connection.begin())
        yield Snapshot(where, connection)


def _readable_engine(where: str, stack: ExitStack, or_empty: bool) -> Engine:
    refuse_folder(where)
    try:
        return open_engine(where, write=False)
    except NoResultsYet:
        if not or_empty:
            raise
        engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(engine)
        with engine.begin() as connection:
            recount(connection)
        return engine
    except OldSchema:
        if (path := sqlite_path(where)) is None:
            raise
        with explained(where):
            copy = stack.enter_context(temporary_folder()) / "copy.sqlite"
            with closing(sqlite3.connect(path)) as original, closing(sqlite3.connect(copy)) as target:
                original.backup(target)
        return open_engine(str(copy), write=True)
