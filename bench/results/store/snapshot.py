"""A whole database as one transaction shows it: what merging and exporting read."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn

from sqlalchemy import Connection, Engine, Select, Table, create_engine, select
from sqlalchemy.pool import StaticPool

from fewshot_bench.errors import DatabaseError, NoResultsYet
from fewshot_bench.experiment.records import EpisodeResult, unpack_answers
from fewshot_bench.experiment.selection import place_of
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.store.checksums import (
    EDITED,
    answers_sum,
    check_census,
    check_seal,
    curves_sum,
    episodes_sha256,
    recount,
    runs_sum,
)
from fewshot_bench.results.store.checksums import Row as Row
from fewshot_bench.results.store.engine import REVISIONS, explained, open_engine
from fewshot_bench.results.store.engine import sqlite_path as sqlite_path
from fewshot_bench.results.store.schema import answers, cells, curves, episodes, metadata, runs, trainings
from fewshot_bench.results.store.writing import COUNTED
from fewshot_bench.seeding import digest
from fewshot_bench.tables.parsing import ParseError, parse_json


class StoredEpisode(NamedTuple):
    """A row of `episodes` without its cell."""

    number: int
    episode_id: str
    n_correct: int
    n_queries: int
    run_id: int

    @property
    def counted(self) -> tuple[int, str, int, int]:
        """What was measured, without who measured it."""
        return self[:4]


class Snapshot:
    """Every stored row, read over one connection and so in its transaction."""

    def __init__(self, where: str, connection: Connection) -> None:
        self.where = without_password(where)
        self._c = connection

    def runs(self) -> dict[int, Row]:
        """The rows of `runs` by id."""
        found = self._rows(select(runs).order_by(runs.c.id))
        for row in found:
            parsed(self.where, f"the facts of run {row['id']}", row["facts"])
        return self._whole(runs, found)

    def trainings(self) -> dict[str, Row]:
        """The rows of `trainings` by key. Raises DatabaseError where one is not what its key is the hash of."""
        found = self._rows(select(trainings).order_by(trainings.c.key))
        for row in found:
            training_identity(self.where, row)
        return self._whole(trainings, found)

    def cells(self) -> dict[str, Row]:
        """The rows of `cells` by key, in an order that only their content decides.

        Raises DatabaseError where one, or its training, is not what its key is the hash of.
        """
        rows = self._rows(select(cells))
        their_trainings = {key: json.loads(row["identity"]) for key, row in self.trainings().items()}
        for row in rows:
            cell_identity(self.where, row, their_trainings.get(row["training_key"], {}))
        rows.sort(key=lambda row: (row["variant"], row["n_way"], row["n_shot"], row["seed"], row["key"]))
        return self._whole(cells, rows)

    def _whole(self, table: Table, rows: list[Row]) -> dict[Any, Row]:
        """By key. Raises DatabaseError where the rows are not those that were stored."""
        (column,) = table.primary_key.columns
        for row in rows:
            check_seal(self.where, table, row)
        found = {row[column.name]: row for row in rows}
        with explained(self.where):
            check_census(self.where, self._c, table, list(found))
        return found

    def episodes(self, cell: Row) -> list[StoredEpisode]:
        """A cell's episodes in order. Raises DatabaseError where they are not those that were stored."""
        query = select(*(episodes.c[name] for name in (*COUNTED, "run_id"))).where(episodes.c.cell_key == cell["key"])
        with explained(self.where):
            found = [StoredEpisode(*row) for row in self._c.execute(query.order_by(episodes.c.number))]
        complete = [episode.number for episode in found] == list(range(cell["n_episodes"]))
        if not complete or episodes_sha256(episode.counted for episode in found) != cell["sha256"]:
            self._refuse("episodes", cell)
        check_episodes(self.where, cell["key"], found)
        if runs_sum("", [(episode.run_id, episode.number + 1) for episode in found]) != cell["runs_sum"]:
            self._refuse("runs", cell)
        return found

    def answers(self, cell: Row) -> dict[int, bytes]:
        """Episode number -> the label given to each query, where they were kept; see records.Answers."""
        found = {
            row["number"]: row["labels"] for row in self._rows(select(answers).where(answers.c.cell_key == cell["key"]))
        }
        if answers_sum("", found.items()) != cell["answers_sum"]:
            self._refuse("answers", cell)
        check_answers(self.where, cell, found)
        return found

    def curves(self, training: Row) -> list[Row]:
        """The points of a training's curves."""
        query = select(curves).where(curves.c.training_key == training["key"])
        found = self._rows(query.order_by(curves.c.name, curves.c.iteration))
        if curves_sum("", [(p["iteration"], p["name"], p["value"]) for p in found]) != training["curves_sum"]:
            raise DatabaseError(
                f"{self.where}: the curves of training {training['key']} do not match their checksum: {EDITED}"
            )
        return found

    def _refuse(self, what: str, cell: Row) -> NoReturn:
        said = f"the {what} of cell {cell['key']} ({place_of(cell).name}) do not match their checksum"
        raise DatabaseError(f"{self.where}: {said}; nothing was changed: {EDITED}")

    def _rows(self, query: Select[Any]) -> list[Row]:
        with explained(self.where):
            return [dict(row) for row in self._c.execute(query).mappings()]


