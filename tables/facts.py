"""The facts that a rendered table carries beside its numbers, so that `bench verify` can read them again.

Each is one line of ASCII JSON: a comment in LaTeX, an attribute in HTML.
"""

import json
from collections.abc import Sequence
from typing import Any

from fewshot_bench.tables.scores import Experiment
from fewshot_bench.tables.summary import Cell, Row

SCHEMA = 1  # raise it when a reader of the facts must change


def of_table(experiment: Experiment) -> str:
    """What the whole table comes from."""
    return _line(
        schema=SCHEMA,
        command=experiment.command,
        dataset=experiment.dataset,
        fingerprint=experiment.fingerprint,
        split=experiment.split,
        commit=experiment.facts.get("commit", ""),
    )


def of_row(row: Row, n: str, disjoint: str) -> str:
    """A setting, with its counts as they are shown."""
    return _line(n_way=row.n_way, n_shot=row.n_shot, n=n, disjoint=disjoint)


def of_cell(cell: Cell, shown: str) -> str:
    """One number: where it is stored, what it was computed to, and how it is shown."""
    return _line(
        variant=cell.variant,
        n_way=cell.n_way,
        n_shot=cell.n_shot,
        keys=list(cell.keys),
        state=cell.state,
        n=cell.n_episodes,
        mean=cell.mean,
        sd=cell.deviation,
        half_width=cell.half_width,
        shown=shown,
    )


def of_published(table_id: str, n_way: int, n_shot: int, shown: Sequence[str]) -> str:
    """A row of a paper's table."""
    return _line(table=table_id, n_way=n_way, n_shot=n_shot, shown=list(shown))


def _line(**facts: Any) -> str:
    return json.dumps(facts, ensure_ascii=True, allow_nan=False)
