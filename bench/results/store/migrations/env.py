"""Run by alembic: migrate over the connection, and inside the transaction, that `engine.py` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
