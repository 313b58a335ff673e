"""A new database filled with rows in one transaction: how the results of a file come to be merged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, insert, select

from fewshot_bench.results.store.checksums import SEALED, episodes_sha256, recount, seal
from fewshot_bench.results.store.engine import explained, open_engine
from fewshot_bench.results.store.schema import episodes, metadata, runs
from fewshot_bench.results.store.writing import COUNTED


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
        key = self._c.execute(insert(runs).values(values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def count(self, cell_key: str) -> dict[str, Any]:
        """`n_episodes` and `sha256` of a cell whose episodes are all here."""
        query = select(*(episodes.c[name] for name in COUNTED)).where(episodes.c.cell_key == cell_key)
        rows = self._c.execute(query.order_by(episodes.c.number)).all()
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
