"""The options that choose cells and what computes, shared by every command that speaks of them."""

import dataclasses
import functools
import gc
import math
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click

from fewshot_bench.config import MOST_EPISODES, MOST_PROCESSES, Config, config_file, load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import Means, Selection
from fewshot_bench.files import database, is_database

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


def _flat(_: click.Context, __: click.Parameter, value: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """--way 5,20 --way 35 arrives as ((5, 20), (35,))."""
    return tuple(dict.fromkeys(item for items in value for item in items))


class Finite(click.FloatRange):
    """A number in a range, which neither nan nor inf is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value!r} is not finite.", param, ctx)


class Jobs(click.IntRange):
    """A number of processes, or auto."""

    def __init__(self) -> None:
        super().__init__(min=0, max=MOST_PROCESSES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """0 for auto."""
        return super().convert(0 if value == "auto" else value, param, ctx)


NAMES = CommaList(click.STRING, "name")
WAYS = CommaList(click.IntRange(min=2, max=2**31 - 1), "int")
SHOTS = CommaList(click.IntRange(min=1, max=2**31 - 1), "int")
SEEDS = CommaList(click.IntRange(min=0, max=2**31 - 1), "int")


set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE",
    help="Setting in place of bench.toml's: data.image_size=28, methods.maml.inner_steps=10. More than once.",
)  # fmt: skip
out_option = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the database.  [default: out]"
)
config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file.  [default: bench.toml here, else the packaged one]",
)
measured_option = click.option(
    "--measured", metavar="NAME", help="Results that come with the package, such as miniimagenet-32."
)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Say what would happen; change nothing.")


def _completing(section: str) -> Callable[..., list[str]]:
    """For a shell: the names of a section of bench.toml, or the splits, that begin as what stands behind a comma."""

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[str]:
        before, comma, last = typed.rpartition(",")
        with suppress(UsageError):
            names = _splits() if section == "splits" else getattr(_config_of(context), section)
            return [before + comma + name for name in names if name.startswith(last)]
        return []

    return complete


def _splits() -> list[str]:
    """Those of this benchmark, and those whose lists of classes come with the package."""
    names = [path.name for path in files("fewshot_bench").joinpath("data/splits").iterdir()]
    published = [name.removesuffix(".toml") for name in names if name.endswith(".toml")]
    return ["paper", *(name + val for name in published for val in ("", "-val"))]


def _config_of(context: click.Context) -> Config:
    return load(config_file(context.params.get("config")))


def gathered(kind: type, name: str, options: Sequence[Callable[[Any], Any]]) -> Callable[[F], Callable[..., Any]]:
    """Add options; the command gets all that `kind`, a dataclass, has fields for as one argument of this name."""

    def add(command: F) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> Any:
            own = {f.name: given.pop(f.name) for f in dataclasses.fields(kind) if f.name in given}
            return command(**{name: kind(**own)}, **given)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return add


_several = functools.partial(click.option, callback=_flat, multiple=True)
# choose configuration, data and cells: a command's `selection`
selection_options = gathered(Selection, "selection", [
    config_option,
    set_option,
    click.option("--grid", metavar="NAME", shell_complete=_completing("grids"),
                 help="Grid of bench.toml: full, paper, smoke or your own."),
    click.option("--data", metavar="SOURCE", help="Data set: a name, a folder, an archive, or FORMAT:PATH."),
    click.option("--novel-data", metavar="SOURCE", help="Another one, whose novel classes are tested on."),
    click.option("--split", metavar="NAME", shell_complete=_completing("splits"),
                 help="Split: paper, ravi, ravi-val, or a published one: docs/data.md."),
    click.option("--budget", metavar="NAME", shell_complete=_completing("budgets"),
                 help="Budget: smoke, quick, standard, paper or your own."),
    click.option("--protocol", type=click.Choice(["single", "matched"]),
                 help="One model for all settings, or one for each."),
    _several("--method", "methods", type=NAMES,
             shell_complete=_completing("methods"), help="Only these methods or variants."),
    _several("--way", "ways", type=WAYS, help="Only these numbers of classes."),
    _several("--shot", "shots", type=SHOTS, help="Only these numbers of examples a class."),
    _several("--seed", "seeds", type=SEEDS, help="Only these training seeds."),
    click.option("--episodes", type=click.IntRange(1, MOST_EPISODES), metavar="N",
                 help="Test episodes of every cell, whatever the budget says."),
    click.option("-k", "expression", metavar="EXPR",
                 help="Only cells whose name (maml-5w1s-s0) matches, e.g. 'maml and not 35w'."),
    click.option("--rules", type=click.Path(dir_okay=False),
                 help="Fit at test as this file of `bench tune` says; '' for no file.  [default: bench.toml's]"),
    click.option("--out", type=click.Path(file_okay=False, path_type=Path),
                 help="Folder of database, checkpoints and report.  [default: out]"),
])  # fmt: skip


def reading_options(command: F) -> Callable[..., Any]:
    """As `selection_options`, and results that come with the package.

    Where nothing says which experiment is meant, it is that of the last run.
    """

    @selection_options
    @measured_option
    @functools.wraps(command)
    def wrapped(*, selection: Selection, measured: str | None, **given: Any) -> Any:
        databases = given.get("names") and all(map(is_database, given["names"]))
        if databases and measured is not None:
            raise click.UsageError("--measured is not for two databases: they say themselves what they hold")
        if not databases:
            with uncollected():  # torch is imported there
                selection = read_back(selection, measured)
        return command(selection=selection, **given)

    return wrapped


@contextmanager
def uncollected() -> Iterator[None]:
    """For work that soon ends: looking for garbage among its many small objects is up to a fifth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def stored_options(command: F) -> Callable[..., Any]:
    """Add the options that say whose results are meant; the command gets folder and settings as one `selection`.

    A configuration that another option named is in it, too.
    """

    @out_option
    @measured_option
    @functools.wraps(command)
    def wrapped(*, out: Path | None, measured: str | None, **given: Any) -> Any:
        selection = Selection(out=out, config=given.pop("config", None))
        return command(selection=read_back(selection, measured) if measured is not None else selection, **given)

    return wrapped


def read_back(selection: Selection, measured: str | None = None) -> Selection:
    """In the database and under the settings that come with the package; else as in the last run."""
    from fewshot_bench.results.reading_back import last_command, shipped  # takes long to import

    if measured is None:
        return _as_in(last_command, selection)
    if selection.out or selection.config or selection.settings or selection.rules or "BENCH_DB" in os.environ:
        raise click.UsageError(
            "--measured has settings, rules and a database of its own: leave out --out, --config, --set, BENCH_DB, and "
            "all --rules but '', the published ones"
        )
    found = shipped(measured)  # takes seconds the first time
    rules = found.rules if selection.rules is None else selection.rules
    return dataclasses.replace(selection, config=found.config, out=found.out, rules=rules)


EXPERIMENT = ("config", "settings", "grid", "data", "novel_data", "split", "budget", "protocol", "rules")


def _as_in(last_command: Callable[[str], str], selection: Selection) -> Selection:
    """The selection, with the experiment of the last run in its database where it says nothing of one."""
    if any(getattr(selection, name) not in (None, ()) for name in EXPERIMENT):
        return selection
    out = out_folder(selection.out)
    command = last_command(database(out))
    try:
        last = selected(shlex.split(command)[2:], alone=False)
    except (ValueError, click.ClickException):  # half a quotation; of another version, maybe
        return selection
    meant = {name: getattr(last, name) for name in EXPERIMENT if getattr(last, name) not in (None, ())}
    if not meant:
        return selection
    words = [f"--set={text}" for text in meant.get("settings", ())]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in meant.items() if name != "settings"]
    click.echo(f"as in the last run: {shlex.join(words)}", err=True)
    return dataclasses.replace(selection, **meant, out=out, recalled=True)


