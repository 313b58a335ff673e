"""Comparisons -> text for a terminal, or JSON. Differences are printed in percentage points."""

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import fill, wrap

from fewshot_bench.tables.documents import json_text
from fewshot_bench.tables.pairs import Comparison, borrows, scope_of
from fewshot_bench.tables.ranks import CAUTION, Ranking
from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.wording import WIDTH, beside, p_value, pairs_counted, points, setting_name


def render_comparisons(comparisons: Sequence[Comparison], format: str, *, margin: float = 0.0, note: str = "") -> str:
    """ "text" or "json"; the comparisons are one family. margin: a fraction, for equivalence. note: said first."""
    return _json(comparisons, margin) if format == "json" else _text(comparisons, margin, note)


def render_ranking(ranking: Ranking, format: str) -> str:
    """ "text" or "json"."""
    if format == "json":
        return json_text({"schema": 1, "alpha": ALPHA} | asdict(ranking) | {"groups": ranking.groups})
    lines = [f"{'':<24}mean rank  p against the first (Nemenyi)"]
    for i, ranked in enumerate(ranking.ranked):
        lines.append(f"  {ranked.variant:<22}{ranked.mean_rank:>9.2f}  {p_value(ranked.p) if i else ''}".rstrip())
    return "\n".join(["\n".join(lines), "", *(fill(text, WIDTH) for text in (ranking.words, CAUTION))]) + "\n"


def verdict(comparison: Comparison, margin: float = 0.0) -> str:
    """higher, lower, equivalent within the margin, not separated, cannot tell; else why nothing was compared."""
    if comparison.mean is None:
        return "no shared episodes"
    if comparison.estimate is None:
        return "too few episodes"
    if comparison.equal:
        return "equal counts"
    scope = comparison.equivalent(margin)
    words = f"equivalent within {100 * margin:g} {scope}" if scope else ""
    if not comparison.significant:
        return words or "cannot tell" if comparison.cannot_tell else "not separated"
    return ("higher" if comparison.mean > 0 else "lower") + (f", {words}" if words else "")


def _text(comparisons: Sequence[Comparison], margin: float, note: str) -> str:
    names = list(dict.fromkeys((c.first, c.second) for c in comparisons))
    tested = [c for c in comparisons if c.p is not None]
    lines = [*wrap(note or _headline(comparisons), WIDTH), ""]
    head = f"{'':<16}{'n':>5}{'points':>8}  {'95 % interval':>16}{'p':>9}{'p (all)':>9}"
    for name in names:
        lines += [f"{name[0]} minus {name[1]}", head]
        lines += [_line(c, margin) for c in comparisons if (c.first, c.second) == name]
        lines.append("")
    if tested:
        family = pairs_counted([c.n_tests for c in tested])
        lent = ", and borrow from all what they tell of the seeds" if borrows(tested) else ""
        lines += wrap(
            f"Paired tests on shared episodes, {scope_of(c.estimate for c in tested)}. The intervals are of one "
            f"difference each; p (all) and the words are corrected for all {family} "
            f"compared, {100 * ALPHA:.0f} %{lent}; claims for those of their sentence. cannot tell: too few "
            "episodes, seeds or classes to show even the higher side's lead over chance; equal counts: in every "
            "shared episode. Words and formulas: docs/statistics.md",
            WIDTH,
        )
    return "\n".join(lines) + "\n"


def _headline(comparisons: Sequence[Comparison]) -> str:
    seeds = {len(c.seeds) for c in comparisons if c.n_episodes}
    if not seeds:
        return "Nothing to compare: no episode is stored for both."
    if seeds == {1}:
        return "Two checkpoints each, not two methods: with one training seed, another seed may turn the order."
    fewest = min(seeds)
    if fewest == 1:
        return "Where both have several training seeds, methods are compared; else only two checkpoints."
    more = " or more" * (len(seeds) > 1)
    return f"Methods compared over {fewest} training seeds{more}; the seeds' variance is in the intervals."


def _line(c: Comparison, margin: float) -> str:
    setting = f" {setting_name(c.n_way, c.n_shot)}"
    if c.mean is None or c.estimate is None:
        return f"{setting:<16}{c.n_episodes:>5}  {verdict(c)}"
    low, high = c.estimate.interval(within=1.0)
    interval = f"{points(low)} to {points(high)}"
    start = f"{setting:<16}{c.n_episodes:>5}{points(c.mean):>8}  {interval:>16}{p_value(c.p):>9}"
    return beside(f"{start}{p_value(c.p_corrected):>9}  ", verdict(c, margin), 16)


def _json(comparisons: Sequence[Comparison], margin: float) -> str:
    """Fractions, unrounded; null where there is no number."""
    listed = []
    for c in comparisons:
        low, high = c.estimate.interval(within=1.0) if c.estimate else (None, None)
        listed.append(
            asdict(c) | {"low": low, "high": high, "verdict": verdict(c, margin), "scope": scope_of([c.estimate])}
        )
    return json_text({"schema": 1, "alpha": ALPHA, "comparisons": listed})