def file_of(where: str) -> Path | None:
    """The file of an SQLite database, given as path or URL; None for a server."""
    return sqlite_path(where)


def is_same(one: str, other: str) -> bool:
    """Whether two names name one database."""
    paths = file_of(one), file_of(other)
    if paths[0] is None or paths[1] is None:
        return one == other
    with explained(one):
        return paths[0].exists() and paths[1].exists() and paths[0].samefile(paths[1])


def refuse_folder(where: str) -> None:
    """Raise DatabaseError where a folder is named in place of a database: SQLite would speak of the disk."""
    path = file_of(where)
    with explained(where):
        if path and path.is_dir():
            raise DatabaseError(f"{where}: it is a folder; name a database file in it, or another with BENCH_DB")


def parsed(where: str, what: str, text: str) -> Row:
    """An object that a column holds as JSON; `what` names it. Raises DatabaseError where it is none."""
    try:
        found = parse_json(text)
    except ParseError:
        found = None
    if not isinstance(found, dict):
        raise DatabaseError(f"{where}: {what} cannot be read: {EDITED}")
    return found


def training_identity(where: str, row: Row) -> Row:
    """The identity of a row of `trainings`. Raises DatabaseError where key or columns are not those of it."""
    named = {name: row[name] for name in ("method", "iterations")}
    return _identity(where, f"training {row['key']}", row, named)


def cell_identity(where: str, row: Row, training: Row) -> Row:
    """The identity of a row of `cells`, given its training's. Raises DatabaseError as `training_identity` does."""
    setting = {name: row[name] for name in ("n_way", "n_shot", "n_query")}
    what = f"cell {row['key']}"
    found = _identity(where, what, row, {"training": row["training_key"], "setting": setting})
    if training.get("seed") != row["seed"]:
        raise DatabaseError(f"{where}: the seed of {what} is not that of its training: {EDITED}")
    return found


def _identity(where: str, what: str, row: Row, named: Row) -> Row:
    """`named` is what other columns say of the identity."""
    found = parsed(where, f"the identity of {what}", row["identity"])
    if digest(found)[:16] != row["key"]:
        raise DatabaseError(f"{where}: the identity of {what} does not match its key: {EDITED}")
    for name, value in named.items():
        if found.get(name) != value:
            raise DatabaseError(f"{where}: the {name} of {what} is not that of its identity: {EDITED}")
    return found


def check_episodes(where: str, cell_key: str, found: Sequence[StoredEpisode | EpisodeResult]) -> None:
    """Raise DatabaseError where a cell's episodes are not numbered from 0, or their ids are not 16 hex digits."""
    if not re.fullmatch("([0-9a-f]{16})*", "".join(episode.episode_id for episode in found), re.ASCII):
        raise DatabaseError(f"{where}: the id of an episode of cell {cell_key} is not 16 hex digits: {EDITED}")
    if any(episode.number != i for i, episode in enumerate(found)):
        raise DatabaseError(f"{where}: the episodes of cell {cell_key} are not numbered from 0: {EDITED}")


def check_answers(where: str, cell: Mapping[str, Any], found: Mapping[int, bytes]) -> None:
    """Raise DatabaseError where answers are not as many labels as queries, each of a class of its episode."""
    n_way, n_queries = cell["n_way"], cell["n_way"] * cell["n_query"]
    n_bytes = n_queries * unpack_answers(b"", n_way).itemsize
    for number, labels in found.items():
        right = len(labels) == n_bytes and number < cell["n_episodes"]
        if not right or unpack_answers(labels, n_way).max() >= n_way:
            raise DatabaseError(f"{where}: the answers of cell {cell['key']}, episode {number}, cannot be: {EDITED}")


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
    except DatabaseError:
        path = file_of(where)
        if path is None or _revision(path) not in REVISIONS[:-1]:
            raise
        with explained(where):
            copy = Path(stack.enter_context(TemporaryDirectory())) / "copy.sqlite"
            with closing(sqlite3.connect(path)) as original, closing(sqlite3.connect(copy)) as target:
                original.backup(target)
        return open_engine(str(copy), write=True)


def _revision(path: Path) -> str | None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:  # it cannot even be opened, or is not ours
        return None
    return str(row[0]) if row else None
