"""PostgreSQL serves as SQLite does: several processes at once, interleaved transactions, servers that go away."""

import socket
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import event, text

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.results.store.engine import REVISIONS, open_engine
from fewshot_bench.results.store.merging import merge
from fewshot_bench.results.store.salvage import examine
from fewshot_bench.results.store.transactions import patient
from fewshot_bench.tables.scores import EpisodeResult

OPENS = """
import sys
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.results.store import Writer
Writer(sys.argv[1], Provenance("now", "bench run", "", None, {})).end_run(0)
"""


def many(n: int, first: int = 0) -> list[EpisodeResult]:
    return [EpisodeResult(i, f"{i:016x}", i % 12, 12) for i in range(first, n)]


@pytest.fixture
def where(new_database) -> str:
    return new_database()


def test_it_serves_as_well(where, cell, store_cell, provenance):
    writer = Writer(where, provenance)
    store_cell(writer, many(10))
    store_cell(writer, many(12))
    with pytest.raises(DatabaseError, match="nothing was changed"):
        store_cell(writer, [EpisodeResult(0, "0" * 16, 5, 12)])
    reader = Reader(where)
    assert reader.episodes([cell.key])[cell.key] == tuple(many(12))
    assert reader.cells()[cell.key].n_episodes == 12
    assert Writer(where, provenance).run_id == writer.run_id + 1
    assert reader.counts().runs == 2


def test_several_first_runs_make_one_database(where, processes):
    for process in [processes.begin(OPENS, where) for _ in range(6)]:
        assert (process.wait(), *process.communicate()) == (0, "", "")
    assert Reader(where).counts().runs == 6


def test_two_runs_in_one_cell_at_once(where, cell, store_cell, provenance):
    """B sends episodes again and looks at the cell; A commits more before B has written what it saw."""
    a, b = Writer(where, provenance), Writer(where, provenance)
    store_cell(a, many(10))
    looked, written = threading.Event(), threading.Event()

    @event.listens_for(b.engine, "after_cursor_execute")
    def _after(connection, cursor, statement, *_):
        if "FROM episodes" in statement and not looked.is_set():
            looked.set()
            written.wait(1.0)  # a cell that is locked keeps A waiting, and then B goes on alone

    send_again = threading.Thread(target=store_cell, args=(b, many(10)))
    send_again.start()
    assert looked.wait(30)
    a.record_episodes(cell, "label", "command", many(20, 10), 1.0)
    written.set()
    send_again.join()
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(many(20))
    assert Reader(where).cells()[cell.key].n_episodes == 20


def test_a_server_that_restarts_is_waited_for(own_server, cell, store_cell, provenance):
    where, said = own_server.database("restarted"), []
    writer = Writer(where, provenance)
    store_cell(writer, many(2))
    own_server.stop()
    back = threading.Timer(1.0, own_server.start)
    back.start()
    with patient(60, said.append):
        store_cell(writer, many(4))
    back.join()
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(many(4))
    assert said == ["the database's server is away; trying again for 60 s"]


@pytest.mark.parametrize("lost", ["DROP DATABASE {name} WITH (FORCE)", "ALTER ROLE {name} RENAME TO {name}_2"])
def test_what_no_longer_exists_is_not_waited_for(lost, own_server, cell, store_cell, provenance):
    name, said = f"lost_{lost[0]}".lower(), []
    where, other = own_server.database(name), own_server.database(f"{name}_other")
    administrator = open_engine(other, write=True).execution_options(isolation_level="AUTOCOMMIT")
    with administrator.connect() as c:
        c.execute(text(f"CREATE ROLE {name} SUPERUSER LOGIN"))
    writer = Writer(where.replace("bench@", f"{name}@"), provenance)
    store_cell(writer, many(2))
    with administrator.connect() as c:
        c.execute(text(lost.format(name=name)))
    with patient(5, said.append), pytest.raises(DatabaseError, match=f'"{name}" does not exist: make it'):
        store_cell(writer, many(4))
    assert not said


@pytest.mark.parametrize(("seconds", "stopped"), [(0.5, False), (600, True)])
def test_patience_ends_in_one_line(seconds, stopped, own_server, cell, store_cell, provenance):
    writer = Writer(own_server.database(f"away{stopped}".lower()), provenance)
    own_server.stop()
    try:
        began = time.monotonic()
        again = "run the same command again, what was stored is safe"
        with patient(seconds, lambda _: None, lambda: stopped), pytest.raises(DatabaseError, match=again) as error:
            store_cell(writer, many(2))
        assert stopped or time.monotonic() - began >= seconds
        assert "\n" not in str(error.value)
    finally:
        own_server.start()


def test_a_server_that_takes_the_call_and_says_nothing_is_waited_for():
    """As one whose machine hangs; and who was stopped in the middle of a call finds its time for it over."""
    with socket.create_server(("127.0.0.1", 0)) as mute, patient(0, print):
        where = f"postgresql://bench@127.0.0.1:{mute.getsockname()[1]}/bench?connect_timeout=2"
        with pytest.raises(DatabaseError, match="timeout expired; 2 s of waiting: run the same command again"):
            Reader(where)


