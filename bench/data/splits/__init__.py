"""The class lists of published splits, shipped as data, and how a data set's classes compare with them.

One TOML file a split, which says where it was read.
"""

import re
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

NAMES = ("ravi", "bertinetto", "oreshkin", "vinyals", "ren")
UNIQUE = ("ravi", "ren")  # of NAMES, those of classes that no other published split has
SAME_UNIVERSE = 0.9  # of the classes of both together that both must have, to be called the same classes
NAMED = 3  # classes that a message names

Parts = dict[str, tuple[str, ...]]


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
        parts={part: _classes(content[part]) for part in ("train", "val", "test")},
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


@dataclass(frozen=True)
class Match:
    """How a data set's classes compare with a published split.

    leaked: the split's test classes that are trained on here
    moved: other classes that are in another part here, or in several
    missing: the split's classes that are not here; foreign: classes here that are not the split's
    """

    standard: Standard
    leaked: tuple[str, ...]
    moved: tuple[str, ...]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def differing(self) -> tuple[str, ...]:
        """Every class that is not where the published split has it."""
        return self.leaked + self.moved + self.missing + self.foreign

    @property
    def exact(self) -> bool:
        """Whether the classes are those of the published split, part by part."""
        return not self.differing

    def sentence(self) -> str:
        """What to say about it, without a full stop."""
        authors, data_set = self.standard.authors, self.standard.data_set
        if self.exact:
            return f"classes split as by {authors} ({data_set})"
        differences = {
            "{} of its test classes {} trained on": self.leaked,
            "{} of its classes {} in another part": self.moved,
            "{} of its classes {} missing": self.missing,
            "{} of the classes here {} not of it": self.foreign,
        }
        said = [
            f"{text.format(len(names), 'is' if len(names) == 1 else 'are')} ({shortened(names)})"
            for text, names in differences.items()
            if names
        ]
        return f"classes of {data_set}, but NOT split as by {authors}: {', '.join(said)}"


def shortened(names: tuple[str, ...]) -> str:
    """The first names, and that there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def recognise(parts: Parts) -> Match | None:
    """The published split whose classes a data set has, in the same parts or in others; None for other classes.

    parts: "train" | "val" | "test" -> class names. Two splits of the same classes: the one that differs in fewer.
    """
    here = {_key(name) for names in parts.values() for name in names}
    matches = [compare(parts, name) for name in NAMES if _same_universe(here, standard(name))]
    return min(matches, key=lambda match: len(match.differing), default=None)


def compare(parts: Parts, name: str) -> Match:
    """A data set's classes and the published split `name`.

    Capital letters and punctuation do not count, and the four rotations of an Omniglot character are one class.
    """
    split = standard(name)
    published = {_key(known): (part, known) for part, names in split.parts.items() for known in names}
    homes: dict[str, set[str]] = defaultdict(set)
    shown: dict[str, str] = {}
    for part, names in parts.items():
        for own in names:
            homes[_key(own)].add(part)
            shown.setdefault(_key(own), own)
    leaked, moved, missing = [], [], []
    for key, (part, known) in published.items():
        if key not in homes:
            missing.append(known)
        elif part == "test" and "train" in homes[key]:
            leaked.append(known)
        elif homes[key] != {part}:
            moved.append(known)
    foreign = tuple(own for key, own in shown.items() if key not in published)
    return Match(split, tuple(leaked), tuple(moved), tuple(missing), foreign)


def _same_universe(here: set[str], split: Standard) -> bool:
    known = {_key(name) for names in split.parts.values() for name in names}
    return len(here & known) >= SAME_UNIVERSE * len(here | known)


def _key(name: str) -> str:
    """A class's name without what differs between its spellings."""
    name = re.sub(r"/rot\d+$", "", name)
    return re.sub(r"[^0-9a-z]+", "_", name.casefold()).strip("_")
