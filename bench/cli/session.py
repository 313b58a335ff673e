"""A run under way: the one place where plan, work and store meet."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import Chosen
from fewshot_bench.cli.signals import StopOnSignal
from fewshot_bench.errors import NoResultsYet

if TYPE_CHECKING:
    from fewshot_bench.cli.screen import Screen
    from fewshot_bench.experiment.plan import Plan, PlannedCell, PlannedTraining
    from fewshot_bench.experiment.records import TrainingProgress
    from fewshot_bench.results.store import Reader
    from fewshot_bench.running.units import Event, Item

SOME_FAILED = 4
LONG_SECONDS = 20.0  # an evaluation that takes longer says so first
STOPPED = (130, 143)  # by Ctrl-C, by SIGTERM


@dataclass(frozen=True)
class Means:
    """What computes; None: as [run] of bench.toml says."""

    device: str | None
    threads: int | None
    jobs: int | None


class Session:
    """One run under way: it records and shows what the work reports."""

    def __init__(self, chosen: Chosen, plan: Plan, screen: Screen, as_json: bool) -> None:
        self.chosen, self.plan, self.screen, self._as_json = chosen, plan, screen, as_json
        self.n_done = self.n_failed = self.n_lost = 0
        self.n_cells = sum(len(todo.cells) for todo in plan.todo)
        self._episodes_done: dict[str, int] = {}
        self.stopped = StopOnSignal()

    def run(self, means: Means) -> int:
        """Everything to do; returns the exit code. Whatever happens, the run's ending is recorded."""
        from fewshot_bench.results.provenance import collect
        from fewshot_bench.results.store import Reader, Writer
        from fewshot_bench.running import device as machine
        from fewshot_bench.running.checkpoint import Checkpoints
        from fewshot_bench.running.runner import Stopped
        from fewshot_bench.running.workers import run_here, run_in_workers

        settings = self.chosen.request.config.run
        numerics = self.chosen.request.config.model.numerics
        device = machine.choose_device(means.device or settings.device, numerics)
        threads = means.threads or settings.threads
        jobs = machine.choose_jobs(device, settings.jobs if means.jobs is None else means.jobs, self.n_cells)
        place = self.chosen.workplace(device.type, threads)
        self.checkpoints = Checkpoints(place.checkpoints)
        facts = collect(sys.argv[1:], machine.describe(device), threads, jobs)
        self.writer = Writer(self.chosen.database, facts)
        self.reader = Reader(self.chosen.database)
        code = 1
        try:
            with self.stopped:
                stop = self.stopped.asked
                events = run_here(self.plan, place, stop) if jobs == 1 else run_in_workers(self.plan, place, stop, jobs)
                self.screen.bar("grid", "grid", 0, self.n_cells)
                for event in events:
                    self._take(event)
            code = SOME_FAILED if self.n_failed or self.n_lost else 0
        except Stopped:
            code = 128 + (self.stopped.signal or signal.SIGINT)
        except KeyboardInterrupt:
            code = 130
        finally:
            self.writer.end_run(code)
        return code

    def _take(self, event: Event) -> None:
        """Record an event, then show it."""
        from fewshot_bench.running import units

        match event:
            case units.Started(todo):
                self.writer.start_training(todo.training)
            case units.Progressed(todo, progress, losses):
                self.writer.record_progress(todo.training, progress, losses)
                self._show_training(todo, progress, losses)
            case units.Trained(todo, progress, checkpoint):
                self.writer.finish_training(todo.training, progress, checkpoint)
                self.checkpoints.drop_partial(todo.training.key)  # only now: see `train`
                self.screen.drop(todo.training.key)
            case units.TrainingFailed(todo, progress, reason, details):
                self.writer.fail_training(todo.training, progress, reason)
                self.screen.drop(todo.training.key)
                self.screen.detail(details)
                for planned in todo.cells:
                    self._fail(planned, reason)
            case units.Evaluated(planned, results, seconds, once_seconds):
                cell = planned.cell
                label = label_of(self.chosen, planned)
                self.writer.record_episodes(cell, label, self.chosen.command(cell), results, seconds)
                self._show_cell(planned, len(results), seconds - once_seconds)
            case units.CellFinished(planned):
                self.n_done += 1
                self._tell(planned)
            case units.CellFailed(planned, reason, details):
                self.screen.detail(details)
                self._fail(planned, reason)
            case units.WorkerLost(item, exit_code):
                self._lose(item, exit_code)
        self.screen.bar("grid", "grid", self.n_done + self.n_failed, self.n_cells)

    def _show_training(self, todo: PlannedTraining, progress: TrainingProgress, losses: dict[str, float]) -> None:
        name = f"{todo.name} s{todo.training.seed}"
        speed = progress.iteration / progress.seconds
        note = f"loss {losses.get('loss', float('nan')):.3f}, {speed:.1f} it/s"
        self.screen.bar(todo.training.key, f"train {name}", progress.iteration, todo.training.iterations, note)
        self.screen.detail(f"{name}: iteration {progress.iteration}/{todo.training.iterations}, {note}")

    def _show_cell(self, planned: PlannedCell, n_more: int, seconds: float) -> None:
        from fewshot_bench.cli.screen import duration

        cell = planned.cell
        done = self._episodes_done.get(cell.key, planned.n_done) + n_more
        left = cell.n_episodes - done
        if cell.key not in self._episodes_done and left and seconds / n_more * left > LONG_SECONDS:
            self.screen.line(f"{cell.name:<28} {left} more episodes take about {duration(seconds / n_more * left)}")
        self._episodes_done[cell.key] = done
        self.screen.bar(cell.key, f"test {cell.name}", done, cell.n_episodes)

    def _fail(self, planned: PlannedCell, reason: str) -> None:
        cell = planned.cell
        self.writer.fail_cell(cell, label_of(self.chosen, planned), self.chosen.command(cell), reason)
        self.n_failed += 1
        self.screen.drop(cell.key)
        self.screen.warn(f"{cell.name}  failed: {reason}")
        if self._as_json:
            click.echo(json.dumps({"cell": cell.name, "key": cell.key, "failed": reason}))

    def _lose(self, item: Item, exit_code: int) -> None:
        """A worker process died, for want of memory maybe: nothing is recorded against its work."""
        from fewshot_bench.running.units import CellJob

        cells = [item.planned] if isinstance(item, CellJob) else list(item.cells)
        self.n_lost += len(cells)
        names = " ".join(planned.cell.name for planned in cells)
        self.screen.warn(f"a worker process died (exit code {exit_code}); not done: {names}")

    def _tell(self, planned: PlannedCell) -> None:
        """One line for a finished cell, from what the database now holds."""
        from fewshot_bench.cli.screen import accuracy

        cell = planned.cell
        self.screen.drop(cell.key)
        results = self.reader.episodes([cell.key])[cell.key]
        self.screen.line(f"{cell.name:<28} {accuracy(results):>16}  ({len(results)} episodes)  {cell.key}")
        if self._as_json:
            counts = [[r.n_correct, r.n_queries] for r in results]
            mean = sum(n / of for n, of in counts) / len(counts)
            click.echo(json.dumps({"cell": cell.name, "key": cell.key, "accuracy": mean, "episodes": counts}))


