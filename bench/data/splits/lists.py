"""The published class lists: one TOML file a split, which says where it was read."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("ravi", "bertinetto", "oreshkin", "vinyals", "ren")

UNIQUE = ("ravi", "ren")  # of NAMES, those of classes that no other published split has

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Standard:
    """A published split.

    name: its key in NAMES, and a split's name (see `ImageSet.split`)
    data_set, authors: "CIFAR-FS", "Bertinetto et al. 2019"; title: of the paper
    parts: "train" | "val" | "test" -> its classes
    """

    name: str
    data_set: str
    authors: str
    title: str
    parts: dict[str, tuple[str, ...]]


def lists(name: str) -> dict[str, tuple[str, ...]]:
    """The classes of "train", "val" and "test" in a split of NAMES."""
    return standard(name).parts


@cache
def standard(name: str) -> Standard:
    """A split of NAMES."""
    text = (files(__package__) / f"{name}.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    return Standard(
        name=name,
        data_set=content["data_set"],
        authors=content["authors"],
        title=content["title"],
        parts={part: _classes(content[part]) for part in _PARTS},
    )


def of_classes(classes: set[str]) -> Standard | None:
    """The only published split of exactly these classes; None where there is none, or several."""
    for name in UNIQUE:
        if classes == {own for part in standard(name).parts.values() for own in part}:
            return standard(name)
    return None


def _classes(listed: Any) -> tuple[str, ...]:
    """The classes of a part: names with spaces between them, or such names for each category."""
    names = listed.values() if isinstance(listed, dict) else [listed]
    return tuple(name for some in names for name in some.split())
