"""Databases that were edited so that their checksums are right: what cannot be is refused, in one line."""

import json
import sqlite3

import pytest

from fewshot_bench.errors import BenchError, DatabaseError
from fewshot_bench.experiment.records import Answers, TrainingProgress
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.results.store.checksums import episodes_sha256
from fewshot_bench.results.store.snapshot import snapshot
from fewshot_bench.seeding import digest
from fewshot_bench.tables.scores import EpisodeResult


def rows(where: str, query: str, *values) -> list:
    connection = sqlite3.connect(where)
    found = connection.execute(query, values).fetchall()
    connection.commit()
    connection.close()
    return found


@pytest.fixture
def edit_episodes(reseal):
    """Change them, and their checksum with them."""
    return lambda where, change: (_edit_episodes(where, change), reseal(where))


def _edit_episodes(where: str, change: str) -> None:
    rows(where, f"UPDATE episodes SET {change}")  # noqa: S608
    stored = rows(where, "SELECT number, episode_id, n_correct, n_queries FROM episodes ORDER BY number")
    rows(where, "UPDATE cells SET sha256 = ?", episodes_sha256(stored))


def refused(action, said: str) -> None:
    with pytest.raises(DatabaseError) as error:
        action()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 6


@pytest.fixture
def stored(writer, where, store_cell) -> str:
    store_cell(writer, [EpisodeResult(i, f"{i:016x}", i, 12) for i in range(4)])
    return where


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("n_correct = 999 WHERE number = 2", "2, column n_correct: it cannot be '999'"),
        ("n_correct = 13 WHERE number = 3", "3, column n_correct: it cannot be '13'"),
        ("n_correct = -1 WHERE number = 1", "1, column n_correct: it cannot be '-1'"),
        ("n_correct = 0, n_queries = 0 WHERE number = 0", "0, column n_queries: it cannot be '0'"),
        ("n_queries = -12 WHERE number = 0", "0, column n_correct: it cannot be '0'"),
        ("n_correct = 'many' WHERE number = 0", "0, column n_correct: it cannot be 'many'"),
        ("n_correct = 1.5 WHERE number = 0", "0, column n_correct: it cannot be '1.5'"),
    ],
)
def test_counts_that_cannot_be_are_refused(change, said, stored, cell, edit_episodes):
    edit_episodes(stored, change)
    refused(lambda: Reader(stored).episodes([cell.key]), f"{stored}: episodes {cell.key} {said}")


def test_all_and_none_correct_can_be(stored, cell, edit_episodes):
    edit_episodes(stored, "n_correct = 12 * (number % 2)")
    assert [e.n_correct for e in Reader(stored).episodes([cell.key])[cell.key]] == [0, 12, 0, 12]


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "[" * 100_000])
def test_what_is_no_json_object_is_one_line(text, stored, cell, training, reseal):
    reader = Reader(stored)
    rows(stored, "UPDATE runs SET facts = ?", text)
    reseal(stored)
    refused(lambda: reader.runs_behind([cell.key]), "the facts of run 1 cannot be read")
    refused(lambda: reader.cell(cell.key), "the facts of run 1 cannot be read")
    rows(stored, "UPDATE cells SET identity = ?", text)
    refused(lambda: reader.cell(cell.key), f"the identity of cell {cell.key} cannot be read")
    rows(stored, "UPDATE trainings SET identity = ?", text)
    reseal(stored)
    refused(reader.trainings, f"the identity of training {training.key} cannot be read")
    refused(lambda: reader.cell(cell.key), f"the identity of training {training.key} cannot be read")


@pytest.mark.parametrize(
    ("added", "said"),
    [(1, "the identity of cell {key} does not match its key: the file was damaged or edited"),
     (float("nan"), "cells {key}, column identity: not valid JSON: it holds a number that is not finite")],
)  # fmt: skip
def test_an_identity_that_is_not_that_of_its_key_is_refused(added, said, stored, cell):
    assert Reader(stored).cell(cell.key)
    rows(stored, "UPDATE cells SET identity = ?", json.dumps(cell.identity | {"added": added}))
    refused(lambda: Reader(stored).cell(cell.key), said.format(key=cell.key))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("cells SET n_way = 5", "the setting of cell"),
        ("cells SET n_shot = 5", "the setting of cell"),
        ("cells SET n_query = 5", "the setting of cell"),
        ("cells SET seed = 5", "the seed of cell"),
    ],
)
def test_columns_that_are_not_those_of_the_identity_are_refused(change, said, stored, cell):
    rows(stored, f"UPDATE {change}")
    refused(lambda: Reader(stored).cell(cell.key), said)


def test_a_cell_that_was_moved_to_another_training_is_refused(stored, cell, make_training, writer):
    other = make_training("transfer", seed=1)
    writer.start_training(other)
    rows(stored, "UPDATE cells SET training_key = ?, seed = 1", other.key)
    refused(lambda: Reader(stored).cell(cell.key), f"the training of cell {cell.key} is not that of its identity")


@pytest.mark.parametrize("table", ["trainings", "runs"])
def test_a_cell_whose_origin_is_missing_is_one_line(table, stored, cell):
    rows(stored, f"DELETE FROM {table}")  # noqa: S608
    refused(lambda: Reader(stored), f"of {table}, which is missing")


def test_a_forged_key_with_its_identity_is_not_noticed(stored, cell, reseal):
    """What the check cannot do: it finds edits, not forgeries."""
    identity = cell.identity | {"split": "other"}
    key = digest(identity)[:16]
    rows(stored, "UPDATE cells SET key = ?, identity = ?", key, json.dumps(identity))
    rows(stored, "UPDATE episodes SET cell_key = ?", key)
    reseal(stored)
    assert Reader(stored).cell(key).cell["identity"]["split"] == "other"


