"""A run on other machines: submit what is missing, and look on until the database has it all.

The driver computes nothing and writes no results. It may end, or be killed: the jobs go on, and the next driver knows
them by their names.
"""

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from fewshot_bench import machine
from fewshot_bench.errors import DatabaseError, UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.plan import Plan, PlannedCell, PlannedTraining
from fewshot_bench.experiment.selection import HERE, Means
from fewshot_bench.files import checkpoints, write_whole
from fewshot_bench.results.store import Reader, patient
from fewshot_bench.results.store.engine import open_engine as open_database
from fewshot_bench.running import events
from fewshot_bench.running.engines import PROOF, Engine, Job, cancellation, job_name, own
from fewshot_bench.running.events import Event
from fewshot_bench.running.recording import SOME_FAILED, Outcome, history_of, plan_of
from fewshot_bench.running.signals import StopOnSignal

LOOK_SECONDS = 2.0
LOOKING_SHARE = 0.1  # of the time: a look at a large grid takes long
LONGEST_PAUSE_SECONDS = 30.0  # a look may have waited for an engine that was away
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
    stop, mine, wait_seconds = StopOnSignal(), set[str](), chosen.request.config.run.server_wait_seconds
    driver = _Driver(chosen, means, engine, tell, stop)
    with stop, patient(wait_seconds, lambda said: tell(events.Warned(said)), stop.asked):
        while True:
            began = time.monotonic()
            try:
                alive = driver.alive()  # first: a job that ends now has recorded before
                plan = plan_of(chosen, retry_failed=means.retry_failed and not driver.tries)
                for event in driver.news(plan, alive):
                    tell(event)
                mine = (alive | driver.submit(plan, alive)) & driver.names(plan.cells)
            except DatabaseError:  # a signal came while a server was waited for
                if not stop.asked():
                    raise
            if driver.is_cancelled():
                return replace(driver.outcome, code=128 + signal.SIGTERM)
            if leave is None or stop.asked():
                break
            if not mine:
                for event in driver.given_up(plan):
                    tell(event)
                return replace(driver.outcome, code=driver.code)
            pause_seconds = max(LOOK_SECONDS, (time.monotonic() - began) / LOOKING_SHARE)
            machine.pause(min(pause_seconds, LONGEST_PAUSE_SECONDS))
    if leave is not None and mine and not leave(len(mine)):
        engine.cancel(mine)
        mine = set()
    return replace(driver.outcome, code=0 if leave is None else stop.exit_code, n_left=len(mine))


class _Driver:
    """What was submitted, and what has come of it."""

    def __init__(
        self, chosen: Chosen, means: Means, engine: Engine, tell: Callable[[Event], None], stop: StopOnSignal
    ) -> None:
        self.outcome, self.tries = Outcome(), Counter[tuple[str, str]]()
        self._chosen, self._means, self._engine, self._tell, self._stop = chosen, means, engine, tell, stop
        self._cancelled = cancellation(chosen.out)
        self._alive, self._answered_at, self._warned, self._held = set[str](), -math.inf, "", ""
        open_database(chosen.database, write=True)  # there before a job or `bench status` looks
        self._told = {planned.cell.key for planned in plan_of(chosen).cells if planned.state == "done"}
        self._environment = _shared_folder(chosen)

    @property
    def code(self) -> int:
        """The exit code, once no job is left."""
        return SOME_FAILED if self.outcome.n_failed or self.outcome.n_lost else 0

    def is_cancelled(self) -> bool:
        """Whether `bench cancel` was called since it began."""
        return cancellation(self._chosen.out) != self._cancelled

    def alive(self) -> set[str]:
        """Names of the jobs that wait or run; for a while those of before, where the engine no longer answers."""
        try:
            self._alive, self._answered_at = self._engine.alive(), time.monotonic()
        except UsageError as error:
            if time.monotonic() - self._answered_at > self._chosen.request.config.run.server_wait_seconds:
                raise
            self._warn(str(error))
        else:
            before, self._held = self._held, self._engine.held(own(self._alive, self._chosen.database))
            if self._held not in (before, ""):
                self._tell(events.Warned(self._held))
        return self._alive

    def submit(self, plan: Plan, alive: set[str]) -> set[str]:
        """Names of the jobs submitted now: trainings, the longest first, and then the cells that wait for them.

        An engine that takes no more, as clusters limit a user's jobs, is asked again when some have ended.
        """
        found = set[str]()
        if not any(self._is_due(job, alive) for todo in plan.todo for job in self._jobs(todo)):
            return found
        jobs = [job for todo in history_of(self._chosen.database).longest_first(plan).todo for job in self._jobs(todo)]
        for job in sorted(jobs, key=lambda job: bool(job.after)):
            waits_in_vain = job.after and job.after not in alive | found
            if waits_in_vain or not self._is_due(job, alive):
                continue
            if self._stop.asked() or self.is_cancelled():
                break
            try:
                self._engine.submit(job)
            except UsageError as error:
                if not found | (alive & self.names(plan.cells)):
                    raise
                self._warn(f"not all jobs are submitted: {error}")
                break
            if self.is_cancelled():  # by whom this job was not seen
                self._engine.cancel({job.name})
            self.tries[job.name, job.after] += 1
            found.add(job.name)
        self._alive = alive | found
        return found

    def _is_due(self, job: Job, alive: set[str]) -> bool:
        """Tries in vain after another job, which failed, are no tries of its own."""
        return job.name not in alive and self.tries[job.name, job.after] < TRIES

    def _warn(self, said: str) -> None:
        if said != self._warned:
            self._tell(events.Warned(said))
        self._warned = said

    def names(self, cells: tuple[PlannedCell, ...]) -> set[str]:
        """Of all jobs that cells may have."""
        where = self._chosen.database
        names = {job_name(where, "cell", planned.cell.key) for planned in cells}
        return names | {job_name(where, "training", planned.cell.training.key) for planned in cells}

    def news(self, plan: Plan, alive: set[str]) -> Iterator[Event]:
        """Cells that have ended since the last look."""
        for planned in plan.cells:
            key = planned.cell.key
            if planned.state not in ("done", "failed") or key in self._told:
                continue
            if planned.state == "failed" and alive & self.names((planned,)):  # it is tried again
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

    def _jobs(self, todo: PlannedTraining) -> Iterator[Job]:
        where, after = self._chosen.database, ""
        if not todo.is_trained:
            after = job_name(where, "training", todo.training.key)
            yield Job(after, self._words(None, "--training", todo.training.key), "", self._environment)
        for planned in todo.cells:
            yield Job(job_name(where, "cell", planned.cell.key), self._words(planned.cell), after, self._environment)

    def _words(self, cell: Cell | None, *narrowed: str) -> tuple[str, ...]:
        """The command of one unit, without its program; a training's says which cells fail with it."""
        words = [*self._chosen.words(cell)[1:], *narrowed, "--engine", HERE]
        means = self._means
        given = {"--device": means.device, "--threads": means.threads, "--timeout": means.timeout_seconds, "--jobs": 1}
        words += [str(word) for option, value in given.items() if value is not None for word in (option, value)]
        return (*words, *["--retry-failed"] * self._means.retry_failed)


def _shared_folder(chosen: Chosen) -> dict[str, str]:
    """The environment that names a file in the folder of weights: every job must see it."""
    if chosen.request.config.run.weights == "database":
        return {}
    proof = checkpoints(chosen.out).absolute() / f"shared-by-{machine.host()}"
    write_whole(proof, b"")
    return {PROOF: str(proof)}
