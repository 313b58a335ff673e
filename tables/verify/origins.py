"""What a table says of its data, against what the identities of its stored cells say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fewshot_bench.tables.verify.finding import Finding, edited
from fewshot_bench.tables.verify.rendered import Fact

NAMED = ("dataset", "fingerprint", "split")  # in the facts of a table


@dataclass(frozen=True)
class Origin:
    """The data behind a stored cell."""

    fingerprint: str
    split: str
    dataset: str = ""  # its name; empty where the data are not at hand
    disjoint: int | None = None  # episodes of the cell's setting without a shared image; None likewise


def check_origin(bench: Fact, origins: Sequence[Origin]) -> Iterator[Finding]:
    """Every name of the data that is not that of the cells."""
    for name in NAMED:
        true = sorted({getattr(origin, name) for origin in origins} - {""})
        said = bench.values.get(name)
        if true and [said] != true:
            yield edited(bench.line, name, str(said or ""), ", ".join(true), "its cells are of")


def check_disjoint(values: Mapping[str, Any], name: str, line: int, origins: Sequence[Origin]) -> Iterator[Finding]:
    """The disjoint episodes of a row, computed again where the data are at hand."""
    true = sorted({origin.disjoint for origin in origins if origin.disjoint is not None})
    if true and values["disjoint"] not in map(str, true):
        yield edited(line, f"disjoint of {name}", values["disjoint"], str(true[0]), "its data allow")
