"""Opening the results database: which file is ours, which version, and how SQLite must be spoken to.

Rollback journal, not WAL: the SQLite that Debian 12 ships has the WAL-reset bug (fixed in 3.51.3).
synchronous=FULL, and BEGIN IMMEDIATE for writers: a deferred BEGIN that reads and then writes fails at once
with "database is locked" when two runs share a file.
"""

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from fewshot_bench import machine
from fewshot_bench.errors import DatabaseError, NoResultsYet, OldSchema, UsageError
from fewshot_bench.files import DATABASE
from fewshot_bench.results.passwords import hide_passwords, is_url, without_password
from fewshot_bench.results.store.checking import LONGEST_BYTES, check
from fewshot_bench.results.store.checksums import EDITED
from fewshot_bench.results.store.upgrading import migrate

APPLICATION_ID = 0x46534231  # "FSB1", in SQLite's header: the file is a results database of ours
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")  # oldest to newest; the last is what `schema.py` describes
WAIT_SECONDS = 30
KEPT = 8  # engines that a process keeps
AGAIN = "run the same command again: what was stored is safe"
NO_SERVER = "its server is not up, or listens elsewhere"
STOPPED_SECONDS = 120  # of a writer on a server, between two statements of a transaction
TEXTS = {"client_encoding": "utf8"}  # hold any character, whatever PGCLIENTENCODING says


def open_engine(where: str, *, write: bool) -> Engine:
    """An engine on a path or a SQLAlchemy URL, its schema up to date (or, for readers, checked).

    Raises DatabaseError for a missing, foreign, damaged or newer database, UsageError for a wrong URL.
    """
    path = sqlite_path(where)
    with explained(where):
        if path is None:
            engine = _server_engine(where, write, STOPPED_SECONDS)
        else:
            _look_at_file(path, write)
            engine = _sqlite_engine(path.absolute(), write)
        _check_or_migrate(engine, where, write)
    return engine


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn the errors of the database's driver and of its folder into one line of ours."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        raise DatabaseError(f"{without_password(where)}: {_advice(hide_passwords(said, where))}") from error
    except UnicodeDecodeError:  # the driver quotes a schema that is no text
        raise DatabaseError(f"{without_password(where)}: {_advice('malformed')}") from None
    except OSError as error:
        wrong, advice = error.strerror, "choose another --out"
        if isinstance(error, FileExistsError) and Path(error.filename).is_symlink():  # a folder was to be made
            wrong, advice = "a link to what is not there", "make the folder that it names, or choose another --out"
        elif machine.lacks_files():
            advice = machine.MORE_FILES
        raise DatabaseError(f"{error.filename or without_password(where)}: {wrong}; {advice}") from error


def _advice(said: str) -> str:
    if "unable to open" in said.lower() and machine.lacks_files():
        return f"{said}: {machine.MORE_FILES}"
    for symptom, advice in {
        "locked": f"another process has held it for {WAIT_SECONDS} s; wait for that run or stop it",
        "disk i/o error": f"a quota or a limit on files is reached, or the disk fails; mend that and {AGAIN}",
        "full": f"the disk is full; make room and {AGAIN}",
        "permission denied": "ask who owns the database for the right, or name another with BENCH_DB",
        "readonly": "it cannot be written; check its permissions and its folder's",
        "unable to open": "it cannot be opened; check its permissions, and that its folder exists and can be written",
        "not a database": "it is no SQLite database; move it away or name another with BENCH_DB",
        "malformed": "it is damaged; move it away, or restore a copy",
        "foreign key": f"a row that others belong to is missing: {EDITED}",
        "no such file": NO_SERVER,
        "connection refused": NO_SERVER,
        "failed to resolve": "name its server as it is known here",
        "too many": "wait for other runs to end, or have the server's limit raised",
        "read-only transaction": "it takes no writes: name the server that does, or another database with BENCH_DB",
        "canceling statement": "its server is busy, or allows too little time: run the same command again later",
        "in encoding": "use a database in UTF-8, as `createdb -E UTF8` makes it",
        "no such": EDITED,
        "relation ": EDITED,
        "column ": EDITED,
        "already exists": EDITED,
        "does not exist": "make it, or name another with BENCH_DB",
    }.items():
        if symptom in said.lower():
            return f"{said}: {advice}"
    return said


def is_gone(where: str) -> bool:
    """Whether an SQLite file is not there, though its folder is."""
    path = sqlite_path(where)
    return path is not None and path.parent.is_dir() and not path.exists()


def is_same(one: str, other: str) -> bool:
    """Whether two names name one database."""
    paths = sqlite_path(one), sqlite_path(other)
    if paths[0] is None or paths[1] is None:
        return one == other
    with explained(one):
        return paths[0].exists() and paths[1].exists() and paths[0].samefile(paths[1])


def refuse_folder(where: str) -> None:
    """Raise DatabaseError where a folder is named in place of a database: SQLite would speak of the disk."""
    path = sqlite_path(where)
    with explained(where):
        if path and path.is_dir():
            raise DatabaseError(f"{where}: it is a folder; name a database file in it, or another with BENCH_DB")


def server_url(where: str) -> str:
    """The URL of a server without passwords: they come from PGPASSWORD or ~/.pgpass."""
    url = make_url(where)
    secret = [name for name in url.query if "password" in name]
    return url.set(password=None).difference_update_query(secret).render_as_string()


