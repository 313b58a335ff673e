"""`bench why`: what changed since a result was stored."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import json_option, read_back, selection_options
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.replay.why import Answer


@click.command()
@click.argument("cell")
@selection_options
@json_option
def why(*, cell: str, as_json: bool, selection: Selection) -> None:
    """Say what changed since a result was stored, field by field.

    CELL is a stored key (or its beginning), or the name of a cell of the configuration, e.g. maml-5w1s-s0. What the
    configuration asks for now is compared with what is stored under that key; or, for a name, with the nearest
    stored result of the same method and setting: the one with the fewest fields that differ. Where nothing says which
    experiment is meant, it is that of the last run.
    """
    from fewshot_bench.replay import why as asking

    answer = asking.why(cell, read_back(selection))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(answer) | {"up_to_date": answer.up_to_date}))
    else:
        click.echo("\n".join(_lines(answer)))


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
    lines += [f"  {change.field:<{width}}  {change.words}" for change in answer.changes]
    if answer.configured and answer.same_training:
        lines.append("  the training is the same: only the test is to be done again")
    return lines
