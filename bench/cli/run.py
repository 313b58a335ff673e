"""`bench run`: the one place where plan, runner and store meet."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import Chosen, choose, selection_options
from fewshot_bench.errors import DatabaseError

if TYPE_CHECKING:
    from fewshot_bench.cli.screen import Screen
    from fewshot_bench.methods.interface import Method
    from fewshot_bench.plan import Plan, PlannedCell, PlannedTraining
    from fewshot_bench.runner import Laboratory
    from fewshot_bench.store import Writer

SOME_FAILED = 4


@click.command()
@selection_options
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]"
)
@click.option("--threads", type=click.IntRange(min=0), help="CPU threads; 0 = one a core.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan and stop; writes no result.")
@click.option("--retry-failed", is_flag=True, help="Try failed cells again.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.option("-v", "--verbose", is_flag=True, help="Losses too, and tracebacks of failures.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a finished cell on stdout; with -n the plan."
)
def run(
    *, device: str | None, threads: int | None, dry_run: bool, retry_failed: bool, quiet: bool, verbose: bool,
    as_json: bool, **selection: Any,
) -> int:  # fmt: skip
    """Train and evaluate what is missing of the grid.

    Results are stored as they are made: the same command goes on after any interruption.
    """
    from fewshot_bench.cli.screen import Screen, plan_line

    with Screen(-1 if quiet else int(verbose)) as screen:
        chosen = choose(progress=screen.preparing, **selection)
        plan = _plan(chosen, retry_failed)
        if dry_run:
            _print_plan(chosen, plan, as_json)
            return 0
        screen.line(plan_line(plan))
        if not plan.todo:
            return SOME_FAILED if plan.count("failed") else 0
        settings = chosen.request.config.run
        session = _Session(
            chosen,
            screen,
            device or settings.device,
            settings.threads if threads is None else threads,
            as_json,
        )
        code = session.run(plan)
        if plan.count("failed") and code == 0:
            code = SOME_FAILED
        screen.line(_ending(code, session))
        return code


class _Session:
    """One run under way."""

    def __init__(self, chosen: Chosen, screen: Screen, device: str, threads: int, as_json: bool) -> None:
        from fewshot_bench import device as machine
        from fewshot_bench.provenance import collect
        from fewshot_bench.store import Writer

        self.chosen, self.screen, self._as_json = chosen, screen, as_json
        self._device = machine.choose_device(device)
        used = machine.prepare(self._device, threads)
        self.writer: Writer = Writer(
            chosen.database, collect(sys.argv[1:], machine.describe(self._device), used)
        )
        self.n_done = self.n_failed = 0
        self.stopped = _StopOnSignal()

    def run(self, plan: Plan) -> int:
        """Everything to do; returns the exit code. Whatever happens, the run's ending is recorded."""
        from fewshot_bench.runner import Stopped

        code = 1
        try:
            with self.stopped:
                lab = self._laboratory()
                for todo in plan.todo:
                    self.screen.bar("grid", "grid", self.n_done + self.n_failed, _n_cells(plan))
                    self._serve(todo, lab, _n_cells(plan))
            code = SOME_FAILED if self.n_failed else 0
        except Stopped:
            code = 128 + (self.stopped.signal or signal.SIGINT)
        except KeyboardInterrupt:
            code = 130
        finally:
            self.writer.end_run(code)
        return code

    def _laboratory(self) -> Laboratory:
        from fewshot_bench.checkpoint import Checkpoints
        from fewshot_bench.runner import Laboratory
        from fewshot_bench.tasks import Gallery

        return Laboratory(
            images=self.chosen.images,
            gallery=Gallery(self.chosen.images, self._device),
            checkpoints=Checkpoints(self.chosen.out / "checkpoints"),
            device=self._device,
            should_stop=lambda: self.stopped.signal is not None,
        )

    def _serve(self, todo: PlannedTraining, lab: Laboratory, n_cells: int) -> None:
        """Train one model (or load it) and evaluate the cells that wait for it."""
        from fewshot_bench.runner import load

        name = f"{todo.name} s{todo.training.seed}"
        method = None
        if todo.stored and todo.stored.state == "finished":
            method = load(todo.training, todo.stored.checkpoint, lab)
            if method is None:
                self.screen.warn(f"{name}: its checkpoint is missing or damaged; training again")
        if method is None:
            method, reason = self._train(todo, lab, name)
            if method is None:
                for planned in todo.cells:
                    self._fail(planned, reason)
                return
        for planned in todo.cells:
            self._evaluate(planned, method, lab)
            self.screen.bar("grid", "grid", self.n_done + self.n_failed, n_cells)

    def _train(self, todo: PlannedTraining, lab: Laboratory, name: str) -> tuple[Method | None, str]:
        """The trained method, or None and why there is none."""
        from fewshot_bench import runner
        from fewshot_bench.records import TrainingProgress

        training = todo.training
        self.writer.start_training(training)
        progress = TrainingProgress(0, 0, 0.0, 0, "")
        try:
            for event in runner.train(training, lab):
                progress = event.progress
                match event:
                    case runner.Progressed(_, losses):
                        self.writer.record_progress(training, progress, losses)
                        self._show_training(name, training.iterations, progress, losses)
                    case runner.Finished(_, checkpoint, method):
                        self.writer.finish_training(training, progress, checkpoint)
                        lab.checkpoints.forget_partial(training.key)  # only now: a kill before loses nothing
                        return method, ""
                    case runner.Diverged(_, reason):
                        self.writer.fail_training(training, progress, reason)
                        lab.checkpoints.forget_partial(training.key)  # a retry starts anew
                        return None, reason
        except (DatabaseError, runner.Stopped):
            raise
        except Exception as error:
            reason = self._explain(error, f"training broke at iteration {progress.iteration}")
            self.writer.fail_training(training, progress, reason)
            return None, reason
        finally:
            self.screen.drop("training")
        raise AssertionError("a training ends in Finished or Diverged")

    def _show_training(self, name: str, iterations: int, progress: Any, losses: dict[str, float]) -> None:
        speed = progress.iteration / progress.seconds
        note = f"loss {losses.get('loss', float('nan')):.3f}, {speed:.1f} it/s"
        self.screen.bar("training", f"train {name}", progress.iteration, iterations, note)
        self.screen.detail(f"{name}: iteration {progress.iteration}/{iterations}, {note}")

    def _evaluate(self, planned: PlannedCell, method: Method, lab: Laboratory) -> None:
        import time

        from fewshot_bench import runner

        cell, n_done, started = planned.cell, planned.n_done, time.monotonic()
        label, command = label_of(self.chosen, planned), command_of(self.chosen, planned)
        self.screen.bar("cell", f"test {cell.name}", n_done, cell.n_episodes)
        try:
            for chunk in runner.evaluate(cell, method, lab, n_done):
                self.writer.record_episodes(cell, label, command, chunk, time.monotonic() - started)
                n_done, started = n_done + len(chunk), time.monotonic()
                self.screen.bar("cell", f"test {cell.name}", n_done, cell.n_episodes)
        except (DatabaseError, runner.Stopped):
            raise
        except Exception as error:
            self._fail(planned, self._explain(error, f"evaluation broke in or after episode {n_done}"))
            return
        finally:
            self.screen.drop("cell")
        self.n_done += 1
        self._tell(planned)

    def _explain(self, error: Exception, where: str) -> str:
        """A failure as one line for the database; its traceback on the screen with -v."""
        self.screen.detail("".join(traceback.format_exception(error)).rstrip())
        what = " ".join(str(error).split())[:300]
        return what if isinstance(error, FloatingPointError) else f"{where}: {type(error).__name__}: {what}"

    def _fail(self, planned: PlannedCell, reason: str) -> None:
        self.writer.fail_cell(
            planned.cell, label_of(self.chosen, planned), command_of(self.chosen, planned), reason
        )
        self.n_failed += 1
        self.screen.warn(f"{planned.cell.name}  failed: {reason}")
        if self._as_json:
            click.echo(json.dumps({"cell": planned.cell.name, "key": planned.cell.key, "failed": reason}))

    def _tell(self, planned: PlannedCell) -> None:
        """One line for a finished cell, from what the database now holds."""
        from fewshot_bench.cli.screen import accuracy
        from fewshot_bench.store import Reader

        cell = planned.cell
        results = Reader(self.chosen.database).episodes([cell.key])[cell.key]
        self.screen.line(f"{cell.name:<28} {accuracy(results):>16}  ({len(results)} episodes)  {cell.key}")
        if self._as_json:
            counts = [[r.n_correct, r.n_queries] for r in results]
            mean = sum(n / of for n, of in counts) / len(counts)
            click.echo(json.dumps({"cell": cell.name, "key": cell.key, "accuracy": mean, "episodes": counts}))


