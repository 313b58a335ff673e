"""`bench compare`: paired comparisons of variants, or of two databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import click

from fewshot_bench.cli.options import selection_options
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.selection import Place, Selection
from fewshot_bench.files import database_at


@click.command()
@click.argument("names", nargs=-1, metavar="[A B]")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON, unrounded.")
def compare(*, names: tuple[str, ...], as_json: bool, selection: Selection) -> int:
    """Compare two variants, or two databases, on the episodes that they share.

    \b
    bench compare maml-mtl maml            A minus B in every setting
    bench compare old.sqlite new.sqlite    the same cells in two databases
    bench compare                          ranks of all variants over the settings
    """
    if len(names) not in (0, 2):
        raise UsageError(f"compare takes two variants, two databases or nothing, not {len(names)} names")
    format_ = "json" if as_json else "text"
    if not names:
        text = _ranks(format_, selection)
    elif all(Path(name).exists() for name in names):
        text = _databases(names[0], names[1], format_, selection)
    else:
        text = _variants(names[0], names[1], format_, selection)
    click.echo(text, nl=False)
    return 0


def _variants(first: str, second: str, format_: str, selection: Selection) -> str:
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.collect import results
    from fewshot_bench.tables.comparison_text import render_comparisons
    from fewshot_bench.tables.pairs import compare_variants

    if first == second:
        raise UsageError(f"{first!r} compared with itself is no comparison")
    for name in (first, second):
        if not Path(name).exists() and (name.endswith((".sqlite", ".db")) or "/" in name):
            raise UsageError(f"{name}: no such file")
    if selection.methods:
        raise UsageError(f"--method is not for `compare {first} {second}`: the two names are the methods")
    chosen = choose(replace(selection, methods=(first, second)))
    comparisons = compare_variants(results(chosen), first, second)
    if not any(c.n_episodes for c in comparisons):
        raise NothingSelected(f"{first} and {second} share no stored episode; `bench run` makes them")
    return render_comparisons(comparisons, format_)


def _databases(first: str, second: str, format_: str, selection: Selection) -> str:
    from fewshot_bench.results.collect import stored_scores
    from fewshot_bench.results.store import Reader
    from fewshot_bench.tables.comparison_text import render_comparisons
    from fewshot_bench.tables.pairs import as_family, compare

    wanted = _wanted(selection)
    ours, theirs = (stored_scores(Reader(database_at(name)), wanted) for name in (first, second))
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise NothingSelected(f"{first} and {second} have no cell of one variant and setting in common")
    comparisons = as_family(
        replace(compare(ours[place], theirs[place]), first=f"{place[0]} in {first}", second=f"{place[0]} in {second}")
        for place in shared
    )
    return render_comparisons(comparisons, format_)


def _wanted(selection: Selection) -> Callable[[Place], bool]:
    """Which cells the options choose. Raises UsageError for those that need a data set."""
    others = replace(selection, methods=(), ways=(), shots=(), seeds=(), expression=None)
    for name, value in asdict(others).items():
        if value:
            option = "--" + name
            raise UsageError(
                f"{option} is not for two databases: only --method, --way, --shot, --seed and -k choose cells"
            )
    return selection.wants


def _ranks(format_: str, selection: Selection) -> str:
    from fewshot_bench.experiment.choosing import choose
    from fewshot_bench.results.collect import results
    from fewshot_bench.tables.comparison_text import render_ranking
    from fewshot_bench.tables.ranks import FEWEST_SETTINGS, FEWEST_VARIANTS, rank
    from fewshot_bench.tables.summary import summarise

    ranking = rank(summarise(results(choose(selection))))
    if ranking is None:
        raise NothingSelected(
            f"ranks need {FEWEST_SETTINGS} settings in which each of {FEWEST_VARIANTS} variants or more is done; "
            "`bench compare A B` compares two variants in any setting"
        )
    return render_ranking(ranking, format_)
