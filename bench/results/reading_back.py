"""Cells that are only read, where their images need not be; and the results that come with the package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from fewshot_bench.config import config_file, load
from fewshot_bench.data import NAMED, ImageSet
from fewshot_bench.data.cache import find
from fewshot_bench.data.images import without_pixels
from fewshot_bench.errors import DataError, NoResultsYet, NothingSelected, OldSchema, UsageError, did_you_mean
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import DATABASE, cache_folder, content_of, database
from fewshot_bench.results.exchange.importing import merge_file
from fewshot_bench.results.provenance import collect
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.engine import REVISIONS

FOLDER = Path(str(files("fewshot_bench.tables"))) / "measured"


def choose_stored(selection: Selection) -> Chosen:
    """As `choose`; a data set that the database does not know is opened."""
    out = selection.out or Path(load(config_file(selection.config), selection.settings).run.out)
    name = _shipped_name(selection)
    try:
        chosen = choose(selection, known=lambda source, size: _known(database(out), source, size))
    except UsageError as error:  # whose files are none of the user's
        raise type(error)(str(error).replace(f"{FOLDER}{os.sep}", "")) from None
    return replace(chosen, measured=name, measured_rules=_rules_of(name) or "") if name else chosen


def choose_prepared(selection: Selection) -> Chosen:
    """As `choose`; where a database says what the last run was, its data are those of them that are prepared here."""
    if not selection.recalled:
        with images_named(selection, selection.data):
            return choose(selection)
    out = selection.out or Path(load(config_file(selection.config), selection.settings).run.out)

    def prepared(source: str, size: int) -> ImageSet | None:
        known = _known(database(out), source, size)
        return known and find(cache_folder(), known.fingerprint)

    return choose(selection, known=prepared)


@contextmanager
def images_named(selection: Selection, data: str | None) -> Iterator[None]:
    """Where the images of results that come with the package are needed, and a user named none: say so.

    data: what the user named
    """
    try:
        yield
    except DataError:
        name = _shipped_name(selection)
        source = load(selection.config).data.source if name and not data else ""
        if not source or os.path.lexists(source):
            raise
        raise DataError(
            f"this command needs the images of {name}, which do not come with its results: name them with --data FOLDER"
        ) from None


def _shipped_name(selection: Selection) -> str:
    """What --measured named; empty without it."""
    return selection.config.stem if selection.config and selection.config.parent == FOLDER else ""


def _known(where: str, source: str, size: int) -> ImageSet | None:
    """The data set that was last called so, by its source or, where that is nothing here, by its own name."""
    try:
        stored = Reader(where).data_sets()
    except (NoResultsYet, OldSchema):
        return None
    fitting = [row for row in stored if size in (0, row["outline"]["image_shape"][-1])]
    named = [row for row in fitting if row["source"] == source]
    if not named and source not in NAMED and not os.path.lexists(source):
        named = [row for row in fitting if row["name"] == source]
    return without_pixels(named[-1]["fingerprint"], named[-1]["outline"]) if named else None


def none_stored(chosen: Chosen, what: str) -> NothingSelected:
    """The error where a selection has no results: what was asked for, and what is stored instead."""
    cell = chosen.cells[0]
    asked = chosen.label(cell).removesuffix(f" {cell.name}")
    held = f"{what} (grid {chosen.request.grid}: {asked}); stored here: {Reader(chosen.database).held()}"
    made = f"; `{chosen.command()}` makes results, and `bench why {cell.name}` with the same options says what differs"
    return NothingSelected(held + made * (not chosen.measured))


def last_command(where: str) -> str:
    """The last `bench run` behind what is stored, as it was typed; empty where there is none."""
    try:
        commands = Reader(where).run_commands()
    except (NoResultsYet, OldSchema):
        return ""
    return next((command for command in reversed(commands) if command.startswith("bench run")), "")


def names() -> list[str]:
    """What can be read so: NAME.toml has the settings, NAME-*.csv.xz the episodes, rules/NAME.toml tuned rules."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def shipped(name: str) -> Selection:
    """Configuration, rules and folder of a shipped experiment; its database is made in the cache the first time.

    Raises UsageError for a name of none.
    """
    if name not in names():
        raise UsageError(f"--measured: there is no {name!r}: {did_you_mean(name, names())}")
    episodes = sorted(FOLDER.glob(f"{name}-*.csv.xz"))
    folder = cache_folder() / "measured" / "-".join([name, REVISIONS[-1], *(content_of(path)[:8] for path in episodes)])
    if not (folder / DATABASE).exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.parent) as made:
                for path in episodes:
                    merge_file(path, str(Path(made) / DATABASE), collect(f"bench import {path.name}", "", 0, 0))
                folder.mkdir(exist_ok=True)
                (Path(made) / DATABASE).replace(folder / DATABASE)
        except OSError as error:
            raise UsageError(f"{error.filename}: {error.strerror}; set BENCH_CACHE to a folder for the cache") from None
    return Selection(config=FOLDER / f"{name}.toml", out=folder, rules=_rules_of(name))


def _rules_of(name: str) -> str | None:
    path = FOLDER / "rules" / f"{name}.toml"
    return str(path) if path.exists() else None
