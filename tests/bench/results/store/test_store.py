"""The results database: what a run writes is what reports read, and nothing that is stored ever changes."""

import json
import sqlite3

import pytest
from sqlalchemy import event

from fewshot_bench.errors import DatabaseError, NothingSelected
from fewshot_bench.experiment.records import StoredTraining, TrainingProgress
from fewshot_bench.results.store import Reader, Writer
from fewshot_bench.tables.scores import EpisodeResult


def test_a_database_comes_back_as_it_was_written(writer, where, cell, training):
    writer.start_training(training)
    for iteration, loss in ((10, 2.5), (20, 1.25)):
        progress = TrainingProgress(iteration, 64 * iteration, float(iteration), 1000, "cpu")
        writer.record_progress(training, progress, {"loss": loss, "supervised loss": 9.0})
    writer.finish_training(training, TrainingProgress(20, 1280, 21.5, 2000, "cpu"), "c" * 64)
    writer.record_episodes(cell, "label", "bench run ...", results(4), 1.5)
    writer.end_run(0)

    reader = Reader(where)
    assert reader.trainings() == {
        training.key: StoredTraining(
            training.key, "finished", training.method, stored_form(training), 20, training.iterations, 1280, 21.5,
            2000, "cpu", "c" * 64, "",
        )
    }  # fmt: skip
    assert reader.episodes([cell.key]) == {cell.key: tuple(results(4))}
    assert reader.curves([training.key]) == {training.key: [(10, 2.5), (20, 1.25)]}
    stored = reader.cells()[cell.key]
    assert (stored.n_episodes, stored.seconds, stored.reason) == (4, 1.5, "")
    assert reader.keys_by_label() == {"label": {cell.key}}
    counts = reader.counts()
    assert (counts.runs, counts.trainings, counts.cells, counts.failed_cells, counts.episodes) == (
        1, {"finished": 1}, 1, 0, 4,
    )  # fmt: skip
    (run,) = reader.runs_behind([cell.key])
    assert (run["exit_code"], run["facts"]) == (0, {"torch": "2"})


def test_a_cell_shows_every_fact_behind_it(writer, where, cell, training, store_cell):
    store_cell(writer, results(3))
    for asked in (cell.key, cell.key[:5], cell.name):
        facts = Reader(where).cell(asked)
        assert facts.episodes == tuple(results(3))
        assert facts.cell["identity"] == cell.identity
        assert facts.cell["command"] == "bench run ..."
        assert facts.training["identity"]["settings"] == training.identity["settings"]
        assert facts.run["facts"] == {"torch": "2"}
    with pytest.raises(NothingSelected, match="no cell's key starts with 'zz'"):
        Reader(where).cell("zz")
    with pytest.raises(NothingSelected, match="no cell's key starts with '%'; stored here: 1 cell of "):
        Reader(where).cell("%")
    with pytest.raises(NothingSelected, match="nobody-5w1s-s0 is not stored; stored here: 1 cell of "):
        Reader(where).cell("nobody-5w1s-s0")


def test_an_ambiguous_beginning_is_refused(writer, where, cell, store_cell, other_cell):
    store_cell(writer, results(1))
    store_cell(writer, results(1), other_cell)
    with pytest.raises(NothingSelected, match="more than one cell's key"):
        Reader(where).cell("")


def test_the_same_results_may_come_twice(writer, where, cell, store_cell):
    store_cell(writer, results(4))
    before = content(where)
    store_cell(writer, results(4))  # seconds are not counted again either
    assert content(where) == before


def test_a_cell_grows_chunk_by_chunk(writer, where, cell, store_cell):
    store_cell(writer, results(2))
    store_cell(writer, results(5)[2:])
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(results(5))
    assert Reader(where).cells()[cell.key].n_episodes == 5
    grown = content(where, "SELECT sha256 FROM cells")
    store_cell(writer, results(7)[4:])  # overlaps: a second run that began earlier
    assert Reader(where).cells()[cell.key].n_episodes == 7
    assert content(where, "SELECT sha256 FROM cells") != grown


