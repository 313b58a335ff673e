"""Baselines: what a later run is held against, as a small JSON document.

Schema 2 keeps what was counted in each episode, so that a check pairs episode by episode. Schema 1 kept a hash, the
mean and the standard deviation; it is still read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

from fewshot_bench.tables.scores import COUNTED, CellScore, EpisodeResult, Experiment, Results
from fewshot_bench.tables.statistics.changes import Sample, sample
from fewshot_bench.tables.wording import cell_name, setting_name

SCHEMA = 2
IDENTITY = ("dataset", "fingerprint", "split", "protocol", "budget")  # of Experiment; told, the cells' keys decide
Place = tuple[str, int, int, int]  # variant, n_way, n_shot, seed


class BaselineError(ValueError):
    """A baseline that cannot be read or made: one line that says why."""


@dataclass(frozen=True)
class BaselineCell:
    """One stored accuracy."""

    score: CellScore  # without episodes, and of no lineage, in schema 1
    accuracy: Sample
    episodes_sha256: str

    @property
    def place(self) -> Place:
        """See `CellScore.place`."""
        return self.score.place


@dataclass(frozen=True)
class Baseline:
    """Stored accuracies, and the facts that name their experiment."""

    identity: dict[str, str]
    cells: tuple[BaselineCell, ...]


def stored_cell(cell: CellScore) -> BaselineCell:
    """What a check needs of a cell that has episodes."""
    score = CellScore(*cell.place, cell.key, "done", episodes=cell.episodes, lineage=cell.lineage, weights=cell.weights)
    return BaselineCell(score, sample([episode.accuracy for episode in cell.episodes]), episodes_sha256(cell.episodes))


def baseline_of(results: Results) -> Baseline:
    """Results of another database as a baseline: every cell that has episodes, unless it failed."""
    counted = [cell for cell in results.cells if cell.state in COUNTED and cell.episodes]
    return Baseline(experiment_identity(results.experiment), tuple(stored_cell(cell) for cell in counted))


def experiment_identity(experiment: Experiment) -> dict[str, str]:
    """The facts that name an experiment in a baseline."""
    return {name: getattr(experiment, name) for name in IDENTITY}


def episodes_sha256(episodes: Sequence[EpisodeResult]) -> str:
    """A hash over what was counted in each episode; independent of their order."""
    lines = sorted(f"{score.episode_id} {score.n_correct} {score.n_queries}\n" for score in episodes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def make_baseline(results: Results) -> dict[str, Any]:
    """A document of schema 2 with every done cell; raises BaselineError where none is done.

    A setting's episodes stand once, as [number, id, queries]; a cell has how many queries were right in each, null
    where it lacks the episode.
    """
    done = [cell for cell in results.cells if cell.state == "done" and cell.episodes]
    if not done:
        raise BaselineError("no complete cell: a baseline needs at least one")
    banks: dict[tuple[int, int], dict[str, EpisodeResult]] = {}
    for cell in done:
        banks.setdefault((cell.n_way, cell.n_shot), {}).update({e.episode_id: e for e in cell.episodes})
    for setting, bank in banks.items():
        banks[setting] = dict(sorted(bank.items(), key=lambda item: (item[1].number, item[0])))
    return {
        "schema": SCHEMA,
        "experiment": experiment_identity(results.experiment),
        "settings": [
            {"n_way": way, "n_shot": shot, "episodes": [[e.number, e.episode_id, e.n_queries] for e in bank.values()]}
            for (way, shot), bank in sorted(banks.items())
        ],
        "cells": sorted(
            (_cell_document(cell, banks[cell.n_way, cell.n_shot]) for cell in done),
            key=lambda cell: (cell["variant"], cell["n_way"], cell["n_shot"], cell["seed"]),
        ),
    }


def _cell_document(cell: CellScore, bank: Mapping[str, EpisodeResult]) -> dict[str, Any]:
    correct = {episode.episode_id: episode.n_correct for episode in cell.episodes}
    names = ("variant", "n_way", "n_shot", "seed", "key", "lineage")
    return {name: getattr(cell, name) for name in names} | {"correct": [correct.get(name) for name in bank]}


def baseline_text(document: Mapping[str, Any]) -> str:
    """The document as JSON, one setting and one cell a line, so that a change reads well in a diff."""
    parts = [f' "schema": {document["schema"]}', f' "experiment": {json.dumps(document["experiment"])}']
    for name in ("settings", "cells"):
        lines = ",\n  ".join(json.dumps(line, separators=(",", ":")) for line in document[name])
        parts.append(f' "{name}": [\n  {lines}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read_baseline(document: Any) -> Baseline:
    """A parsed document; raises BaselineError on one of another shape."""
    if not isinstance(document, Mapping) or "schema" not in document:
        raise BaselineError("not a baseline: no 'schema' in it")
    schema = document["schema"]
    if schema not in (1, SCHEMA):
        raise BaselineError(f"baseline schema {schema!r}: this version reads 1 and {SCHEMA}")
    try:
        identity = {name: str(document["experiment"][name]) for name in IDENTITY}
        cells = _read_summaries(document) if schema == 1 else _read_episodes(document)
    except BaselineError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise BaselineError(f"not a baseline of schema {schema}: {error}") from error
    if len({cell.place for cell in cells}) < len(cells):
        raise BaselineError("a baseline with two accuracies for one cell")
    return Baseline(identity, cells)


def _read_episodes(document: Mapping[str, Any]) -> tuple[BaselineCell, ...]:
    banks = {(setting["n_way"], setting["n_shot"]): _bank(setting) for setting in document["settings"]}
    cells = []
    for stored in document["cells"]:
        place, correct = _place(stored), stored["correct"]
        bank = banks[place[1:3]]
        episodes = tuple(
            EpisodeResult(number, name, index(right), n_queries)
            for (number, name, n_queries), right in zip(bank, correct, strict=False)
            if right is not None
        )
        if not episodes or len(bank) != len(correct) or not all(0 <= e.n_correct <= e.n_queries for e in episodes):
            raise BaselineError(f"baseline of {cell_name(*place)} is impossible: {correct}")
        cell = CellScore(*place, str(stored["key"]), "done", episodes=episodes, lineage=str(stored["lineage"]))
        cells.append(stored_cell(cell))
    return tuple(cells)


def _bank(setting: Mapping[str, Any]) -> list[tuple[int, str, int]]:
    """A setting's episodes: number, id and how many queries."""
    rows = [(index(number), str(name), index(n_queries)) for number, name, n_queries in setting["episodes"]]
    if len({name for _, name, _ in rows}) < len(rows) or not all(n_queries > 0 for _, _, n_queries in rows):
        raise BaselineError(
            f"baseline's episodes of {setting_name(setting['n_way'], setting['n_shot'])} are impossible"
        )
    return rows


def _read_summaries(document: Mapping[str, Any]) -> tuple[BaselineCell, ...]:
    cells = []
    for stored in document["cells"]:
        place = _place(stored)
        mean, deviation, n = stored["mean"], stored["deviation"], index(stored["n_episodes"])
        # a comparison with NaN would come out as "not worse"
        if not (0.0 <= mean <= 1.0 and 0.0 <= (deviation or 0.0) <= 1.0 and n >= 1):
            raise BaselineError(
                f"baseline of {cell_name(*place)} is impossible: mean {mean}, deviation {deviation}, {n} episodes"
            )
        accuracy = Sample(mean, deviation, n)
        score = CellScore(*place, str(stored["key"]), "done")
        cells.append(BaselineCell(score, accuracy, str(stored["episodes_sha256"])))
    return tuple(cells)


def _place(stored: Mapping[str, Any]) -> Place:
    return str(stored["variant"]), index(stored["n_way"]), index(stored["n_shot"]), index(stored["seed"])
