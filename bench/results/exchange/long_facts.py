"""What the JSON columns of a file in long form say, wherever they stand in it; each is checked where it stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewshot_bench.errors import UsageError
from fewshot_bench.results.exchange.long_file import LARGEST, Field, read_rows
from fewshot_bench.results.provenance import Origin
from fewshot_bench.results.store.shapes import (
    CELL,
    FACTS,
    LONGEST,
    STATES,
    TRAINING,
    Check,
    data_set_outline,
    fields,
    table,
    whole,
)
from fewshot_bench.results.store.snapshot import Snapshot
from fewshot_bench.results.store.whole import Row
from fewshot_bench.seeding import digest

MOST = 2**63 - 1
LONGEST_TEXT = 2**20  # letters
LONGEST_NAME = 50  # of a loss
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class TrainingFacts:
    """What a file says of a training, or the database of one it knows."""

    key: str
    identity: dict[str, Any]
    values: dict[str, Any]  # other columns of the table `trainings`, and the seed
    run: Origin | None


@dataclass(frozen=True)
class CellFacts:
    """What a file says of a cell, or the database of one it knows."""

    key: str
    training_key: str
    identity: dict[str, Any]
    values: dict[str, Any]  # other columns of the table `cells`
    run: Origin | None
    runs: tuple[tuple[int, Origin | None], ...]  # from which episode on which run made them

    @property
    def n_queries(self) -> int:
        """Of each of its episodes."""
        return int(self.values["n_way"]) * int(self.values["n_query"])


@dataclass(frozen=True)
class DataSetFacts:
    """What a file says of a data set."""

    fingerprint: str
    source: str
    outline: dict[str, Any]
    run: Origin | None


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
        both = place.json()
        _require(place, both, fields({}, dict.fromkeys(("cells", "trainings", "data_sets"), _a_list)))
        for value in both.get("cells", ()):
            self.add_cell(place, value)
        for value in both.get("trainings", ()):
            key = self.add_training(place, value).key
            self.add_curves(place, value.get("curves", {}), key)
        for value in both.get("data_sets", ()):
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


def training_facts(field: Field, value: Any) -> TrainingFacts:
    """Checks an object of the column training_facts. Raises UsageError."""
    _require(field, value, _TRAINING)
    identity, checkpoint = value["identity"], value.get("checkpoint", "")
    state = value.get("state", "finished" if checkpoint else "running")
    if (state == "finished") != bool(SHA256.fullmatch(checkpoint)) or (checkpoint and state != "finished"):
        field.wrong("a training has a checkpoint (its SHA-256, 64 hex digits) when it is finished, and only then")
    values = {name: identity[name] for name in ("method", "iterations", "seed")}
    values |= {name: value.get(name, 0) for name in ("iteration", "images_seen", "peak_memory_bytes")}
    values |= {name: value.get(name, "") for name in ("device", "reason")}
    values |= {"state": state, "checkpoint": checkpoint, "seconds": float(value.get("seconds", 0))}
    return TrainingFacts(_key(field, identity), identity, values, _origin(value.get("run")))


def cell_facts(field: Field, value: Any) -> CellFacts:
    """Checks an object of the column cell_facts. Raises UsageError."""
    _require(field, value, _CELL)
    identity = value["identity"]
    values = {name: identity["setting"][name] for name in ("n_way", "n_shot", "n_query")}
    values |= {name: value.get(name, "") for name in ("variant", "label", "command", "reason")}
    values |= {"seconds": float(value.get("seconds", 0))}
    runs = tuple((first, _origin(run)) for first, run in value.get("runs", ()))
    return CellFacts(_key(field, identity), identity["training"], identity, values, _origin(value.get("run")), runs)


def data_set_facts(field: Field, value: Any) -> DataSetFacts:
    """Checks an entry of data_sets in the column unmeasured. Raises UsageError."""
    _require(field, value, _DATA_SET)
    return DataSetFacts(value["fingerprint"], value["source"], value["outline"], _origin(value.get("run")))


def curve_points(field: Field, value: Any, training_key: str) -> list[dict[str, Any]]:
    """Checks an object of the column curves; returns rows of the table of that name. Raises UsageError."""
    _require(field, value, table)
    _require(field, value, fields(dict.fromkeys(value, _a_list)))
    found = {}
    for name, point in ((name, point) for name, points in value.items() for point in points):
        if not isinstance(point, list) or len(point) != 2 or not name or _text(LONGEST_NAME)(name):
            field.wrong("it must be {name: [[iteration, value], ...]}")
        if what := whole(0, LARGEST)(point[0]):
            field.wrong(f"a point's iteration {what}")
        if what := _number(-MOST)(point[1]):
            field.wrong(f"a point's value {what}")
        if (name, point[0]) in found:
            field.wrong(f"{name} has two points of iteration {point[0]}")
        row = {"training_key": training_key, "iteration": point[0], "name": name, "value": float(point[1])}
        found[name, point[0]] = row
    return list(found.values())


def _require(field: Field, value: Any, shape: Check) -> None:
    """Raise UsageError where an object of JSON is not of a shape."""
    if what := shape(value):
        field.wrong(what if isinstance(value, dict) else f"it {what}")


def _origin(value: Any) -> Origin | None:
    """How something was made, in the words of `provenance.origin`; None where it is not said."""
    names = ("started_at", "command", "git_commit", "facts")
    return None if value is None else {name: value[name] for name in names} | {"git_dirty": value.get("git_dirty")}


def _key(field: Field, identity: dict[str, Any]) -> str:
    try:
        return digest(identity)[:16]
    except ValueError:
        field.wrong("identity must hold finite numbers")


def _text(longest: int) -> Check:
    """Text that a database can hold."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest:
            return f"must be text of at most {longest} letters"
        strange = "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)  # half of a pair
        return "holds what is no character" if strange else ""

    return check


