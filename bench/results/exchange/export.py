"""Results in long form, one row an episode: written for pandas and R, and complete enough to be imported again.

Columns (CSV: UTF-8, commas, a header; empty where there is nothing):

    cell_key      16 hex digits: the number of the table that the episode belongs to
    variant, method, n_way, n_shot, n_query, seed, split, label     the cell in words, on each row
    number        of the episode in the bank: 0, 1, 2, ... without gaps in each cell
    episode_id    16 hex digits; rows with equal ids faced the same images, whatever the method
    n_correct, n_queries     integers: their quotient is the episode's accuracy
    answers       x, then two hex digits a query (four beyond 256 ways): the label given to each, label by label
    training_key, weights    the training, and the SHA-256 of the weights that it made
    cell_facts    JSON, on a cell's first row only: its identity, and how its results were made
    training_facts    JSON, on a cell's first row only: the identity and the cost of its training
    curves        JSON, on a training's first row only: its losses, {name: [[iteration, value], ...]}
    unmeasured    JSON, on the file's first row only: failed cells, trainings that no episode was tested with, data sets

Importing needs cell_key, number, episode_id, n_correct and n_queries, and the facts on any one row of a cell
unless the database knows the cell.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import parse, place_of
from fewshot_bench.results.provenance import Origin, origin
from fewshot_bench.results.store.schema import data_sets
from fewshot_bench.results.store.snapshot import Snapshot, snapshot
from fewshot_bench.results.store.whole import Row, StoredEpisode
from fewshot_bench.tables.documents import csv_text

# what is kept of a row of `cells` and `trainings` besides key, identity, run and what is counted from the episodes
CELL_FACTS = ("variant", "label", "command", "seconds", "reason")
TRAINING_FACTS = (
    "state", "iteration", "images_seen", "seconds", "peak_memory_bytes", "device", "checkpoint", "reason",
)  # fmt: skip


class LongRow(NamedTuple):
    """One episode; see this module's description."""

    cell_key: str
    variant: str
    method: str
    n_way: int
    n_shot: int
    n_query: int
    seed: int
    split: str
    label: str
    number: int
    episode_id: str
    n_correct: int
    n_queries: int
    answers: str
    training_key: str
    weights: str
    cell_facts: str = ""
    training_facts: str = ""
    curves: str = ""
    unmeasured: str = ""


def write_table(where: str, expression: str | None, file: BinaryIO, *, as_parquet: bool) -> int:
    """Write the episodes of a database to a file; returns how many. expression: `-k`, of cells"""
    wanted = parse(expression) if expression else None
    with snapshot(where) as stored:
        return (write_parquet if as_parquet else write_csv)(long_rows(stored, wanted), file)


def long_rows(database: Snapshot, wanted: Callable[[str], bool] | None = None) -> Iterator[LongRow]:
    """The episodes of the cells whose name (maml-5w1s-s0) is wanted: cell by cell, in order.

    Raises NothingSelected where there are none; while iterating, DatabaseError where a cell's episodes are damaged.
    """
    cells = [row for row in database.cells().values() if wanted is None or wanted(place_of(row).name)]
    if not any(row["n_episodes"] for row in cells):
        raise NothingSelected("no episode to export: none is stored" + (" of these cells" if wanted else ""))
    trainings = database.trainings()
    if wanted:
        named = {row["training_key"] for row in cells}
        trainings = {key: row for key, row in trainings.items() if key in named}
    return _rows(database, cells, trainings)


def _rows(database: Snapshot, cells: list[Row], trainings: dict[str, Row]) -> Iterator[LongRow]:
    origins = {number: origin(run) for number, run in database.runs().items()}
    measured = [cell for cell in cells if cell["n_episodes"]]
    tested = {cell["training_key"] for cell in measured}
    failed = [_cell_facts(cell, origins, []) for cell in cells if not cell["n_episodes"]]
    idle = [
        _training_facts(row, origins) | {"curves": _curves(database, row)}
        for key, row in trainings.items()
        if key not in tested
    ]
    known = [_data_set_facts(row, origins) for row in database.all(data_sets).values()]
    found = {"cells": failed, "trainings": idle, "data_sets": known}
    unmeasured = found if any(found.values()) else None
    untold = set(tested)  # trainings whose curves are still to be written
    for cell in measured:
        training = trainings[cell["training_key"]]
        episodes, answers = database.episodes(cell), database.answers(cell)
        facts: dict[str, Any] = {
            "cell_facts": _json(_cell_facts(cell, origins, episodes)),
            "training_facts": _json(_training_facts(training, origins)),
            "curves": _json(_curves(database, training)) if training["key"] in untold else "",
            "unmeasured": _json(unmeasured),
        }
        untold.discard(training["key"])
        unmeasured = None
        words = words_of(cell, training)
        for episode in episodes:
            labels = answers.get(episode.number)
            yield LongRow(
                **words,
                **facts,
                number=episode.number,
                episode_id=episode.episode_id,
                n_correct=episode.n_correct,
                n_queries=episode.n_queries,
                answers=f"x{labels.hex()}" if labels else "",
            )
            facts = {}


def words_of(cell: Row, training: Row) -> dict[str, Any]:
    """The columns that say on each row which cell it is."""
    names = ("variant", "n_way", "n_shot", "n_query", "seed", "label", "training_key")
    return {name: cell[name] for name in names} | {
        "cell_key": cell["key"],
        "method": training["method"],
        "split": json.loads(cell["identity"]).get("split", ""),
        "weights": training["checkpoint"],
    }


def _cell_facts(cell: Row, origins: dict[int, Origin | None], episodes: list[StoredEpisode]) -> dict[str, Any]:
    changes = [e for i, e in enumerate(episodes) if i == 0 or e.run_id != episodes[i - 1].run_id]
    return {name: cell[name] for name in CELL_FACTS} | {
        "identity": json.loads(cell["identity"]),
        "run": origins[cell["run_id"]],
        "runs": [[e.number, origins[e.run_id]] for e in changes],  # from which episode on which run made them
    }


def _data_set_facts(row: Row, origins: dict[int, Origin | None]) -> dict[str, Any]:
    return {name: row[name] for name in ("fingerprint", "source")} | {
        "outline": json.loads(row["outline"]),
        "run": origins[row["run_id"]],
    }


def _training_facts(training: Row, origins: dict[int, Origin | None]) -> dict[str, Any]:
    facts = {name: training[name] for name in TRAINING_FACTS}
    return facts | {"identity": json.loads(training["identity"]), "run": origins[training["run_id"]]}


def _curves(database: Snapshot, training: Row) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for point in database.curves(training):
        found.setdefault(point["name"], []).append([point["iteration"], point["value"]])
    return found


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if value else ""


def write_csv(rows: Iterator[LongRow], file: BinaryIO) -> int:
    """Write rows as they come; returns how many. A spreadsheet takes no text among them for a formula."""
    text, n = io.TextIOWrapper(file, encoding="utf-8", newline=""), 0
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(LongRow._fields)
        for row in rows:
            writer.writerow(csv_text(value) if isinstance(value, str) else value for value in row)
            n += 1
    finally:
        text.detach()  # flushes, and leaves the file open
    return n


def write_parquet(rows: Iterator[LongRow], file: BinaryIO) -> int:
    """Write rows as one Parquet table, whole in memory; returns how many. Raises UsageError without pyarrow."""
    import pandas as pd

    try:
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'fewshot-bench[parquet]'") from None
    table = pd.DataFrame(rows, columns=list(LongRow._fields))
    file.write(table.to_parquet(None, index=False, engine="pyarrow"))
    return len(table)
