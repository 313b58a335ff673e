"""What is said of one judged claim: its paper, its verdict, its link, its power, and what would decide it."""

from collections.abc import Iterable, Sequence

from fewshot_bench.tables.claims.file import Claim
from fewshot_bench.tables.claims.measuring import Tested
from fewshot_bench.tables.claims.outlook import Outlook
from fewshot_bench.tables.claims.paper import PaperReading, PrintedDifference
from fewshot_bench.tables.claims.verdicts import JudgedClaim, Judgement, after_holm
from fewshot_bench.tables.pairs import scope_of
from fewshot_bench.tables.statistics.power import POWER
from fewshot_bench.tables.summary import disjoint_episodes
from fewshot_bench.tables.wording import counted, percent, points, rough_duration, setting_name

LISTED = 3  # contradictions or missing cells that are named; the others are counted


def link_name(claim: Claim) -> str:
    """What the comparison is called that the verdict turns on."""
    return "Weakest link" if claim.quantifier == "all" else "Strongest link"


def scope(claim: Claim) -> str:
    """How many comparisons the reading speaks of."""
    n = len(claim.hypotheses)
    if n == 1:
        return "(one comparison)"
    return f"(all of {n} comparisons)" if claim.quantifier == "all" else f"(at least one of {n} comparisons)"


def paper(reading: PaperReading) -> str:
    """ "holds (18 of 18)", or "not in that order (35 of 36 hold)"."""
    if not reading.printed:
        return "not printed"
    count = f"{reading.n_holding} of {len(reading.printed)}"
    return f"holds ({count})" if reading.verdict == "holds" else f"{reading.verdict} ({count} hold)"


def paper_in_full(reading: PaperReading) -> str:
    """With settings and margins; every margin of a paper says that it is one."""
    held, settings = reading.settings
    count = f"{reading.n_holding} of {len(reading.printed)} comparisons"
    count += "" if reading.verdict == "holds" else " hold"
    count += f", {held} of {settings} settings" if 1 < settings < len(reading.printed) else ""
    count += f", {reading.n_absent} not printed" if reading.n_absent else ""
    if reading.verdict == "holds":
        margin = f"; smallest margin {points(reading.smallest.difference)} points (paper)" if reading.smallest else ""
        return f"holds ({count}){margin}"
    but = listed([_contradiction(one) for one in reading.contradictions])
    return f"{reading.verdict} ({count})" + (f"; {but}" if but else "")


def _contradiction(one: PrintedDifference) -> str:
    if one.difference == 0:
        return one.hypothesis.words("=") + " (paper)"
    return f"{one.hypothesis.words('<')} by {percent(-one.difference)} points (paper)"


def measured(judged: JudgedClaim, judgement: Judgement) -> str:
    """The verdict with its scope, and the counts that it rests on."""
    n_seeds = len(judgement.seeds)
    whom = "these checkpoints" if n_seeds == 1 else f"the methods as trained here, {n_seeds} seeds"
    n = len(judged.tested)
    return (
        f"{judged.verdict}{at(judged, judgement)} for {whom}, {scope_of(t.estimate for t in judged.tested)}: of "
        f"{counted(n, 'comparison')} {judged.n_true} shown true, {judged.n_false} shown false, "
        f"{judged.n_open} open{' (after Holm)' if n > 1 else ''}"
    )


def at(judged: JudgedClaim, judgement: Judgement) -> str:
    """ " at 0.25 % of the published training": what a decided verdict is about, where that is less than all of it."""
    share = share_of([judged], judgement)
    return f" at {share} of the published training" if share and judged.verdict != "undecided" else ""


def share_of(claims: Iterable[JudgedClaim], judgement: Judgement) -> str:
    """How much of the published training the variants of these sentences have; empty where that is all of it."""
    hypotheses = (hypothesis for judged in claims for hypothesis in judged.claim.hypotheses)
    variants = {side.variant: None for one in hypotheses for side in (one.higher, one.lower) if side}
    return judgement.experiment.share_of(variants)


