"""`bench replay`: is a stored number repeatable?"""

import click

from fewshot_bench.cli.options import json_option, stored_options
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("cell")
@click.option("--episode", type=click.IntRange(min=0), metavar="I", help="Only this episode, counted from 0.")
@click.option("--retrain", "again", is_flag=True, help="Also train from scratch, in a folder that is then removed.")
@click.option(
    "--data", metavar="SOURCE", help="Data set: a name, a folder or an archive.  [default: as it is prepared]"
)
@stored_options
@json_option
def replay(
    *, cell: str, episode: int | None, again: bool, data: str | None, selection: Selection, as_json: bool
) -> int:  # fmt: skip
    """Compute a stored result again and compare. CELL is its name (maml-5w1s-s0) or its key, or the beginning of that.

    identical: every answer is the stored one (equal counts: the counts are, and no answers were kept). same within k
    queries: k answers differ, none of them more than rounding explains. Otherwise different (exit code 3). The first
    differing query is named. docs/storage.md says what rounding explains.
    """
    from fewshot_bench.cli.replay_text import replayed

    code, said = replayed(cell, episode, data, selection, again=again, as_json=as_json)
    click.echo(said)
    return code
