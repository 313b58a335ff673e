"""Power of pairs -> text for a terminal, or JSON. Differences are printed in percentage points."""

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import fill

from fewshot_bench.tables.documents import json_text
from fewshot_bench.tables.power import Needed, PairPower
from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.wording import (
    WIDTH,
    beside,
    columns,
    duration,
    padded,
    pairs_counted,
    percent,
    points,
    setting_name,
)


def power_json(pairs: Sequence[PairPower], margin: float, power: float) -> str:
    """Fractions, unrounded; null where there is no number."""
    asked = {"schema": 2, "alpha": ALPHA, "two_sided": True, "corrected": True, "power": power, "margin": margin}
    return json_text(asked | {"pairs": [asdict(p) for p in pairs]})


def power_text(pairs: Sequence[PairPower], margin: float, power: float, *, with_best: bool = False) -> str:
    """What is decided, what is not and the cheapest next step; then a row a pair."""
    shown, open_ones = [p for p in pairs if p.shown], [p for p in pairs if not p.shown and p.difference is not None]
    todo = [p for p in open_ones if p.for_margin and p.for_margin.answer == "more episodes"]
    costs = [
        ((p.for_margin.seconds or 0.0, p.for_margin.n_episodes or 0), i) for i, p in enumerate(todo) if p.for_margin
    ]
    step = f"none by episodes: as far as classes and seeds tell, no number shows {_points(margin)} in what is open"
    if not open_ones:
        step = "none is needed"
    elif not costs and any(p.for_margin and p.for_margin.answer == "enough" for p in open_ones):
        step = f"the stored episodes show {_points(margin)}; what is open is closer, or needs other classes or seeds"
    elif costs:
        cheapest = todo[min(costs)[1]]
        step = f"{_name(cheapest)}: {_plan(cheapest)} for a true difference of {_points(margin)}"
    about = _premises(pairs, power, with_best=with_best)
    legend = [
        "n: shared episodes; power: of n to show the difference named at the right. At the right: the episodes that "
        f"show it with power {power:g}; or, where none do as far as these classes or seeds tell, the fewest classes, "
        "with as many episodes as it takes, or seeds, with n. In brackets between which numbers it lies nine times of "
        "ten, each error being known from so few episodes, classes and seeds.",
        "bench power -v: all numbers. Words and formulas: docs/statistics.md",
    ]
    if open_ones and max(p.n_tests for p in pairs) > 1:
        legend[1] = f"A comparison named beforehand, as a claim, is no part of that family. {legend[1]}"
    n_untested = len(pairs) - len(shown) - len(open_ones)
    first = {
        "Decided": f"{len(shown)} of {len(pairs)} pairs differ significantly{_scopes(shown)}",
        "Not decided": f"{len(open_ones)}" + (f"; {n_untested} not tested" if n_untested else ""),
        "Next step": step,
    }
    lines = [fill(f"{name:<13}{words}", WIDTH, subsequent_indent=" " * 13) for name, words in first.items()]
    lines += ["", *_rows(pairs, margin), "", *(fill(words, WIDTH) for words in (*about, *legend))]
    return "\n".join(lines) + "\n"


def _rows(pairs: Sequence[PairPower], margin: float) -> list[str]:
    """A line a pair, below its setting or, where all are of one pair, below that."""
    blocks = _blocks(pairs)
    names = max(columns(label) for _, rows in blocks for label, _ in rows)
    lines = [f"{'':<{names + 2}}{'n':>5}{'points':>8}{'power':>7}  for {_points(margin)}"]
    for title, rows in blocks:
        lines.append(title)
        for label, p in rows:
            power = "" if p.power is None else f"{p.power:.2f}"
            numbers = f"  {padded(label, names)}{p.n_episodes:>5}{points(p.difference):>8}{power:>7}  "
            lines.append(beside(numbers, _plan(p), names + 7))
    return lines


def _scopes(pairs: Sequence[PairPower]) -> str:
    """ ", for classes like these"; both scopes where there are both, empty where there is no pair."""
    scopes = sorted({p.scope for p in pairs})
    return f", {' or '.join(scopes)}" if scopes else ""


def _name(p: PairPower) -> str:
    return f"{setting_name(p.n_way, p.n_shot)}: {p.first} - {p.second}"


def _points(margin: float) -> str:
    return f"{100 * margin:g} point" + ("" if margin == 0.01 else "s")


def _plan(p: PairPower) -> str:
    """ "861 episodes (507 to 1,840)"; or "58 classes (31 to 92), not episodes (220 to never)", seeds likewise."""
    needed = p.for_margin
    if needed is None:
        return "too few shared episodes"
    if needed.n_episodes:
        mark = ", undecidable within this data" if needed.answer == "undecidable within this data" else ""
        return f"{needed.n_episodes:,} episodes ({_range(needed.between)}){mark}"
    if needed.answer == "never":
        return needed.answer
    unless = f" ({_range(needed.between)})" if needed.between[0] else ""
    return f"{_instead(needed)}, not episodes{unless}"


def _instead(needed: Needed) -> str:
    """Of classes or seeds, where no number of episodes would do."""
    of_classes = needed.answer == "undecidable within this data"
    what = "classes" if of_classes else "seeds"
    number, between = (
        (needed.n_classes, needed.classes_between) if of_classes else (needed.n_seeds, needed.seeds_between)
    )
    return f"{number:,} {what} ({_range(between)})" if number else f"more {what}"


def _range(between: tuple[int | None, int | None]) -> str:
    return " to ".join(f"{n:,}" if n else "never" for n in between)


