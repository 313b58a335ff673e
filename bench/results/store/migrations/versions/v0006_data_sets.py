"""Data sets without their pixels, so that results are read where the images are not; views for other programs."""

import sqlalchemy as sa
from alembic import op

from fewshot_bench.results.store.schema import VIEWS

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the table, which `bench run` fills, and the views."""
    op.create_table(
        "data_sets",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("outline", sa.Text, nullable=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("checksum", sa.String(16), nullable=False, server_default="0" * 16),
    )
    op.execute(f"INSERT INTO census (name, n, keys) VALUES ('data_sets', 0, '{'0' * 32}')")  # noqa: S608
    for view in VIEWS.values():
        op.execute(view)