class _StopOnSignal:
    """Ctrl-C or SIGTERM once: stop at the next safe point. Twice: at once; what was stored is safe anyway."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> None:
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def label_of(chosen: Chosen, planned: PlannedCell) -> str:
    """What was asked for, in names: equal labels with different keys are stale results."""
    request = chosen.request
    return " ".join([chosen.images.name, request.split, request.protocol, request.budget, planned.cell.name])


def command_of(chosen: Chosen, planned: PlannedCell) -> str:
    """The command that repeats one cell."""
    from fewshot_bench.cli.options import config_file

    cell, request = planned.cell, chosen.request
    words = [
        "bench", "run", "--grid", request.grid, "--data", chosen.source, "--split", request.split,
        "--budget", request.budget, "--protocol", request.protocol, "--method", cell.variant,
        "--way", str(cell.setting.n_way), "--shot", str(cell.setting.n_shot), "--seed", str(cell.training.seed),
    ]  # fmt: skip
    if (path := chosen.config) is not None and path != config_file(None):
        words += ["--config", str(path)]
    return shlex.join(words)


def _plan(chosen: Chosen, retry_failed: bool) -> Plan:
    from fewshot_bench.plan import make_plan

    reader = _reader_if_any(chosen.database)
    if reader is None:
        return make_plan(chosen.cells, {}, {})
    plan = make_plan(chosen.cells, reader.cells(), reader.trainings(), retry_failed=retry_failed)
    stored = reader.keys_by_label()
    n_stale = sum(len(stored.get(label_of(chosen, p), set()) - {p.cell.key}) for p in plan.cells)
    return type(plan)(plan.cells, plan.todo, n_stale)


def _reader_if_any(database: str) -> Any:
    from fewshot_bench.store import Reader

    if "://" not in database and not Path(database).exists():
        return None
    try:
        return Reader(database)
    except DatabaseError as error:
        if "no results yet" in str(error):
            return None
        raise


def _print_plan(chosen: Chosen, plan: Plan, as_json: bool) -> None:
    from fewshot_bench.cli.screen import print_plan
    from fewshot_bench.plan import expected_seconds

    reader = _reader_if_any(chosen.database)
    history = reader.trainings() if reader else {}
    expected = {todo.training.key: expected_seconds(todo, history) for todo in plan.todo}
    if not as_json:
        print_plan(plan, expected)
        return
    click.echo(
        json.dumps(
            {
                "cells": [
                    {"cell": p.cell.name, "key": p.cell.key, "training": p.cell.training.key, "state": p.state,
                     "episodes": p.n_done, "wanted": p.cell.n_episodes, "reason": p.reason}
                    for p in plan.cells
                ],
                "trainings": [
                    {"key": t.training.key, "serves": t.name, "iterations": t.training.iterations,
                     "at": t.stored.iteration if t.stored else 0, "expected_seconds": expected[t.training.key]}
                    for t in plan.todo
                ],
                "stale": plan.n_stale,
            }
        )
    )  # fmt: skip


def _n_cells(plan: Plan) -> int:
    return sum(len(todo.cells) for todo in plan.todo)


def _ending(code: int, session: _Session) -> str:
    done = f"{session.n_done} cells done" + (f", {session.n_failed} failed" if session.n_failed else "")
    if code in (130, 143):
        return f"stopped; {done}, everything is saved. Go on with: {shlex.join(['bench', *sys.argv[1:]])}"
    return f"{done}. Tables and plots: bench report"
