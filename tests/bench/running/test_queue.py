"""What is left to do, as several workers take it."""

import pytest

from fewshot_bench.experiment.plan import Plan, PlannedCell, PlannedTraining
from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.results.store.claiming import Claims
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.events import NotDone, Trained, Warned, WeightsLost
from fewshot_bench.running.queue import Queue

GONE = "the weights are missing"


@pytest.fixture
def queue(writer, where, cell, other_cell, tmp_path) -> Queue:
    cells = tuple(PlannedCell(each, "todo", 0) for each in (cell, other_cell))
    plan = Plan(cells, (PlannedTraining(cell.training, None, cells),), 0)
    return Queue(plan, Checkpoints(tmp_path / "checkpoints"), Claims(where, writer.run_id))


def take(queue, n):
    """The next units, all in hand at once."""
    return [queue.take(cells_first=False) for _ in range(n)]


def train(queue):
    (todo,) = take(queue, 1)
    queue.heeded(Trained(todo.training, TrainingProgress(1, 1, 1.0, 1, "cpu"), "c" * 64))
    queue.over(todo)


def lose(queue, job):
    said = queue.heeded(WeightsLost(job.planned, GONE))
    queue.over(job)
    return said


def test_weights_that_two_workers_miss_at_once_are_lost_once(queue):
    train(queue)
    jobs = take(queue, 2)
    assert [type(lose(queue, job)) for job in jobs] == [Warned, Warned]
    train(queue)
    again = take(queue, 2)
    assert [job.planned for job in again] == [job.planned for job in jobs]
    assert not queue
    assert lose(queue, again[0]) == NotDone((again[0].planned,), GONE)


def test_a_cell_that_misses_them_when_training_again_has_ended_is_not_done(queue):
    train(queue)
    jobs = take(queue, 2)
    lose(queue, jobs[0])
    (todo,) = take(queue, 1)
    queue.over(todo)  # for lack of memory, say
    assert lose(queue, jobs[1]) == NotDone((jobs[1].planned,), GONE)