def test_another_result_for_an_episode_is_refused_and_changes_nothing(writer, where, cell, store_cell):
    store_cell(writer, results(3))
    before = content(where)
    other = [*results(4)[:2], EpisodeResult(2, results(3)[2].episode_id, 11, 12), results(4)[3]]
    with pytest.raises(DatabaseError) as error:
        store_cell(writer, other)
    assert error.value.exit_code == 6
    assert "episode 2: 11/12 correct now, 2/12 stored; nothing was changed" in str(error.value)
    assert content(where) == before  # the new episode 3 of the same chunk is not there either


def test_finished_trainings_never_change(writer, where, training):
    writer.start_training(training)
    writer.finish_training(training, TrainingProgress(20, 1, 1.0, 1, "cpu"), "c" * 64)
    before = content(where)
    writer.start_training(training)
    writer.record_progress(training, TrainingProgress(7, 7, 7.0, 7, "gpu"), {})
    writer.fail_training(training, TrainingProgress(7, 7, 7.0, 7, "gpu"), "no")
    assert content(where) == before


def test_failures_are_kept_with_their_reason_until_they_succeed(writer, where, cell, training, store_cell):
    writer.start_training(training)
    writer.fail_training(training, TrainingProgress(7, 7, 7.0, 7, "cpu"), "training diverged")
    writer.fail_cell(cell, "label", "command", "training diverged")
    reader = Reader(where)
    stored = reader.trainings()[training.key]
    assert (stored.state, stored.iteration, stored.reason) == ("failed", 7, "training diverged")
    assert reader.cells()[cell.key].reason == "training diverged"
    assert reader.counts().failed_cells == 1
    writer.start_training(training)
    assert reader.trainings()[training.key].state == "running"
    writer.finish_training(training, TrainingProgress(20, 1, 1.0, 1, "cpu"), "c" * 64)
    store_cell(writer, results(2))
    assert reader.trainings()[training.key].reason == reader.cells()[cell.key].reason == ""


def test_a_partial_failed_cell_keeps_its_episodes(writer, where, cell, store_cell):
    store_cell(writer, results(2))
    writer.fail_cell(cell, "label", "command", "adaptation diverged")
    stored = Reader(where).cells()[cell.key]
    assert (stored.n_episodes, stored.reason) == (2, "adaptation diverged")
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(results(2))


def test_what_another_run_found_to_fail_stays_its_finding(writer, where, cell, provenance):
    writer.start_training(cell.training)
    writer.fail_cell(cell, "label", "command", "adaptation diverged")
    before = content(where, "SELECT * FROM cells")
    Writer(where, provenance).fail_cell(cell, "label", "command", "adaptation diverged")
    assert content(where, "SELECT * FROM cells") == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE episodes SET n_correct = n_correct + 1 WHERE number = 1",
        "UPDATE episodes SET n_queries = 13 WHERE number = 0",
        "UPDATE episodes SET episode_id = 'ffffffffffffffff' WHERE number = 2",
        "DELETE FROM episodes WHERE number = 2",
    ],
)
def test_a_changed_number_is_found(change, writer, where, cell, store_cell):
    store_cell(writer, results(3))
    assert Reader(where).episodes([cell.key])
    edit(where, change)
    with pytest.raises(DatabaseError, match=rf"the episodes of cell {cell.key} \({cell.name}\) do not match their"):
        Reader(where).episodes([cell.key])


def test_a_cell_without_its_training_cannot_be_stored(writer, where, cell):
    """Foreign keys are on: nothing floats about without its origin."""
    with pytest.raises(DatabaseError, match="FOREIGN KEY"):
        writer.record_episodes(cell, "label", "command", results(1), 1.0)
    assert Reader(where).counts().cells == 0


def test_every_run_is_recorded(where, provenance):
    for code in (0, 4):
        Writer(where, provenance).end_run(code)
    Writer(where, provenance)  # killed
    assert content(where, "SELECT id, exit_code FROM runs") == [(1, 0), (2, 4), (3, None)]


