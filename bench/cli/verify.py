"""`bench verify`: a rendered table read again."""

import shlex
from pathlib import Path

import click

from fewshot_bench.cli.options import database_in, json_option, out_option, selection_options
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@out_option
@json_option
def verify(*, file: Path, out: Path | None, as_json: bool) -> int:
    """Find numbers of a rendered table (.tex, .html) that were edited by hand or are stale.

    Every number that is seen is held against its facts in the file, and these against the database. Not checked are
    captions, notes, bold, the marks † § ¶ ? ‡, tables that are not the benchmark's, and of a report the data and
    seeds intervals in its list of cells, its costs and its claims. Exits 3 if a number is not true, 5 if nothing
    measured is in the file.
    docs/statistics.md explains edited, stale, unknown and gone.
    """
    from fewshot_bench.cli.verify_text import verify_json, verify_text

    text = verify_json if as_json else verify_text
    code, said = text(file, database_in(out), _selected)
    click.echo(said)
    return code


@click.command(add_help_option=False)
@selection_options
def _selection(selection: Selection) -> Selection:
    """Only reads the options that choose cells."""
    return selection


def _selected(command: str) -> Selection | None:
    """What a `bench run` command selects; it is read, never run. None for another, or one that makes no sense."""
    try:
        program, name, *words = shlex.split(command)
        if (program, name) != ("bench", "run"):
            return None
        with _selection.make_context("run", words) as context:
            found: Selection = _selection.invoke(context)
            return found
    except (ValueError, click.ClickException):
        return None
