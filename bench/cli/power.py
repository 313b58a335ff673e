"""`bench power`: how many episodes would show a difference between variants."""

import click

from fewshot_bench.cli.options import reading_options
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("names", nargs=-1, metavar="[A B]")
@reading_options
@click.option("--all", "every", is_flag=True, help="Every pair of variants, not only each with the setting's best.")
@click.option(
    "--margin",
    type=float,
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Smallest difference to detect, in percentage points.",
)
@click.option("--power", type=float, default=0.8, show_default=True, help="Desired power.")
@click.option("-v", "--verbose", is_flag=True, help="All numbers of each pair.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, unrounded.")
def power(
    *, names: tuple[str, ...], every: bool, margin: float, power: float, as_json: bool, verbose: bool,
    selection: Selection,
) -> None:  # fmt: skip
    """Estimate how many episodes would decide between two methods.

    \b
    bench power                  each variant against the best of its setting
    bench power maml-mtl maml    one pair in every setting
    bench power --all            every pair
    """
    from fewshot_bench.results.comparisons import powered

    text = powered(names, selection, every=every, margin=margin, power=power, as_json=as_json, verbose=verbose)
    click.echo(text, nl=False)
