"""What a run will do, and a run under way: the one place where plan, work and store meet.

What the work tells is recorded, and only then told on: to a screen, or to whoever called `run`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fewshot_bench.data.images import outline
from fewshot_bench.errors import DatabaseError, NoResultsYet, UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.plan import History, Plan, PlannedCell, make_plan
from fewshot_bench.experiment.selection import Means
from fewshot_bench.files import cache_folder, checkpoints
from fewshot_bench.methods.registry import origins
from fewshot_bench.results.provenance import collect
from fewshot_bench.results.store import Claims, Reader, Writer, patient, upgrade
from fewshot_bench.running import device as machine
from fewshot_bench.running import events
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.engines import begin_job
from fewshot_bench.running.events import Event, TrainingEvent
from fewshot_bench.running.queue import Queue, run_here
from fewshot_bench.running.runner import Stopped
from fewshot_bench.running.signals import StopOnSignal
from fewshot_bench.running.units import Workplace
from fewshot_bench.running.workers import for_workers, run_in_workers

SOME_FAILED = 4  # exit code
STOPPED = (129, 130, 143)  # exit codes: by SIGHUP, Ctrl-C, SIGTERM
_being_filled: set[str] = set()  # databases, by this process


@dataclass
class Outcome:
    """How a run ended, in its cells and as an exit code: 0; 4 if some are not done; 129, 130 or 143 if stopped."""

    code: int = 1
    n_done: int = 0
    n_failed: int = 0
    n_lost: int = 0  # for want of something that is not the work's: a worker process, memory, room, time
    cut_short: bool = False  # what was in hand was not saved
    n_left: int = 0  # jobs of an engine that go on

    @property
    def stopped(self) -> bool:
        """Whether a signal ended it."""
        return self.code in STOPPED


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


def history_of(database: str) -> History:
    """How long what is stored took."""
    reader = _reader_if_any(database)
    return History(reader.cells(), reader.trainings()) if reader else History({}, {})


def device_of(chosen: Chosen, means: Means) -> torch.device:
    """Where a run here computes. Raises UsageError, see `device.choose_device`."""
    config = chosen.request.config
    return machine.choose_device(means.device or config.run.device, config.model.numerics)


def _reader_if_any(database: str) -> Reader | None:
    """None where there is no database yet."""
    try:
        return Reader(database)
    except NoResultsYet:
        return None


def workplace(chosen: Chosen, plan: Plan, means: Means) -> tuple[Workplace, int]:
    """What a process needs to do a plan here, and how many such processes do it. Raises UsageError, see `device`."""
    config, device = chosen.request.config, device_of(chosen, means)
    threads, jobs = means.threads or config.run.threads, config.run.jobs if means.jobs is None else means.jobs
    n_units = sum(len(todo.cells) if plan.with_cells else 1 for todo in plan.todo)
    place = Workplace(
        source=chosen.source,
        cache=cache_folder(),
        image_size=config.data.image_size or None,
        checkpoints=checkpoints(chosen.out),
        device=device.type,
        threads=threads,
        fingerprint=chosen.images.fingerprint,
        novel_source=chosen.novel_source if chosen.other else "",
        novel_fingerprint=chosen.novel.fingerprint,
        recompute=config.run.recompute,
    )
    return place, machine.choose_jobs(device, jobs, threads, n_units)


def run(chosen: Chosen, plan: Plan, means: Means, tell: Callable[[Event], None], command: str) -> Outcome:
    """Do everything that is to do, on this machine. Whatever happens, the run's ending is recorded.

    tell: is told of every event after it was recorded
    command: what the user typed, for the record
    """
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("a run stops at Ctrl-C and SIGTERM, which only the main thread is told of: call it there")
    begin_job()
    settings, (place, jobs) = chosen.request.config.run, workplace(chosen, plan, means)
    methods, rules = {cell.training.method for cell in chosen.cells}, chosen.request.rules
    others = {f"method {name}": origin for name, origin in origins(methods).items()}
    others |= {"rules at test": f"{rules.file}, SHA-256 {rules.content_sha256}"} if rules else {}
    provenance = collect(command, machine.describe(torch.device(place.device)), place.threads, jobs, others)
    stop = StopOnSignal()
    waiting = patient(settings.server_wait_seconds, lambda said: tell(events.Warned(said)), stop.asked)
    with _once_at_a_time(chosen.database), waiting:
        writer = Writer(chosen.database, provenance)
        fetch = {"fetch": Reader(chosen.database).weights} if settings.weights == "database" else {}
        weights = Checkpoints(checkpoints(chosen.out), **fetch)
        for source, images in ((chosen.source, chosen.images), (chosen.novel_source, chosen.other)):
            if images:
                writer.use_data_set(images.fingerprint, source, outline(images))
        recorder = _Recorder(chosen, plan, writer, weights)
        claims = Claims(chosen.database, writer.run_id)
        outcome = recorder.outcome
        with stop:  # until the ending is recorded: `timeout` and `scancel` send a second signal soon
            try:
                ordered = plan if jobs == 1 else history_of(chosen.database).longest_first(plan)
                left = Queue(ordered, weights, claims)
                if jobs == 1 and not means.timeout_seconds:
                    work = run_here(place, stop.asked, left)
                else:
                    work = run_in_workers(for_workers(place, plan), stop.asked, left, jobs, means.timeout_seconds)
                with claims.kept(), closing(work):  # worker processes end with it, whatever happens here
                    for event in work:
                        for recorded in recorder.record(event):
                            tell(recorded)
                outcome.code = SOME_FAILED if outcome.n_failed or outcome.n_lost else 0
            except Stopped:
                outcome.code = stop.exit_code
            except (KeyboardInterrupt, DatabaseError) as error:  # asked twice, or while a server was waited for
                if isinstance(error, DatabaseError) and not stop.asked():
                    raise
                outcome.code, outcome.cut_short = stop.exit_code, True
            finally:
                _end(writer, outcome)
    return outcome


@contextmanager
def _once_at_a_time(database: str) -> Iterator[None]:
    """No run that another's `tell` begins: each would wait for what the other has claimed."""
    place = database if "://" in database else str(Path(database).resolve())
    if place in _being_filled:
        raise UsageError(f"{database}: a run of this process is filling it; begin another when it is over")
    _being_filled.add(place)
    try:
        yield
    finally:
        _being_filled.discard(place)


