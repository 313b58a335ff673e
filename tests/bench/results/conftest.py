"""A results database as an earlier version made it."""

import sqlite3
from contextlib import closing

import pytest

from fewshot_bench.results.store.engine import REVISIONS

ADDED = {
    "runs": ["checksum"],
    "trainings": ["curves_sum", "checksum"],
    "cells": ["answers_sum", "runs_sum", "checksum"],
}


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
