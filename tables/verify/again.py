"""What a file should show: its tables laid out again from their facts, or from results that were read again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fewshot_bench.tables.latex import render_latex
from fewshot_bench.tables.layout import anchor
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.render import render, render_cells
from fewshot_bench.tables.statistics.seeds import Spread
from fewshot_bench.tables.style import Style
from fewshot_bench.tables.summary import Cell, Row, SeedScore, Table
from fewshot_bench.tables.verify.html_document import read_html
from fewshot_bench.tables.verify.latex_document import read_latex
from fewshot_bench.tables.verify.rendered import Document, Fact
from fewshot_bench.tables.verify.restated import NO_MATTER, place_of
from fewshot_bench.tables.wording import cell_name

# the formats of rendered files, by what their names end with
READERS: Mapping[str, Callable[[str], Document]] = {".tex": read_latex, ".html": read_html, ".htm": read_html}
SUFFIX = {"latex": ".tex", "html": ".html"}

Family = tuple[int, Spread | None]  # of a row: variants compared, and how their seeds vary


def table_of(
    cells: Sequence[Fact],
    disjoint: Mapping[tuple[int, int], int],
    families: Mapping[tuple[int, int], Family],
    stored: Table | None,
) -> Table:
    """The table that facts of cells are about, with their numbers; marks and other intervals are those of `stored`."""
    whole = {(c.variant, c.n_way, c.n_shot): c for c in stored.cells} if stored else {}
    facts = {place_of(fact.values): fact.values for fact in cells}
    settings: dict[int, dict[tuple[int, int], list[Cell]]] = {}  # by their ways, as rows stand in a table
    for place, values in facts.items():
        settings.setdefault(place[1], {}).setdefault(place[1:], []).append(_cell(values, whole.get(place)))
    rows = tuple(
        Row(*setting, disjoint[setting], tuple(row), *families.get(setting, (0, None)))
        for of_way in settings.values()
        for setting, row in of_way.items()
    )
    variants = tuple(dict.fromkeys(place[0] for place in facts))
    return Table(NO_MATTER, variants, (0,), rows, ())


def set_again(table: Table, format: str, published: Sequence[PublishedTable], style: Style) -> str:
    """The text of a table: in LaTeX in its style."""
    return render_latex(table, published, style) if format == "latex" else render(table, format, published)


def rendered_again(table: Table, format: str, published: Sequence[PublishedTable], style: Style) -> Document:
    """As its readers see it; in HTML with the list of its cells."""
    listed = render_cells(table) if format == "html" else ""
    return READERS[SUFFIX[format]](set_again(table, format, published, style) + listed)


def shows_the_same(table: Table, cells: Sequence[Fact], style: Style) -> bool:
    """Whether a table has the cells that the facts are about, in their states and with as many episodes."""
    shown = [c for c in table.cells if style.shows(c.variant)]
    now = {(c.variant, c.n_way, c.n_shot): [list(c.keys), c.state, c.n_episodes] for c in shown}
    return now == {place_of(f.values): [f.values[name] for name in ("keys", "state", "n")] for f in cells}


def listed_names(cells: Sequence[Fact]) -> dict[str, str]:
    """The names of cells by the ids of the rows that list them."""
    names = [cell_name(*place_of(fact.values)) for fact in cells]
    return {anchor(name): name for name in names}


def _cell(facts: Mapping[str, Any], whole: Cell | None) -> Cell:
    place, seeds = place_of(facts), tuple(SeedScore(i, k, "done", "", None, 0, 0) for i, k in enumerate(facts["keys"]))
    cell = whole or Cell(*place, "done", "", None, None, None, None, None, 0, seeds)
    return replace(
        cell, state=facts.get("state", "done"), mean=facts["mean"], deviation=facts["sd"],
        half_width=facts["half_width"], interval=facts.get("interval"), n_episodes=facts["n"],
    )  # fmt: skip
