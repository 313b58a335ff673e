"""A database that anyone may have made, checked when it is opened, so that the code behind needs no guards.

Tables are tables, with the columns of the schema; every value is of its column's type and range; JSON has its shape;
references lead somewhere; indexes agree with their tables. What is wrong is one line that names table, key and column.
What is read in bulk by a part of the commands only, the ids of episodes and answers, is checked where it is read.
"""

import math
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, LargeBinary, String, Table, select

from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.store.checksums import EDITED
from fewshot_bench.results.store.schema import VIEWS, cells, data_sets, metadata, runs, trainings
from fewshot_bench.results.store.shapes import wrong_row

LONGEST_BYTES = 2**24  # of any text or blob
HEX = {"key": 16, "cell_key": 16, "training_key": 16, "sha256": 64, "checkpoint": 64, "keys": 32}
HEX |= dict.fromkeys(("checksum", "curves_sum", "answers_sum", "runs_sum"), 16)
LENGTHS = HEX | {"episode_id": 16}  # whose digits `reading` looks at: here it would take as long as all else
MAY_BE_EMPTY = ("checkpoint", "checksum", "curves_sum", "answers_sum", "runs_sum")
AT_LEAST_ONE = ("n_way", "n_shot", "n_query", "n_queries")
OF_ANY_SIGN = ("exit_code", "value")
LARGE = ("episodes", "answers", "curves", "weights")  # tables that SQLite looks through; others are read row by row

OF_SQLITE = ("sqlite_sequence", "sqlite_stat1", "sqlite_stat4")
COMPUTES = re.compile(r"\b(CHECK|GENERATED|COLLATE|AS)\b", re.IGNORECASE)  # what would be run when a table is read
PLAIN_INDEX = re.compile(r'CREATE (UNIQUE )?INDEX "?\w+"? ON "?\w+"? \("?\w+"?(, "?\w+"?)*\)', re.IGNORECASE)

Row = dict[str, Any]


class _Text(bytes):
    """A text as the file holds it: what is no UTF-8 must not end in the driver."""


def check(connection: Connection, where: str, revisions: Sequence[str]) -> None:
    """Raise DatabaseError for the first thing in a database that cannot be; a server keeps to the types by itself.

    revisions: that this program knows, oldest to newest. Files of older ones may lack tables and columns; of one
    that is not known nothing is looked at.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        for table in (runs, trainings, cells, data_sets):
            for row in connection.execute(select(table)).mappings():
                if found := wrong_row(table.name, {**row}):
                    raise DatabaseError(f"{where}: {table.name} {row[table.c[0].name]}, column {found[0]}: {found[1]}")
        return
    before, driver.text_factory = driver.text_factory, _Text
    try:
        _File(driver, where).check([revision.encode() for revision in revisions])
    except sqlite3.DataError:
        raise DatabaseError(f"{where}: a value in it has more than {LONGEST_BYTES} bytes: {EDITED}") from None
    finally:
        driver.text_factory = before


def is_plain_table(kind: str, sql: str) -> bool:
    """Whether an entry of SQLite's schema is a table that runs nothing when it is read."""
    return kind == "table" and sql.upper().startswith("CREATE TABLE ") and not COMPUTES.search(sql)


def check_values(where: str, table: Table, row: Mapping[str, Any]) -> None:
    """Raise DatabaseError where a value of one row, as it was read, cannot be."""
    for column in table.columns:
        if column.name in row:
            value = row[column.name]
            if isinstance(value, str):
                value = _Text(value.encode(errors="surrogatepass"))
            if what := _wrong_value(column, int(value) if isinstance(value, bool) else value):
                raise DatabaseError(f"{where}: {table.name} {_key(table, row)}, column {column.name}: {what}")
    if found := wrong_row(table.name, row):
        raise DatabaseError(f"{where}: {table.name} {_key(table, row)}, column {found[0]}: {found[1]}")