@click.command(add_help_option=False)
@selection_options
def _selection(selection: Selection) -> Selection:
    """Only reads the options that choose cells."""
    return selection


def selected(words: list[str], *, alone: bool) -> Selection:
    """What the words of a run choose; others are passed over, or wrong if `alone`. Raises click.ClickException."""
    with _selection.make_context("run", words, ignore_unknown_options=not alone, allow_extra_args=not alone) as context:
        found: Selection = _selection.invoke(context)
        return found


# say how a run works: a command's `means`
means_options = gathered(Means, "means", [
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]"),
    click.option("--jobs", type=Jobs(), help="Worker processes; auto (or 0) = one a core, or one for a GPU."),
    click.option("--threads", type=click.IntRange(1, MOST_PROCESSES), help="CPU threads of each.  [default: 1]"),
    click.option("--retry-failed", is_flag=True, help="Try failed cells again."),
    click.option("--timeout", "timeout_seconds", type=Finite(min=0, min_open=True), metavar="SECONDS",
                 help="Stop a training or cell that takes longer; its state is saved.  [default: none]"),
])  # fmt: skip


def engine_options(command: F) -> F:
    """Add the options that name an engine, `engine` and `engine_options`."""
    several = click.option(
        "--engine-option", "engine_options", multiple=True, callback=_pairs, metavar="NAME=VALUE",
        help="For the engine, as its own options are called; more than once.",
    )  # fmt: skip
    named = click.option("--engine", metavar="NAME", help="Who works: here, slurm or dask.  [default: here]")
    return named(several(command))


def _pairs(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """partition=gpu; a name alone is a switch."""
    return tuple((name, text) for name, _, text in (word.partition("=") for word in value))


def out_folder(out: Path | None) -> Path:
    """The folder of database and checkpoints: the one named, else [run] out."""
    return out or Path(load(config_file(None)).run.out)


def database_in(out: Path | None) -> str:
    """Path or URL of the results database of that folder."""
    return database(out_folder(out))
