"""`bench run`: do what is missing of the grid."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import Chosen, F, choose, selection_options
from fewshot_bench.cli.session import SOME_FAILED, Means, Session, ending, plan_of, reader_if_any
from fewshot_bench.errors import UsageError

if TYPE_CHECKING:
    from fewshot_bench.experiment.plan import Plan


class Jobs(click.IntRange):
    """A number of processes, or auto."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """0 for auto."""
        return super().convert(0 if value == "auto" else value, param, ctx)


def means_options(command: F) -> Callable[..., Any]:
    """Add the options that say what computes; the command gets them as one `means`."""

    @click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]")
    @click.option("--jobs", type=Jobs(), help="Worker processes; auto (or 0) = one a core, or one for a GPU.")
    @click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each.  [default: 1]")
    @functools.wraps(command)
    def wrapped(*, device: str | None, jobs: int | None, threads: int | None, **others: Any) -> Any:
        return command(means=Means(device, threads, jobs), **others)

    return wrapped


@click.command()
@selection_options
@means_options
@click.option(
    "--until",
    type=click.Choice(["separated"]),
    help="Then add episodes, look by look, until every pair of variants is told apart or --max-episodes is reached.",
)
@click.option(
    "--max-episodes",
    type=click.IntRange(min=2, max=2**31 - 1),
    metavar="N",
    help="Most episodes of a cell with --until.  [default: 8 times the first look's]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan and stop; writes no result.")
@click.option("--retry-failed", is_flag=True, help="Try failed cells again.")
@click.option("-q", "--quiet", "verbosity", flag_value=-1, type=int, default=0, help="Only errors.")
@click.option("-v", "--verbose", "verbosity", flag_value=1, type=int, help="Losses too, and tracebacks of failures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finished cell on stdout; with -n the plan.")
def run(
    *, means: Means, until: str | None, max_episodes: int | None, dry_run: bool, retry_failed: bool, verbosity: int,
    as_json: bool, **selection: Any,
) -> int:  # fmt: skip
    """Train and evaluate what is missing of the grid.

    Results are stored as they are made: the same command goes on after any interruption. What --until separates:
    docs/statistics.md.
    """
    from fewshot_bench.cli.dry_run import plan_line
    from fewshot_bench.cli.screen import Screen
    from fewshot_bench.cli.until import Separation

    if max_episodes and not until:
        raise UsageError("--max-episodes needs --until separated")
    with Screen(verbosity) as screen:
        chosen = choose(progress=screen.preparing, **selection)
        separation = Separation(chosen, max_episodes) if until else None
        if dry_run:
            _show_plan(chosen, retry_failed, as_json)
            if separation:
                separation.show_looks(as_json)
            return 0
        if separation:
            return separation.run(means, screen, retry_failed=retry_failed, as_json=as_json)
        plan = plan_of(chosen, retry_failed)
        screen.line(plan_line(plan))
        if not plan.todo:
            return SOME_FAILED if plan.count("failed") else 0
        session = Session(chosen, plan, screen, as_json)
        code = session.run(means)
        if plan.count("failed") and code == 0:
            code = SOME_FAILED
        screen.line(ending(code, session))
        return code


def _show_plan(chosen: Chosen, retry_failed: bool, as_json: bool) -> None:
    from fewshot_bench.cli.dry_run import print_plan
    from fewshot_bench.experiment.plan import expected

    plan = plan_of(chosen, retry_failed)
    reader = reader_if_any(chosen.database)
    history = expected(plan, reader.cells(), reader.trainings()) if reader else expected(plan, {}, {})
    print_plan(plan, history, _memory(chosen, plan), as_json)


def _memory(chosen: Chosen, plan: Plan) -> dict[str, int]:
    """Training key -> the bytes that it will take, about."""
    from fewshot_bench.running.device import choose_device, prepare
    from fewshot_bench.running.memory import predicted_bytes
    from fewshot_bench.running.runner import execution_of

    config = chosen.request.config
    device = choose_device(config.run.device, config.model.numerics)
    prepare(device, threads=1)
    return {
        t.key: predicted_bytes(t, device, execution_of(t, device, config.run.recompute))
        for t in (todo.training for todo in plan.todo)
    }