class _File:
    """An open file; the methods are steps of `check`."""

    def __init__(self, driver: sqlite3.Connection, where: str) -> None:
        driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_BYTES)
        self._driver, self._where = driver, where

    def check(self, revisions: list[bytes]) -> None:
        schema = self._ask("SELECT type, name, sql FROM sqlite_master")
        entries = [(_said(kind), _said(name), _said(sql or b"")) for kind, name, sql in schema]
        revision = None
        if found := [entry for entry in entries if entry[1] == "alembic_version"]:
            self._check_plain(*found[0])
            revision = next(iter(self._ask("SELECT version_num FROM alembic_version LIMIT 1")), (None,))[0]
        if revision not in (None, *revisions):
            return
        for entry in entries:
            self._check_plain(*entry)
        verdict = " ".join(_said(self._ask("PRAGMA integrity_check(1)")[0][0]).split())
        if verdict != "ok":
            raise DatabaseError(f"{self._where}: it is damaged ({verdict}); move it away, or restore a copy")
        columns = self._columns({name for _, name, _ in entries}, newest=revision == revisions[-1])
        rows = {t.name: self._rows(t, present) for t, present in columns.items() if t.name not in LARGE}
        for table, present in columns.items():
            if table.name in LARGE:
                self._check_large(table, present)
        self._check_references(columns, rows)

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._driver.execute(query).fetchall()

    def _wrong(self, table: str, key: object, column: str, what: str) -> NoReturn:
        raise DatabaseError(f"{self._where}: {table} {key}, column {column}: {what}; {EDITED}")

    def _check_plain(self, kind: str, name: str, sql: str) -> None:
        """Raise DatabaseError for what this program does not make: it might run when it is read."""
        known = name in metadata.tables or name == "alembic_version"
        plain_index = kind == "index" and (not sql or PLAIN_INDEX.fullmatch(" ".join(sql.split())))
        ours = kind == "view" and VIEWS.get(name) == sql
        if not (plain_index or ours or name in OF_SQLITE or (known and is_plain_table(kind, sql))):
            what = f"the {kind} {name!r}, not one that this program makes"
            raise DatabaseError(f"{self._where}: it holds {what}: {EDITED}")

    def _columns(self, names: set[str], newest: bool) -> dict[Table, list[Column[Any]]]:
        """The schema's tables that are there, with their columns that are."""
        found = {}
        for name, table in metadata.tables.items():
            if name in names:
                info = self._ask(f"PRAGMA table_info({name})")
                present = [_said(row[1]) for row in info]
                keys = [_said(row[1]) for row in sorted(info, key=lambda row: int(row[5])) if row[5]]
                unknown = next((column for column in present if column not in table.columns), None)
                if keys != [column.name for column in table.primary_key.columns] or unknown:
                    raise DatabaseError(f"{self._where}: the table {name} has other columns or keys: {EDITED}")
                found[table] = [column for column in table.columns if column.name in present]
            there = {column.name for column in found.get(table, ())}
            missing = next((column.name for column in table.columns if column.name not in there), None)
            if newest and missing:
                raise DatabaseError(f"{self._where}: the table {name} has no column {missing}: {EDITED}")
        return found

    def _rows(self, table: Table, columns: list[Column[Any]]) -> list[Row]:
        """Every row, each value checked one row after the other; of each its key, and what refers to other tables."""
        rows = []
        names = [column.name for column in columns]
        kept = [column.name for column in columns if column.primary_key or column.foreign_keys]
        for values in self._driver.execute(f"SELECT {', '.join(names)} FROM {table.name}"):  # noqa: S608  # of the schema
            row = dict(zip(names, values, strict=True))
            for column, value in zip(columns, values, strict=True):
                if what := _wrong_value(column, value):
                    self._wrong(table.name, _key(table, row), column.name, what)
            row = {name: str(value, "utf-8") if isinstance(value, _Text) else value for name, value in row.items()}
            if found := wrong_row(table.name, row):
                self._wrong(table.name, _key(table, row), *found)
            rows.append({name: row[name] for name in kept})
        return rows

    def _check_large(self, table: Table, columns: list[Column[Any]]) -> None:
        """Types and ranges of a table that is too long to be read row by row."""
        conditions = {column.name: _condition(column) for column in columns}
        if table.name == "episodes":
            conditions["n_correct"] += " AND n_correct <= n_queries"
        wrong = f"SELECT * FROM {table.name} WHERE NOT ({' AND '.join(conditions.values())}) LIMIT 1"  # noqa: S608
        names = [column.name for column in columns]
        for values in self._ask(wrong.replace("*", ", ".join([*names, *conditions.values()]), 1)):
            row = dict(zip(names, values, strict=False))
            failing = next(name for name, right in zip(conditions, values[len(names) :], strict=True) if not right)
            self._wrong(table.name, _key(table, row), failing, f"it cannot be {_said(row[failing])!r}")
        for column in columns:
            if isinstance(column.type, String) and column.name not in LENGTHS:
                for (value,) in self._ask(f"SELECT DISTINCT {column.name} FROM {table.name}"):  # noqa: S608
                    if what := _wrong_value(column, value):
                        self._wrong(table.name, "", column.name, what)

    def _check_references(self, columns: dict[Table, list[Column[Any]]], rows: dict[str, list[Row]]) -> None:
        for table, present in columns.items():
            for column in present:
                for reference in column.foreign_keys:
                    there = {row[reference.column.name] for row in rows.get(reference.column.table.name, ())}
                    for row in rows.get(table.name) or self._distinct(table, column):
                        if (value := row[column.name]) not in there:
                            what = f"it names {value!r} of {reference.column.table.name}, which is missing"
                            key = _key(table, row) if table.name in rows else ""
                            self._wrong(table.name, key, column.name, what)

    def _distinct(self, table: Table, column: Column[Any]) -> list[Row]:
        """Each value of a column of a large table, once."""
        found = self._ask(f"SELECT DISTINCT {column.name} FROM {table.name}")  # noqa: S608  # names of the schema
        return [{column.name: _said(value) if isinstance(value, bytes) else value} for (value,) in found]


