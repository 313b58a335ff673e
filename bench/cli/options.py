"""The options that choose cells, shared by every command that speaks of them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fewshot_bench.errors import NothingSelected, UsageError

if TYPE_CHECKING:  # the commands that need torch import it when they run, not for --help
    from fewshot_bench.data.images import ImageSet
    from fewshot_bench.experiment.grid import Request
    from fewshot_bench.experiment.identity import Cell
    from fewshot_bench.running.workers import Workplace
    from fewshot_bench.tables.scores import Results

F = TypeVar("F", bound=Callable[..., Any])


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """Several values in one: --way 5,20. The option may be given more than once, too."""

    def __init__(self, item: click.ParamType[Any], name: str) -> None:
        self._item, self.name = item, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of items."""
        if isinstance(value, tuple):
            return value
        return tuple(self._item.convert(part.strip(), param, ctx) for part in str(value).split(","))


NAMES = CommaList(click.STRING, "name")
WAYS = CommaList(click.IntRange(min=2, max=2**31 - 1), "int")
SHOTS = CommaList(click.IntRange(min=1, max=2**31 - 1), "int")
SEEDS = CommaList(click.IntRange(min=0, max=2**31 - 1), "int")


def selection_options(command: F) -> F:
    """Add the options that choose configuration, data and cells."""
    options = [
        click.option("--config", type=click.Path(dir_okay=False, path_type=Path),
                     help="Configuration file.  [default: bench.toml here, else the packaged one]"),
        click.option("--grid", metavar="NAME", help="Grid of bench.toml: full, paper, smoke or your own."),
        click.option("--data", metavar="SOURCE", help="Data set: a name, a folder, an archive, or FORMAT:PATH."),
        click.option("--split", metavar="NAME", help="Split: paper, ravi, ravi-val, or a published one: docs/data.md."),
        click.option("--budget", metavar="NAME", help="Budget: smoke, quick, paper or your own."),
        click.option("--protocol", type=click.Choice(["single", "matched"]),
                     help="One model for all settings, or one for each."),
        click.option("--method", "methods", type=NAMES, multiple=True, help="Only these methods or variants."),
        click.option("--way", "ways", type=WAYS, multiple=True, help="Only these numbers of classes."),
        click.option("--shot", "shots", type=SHOTS, multiple=True, help="Only these numbers of examples a class."),
        click.option("--seed", "seeds", type=SEEDS, multiple=True, help="Only these training seeds."),
        click.option("--episodes", type=click.IntRange(min=1, max=2**31 - 1), metavar="N",
                     help="Test episodes of every cell, whatever the budget says."),
        click.option("-k", "expression", metavar="EXPR",
                     help="Only cells whose name (maml-5w1s-s0) matches, e.g. 'maml and not 35w'."),
        click.option("--out", type=click.Path(file_okay=False, path_type=Path),
                     help="Folder of database, checkpoints and report.  [default: out]"),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Chosen:
    """What the options chose, resolved against configuration and data."""

    request: Request
    images: ImageSet
    cells: list[Cell]
    out: Path
    source: str  # the data set as it was named
    config: Path | None  # the configuration file that was used
    expression: str | None

    def command(self, cell: Cell | None = None) -> str:
        """The command that repeats this selection, or one cell of it."""
        r = self.request
        grid = r.config.grids[r.grid]
        words = ["bench", "run", "--grid", r.grid, "--data", self.source, "--split", r.split]
        words += ["--budget", r.budget, "--protocol", r.protocol]
        narrowed = {
            "--method": (r.methods, grid.methods),
            "--way": (r.ways, grid.ways),
            "--shot": (r.shots, grid.shots),
            "--seed": (r.seeds, grid.seeds),
        }
        if cell:
            chosen = (cell.variant, cell.setting.n_way, cell.setting.n_shot, cell.training.seed)
            words += [str(word) for pair in zip(narrowed, chosen, strict=True) for word in pair]
        else:
            for option, (now, whole) in narrowed.items():
                words += [option, ",".join(map(str, now))] if now != whole else []
            words += ["-k", self.expression] if self.expression else []
        words += ["--episodes", str(r.episodes)] if r.episodes else []
        words += ["--config", str(self.config)] if self.config not in (None, config_file(None)) else []
        words += ["--out", str(self.out)] if self.out != Path(r.config.run.out) else []
        return shlex.join(words)

    def results(self, *, with_answers: bool = False) -> Results:
        """What is stored of these cells, see `collect.results`. Raises DatabaseError where there is no database."""
        from fewshot_bench.results.collect import results
        from fewshot_bench.results.store import Reader

        reader = Reader(self.database)
        return results(self.request, self.images, self.cells, reader, self.command(), with_answers=with_answers)

    def workplace(self, device: str, threads: int) -> Workplace:
        """What a process needs to train or evaluate these cells."""
        from fewshot_bench.running.workers import Workplace

        return Workplace(
            source=self.source,
            cache=cache_folder(),
            image_size=self.request.config.data.image_size or None,
            checkpoints=self.out / "checkpoints",
            device=device,
            threads=threads,
            fingerprint=self.images.fingerprint,
            recompute=self.request.config.run.recompute,
        )

    @property
    def database(self) -> str:
        """Path or URL of the results database: BENCH_DB, or a file in `out`."""
        return database(self.out)


def database(out: Path) -> str:
    """Where results are kept."""
    return os.environ.get("BENCH_DB") or str(out / "results.sqlite")


def cache_folder() -> Path:
    """Where prepared data sets are kept: BENCH_CACHE, or the user's cache folder."""
    if named := os.environ.get("BENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewshot-bench"


def config_file(named: Path | None) -> Path | None:
    """The configuration file to lay over the packaged one."""
    here = Path("bench.toml")
    return named or (here if here.exists() else None)


def choose(
    *, config: Path | None, expression: str | None, out: Path | None, data: str | None, grid: str | None,
    progress: Callable[[str, int, int], None] | None = None, **chosen: Any,
) -> Chosen:  # fmt: skip
    """Resolve the selection options; opens (and the first time prepares) the data set.

    Raises UsageError for what cannot be, NothingSelected where no cell matches.
    """
    from fewshot_bench.config import load
    from fewshot_bench.data import open_images
    from fewshot_bench.experiment import grid as grids
    from fewshot_bench.experiment.selection import parse

    used = config_file(config)
    loaded = load(used)
    matches = parse(expression) if expression else None
    # --way 5,20 --way 35 arrives as ((5, 20), (35,))
    flat = {
        name: tuple(dict.fromkeys(item for items in value for item in items)) if isinstance(value, tuple) else value
        for name, value in chosen.items()
    }
    request = grids.resolve(loaded, grid, **flat)
    try:  # a wrong setting must not wait for the data to be decoded
        grids.check_settings(request)
    except UsageError as error:
        raise UsageError(f"{used or 'bench.toml'}: {error}") from None
    source = data or loaded.data.source
    images = open_images(source, cache_folder(), loaded.data.image_size or None, progress)
    cells = grids.cells(request, images)
    if matches:
        cells = [cell for cell in cells if matches(cell.name)]
    if not cells:
        raise NothingSelected(f"-k {expression!r} matches none of the cells; `bench run -n` lists their names")
    return Chosen(request, images, cells, out or Path(loaded.run.out), source, used, expression)
