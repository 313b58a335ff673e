"""`bench compare`: paired comparisons of variants, or of two databases."""

import click

from fewshot_bench.cli.options import Finite, reading_options
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("names", nargs=-1, metavar="[A B]")
@reading_options
@click.option(
    "--margin",
    type=Finite(0, 100, max_open=True),
    default=0.0,
    metavar="POINTS",
    help="Also say which are equivalent within so many percentage points.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, unrounded.")
def compare(*, names: tuple[str, ...], as_json: bool, margin: float, selection: Selection) -> None:
    """Compare two methods, or two databases, on shared episodes.

    \b
    bench compare maml-mtl maml            A minus B in every setting
    bench compare old.sqlite new.sqlite    the same cells in two databases
    bench compare                          ranks of all variants over the settings

    A database is named by its file, its folder or its URL.
    """
    from fewshot_bench.results.comparisons import compared

    click.echo(compared(names, "json" if as_json else "text", selection, margin / 100), nl=False)
