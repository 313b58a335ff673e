"""A frozen dataclass from a table that anyone may have written: types are its hints, limits its fields' metadata.

metadata: "min" and "max" of numbers; counts start at 1 and step sizes at 0 unless the field says otherwise. "empty":
whether a list may be.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.files import BY_CONTENT, content_of

T = TypeVar("T")
Limits = Mapping[str, Any]

MOST = 1_000_000  # of any count that has no limit of its own
LONGEST_SHOWN = 200  # characters of a value in a message


def shown(value: Any) -> str:
    """A value as a message names it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def build(cls: type[T], table: Any, where: str) -> T:
    """A dataclass from a TOML table. Raises UsageError naming section, key, value and what would be valid."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table, not {shown(table)}")
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    for key in table:
        if key not in known:
            raise UsageError(f"[{where}] has no key {key!r}: {did_you_mean(key, list(known))}")
    for name, f in known.items():
        if name not in table and f.default is f.default_factory is dataclasses.MISSING:
            raise UsageError(f"[{where}] needs the key {name!r}")
    values = {key: _value(hints[key], value, f"[{where}] {key}", known[key].metadata) for key, value in table.items()}
    return cls(**values)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any, where: str, limits: Limits) -> Any:
    """`value` as the type that `hint` names, or a UsageError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if types.NoneType in arguments:  # an identity says None, a table leaves the key out
        (hint,) = set(arguments) - {types.NoneType}
        return None if value is None else _value(hint, value, where, limits)
    if origin is Literal:
        if value not in arguments:
            known = [str(a) for a in arguments]
            raise UsageError(f"{where} = {shown(value)} is not valid: {did_you_mean(str(value), known)}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or not (value or limits.get("empty")):
            raise UsageError(f"{where} = {shown(value)} must be a list with at least one entry")
        items = tuple(_value(arguments[0], item, where, limits) for item in value)
        if len(set(items)) < len(items):
            raise UsageError(f"{where} = {shown(value)} names an entry twice")
        return items
    if origin is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{where} = {shown(value)} must be a table")
        return {key: _value(arguments[1], item, f"{where}.{key}", limits) for key, item in value.items()}
    if hint is Any:
        return value
    return _file(value, where) if hint is Path else _scalar(hint, value, where, limits)


def _file(value: Any, where: str) -> Path:
    """A file that is there: its content is part of what a training is."""
    if type(value) is not str:
        raise UsageError(f"{where} = {shown(value)} must be a file's name in quotes")
    if value.startswith(BY_CONTENT):
        raise UsageError(f"{where} is a file of which only the content is known, {shown(value)}: name it in bench.toml")
    path = Path(value).expanduser()
    try:
        if path.is_file():
            content_of(path)
            return path
    except OSError as error:
        raise UsageError(f"{where} = {shown(value)} cannot be read: {error.strerror}") from None
    raise UsageError(f"{where} = {shown(value)} is not a file")


def _scalar(hint: Any, value: Any, where: str, limits: Limits) -> Any:
    words = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}
    whole_as_float = hint is float and type(value) is int
    if type(value) is not hint and not whole_as_float:
        raise UsageError(f"{where} = {shown(value)} must be {words[hint]}")
    if hint is int or hint is float:
        # counts start at 1 and step sizes at 0 unless the field says otherwise
        low = limits.get("min", 1 if hint is int else 0)
        high = limits.get("max", MOST if hint is int else sys.float_info.max)
        if not low <= value <= high:  # also refuses nan and inf
            bound = f"at least {low}" if value < low else f"between {low} and {high}"
            if high == sys.float_info.max:
                bound = f"at least {low} and finite"
            raise UsageError(f"{where} = {shown(value)} must be {bound}")
    return value + 0.0 if hint is float else value  # -0.0 is no other setting than 0.0
