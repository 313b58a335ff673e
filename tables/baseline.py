"""Baselines: the accuracies that a later run is held against, as a small JSON document.

It keeps no episodes, only what can settle the question: a hash that is equal exactly when every count is, and
the mean, standard deviation and number of episodes that say how large a difference could be chance.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fewshot_bench.tables.scores import CellScore, EpisodeScore, Experiment, Results
from fewshot_bench.tables.statistics.sampler import Sample, sample

SCHEMA = 1
IDENTITY = (
    "dataset",
    "fingerprint",
    "split",
    "protocol",
    "budget",
)  # of Experiment; told, the cell keys decide


class BaselineError(ValueError):
    """A baseline that cannot be read or made: one line that says why."""


@dataclass(frozen=True)
class BaselineCell:
    """One stored accuracy."""

    variant: str
    n_way: int
    n_shot: int
    seed: int
    key: str
    n_episodes: int
    mean: float  # a fraction
    deviation: float | None  # a fraction, ddof = 1; None when n_episodes < 2
    episodes_sha256: str

    @property
    def place(self) -> tuple[str, int, int, int]:
        """Where it stands in a grid."""
        return self.variant, self.n_way, self.n_shot, self.seed

    @property
    def sample(self) -> Sample:
        """The same numbers as statistics."""
        return Sample(self.mean, self.deviation, self.n_episodes)


def make_baseline(results: Results) -> dict[str, Any]:
    """A document for `json.dump`, with every done cell; raises BaselineError where none is done."""
    cells = [stored_cell(cell) for cell in results.cells if cell.state == "done" and cell.episodes]
    if not cells:
        raise BaselineError("no complete cell: a baseline needs at least one")
    return {
        "schema": SCHEMA,
        "experiment": experiment_identity(results.experiment),
        "cells": [asdict(cell) for cell in cells],
    }


def stored_cell(cell: CellScore) -> BaselineCell:
    """What a baseline keeps of a cell that has episodes."""
    counted = sample([episode.accuracy for episode in cell.episodes])
    return BaselineCell(
        variant=cell.variant,
        n_way=cell.n_way,
        n_shot=cell.n_shot,
        seed=cell.seed,
        key=cell.key,
        n_episodes=counted.n,
        mean=counted.mean,
        deviation=counted.deviation,
        episodes_sha256=episodes_sha256(cell.episodes),
    )


def experiment_identity(experiment: Experiment) -> dict[str, str]:
    """The facts that name an experiment in a baseline."""
    return {name: getattr(experiment, name) for name in IDENTITY}


def episodes_sha256(episodes: Sequence[EpisodeScore]) -> str:
    """A hash over what was counted in each episode; independent of their order."""
    lines = sorted(f"{score.episode_id} {score.n_correct} {score.n_queries}\n" for score in episodes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_baseline(document: Any) -> tuple[dict[str, str], tuple[BaselineCell, ...]]:
    """The identity and the cells of a parsed document; raises BaselineError on one of another shape."""
    if not isinstance(document, Mapping) or "schema" not in document:
        raise BaselineError("not a baseline: no 'schema' in it")
    if document["schema"] != SCHEMA:
        raise BaselineError(f"baseline schema {document['schema']!r}: this version reads {SCHEMA}")
    try:
        identity = {name: str(document["experiment"][name]) for name in IDENTITY}
        cells = tuple(BaselineCell(**cell) for cell in document["cells"])
        for cell in cells:
            _check(cell)
    except (KeyError, TypeError) as error:
        raise BaselineError(f"not a baseline of schema {SCHEMA}: {error}") from error
    if len({cell.place for cell in cells}) < len(cells):
        raise BaselineError("a baseline with two accuracies for one cell")
    return identity, cells


def _check(cell: BaselineCell) -> None:
    """Refuse numbers that no run can have made: a comparison with NaN would come out as 'not worse'."""
    deviation = 0.0 if cell.deviation is None else cell.deviation
    if not (0.0 <= cell.mean <= 1.0 and 0.0 <= deviation <= 1.0 and cell.n_episodes >= 1):
        raise BaselineError(
            f"baseline of {cell.variant} {cell.n_way}-way {cell.n_shot}-shot seed {cell.seed} cannot be: "
            f"mean {cell.mean}, deviation {cell.deviation}, {cell.n_episodes} episodes"
        )