def test_the_runs_behind_a_number_are_known(where, provenance, cell, other_cell, training, store_cell):
    def run(*steps) -> int:
        writer = Writer(where, provenance)
        for step in steps:
            step(writer)
        return writer.run_id

    trained = run(lambda w: w.start_training(training))
    began = run(lambda w: w.record_episodes(cell, "label", "command", results(2), 1.0))
    went_on = run(lambda w: w.record_episodes(cell, "label", "command", results(3), 1.0))
    other = run(lambda w: w.record_episodes(other_cell, "label", "command", results(1), 1.0))
    reader = Reader(where)
    assert [r["id"] for r in reader.runs_behind([cell.key])] == [trained, began, went_on]
    assert [r["id"] for r in reader.runs_behind([other_cell.key])] == [trained, other]
    assert reader.runs_behind([]) == []


def test_other_weights_for_a_finished_training_are_refused(writer, where, training):
    writer.start_training(training)
    done = TrainingProgress(20, 1, 1.0, 1, "cpu")
    writer.finish_training(training, done, "c" * 64)
    before = content(where)
    writer.finish_training(training, done, "c" * 64)  # the same, made again
    with pytest.raises(DatabaseError, match="made again, differ from those that its results come from"):
        writer.finish_training(training, done, "d" * 64)
    assert content(where) == before


def test_the_run_whose_weights_are_stored_is_named(where, provenance, training):
    """Two runs at one training: not who began last, nor whose weights were refused."""
    done = TrainingProgress(20, 1, 1.0, 1, "cpu")
    a, b = Writer(where, provenance), Writer(where, provenance)
    a.start_training(training)
    b.start_training(training)
    a.finish_training(training, done, "c" * 64)
    with pytest.raises(DatabaseError, match="made again, differ"):
        b.finish_training(training, done, "d" * 64)
    b.record_progress(training, done, {"loss": 7.0})
    assert content(where, "SELECT run_id FROM trainings") == [(a.run_id,)]
    assert Reader(where).curves([training.key]) == {training.key: []}


def test_equal_episodes_sent_again_are_still_those_of_who_made_them(where, provenance, cell, store_cell):
    a, b = Writer(where, provenance), Writer(where, provenance)
    store_cell(a, results(4))
    b.record_episodes(cell, "label", "command", results(4), 1.0)
    assert content(where, "SELECT run_id FROM cells") == [(a.run_id,)]


def test_a_chunk_costs_what_it_has_and_not_what_is_there(writer, where, cell, store_cell):
    store_cell(writer, results(3))
    statements = []
    event.listen(writer.engine, "before_cursor_execute", lambda *words: statements.append(words[2]))
    writer.record_episodes(cell, "label", "command", results(6)[3:], 1.0)
    assert statements
    assert not [text for text in statements if "FROM episodes" in text]
    assert Reader(where).episodes([cell.key])[cell.key] == tuple(results(6))


def test_episodes_with_a_gap_are_refused(writer, where, cell, store_cell):
    store_cell(writer, results(3))
    with pytest.raises(DatabaseError, match="episodes are missing between those stored and these"):
        store_cell(writer, results(6)[4:])


def stored_form(training) -> dict:
    """A training's identity as it comes back: JSON knows no tuples."""
    return json.loads(json.dumps(training.identity))


def results(n: int) -> list[EpisodeResult]:
    return [EpisodeResult(i, f"{i:016x}", i % 12, 12) for i in range(n)]


def content(where: str, query: str = "") -> list:
    """All rows of what was measured, or of one query."""
    tables = ("trainings", "cells", "episodes", "curves")
    connection = sqlite3.connect(where)
    rows = connection.execute(query).fetchall() if query else [
        row for table in tables for row in connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    ]  # fmt: skip
    connection.close()
    return rows


def edit(where: str, statement: str) -> None:
    connection = sqlite3.connect(where)
    connection.execute(statement)
    connection.commit()
    connection.close()