def sqlite_path(where: str) -> Path | None:
    """The file behind a path or a sqlite URL; None for a server."""
    if not is_url(where):
        return Path(where)
    try:
        url = make_url(where)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):  # neither is shown: they quote it
        raise UsageError(
            "BENCH_DB or the database named is neither a path nor a database URL such as "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME; it is not shown, as it may hold a password"
        ) from None
    if backend == "postgresql":
        return None
    if backend != "sqlite":
        shown = backend if backend in ("mysql", "mariadb", "oracle", "mssql") else "what its URL names"
        raise UsageError(f"BENCH_DB: {shown} cannot be used, only sqlite and postgresql")
    if url.database in (None, "", ":memory:"):
        raise UsageError("BENCH_DB names an SQLite database in memory: results would be lost; name a file")
    return Path(str(url.database))


# An engine that is kept spares the next who opens its database the making of every statement: half of what that takes.
# No pool: a connection lives for one transaction, so none crosses a fork or outlives its error
@lru_cache(KEPT)
def _server_engine(where: str, write: bool, stopped_seconds: float) -> Engine:
    url = make_url(where)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    # readers see everything as one moment shows it, as on SQLite
    level = "READ COMMITTED" if write else "REPEATABLE READ"
    # a server whose machine is gone says nothing: without these it would be listened to for hours
    silence = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "tcp_user_timeout": 60_000}
    # and a writer that is stopped in a transaction would keep others out for as long
    stopped = {"options": f"-c idle_in_transaction_session_timeout={1000 * stopped_seconds:.0f}"} if write else {}
    options: dict[str, str | int] = {**TEXTS, **silence, **stopped} if "psycopg" in url.drivername else {}
    options = {name: value for name, value in options.items() if name not in url.query}
    try:
        return create_engine(url, poolclass=NullPool, isolation_level=level, connect_args=options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(
            f"{without_password(where)}: no driver for it is installed ({error}): "
            "pip install 'fewshot-bench[postgresql]'"
        ) from None


def _look_at_file(path: Path, write: bool) -> None:
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # SQLite will say so
            path.touch()  # here and never again: a file that is deleted in mid-run must not come back empty
    elif not path.exists() or not path.stat().st_size:
        other = (
            f" --out {shlex.quote(str(path.parent))}" if path.name == DATABASE and path.parent != Path("out") else ""
        )
        raise NoResultsYet(f"{path}: there are no results yet; make some with `bench run{other}`")


@lru_cache(KEPT)
def _sqlite_engine(path: Path, write: bool) -> Engine:
    def opened(mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)

    def connect() -> sqlite3.Connection:
        if not write and Path(f"{path}-journal").exists():
            # a killed writer left its journal: SQLite must write once to roll it back, then reading is safe
            try:
                with closing(opened("rw")) as connection:
                    connection.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError as error:
                if "readonly" not in str(error):
                    raise
                undone = "a killed run left it in mid-write: `bench status` by who may write it puts that right"
                raise DatabaseError(f"{path}: {undone}") from None
        connection = opened("rw" if write else "ro")
        try:
            _set_up(connection, write)
        except BaseException:  # nobody else has it
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _set_up(connection: sqlite3.Connection, write: bool) -> None:
    """Raises sqlite3.DatabaseError where the file is no database."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_BYTES)
    connection.execute("PRAGMA foreign_keys=ON")
    if write:
        connection.execute("PRAGMA synchronous=FULL")
        # a new file has a rollback journal, and a foreign one keeps what it has
        if connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,):
            connection.execute("PRAGMA journal_mode=DELETE")


def _check_or_migrate(engine: Engine, where: str, write: bool) -> None:
    kept: list[Path] = []
    try:
        with engine.begin() as connection:
            _check_or_migrate_in(connection, where, write, kept)
    except BaseException:  # nothing was changed, and each further try would leave another copy on a full disk
        for copy in kept:
            copy.unlink(missing_ok=True)
        raise


def _check_or_migrate_in(connection: Connection, where: str, write: bool, kept: list[Path]) -> None:
    path = sqlite_path(where)
    if path:
        _check_file(connection, where, path)
    revision = _revision(connection, where)
    if revision == REVISIONS[-1]:
        if not path:
            check(connection, without_password(where), REVISIONS)
        return
    if not write and revision is None:
        raise NoResultsYet(f"{without_password(where)}: there are no results yet; make some with `bench run`")
    if not write:
        raise OldSchema(f"{without_password(where)}: its schema is old; `bench run` on it upgrades it")
    if not path:  # several first runs at once: one migrates, the others wait and find it done
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": APPLICATION_ID})
        revision = _revision(connection, where)
    if revision != REVISIONS[-1]:
        migrate(connection, revision, path, kept)
    if path:
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")


_found_whole: set[tuple[int, ...]] = set()  # files as they were when this process checked them


def _check_file(connection: Connection, where: str, path: Path) -> None:
    identifier = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if identifier != APPLICATION_ID and (identifier or inspect(connection).get_table_names()):
        raise DatabaseError(f"{where}: it is another program's database; name another with BENCH_DB")
    state = path.stat()
    seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if seen not in _found_whole:
        check(connection, where, REVISIONS)
        _found_whole.add(seen)


def _revision(connection: Connection, where: str) -> str | None:
    """The schema's; None where there is nothing."""
    names, revision = inspect(connection).get_table_names(), None
    if "alembic_version" in names:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None and {"runs", "trainings", "cells"} <= set(names):
        raise DatabaseError(f"{without_password(where)}: it does not say its schema's version: {EDITED}")
    if revision not in (None, *REVISIONS):
        raise DatabaseError(
            f"{without_password(where)}: a newer version of this program made it (schema {str(revision)[:40]}, "
            f"this one knows {REVISIONS[-1]}); upgrade with `pip install -U fewshot-bench`"
        )
    return revision