def _condition(column: Column[Any]) -> str:
    """`_wrong_value` in SQL, for columns that cannot be null."""
    name, kind = column.name, column.type
    if isinstance(kind, String):
        shortest, longest = (LENGTHS[name],) * 2 if name in LENGTHS else (1, _longest(kind))
        return f"typeof({name}) = 'text' AND length(CAST({name} AS BLOB)) BETWEEN {shortest} AND {longest}"
    if isinstance(kind, LargeBinary):
        return f"typeof({name}) = 'blob'"
    if isinstance(kind, Float):
        return f"typeof({name}) IN ('real', 'integer') AND {name} BETWEEN -1e300 AND 1e300"
    low, high = _range(column)
    return f"typeof({name}) = 'integer' AND {name} BETWEEN {low} AND {high}"


def _wrong_value(column: Column[Any], value: Any) -> str:
    """What is wrong with a value as the file holds it; empty where nothing is."""
    name, kind = column.name, column.type
    if value is None:
        return "" if column.nullable else "it is missing"
    if isinstance(kind, LargeBinary):
        return "" if isinstance(value, bytes) and not isinstance(value, _Text) else f"{_said(value)!r} are no bytes"
    if isinstance(kind, String):
        return _wrong_text(name, kind, value)
    if isinstance(kind, Float):
        low = -math.inf if name in OF_ANY_SIGN else 0
        right = isinstance(value, int | float) and math.isfinite(value) and value >= low
        return "" if right else f"{_said(value)!r} is no number that it can be"
    low, high = _range(column)
    return "" if type(value) is int and low <= value <= high else f"{_said(value)!r} is no number from {low} to {high}"


def _wrong_text(name: str, kind: String, value: Any) -> str:
    if not isinstance(value, _Text):
        return f"{_said(value)!r} is no text"
    if name in HEX:
        n_digits = 0 if not value and name in MAY_BE_EMPTY else HEX[name]
        right = len(value) == n_digits and not value.strip(b"0123456789abcdef")
        return "" if right else f"{_said(value)!r} is not {HEX[name]} hex digits"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"{_said(value)!r} is not UTF-8"
    if "\0" in text:
        return f"{_said(value)!r} holds what is no character"
    return "" if len(value) <= _longest(kind) else f"it has {len(value)} bytes, more than {_longest(kind)}"


def _longest(kind: String) -> int:
    """Bytes; SQLite never kept to the number of letters in the schema."""
    return 16 * kind.length if kind.length else LONGEST_BYTES


def _range(column: Column[Any]) -> tuple[int, int]:
    if isinstance(column.type, Boolean):
        return 0, 1
    high = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
    return (-high if column.name in OF_ANY_SIGN else int(column.name in AT_LEAST_ONE)), high


def _key(table: Table, row: Mapping[str, Any]) -> str:
    key = " ".join(_said(row[column.name]) for column in table.primary_key.columns)
    return "".join(letter if letter.isprintable() else "?" for letter in key)


def _said(value: Any) -> str:
    """A value as a message names it."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 100 or text.upper().startswith("CREATE ") else f"{text[:100]}..."
