"""Variants, or databases, compared on the episodes that they share; how many episodes would decide between them."""

from collections.abc import Sequence
from dataclasses import asdict, replace

from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.choosing import configured
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import database_at, is_database
from fewshot_bench.results.collect import results, stored_scores
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.reading_back import choose_stored, none_stored
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.comparison_text import render_comparisons, render_ranking
from fewshot_bench.tables.pairs import compare, compare_variants
from fewshot_bench.tables.power import all_pairs, pairs_with_best, powers
from fewshot_bench.tables.power_text import power_details, power_json, power_text
from fewshot_bench.tables.ranks import FEWEST_SETTINGS, FEWEST_VARIANTS, rank
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import conflict


def compared(names: Sequence[str], format_: str, selection: Selection, margin: float = 0.0) -> str:
    """Two variants or two databases in every setting that they share; ranks of all variants where none is named."""
    if len(names) not in (0, 2):
        raise UsageError(f"compare takes two variants, two databases or nothing, not {len(names)} names")
    if not names:
        return _ranks(format_, selection)
    compare_two = _databases if all(map(is_database, names)) else _variants
    return compare_two(names[0], names[1], format_, selection, margin)


def _variants(first: str, second: str, format_: str, selection: Selection, margin: float) -> str:
    if first == second:
        raise UsageError(f"{first!r} compared with itself is no comparison")
    known = configured(selection, (first, second)).methods
    for name in (name for name in (first, second) if name not in known):
        if is_database(name):
            raise UsageError(
                f"{without_password(name)} is a database: compare it with another one; two variants in one are "
                "compared by name, their database named by --out or BENCH_DB"
            )
        if name.endswith((".sqlite", ".db")) or "/" in name:
            raise UsageError(f"{name}: no such file")
    if selection.methods:
        raise UsageError(f"--method is not for `compare {first} {second}`: the two names are the methods")
    chosen = choose_stored(replace(selection, methods=(first, second)))
    comparisons = compare_variants(results(chosen, with_answers=True), first, second)
    if not any(c.n_episodes for c in comparisons):
        raise none_stored(chosen, f"{first} and {second} share no stored episode")
    return render_comparisons(comparisons, format_, margin=margin)


def _databases(first: str, second: str, format_: str, selection: Selection, margin: float) -> str:
    wanted = _narrowed(selection).wants
    ours, theirs = (stored_scores(Reader(database_at(name)), wanted) for name in (first, second))
    shared, (here, there) = sorted(ours.keys() & theirs.keys()), map(without_password, (first, second))
    if not shared:
        raise NothingSelected(f"{here} and {there} have no cell of one variant and setting in common")
    n = len(shared)
    comparisons = [
        replace(compare(ours[at], theirs[at], n_tests=n), first=f"{at[0]} in {here}", second=f"{at[0]} in {there}")
        for at in shared
    ]
    same_weights = [same for at in shared for same in _contradictions(ours[at], theirs[at])]
    note = conflict(len(same_weights), sum(same_weights), "the other database")
    return render_comparisons(comparisons, format_, margin=margin, note=note)


def _contradictions(ours: Sequence[CellScore], theirs: Sequence[CellScore]) -> list[bool]:
    """Of each key that has another count for an episode in the two: whether its weights are known to be the same."""
    others = {cell.key: cell for cell in theirs}
    return [
        bool(cell.weights) and cell.weights == others[cell.key].weights
        for cell in ours
        if cell.key in others and _differ(cell, others[cell.key])
    ]


def _differ(cell: CellScore, other: CellScore) -> bool:
    return any(other.accuracy_by_id.get(name, right) != right for name, right in cell.accuracy_by_id.items())


def _narrowed(selection: Selection) -> Selection:
    """The selection. Raises UsageError for words that need a data set: cells of two databases are chosen by name."""
    others = replace(selection, methods=(), ways=(), shots=(), seeds=(), expression=None)
    for name, value in asdict(others).items():
        if value:
            option = "--set" if name == "settings" else "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} is not for two databases: only --method, --way, --shot, --seed and -k choose cells"
            )
    return selection


def _ranks(format_: str, selection: Selection) -> str:
    ranking = rank(summarise(results(choose_stored(selection), with_answers=True)))
    if ranking is None:
        raise NothingSelected(
            f"ranks need {FEWEST_SETTINGS} settings in which each of {FEWEST_VARIANTS} variants or more is done; "
            "`bench compare A B` compares two variants in any setting"
        )
    return render_ranking(ranking, format_)


def powered(
    names: tuple[str, ...],
    selection: Selection,
    *,
    every: bool,
    margin: float,
    power: float,
    as_json: bool,
    verbose: bool,
) -> str:
    """How many episodes would show a difference of `margin` percentage points, with a chance of `power`."""
    if len(names) not in (0, 2) or len(set(names)) < len(names):
        raise UsageError("power takes two different variants, or none")
    if not 0 < margin <= 100:
        raise UsageError(f"--margin {margin} must be above 0 and at most 100 percentage points")
    if not ALPHA < power < 1:
        raise UsageError(f"--power {power} must be between {ALPHA} and 1")
    chosen = choose_stored(replace(selection, methods=names) if names else selection)
    stored = results(chosen, with_answers=True)
    with_best = not (every or names)
    found = powers(stored, pairs_with_best(stored) if with_best else all_pairs(stored), margin / 100, power)
    if not any(pair.n_episodes for pair in found):
        raise none_stored(chosen, "no two of these variants share a stored episode")
    if as_json:
        return power_json(found, margin / 100, power)
    told = power_text(found, margin / 100, power, with_best=with_best)
    return told + "\n" + power_details(found, margin / 100, power, with_best=with_best) if verbose else told
