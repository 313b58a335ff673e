"""What `bench run` shows: the plan, then every event as a bar or a line, on stdout one JSON object a finished cell."""

import json
import os
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext

import click

from fewshot_bench.cli import until_text as text
from fewshot_bench.cli.dry_run import print_plan
from fewshot_bench.cli.screen import Screen
from fewshot_bench.data.format import Source
from fewshot_bench.data.image_files import files_of
from fewshot_bench.data.images import ImageSet
from fewshot_bench.doctor.images import first_notes
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.plan import Plan, PlannedCell
from fewshot_bench.experiment.selection import HERE, Means, Selection
from fewshot_bench.results.collect import results
from fewshot_bench.results.store import patient, upgrade
from fewshot_bench.running import events, recording
from fewshot_bench.running.engines import JOB, Engine, named_engine, open_engine
from fewshot_bench.running.engines.driving import drive
from fewshot_bench.running.looks import Separation
from fewshot_bench.running.memory import memory_of
from fewshot_bench.running.pace import cost_of
from fewshot_bench.running.recording import SOME_FAILED, Outcome, device_of, plan_of, plan_to_run
from fewshot_bench.tables.scores import EpisodeResult, Results
from fewshot_bench.tables.summary import Cell, Table, accuracy_of, summarise
from fewshot_bench.tables.wording import WIDTH, columns, duration, padded

LONG_SECONDS = 20.0  # an evaluation that takes longer says so first


