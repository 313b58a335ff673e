"""Why a result is not up to date: which fields of its identity changed, in dotted names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Tables within tables as dotted names; tuples as the lists that JSON makes of them."""
    if isinstance(value, Mapping):
        return {field: leaf for key, part in value.items() for field, leaf in _flat(f"{name}.{key}", part).items()}
    return {name: list(value) if isinstance(value, tuple) else value}
