"""`bench compare`: paired comparisons of variants, or of two databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fewshot_bench.cli.options import choose, selection_options
from fewshot_bench.errors import NothingSelected, UsageError


@click.command()
@click.argument("names", nargs=-1, metavar="[A B]")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="As JSON, unrounded.")
def compare(*, names: tuple[str, ...], as_json: bool, **selection: Any) -> int:
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


def _variants(first: str, second: str, format_: str, selection: dict[str, Any]) -> str:
    from fewshot_bench.tables.comparison_text import render_comparisons
    from fewshot_bench.tables.pairs import compare_variants

    if first == second:
        raise UsageError(f"{first!r} compared with itself is no comparison")
    for name in (first, second):
        if not Path(name).exists() and (name.endswith((".sqlite", ".db")) or "/" in name):
            raise UsageError(f"{name}: no such file")
    if selection["methods"]:
        raise UsageError(f"--method is not for `compare {first} {second}`: the two names are the methods")
    chosen = choose(**selection | {"methods": ((first, second),)})
    comparisons = compare_variants(chosen.results(), first, second)
    if not any(c.n_episodes for c in comparisons):
        raise NothingSelected(f"{first} and {second} share no stored episode; `bench run` makes them")
    return render_comparisons(comparisons, format_)


def _databases(first: str, second: str, format_: str, selection: dict[str, Any]) -> str:
    from fewshot_bench.results.collect import stored_scores
    from fewshot_bench.results.store import Reader
    from fewshot_bench.tables.comparison_text import render_comparisons
    from fewshot_bench.tables.pairs import as_family, compare

    wanted = _wanted(selection)
    ours, theirs = (stored_scores(Reader(_file(name)), wanted) for name in (first, second))
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise NothingSelected(f"{first} and {second} have no cell of one variant and setting in common")
    comparisons = as_family(
        replace(compare(ours[place], theirs[place]), first=f"{place[0]} in {first}", second=f"{place[0]} in {second}")
        for place in shared
    )
    return render_comparisons(comparisons, format_)


def _file(name: str) -> str:
    """A database, or the one in a folder."""
    return str(Path(name) / "results.sqlite") if Path(name).is_dir() else name


def _wanted(selection: dict[str, Any]) -> Callable[[str, int, int, int], bool]:
    """Which (variant, n_way, n_shot, seed) the options choose. Raises UsageError for those that need a data set."""
    from fewshot_bench.experiment.selection import parse

    narrowing = ("methods", "ways", "shots", "seeds")
    other = [name for name, value in selection.items() if value and name not in (*narrowing, "expression")]
    if other:
        option = "--" + other[0].replace("_", "-")
        raise UsageError(f"{option} is not for two databases: only --method, --way, --shot, --seed and -k choose cells")
    chosen = [{item for items in selection[name] or () for item in items} for name in narrowing]
    matches = parse(selection["expression"]) if selection["expression"] else None

    def wanted(*place: Any) -> bool:
        name = "{}-{}w{}s-s{}".format(*place)
        return all(part in items or not items for part, items in zip(place, chosen, strict=True)) and (
            matches is None or matches(name)
        )

    return wanted


def _ranks(format_: str, selection: dict[str, Any]) -> str:
    from fewshot_bench.tables.comparison_text import render_ranking
    from fewshot_bench.tables.ranks import FEWEST_SETTINGS, FEWEST_VARIANTS, rank
    from fewshot_bench.tables.summary import summarise

    ranking = rank(summarise(choose(**selection).results()))
    if ranking is None:
        raise NothingSelected(
            f"ranks need {FEWEST_SETTINGS} settings in which each of {FEWEST_VARIANTS} variants or more is done; "
            "`bench compare A B` compares two variants in any setting"
        )
    return render_ranking(ranking, format_)