class RunScreen(Screen):
    """The screen of one `bench run`."""

    def __init__(self, verbosity: int, *, as_json: bool = False) -> None:
        super().__init__(verbosity)
        self._as_json = as_json
        self._command = shlex.join(["bench", *sys.argv[1:]])  # what the user typed

    def choose(self, selection: Selection) -> Chosen:
        """Resolve a selection; data that is prepared now shows how far it is."""
        chosen = choose(selection, self.preparing, skip_unusable=True, decoded=self.decoded)
        for problem in chosen.unusable:
            self.warn(f"left out: {problem}")
        return chosen

    def decoded(self, source: Source, images: ImageSet) -> None:
        """What to know of data that were decoded just now, as `bench data prepare` says it."""
        for kind, note in first_notes(images, files_of(source)):
            self.line(f"{images.name}, {kind}: {note}")

    def engine(self, chosen: Chosen, means: Means) -> str:
        """Its name."""
        return named_engine(means.engine, chosen.request.config.engine.name, means.engine_options)

    def plan(self, chosen: Chosen, means: Means, engine: str = HERE) -> int:
        """Print what would be done; other machines are not judged by this one, which may have no GPU."""
        here = engine == HERE
        if not here:
            with self._engine(chosen, means, engine):  # which refuses what it would refuse to do
                pass
        plan = plan_of(chosen, retry_failed=means.retry_failed)
        if means.training is not None:
            plan = plan.training_alone(means.training)
        cost = cost_of(chosen, plan, means, self.preparing if here else None)
        memory = memory_of(chosen, plan, means) if here else dict.fromkeys(cost.expected, 0)
        print_plan(plan, cost, memory, self._as_json)
        return 0

    def run(self, chosen: Chosen, means: Means) -> int:
        """Do what is to do; returns the exit code. A job of an engine waits for the database from the beginning on."""
        waiting = (
            patient(chosen.request.config.run.server_wait_seconds, self.warn) if JOB in os.environ else nullcontext()
        )
        with waiting:
            return self._run(chosen, means)

    def _run(self, chosen: Chosen, means: Means) -> int:
        plan = self._planned(chosen, means)
        code = SOME_FAILED if plan.count("failed") or chosen.unusable else 0
        if not plan.todo:
            return code
        outcome = self._do(chosen, plan, means)
        self.line(self._ending(outcome) if plan.with_cells or outcome.code else "1 training done.")
        if plan.with_cells and not outcome.stopped:
            self._results(chosen)
        return outcome.code or code

    def _planned(self, chosen: Chosen, means: Means) -> Plan:
        """What is to do here, and a line that says so; a device that is not there is refused before."""
        plan = plan_to_run(chosen, retry_failed=means.retry_failed, training=means.training)
        if plan.todo:
            device_of(chosen, means)
        self.line(str(plan))
        return plan

    def drive(self, chosen: Chosen, means: Means, name: str) -> int:
        """Have other machines do what is to do; returns the exit code."""
        with self._engine(chosen, means, name) as engine:
            plan = plan_to_run(chosen, retry_failed=means.retry_failed)
            self.line(str(plan))
            shown = _Shown(self, plan, self._as_json)
            outcome = drive(chosen, means, engine, shown.show, leave=None if means.detach else self._leave)
        if outcome.n_left:
            how = f"--engine {name}"
            self.line(f"{outcome.n_left} jobs wait or run, and go on: bench status {how}, bench cancel {how}")
        if not means.detach:
            self.line(self._ending(outcome))
            if not outcome.stopped:
                self._results(chosen)
        return outcome.code or (SOME_FAILED if chosen.unusable else 0)

    def _engine(self, chosen: Chosen, means: Means, name: str) -> AbstractContextManager[Engine]:
        options = chosen.request.config.engine.options | dict(means.engine_options)
        return open_engine(name, options, chosen.out, chosen.database)

    def _leave(self, n_jobs: int) -> bool:
        """Whether jobs go on without us: as a person says, else yes."""
        self.hide()
        try:
            return not (sys.stdin.isatty() and click.confirm(f"Cancel the {n_jobs} jobs too?", err=True))
        except click.Abort:  # no answer
            return True

    def until_separated(self, chosen: Chosen, means: Means, max_episodes: int | None, *, dry_run: bool) -> int:
        """Interim analyses until every pair is decided; returns the exit code."""
        separation = Separation(chosen, max_episodes)

        def work(number: int, todo: Chosen, plan: Plan) -> Outcome:
            self.line(text.before(number, plan))
            outcome = self._do(todo, plan, means)
            if outcome.stopped or outcome.n_lost:
                self.line(self._ending(outcome))
            return outcome

        def tell(number: int, results: Results, is_last: bool) -> None:
            self.line(text.after(number, separation.contests))
            if self._as_json:
                click.echo(json.dumps(text.document(number, separation.contests, results.experiment)))
            if is_last:
                self.line(text.ending(separation.contests, results))

        if not dry_run:
            upgrade(chosen.database)  # a server that cannot be reached at the beginning is not waited for
            with patient(chosen.request.config.run.server_wait_seconds, self.warn):  # between analyses, too
                return separation.run(work, tell, retry_failed=means.retry_failed)
        self.plan(chosen, means)
        if self._as_json:
            click.echo(json.dumps(text.planned_document(separation.contests)))
        else:
            click.echo("\n" + text.planned(separation.contests, separation.most_seconds()))
        return 0

    def _do(self, chosen: Chosen, plan: Plan, means: Means) -> Outcome:
        shown = _Shown(self, plan, self._as_json)
        return recording.run(chosen, plan, means, shown.show, self._command)

    def _results(self, chosen: Chosen) -> None:
        if self._verbosity < 0:
            return
        table = summarise(results(chosen))
        self.line(f"\nMean accuracy (%) on novel classes of {chosen.data}, * the highest of a setting")
        self.line(f"{table.experiment.spent}\n")
        self.line(_means(table))
        self.line(f"\nIntervals, comparisons, plots: {shlex.join(chosen.report_words())}")

    def _ending(self, outcome: Outcome) -> str:
        """The last line of a run."""
        counts = {
            "done": outcome.n_done,
            "failed": outcome.n_failed,
            "not done: run the same command again": outcome.n_lost,
        }
        done = ", ".join(f"{count} cells {what}" for what, count in counts.items() if count or what == "done")
        if outcome.stopped:
            saved = "everything is saved"
            if outcome.cut_short or outcome.n_lost:
                saved = "what was in hand is saved as it was a few seconds before, if at all"
            return f"stopped; {done}, {saved}. Continue with: {self._command}"
        return f"{done}."


