"""Cells that are only read: their data sets come from the database where it knows them, without their images."""

import os
from pathlib import Path

from fewshot_bench.config import config_file, load
from fewshot_bench.data import NAMED, ImageSet
from fewshot_bench.data.outline import without_pixels
from fewshot_bench.errors import NoResultsYet, OldSchema
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import database
from fewshot_bench.results.store import Reader


def choose_stored(selection: Selection) -> Chosen:
    """As `choose`; a data set that the database does not know is opened."""
    out = selection.out or Path(load(config_file(selection.config)).run.out)
    return choose(selection, known=lambda source, size: _known(database(out), source, size))


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


def last_command(where: str) -> str:
    """The last `bench run` behind what is stored, as it was typed; empty where there is none."""
    try:
        commands = Reader(where).run_commands()
    except (NoResultsYet, OldSchema):
        return ""
    return next((command for command in reversed(commands) if command.startswith("bench run")), "")