def _end(writer: Writer, outcome: Outcome) -> None:
    """Record how a run ended. Only where nothing else went wrong is a server waited for, and its absence an error."""
    if outcome.code in (0, SOME_FAILED):
        writer.end_run(outcome.code)
        return
    with patient(0, lambda _: None), suppress(DatabaseError, KeyboardInterrupt):
        writer.end_run(outcome.code)


class _Recorder:
    """Events into the database, counted."""

    def __init__(self, chosen: Chosen, plan: Plan, writer: Writer, weights: Checkpoints) -> None:
        self.outcome = Outcome()
        self._chosen, self._writer, self._weights = chosen, writer, weights
        self._reader = Reader(chosen.database)
        self._cells = {todo.training.key: todo.cells for todo in plan.todo}

    def record(self, event: Event) -> Iterator[Event]:
        """Record an event, and yield what has then happened."""
        match event:
            case events.Started() | events.Progressed() | events.Trained() | events.TrainingFailed():
                self._training(event)
            case events.Evaluated(planned, results, seconds):
                self._writer.record_episodes(planned.cell, *self._names(planned), results, seconds)
            case events.CellFinished(planned):
                self.outcome.n_done += 1
                event = replace(event, results=self._reader.episodes([planned.cell.key])[planned.cell.key])
            case events.CellFailed(planned, reason):
                self.outcome.n_failed += 1
                self._writer.fail_cell(planned.cell, *self._names(planned), reason)
            case events.NotDone(cells):
                self.outcome.n_lost += len(cells)
        yield event
        if isinstance(event, events.TrainingFailed):
            for planned in self._cells[event.training.key]:
                yield from self.record(events.CellFailed(planned, event.reason))

    def _training(self, event: events.Started | TrainingEvent) -> None:
        writer = self._writer
        match event:
            case events.Started(training):
                writer.start_training(training)
            case events.Progressed(training, progress, losses):
                writer.record_progress(training, progress, losses)
            case events.Trained(training, progress, checkpoint):
                if self._chosen.request.config.run.weights == "database":
                    writer.keep_weights(checkpoint, self._weights.finished(checkpoint))
                writer.finish_training(training, progress, checkpoint)
                self._weights.drop_partial(training.key)  # only now: see `train`
            case events.TrainingFailed(training, progress, reason):
                writer.fail_training(training, progress, reason)

    def _names(self, planned: PlannedCell) -> tuple[str, str]:
        """Label and command of a cell."""
        return self._chosen.label(planned.cell), self._chosen.command(planned.cell)