def _number(low: int) -> Check:
    def check(value: Any) -> str:
        right = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= MOST
        return "" if right else "must be a finite number" + " from 0" * (low == 0)

    return check


def _a_list(value: Any) -> str:
    """A list; what stands in it is checked by who reads it."""
    return "" if isinstance(value, list) else "must be a list"


def _facts(value: Any) -> str:
    return FACTS(value) or next(filter(None, (TEXT(text) for pair in value.items() for text in pair)), "")


def _run(value: Any) -> str:
    return "" if value is None else _RUN(value)


def _runs(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        return "must be [[first episode, run], ...]"
    if what := next(filter(None, (whole(0, MOST)(first) or _run(run) for first, run in value)), ""):
        return f"has an entry that cannot be: {what}"
    numbers = [first for first, _ in value]
    return "" if numbers == sorted(set(numbers)) else "must go up from episode to episode"


TEXT = _text(LONGEST_TEXT)
_RUN = fields(
    {"started_at": _text(LONGEST["started_at"]), "command": TEXT, "git_commit": _text(LONGEST["git_commit"]),
     "facts": _facts},
    {"git_dirty": lambda v: "" if v is None or isinstance(v, bool) else "must be true, false or null"},
)  # fmt: skip
_METHOD = fields({"method": _text(LONGEST["method"])})
_TRAINING = fields(
    {"identity": lambda v: TRAINING(v) or _METHOD(v)},
    dict.fromkeys(("iteration", "images_seen", "peak_memory_bytes"), whole(0, MOST))
    | {"state": lambda v: "" if v in STATES else f"must be one of {', '.join(STATES)}", "checkpoint": TEXT,
       "device": _text(LONGEST["device"]), "reason": TEXT, "seconds": _number(0), "run": _run},
)  # fmt: skip
_CELL = fields(
    {"identity": lambda v: CELL(v) or TEXT(v["training"]), "variant": _text(LONGEST["variant"]),
     "label": _text(LONGEST["label"])},
    {"command": TEXT, "reason": TEXT, "seconds": _number(0), "run": _run, "runs": _runs},
)  # fmt: skip
_DATA_SET = fields(
    {"fingerprint": lambda v: _text(64)(v) or ("" if v else "must be a SHA-256"), "source": TEXT,
     "outline": data_set_outline},
    {"run": _run},
)  # fmt: skip
