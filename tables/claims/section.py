"""A table of a claims file: each getter checks what it gives, and its errors name file, claim and key."""

from collections.abc import Collection
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

_short = Repr()
_short.maxstring = _short.maxother = 80  # letters of a value in an error


class ClaimError(ValueError):
    """A claims file is wrong; one line that names the file, the claim and the key."""


class Section:
    """A TOML table and its name in error messages; every getter raises ClaimError for what it cannot give."""

    def __init__(self, file: str, table: dict[str, Any], label: str = "") -> None:
        self.table, self._where = table, f"{file}: {label}: " if label else f"{file}: "

    def wrong(self, key: str, what: str) -> ClaimError:
        """The error to raise about a key."""
        return ClaimError(" ".join(f"{self._where}{key}: {what}".split()))

    def only(self, known: Collection[str]) -> None:
        """Refuse other keys."""
        for key in self.table:
            if key not in known:
                raise self.wrong(key, unknown("key", key, known))

    def get(self, key: str) -> Any:
        """A value that must be there."""
        if key not in self.table:
            raise self.wrong(key, "is missing")
        return self.table[key]

    def text(self, key: str) -> str:
        """A text that is not empty, in one line."""
        value = self.get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"must be a text that is not empty, not {shown(value)}")
        return " ".join(value.split())

    def choice(self, key: str, known: Collection[str]) -> str:
        """One of the known words."""
        value = self.text(key)
        if value not in known:
            raise self.wrong(key, f"must be one of {', '.join(known)}, not {shown(value)}")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false where it is not given."""
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, not {shown(value)}")
        return value

    def number(self, key: str, default: float) -> float:
        """A percentage, above 0."""
        value = self.table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
            raise self.wrong(key, f"must be a number above 0 and up to 100, not {shown(value)}")
        return float(value)

    def list_of(self, key: str, kind: type, what: str) -> list[Any]:
        """At least one value; none twice, unless they are tables."""
        values = self.get(key)
        if not isinstance(values, list) or not values:
            raise self.wrong(key, f"must be a list that is not empty, not {shown(values)}")
        for i, value in enumerate(values):
            if type(value) is not kind:  # True is no number of ways
                raise self.wrong(key, f"each entry must be {what}, not {shown(value)}")
            if kind is not dict and value in values[:i]:
                raise self.wrong(key, f"{shown(value)} stands in it twice")
        return values

    def counts(self, key: str, least: int) -> list[int]:
        """Whole numbers, none below the least."""
        values = self.list_of(key, int, "a whole number")
        if min(values) < least:
            raise self.wrong(key, f"{min(values)} is less than {least}")
        return values

    def variants(self, key: str, known: Collection[str], names: list[Any] | None = None) -> list[str]:
        """The names of a key (or `names`, which stand in it), all of them known."""
        listed = self.list_of(key, str, "the name of a variant") if names is None else names
        for name in listed:
            if name not in known:
                raise self.wrong(key, unknown("variant", name, known))
        return listed


def shown(value: object) -> str:
    """A value as an error names it, however long it is."""
    return _short.repr(value)


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """ "unknown variant 'mamml': did you mean 'maml'?"."""
    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown {what} {shown(name)}: {advice}"
