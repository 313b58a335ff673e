"""A results database as an earlier version of the program made it."""

from sqlalchemy import create_engine, text

from fewshot_bench.results.store.engine import REVISIONS
from fewshot_bench.results.store.schema import VIEWS

# what each revision added: tables, and columns by table
ADDED: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "0002": (["answers"], {}),
    "0003": (
        ["claims", "owners", "census"],
        {
            "runs": ["checksum"],
            "trainings": ["curves_sum", "checksum"],
            "cells": ["answers_sum", "runs_sum", "checksum"],
        },
    ),
    "0004": ([], {"claims": ["checksum"], "owners": ["checksum"]}),
    "0005": (["weights"], {}),
    "0006": (["data_sets"], {}),
}


def make_old(where: str, revision: str = REVISIONS[0]) -> None:
    """Take back what later revisions added. where: a path or a PostgreSQL URL"""
    engine = create_engine(url(where))
    with engine.begin() as connection:
        for later in reversed(REVISIONS[REVISIONS.index(revision) + 1 :]):
            tables, columns = ADDED[later]
            for view in VIEWS if later == "0006" else ():
                connection.execute(text(f"DROP VIEW {view}"))
            for table, names in columns.items():
                for name in names:
                    connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {name}"))
            for table in tables:
                connection.execute(text(f"DROP TABLE {table}"))
                if later > "0003":
                    connection.execute(text("DELETE FROM census WHERE name = :name"), {"name": table})
        connection.execute(text("UPDATE alembic_version SET version_num = :old"), {"old": revision})
    engine.dispose()


def url(where: str) -> str:
    """Of a database, for SQLAlchemy."""
    return where.replace("postgresql://", "postgresql+psycopg://") if "://" in where else f"sqlite:///{where}"
