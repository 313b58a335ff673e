"""`bench why`: what changed since a result was stored."""

import click

from fewshot_bench.cli.options import json_option, selection_options
from fewshot_bench.experiment.selection import Selection


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
    from fewshot_bench.cli.why_text import said

    click.echo(said(cell, selection, as_json=as_json))
