"""`bench merge`: which of two trainings stays, and what becomes of its cells and weights."""

import hashlib
from pathlib import Path

from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.results.store import Reader, Writer

OURS, OTHER = "out/results.sqlite", "other/results.sqlite"
WEIGHTS = hashlib.sha256(b"\x02\0\0\0\0\0\0\0{}").hexdigest()


def test_results_of_other_weights_do_not_come_beside_ours(store, bench, cell, other_cell, episode):
    store(OURS)
    store(OTHER, (cell, [episode(i) for i in range(4)]), (other_cell, [episode(0)]), weights="d" * 64)
    before = Path(OURS).read_bytes()
    ran = bench("merge", OTHER)
    assert ran.code == 6
    assert ran.out == (
        f"training {cell.training.key}  weights {WEIGHTS[:12]} here, dddddddddddd there; would mix in "
        f"{other_cell.name}\n"
    )
    assert "1 training with other weights; nothing was changed" in ran.err
    assert Path(OURS).read_bytes() == before


def test_other_weights_of_which_nothing_is_taken_are_only_told(store, bench, cell, episode):
    store(OURS)
    store(OTHER, (cell, [episode(i) for i in range(3)]), weights="d" * 64, machine="B")
    ran = bench("merge", OTHER)
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "merged: nothing new; 1 cell equal (proved on 3 episodes)"
    assert "1 training with other weights there, not taken: ours stay" in ran.out
    assert "bit-identical" not in ran.out


def test_weights_without_results_give_way_to_those_with_results(store, bench, cell, training, counts):
    store(OURS, (cell, []))
    store(OTHER, weights="d" * 64)
    assert bench("merge", OTHER).code == 0
    assert Reader(OURS).trainings()[training.key].checkpoint == "d" * 64
    assert counts(OURS, cell.key) == [0, 1, 2, 3]


def test_a_failed_training_and_its_cells_give_way(store, bench, provenance, cell, other_cell, training):
    writer = Writer(OURS, provenance)
    writer.start_training(training)
    writer.record_progress(training, TrainingProgress(7, 7, 1.0, 5, "cpu"), {"loss": 9.0})
    writer.fail_training(training, TrainingProgress(7, 7, 1.0, 5, "cpu"), "training diverged")
    for of in (cell, other_cell):
        writer.fail_cell(of, "label", "command", "training diverged")
    store(OTHER)
    ran = bench("merge", OTHER)
    assert ran.out.splitlines()[:2] == [
        "merged: 0 cells new, 1 extended, 0 equal",
        "trainings: 0 new, 1 in place of one without results",
    ]
    reader = Reader(OURS)
    assert reader.trainings()[training.key] == Reader(OTHER).trainings()[training.key]
    assert {key: row.reason for key, row in reader.cells().items()} == {cell.key: "", other_cell.key: ""}
    assert reader.curves([training.key]) == {training.key: [(10, 2.0)]}
    assert bench("merge", OTHER).out.startswith("merged: nothing new; 1 cell equal")


def test_a_finished_training_does_not_give_way_to_a_failed_one(
    store, bench, provenance, cell, other_cell, training, measured
):
    store(OURS)
    writer = Writer(OTHER, provenance)
    writer.start_training(training)
    writer.fail_training(training, TrainingProgress(7, 7, 1.0, 5, "cpu"), "training diverged")
    for of in (cell, other_cell):
        writer.fail_cell(of, "label", "command", "training diverged")
    before = measured(OURS)
    assert bench("merge", OTHER).out == "merged: nothing new; 0 cells equal\n"
    assert measured(OURS) == before


def test_a_failure_is_brought_where_nothing_better_is_known(provenance, store, bench, cell, training, measured):
    writer = Writer(OTHER, provenance)
    writer.start_training(training)
    writer.fail_training(training, TrainingProgress(7, 7, 1.0, 5, "cpu"), "training diverged")
    writer.fail_cell(cell, "label", "command", "training diverged")
    assert bench("merge", OTHER).code == 0
    assert measured(OURS) == measured(OTHER)
