"""The alarms of a database alone, for `bench status`: no data set, no models, no torch."""

import dataclasses
from collections import defaultdict
from itertools import combinations
from typing import Any

from fewshot_bench.errors import DatabaseError
from fewshot_bench.experiment.records import Answers, StoredTraining, n_right, unpack_answers
from fewshot_bench.experiment.selection import place_of
from fewshot_bench.results.store import Reader
from fewshot_bench.results.store.reading import Counts
from fewshot_bench.tables.alarms.alarm import EDITED, ONE_SEED, Alarm, name
from fewshot_bench.tables.alarms.checks import checks
from fewshot_bench.tables.scores import CellScore, EpisodeResult

MOST_EPISODES = 100_000  # that are read in about a second


def overview(database: str) -> tuple[Counts, list[dict[str, Any]], tuple[Alarm, ...] | None]:
    """How much is stored, a short record of each cell, and what is strange, see `stored_alarms`."""
    reader = Reader(database)
    counts = reader.counts()
    return counts, reader.all_cells(), stored_alarms(reader, counts.episodes)


def stored_alarms(reader: Reader, n_episodes: int) -> tuple[Alarm, ...] | None:
    """What is strange in the stored counts and weights, table by table.

    Cells of one data set, split, protocol and budget are a table; of several results under one name the latest run's
    is looked at. Weights are compared between seeds only: two variants may differ in what is done at test. None where
    there are too many episodes (n_episodes in all) to read them at a glance.
    """
    if n_episodes > MOST_EPISODES:
        return None
    try:
        tables = _tables(reader)
    except DatabaseError as error:
        advice = "move it away, or restore a copy"
        return (Alarm("damaged", "episodes", str(error).partition(";")[0], advice), *_equal_weights(reader))
    found = [
        dataclasses.replace(alarm, where=alarm.where + (f" ({table})" if len(tables) > 1 else ""))
        for table, cells in tables.items()
        for check in checks(cells)
        for alarm in check.alarms
    ]
    cells = [cell for cells in tables.values() for cell in cells]
    return (*found, *_contradicted(cells, reader), *_equal_weights(reader))


def _contradicted(cells: list[CellScore], reader: Reader) -> list[Alarm]:
    """Cells whose stored answers give other counts than are stored; the queries stand label by label."""
    answers, found = reader.answers(cell.key for cell in cells), []
    for cell in cells:
        kept = answers[cell.key]
        wrong = [
            e for e in cell.episodes if e.number in kept and _n_right(kept[e.number], cell.n_way, e) != e.n_correct
        ]
        if wrong:
            text = f"the stored answers of episode {wrong[0].number} give another count than its {wrong[0].n_correct}"
            found.append(Alarm("contradicted", name(cell), text, EDITED))
    return found


def _n_right(answers: Answers, n_way: int, episode: EpisodeResult) -> int:
    """-1 where they are not one for each query."""
    labels = unpack_answers(answers, n_way)
    return n_right(labels, n_way) if len(labels) == episode.n_queries else -1


def _tables(reader: Reader) -> dict[str, list[CellScore]]:
    """ "strokes paper single quick" -> its cells."""
    rows = sorted(reader.all_cells(), key=lambda row: int(row["run_id"]))
    latest = {row["label"]: row for row in rows if row["n_episodes"]}
    episodes = reader.episodes(row["key"] for row in latest.values())
    tables: dict[str, list[CellScore]] = defaultdict(list)
    for label, row in latest.items():
        cell = CellScore(*place_of(row), row["key"], "done", episodes=episodes[row["key"]])
        tables[label.rsplit(" ", 1)[0]].append(cell)
    return tables


def _equal_weights(reader: Reader) -> list[Alarm]:
    """Trainings of different seeds that ended in the same weights."""
    found, by_weights = [], defaultdict[str, list[StoredTraining]](list)
    for training in reader.trainings().values():
        if training.checkpoint:
            by_weights[training.checkpoint].append(training)
    for a, b in (pair for equal in by_weights.values() for pair in combinations(equal, 2)):
        seeds = (a.identity["seed"], b.identity["seed"])
        if seeds[0] != seeds[1]:
            where = f"{a.method} seeds {min(seeds)} and {max(seeds)}"
            found.append(Alarm("equal seeds", where, f"trainings {a.key} and {b.key} have equal weights", ONE_SEED))
    return found
