"""What of a selection is stored and what is to do, and what that may take."""

import torch

from fewshot_bench.errors import NoResultsYet
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.plan import Expected, History, Plan, expected, make_plan
from fewshot_bench.experiment.selection import Means
from fewshot_bench.results.store import Reader, upgrade
from fewshot_bench.running.device import choose_device, prepare
from fewshot_bench.running.memory import predicted_bytes
from fewshot_bench.running.runner import execution_of


def plan_to_run(chosen: Chosen, *, retry_failed: bool = False, training: str | None = None) -> Plan:
    """As `plan_of`, or of it one training alone; an older version's database is upgraded first."""
    upgrade(chosen.database)
    plan = plan_of(chosen, retry_failed=retry_failed)
    return plan if training is None else plan.training_alone(training)


def plan_of(chosen: Chosen, *, retry_failed: bool = False) -> Plan:
    """What of the chosen cells is stored, and what is to do."""
    reader = _reader_if_any(chosen.database)
    if reader is None:
        return make_plan(chosen.cells, {}, {})
    stored = reader.keys_by_label()
    n_stale = sum(len(stored.get(chosen.label(cell), set()) - {cell.key}) for cell in chosen.cells)
    return make_plan(chosen.cells, reader.cells(), reader.trainings(), n_stale=n_stale, retry_failed=retry_failed)


def seconds_of(plan: Plan, database: str) -> Expected:
    """How long each training and its cells may take with one job, from the database's history."""
    return expected(plan, history_of(database))


def history_of(database: str) -> History:
    """How long what is stored took."""
    reader = _reader_if_any(database)
    return History(reader.cells(), reader.trainings()) if reader else History({}, {})


def device_of(chosen: Chosen, means: Means) -> torch.device:
    """Where a run here computes. Raises UsageError, see `choose_device`."""
    config = chosen.request.config
    return choose_device(means.device or config.run.device, config.model.numerics)


def memory_of(chosen: Chosen, plan: Plan, means: Means) -> dict[str, int]:
    """Training key -> the bytes that it will take, about."""
    config, device = chosen.request.config, device_of(chosen, means)
    prepare(device, threads=1)
    return {
        t.key: predicted_bytes(t, device, execution_of(t, device, config.run.recompute))
        for t in (todo.training for todo in plan.todo)
    }


def _reader_if_any(database: str) -> Reader | None:
    """None where there is no database yet."""
    try:
        return Reader(database)
    except NoResultsYet:
        return None
