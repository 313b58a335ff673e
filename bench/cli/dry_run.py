"""`bench run -n`: the plan on stdout, as tables or as JSON."""

import json

import click
from rich.table import Table

from fewshot_bench.cli.output import terminal_width
from fewshot_bench.cli.screen import CleanConsole
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.running.pace import Cost
from fewshot_bench.tables.wording import duration

# column -> the narrowest terminal that it is shown on
TRAINING = {
    "key": 0, "serves": 0, "trained on": 120, "updates": 0, "state": 0, "training": 0, "memory": 120, "cells": 120,
    "testing": 0,
}  # fmt: skip


def print_plan(plan: Plan, cost: Cost, memory: dict[str, int], as_json: bool) -> None:
    """Trainings and cells, what is done, and what the rest may take.

    memory: training key -> predicted bytes
    """
    if as_json:
        click.echo(json.dumps(_document(plan, cost, memory)))
    else:
        _print_tables(plan, cost, memory)


def _document(plan: Plan, cost: Cost, memory: dict[str, int]) -> dict[str, object]:
    training_seconds, testing_seconds = cost.seconds
    return {
        "cells": [
            {"cell": p.cell.name, "key": p.cell.key, "training": p.cell.training.key, "state": p.state,
             "episodes": p.n_done, "wanted": p.cell.n_episodes, "reason": p.reason}
            for p in plan.cells
        ],
        "trainings": [
            {"key": t.training.key, "serves": t.name, "iterations": t.training.iterations,
             "at": t.stored.iteration if t.stored else 0,
             "expected_seconds": cost.expected[t.training.key][0],
             "expected_test_seconds": cost.expected[t.training.key][1],
             "timed_now": t.training.key in cost.timed,
             "expected_memory_bytes": memory[t.training.key]}
            for t in plan.todo
        ],
        "expected_seconds": training_seconds + testing_seconds,
        "jobs": cost.jobs,
        "expected_wall_seconds": cost.wall_seconds,
        "stale": plan.n_stale,
    }  # fmt: skip


def _print_tables(plan: Plan, cost: Cost, memory: dict[str, int]) -> None:
    console = CleanConsole()
    console.width = terminal_width(1000)  # a pipe has no width to keep to
    if plan.todo:
        table = Table(box=None, pad_edge=False, header_style="bold")
        shown = [name for name, n in TRAINING.items() if n <= console.width]
        for name in shown:
            table.add_column(name, justify="left" if name in ("key", "serves", "trained on", "state") else "right",
                             no_wrap=name != "serves")  # fmt: skip
        for todo in plan.todo:
            stored = todo.stored
            state = "new"
            if stored:
                at = f"at {stored.iteration}" if stored.iteration else "started"
                state = {"finished": "trained", "running": at, "failed": "failed"}[stored.state]
            training_seconds, testing_seconds = cost.expected[todo.training.key]
            needed = memory[todo.training.key]
            told = {
                "key": todo.training.key,
                "serves": f"{todo.name} s{todo.training.seed}",
                "trained on": todo.training.trained_on,
                "updates": str(todo.training.iterations),
                "state": state,
                "training": _told(training_seconds),
                "memory": f"{needed / 2**30:.1f} GiB" if needed else "unknown",
                "cells": str(len(todo.cells)),
                "testing": _told(testing_seconds),
            }
            table.add_row(*(told[name] for name in shown))
        console.print(table)
        console.print()
    cells = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cell", "key", "state", "episodes"):
        cells.add_column(title, justify="right" if title == "episodes" else "left")
    for p in plan.cells:
        state = f"{p.state}: {p.reason}" if p.state == "failed" else p.state
        cells.add_row(p.cell.name, p.cell.key, state, f"{p.n_done}/{p.cell.n_episodes}")
    console.print(cells)
    console.print()
    console.print(str(plan))
    if plan.todo:
        console.print(cost_text(cost))


def cost_text(cost: Cost) -> str:
    """What all of it takes, and how that is known."""
    if cost.expected and all(seconds == (None, None) for seconds in cost.expected.values()):
        return "How long it takes is not known: this database has no history of it."
    training, testing = cost.seconds
    told = f"To do: {duration(training)} of training and {duration(testing)} of testing with one job"
    told += f", about {duration(cost.wall_seconds)} with {cost.jobs}" if cost.jobs > 1 else ""
    told += ", without those marked ?" if any(None in seconds for seconds in cost.expected.values()) else ""
    timed = "some steps and an episode of each were timed just now"
    if len(cost.timed) < len(cost.expected):
        timed = f"this database's history{f'; of {len(cost.timed)}, {timed}' if cost.timed else ''}"
    return f"{told} ({timed})."


def _told(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)
