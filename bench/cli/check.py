"""`bench check`: is anything worse than it was?"""

from importlib.resources import files
from pathlib import Path

import click

from fewshot_bench.cli.options import reading_options
from fewshot_bench.cli.output import write_file
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import database_at, is_there


@click.command()
@reading_options
@click.option(
    "--against",
    metavar="FILE",
    required=True,
    type=click.Path(),  # a shell completes it; a URL passes
    help="Accuracies stored by --write, another database (its file, folder or URL), or those that come with the "
    "package: `smoke`, `standard`.",
)
@click.option(
    "--margin",
    type=float,
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Smallest relevant change, in percentage points.",
)
@click.option("--strict", is_flag=True, help="Exit 7 if anything is undecided.")
@click.option("--write", is_flag=True, help="Write the file from the database instead of checking.")
@click.option(
    "--format", "format_", type=click.Choice(["text", "markdown", "json"]), default="text", help="Output format."
)
@click.option("--junit", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Also write JUnit XML.")
def check(
    *, against: str, margin: float, strict: bool, write: bool, format_: str, junit: Path | None, selection: Selection
) -> int:
    """Check for regressions against stored accuracies.

    Compares cell by cell and variant by variant. Exits 3 if anything is significantly worse by --margin or more, 5 if
    nothing could be compared.
    """
    from fewshot_bench.results.baselines import checked, written

    if not 0 <= margin <= 100:  # nan, too
        raise UsageError(f"--margin {margin} must be between 0 and 100 percentage points")
    if write:
        write_file(Path(against), written(database_at(against), selection))
        return 0
    code, text = checked(_file(against), selection, margin / 100, strict=strict)
    click.echo(text(format_), nl=False)
    if junit:
        write_file(junit, text("junit"))
    return code


def _file(named: str) -> str:
    """The file or database, or the accuracies that come with the package under this name."""
    shipped = Path(str(files("fewshot_bench.tables.baselines"))) / f"strokes-{named}.json"
    return str(shipped) if is_there(shipped) and not is_there(Path(named)) else database_at(named)