class _Shown:
    """Shows the events of one plan."""

    def __init__(self, screen: Screen, plan: Plan, as_json: bool) -> None:
        self._screen, self._as_json = screen, as_json
        self._names = {todo.training.key: f"{todo.name} s{todo.training.seed}" for todo in plan.todo}
        self._to_go_on = {todo.training.key for todo in plan.todo if todo.stored and todo.stored.iteration}
        self._n_cells, self._n_ended = sum(len(todo.cells) for todo in plan.todo) * plan.with_cells, 0
        self._episodes_done: dict[str, int] = {}
        screen.bar("grid", "grid", 0, self._n_cells, steady=False)

    def show(self, event: events.Event) -> None:
        """One event, after it was recorded."""
        screen = self._screen
        match event:
            case events.Started() | events.Saved() | events.Progressed():
                self._training(event)
            case events.Trained(training):
                screen.drop(training.key)
            case events.TrainingFailed(training, details=details):
                screen.drop(training.key)
                screen.detail(details)
            case events.Evaluated(planned, results, seconds, once_seconds):
                self._cell(planned, len(results), seconds - once_seconds)
            case events.CellFinished(planned, results):
                self._finished(planned, results)
            case events.CellFailed(planned, reason, details):
                self._failed(planned, reason, details)
            case events.NotDone(cells, reason):
                names = " ".join(planned.cell.name for planned in cells)
                screen.warn(f"{reason}; not done: {names}")
            case events.Warned(said):
                screen.warn(said)
        screen.bar("grid", "grid", self._n_ended, self._n_cells)

    def _training(self, event: events.Started | events.Saved | events.Progressed) -> None:
        key, of, note = event.training.key, event.training.iterations, None
        if isinstance(event, events.Started) and key in self._to_go_on:
            return  # from where its state says, which is beyond what is stored
        at = 0 if isinstance(event, events.Started) else event.progress.iteration
        if isinstance(event, events.Progressed):
            note = f"loss {event.losses.get('loss', float('nan')):.3f}, {at / event.progress.seconds:.1f} it/s"
            self._screen.detail(f"{self._names[key]}: iteration {at}/{of}, {note}")
        self._screen.bar(key, f"train {self._names[key]}", at, of, note)

    def _cell(self, planned: PlannedCell, n_more: int, seconds: float) -> None:
        cell = planned.cell
        done = self._episodes_done.get(cell.key, planned.n_done) + n_more
        left = cell.n_episodes - done
        if cell.key not in self._episodes_done and left and seconds / n_more * left > LONG_SECONDS:
            self._screen.line(
                f"{padded(cell.name, 28)} {left} more episodes take about {duration(seconds / n_more * left)}"
            )
        self._episodes_done[cell.key] = done
        self._screen.bar(cell.key, f"test {cell.name}", done, cell.n_episodes)

    def _finished(self, planned: PlannedCell, results: tuple[EpisodeResult, ...]) -> None:
        cell = planned.cell
        self._n_ended += 1
        self._screen.drop(cell.key)
        self._screen.line(f"{padded(cell.name, 28)} {accuracy_of(results):>16}  ({len(results)} episodes)  {cell.key}")
        if self._as_json:
            counts = [[r.n_correct, r.n_queries] for r in results]
            mean = sum(n / of for n, of in counts) / len(counts)
            click.echo(json.dumps({"cell": cell.name, "key": cell.key, "accuracy": mean, "episodes": counts}))

    def _failed(self, planned: PlannedCell, reason: str, details: str) -> None:
        cell = planned.cell
        self._n_ended += 1
        self._screen.drop(cell.key)
        self._screen.detail(details)
        self._screen.warn(f"{cell.name}  failed: {reason}")
        if self._as_json:
            click.echo(json.dumps({"cell": cell.name, "key": cell.key, "failed": reason}))


def _means(table: Table) -> str:
    """A line a variant, as many settings beside each other as fit: means in %, * the best; - where nothing counts."""
    names = max(map(columns, table.variants))
    wide = max(len(f"{row.n_way}w{row.n_shot}s") for row in table.rows)
    wide = max(wide, len("100.0*")) + 1
    blocks, fitting = [], max(1, (WIDTH - names) // wide)
    for start in range(0, len(table.rows), fitting):
        rows = table.rows[start : start + fitting]
        head = " " * names + "".join(f"{f'{row.n_way}w{row.n_shot}s':>{wide - 1}} " for row in rows)
        lines = [
            padded(name, names) + "".join(f"{_mean_of(row.cells[i]):>{wide}}" for row in rows)
            for i, name in enumerate(table.variants)
        ]
        blocks.append("\n".join(line.rstrip() for line in [head, *lines]))
    return "\n\n".join(blocks)


def _mean_of(cell: Cell) -> str:
    return "- " if cell.mean is None else f"{100 * cell.mean:.1f}{'*' if cell.best else ' '}"
