"""What the present number of episodes can show of a claim, and how many more would decide it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fewshot_bench.tables.claims.file import Place
from fewshot_bench.tables.claims.measuring import Cells, Tested
from fewshot_bench.tables.claims.verdicts import JudgedClaim
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate
from fewshot_bench.tables.statistics.power import POWER, episodes_to_separate, power_of

INCOMPLETE = "first, what is incomplete would have to be measured"


@dataclass(frozen=True)
class Extension:
    """Episodes that a cell would have to be given."""

    place: Place
    more: int
    total: int  # with the ones it has


@dataclass(frozen=True)
class Outlook:
    """A claim's power, and what would decide it; all of it for tests as the verdict makes them, one-sided."""

    power: float | None  # that its link shows a true difference of the claim's margin; None where nothing was measured
    extensions: tuple[Extension, ...] = ()  # that decide it with power POWER if the observed differences are true
    seconds: float | None = None  # of testing, one after another, as long as it took here; None where not known
    never: str = ""  # why no number of episodes decides it


def outlook(judged: JudgedClaim, cells: Cells) -> Outlook:
    """Power at the claim's own margin, never at the observed difference, and the way to a verdict."""
    link = judged.link
    power = power_of(link.estimate, judged.claim.margin, two_sided=False) if link and link.estimate else None
    if judged.verdict != "undecided":
        return Outlook(power)
    if not link:
        return Outlook(power, never=INCOMPLETE)
    sign = 1 if judged.claim.quantifier == "all" else -1
    measured = [(t, t.estimate) for t in judged.tested if t.estimate]
    against = [(t, t.in_family, e) for t, e in measured if t.in_family and sign * e.mean < 0]
    if against:  # one of these, shown, would decide it: the cheapest; Holm's first step divides alpha by all
        alpha, each = ALPHA / len(judged.tested), POWER
        both = (
            [(t, _episodes(e, t, alpha)), (t, _episodes(own, t, ALPHA))] for t, e, own in against
        )  # of its seeds, too
        routes = [_extended(needed, cells) for needed in both]
        known = [route for route in routes if route]
        best = min(known, key=lambda route: (_seconds(route, cells) or 0.0, sum(e.more for e in route)), default=None)
    else:  # all of them would have to be shown
        if judged.missing:
            return Outlook(power, never=INCOMPLETE)
        open_ones = [(t, e) for t, e in measured if (t.p_true if sign > 0 else t.p_false) > ALPHA]
        # so that all of them are shown with power POWER (Bonferroni)
        alpha, each = ALPHA, 1 - (1 - POWER) / max(1, len(open_ones))
        needed = [(t, _episodes(estimate, t, alpha, each)) for t, estimate in open_ones]
        best = _extended(needed, cells)
        link = next((t for t, total in needed if total is None), link)
    if best is None:
        return Outlook(power, never=_never(link, alpha, each))
    return Outlook(power, best, _seconds(best, cells))


def _episodes(estimate: Estimate, tested: Tested, alpha: float, power: float = POWER) -> int | None:
    """How many show the estimated difference with that power; None where no number does."""
    return episodes_to_separate(estimate, tested.n_episodes, estimate.mean, power, alpha, two_sided=False)


def _extended(needed: Sequence[tuple[Tested, int | None]], cells: Cells) -> tuple[Extension, ...] | None:
    """Every cell with the most that a hypothesis needs of it; None where one needs what no number gives."""
    totals: dict[Place, int] = {}
    for tested, total in needed:
        if total is None:
            return None
        for side in (tested.hypothesis.higher, tested.hypothesis.lower):
            if side:
                totals[side] = max(total, totals.get(side, 0))
    have = {place: min(len(cell.episodes) for cell in cells[place]) for place in totals}
    return tuple(Extension(place, total - have[place], total) for place, total in totals.items() if total > have[place])


def _seconds(extensions: Sequence[Extension], cells: Cells) -> float | None:
    """None where a cell's pace is not known."""
    paces = [[cell.seconds_per_episode for cell in cells[extension.place]] for extension in extensions]
    if not all(all(pace) for pace in paces):
        return None
    return sum(extension.more * sum(pace) for extension, pace in zip(extensions, paces, strict=True))


def _never(link: Tested, alpha: float, power: float) -> str:
    if link.estimate and link.estimate.mean and _episodes(link.estimate.here, link, alpha, power):
        return "as far as these classes tell, more classes are needed, not episodes"
    if len(link.seeds) > 1:
        return f"as far as these {len(link.seeds)} seeds tell, more seeds are needed, not episodes"
    return "cannot be said: an observed difference is 0"
