"""Killed writers, full disks, several runs at once: what was stored stays, and nothing is stored by halves."""

import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import event

from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.transactions import patient
from fewshot_bench.tables.scores import EpisodeResult

# a process that changes every row, far beyond its cache, so that half of it is in the file when it is killed
KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size=2")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE episodes SET n_correct = 99, episode_id = episode_id || 'x'")
os.kill(os.getpid(), signal.SIGKILL)
"""

# several processes make the database at once, then store the same cells, a chunk at a time
AT_ONCE = """
import sys
from types import SimpleNamespace
counts = dict.fromkeys(("in_channels", "image_size", "n_base_classes", "n_way", "n_shot", "n_query", "iterations"), 1)
trained = counts | {"method": "m", "versions": [1], "settings": {}, "fingerprint": "f", "base_parts": ["train"],
    "filters": 0, "seed": 0, "backbone": "b"}
tested = {"training": "a" * 16, "split": "s", "setting": {"n_way": 5, "n_shot": 1, "n_query": 15}, "bank": [1, 0],
    "adaptation": None}
from fewshot_bench.results.provenance import Provenance
from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.results.store import Writer
writer = Writer(sys.argv[1], Provenance("now", "bench run", "", None, {}))
training = SimpleNamespace(key="a" * 16, identity=trained, method="m", iterations=1, seed=0)
writer.start_training(training)
for number in range(6):
    cell = SimpleNamespace(key=f"{number:016d}", identity=tested, training=training, variant="v", name="cell",
        setting=SimpleNamespace(n_way=5, n_shot=1, n_query=15))
    for start in (0, 10):
        chunk = [EpisodeResult(i, f"{i:016d}", i, 75) for i in range(start, start + 10)]
        writer.record_episodes(cell, "label", "command", chunk, 1.0)
writer.end_run(0)
"""


def many(n: int) -> list[EpisodeResult]:
    return [EpisodeResult(i, f"{i:016x}", i % 12, 12) for i in range(n)]


def test_what_a_killed_writer_left_is_rolled_back(writer, where, cell, store_cell, processes):
    store_cell(writer, many(3000))
    clean, reader = Path(where).read_bytes(), Reader(where)
    assert processes.begin(KILLED, where).wait() == -signal.SIGKILL
    assert Path(f"{where}-journal").stat().st_size > 0
    assert Path(where).read_bytes() != clean  # so that there is something to roll back
    assert reader.episodes([cell.key])[cell.key] == tuple(many(3000))  # it was open before
    assert Path(where).read_bytes() == clean


def test_a_writer_rolls_back_too(writer, where, cell, store_cell, processes):
    store_cell(writer, many(3000))
    processes.begin(KILLED, where).wait()
    store_cell(writer, many(3001)[3000:])
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(many(3001))


def test_a_full_disk_keeps_what_was_stored(writer, where, cell, store_cell):
    store_cell(writer, many(10))
    full = []

    @event.listens_for(writer.engine, "connect")
    def _limit(connection, _) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages if full else 1 << 30}")

    full.append(True)
    with pytest.raises(DatabaseError) as error:
        store_cell(writer, many(5000))
    assert "the disk is full; make room and run the same command again" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 6
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(many(10))
    full.clear()
    store_cell(writer, many(5000))
    assert Reader(where).cells()[cell.key].n_episodes == 5000


def test_a_database_that_is_locked_for_long_is_one_line(writer, where, cell, store_cell, monkeypatch):
    monkeypatch.setattr("fewshot_bench.results.store.engine.WAIT_SECONDS", 0.1)
    other = sqlite3.connect(where, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="locked: another process has held it"):
        store_cell(writer, many(1))
    assert Reader(where).counts().episodes == 0  # reading goes on meanwhile
    other.execute("ROLLBACK")
    other.close()
    store_cell(writer, many(1))


@pytest.mark.parametrize("held", ["BEGIN IMMEDIATE", "BEGIN; SELECT * FROM cells"])
def test_a_run_waits_for_who_holds_the_database(held, writer, where, cell, store_cell, monkeypatch):
    """A run that was stopped in a transaction, or in the middle of reading."""
    store_cell(writer, many(1))
    monkeypatch.setattr("fewshot_bench.results.store.engine.WAIT_SECONDS", 0.1)
    other, said = sqlite3.connect(where, isolation_level=None, check_same_thread=False), []
    for statement in held.split("; "):
        other.execute(statement).fetchall()
    back = threading.Timer(0.3, other.close)
    back.start()
    with patient(60, said.append):
        store_cell(writer, many(2))
    back.join()
    assert said == ["another process holds the database; trying again for 60 s"]
    assert Reader(where).cells()[cell.key].n_episodes == 2


def test_several_runs_at_once_store_everything_once(where, provenance, processes):
    for process in [processes.begin(AT_ONCE, where) for _ in range(4)]:
        assert (process.wait(), *process.communicate()) == (0, "", "")
    reader = Reader(where)
    counts = reader.counts()
    assert (counts.runs, counts.cells, counts.episodes) == (4, 6, 6 * 20)
    assert all(len(found) == 20 for found in reader.episodes(reader.cells()).values())
    assert {cell.seconds for cell in reader.cells().values()} == {2.0}  # work that was done twice counts once


def test_a_database_that_is_deleted_meanwhile_is_one_line_and_does_not_come_back(writer, where, cell, store_cell):
    store_cell(writer, many(2))
    Path(where).unlink()
    with pytest.raises(DatabaseError, match="the file was moved or deleted; bring it back, or begin anew") as error:
        store_cell(writer, many(4))
    assert "\n" not in str(error.value)
    assert not Path(where).exists()
