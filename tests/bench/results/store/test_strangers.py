"""Databases that anyone may have made: always an answer or one line, whatever stands in any column."""

import json
import os
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fewshot_bench.doctor.stored_alarms import stored_alarms
from fewshot_bench.errors import BenchError, DatabaseError
from fewshot_bench.experiment.episodes import BANK_VERSION, Setting
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.records import Answers, TrainingProgress
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import CORE_VERSION
from fewshot_bench.methods.registry import find_method
from fewshot_bench.replay.rebuild import find_stored, rebuild
from fewshot_bench.results.exchange.export import long_rows
from fewshot_bench.results.store import Claims, Reader, Writer
from fewshot_bench.results.store.comparing import compare
from fewshot_bench.results.store.salvage import salvage
from fewshot_bench.results.store.schema import metadata
from fewshot_bench.results.store.shapes import CELL, TRAINING
from fewshot_bench.results.store.snapshot import Snapshot, snapshot
from fewshot_bench.seeding import digest
from fewshot_bench.tables.parsing import parse_json
from fewshot_bench.tables.scores import EpisodeResult

HOSTILE = (
    None, -1, 2**63 - 1, 1.5, "1000000", "a\x1b]0;x\x07\n", "é" * 5000, b"\0" * 12, "[" * 5000,
    '{"threads": "1000000"}', r'{"\ud800": 1}',
)  # fmt: skip
RAW = ("CAST(x'ff' AS TEXT)", "CAST(x'6100' AS TEXT)", "zeroblob(20000000)")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """To edit it; nothing waits for the disk."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA legacy_alter_table=ON")
        yield connection


@pytest.fixture
def cell(training) -> Cell:
    """Of the versions that are installed, so that it could be repeated."""
    versions = (*find_method("transfer").versions(), CORE_VERSION, BANK_VERSION)
    return Cell("transfer", replace(training, versions=versions), "paper", Setting(4, 1, 3), 0, Adaptation(), 6)


@pytest.fixture
def stored(where, provenance, cell) -> str:
    """Every table has rows."""
    writer = Writer(where, provenance)
    writer.start_training(cell.training)
    writer.record_progress(cell.training, TrainingProgress(1, 1, 1.0, 1, "cpu"), {"loss": 2.0})
    writer.finish_training(cell.training, TrainingProgress(43, 9, 1.0, 1, "cpu"), "c" * 64)
    results = [EpisodeResult(i, f"{i:016x}", 3, 12, Answers(bytes([0] * 12))) for i in range(3)]
    writer.record_episodes(cell, "label", "bench run --data x", results, 1.0)
    claims = Claims(where, writer.run_id)
    claims.claim(("cell", "x"), "name")
    return where


def read_everything(where: str, empty: Snapshot) -> None:
    """What status, show, replay, report, export and merge read, before any image is opened."""
    reader = Reader(where)
    counts, cells, trainings = reader.counts(), reader.cells(), reader.trainings()
    json.dumps([reader.all_cells(), list(reader.keys_by_label())])
    stored_alarms(reader, counts.episodes)
    reader.episodes(cells), reader.answers(cells), reader.curves(trainings), reader.runs_behind(cells)
    for key in cells:
        rebuild(find_stored(reader, key))
    with snapshot(where) as whole:
        list(long_rows(whole))
        compare(empty, whole)


@pytest.fixture(scope="module")
def empty() -> Iterator[Snapshot]:
    """What a database is compared with before it is merged."""
    with snapshot("none.sqlite", or_empty=True) as nothing:
        yield nothing


def answered(where: str, empty: Snapshot) -> str:
    """Empty for an answer, else the one line. Anything but a BenchError is raised."""
    try:
        read_everything(where, empty)
    except BenchError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 2000
        return said
    return ""


def salvaged(path: Path) -> None:
    """What can be taken from it can be read, or nothing can."""
    target = path.with_name("salvaged.sqlite")
    target.unlink(missing_ok=True)
    try:
        salvage(str(path), target)
    except BenchError:
        assert not target.exists()
    else:
        Reader(str(target)).counts()


COLUMNS = [(table.name, column.name) for table in metadata.tables.values() for column in table.columns]


def test_hostile_values_in_every_column_are_one_line(stored, tmp_path, reseal, empty):
    """Each column meets every fifth value, each value a fifth of the columns of each type."""
    whole, edited = Path(stored).read_bytes(), tmp_path / "edited.sqlite"
    assert answered(stored, empty) == ""
    n_refused = n_tried = 0
    for i, (table, column) in enumerate(COLUMNS):
        for value in (*HOSTILE, *RAW)[i % 5 :: 5]:
            edited.write_bytes(whole)
            with opened(edited) as connection:
                place = value if value in RAW else "?"
                words = f"UPDATE {table} SET {column} = {place} WHERE rowid = 1"  # noqa: S608
                try:
                    connection.execute(words, [] if value in RAW else [value])
                except sqlite3.IntegrityError:
                    continue
                connection.commit()
            said = answered(str(edited), empty)
            if "match" in said or "is not whole" in said:  # a forger makes them fit
                reseal(str(edited))
                said = answered(str(edited), empty)
            n_tried += 1
            n_refused += bool(said)
    assert n_tried > 2 * len(COLUMNS)
    assert n_refused > n_tried / 2


IDENTITIES = {
    "in_channels": (-1, 0, 10**9, "1", None, 1.0, True, ...),
    "filters": (-1, 10**6, None, ...),
    "image_size": (0, 10**9, ...),
    "n_base_classes": (-5, 10**12, ...),
    "seed": (-1, 2**40, "0", ...),
    "versions": ([], 1, ["1"], [[1]], ...),
    "settings": ([], None, 5, {"lr": "x"}, {"lr": -1}, {"unknown": 1}, ...),
    "base_parts": ([], "train", [1], ...),
    "backbone": ("none", 5, None, ...),
    "method": ("none", "../x", 5, ...),
    "iterations": (0, -1, 10**18, ...),
    "fingerprint": (5, None, ...),
    "numerics": (5,),
    "drop_block": (2, "x"),
    "augmentation": (5, {"flip": "x"}, {"jitter": 9.0}),
}
CELLS = {
    "split": (5, None, ...),
    "bank": ([], [1], [1, -1], "12", None, ...),
    "setting": ([], {}, {"n_way": 4, "n_shot": -1, "n_query": 3}, {"n_way": 4, "n_shot": 1, "n_query": 3, "x": 1}, ...),
    "adaptation": (5, [], {"steps": "x"}, {"steps": 10**18}, {"unknown": 1}, {"lr_per_way": None}, ...),
}  # fmt: skip


def test_forged_identities_are_one_line(stored, tmp_path, reseal, cell, empty):
    """Keys and checksums are made to fit."""
    whole, edited = Path(stored).read_bytes(), tmp_path / "edited.sqlite"
    for table, cases in (("trainings", IDENTITIES), ("cells", CELLS)):
        for name, values in cases.items():
            for value in values:
                edited.write_bytes(whole)
                with opened(edited) as connection:
                    forge(connection, table, name, value)
                    connection.commit()
                reseal(str(edited))
                assert answered(str(edited), empty), (table, name, value)


def forge(connection: sqlite3.Connection, table: str, name: str, value: object) -> None:
    """Change an identity, and all that depends on it."""
    for old, text in connection.execute(f"SELECT key, identity FROM {table} LIMIT 1").fetchall():  # noqa: S608
        identity = json.loads(text)
        if value is ...:
            del identity[name]
        else:
            identity[name] = value
        key = digest(identity)[:16]
        connection.execute(f"UPDATE {table} SET key = ?, identity = ? WHERE key = ?", [key, json.dumps(identity), old])  # noqa: S608
        for other, column in (("cells", "training_key"), ("curves", "training_key")) if table == "trainings" else (
            ("episodes", "cell_key"), ("answers", "cell_key")):  # fmt: skip
            connection.execute(f"UPDATE {other} SET {column} = ? WHERE {column} = ?", [key, old])  # noqa: S608
    if table == "trainings":
        connection.execute(
            "UPDATE trainings SET method = ?", [identity.get("method", "m") if name == "method" else "transfer"]
        )
        for old, text, training in connection.execute("SELECT key, identity, training_key FROM cells").fetchall():
            identity = json.loads(text) | {"training": training}
            key = digest(identity)[:16]
            connection.execute("UPDATE cells SET key = ?, identity = ? WHERE key = ?", [key, json.dumps(identity), old])
            for other in ("episodes", "answers"):
                connection.execute(f"UPDATE {other} SET cell_key = ? WHERE cell_key = ?", [key, old])  # noqa: S608


HANG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
SCHEMAS = {
    "a view": "ALTER TABLE {t} RENAME TO hidden; CREATE VIEW {t} AS " + HANG,
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON {t} BEGIN DELETE FROM runs; END",
    "a virtual table": "ALTER TABLE {t} RENAME TO hidden; CREATE VIRTUAL TABLE {t} USING fts5(a)",
    "a computed column": "ALTER TABLE {t} ADD COLUMN more INTEGER AS (length(randomblob(1000000)))",
    "a checked column": "ALTER TABLE {t} ADD COLUMN more INTEGER CHECK (length(randomblob(1000000)) > 0)",
    "another column": "ALTER TABLE {t} ADD COLUMN more INTEGER",
    "another table": "CREATE TABLE more (a INTEGER)",
    "an index that computes": "CREATE INDEX more ON {t} (length(hex(zeroblob(100000))))",
    "a partial index": "CREATE INDEX more ON {t} (rowid) WHERE 1",
    "no primary key": "ALTER TABLE {t} RENAME TO hidden; CREATE TABLE {t} AS SELECT * FROM hidden; DROP TABLE hidden",
    "no table": "DROP TABLE {t}",
}


@pytest.mark.parametrize("table", ["runs", "trainings", "cells", "episodes", "answers", "curves", "alembic_version"])
def test_tables_are_tables(table, stored, tmp_path, empty):
    whole, edited = Path(stored).read_bytes(), tmp_path / "edited.sqlite"
    for case, words in SCHEMAS.items():
        if table == "alembic_version" and case in ("no table", "no primary key", "another column"):
            continue  # of which nothing is read but one word
        edited.write_bytes(whole)
        with opened(edited) as connection:
            try:
                connection.executescript(words.format(t=table))
            except sqlite3.OperationalError:  # this SQLite makes no such thing, or not of this table
                continue
        assert answered(str(edited), empty), case
        salvaged(edited)


def test_a_flipped_bit_is_one_line(stored, tmp_path, empty):
    """In an index, where the table says otherwise, and anywhere else."""
    whole, edited = Path(stored).read_bytes(), tmp_path / "edited.sqlite"
    used = [at for at, byte in enumerate(whole) if byte]
    noticed = 0
    for i, at in enumerate(used[:: len(used) // 12]):
        edited.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << i % 8)]) + whole[at + 1 :])
        noticed += bool(answered(str(edited), empty))
        salvaged(edited)
    assert noticed > 6


@pytest.mark.parametrize("kind", ["a pipe", "a sparse file", "a folder", "a link to itself", "zeros"])
def test_what_is_no_file_of_sqlite_is_one_line(kind, tmp_path):
    where = tmp_path / "results.sqlite"
    if kind == "a pipe":
        os.mkfifo(where)
    elif kind == "a folder":
        where.mkdir()
    elif kind == "a link to itself":
        where.symlink_to(where)
    else:
        with where.open("wb") as file:
            file.truncate(200 * 2**30 if kind == "a sparse file" else 8192)
    with pytest.raises(DatabaseError) as error:
        Reader(str(where))
    assert "\n" not in str(error.value)


def test_the_line_names_table_key_and_column(stored, cell):
    for words, said in {
        "UPDATE cells SET n_way = 'many'": f"cells {cell.key}, column n_way: 'many' is no number from 1",
        'UPDATE runs SET facts = \'{"threads": "1000000"}\'': "runs 1, column facts: threads = '1000000' must be",
        "UPDATE trainings SET checkpoint = CAST(x'00' AS TEXT)": "column checkpoint: ",
        "UPDATE episodes SET n_correct = x'00' WHERE number = 2": f"episodes {cell.key} 2, column n_correct: ",
    }.items():
        with closing(sqlite3.connect(stored)) as connection:
            connection.execute(words)
            with suppress(sqlite3.Error):
                connection.commit()
            with pytest.raises(DatabaseError) as error:
                Reader(stored)
            assert said in str(error.value)
        with closing(sqlite3.connect(stored)) as connection:
            connection.execute("UPDATE cells SET n_way = 4")
            connection.execute("UPDATE runs SET facts = '{}'")
            connection.execute("UPDATE trainings SET checkpoint = ?", ["c" * 64])
            connection.commit()


def test_a_check_holds_no_more_than_a_row(stored):
    """A table of long texts is looked through, not read into memory."""
    long, n = 2**20, 30
    with opened(Path(stored)) as connection:
        for _ in range(n):
            connection.execute(
                "INSERT INTO runs (started_at, command, git_commit, facts) VALUES ('', ?, '', '{}')", ["x" * long]
            )
        connection.commit()
    tracemalloc.start()
    try:
        Reader(stored)
        assert tracemalloc.get_traced_memory()[1] < n * long / 2
    finally:
        tracemalloc.stop()


def test_identities_of_this_code_have_the_shape_that_is_asked_for(cell, make_training):
    for made in (cell, replace(cell, adaptation=None)):
        assert CELL(parse_json(json.dumps(made.identity))) == ""
    for name in ("transfer", "protonet", "maml", "reptile", "maml-mtl", "reptile-mtl"):
        assert TRAINING(parse_json(json.dumps(make_training(name).identity))) == ""
