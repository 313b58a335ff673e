"""Whether rows say what was stored: their checksums, what their keys are the hashes of, and what hangs on them.

Each check raises DatabaseError, which names the row. Databases of earlier versions lack checksums, and nothing is then
known against them. This finds damage and edits, not forgeries.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import unpack_answers
from fewshot_bench.experiment.selection import place_of
from fewshot_bench.results.store.checksums import EDITED, answers_sum, check_seal, curves_sum, episodes_sha256, runs_sum
from fewshot_bench.results.store.schema import cells, runs, trainings
from fewshot_bench.seeding import digest
from fewshot_bench.tables.parsing import ParseError, parse_json

Row = dict[str, Any]


class StoredEpisode(NamedTuple):
    """A row of `episodes` without its cell."""

    number: int
    episode_id: str
    n_correct: int
    n_queries: int
    run_id: int

    @property
    def counted(self) -> tuple[int, str, int, int]:
        """What was measured, without who measured it."""
        return self[:4]


def check_run(where: str, row: Row) -> Row:
    """A row of `runs`; returns its facts."""
    facts = _parsed(where, f"the facts of run {row['id']}", row["facts"])
    check_seal(where, runs, row)
    return facts


def training_of(where: str, row: Row) -> Row:
    """What a row of `trainings` says its identity is."""
    return _parsed(where, f"the identity of training {row['key']}", row["identity"])


def check_training(where: str, row: Row) -> Row:
    """A row of `trainings`; returns its identity."""
    named = {name: row[name] for name in ("method", "iterations")}
    found = _identity(where, f"training {row['key']}", row, named)
    check_seal(where, trainings, row)
    return found


def check_cell(where: str, row: Row, training: Mapping[str, Any]) -> Row:
    """A row of `cells`, given its training's identity; returns its own."""
    setting = {name: row[name] for name in ("n_way", "n_shot", "n_query")}
    what = f"cell {row['key']}"
    found = _identity(where, what, row, {"training": row["training_key"], "setting": setting})
    if training.get("seed") != row["seed"]:
        raise DatabaseError(f"{where}: the seed of {what} is not that of its training: {EDITED}")
    check_seal(where, cells, row)
    return found


def check_episodes(where: str, cell: Row, found: Sequence[StoredEpisode]) -> None:
    """All episodes of a cell, in order: numbered from 0, with ids of 16 hex digits."""
    _agree(where, cell, "sha256", episodes_sha256(episode.counted for episode in found), "episodes")
    if not re.fullmatch("([0-9a-f]{16})*", "".join(episode.episode_id for episode in found), re.ASCII):
        raise DatabaseError(f"{where}: the id of an episode of cell {cell['key']} is not 16 hex digits: {EDITED}")
    if [episode.number for episode in found] != list(range(cell["n_episodes"])):
        raise DatabaseError(f"{where}: the episodes of cell {cell['key']} are not numbered from 0: {EDITED}")
    check_runs(where, cell, [(episode.run_id, episode.number + 1) for episode in found])


def check_runs(where: str, cell: Row, found: Sequence[tuple[int, int]]) -> None:
    """Which run made which episode of a cell, see `checksums.runs_sum`."""
    _agree(where, cell, "runs_sum", runs_sum("", found), "runs")


def check_answers(where: str, cell: Row, found: Mapping[int, bytes]) -> None:
    """All answers of a cell: as many labels as queries, each of a class of its episode."""
    _agree(where, cell, "answers_sum", answers_sum("", found.items()), "answers")
    n_way, n_queries = cell["n_way"], cell["n_way"] * cell["n_query"]
    n_bytes = n_queries * unpack_answers(b"", n_way).itemsize
    for number, labels in found.items():
        right = len(labels) == n_bytes and number < cell["n_episodes"]
        if not right or unpack_answers(labels, n_way).max() >= n_way:
            raise DatabaseError(
                f"{where}: the answers of cell {cell['key']}, episode {number}, are impossible: {EDITED}"
            )


def check_curves(where: str, training: Row, points: Sequence[Row]) -> None:
    """All points of a training's curves."""
    total = curves_sum("", [(point["iteration"], point["name"], point["value"]) for point in points])
    if training.get("curves_sum", total) != total:
        what = f"the curves of training {training['key']}"
        raise DatabaseError(f"{where}: {what} do not match their checksum: {EDITED}")


def _agree(where: str, cell: Row, column: str, found: str, what: str) -> None:
    if cell.get(column, found) != found:
        said = f"the {what} of cell {cell['key']} ({place_of(cell).name}) do not match their checksum"
        raise DatabaseError(f"{where}: {said}: {EDITED}")


def _identity(where: str, what: str, row: Row, named: Row) -> Row:
    """`named` is what other columns say of the identity."""
    found = _parsed(where, f"the identity of {what}", row["identity"])
    if digest(found)[:16] != row["key"]:
        raise DatabaseError(f"{where}: the identity of {what} does not match its key: {EDITED}")
    for name, value in named.items():
        if found.get(name) != value:
            raise DatabaseError(f"{where}: the {name} of {what} is not that of its identity: {EDITED}")
    return found


def _parsed(where: str, what: str, text: str) -> Row:
    """An object that a column holds as JSON; `what` names it."""
    try:
        found = parse_json(text)
    except ParseError:
        found = None
    if not isinstance(found, dict):
        raise DatabaseError(f"{where}: {what} cannot be read: {EDITED}")
    return found