def test_a_folder_in_place_of_a_database_is_called_one(tmp_path):
    for where in (str(tmp_path), f"sqlite:///{tmp_path}"):
        refused(lambda where=where: Reader(where), "it is a folder; name a database file")


def test_a_url_that_is_none_is_still_a_wrong_url():
    with pytest.raises(BenchError, match="neither a path nor a database URL"):
        Reader("://")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE cells SET variant = 'better'", "what is stored of cell"),
        ("UPDATE cells SET label = 'x'", "what is stored of cell"),
        ("UPDATE cells SET command = 'x'", "what is stored of cell"),
        ("UPDATE cells SET seconds = 9", "what is stored of cell"),
        ("UPDATE cells SET n_episodes = 3", "what is stored of cell"),
        ("UPDATE cells SET reason = 'it failed'", "what is stored of cell"),
        ("UPDATE trainings SET seconds = 9", "what is stored of training"),
        ("UPDATE trainings SET device = 'a GPU'", "what is stored of training"),
        ("UPDATE trainings SET state = 'finished'", "trainings {training}, column checkpoint: a training has weights"),
        ("UPDATE runs SET command = 'bench'", "what is stored of run 1"),
        ("UPDATE runs SET git_commit = 'c'", "what is stored of run 1"),
        ("UPDATE answers SET labels = x'00' WHERE number = 1", "the answers of cell"),
        ("DELETE FROM answers WHERE number = 1", "the answers of cell"),
        ("UPDATE curves SET value = 1", "the curves of training"),
        ("DELETE FROM curves", "the curves of training"),
        ("UPDATE episodes SET run_id = 2 WHERE number = 1", "the runs of cell"),
        ("DELETE FROM cells", "column cell_key: it names '{cell}' of cells, which is missing"),
        ("DELETE FROM trainings", "column training_key: it names '{training}' of trainings, which is missing"),
        ("DELETE FROM census", "is not whole, nothing counted"),
    ],
)
def test_whatever_is_printed_has_a_checksum(change, said, stored, writer, cell, training, provenance):
    """What reads it says so, and so does what reads everything."""
    writer.record_progress(training, TrainingProgress(1, 1, 1.0, 1, "cpu"), {"loss": 2.0})
    labelled = [EpisodeResult(i, f"{i:016x}", i, 12, Answers(bytes([i] * 12))) for i in range(4)]
    writer.record_episodes(cell, "label", "command", labelled, 1.0)
    Writer(stored, provenance)

    def read_all() -> None:
        reader = Reader(stored)
        reader.counts(), reader.trainings(), reader.cells(), reader.all_cells()
        reader.episodes([cell.key]), reader.answers([cell.key]), reader.curves([training.key])
        reader.runs_behind([cell.key]), reader.cell(cell.key)

    def export_all() -> None:
        with snapshot(stored) as found:
            found.runs()
            for row in found.cells().values():
                found.episodes(row), found.answers(row)
            for row in found.trainings().values():
                found.curves(row)

    read_all(), export_all()
    rows(stored, change)
    refused(read_all, said.format(cell=cell.key, training=training.key))
    refused(export_all, "")


def test_rows_that_are_missing_with_all_that_names_them_are_noticed(stored, cell):
    for table in ("answers", "episodes", "cells"):
        rows(stored, f"DELETE FROM {table}")  # noqa: S608
    refused(lambda: Reader(stored).all_cells(), f"the table cells is not whole, {cell.key} missing")
    refused(lambda: Reader(stored).cell(cell.key), f"the table cells is not whole, {cell.key} missing")


def test_damage_is_not_sealed_by_what_is_written_next(stored, writer, cell, store_cell):
    rows(stored, "UPDATE cells SET variant = 'better'")
    refused(lambda: store_cell(writer, [EpisodeResult(4, f"{4:016x}", 4, 12)]), f"cell {cell.key} does not match")


def test_damaged_episodes_are_not_hashed_with_new_ones(stored, provenance, cell, store_cell):
    rows(stored, "UPDATE episodes SET n_correct = 9 WHERE number = 1")
    more = [EpisodeResult(4, f"{4:016x}", 4, 12)]
    refused(lambda: store_cell(Writer(stored, provenance), more), f"the episodes of cell {cell.key} do not match")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM runs", "a row that others belong to is missing"),
        (
            "DELETE FROM curves; DELETE FROM episodes; DELETE FROM cells; DELETE FROM trainings; DELETE FROM runs",
            "missing",
        ),
        ("DROP TABLE census", "no such table: census: the file was damaged or edited"),
        ("DELETE FROM trainings", "training {training} is missing"),
        ("DELETE FROM census", "is not whole, nothing counted"),
    ],
)
def test_rows_that_go_missing_under_a_run_are_one_line(change, said, stored, writer, training, make_training):
    for statement in change.split("; "):
        rows(stored, statement)

    def go_on() -> None:
        writer.record_progress(training, TrainingProgress(1, 1, 1.0, 1, "cpu"), {"loss": 2.0})
        writer.end_run(0)
        writer.start_training(make_training("transfer", seed=1))

    refused(go_on, said.format(training=training.key))


def test_a_database_without_its_version_is_not_called_empty(stored, provenance):
    rows(stored, "DELETE FROM alembic_version")
    for opened in (lambda: Reader(stored), lambda: Writer(stored, provenance)):
        refused(opened, "it does not say its schema's version")


def test_episodes_are_counted_where_none_is_read(stored):
    rows(stored, "DELETE FROM episodes WHERE number = 3")
    refused(Reader(stored).counts, "4 episodes were stored, 3 are there")
