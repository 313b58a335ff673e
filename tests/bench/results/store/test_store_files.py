"""Which files the store opens, and what it says of the others; it never harms what it cannot use."""

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest import mock

import alembic.op
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from fewshot_bench.errors import BenchError, DatabaseError, OldSchema, UsageError
from fewshot_bench.results.store import Reader, Writer, engine, upgrade, upgrading
from fewshot_bench.results.store.engine import APPLICATION_ID, REVISIONS, open_engine
from fewshot_bench.results.store.schema import metadata
from fewshot_bench.tables.scores import EpisodeResult

RESULTS = [EpisodeResult(i, f"{i:016x}", i, 12) for i in range(4)]


def make_sqlite(path: str, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def refused(action, said: str, kind: type[BenchError] = DatabaseError) -> None:
    """It raises one line that says so."""
    with pytest.raises(kind) as error:
        action()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_there_is_nothing_to_read_before_the_first_run(where):
    refused(lambda: Reader(where), "there are no results yet; make some with `bench run --out ")
    assert not Path(where).exists()


def test_an_empty_file_becomes_a_database(where, provenance):
    Path(where).touch()
    refused(lambda: Reader(where), "there are no results yet")
    Writer(where, provenance)
    assert Reader(where).counts().runs == 1


def test_folders_are_made(tmp_path, provenance):
    where = str(tmp_path / "a" / "b" / "results.sqlite")
    Writer(where, provenance)
    assert Reader(where).counts().runs == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, provenance):
    (tmp_path / "file").touch()
    for where in (str(tmp_path / "file" / "results.sqlite"), str(tmp_path / "file" / "b" / "results.sqlite")):
        refused(lambda where=where: Writer(where, provenance), "choose another --out")
        refused(lambda where=where: Reader(where), "")
    refused(lambda: Writer(str(tmp_path), provenance), "unable to open")


def test_a_folder_that_is_a_link_to_nothing_is_one_line(tmp_path, provenance):
    (tmp_path / "out").symlink_to(tmp_path / "unmounted")
    where = str(tmp_path / "out" / "results.sqlite")
    refused(lambda: Writer(where, provenance), "a link to what is not there; make the folder that it names, or choose")


def test_too_few_open_files_are_not_called_a_lack_of_permissions(writer, where):
    free = os.dup(0)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    for more in (0, 1):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, limits[1]))
        try:
            refused(lambda: writer.end_run(0), "too few files may be open at once: raise the limit (ulimit -n)")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_new_file_carries_our_mark_and_keeps_a_rollback_journal(writer, where):
    connection = sqlite3.connect(where)
    for pragma, value in (("application_id", APPLICATION_ID), ("journal_mode", "delete")):
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    connection.close()
    engine = open_engine(where, write=True)
    with engine.begin() as c:
        assert c.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert c.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_readers_cannot_write(writer, where):
    with pytest.raises(Exception, match="readonly"), open_engine(where, write=False).begin() as c:
        c.exec_driver_sql("DELETE FROM runs")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_another_programs_database_is_left_as_it_is(mode, where, provenance):
    make_sqlite(where, f"PRAGMA journal_mode={mode}", "CREATE TABLE photos (id)")
    before = Path(where).read_bytes()
    refused(lambda: Writer(where, provenance), "another program's database; name another with BENCH_DB")
    refused(lambda: Reader(where), "another program's database")
    assert Path(where).read_bytes() == before


def test_another_programs_empty_database_is_left_as_it_is(where, provenance):
    make_sqlite(where, "PRAGMA application_id=7")
    refused(lambda: Writer(where, provenance), "another program's database")


@pytest.mark.parametrize("content", [b"<html>not found</html>" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_left_as_it_is(content, where, provenance):
    Path(where).write_bytes(content)
    refused(lambda: Writer(where, provenance), "move it away")
    refused(lambda: Reader(where), "move it away")
    assert Path(where).read_bytes() == content


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_what_is_no_database_is_not_held_open_by_its_error(where, provenance):
    Path(where).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for action in (lambda: Writer(where, provenance), lambda: Reader(where)):
        with pytest.raises(DatabaseError) as told:
            action()
        assert told.value.__cause__ is not None
        assert os.path.realpath(where) not in {os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()}


def test_a_newer_schema_is_refused_with_its_number(writer, where, provenance):
    make_sqlite(where, "UPDATE alembic_version SET version_num = '9999'")
    before = Path(where).read_bytes()
    for action in (lambda: Writer(where, provenance), lambda: Reader(where)):
        refused(action, "schema 9999")
        refused(action, "pip install -U fewshot-bench")
    assert Path(where).read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "zero"])
def test_a_damaged_file_is_refused(damage, writer, where, cell, store_cell, provenance):
    store_cell(writer, [EpisodeResult(i, f"{i:016x}", i % 12, 12) for i in range(2000)])
    content = bytearray(Path(where).read_bytes())
    if damage == "cut":
        content = content[:-1000]
    else:
        content[-8192:-4096] = bytes(4096)
    Path(where).write_bytes(content)
    refused(lambda: Reader(where), "damaged")
    refused(lambda: Writer(where, provenance), "damaged")
    assert Path(where).read_bytes() == content


def test_the_migrations_lead_to_the_schema(writer, where):
    with open_engine(where, write=False).begin() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True})
        assert context.get_current_revision() == REVISIONS[-1]
        assert compare_metadata(context, metadata) == []


