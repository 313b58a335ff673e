"""The answers to single queries, in a table of their own; results stored before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds a table and touches no other."""
    op.create_table(
        "answers",
        sa.Column("cell_key", sa.String(16), sa.ForeignKey("cells.key"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("labels", sa.LargeBinary, nullable=False),
    )
