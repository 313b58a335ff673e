"""Checksums over everything that is printed, a census of rows, and claims on units of work."""

import sqlalchemy as sa
from alembic import op

from fewshot_bench.results.store.checksums import SEALED, recount, seal

revision = "0003"
down_revision = "0002"

SUMS = {"runs": ["checksum"], "trainings": ["curves_sum", "checksum"], "cells": ["answers_sum", "runs_sum", "checksum"]}


def upgrade() -> None:
    """Adds columns and tables; the checksums are of what is there now."""
    for table, names in SUMS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.String(16), nullable=False, server_default="0" * 16))
    op.create_table(
        "census",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("keys", sa.String(32), nullable=False),
    )
    op.create_table(
        "owners",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process", sa.String(255), nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("unit", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(32), sa.ForeignKey("owners.id"), nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    connection = op.get_bind()
    recount(connection, [table for table in SEALED if table.name in SUMS])
    for table in SUMS:  # with the columns of this schema, whatever later ones add
        seal(connection, sa.Table(table, sa.MetaData(), autoload_with=connection))
