"""Wanted cells x stored states -> what is done, partial, failed and to do."""

from dataclasses import replace

import pytest

from fewshot_bench.config import Budget, load
from fewshot_bench.experiment.grid import cells, resolve
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.plan import History, make_plan
from fewshot_bench.experiment.records import StoredCell, StoredTraining, pace_of
from fewshot_bench.experiment.selection import Selection


@pytest.fixture
def wanted(full_size) -> list[Cell]:
    """maml at 1 and 5 shots, fomaml at 1 and 5 shots; 100 episodes each."""
    config = replace(load(), budgets={"quick": Budget({"other": 150}, {"1": 100}, {})})
    request = resolve(config, Selection(grid="full", methods=("maml", "fomaml"), ways=(5,), shots=(1, 5)))
    return cells(request, full_size)


def pace(cell: Cell) -> str:
    return pace_of(cell.variant, cell.identity)


def stored_cell(cell: Cell, n_episodes: int, reason: str = "") -> dict[str, StoredCell]:
    return {cell.key: StoredCell(cell.key, n_episodes, 1.0, reason, pace(cell))}


def stored_training(cell: Cell, state="finished", iteration=150, reason="") -> dict[str, StoredTraining]:
    t = cell.training
    row = StoredTraining(
        t.key, state, t.method, t.identity, iteration, t.iterations, 0, 30.0, 0, "cpu", "c" * 64, reason
    )
    return {t.key: row}


def states(plan) -> list[str]:
    return [p.state for p in plan.cells]


def test_nothing_stored_means_everything_to_do_grouped_by_training(wanted):
    plan = make_plan(wanted, {}, {})
    assert states(plan) == ["todo"] * 4
    assert [[p.cell.name for p in t.cells] for t in plan.todo] == [
        ["maml-5w1s-s0", "maml-5w5s-s0"],
        ["fomaml-5w1s-s0", "fomaml-5w5s-s0"],
    ]
    assert [t.stored for t in plan.todo] == [None, None]


def test_done_partial_and_todo(wanted):
    stored = stored_cell(wanted[0], 100) | stored_cell(wanted[1], 99) | stored_cell(wanted[2], 0)
    plan = make_plan(wanted, stored, stored_training(wanted[0]))
    assert states(plan) == ["done", "partial", "todo", "todo"]
    assert [p.n_done for p in plan.cells] == [100, 99, 0, 0]
    assert [[p.cell.name for p in t.cells] for t in plan.todo] == [
        ["maml-5w5s-s0"],
        ["fomaml-5w1s-s0", "fomaml-5w5s-s0"],
    ]
    assert plan.todo[0].stored.state == "finished"
    assert plan.count("done") == plan.count("partial") == 1


def test_a_cell_with_more_episodes_than_wanted_is_done(wanted):
    assert states(make_plan(wanted[:1], stored_cell(wanted[0], 600), {})) == ["done"]


def test_more_episodes_wanted_make_a_done_cell_partial(wanted):
    more = [replace(wanted[0], n_episodes=600)]
    assert states(make_plan(more, stored_cell(wanted[0], 100), {})) == ["partial"]


def test_a_failed_cell_stays_failed_until_asked_for(wanted):
    stored = stored_cell(wanted[0], 7, "adaptation diverged")
    plan = make_plan(wanted[:1], stored, {})
    assert (states(plan), plan.cells[0].reason, plan.todo) == (["failed"], "adaptation diverged", ())
    again = make_plan(wanted[:1], stored, {}, retry_failed=True)
    assert (states(again), again.cells[0].reason, len(again.todo)) == (["partial"], "adaptation diverged", 1)


def test_a_failed_training_fails_cells_that_were_never_tried(wanted):
    broken = stored_training(wanted[0], "failed", 12, "training diverged")
    plan = make_plan(wanted, {}, broken)
    assert states(plan) == ["failed", "failed", "todo", "todo"]
    assert plan.cells[1].reason == "training diverged"
    assert states(make_plan(wanted, {}, broken, retry_failed=True)) == ["todo"] * 4


def test_a_failed_training_does_not_take_back_results(wanted):
    broken = stored_training(wanted[0], "failed", 12, "training diverged")
    assert states(make_plan(wanted[:1], stored_cell(wanted[0], 100), broken)) == ["done"]


def test_equal_variants_are_done_once(wanted):
    twin = replace(wanted[0], variant="twin")
    plan = make_plan([wanted[0], twin], {}, {})
    assert states(plan) == ["todo", "todo"]
    assert [len(t.cells) for t in plan.todo] == [1]
    assert states(make_plan([wanted[0], twin], stored_cell(twin, 100), {})) == ["done", "done"]


def test_time_is_expected_from_trainings_of_the_same_work_a_step(wanted):
    history = stored_training(wanted[0], "running", 50)  # 30 s for 50 of 150 iterations
    plan = make_plan(wanted, {}, history)
    known, other = (History({}, history).expected(plan)[t.training.key][0] for t in plan.todo)
    assert known == pytest.approx(60)
    assert other is None  # fomaml does other work a step
    barely = make_plan(wanted, {}, begun := stored_training(wanted[0], "running", 4))
    assert History({}, begun).expected(barely)[wanted[0].training.key][0] is None
    finished = make_plan(wanted, {}, stored_training(wanted[0]))
    assert History({}, {}).expected(finished)[wanted[0].training.key][0] == 0


def test_testing_time_is_expected_from_cells_with_the_same_work_an_episode(wanted):
    plan = make_plan(wanted, {}, {})
    first = plan.todo[0]
    half = {c.key: StoredCell(f"old{c.key}", 10, 5.0, "", pace(c)) for c in (p.cell for p in first.cells)}
    (_, seconds), (_, unknown) = History(half, {}).expected(plan).values()
    assert seconds == pytest.approx(sum(0.5 * p.cell.n_episodes for p in first.cells))
    assert unknown is None
    tuned = pace_of("maml", first.cells[0].cell.identity | {"adaptation": {"steps": 2}})
    other = {key: replace(cell, pace=tuned) for key, cell in half.items()}
    assert History(other, {}).expected(plan)[first.training.key][1] is None


def test_the_longest_come_first_and_the_unknown_before_them(wanted):
    """By what they took: maml's second cell, then its first; fomaml's training."""
    paces = {("maml", 1): 1.0, ("maml", 5): 2.0, ("fomaml", 1): 2.0, ("fomaml", 5): 1.0}
    cells = {c.key: StoredCell(f"old{c.key}", 10, 10 * paces[c.variant, c.setting.n_shot], "", pace(c)) for c in wanted}
    slow = replace(stored_training(wanted[2], "running", 50)[wanted[2].training.key], seconds=60.0)
    trainings = stored_training(wanted[0], "running", 50) | {slow.key: slow}
    plan = make_plan(wanted, {}, trainings)

    def order(history: History) -> list[list[str]]:
        return [[p.cell.name for p in t.cells] for t in history.longest_first(plan).todo]

    assert order(History(cells, trainings)) == [
        ["fomaml-5w1s-s0", "fomaml-5w5s-s0"],
        ["maml-5w5s-s0", "maml-5w1s-s0"],
    ]
    known = stored_training(wanted[2], "running", 50)  # nothing is known of maml
    assert [names[0] for names in order(History({wanted[2].key: cells[wanted[2].key]}, known))] == [
        "maml-5w1s-s0",
        "fomaml-5w5s-s0",
    ]
