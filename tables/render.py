"""Table -> text in one of five formats; each escapes whatever it prints."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import Environment

from fewshot_bench.tables import documents, layout
from fewshot_bench.tables.documents import csv_text, html_environment, markdown_environment
from fewshot_bench.tables.latex import render_latex
from fewshot_bench.tables.papers import STATEMENT, PublishedTable
from fewshot_bench.tables.scores import Experiment
from fewshot_bench.tables.summary import Cell, Row, Table

JSON_SCHEMA = 1  # raise it when a reader of the JSON must change
CSV_COLUMNS = (
    "variant", "n_way", "n_shot", "seeds", "mean", "deviation", "half_width", "low", "high", "data_half_width",
    "seed_half_width", "n_episodes", "state", "reason", "chance", "disjoint_episodes", "best", "near_best", "unclear",
    "keys", "rule",
)  # fmt: skip


def render(table: Table, format: str, published: Sequence[PublishedTable] = ()) -> str:
    """The table as text that ends in a newline; raises ValueError on an unknown format.

    Published tables follow in blocks of their own; csv has none of them.
    """
    return documents.rendered(RENDERERS, format, table, published)


def render_published(published: Sequence[PublishedTable]) -> str:
    """The HTML block of published values alone."""
    return _filled(html_environment(), "published.html.j2", published=published)


def render_cells(table: Table) -> str:
    """The HTML block that each number of the table links to: its intervals and where it is stored."""
    return _filled(html_environment(), "cells.html.j2", table=table)


def _from_template(environment: Callable[[], Environment], name: str) -> Callable[..., str]:
    return lambda table, published: _filled(environment(), name, tables=table.with_beside, published=published)


def _filled(environment: Environment, name: str, **what: Any) -> str:
    return environment.get_template(name).render(**layout.SPELLING, **what)


def _csv(table: Table, _: Sequence[PublishedTable]) -> str:
    """One line a cell; fractions, empty where there is no number. The table beside follows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in table.with_beside:
        writer.writerows(_csv_line(one.experiment, row, cell) for row in one.rows for cell in row.cells)
    return text.getvalue()


def _csv_line(experiment: Experiment, row: Row, cell: Cell) -> Iterator[str | int | float | None]:
    low, high = cell.ends or (None, None)
    told: dict[str, Any] = {
        "seeds": " ".join(str(seed.seed) for seed in cell.seeds),
        "keys": " ".join(cell.keys),
        "chance": row.chance,
        "disjoint_episodes": row.disjoint_episodes,
        "best": int(cell.best),
        "near_best": int(cell.near_best),
        "unclear": int(cell.unclear),
        "rule": "its own" if cell.variant in experiment.fits_itself else experiment.rule,
        "low": low,
        "high": high,
    }
    for name in CSV_COLUMNS:
        value = told[name] if name in told else getattr(cell, name)
        yield csv_text(value) if isinstance(value, str) else value


def _json(table: Table, published: Sequence[PublishedTable]) -> str:
    """Everything, seed by seed; accuracies are fractions, null where there is no number."""
    document = {"schema": JSON_SCHEMA} | _plain(table)
    document["beside"] = table.beside and _plain(table.beside)
    document["published"] = {"statement": STATEMENT, "tables": [asdict(paper) for paper in published]}
    return documents.json_text(document)


def _plain(table: Table) -> dict[str, Any]:
    return {
        "experiment": asdict(table.experiment) | {"published_share": table.experiment.published_share},
        "variants": table.variants,
        "seeds": table.seeds,
        "rows": [
            {
                "n_way": row.n_way,
                "n_shot": row.n_shot,
                "chance": row.chance,
                "disjoint_episodes": row.disjoint_episodes,
                "reuses_images": row.reuses_images,
                "cells": [asdict(cell) for cell in row.cells],
            }
            for row in table.rows
        ],
        "comparisons": [asdict(comparison) for comparison in table.comparisons],
        "notes": [asdict(note) for note in layout.notes(table)],
    }


RENDERERS: Mapping[str, Callable[..., str]] = {
    "markdown": _from_template(markdown_environment, "table.md.j2"),
    "latex": render_latex,
    "csv": _csv,
    "json": _json,
    "html": _from_template(html_environment, "table.html.j2"),
}
