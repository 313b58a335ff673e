"""What the JSON columns of a file in long form say, wherever they stand in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewshot_bench.errors import UsageError
from fewshot_bench.results.exchange.long_facts import (
    CellFacts,
    DataSetFacts,
    Facts,
    TrainingFacts,
    cell_facts,
    curve_points,
    data_set_facts,
    training_facts,
)
from fewshot_bench.results.exchange.long_file import Field, read_rows
from fewshot_bench.results.store.snapshot import Snapshot
from fewshot_bench.results.store.whole import Row


@dataclass
class Described:
    """What the JSON columns say, wherever they stand, and the database where they are silent."""

    cells: dict[str, CellFacts] = field(default_factory=dict)
    trainings: dict[str, TrainingFacts] = field(default_factory=dict)
    curves: dict[str, list[Row]] = field(default_factory=dict)  # by training
    data_sets: dict[str, DataSetFacts] = field(default_factory=dict)  # by fingerprint

    def add_cell(self, place: Field, value: Any, key: str | None = None) -> None:
        """Raises UsageError where it is another cell's, or said otherwise before."""
        found = cell_facts(place, value)
        if key is not None and found.key != key:
            place.wrong(f"the identity in it is that of cell {found.key}, not {key}: one of both was changed")
        if self.cells.setdefault(found.key, found) != found:
            place.wrong(f"it differs from what an earlier row says of cell {found.key}")

    def add_training(self, place: Field, value: Any) -> TrainingFacts:
        """Raises UsageError where it was said otherwise before."""
        found = training_facts(place, value)
        if self.trainings.setdefault(found.key, found) != found:
            place.wrong(f"it differs from what an earlier row says of training {found.key}")
        return found

    def add_curves(self, place: Field, value: Any, key: str) -> None:
        """Raises UsageError where it was said otherwise before."""
        found = curve_points(place, value, key)
        if self.curves.setdefault(key, found) != found:
            place.wrong(f"it differs from what an earlier row says of training {key}")

    def add_unmeasured(self, place: Field) -> None:
        """Cells and trainings of which there are no rows, and data sets."""
        both = Facts(place, place.json())
        for value in both.array("cells"):
            self.add_cell(place, value)
        for value in both.array("trainings"):
            key = self.add_training(place, value).key
            self.add_curves(place, value.get("curves", {}), key)
        for value in both.array("data_sets"):
            found = data_set_facts(place, value)
            self.data_sets[found.fingerprint] = found


def describe(path: Path, known: Snapshot) -> Described:
    """What all rows say; for cells that they do not describe, what the known database says.

    Raises UsageError for JSON that is wrong, or contradicts itself, and for cells that nothing describes.
    """
    described = Described()
    first: dict[str, Field] = {}  # cell -> where it first stands
    for row in read_rows(path):
        key = row["cell_key"].key()
        first.setdefault(key, row["cell_key"])
        if place := row.get("cell_facts"):
            described.add_cell(place, place.json(), key)
        if place := row.get("training_facts"):
            training = described.add_training(place, place.json())
            if place := row.get("curves"):
                described.add_curves(place, place.json(), training.key)
        if place := row.get("unmeasured"):
            described.add_unmeasured(place)
    if not first:
        raise UsageError(f"{path}: it has no rows")
    _ask_the_database(described, first, known)
    return described


def _ask_the_database(described: Described, first: dict[str, Field], known: Snapshot) -> None:
    known_cells, known_trainings = known.cells(), known.trainings()
    for key, place in first.items():
        if key not in described.cells:
            if key not in known_cells:
                place.wrong(f"neither the file (column cell_facts) nor the database says what cell {key} is")
            described.cells[key] = _known_cell(known_cells[key])
    for cell in described.cells.values():
        if (key := cell.training_key) in described.trainings:
            continue
        if key not in known_trainings:
            place = first.get(cell.key, next(iter(first.values())))
            place.wrong(f"neither the file (column training_facts) nor the database says what training {key} is")
        described.trainings[key] = _known_training(known_trainings[key])


def _known_cell(row: Row) -> CellFacts:
    names = ("variant", "label", "n_way", "n_shot", "n_query", "command", "seconds", "reason")
    values = {name: row[name] for name in names}
    return CellFacts(row["key"], row["training_key"], json.loads(row["identity"]), values, None, ())


def _known_training(row: Row) -> TrainingFacts:
    identity = json.loads(row["identity"])
    values = {name: value for name, value in row.items() if name not in ("key", "identity", "run_id")}
    return TrainingFacts(row["key"], identity, values | {"seed": identity["seed"]}, None)
