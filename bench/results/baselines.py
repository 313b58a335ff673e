"""What a check is held against, out of a file of stored accuracies or out of another results database."""

from dataclasses import replace
from pathlib import Path

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.identity import Cell, lineage_of
from fewshot_bench.experiment.selection import place_of
from fewshot_bench.results.collect import results
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.check.baseline import (
    Baseline,
    BaselineCell,
    BaselineError,
    baseline_of,
    read_baseline,
    stored_cell,
)
from fewshot_bench.tables.parsing import ParseError, parse_json, read_bytes
from fewshot_bench.tables.scores import CellScore

SQLITE_BEGINS = b"SQLite format 3\0"


def is_database(path: Path) -> bool:
    """Whether this is, or is named as, a SQLite database. Raises OSError for a file that cannot be read."""
    if path.suffix in (".sqlite", ".sqlite3", ".db"):
        return True
    if not path.is_file():  # a pipe would be waited for
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_BEGINS)) == SQLITE_BEGINS


def read(path: Path, chosen: Chosen) -> Baseline:
    """The baseline in a file; of a database, what it holds of the chosen cells. Raises UsageError, DatabaseError."""
    try:
        if is_database(path):
            return of_database(str(path), chosen)
        return read_baseline(parse_json(read_bytes(path)))
    except OSError as error:
        raise UsageError(f"--against {path}: {error.strerror}; `--write` makes one") from None
    except (ParseError, BaselineError) as error:
        raise UsageError(f"--against {path}: not a file of stored accuracies: {error}") from None


def of_database(where: str, chosen: Chosen) -> Baseline:
    """What another database holds of the chosen cells, else of what another version of the code made of them."""
    reader = Reader(where)
    current = baseline_of(results(chosen, reader=reader))
    held = {cell.key for cell in current.cells}
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
            episodes = tuple(result.score() for result in facts.episodes)
            score = CellScore(*cell.place, row["key"], "done", episodes=episodes, lineage=cell.lineage)
            found[cell.name] = stored_cell(score)
    return tuple(found.values())