def label_of(chosen: Chosen, planned: PlannedCell) -> str:
    """What was asked for, in names: equal labels with different keys are stale results."""
    request = chosen.request
    return " ".join([chosen.images.name, request.split, request.protocol, request.budget, planned.cell.name])


def plan_of(chosen: Chosen, retry_failed: bool = False) -> Plan:
    """What of the chosen cells is stored, and what is to do."""
    from fewshot_bench.experiment.plan import make_plan

    reader = reader_if_any(chosen.database)
    if reader is None:
        return make_plan(chosen.cells, {}, {})
    plan = make_plan(chosen.cells, reader.cells(), reader.trainings(), retry_failed=retry_failed)
    stored = reader.keys_by_label()
    n_stale = sum(len(stored.get(label_of(chosen, p), set()) - {p.cell.key}) for p in plan.cells)
    return type(plan)(plan.cells, plan.todo, n_stale)


def reader_if_any(database: str) -> Reader | None:
    """None where there is no database yet."""
    from fewshot_bench.results.store import Reader

    try:
        return Reader(database)
    except NoResultsYet:
        return None


def ending(code: int, session: Session) -> str:
    """The last line of a run."""
    counts = {
        "done": session.n_done,
        "failed": session.n_failed,
        "lost: run the same command again": session.n_lost,
    }
    done = ", ".join(f"{count} cells {what}" for what, count in counts.items() if count or what == "done")
    if code in STOPPED:
        return f"stopped; {done}, everything is saved. Go on with: {shlex.join(['bench', *sys.argv[1:]])}"
    return f"{done}. Tables and plots: bench report"
