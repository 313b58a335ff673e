"""What a person sees: progress on a terminal, one line a finished cell in a pipe. All of it goes to stderr."""

import sys
from collections.abc import Iterable
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment

from fewshot_bench.cli.output import cleaned


class CleanConsole(Console):
    """A console whose colours and bars reach the terminal, and whose text is cleaned."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(file=getattr(stream, "obeyed", stream), highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The parts of something, their text cleaned."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=cleaned(part.text))


class Screen:
    """Progress bars for the grid, the training and the evaluation; quiet in a pipe, silent with -q."""

    def __init__(self, verbosity: int) -> None:
        self._verbosity = verbosity  # -1 quiet, 0 normal, 1 verbose
        self.console = CleanConsole(stderr=True, soft_wrap=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=verbosity < 0 or not self.console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
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
        """One line, or several, with -v."""
        if text and self._verbosity > 0:
            self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line, always."""
        self.console.print(text, markup=False, style="yellow")
