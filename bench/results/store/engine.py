"""Opening the results database: which file is ours, which version, and how SQLite must be spoken to.

Rollback journal, not WAL: the SQLite that Debian 12 ships has the WAL-reset bug (fixed in 3.51.3).
synchronous=FULL, and BEGIN IMMEDIATE for writers: a deferred BEGIN that reads and then writes fails at once
with "database is locked" when two runs share a file.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from fewshot_bench.errors import DatabaseError, NoResultsYet, UsageError

APPLICATION_ID = 0x46534231  # "FSB1", in SQLite's header: the file is a results database of ours
REVISIONS = ("0001", "0002")  # oldest to newest; the last is what `schema.py` describes
WAIT_SECONDS = 30


def open_engine(where: str, *, write: bool) -> Engine:
    """An engine on a path or a SQLAlchemy URL, its schema up to date (or, for readers, checked).

    Raises DatabaseError for a missing, foreign, damaged or newer database, UsageError for a wrong URL.
    """
    path = sqlite_path(where)
    with explained(where):
        engine = _sqlite_engine(path, write) if path is not None else _server_engine(where)
        _check_or_migrate(engine, where, write)
    return engine


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn the errors of the database's driver and of its folder into one line of ours."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        raise DatabaseError(f"{without_password(where)}: {_advice(said)}") from error
    except OSError as error:
        raise DatabaseError(f"{error.filename or where}: {error.strerror}; choose another --out") from error


def _advice(said: str) -> str:
    for symptom, advice in {
        "locked": f"another process has held it for {WAIT_SECONDS} s; wait for that run or stop it",
        "full": "the disk is full; make room and run the same command again: what was stored is safe",
        "readonly": "it cannot be written; check its permissions and its folder's",
        "unable to open": "it cannot be opened; check that its folder exists and can be written",
        "not a database": "it is no SQLite database; move it away or name another with BENCH_DB",
        "malformed": "it is damaged; move it away, or restore a copy",
    }.items():
        if symptom in said:
            return f"{said}: {advice}"
    return said


def sqlite_path(where: str) -> Path | None:
    """The file behind a path or a sqlite URL; None for a server."""
    if "://" not in where:
        return Path(where)
    try:
        url = make_url(where)
    except ArgumentError:
        raise UsageError(f"BENCH_DB = {where!r} is neither a path nor a database URL") from None
    if url.get_backend_name() == "postgresql":
        return None
    if url.get_backend_name() != "sqlite":
        raise UsageError(f"BENCH_DB: {url.get_backend_name()} cannot be used, only sqlite and postgresql")
    if url.database in (None, "", ":memory:"):
        raise UsageError("BENCH_DB names an SQLite database in memory: results would be lost; name a file")
    return Path(str(url.database))


# no pool: a connection lives for one transaction, so none crosses a fork or outlives its error
def _server_engine(where: str) -> Engine:
    try:
        return create_engine(where, poolclass=NullPool)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(f"{without_password(where)}: no driver for it is installed ({error})") from None


def _sqlite_engine(path: Path, write: bool) -> Engine:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists() or not path.stat().st_size:
        raise NoResultsYet(f"{path}: there are no results yet; make some with `bench run`")
    elif Path(f"{path}-journal").exists():
        # a killed writer left its journal: SQLite must write once to roll it back, then reading is safe
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")

    def connect() -> sqlite3.Connection:
        uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if write else 'ro'}"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        connection.execute("PRAGMA foreign_keys=ON")
        if write:
            connection.execute("PRAGMA synchronous=FULL")
            # a new file has a rollback journal, and a foreign one keeps what it has
            if connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,):
                connection.execute("PRAGMA journal_mode=DELETE")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _check_or_migrate(engine: Engine, where: str, write: bool) -> None:
    with engine.begin() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        tables = inspect(connection).get_table_names()
        if is_sqlite:
            identifier = connection.exec_driver_sql("PRAGMA application_id").scalar()
            if identifier != APPLICATION_ID and (tables or identifier):
                raise DatabaseError(f"{where}: it is another program's database; name another with BENCH_DB")
            verdict = " ".join(str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()).split())
            if verdict != "ok":
                raise DatabaseError(f"{where}: it is damaged ({verdict}); move it away, or restore a copy")
        revision = None
        if "alembic_version" in tables:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if revision == REVISIONS[-1]:
            return
        if revision not in (None, *REVISIONS):
            raise DatabaseError(
                f"{without_password(where)}: a newer version of this program made it (schema {revision}, "
                f"this one knows {REVISIONS[-1]}); upgrade with `pip install -U fewshot-bench`"
            )
        if not write and not tables:
            raise NoResultsYet(f"{without_password(where)}: there are no results yet; make some with `bench run`")
        if not write:
            raise DatabaseError(f"{without_password(where)}: its schema is old; `bench run` on it upgrades it")
        _migrate(connection)
        if is_sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")


def _migrate(connection: Connection) -> None:
    """To the newest schema, in the caller's transaction: all of it or nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def without_password(where: str) -> str:
    """A path or URL that may be shown."""
    return str(make_url(where)) if "://" in where else where
