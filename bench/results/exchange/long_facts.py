"""The JSON columns of the long form, checked: what a cell and a training are, and how they were made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from fewshot_bench.results.exchange.long_file import LARGEST, Field
from fewshot_bench.results.origin import Origin
from fewshot_bench.results.store.shapes import CELL, FACTS, LONGEST, STATES, TRAINING, Check, data_set_outline
from fewshot_bench.seeding import digest

MOST = 2**63 - 1
LONGEST_TEXT = 2**20  # letters
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


def training_facts(field: Field, value: Any) -> TrainingFacts:
    """Checks an object of the column training_facts. Raises UsageError."""
    facts = Facts(field, value)
    identity = facts.checked("identity", TRAINING)
    checkpoint = facts.text("checkpoint", "")
    state = facts.text("state", "finished" if checkpoint else "running")
    if state not in STATES:
        field.wrong(f"state must be one of {', '.join(STATES)}")
    if (state == "finished") != bool(SHA256.fullmatch(checkpoint)) or (checkpoint and state != "finished"):
        field.wrong("a training has a checkpoint (its SHA-256, 64 hex digits) when it is finished, and only then")
    named = Facts(field, identity, "identity.")
    values: dict[str, Any] = {"state": state, "checkpoint": checkpoint, "method": named.text("method")}
    values |= {name: named.integer(name) for name in ("iterations", "seed")}
    values |= {name: facts.integer(name, 0) for name in ("iteration", "images_seen", "peak_memory_bytes")}
    values |= {name: facts.text(name, "") for name in ("device", "reason")}
    values["seconds"] = facts.seconds()
    return TrainingFacts(_key(field, identity), identity, values, facts.origin("run"))


def cell_facts(field: Field, value: Any) -> CellFacts:
    """Checks an object of the column cell_facts. Raises UsageError."""
    facts = Facts(field, value)
    identity = facts.checked("identity", CELL)
    named = Facts(field, identity, "identity.")
    values: dict[str, Any] = {name: identity["setting"][name] for name in ("n_way", "n_shot", "n_query")}
    values |= {name: facts.text(name) for name in ("variant", "label")}
    values |= {name: facts.text(name, "") for name in ("command", "reason")}
    values["seconds"] = facts.seconds()
    return CellFacts(
        key=_key(field, identity),
        training_key=named.text("training"),
        identity=identity,
        values=values,
        run=facts.origin("run"),
        runs=_runs(field, facts.array("runs")),
    )


@dataclass(frozen=True)
class DataSetFacts:
    """What a file says of a data set."""

    fingerprint: str
    source: str
    outline: dict[str, Any]
    run: Origin | None


def data_set_facts(field: Field, value: Any) -> DataSetFacts:
    """Checks an entry of data_sets in the column unmeasured. Raises UsageError."""
    facts = Facts(field, value)
    fingerprint = facts.text("fingerprint")
    if not 0 < len(fingerprint) <= 64:
        field.wrong("fingerprint must be a SHA-256")
    outlined = facts.checked("outline", data_set_outline)
    return DataSetFacts(fingerprint, facts.text("source"), outlined, facts.origin("run"))


def curve_points(field: Field, value: Any, training_key: str) -> list[dict[str, Any]]:
    """Checks an object of the column curves; returns rows of the table of that name. Raises UsageError."""
    found = {}
    for name in (curves := Facts(field, value)).names():
        for point in curves.array(name):
            if not isinstance(point, list) or len(point) != 2 or not 0 < len(name) <= 50:
                field.wrong("it must be {name: [[iteration, value], ...]}")
            both = Facts(field, dict(zip(("iteration", "value"), point, strict=True)), "a point's ")
            iteration = both.integer("iteration", most=LARGEST)
            if (name, iteration) in found:
                field.wrong(f"{name} has two points of iteration {iteration}")
            found[name, iteration] = {
                "training_key": training_key,
                "iteration": iteration,
                "name": name,
                "value": both.number("value"),
            }
    return list(found.values())


def _runs(field: Field, pairs: list[Any]) -> tuple[tuple[int, Origin | None], ...]:
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            field.wrong("runs must be [[first episode, run], ...]")
        both = Facts(field, {"episode": pair[0], "run": pair[1]}, "runs: ")
        found.append((both.integer("episode"), both.origin("run")))
        if found[-1][0] <= (found[-2][0] if len(found) > 1 else -1):
            field.wrong("runs must go up from episode to episode")
    return tuple(found)


def _key(field: Field, identity: dict[str, Any]) -> str:
    try:
        return digest(identity)[:16]
    except ValueError:
        field.wrong("identity must hold finite numbers")


class Facts:
    """A JSON object whose values are asked for by name and kind; each method raises UsageError for another kind."""

    def __init__(self, field: Field, value: Any, within: str = "") -> None:
        if not isinstance(value, dict):
            field.wrong(f"{within.rstrip('.') or 'it'} must be a JSON object")
        self._field, self._value, self._within = field, value, within

    def names(self) -> list[str]:
        """Every name."""
        return [self._checked(name, name) for name in self._value]

    def text(self, name: str, default: str | None = None) -> str:
        """Text that a database can hold."""
        value = self._get(name, default)
        if not isinstance(value, str) or len(value) > LONGEST.get(name, LONGEST_TEXT):
            self._wrong(name, "must be text, and not too long")
        return self._checked(name, value)

    def integer(self, name: str, default: int | None = None, most: int = MOST) -> int:
        """A whole number from 0 to `most`."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            self._wrong(name, f"must be a whole number from 0 to {most}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Any finite number."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > MOST or math.isnan(value):
            self._wrong(name, "must be a finite number")
        return float(value)

    def seconds(self) -> float:
        """The value of `seconds`."""
        if (value := self.number("seconds", 0.0)) < 0:
            self._wrong("seconds", "must not be negative")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A JSON object."""
        value = self._get(name, None)
        if not isinstance(value, dict):
            self._wrong(name, "must be a JSON object")
        return value

    def checked(self, name: str, shape: Check) -> dict[str, Any]:
        """A JSON object of a shape."""
        value = self.mapping(name)
        if what := shape(value):
            self._wrong(name, f"cannot be: {what}")
        return value

    def array(self, name: str) -> list[Any]:
        """A list, empty if there is none; what stands in it is checked by who reads it."""
        value = self._value.get(name, [])
        if not isinstance(value, list):
            self._wrong(name, "must be a list")
        return value

    def origin(self, name: str) -> Origin | None:
        """How something was made, in the words of `origin.origin`; None where it is not said."""
        value = self._value.get(name)
        if value is None:
            return None
        run = Facts(self._field, value, f"{self._within}{name}.")
        made: Origin = {part: run.text(part) for part in ("started_at", "command", "git_commit")}
        facts = Facts(self._field, run.checked("facts", FACTS), f"{self._within}{name}.facts.")
        dirty = value.get("git_dirty")
        if not (dirty is None or isinstance(dirty, bool)) or len(made["git_commit"]) > 40:
            self._wrong(name, "names no commit")
        return made | {"git_dirty": dirty, "facts": {fact: facts.text(fact) for fact in facts.names()}}

    def _get(self, name: str, default: Any) -> Any:
        value = self._value.get(name, default)
        if value is None:
            self._wrong(name, "is missing")
        return value

    def _checked(self, name: str, text: str) -> str:
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):  # half of a pair is no character
            self._wrong(ascii(name), "holds what is no character")
        return text

    def _wrong(self, name: str, what: str) -> NoReturn:
        self._field.wrong(f"{self._within}{name} {what}")
