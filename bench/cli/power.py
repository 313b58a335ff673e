"""`bench power`: how many episodes would tell variants apart."""

from __future__ import annotations

from dataclasses import replace

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import Selection


@click.command()
@click.argument("names", nargs=-1, metavar="[A B]")
@selection_options
@click.option("--all", "every", is_flag=True, help="Every pair of variants, not only each with the setting's best.")
@click.option(
    "--margin",
    type=float,
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="The difference, in percentage points, that one wants to see.",
)
@click.option("--power", type=float, default=0.8, show_default=True, help="The chance with which to see it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, unrounded.")
def power(
    *, names: tuple[str, ...], every: bool, margin: float, power: float, as_json: bool, selection: Selection
) -> int:  # fmt: skip
    """How many episodes would tell two variants apart, from their stored differences.

    \b
    bench power                  each variant against the best of its setting
    bench power maml-mtl maml    one pair in every setting
    bench power --all            every pair
    """
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.collect import results as results_of
    from fewshot_bench.tables.power import all_pairs, pairs_with_best, powers
    from fewshot_bench.tables.power_text import power_json, power_text
    from fewshot_bench.tables.statistics.estimate import ALPHA

    if len(names) not in (0, 2) or len(set(names)) < len(names):
        raise UsageError("power takes two different variants, or none")
    if not 0 < margin <= 100:
        raise UsageError(f"--margin {margin} must be above 0 and at most 100 percentage points")
    if not ALPHA < power < 1:
        raise UsageError(f"--power {power} must be between {ALPHA} and 1")
    results = results_of(choose(replace(selection, methods=names) if names else selection))
    with_best = not (every or names)
    pairs = pairs_with_best(results) if with_best else all_pairs(results)
    found = powers(results, pairs, margin / 100, power)
    if not any(pair.n_episodes for pair in found):
        raise NothingSelected("no two of these variants share a stored episode; `bench run` makes them")
    if as_json:
        text = power_json(found, margin / 100, power)
    else:
        text = power_text(found, margin / 100, power, with_best=with_best)
    click.echo(text, nl=False)
    return 0
