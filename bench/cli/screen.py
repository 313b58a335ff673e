"""What a person sees, on stderr: bars on a terminal; in a pipe a line a finished cell and one a minute."""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment

from fewshot_bench.cli.output import cleaned
from fewshot_bench.machine import Background
from fewshot_bench.tables.wording import duration

BEAT_SECONDS = 60.0


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
    """Progress bars for the grid, the training and the evaluation; a heartbeat in a pipe, silent with -q."""

    def __init__(self, verbosity: int, clock: Callable[[], float] = time.monotonic) -> None:
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
            get_time=clock,
        )
        self._tasks: dict[str, Any] = {}
        self._over = Event()

    def __enter__(self) -> Self:
        self._bars.start()
        if self._verbosity >= 0 and self._bars.disable:  # a thread, as a single step may take minutes
            Background(target=self._beat_on, name="heartbeat").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._bars.stop()

    def beat(self) -> None:
        """One line: what is in hand, how far it is, how fast it goes, and how long it may still take."""
        told = []
        for task in self._bars.tasks:
            done, total, elapsed = int(task.completed), int(task.total or 0), task.elapsed or 0.0
            rate = (done - task.fields["begun"]) / elapsed if elapsed else 0.0  # since this bar is there
            told.append(f"{task.description} {done}/{total}")
            if rate > 0 and done < total:
                told[-1] += f", {rate:.2g}/s, {duration((total - done) / rate)} to go"
        if told:
            self.line("; ".join(told))

    def _beat_on(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(MemoryError):  # who works says so
                self.beat()

    def bar(self, name: str, text: str, done: int, total: int, note: str | None = None, *, steady: bool = True) -> None:
        """Show or move the bar called `name`.

        note: None leaves it as it is
        steady: its steps take alike long, so that those done tell how long the others take
        """
        fields: dict[str, Any] = {} if note is None else {"note": note}
        if name in self._tasks:
            self._bars.update(self._tasks[name], description=text, completed=done, total=total, **fields)
        else:
            begun: dict[str, Any] = {"note": "", "begun": done if steady else total}
            self._tasks[name] = self._bars.add_task(text, completed=done, total=total, **(begun | fields))

    def drop(self, name: str) -> None:
        """Take a bar away."""
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))

    def hide(self) -> None:
        """Take the bars away, so that a question can be asked."""
        self._bars.stop()

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
