"""`bench check`: is anything worse than it was?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.cli.output import write_file
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import Selection

if TYPE_CHECKING:
    from fewshot_bench.tables.scores import Results


@click.command()
@selection_options
@click.option(
    "--against",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Accuracies stored by --write, or another results database.",
)
@click.option(
    "--margin",
    type=float,
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Changes of fewer percentage points do not matter.",
)
@click.option("--strict", is_flag=True, help="Exit 7 if anything is undecided.")
@click.option("--write", is_flag=True, help="Write the file from the database instead of checking.")
@click.option("--format", "format_", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option(
    "--junit", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="A JUnit report besides."
)
def check(
    *,
    against: Path,
    margin: float,
    strict: bool,
    write: bool,
    format_: str,
    junit: Path | None,
    selection: Selection,
) -> int:
    """Compare the database with stored accuracies, cell by cell and variant by variant.

    Exits 3 if anything is worse by --margin or more and beyond chance, 5 if nothing could be compared.
    """
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.baselines import read
    from fewshot_bench.results.collect import results
    from fewshot_bench.tables.check.regression import compare
    from fewshot_bench.tables.check.render import render_verdicts

    if not 0 <= margin <= 100:  # nan, too
        raise UsageError(f"--margin {margin} must be between 0 and 100 percentage points")
    if write:
        _write_baseline(against, results(choose(selection)))
        return 0
    chosen = choose(selection)
    stored = read(against, chosen)
    found = compare(results(chosen), stored, margin / 100, strict)
    click.echo(render_verdicts(found, format_), nl=False)
    if junit:
        write_file(junit, render_verdicts(found, "junit"))
    return found.exit_code


def _write_baseline(path: Path, results: Results) -> None:
    from fewshot_bench.results.baselines import is_database
    from fewshot_bench.tables.check.baseline import baseline_text, make_baseline

    if not any(cell.state == "done" for cell in results.cells):
        raise NothingSelected("no finished cell to write: `bench run` makes them")
    try:
        refused = is_database(path)
    except OSError:  # not there yet
        refused = False
    if refused:
        raise UsageError(f"--against {path}: --write makes a JSON file and leaves a database alone")
    write_file(path, baseline_text(make_baseline(results)))
