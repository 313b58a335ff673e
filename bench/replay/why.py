"""Why a result is not up to date: which fields of its identity changed, in dotted names."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewshot_bench.errors import NothingSelected
from fewshot_bench.experiment.choosing import choose, configured
from fewshot_bench.experiment.selection import Selection, place_named, place_of
from fewshot_bench.files import database
from fewshot_bench.methods.registry import method_names
from fewshot_bench.results.store import Reader

Row = dict[str, Any]  # see Reader.all_cells

ABSENT = "(none)"  # the value of a field that one of two identities does not have
MEANING = {
    "training.versions": "the code's version",
    "training.fingerprint": "the images",
    "bank": "the episode bank's version and seed",
}


@dataclass(frozen=True)
class Change:
    """One field of an identity."""

    field: str  # dotted: "training.settings.inner_lr_per_way"
    old: Any
    new: Any
    meaning: str  # in words, where the name does not say it

    @property
    def words(self) -> str:
        """ "0.1 -> 0.2  (what that is)"."""
        return f"{_shown(self.old)} -> {_shown(self.new)}" + (f"  ({self.meaning})" if self.meaning else "")


@dataclass(frozen=True)
class Identified:
    """A cell, and everything that can change its result."""

    key: str
    fields: Mapping[str, Any]  # dotted names
    label: str  # what was asked for, in names
    n_episodes: int  # stored, or wanted
    reason: str = ""  # of a failure
    run: int = 0  # that last worked on it; the higher, the newer


@dataclass(frozen=True)
class Answer:
    """A wanted cell against the nearest stored one."""

    cell: str  # maml-5w1s-s0
    wanted: str  # its key
    configured: bool  # whether the configuration asks for it; else it is a stored one that nothing asks for
    near: str | None  # the key of the stored cell that it was compared with
    held: str  # what is stored under that key
    changes: tuple[Change, ...]  # from there to what is wanted

    @property
    def up_to_date(self) -> bool:
        """Whether it is stored itself."""
        return self.wanted == self.near

    @property
    def same_training(self) -> bool:
        """Whether only the test differs."""
        return not any(change.field.startswith("training.") for change in self.changes)


def why(cell: str, selection: Selection) -> Answer:
    """What changed since a result was stored.

    cell: its key or the beginning of it, or the name of a cell of the configuration
    Raises NothingSelected where nothing is called so.
    """
    config = configured(selection, method_names())
    reader = Reader(database(selection.out or Path(config.run.out)))
    rows = reader.all_cells()
    row = _stored(rows, cell, config.methods)
    name = place_of(row).name if row else cell
    current = _current(name, config.methods, selection)
    if not row and not current:
        raise NothingSelected(f"no cell is called {cell!r}, and no key begins so; `bench status -v` lists those stored")
    return _answer(reader, rows, name, row, current)


def _stored(rows: list[Row], cell: str, configured: dict[str, Any]) -> Row | None:
    """The stored cell that a key, its beginning, or a name that the configuration no longer has stands for."""
    asked = place_named(cell)
    if asked and asked.variant in configured:
        return None
    found = [row for row in rows if (place_of(row).name == cell if asked else row["key"].startswith(cell))]
    if len(found) > 1:
        keys = " ".join(row["key"] for row in found)
        raise NothingSelected(f"{cell!r} stands for more than one stored cell: {keys}")
    return found[0] if found else None


def _current(name: str, configured: dict[str, Any], selection: Selection) -> Identified | None:
    """The cell that the configuration, with the options, means by a name; None if it has none."""
    asked = place_named(name)
    if not asked or asked.variant not in configured:
        return None
    place = replace(selection, methods=(asked.variant,), ways=(asked.n_way,), shots=(asked.n_shot,))
    chosen = choose(replace(place, seeds=(asked.seed,)))
    (cell,) = chosen.cells
    return Identified(cell.key, fields_of(cell.training.identity, cell.identity), chosen.label(cell), cell.n_episodes)


def _answer(reader: Reader, rows: list[Row], name: str, row: Row | None, current: Identified | None) -> Answer:
    """What is wanted (what the configuration asks for, else the stored cell itself) against what is stored."""
    own = _identified(reader, row) if row else None
    if own and current:
        return explain(name, current, own)
    wanted, place = current or own, place_of(row) if row else place_named(name)
    assert wanted
    assert place
    like = [_identified(reader, r) for r in rows if r is not row and place_of(r)[1:3] == place[1:3]]
    method = wanted.fields["training.method"]
    near = nearest(wanted, [c for c in like if c.fields["training.method"] == method])
    return explain(name, wanted, near, configured=current is not None)


def _identified(reader: Reader, row: Row) -> Identified:
    facts = reader.cell(row["key"])
    return Identified(
        key=row["key"],
        fields=fields_of(facts.training["identity"], facts.cell["identity"]),
        label=row["label"],
        n_episodes=row["n_episodes"],
        reason=row["reason"] or facts.training["reason"],
        run=facts.cell["run_id"],
    )


def fields_of(training: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """The identities of a training and of its cell as one flat table."""
    own = {name: part for name, part in cell.items() if name != "training"}  # a key: what the training's fields say
    return _flat("training", training) | {f: v for name, part in own.items() for f, v in _flat(name, part).items()}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """The fields that differ: those of the new identity in its order, then those that it does not have."""
    return tuple(
        Change(name, old.get(name, ABSENT), new.get(name, ABSENT), MEANING.get(name, ""))
        for name in dict.fromkeys([*new, *old])
        if name not in old or name not in new or old[name] != new[name]
    )


def nearest(wanted: Identified, stored: Iterable[Identified]) -> Identified | None:
    """The stored cell with the fewest differing fields; of equal ones that with the same label, then the newest."""

    def distance(other: Identified) -> tuple[int, bool, int, str]:
        return len(changes(other.fields, wanted.fields)), other.label != wanted.label, -other.run, other.key

    return min(stored, key=distance, default=None)


def explain(cell: str, wanted: Identified, near: Identified | None, *, configured: bool = True) -> Answer:
    """What is wanted against what is stored."""
    if near is None:
        return Answer(cell, wanted.key, configured, None, "", ())
    held = f"{near.n_episodes} episodes" if near.n_episodes or not near.reason else f"failed: {near.reason}"
    if near.key == wanted.key and near.n_episodes < wanted.n_episodes:
        held += f", {wanted.n_episodes} wanted"
    return Answer(cell, wanted.key, configured, near.key, held, changes(near.fields, wanted.fields))


def _shown(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value)
    return f"{text[:12]}..." if re.fullmatch(r'"[0-9a-f]{32,}"', text) else text


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Tables within tables as dotted names; tuples as the lists that JSON makes of them."""
    if isinstance(value, Mapping):
        return {field: leaf for key, part in value.items() for field, leaf in _flat(f"{name}.{key}", part).items()}
    return {name: list(value) if isinstance(value, tuple) else value}
