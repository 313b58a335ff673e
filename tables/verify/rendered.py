"""A rendered document as its reader sees it: the cells of its tables, beside their facts, and the words around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fewshot_bench.tables.parsing import ParseError, parse_json
from fewshot_bench.tables.verify.seen import Field

# kind of fact -> what it must hold (see layout.py)
FACTS: Mapping[str, Mapping[str, type]] = {
    "bench": {"schema": int, "command": str},
    "row": {"n_way": int, "n_shot": int, "n": str, "disjoint": str},
    "cell": {"variant": str, "n_way": int, "n_shot": int, "keys": list, "n": int, "shown": str},
    "published": {"table": str, "n_way": int, "n_shot": int, "shown": list},
}


@dataclass(frozen=True)
class Fact:
    """One line of facts; `values` is empty where it cannot be read."""

    kind: str  # one of FACTS
    line: int
    values: Mapping[str, Any]


@dataclass
class RenderedRow:
    """One row, and the facts that stand at it; without fields where facts stand at no row."""

    line: int
    fields: list[Field] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    id: str = ""


@dataclass
class RenderedTable:
    """A table; `bench` says where the whole of it comes from."""

    line: int
    bench: Fact | None = None
    rows: list[RenderedRow] = field(default_factory=list)
    classes: tuple[str, ...] = ()  # "published" where a block of published values is named as such

    @property
    def is_ours(self) -> bool:
        """Whether it carries facts, or says that it should."""
        return bool(self.bench) or "published" in self.classes or any(row.facts for row in self.rows)


@dataclass
class Passage:
    """Words that stand together outside the cells of tables, each with its line."""

    name: str
    words: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    """A rendered file; without tables where none of them is ours."""

    format: str  # "latex" or "html"
    tables: list[RenderedTable]
    passages: list[Passage]
    is_page: bool = False  # a whole report

    @property
    def facts(self) -> list[Fact]:
        """Of all tables but those about whole tables; those that cannot be read as well."""
        return [fact for table in self.tables for row in table.rows for fact in row.facts]


def with_facts(tables: list[RenderedTable]) -> list[RenderedTable]:
    """The tables of a file, if one of them is ours."""
    return tables if any(table.is_ours for table in tables) else []


def fact_of(kind: str, line: int, text: str) -> Fact:
    """A line of facts, read."""
    try:
        values = parse_json(text)
    except ParseError:
        values = {}
    whole = isinstance(values, dict) and all(isinstance(values.get(name), type_) for name, type_ in FACTS[kind].items())
    whole = whole and all(values[name] > 0 for name in ("n_way", "n_shot") if name in FACTS[kind])
    if whole and kind in ("cell", "published"):
        whole = all(isinstance(item, str) for item in values["keys" if kind == "cell" else "shown"])
    if whole and kind == "cell":
        whole = all(isinstance(values.get(name), float | None) for name in ("mean", "sd", "half_width"))
        ends = values.get("interval", [0.0, 1.0])
        whole = whole and isinstance(ends, list) and [type(end) for end in ends] == [float, float]
    return Fact(kind, line, values if whole else {})
