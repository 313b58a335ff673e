"""What a database holds as pandas tables: a row a cell, a row an episode, a row a point of a training's curve."""

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

import pandas as pd

from fewshot_bench.experiment.selection import Selection, names, numbers, path, place_of, text
from fewshot_bench.files import database_at
from fewshot_bench.results.exchange.export import words_of
from fewshot_bench.results.store.snapshot import Snapshot, snapshot
from fewshot_bench.results.store.whole import Row
from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.tables.summary import ends, interval_of

# in this order, with these dtypes; which words they are: `results`
CELL = {
    "cell": "str", "variant": "str", "method": "str", "n_way": "int64", "n_shot": "int64", "n_query": "int64",
    "seed": "int64", "split": "str", "label": "str", "cell_key": "str", "training_key": "str",
}  # fmt: skip
RESULTS = CELL | {
    "n_episodes": "int64", "accuracy": "float64", "half_width": "float64", "low": "float64", "high": "float64",
    "seconds": "float64", "reason": "str",
}  # fmt: skip
EPISODES = CELL | {
    "number": "int64", "episode_id": "str", "n_correct": "int64", "n_queries": "int64", "accuracy": "float64",
}  # fmt: skip
CURVES = {
    "training_key": "str", "method": "str", "seed": "int64", "iteration": "int64", "name": "str", "value": "float64",
}  # fmt: skip
Where = str | PathLike[str]  # a database's file or URL, or the folder that it is in
Words = str | Iterable[str]
Numbers = int | Iterable[int]


def results(
    where: Where, *, methods: Words = (), ways: Numbers = (), shots: Numbers = (), seeds: Numbers = (),
    matching: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The stored results: a row for each cell (one variant, setting and seed).

    Args:
        where: the folder of a run (`out`), a database's file, or its URL
        methods: only these variants
        ways: only these numbers of classes
        shots: only these numbers of support images per class
        seeds: only these training seeds
        matching: only cells whose name matches, in the words of `-k`

    Returns:
        These columns, in this order:

        - `cell` (text): its name, maml-5w1s-s0
        - `variant`, `method` (text): its name in bench.toml, and the method that it is a variant of
        - `n_way`, `n_shot`, `n_query` (int64): classes; support and query images per class
        - `seed` (int64): of its training
        - `split` (text): whose novel classes it was tested on
        - `label` (text): data set, split, protocol, budget and name that were asked for. One name at several budgets or
          by several rules is that many rows, which the label tells apart: choose by it before a mean is taken
        - `cell_key`, `training_key` (text, 16 hex digits): hashes of everything that can change the result
        - `n_episodes` (int64): stored test episodes
        - `accuracy` (float64): mean over episodes, a fraction of 1; NaN without episodes
        - `half_width` (float64): of its 95 % interval over episodes, a fraction of 1; NaN with fewer than two
        - `low`, `high` (float64): ends of that interval; near 0 and 1 not accuracy ± half_width
        - `seconds` (float64): of testing
        - `reason` (text): of a failure; empty where there was none

    Raises:
        DatabaseError: where there is no database, or a damaged one
        UsageError: for what is no path, name or whole number
    """
    selection = _selection(methods, ways, shots, seeds, matching)
    rows = []
    for stored, cell, words in _cells(where, selection):
        counted = [EpisodeResult(*episode.counted) for episode in stored.episodes(cell)]
        shown = interval_of(counted) if counted else (None, None, None)
        low, high = ends(*shown) or (None, None)
        facts = {name: cell[name] for name in ("n_episodes", "seconds", "reason")}
        rows.append(words | facts | {"accuracy": shown[0], "half_width": shown[1], "low": low, "high": high})
    return _frame(rows, RESULTS)


def episodes(
    where: Where, *, methods: Words = (), ways: Numbers = (), shots: Numbers = (), seeds: Numbers = (),
    matching: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The stored episodes, a row each; arguments and errors as in `results`.

    Returns:
        The first eleven columns of `results`, and:

        - `number` (int64): in the episode bank: 0, 1, 2, ... without gaps in each cell
        - `episode_id` (text, 16 hex digits): equal for all methods that faced the same images: merge on it, and before
          a pivot keep one `label` a name, or the `cell_key`s that `run` gave: of two budgets an episode is there twice
        - `n_correct`, `n_queries` (int64): correct answers, and queries
        - `accuracy` (float64): their quotient
    """
    selection = _selection(methods, ways, shots, seeds, matching)
    facts = ("number", "episode_id", "n_correct", "n_queries")
    return _frame(
        (
            words | {name: getattr(e, name) for name in facts} | {"accuracy": e.n_correct / e.n_queries}
            for stored, cell, words in _cells(where, selection)
            for e in stored.episodes(cell)
        ),
        EPISODES,
    )


def curves(
    where: Where, *, methods: Words = (), ways: Numbers = (), shots: Numbers = (), seeds: Numbers = (),
    matching: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The training curves behind the cells, a row for each point; arguments and errors as in `results`.

    Returns:
        These columns, in this order:

        - `training_key`, `method`, `seed`: as in `results`
        - `iteration` (int64): outer updates done
        - `name` (text): of what was logged, loss or another term
        - `value` (float64): its mean since the point before
    """
    selection = _selection(methods, ways, shots, seeds, matching)
    trainings: dict[str, list[dict[str, Any]]] = {}
    for stored, cell, words in _cells(where, selection):
        key = cell["training_key"]
        if key not in trainings:
            trainings[key] = [words | point for point in stored.curves(stored.trainings()[key])]
    return _frame((row for rows in trainings.values() for row in rows), CURVES)


def _selection(methods: Words, ways: Numbers, shots: Numbers, seeds: Numbers, matching: str | None) -> Selection:
    return Selection(
        methods=names("methods", methods), ways=numbers("ways", ways), shots=numbers("shots", shots),
        seeds=numbers("seeds", seeds), expression=None if matching is None else text("matching", matching),
    )  # fmt: skip


def _cells(where: Where, selection: Selection) -> Iterator[tuple[Snapshot, Row, dict[str, Any]]]:
    """Each chosen cell that is stored, the database that it is in, and the columns that say which cell it is."""
    wants = selection.wants
    with snapshot(database_at(path("where", where))) as stored:
        trainings = stored.trainings()
        for cell in stored.cells().values():
            if wants(place_of(cell)):
                yield stored, cell, words_of(cell, trainings[cell["training_key"]]) | {"cell": place_of(cell).name}


def _frame(rows: Iterable[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
