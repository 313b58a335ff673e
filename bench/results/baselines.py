"""What a check is held against, out of a file of stored accuracies or out of another results database."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.identity import Cell, lineage_of
from fewshot_bench.experiment.selection import Selection, place_of
from fewshot_bench.results.collect import results
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.reading_back import choose_prepared
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.check.baseline import (
    Baseline,
    BaselineCell,
    BaselineError,
    baseline_of,
    baseline_text,
    make_baseline,
    read_baseline,
    stored_cell,
)
from fewshot_bench.tables.check.regression import compare
from fewshot_bench.tables.check.render import render_verdicts
from fewshot_bench.tables.parsing import ParseError, parse_json, read_bytes
from fewshot_bench.tables.scores import CellScore

SQLITE_BEGINS = b"SQLite format 3\0"


def checked(against: str, selection: Selection, margin: float, *, strict: bool) -> tuple[int, Callable[[str], str]]:
    """The chosen cells held against what is stored in a file or another database; margin: a fraction of 1.

    Returns the exit code, and the verdicts in a format.
    """
    chosen = choose_prepared(selection)
    stored = _read(against, chosen)
    found = compare(results(chosen), stored, margin, strict)
    return found.exit_code, partial(render_verdicts, found)


def written(named: str, selection: Selection) -> str:
    """The text of a file of stored accuracies. Raises UsageError where `named` is a database, which stays as it is."""
    stored = results(choose_prepared(selection))
    if not any(cell.state == "done" for cell in stored.cells):
        raise NothingSelected("no finished cell to write: `bench run` makes them")
    with suppress(OSError):  # not there yet
        if _is_database(named):
            raise UsageError(
                f"--against {without_password(named)}: --write makes a JSON file and leaves a database alone"
            )
    return baseline_text(make_baseline(stored))


def _is_database(named: str) -> bool:
    """Whether this is, or is named as, a database. Raises OSError for a file that cannot be read."""
    path = Path(named)
    if "://" in named or path.suffix in (".sqlite", ".sqlite3", ".db"):
        return True
    if not path.is_file():  # a pipe would be waited for
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_BEGINS)) == SQLITE_BEGINS


def _read(named: str, chosen: Chosen) -> Baseline:
    """The baseline in a file; of a database, what it holds of the chosen cells. Raises UsageError, DatabaseError."""
    try:
        if _is_database(named):
            return _of_database(named, chosen)
        return read_baseline(parse_json(read_bytes(Path(named))))
    except OSError as error:
        raise UsageError(f"--against {named}: {error.strerror}; `--write` makes one") from None
    except (ParseError, BaselineError) as error:
        raise UsageError(f"--against {named}: not a file of stored accuracies: {error}") from None


def _of_database(where: str, chosen: Chosen) -> Baseline:
    """What another database holds of the chosen cells, else of what another version of the code made of them."""
    reader = Reader(where)
    current = baseline_of(results(chosen, reader=reader))
    held = {cell.score.key for cell in current.cells}
    lacking = [cell for cell in chosen.cells if cell.key not in held]
    return replace(current, cells=current.cells + _older(reader, lacking))


def _older(reader: Reader, cells: list[Cell]) -> tuple[BaselineCell, ...]:
    """The newest stored results of the same lineage as some cells."""
    wanted = {cell.name: cell for cell in cells}
    found: dict[str, BaselineCell] = {}
    for row in sorted(reader.all_cells(), key=lambda row: int(row["run_id"])):
        cell = wanted.get(place_of(row).name)
        if cell is None or not row["n_episodes"] or row["reason"]:
            continue
        facts = reader.cell(row["key"])
        if lineage_of(facts.training["identity"], facts.cell["identity"]) == cell.lineage:
            score = CellScore(*cell.place, row["key"], "done", episodes=facts.episodes, lineage=cell.lineage)
            found[cell.name] = stored_cell(score)
    return tuple(found.values())
