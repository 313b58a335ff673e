"""`bench why`: what changed since a result was stored."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fewshot_bench.cli.options import json_option, selection_options
from fewshot_bench.errors import NothingSelected
from fewshot_bench.experiment.selection import Selection, place_named, place_of
from fewshot_bench.files import database

if TYPE_CHECKING:
    from fewshot_bench.replay.why import Answer, Identified
    from fewshot_bench.results.store import Reader

Row = dict[str, Any]  # see Reader.all_cells


@click.command()
@click.argument("cell")
@selection_options
@json_option
def why(*, cell: str, as_json: bool, selection: Selection) -> None:
    """Say what changed since a result was stored, field by field.

    CELL is a stored key (or its beginning), or the name of a cell of the configuration, e.g. maml-5w1s-s0. What the
    configuration asks for now is compared with what is stored under that key; or, for a name, with the nearest
    stored result of the same method and setting: the one with the fewest fields that differ.
    """
    from fewshot_bench.config import config_file, load
    from fewshot_bench.results.store import Reader

    config = load(config_file(selection.config))
    reader = Reader(database(selection.out or Path(config.run.out)))
    rows = reader.all_cells()
    row = _stored(rows, cell, config.methods)
    name = place_of(row).name if row else cell
    current = _current(name, config.methods, selection)
    if not row and not current:
        raise NothingSelected(f"no cell is called {cell!r}, and no key begins so; `bench status -v` lists those stored")
    answer = _answer(reader, rows, name, row, current)
    document = dataclasses.asdict(answer) | {"up_to_date": answer.up_to_date}
    click.echo(json.dumps(document) if as_json else "\n".join(_lines(answer)))


def _stored(rows: list[Row], cell: str, configured: dict[str, Any]) -> Row | None:
    """The stored cell that a key, its beginning, or a name that the configuration no longer has stands for."""
    asked = place_named(cell)
    if asked and asked.variant in configured:
        return None
    found = [row for row in rows if (place_of(row).name == cell if asked else row["key"].startswith(cell))]
    if len(found) > 1:
        keys = " ".join(row["key"] for row in found)
        raise NothingSelected(f"{cell!r} stands for more than one stored cell: {keys}")
    return found[0] if found else None


def _current(name: str, configured: dict[str, Any], selection: Selection) -> Identified | None:
    """The cell that the configuration, with the options, means by a name; None if it has none."""
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.replay.why import Identified, fields_of

    asked = place_named(name)
    if not asked or asked.variant not in configured:
        return None
    place = replace(selection, methods=(asked.variant,), ways=(asked.n_way,), shots=(asked.n_shot,))
    chosen = choose(replace(place, seeds=(asked.seed,)))
    (cell,) = chosen.cells
    return Identified(cell.key, fields_of(cell.training.identity, cell.identity), chosen.label(cell), cell.n_episodes)


def _answer(reader: Reader, rows: list[Row], name: str, row: Row | None, current: Identified | None) -> Answer:
    """What is wanted (what the configuration asks for, else the stored cell itself) against what is stored."""
    from fewshot_bench.replay.why import explain, nearest

    like = (row["n_way"], row["n_shot"]) if row else _setting(name)
    known = current or (_identified(reader, row) if row else None)
    method = known.fields["training.method"] if known else None
    found = [_identified(reader, r) for r in rows if (r["n_way"], r["n_shot"]) == like]
    candidates = [c for c in found if c.fields["training.method"] == method]
    if row:
        own = next(c for c in candidates if c.key == row["key"])
        if current:
            return explain(name, current, own)
        return explain(name, own, nearest(own, [c for c in candidates if c is not own]), configured=False)
    assert current
    return explain(name, current, nearest(current, candidates))


def _identified(reader: Reader, row: Row) -> Identified:
    from fewshot_bench.replay.why import Identified, fields_of

    facts = reader.cell(row["key"])
    return Identified(
        key=row["key"],
        fields=fields_of(facts.training["identity"], facts.cell["identity"]),
        label=row["label"],
        n_episodes=row["n_episodes"],
        reason=row["reason"] or facts.training["reason"],
        run=facts.cell["run_id"],
    )


def _lines(answer: Answer) -> list[str]:
    """For people."""
    name, near = answer.cell, answer.near
    if near is None:
        which = f"{name} ({answer.wanted})"
        if not answer.configured:
            return [f"{which} is stored; the configuration has no such cell, and nothing like it is stored"]
        return [f"{which} is not stored, and nothing near it: no other result of its method and setting"]
    if answer.up_to_date:
        return [f"{name}: up to date: stored under {near} ({answer.held})"]
    if answer.configured:
        lines = [f"{name} is now {answer.wanted}; stored is {near} ({answer.held}); changed since:"]
    else:
        lines = [
            f"{name} ({answer.wanted}): the configuration has no such cell; from {near} ({answer.held}) it differs in:"
        ]
    width = max(len(change.field) for change in answer.changes)
    lines += [
        f"  {c.field:<{width}}  {_value(c.old)} -> {_value(c.new)}" + (f"  ({c.meaning})" if c.meaning else "")
        for c in answer.changes
    ]
    if answer.configured and answer.same_training:
        lines.append("  the training is the same: only the test is to be done again")
    return lines


def _value(value: Any) -> str:
    from fewshot_bench.replay.why import ABSENT

    text = value if value == ABSENT else json.dumps(value)
    return f"{text[:12]}..." if re.fullmatch(r'"[0-9a-f]{32,}"', text) else text


def _setting(name: str) -> tuple[int, int]:
    asked = place_named(name)
    assert asked
    return asked.n_way, asked.n_shot
