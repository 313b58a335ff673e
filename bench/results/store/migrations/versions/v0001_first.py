"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("git_commit", sa.String(40), nullable=False),
        sa.Column("git_dirty", sa.Boolean),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "trainings",
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("method", sa.String(100), nullable=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("iteration", sa.Integer, nullable=False),
        sa.Column("iterations", sa.Integer, nullable=False),
        sa.Column("images_seen", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger, nullable=False),
        sa.Column("device", sa.String(100), nullable=False),
        sa.Column("checkpoint", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "cells",
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("training_key", sa.String(16), sa.ForeignKey("trainings.key"), nullable=False, index=True),
        sa.Column("label", sa.String(300), nullable=False, index=True),
        sa.Column("variant", sa.String(100), nullable=False),
        sa.Column("n_way", sa.Integer, nullable=False),
        sa.Column("n_shot", sa.Integer, nullable=False),
        sa.Column("n_query", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("n_episodes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "episodes",
        sa.Column("cell_key", sa.String(16), sa.ForeignKey("cells.key"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("episode_id", sa.String(16), nullable=False),
        sa.Column("n_correct", sa.Integer, nullable=False),
        sa.Column("n_queries", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
    )
    op.create_table(
        "curves",
        sa.Column("training_key", sa.String(16), sa.ForeignKey("trainings.key"), primary_key=True),
        sa.Column("iteration", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )
