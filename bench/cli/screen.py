"""What a person sees: progress on a terminal, one line a finished cell in a pipe. All of it goes to stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from fewshot_bench.plan import Plan


class HasCounts(Protocol):
    """An episode's result."""

    @property
    def n_correct(self) -> int: ...
    @property
    def n_queries(self) -> int: ...


class Screen:
    """Progress bars for the grid, the training and the evaluation; quiet in a pipe, silent with -q."""

    def __init__(self, verbosity: int) -> None:
        self._verbosity = verbosity  # -1 quiet, 0 normal, 1 verbose
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=verbosity < 0 or not self.console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def bar(self, name: str, text: str, done: int, total: int, note: str = "") -> None:
        """Show or move the bar called `name`."""
        if name in self._tasks:
            self._bars.update(self._tasks[name], description=text, completed=done, total=total, note=note)
        else:
            self._tasks[name] = self._bars.add_task(text, completed=done, total=total, note=note)

    def drop(self, name: str) -> None:
        """Take a bar away."""
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))

    def preparing(self, text: str, done: int, total: int) -> None:
        """The progress callback of data preparation."""
        self.bar("data", text, done, total)
        if done >= total:
            self.drop("data")

    def line(self, text: str) -> None:
        """One line, unless -q."""
        if self._verbosity >= 0:
            self.console.print(text, markup=False)

    def detail(self, text: str) -> None:
        """One line with -v."""
        if self._verbosity > 0:
            self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line, always."""
        self.console.print(text, markup=False, style="yellow")


def accuracy(results: Sequence[HasCounts]) -> str:
    """ "52.31 ± 1.20 %": the mean over episodes and its 95 % t-interval."""
    from fewshot_bench.tables.interval import sample

    over = sample([r.n_correct / r.n_queries for r in results])
    spread = "" if over.half_width is None else f" ± {100 * over.half_width:.2f}"
    return f"{100 * over.mean:.2f}{spread} %"


def duration(seconds: float) -> str:
    """ "12 s", "3 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def print_plan(plan: Plan, expected: dict[str, float | None]) -> None:
    """The plan as tables on stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to keep to
        console.width = 1000
    if plan.todo:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, side in (
            ("training", "left"), ("serves", "left"), ("trained on", "left"), ("iterations", "right"),
            ("state", "left"), ("cells to do", "right"), ("training takes", "right"),
        ):  # fmt: skip
            table.add_column(title, justify=side)  # type: ignore[arg-type]  # rich's literal
        for todo in plan.todo:
            stored = todo.stored
            state = "new"
            if stored:
                at = f"at {stored.iteration}" if stored.iteration else "started"
                state = {"finished": "trained", "running": at, "failed": "failed"}[stored.state]
            seconds = expected[todo.training.key]
            table.add_row(
                todo.training.key,
                f"{todo.name} s{todo.training.seed}",
                todo.training.trained_on,
                str(todo.training.iterations),
                state,
                str(len(todo.cells)),
                "?" if seconds is None else duration(seconds),
            )
        console.print(table)
        console.print()
    cells = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cell", "key", "state", "episodes"):
        cells.add_column(title, justify="right" if title == "episodes" else "left")
    for p in plan.cells:
        state = f"{p.state}: {p.reason}" if p.reason else p.state
        cells.add_row(p.cell.name, p.cell.key, state, f"{p.n_done}/{p.cell.n_episodes}")
    console.print(cells)
    console.print()
    console.print(plan_line(plan))


def plan_line(plan: Plan) -> str:
    """The plan in one line."""
    stale = f"; {plan.n_stale} stale (stored under these names by other code, data or settings)" if plan.n_stale else ""
    return (
        f"{len(plan.cells)} cells: {plan.count('done')} done, {plan.count('partial')} partial, "
        f"{plan.count('failed')} failed, {plan.count('todo')} to do, from {len(plan.todo)} trainings{stale}"
    )