def test_every_migration_is_known_and_they_form_a_line():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(__file__).parents[4] / "bench" / "results" / "store" / "migrations"
    config.set_main_option("script_location", str(folder))
    line = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(line)) == REVISIONS


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_older_database_is_upgraded_and_a_copy_is_kept(revision, writer, where, cell, store_cell, make_old):
    store_cell(writer, RESULTS)
    make_old(where, revision)
    before = Path(where).read_bytes()
    refused(lambda: Reader(where), "its schema is old; `bench run` on it upgrades it", OldSchema)
    assert Path(where).read_bytes() == before
    upgrade(where)
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(RESULTS)
    assert Reader(where).cells()[cell.key].n_episodes == len(RESULTS)
    (copy,) = Path(where).parent.glob("*schema*")
    assert copy.name == f"{Path(where).name}.schema-{revision}"
    assert not [path for path in Path(where).parent.iterdir() if path.name.endswith(".tmp")]
    copy.replace(where)  # the copy is what there was, and a second one takes another name
    refused(lambda: Reader(where), "its schema is old", OldSchema)
    copy.touch()
    upgrade(where)
    assert copy.with_name(f"{copy.name}.1").stat().st_size


def test_an_upgrade_that_fails_leaves_no_copy_for_the_next_try(writer, where, cell, store_cell, make_old, monkeypatch):
    """Each try on a full disk left one more, as large as the database."""
    store_cell(writer, RESULTS)
    make_old(where, REVISIONS[-2])
    before = Path(where).read_bytes()
    with monkeypatch.context() as full:
        full.setattr("alembic.command.upgrade", mock.Mock(side_effect=sqlite3.OperationalError("disk is full")))
        refused(lambda: upgrade(where), "the disk is full; make room")
    assert not list(Path(where).parent.glob("*schema*"))
    assert Path(where).read_bytes() == before
    upgrade(where)
    assert len(list(Path(where).parent.glob("*schema*"))) == 1


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_bench_run_upgrades(revision, run, bench, make_old):
    make_old(str(run.database), revision)
    assert "its schema is old" in bench("status").err
    ran = bench("run", "--episodes", "7")
    assert (ran.code, "Traceback" in ran.err) == (0, False)
    assert "28" in bench("status").out
    assert run.database.with_name(f"{run.database.name}.schema-{revision}").exists()


def test_who_may_not_write_is_told_who_can_undo_a_killed_run(where, writer, monkeypatch):
    """The line spoke of permissions, to one who only reads."""
    Path(f"{where}-journal").write_bytes(b"\xd9\xd5\x05\xf9 \xa1c\xd7")
    connect = sqlite3.connect

    def not_ours(*words, **named):
        connection = mock.Mock(wraps=connect(*words, **named))
        connection.execute.side_effect = sqlite3.OperationalError("attempt to write a readonly database")
        return connection

    monkeypatch.setattr(sqlite3, "connect", not_ours)
    refused(
        lambda: Reader(where), "a killed run left it in mid-write: `bench status` by who may write it puts that right"
    )


def test_there_is_nothing_to_upgrade(where, writer):
    before = Path(where).read_bytes()
    upgrade(where)
    assert Path(where).read_bytes() == before
    upgrade(f"{where}.none")
    assert not Path(f"{where}.none").exists()


def test_a_failed_upgrade_leaves_the_old_schema(writer, where, cell, store_cell, make_old, monkeypatch):
    store_cell(writer, RESULTS)
    make_old(where)
    before = Path(where).read_bytes()

    def breaks(*_):
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(alembic.op, "get_bind", breaks)
        with pytest.raises(RuntimeError, match="in the middle"):
            upgrade(where)
    assert Path(where).read_bytes() == before
    upgrade(where)
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(RESULTS)


@pytest.mark.parametrize("failing", [1, 4])
def test_a_failed_migration_leaves_nothing_behind(failing, where, provenance, monkeypatch):
    original, calls = alembic.op.create_table, iter(range(100))

    def breaks(*args, **options):
        if next(calls) == failing:
            raise RuntimeError("in the middle")
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "migrate", upgrading.migrate)
        patched.setattr(alembic.op, "create_table", breaks)
        with pytest.raises(RuntimeError, match="in the middle"):
            Writer(where, provenance)
    connection = sqlite3.connect(where)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    Writer(where, provenance)  # and it works when nothing breaks


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://host/db", "mysql cannot be used"),
        ("oracle://host/db", "oracle cannot be used"),
        ("://", "neither a path nor a database URL"),
        ("postgresql+nodriver://host/db", "no driver"),
    ],
)
def test_urls_that_cannot_serve_are_one_line(url, said, provenance, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: Writer(url, provenance), said, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_a_url_may_name_a_file(tmp_path, provenance):
    url = f"sqlite:///{tmp_path}/it's 100% mine?.sqlite".replace("?", "")
    Writer(url, provenance)
    assert Reader(url).counts().runs == 1
    assert (tmp_path / "it's 100% mine.sqlite").exists()


def test_passwords_are_not_shown(monkeypatch):
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseError) as error:
        Reader("postgresql+psycopg://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(error.value)


@pytest.fixture
def immutable():
    """Make paths unchangeable even for root; undone at the end."""
    done = []

    def make(path) -> None:
        command = ["chattr", "+i", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("chattr +i does not work here, and permissions do not bind root")
        done.append(path)

    yield make
    for path in done:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_a_file_that_cannot_be_written_can_be_read(writer, where, cell, store_cell, provenance, immutable):
    store_cell(writer, RESULTS)
    immutable(where)
    refused(lambda: Writer(where, provenance), "check its permissions")
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(RESULTS)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, provenance, immutable):
    folder = tmp_path / "out"
    folder.mkdir()
    immutable(folder)
    refused(
        lambda: Writer(str(folder / "results.sqlite"), provenance), "check its permissions, and that its folder exists"
    )
