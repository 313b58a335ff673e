"""An older schema becomes the newest one, all of it or nothing, and what was there before is kept as a copy."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, inspect

from fewshot_bench.files import whole_file


def migrate(connection: Connection, revision: str | None, path: Path | None, kept: list[Path]) -> None:
    """To the newest schema, in the caller's transaction. path: of an SQLite file, whose copy is added to `kept`."""
    from alembic import command
    from alembic.config import Config

    if revision is not None:
        _keep(connection, revision, path, kept)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _keep(connection: Connection, revision: str, path: Path | None, kept: list[Path]) -> None:
    """The database as it is: in a file beside it, or in a schema of the server's."""
    if path is None:
        before = f"before_{revision}"
        connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{before}" CASCADE')
        connection.exec_driver_sql(f'CREATE SCHEMA "{before}"')
        for table in inspect(connection).get_table_names():
            connection.exec_driver_sql(f'CREATE TABLE "{before}"."{table}" AS TABLE "{table}"')
        return
    # the caller's transaction lets others read, and nobody write
    with (
        whole_file(name := copy_of(path, revision)) as file,
        closing(sqlite3.connect(path)) as original,
        closing(sqlite3.connect(file.name)) as copy,
    ):
        original.backup(copy)
    kept.append(name)


def copy_of(path: Path, revision: str) -> Path:
    """Where the file as it was before the migration is kept; never one that is there already."""
    names = (f"{path.name}.schema-{revision}{suffix}" for suffix in ("", *(f".{n}" for n in range(1, 1000))))
    return next(found for name in names if not (found := path.with_name(name)).exists())