@pytest.mark.parametrize(("encoding", "fits"), [("SQL_ASCII", True), ("LATIN1", False)])
def test_texts_are_utf8_whatever_the_database_is_in(
    encoding, fits, own_server, cell, store_cell, provenance, monkeypatch
):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    where, name = own_server.database(f"for_{encoding}".lower()), f"in_{encoding}".lower()
    with open_engine(where, write=True).execution_options(isolation_level="AUTOCOMMIT").connect() as c:
        c.execute(text(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"))
    where = where.replace(f"/for_{encoding}".lower(), f"/{name}")
    command = replace(provenance, command="bench run --out 漢字")
    if fits:
        store_cell(Writer(where, command), many(2))
        assert Reader(where).run_commands() == [command.command]
    else:
        with pytest.raises(DatabaseError, match="use a database in UTF-8, as `createdb -E UTF8` makes it"):
            Writer(where, command)


def test_what_took_too_long_for_the_server_is_tried_again(own_server, cell, store_cell, provenance):
    """A limit that somebody set for all; those who hold the lock may be through soon."""
    where, said = own_server.database("limited"), []
    writer = Writer(where, provenance)
    with writer.engine.begin() as c:
        c.execute(text("ALTER DATABASE limited SET lock_timeout = 50"))
    with writer.engine.connect() as holder:

        def tell(line: str) -> None:
            said.append(line)
            holder.rollback()

        with patient(60, tell):
            holder.execute(text("LOCK TABLE cells"))
            store_cell(writer, many(2))
    assert said == ["the database's server ended what it was asked; trying again for 60 s"]
    assert Reader(where).counts().episodes == 2
    with writer.engine.connect() as holder, patient(0, print):
        holder.execute(text("LOCK TABLE cells"))
        with pytest.raises(DatabaseError, match="due to lock timeout: its server is busy, or allows too little time"):
            store_cell(writer, many(4))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ALTER DATABASE written SET default_transaction_read_only = on",
            "it takes no writes: name the server that does",
        ),
        ("CREATE ROLE reads LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads", "ask who owns the database"),
    ],
)
def test_who_may_not_write_is_told_what_to_do(change, said, own_server, cell, store_cell, provenance):
    where = own_server.database("written" if "written" in change else "read")
    store_cell(Writer(where, provenance), many(2))
    with open_engine(where, write=True).begin() as c:
        c.execute(text(change))
    reads = where.replace("bench@", "reads@") if "ROLE" in change else where
    assert Reader(reads).counts().episodes == 2
    with pytest.raises(DatabaseError, match=said):
        Writer(reads, provenance)


def test_a_copy_is_kept_before_a_migration(where, cell, store_cell, provenance, make_old):
    store_cell(Writer(where, provenance), many(3))
    make_old(where, REVISIONS[1])
    with pytest.raises(DatabaseError, match="its schema is old; `bench run` on it upgrades it"):
        Reader(where)
    Writer(where, provenance)
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(many(3))
    with open_engine(where, write=False).begin() as c:
        assert c.execute(text(f"SELECT count(*) FROM before_{REVISIONS[1]}.episodes")).scalar() == 3  # noqa: S608


def test_a_merge_and_a_run_do_not_stand_in_each_others_way(where, tmp_path, cell, other_cell, store_cell, provenance):
    """The run has looked at its training and not yet written; the merge must neither miss that nor be in a deadlock."""
    writer, other = Writer(where, provenance), str(tmp_path / "other.sqlite")
    store_cell(writer, many(4))
    store_cell(Writer(other, provenance), many(4), other_cell)
    looked, found = [], []

    def merge_there() -> None:
        found.append(merge(where, other))

    merging = threading.Thread(target=merge_there)

    @event.listens_for(writer.engine, "after_cursor_execute")
    def _after(connection, cursor, statement, *_):
        if "FOR UPDATE" in statement and not looked:
            looked.append(statement)
            merging.start()
            merging.join(0.5)

    writer.record_progress(cell.training, TrainingProgress(1, 1, 1.0, 1, "cpu"), {"loss": 2.0})
    merging.join()
    assert found
    assert not examine(where).damage
    assert Reader(where).cells().keys() == {cell.key, other_cell.key}
    assert Reader(where).curves([cell.training.key])[cell.training.key] == [(1, 2.0)]


@pytest.mark.parametrize("edit", ["DROP TABLE census", "ALTER TABLE cells RENAME COLUMN seconds TO second"])
def test_a_table_or_column_that_is_gone_is_an_edit(edit, where, provenance):
    with Writer(where, provenance).engine.begin() as c:
        c.execute(text(edit))
    with pytest.raises(DatabaseError, match="does not exist: the file was damaged or edited") as error:
        Reader(where).cells()
    assert "\n" not in str(error.value)


def test_curves_come_in_the_order_in_which_they_are_asked_for(where, make_training, provenance):
    """A table has none, and an update moves its row to the end."""
    writer, made = Writer(where, provenance), [make_training("transfer", seed=seed) for seed in range(3)]
    for training in made:
        writer.start_training(training)
    keys = [training.key for training in made]
    for asked in (keys, keys[::-1]):
        assert list(Reader(where).curves(asked)) == asked


def test_a_writer_that_is_stopped_in_a_transaction_loses_its_locks(where, cell, store_cell, provenance, monkeypatch):
    monkeypatch.setattr("fewshot_bench.results.store.engine.STOPPED_SECONDS", 1.0)
    stopped, other = Writer(where, provenance), Writer(where, provenance)
    store_cell(stopped, many(2))
    looked = []

    @event.listens_for(stopped.engine, "after_cursor_execute")
    def _stop(connection, cursor, statement, *_):
        if "FOR UPDATE" in statement and not looked:
            looked.append(statement)
            time.sleep(2.0)
            store_cell(other, many(4))  # would wait for as long as the first one is stopped

    with patient(5, print):
        store_cell(stopped, many(5))  # is told that it lost its locks, and begins again
    assert looked
    assert Reader(where).cells()[cell.key].n_episodes == 5
