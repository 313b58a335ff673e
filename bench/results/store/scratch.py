"""A new database filled with rows in one transaction: how the results of a file come to be merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, insert

from fewshot_bench.results.store.checksums import SEALED, episodes_sha256, recount, seal
from fewshot_bench.results.store.engine import explained, open_engine
from fewshot_bench.results.store.schema import metadata
from fewshot_bench.results.store.writing import counted_episodes, insert_run


class Scratch:
    """Takes rows in any order; references are checked at the end."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Insert rows of the schema."""
        if rows:
            self._c.execute(insert(metadata.tables[table]), rows)

    def add_run(self, values: dict[str, Any]) -> int:
        """Insert a run; returns its number."""
        return insert_run(self._c, values)

    def count(self, cell_key: str) -> dict[str, Any]:
        """`n_episodes` and `sha256` of a cell whose episodes are all here."""
        rows = counted_episodes(self._c, cell_key)
        return {"n_episodes": len(rows), "sha256": episodes_sha256(rows)}


@contextmanager
def scratch(where: str) -> Iterator[Scratch]:
    """Make the database `where`; it is complete when the context ends, and empty where that raises."""
    with explained(where), open_engine(where, write=True).begin() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        yield Scratch(connection)
        recount(connection)
        for table in SEALED:
            seal(connection, table)