def difference(judged: JudgedClaim) -> str:
    """ "+7.90 [+2.32, +13.49]", at the link; empty where nothing was measured."""
    if not judged.link or not judged.link.estimate or not judged.link_interval:
        return ""
    low, high = judged.link_interval
    return f"{points(judged.link.estimate.mean)} [{points(low)}, {points(high)}]"


def turns_on(judged: JudgedClaim, seeds: Sequence[int]) -> str:
    """The link with all that is known of it."""
    link = judged.link
    if not link:
        return ""
    fewer = f", of seeds {', '.join(map(str, link.seeds))} alone" if len(link.seeds) < len(seeds) else ""
    return f"{link.hypothesis}: {difference(judged)} points, n = {link.n_episodes}{fewer}; {_p_value(judged, link)}"


def _p_value(judged: JudgedClaim, link: Tested) -> str:
    """Of the test that the verdict rests on, or would: Holm's where one hypothesis is enough, else its own."""
    place, against = judged.tested.index(link), judged.verdict == "refuted"
    corrected = (judged.claim.quantifier == "all") == against
    own = link.p_false if against else link.p_true
    p = after_holm(judged.tested, true=not against)[place] if corrected else own
    digits = 4 if p < 0.01 else 3 if p < 0.1 else 2
    shown = "p < 0.0001" if p < 1e-4 else f"p = {p:.{digits}f}"
    return f"one-sided {shown}{' against it' if against else ''}{' after Holm' if corrected else ''}"


def power(judged: JudgedClaim, ahead: Outlook) -> str:
    """What the present episodes would show of the declared margin."""
    if ahead.power is None or judged.verdict != "undecided":
        return ""
    margin = f"{100 * judged.claim.margin:g} point{'s' if judged.claim.margin != 0.01 else ''}"
    return f"a true difference of {margin} at this link would be shown with probability {_probability(ahead.power)}"


def _probability(power: float) -> str:
    return "above 99 %" if power > 0.99 else "below 1 %" if power < 0.01 else f"{100 * power:.0f} %"


def to_decide(ahead: Outlook, judgement: Judgement) -> str:
    """Episodes and time; says so where the data cannot give that many without using images twice."""
    if ahead.never:
        return ahead.never
    if not ahead.extensions:
        return ""
    most, total = max(e.more for e in ahead.extensions), sum(e.more for e in ahead.extensions)
    n, time = len(ahead.extensions), "" if ahead.seconds is None else f", {rough_duration(ahead.seconds)} of testing"
    count = f"{most:,} more episodes in one cell" if n == 1 else f"up to {most:,} more episodes a cell in {n} cells"
    count += f" ({total:,} in all)" if n > 1 else ""
    text = f"{count}{time}: power {100 * POWER:.0f} % or more if what was observed is true"
    room = {e: disjoint_episodes(judgement.experiment, e.place.n_way, e.place.n_shot) for e in ahead.extensions}
    tight = min((e for e in room if e.total > room[e]), key=lambda e: room[e], default=None)
    if not tight:
        return text
    setting = setting_name(tight.place.n_way, tight.place.n_shot)
    return f"{text}; images are then used more than once (of {setting} at most {room[tight]} share none)"


def agreement(judged: JudgedClaim, judgement: Judgement) -> str:
    """Whether paper and measurement say the same; says so where they speak of other data or of less training."""
    told = judged.agreement + (f" ({judged.n_opposite} the other way)" if judged.agreement == "agrees in part" else "")
    if "agrees" not in told:
        return told
    parts = [told, "on other data" if judgement.other_data else "", at(judged, judgement).strip()]
    return ", ".join(filter(None, parts))


def listed(parts: Sequence[str]) -> str:
    """The first few, and how many others there are."""
    named = "; ".join(parts[:LISTED])
    return named if len(parts) <= LISTED else f"{named}; and {len(parts) - LISTED} more"
