"""A run on other machines: submit what is missing, and look on until the database has it all.

The driver computes nothing and writes no results. It may end, or be killed: the jobs go on, and the next driver knows
them by their names.
"""

import os
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from fewshot_bench import machine
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.plan import Expected, Plan, PlannedCell, PlannedTraining
from fewshot_bench.experiment.selection import Means
from fewshot_bench.files import checkpoints, write_whole
from fewshot_bench.results.store import Reader
from fewshot_bench.running import events
from fewshot_bench.running.engines import PROOF, Engine, Job, job_name
from fewshot_bench.running.events import Event
from fewshot_bench.running.planning import plan_of, seconds_of
from fewshot_bench.running.recording import SOME_FAILED, Outcome
from fewshot_bench.running.signals import StopOnSignal

LOOK_SECONDS = 2.0
TRIES = 3  # of a unit by one driver: jobs die with their machines


def drive(
    chosen: Chosen,
    means: Means,
    engine: Engine,
    tell: Callable[[Event], None],
    *,
    leave: Callable[[int], bool] | None,
) -> Outcome:
    """Submit what is to do and is not yet submitted, until every cell is stored or failed, or no job can do more.

    tell: is told of each cell that ended
    leave: asked, when a signal came, whether so many jobs go on; None: leave them at once, without waiting for any
    """
    driver, stop = _Driver(chosen, means, engine), StopOnSignal()
    with stop, _shared_folder(chosen):
        while True:
            alive = engine.alive()  # first: a job that ends now has recorded before
            plan = plan_of(chosen, retry_failed=means.retry_failed and not driver.tries)
            for event in driver.news(plan, alive):
                tell(event)
            alive |= driver.submit(plan, alive)
            if leave is None:
                return replace(driver.outcome, code=0)
            mine = alive & driver.names(plan)
            if not mine:
                break
            if stop.asked():
                if not leave(len(mine)):
                    engine.cancel(mine)
                return replace(driver.outcome, code=128 + (stop.signal or signal.SIGINT))
            time.sleep(LOOK_SECONDS)
    for event in driver.given_up(plan):
        tell(event)
    failed = driver.outcome.n_failed or driver.outcome.n_lost
    return replace(driver.outcome, code=SOME_FAILED if failed else 0)


class _Driver:
    """What was submitted, and what has come of it."""

    def __init__(self, chosen: Chosen, means: Means, engine: Engine) -> None:
        self.outcome, self.tries = Outcome(), Counter[str]()
        self._chosen, self._means, self._engine = chosen, means, engine
        self._told = {planned.cell.key for planned in plan_of(chosen).cells if planned.state == "done"}

    def submit(self, plan: Plan, alive: set[str]) -> set[str]:
        """Names of the jobs submitted now: trainings, the longest first, and the cells that wait for them."""
        submitted = set[str]()
        expected = seconds_of(plan, self._chosen.database)
        for todo in sorted(plan.todo, key=lambda todo: -_seconds(todo, expected)):
            for job in self._jobs(todo):
                waits_in_vain = job.after and job.after not in alive | submitted
                if job.name in alive or self.tries[job.name] >= TRIES or waits_in_vain:
                    continue
                self._engine.submit(job)
                self.tries[job.name] += 1
                submitted.add(job.name)
        return submitted

    def names(self, plan: Plan) -> set[str]:
        """Of all jobs that the chosen cells may have."""
        return self._names(plan.cells)

    def news(self, plan: Plan, alive: set[str]) -> Iterator[Event]:
        """Cells that have ended since the last look."""
        for planned in plan.cells:
            key = planned.cell.key
            if planned.state not in ("done", "failed") or key in self._told:
                continue
            if planned.state == "failed" and alive & self._names([planned]):  # it is tried again
                continue
            self._told.add(key)
            if planned.state == "failed":
                self.outcome.n_failed += 1
                yield events.CellFailed(planned, planned.reason)
            else:
                self.outcome.n_done += 1
                yield events.CellFinished(planned, Reader(self._chosen.database).episodes([key])[key])

    def given_up(self, plan: Plan) -> Iterator[Event]:
        """Cells whose jobs have ended without them."""
        for todo in plan.todo:
            said = {self._engine.last_words(job.name) for job in self._jobs(todo)} - {""}
            self.outcome.n_lost += len(todo.cells)
            yield events.NotDone(todo.cells, f"{TRIES} jobs ended without it: {'; '.join(sorted(said)) or 'no word'}")

    def _names(self, planned: Sequence[PlannedCell]) -> set[str]:
        where, cells = self._chosen.database, [p.cell for p in planned]
        names = {job_name(where, "cell", cell.key) for cell in cells}
        return names | {job_name(where, "training", cell.training.key) for cell in cells}

    def _jobs(self, todo: PlannedTraining) -> Iterator[Job]:
        training, where = todo.training, self._chosen.database
        after = ""
        if not todo.is_trained:
            after = job_name(where, "training", training.key)
            yield Job(after, self._command(self._chosen.command(), "--training", training.key))
        for planned in todo.cells:
            yield Job(
                job_name(where, "cell", planned.cell.key), self._command(self._chosen.command(planned.cell)), after
            )

    def _command(self, repeated: str, *narrowed: str) -> tuple[str, ...]:
        """The command of one unit, here as there."""
        words = [sys.executable, "-m", "fewshot_bench", *shlex.split(repeated)[1:], *narrowed, "--engine", "here"]
        means = self._means
        given = {"--device": means.device, "--threads": means.threads, "--timeout": means.timeout_seconds, "--jobs": 1}
        words += [str(word) for option, value in given.items() if value is not None for word in (option, value)]
        return (*words, *["--retry-failed"] * self._means.retry_failed)


def _seconds(todo: PlannedTraining, expected: Expected) -> float:
    """What is expected of a training and its cells; nothing known counts as long."""
    parts = expected[todo.training.key]
    return sum(part if part is not None else 1e12 for part in parts)


@contextmanager
def _shared_folder(chosen: Chosen) -> Iterator[None]:
    """A file in the folder of weights that every job must see, named in its environment."""
    if chosen.request.config.run.weights == "database":
        yield
        return
    proof = checkpoints(chosen.out).absolute() / f"shared-by-{machine.host()}"
    write_whole(proof, b"")
    os.environ[PROOF] = str(proof)
    yield
