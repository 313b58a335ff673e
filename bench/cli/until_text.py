"""What `bench run --until separated` says: around each interim analysis, at the end, and beforehand with -n."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from fewshot_bench.experiment.plan import Plan
from fewshot_bench.tables.pairs import scope_of
from fewshot_bench.tables.power import hidden_by_classes, hidden_by_seeds
from fewshot_bench.tables.scores import Experiment, Results
from fewshot_bench.tables.separation import Contest, Place
from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.statistics.seeds import FEWEST_SEEDS
from fewshot_bench.tables.statistics.sequential import boundaries, fractions_of
from fewshot_bench.tables.summary import disjoint_episodes
from fewshot_bench.tables.wording import WIDTH, counted, duration, setting_name

NO_BREAK = "\N{NO-BREAK SPACE}"


def before(number: int, plan: Plan) -> str:
    """What an interim analysis needs."""
    return f"analysis {number}: {plan}"


def after(number: int, contests: Sequence[Contest]) -> str:
    """What an analysis has shown: of every setting in it, the shorter list of separated and undecided pairs."""
    lines = [f"analysis {number}:"]
    for place, pairs in by_place(contests).items():
        if len(pairs[0].estimates) < number:  # it needed fewer analyses
            continue
        separated, undecided = [c for c in pairs if c.separated], [c for c in pairs if c.undecided]
        told = f"{len(separated)} of {len(pairs)} pairs separated"
        if 0 < len(separated) <= len(undecided):
            told += f": {_names(separated)}"
        elif separated and undecided:
            told += f", not {_names(undecided)}"
        lines.append(_wrapped(place, f"{pairs[0].n_episodes} episodes: {told}"))
    return "\n".join(lines)


def ending(contests: Sequence[Contest], results: Results) -> str:
    """What was decided, and what that means."""
    lines = ["result:"]
    lines += [_wrapped(place, _outcome(pairs, results.experiment)) for place, pairs in by_place(contests).items()]
    n_seeds = len(results.seeds)
    about = (
        "One training seed: this compares checkpoints, not methods."
        if n_seeds == 1
        else f"{n_seeds} training seeds: this compares methods; the spread over seeds is part of the error."
    )
    lent = ", and takes from other pairs how seeds vary" * (n_seeds >= FEWEST_SEEDS)
    notes = [
        f"{about} It speaks {scope_of(c.estimate for c in contests)}. "
        f"At most {100 * ALPHA:g} % of such runs separate any pair that does not differ (Holm over "
        f"{len(contests)} pairs, O'Brien-Fleming-type spending over the interim analyses). That holds for "
        "these as planned: another --max-episodes, chosen because of this outcome, is another test. So is `bench "
        f"compare`, which corrects for the pairs of one setting{lent}.",
        "Tables show as many episodes as the budget says; bench report --episodes N shows N of them (of one setting: "
        "--way and --shot).",
    ]
    return "\n".join([*lines, *(textwrap.fill(note, WIDTH) for note in notes)])


def planned(contests: Sequence[Contest], seconds: float | None) -> str:
    """The analyses of every setting, and how long they may take."""
    about = (
        f"--until separated: {len(contests)} pairs, error rate {ALPHA:g} for all of them and all analyses together; "
        "z: its |z|, of the t-test's p, separates the first pair"
    )
    lines = [textwrap.fill(about, WIDTH), f"  {'':<16} {'episodes at each analysis':<28}      z at each"]
    for place, pairs in by_place(contests).items():
        limits = boundaries(fractions_of(pairs[0].looks), ALPHA / len(contests))
        looks = " ".join(f"{n:>5}" for n in pairs[0].looks)
        lines.append(f"  {setting_name(*place):<16} {looks:<28} {' '.join(f'{limit:6.2f}' for limit in limits)}")
    if seconds is not None:
        lines.append(
            f"testing takes at most {duration(seconds)} to the last analysis (one job, this database's history)"
        )
    return "\n".join(lines)


def planned_document(contests: Sequence[Contest]) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "until": "separated",
        "alpha": ALPHA,
        "pairs": len(contests),
        "looks": [
            {"n_way": place[0], "n_shot": place[1], "episodes": list(pairs[0].looks)}
            for place, pairs in by_place(contests).items()
        ],
    }


def document(number: int, contests: Iterable[Contest], experiment: Experiment) -> dict[str, Any]:
    """One analysis as JSON; `separated` is null where a variant has no results."""
    return {
        "look": number,
        "pairs": [
            {
                "first": c.first,
                "second": c.second,
                "n_way": c.place[0],
                "n_shot": c.place[1],
                "episodes": c.n_episodes,
                "disjoint_episodes": disjoint_episodes(experiment, *c.place),
                "difference": c.estimate.mean if c.estimate else None,
                "scope": c.estimate.scope if c.estimate else None,
                "separated": c.separated if c.comparable else None,
            }
            for c in contests
        ],
    }


def by_place(contests: Iterable[Contest]) -> dict[Place, list[Contest]]:
    """The pairs of each setting."""
    places: dict[Place, list[Contest]] = {}
    for contest in contests:
        places.setdefault(contest.place, []).append(contest)
    return places


def verdict(contest: Contest) -> str:
    """ "maml > reptile" where they are separated, else "maml/reptile"."""
    if not contest.separated or contest.estimate is None:
        return f"{contest.first}/{contest.second}"
    first, second = contest.first, contest.second
    return f"{first} > {second}" if contest.estimate.mean > 0 else f"{second} > {first}"


def _outcome(pairs: Sequence[Contest], experiment: Experiment) -> str:
    """Of one setting."""
    n, disjoint = pairs[0].n_episodes, disjoint_episodes(experiment, *pairs[0].place)
    undecided = [c for c in pairs if c.undecided]
    lost = sum(not c.comparable for c in pairs)
    without = f"; {lost} pairs without results" if lost else ""
    most = f"at most {counted(disjoint, 'episode')} without a shared image"
    reused = n > disjoint and not all(c.estimate.new_classes for c in pairs if c.estimate)
    if not undecided:
        scope = f" (on these images: {most})" if reused else ""
        return f"separated with {n} episodes{scope}{without}: {_order(pairs)}" if lost < len(pairs) else "no results"
    told = f"not separated with {n} episodes ({'undecidable within this data: ' if reused else ''}{most}): "
    told += f"{len(undecided)} of {len(pairs)} pairs{without}: {_names(undecided)}"
    if hidden := [c for c in undecided if c.estimate and hidden_by_classes(c.estimate)]:
        told += f"; undecidable within this data, whose classes alone hide it: {_names(hidden)}"
    if hidden := [c for c in undecided if c.estimate and hidden_by_seeds(c.estimate)]:
        told += f"; more seeds, not episodes, could separate {_names(hidden)}"
    return told


def _order(pairs: Sequence[Contest]) -> str:
    """All variants, the best first, where every neighbour is separated from the next; else the separated pairs."""
    won = {
        (c.first, c.second) if c.estimate.mean > 0 else (c.second, c.first) for c in pairs if c.separated and c.estimate
    }
    names = sorted({name for pair in won for name in pair}, key=lambda name: -sum(first == name for first, _ in won))
    in_line = [(first, second) for i, first in enumerate(names) for second in names[i + 1 :]]
    if set(in_line) == won:
        return " > ".join(names)
    return _names(c for c in pairs if c.separated)


def _names(contests: Iterable[Contest]) -> str:
    """Pairs in a row; a line does not break within one."""
    return ", ".join(verdict(c).replace(" ", NO_BREAK) for c in contests)


def _wrapped(place: Place, text: str) -> str:
    whole = f"  {setting_name(*place):<15} {text}"
    filled = textwrap.fill(whole, WIDTH, subsequent_indent=" " * 18, break_on_hyphens=False)
    return filled.replace(NO_BREAK, " ")
