"""How the LaTeX table is set: what `bench report --format latex` can be asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

COUNTS = ("n", "disjoint")  # columns that are no variants


@dataclass(frozen=True)
class Style:
    """The defaults give one `table*` with all columns, a caption and the notes that explain its marks."""

    columns: tuple[str, ...] = ()  # variants and COUNTS, in this order; empty: all
    transpose: bool = False  # a row a variant
    interval: bool = True
    siunitx: bool = False  # numbers in S columns
    one_column: bool = False  # `table`, which fills one column of two
    bare: bool = False  # the tabular alone
    standalone: bool = False  # a document that compiles alone
    caption: str = ""  # LaTeX; empty: what was measured, and how
    label: str = ""  # empty: tab:DATASET

    def columns_of(self, variants: tuple[str, ...]) -> tuple[str, ...]:
        """What is shown of a table of these variants."""
        return self.columns or (*variants, *COUNTS)

    def shows(self, column: str) -> bool:
        """Whether a variant or a count is shown."""
        return not self.columns or column in self.columns

    @property
    def facts(self) -> dict[str, Any]:
        """What is not the default."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}


def style_of(facts: object) -> Style:
    """`Style.facts` read back; what is no style in them is left out."""
    given: dict[str, Any] = {}
    for field in fields(Style):
        value = facts.get(field.name) if isinstance(facts, Mapping) else None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = tuple(value)
        if type(value) is type(field.default):
            given[field.name] = value
    return Style(**given)
