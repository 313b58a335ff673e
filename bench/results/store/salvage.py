"""Every row of a database looked at on its own: what is wrong with it, and what can be taken from it all the same."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from fewshot_bench.errors import DatabaseError, OldSchema
from fewshot_bench.files import is_there, temporary_folder
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.store import whole
from fewshot_bench.results.store.checking import LONGEST_BYTES, check_values, is_plain_table
from fewshot_bench.results.store.checksums import EDITED, SEALED, check_census, check_seal
from fewshot_bench.results.store.engine import explained, open_engine, refuse_folder, sqlite_path
from fewshot_bench.results.store.schema import (
    answers,
    cells,
    claims,
    curves,
    data_sets,
    episodes,
    metadata,
    owners,
    runs,
    trainings,
    weights,
)
from fewshot_bench.results.store.scratch import scratch
from fewshot_bench.results.store.whole import Row, StoredEpisode

TAKEN = (runs, data_sets, trainings, cells, episodes, answers, curves, weights)
LOOKED_AT = (*TAKEN, owners, claims)
LONGEST_FILE_BYTES = 2**40
MOST_BETWEEN = 10**7  # rows between two damaged pages; a number that is damaged may be any
LOST_RUN: Row = {
    "started_at": "unknown",
    "ended_at": None,
    "exit_code": None,
    "command": "unknown",
    "git_commit": "",
    "git_dirty": None,
    "facts": json.dumps({"run": "its record was damaged"}),
}


@dataclass
class Examined:
    """A database, row by row."""

    intact: dict[str, list[Row]] = field(default_factory=lambda: {table.name: [] for table in TAKEN})
    damage: list[str] = field(default_factory=list)  # a line each
    old: OldSchema | None = None  # an earlier version made it
    n_stored: Counter[str] = field(default_factory=Counter)  # rows by table, damaged ones too


def examine(where: str) -> Examined:
    """Everything that is wrong with a database, and every row that is as it was stored and stands on such rows.

    Raises DatabaseError where there is nothing to look at.
    """
    refuse_folder(where)
    examination = _Examination(without_password(where))
    path = sqlite_path(where)
    try:
        engine = open_engine(where, write=False)
    except DatabaseError as error:
        if path is None or not path.exists():
            raise
        if isinstance(error, OldSchema):
            examination.found.old = error
        else:
            examination.found.damage.append(str(error))
    else:
        with explained(where), engine.connect() as connection, connection.begin():
            for table in SEALED:
                keys = connection.execute(select(*table.primary_key.columns)).scalars().all()
                examination.tried(check_census, connection, table, keys)
            if path is None:
                rows = {t.name: [dict(row) for row in connection.execute(select(t)).mappings()] for t in LOOKED_AT}
    if path is not None:
        with explained(where), _of_full_length(path) as file:
            rows = {table.name: list(_readable(file, path, table.name, examination.found)) for table in LOOKED_AT}
    return examination.of(rows)


def salvage(where: str, target: Path) -> Examined:
    """Take every intact row of a database into a new file. Raises DatabaseError as `examine`, or where that is one."""
    if is_there(target):
        raise DatabaseError(f"{target}: it exists already; name a new file")
    found = examine(where)
    if not any(found.intact.values()):
        raise DatabaseError(f"{without_password(where)}: no row of it can be recovered")
    try:
        with scratch(str(target)) as new:
            for table in TAKEN:
                new.add(table.name, found.intact[table.name])
    except BaseException:  # an empty file would keep the same command from being run again
        with suppress(OSError):  # as if the folder is none
            target.unlink()
        raise
    return found


class _Examination:
    """Looks at rows in the order in which they stand on each other."""

    def __init__(self, where: str) -> None:
        self.found = Examined()
        self._where = where

    def tried(self, check: Any, *words: Any, **rows: list[Row]) -> bool:
        """Whether rows (by table) hold what they can, and a check finds nothing; what is wrong is noted."""
        try:
            for name, row in ((name, row) for name, these in rows.items() for row in these):
                check_values(self._where, metadata.tables[name], row)
            check(self._where, *words)
        except (DatabaseError, TypeError, ValueError, LookupError) as error:  # a value may be of any type
            said = str(error) if isinstance(error, DatabaseError) else f"{self._where}: a row cannot be read ({error})"
            if said not in self.found.damage:
                self.found.damage.append(said)
            return False
        return True

    def of(self, rows: dict[str, list[Row]]) -> Examined:
        """rows: by table, as they can be read."""
        intact = self.found.intact
        self.found.n_stored.update({name: len(found) for name, found in rows.items()})
        for table in (owners, claims):
            for row in rows[table.name]:
                self.tried(check_seal, table, row)
        intact["runs"] = [row for row in rows["runs"] if self.tried(whole.check_run, row, runs=[row])]
        intact["data_sets"] = [
            row for row in rows["data_sets"] if self.tried(check_seal, data_sets, row, data_sets=[row])
        ]
        intact["weights"] = [row for row in rows["weights"] if self.tried(_check_weights, row, weights=[row])]
        points = _grouped(rows["curves"], "training_key")
        for row in rows["trainings"]:
            if self.tried(whole.check_training, row, trainings=[row]):
                intact["trainings"].append(row)
                theirs = points.get(row["key"], [])
                if self.tried(whole.check_curves, row, theirs, curves=theirs):
                    intact["curves"] += theirs
        identities = {row["key"]: json.loads(row["identity"]) for row in intact["trainings"]}
        measured, kept = _grouped(rows["episodes"], "cell_key"), _grouped(rows["answers"], "cell_key")
        for row in rows["cells"]:
            theirs = sorted(measured.get(row.get("key"), []), key=_number)
            if self.tried(_check_cell, row, identities, theirs, cells=[row], episodes=theirs):
                intact["cells"].append(row)
                intact["episodes"] += theirs
                theirs = kept.get(row["key"], [])
                if self.tried(_check_answers, row, theirs, answers=theirs):
                    intact["answers"] += theirs
        self._stand_in_for_runs()
        return self.found

    def _stand_in_for_runs(self) -> None:
        """One row of `runs` may be behind everything: what it made is taken without it."""
        intact = self.found.intact
        made = {row["run_id"] for table in (data_sets, trainings, cells, episodes) for row in intact[table.name]}
        for number in sorted(made - {row["id"] for row in intact["runs"]}):
            self.found.damage.append(
                f"{self._where}: run {number} is missing or damaged: its command and facts are lost"
            )
            intact["runs"].append(LOST_RUN | {"id": number})


def _number(episode: Row) -> int:
    number = episode.get("number")
    return number if isinstance(number, int) else -1


def _grouped(rows: list[Row], name: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row.get(name), []).append(row)  # a damaged schema may lack the column
    return found


def _check_weights(where: str, row: Row) -> None:
    if hashlib.sha256(row["content"]).hexdigest() != row["sha256"]:
        raise DatabaseError(f"{where}: the weights {row['sha256']} do not match their SHA-256: {EDITED}")


def _check_cell(where: str, row: Row, trained: dict[str, Row], measured: list[Row]) -> None:
    if row["training_key"] not in trained:
        raise DatabaseError(f"{where}: the training {row['training_key']} of cell {row['key']} is missing or damaged")
    whole.check_cell(where, row, trained[row["training_key"]])
    found = [StoredEpisode(*(episode[name] for name in StoredEpisode._fields)) for episode in measured]
    whole.check_episodes(where, row, found)


def _check_answers(where: str, row: Row, kept: list[Row]) -> None:
    whole.check_answers(where, row, {answer["number"]: answer["labels"] for answer in kept})


@contextmanager
def _of_full_length(path: Path) -> Iterator[Path]:
    """A file whose end is cut off with zeros in its place, in a copy: of one that is too short SQLite reads nothing."""
    with path.open("rb") as file:
        header = file.read(100)
    n_bytes = int.from_bytes(header[16:18]) * int.from_bytes(header[28:32])  # of a page, and pages
    if not path.stat().st_size < n_bytes <= LONGEST_FILE_BYTES:
        yield path
        return
    with temporary_folder() as folder:
        copy = folder / path.name
        shutil.copyfile(path, copy)
        os.truncate(copy, n_bytes)
        yield copy


def _readable(file: Path, path: Path, table: str, found: Examined) -> Iterator[Row]:
    """The rows of a table from both ends, up to where it cannot be read, and then one by one what is between.

    path: what the file is called
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_BYTES)
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda text: text.decode(errors="backslashreplace")
        entry = "SELECT type, sql FROM sqlite_master WHERE lower(name) = ?"
        query = f"SELECT rowid AS _row, * FROM {table} NOT INDEXED"  # noqa: S608
        seen: set[int] = set()
        reached: dict[str, int] = {}
        for order in ("ASC", "DESC"):
            try:
                for kind, sql in connection.execute(entry, [table]):
                    if not is_plain_table(kind, str(sql or "")):
                        found.damage.append(f"{path}: what it calls {table} is no table that this program makes")
                        return
                for row in connection.execute(f"{query} ORDER BY rowid {order}"):
                    reached[order] = row["_row"]
                    if row["_row"] not in seen:
                        seen.add(row["_row"])
                        yield _typed(table, dict(row))
                return
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if f"no such table: {table}" in str(error):  # of a later schema
                    return
                line = f"{path}: the table {table} cannot be read to its end ({error})"
                found.damage += [line] if line not in found.damage else []
        between = range(reached.get("ASC", 0) + 1, reached.get("DESC", 0))
        for number in between if len(between) <= MOST_BETWEEN else ():
            with suppress(sqlite3.Error, UnicodeDecodeError):
                for row in connection.execute(f"{query} WHERE rowid = ?", [number]):
                    yield _typed(table, dict(row))


def _typed(table: str, row: Row) -> Row:
    """As SQLAlchemy reads it, without what this program does not know."""
    columns = metadata.tables[table].columns
    kinds = {column.name: column.type.python_type for column in columns}
    return {
        name: kinds[name](value) if kinds[name] is bool and value in (0, 1) else value
        for name, value in row.items()
        if name in kinds
    }
