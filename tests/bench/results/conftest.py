"""What only somebody with this code can do to a results database: forge its checksums, or make it an old one."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine

from fewshot_bench.results.store.checksums import SEALED, recount, seal
from fewshot_bench.results.store.engine import REVISIONS

ADDED = {
    "runs": ["checksum"],
    "trainings": ["curves_sum", "checksum"],
    "cells": ["answers_sum", "runs_sum", "checksum"],
}


def reseal(where: str) -> None:
    """Make every checksum but those of episodes that of what is there now."""
    engine = create_engine(f"sqlite:///{where}")
    with engine.begin() as connection:
        recount(connection)
        for table in SEALED:
            seal(connection, table)
    engine.dispose()


@pytest.fixture(name="reseal")
def _reseal():
    return reseal


def make_old(where: str, revision: str = REVISIONS[0]) -> None:
    """As an earlier version of the schema had it."""
    with closing(sqlite3.connect(where)) as connection:
        for table in ("claims", "owners", "census", *(["answers"] if revision == REVISIONS[0] else [])):
            connection.execute(f"DROP TABLE {table}")
        for table, names in ADDED.items():
            for name in names:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.commit()


@pytest.fixture(name="make_old")
def _make_old():
    return make_old