def power_details(pairs: Sequence[PairPower], margin: float, power: float, *, with_best: bool = False) -> str:
    """All numbers of each pair, in lines as wide as they need. `with_best`: they are `pairs_with_best`."""
    margin_text = _points(margin)
    blocks = _blocks(pairs)
    width = max(len(label) for _, rows in blocks for label, _ in rows)
    numbers = f"{'n':>5}{'disjoint':>10}{'difference':>12}{'sd':>7}{'detectable':>12}{'power':>7}"
    head = f"{numbers}   {f'for {margin_text}':<18}"
    lines = [*_premises(pairs, power, with_best=with_best), "", f"  {'':<{width}}{head}for the difference"]
    for title, rows in blocks:
        lines += [title, *(f"  {label:<{width}}{_numbers(p)}" for label, p in rows)]
    return "\n".join([*lines, "", *_legend(pairs, margin_text)]) + "\n"


Block = tuple[str, list[tuple[str, PairPower]]]  # a title and labelled rows


def _blocks(pairs: Sequence[PairPower]) -> list[Block]:
    """A block where all rows are of one pair; else a block a setting, the closest pairs first."""
    if len({(p.first, p.second) for p in pairs}) == 1:
        return [(f"{pairs[0].first} minus {pairs[0].second}", [(setting_name(p.n_way, p.n_shot), p) for p in pairs])]
    blocks: list[Block] = []
    for n_way, n_shot in dict.fromkeys((p.n_way, p.n_shot) for p in pairs):
        rows = [p for p in pairs if (p.n_way, p.n_shot) == (n_way, n_shot)]
        rows.sort(key=lambda p: 2.0 if p.difference is None else abs(p.difference))
        title, firsts = setting_name(n_way, n_shot), {p.first for p in rows}
        if len(firsts) == 1:
            blocks.append((f"{title}: {rows[0].first} minus", [(p.second, p) for p in rows]))
        else:
            blocks.append((title, [(f"{p.first} - {p.second}", p) for p in rows]))
    return blocks


def _premises(pairs: Sequence[PairPower], power: float, *, with_best: bool) -> list[str]:
    counts = sorted({len(p.seeds) for p in pairs if p.n_episodes}) or [1]
    if counts[-1] < 2:
        about = "One training seed: differences of two checkpoints, not of two methods."
    elif counts[0] < 2:
        about = "Where both have several training seeds, differences of methods; else of two checkpoints only."
    else:
        more, others = " or more" * (len(counts) > 1), ", and from other pairs" * any(p.borrowed for p in pairs)
        about = (
            f"{counts[0]} training seeds{more}: differences of methods; how seeds vary is known from these few{others}."
        )
    n_tests = [p.n_tests for p in pairs]
    of_all = f"corrected for all {pairs_counted(n_tests)} of a setting" if max(n_tests) > 1 else "of one pair"
    scopes = sorted({p.scope for p in pairs if p.difference is not None})
    test = f"Paired test, two-sided at {ALPHA:g} {of_all}, as `bench compare` makes it; power {power:g}."
    chosen = "The best of a setting is chosen by these same episodes, which flatters its lead." if with_best else ""
    return [*filter(None, [test, f"Differences {', or '.join(scopes)}." if scopes else "", about, chosen])]


def _numbers(p: PairPower) -> str:
    start = f"{p.n_episodes:>5}{p.disjoint_episodes:>10}"
    if p.difference is None or p.deviation is None or p.detectable is None or p.power is None:
        return f"{start}  too few shared episodes"
    detectable = percent(p.detectable) if p.detectable <= 1 else "none"  # differences end at 100 points
    numbers = f"{points(p.difference):>12}{percent(p.deviation):>7}{detectable:>12}{p.power:>7.2f}"
    return f"{start}{numbers}   {_needed(p.for_margin):<18}{_needed(p.for_difference)}".rstrip()


def _needed(needed: Needed | None) -> str:
    if needed is None:
        return ""
    if needed.n_episodes is None:
        if needed.answer == "undecidable within this data":
            return f"{needed.n_classes} classes*" if needed.n_classes else "classes*"
        if needed.answer == "more seeds, not episodes":
            return f"{needed.n_seeds} seeds" if needed.n_seeds else "seeds"
        return "never"
    mark = "*" if needed.answer == "undecidable within this data" else ""
    time = f" (+{duration(needed.seconds)})" if needed.seconds else ""
    return f"{needed.n_episodes}{mark}{time}"


def _legend(pairs: Sequence[PairPower], margin: str) -> list[str]:
    answers = {needed.answer for p in pairs for needed in (p.for_margin, p.for_difference) if needed}
    told = [
        "n: shared episodes; disjoint: so many at most share no image; sd: of one episode's difference, as measured "
        "(at least that of rounding to one query). detectable: the smallest true difference that n episodes show; "
        f"power: of n episodes to show {margin}. for ...: episodes that show it (testing that is missing, at the "
        "measured pace); the difference: if the measured one, whose own error is not in this, is the true one.",
    ]
    if "undecidable within this data" in answers:
        told.append(
            "* undecidable within this data, for any statement about more than these classes: more episodes sharpen "
            "only the comparison of what was trained here on these classes and images. Of classes: the fewest with "
            "which some number of episodes would do."
        )
    if "more seeds, not episodes" in answers:
        told.append(
            "seeds: more seeds, not episodes: as far as so few seeds tell, how they differ hides it; the fewest that, "
            "with n episodes, show it."
        )
    if "never" in answers:
        told.append("never: no number of episodes shows a difference of zero, or one so small.")
    return [fill(words, WIDTH) for words in (*told, "Words and formulas: docs/statistics.md")]
