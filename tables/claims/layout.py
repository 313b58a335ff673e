"""Judgement -> ClaimSheet: the words and digits that the printed formats share. Here fractions become points."""

from dataclasses import dataclass

from fewshot_bench.tables.claims import words as say
from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import VERDICTS, JudgedClaim, Judgement
from fewshot_bench.tables.layout import anchor
from fewshot_bench.tables.pairs import scope_of
from fewshot_bench.tables.wording import counted


@dataclass(frozen=True)
class Block:
    """One sentence as printed."""

    id: str
    label: str  # fit for an anchor
    sentence: str  # in its quotation marks
    where: str
    verdict: str
    at: str  # of which training the verdict speaks, where that is less than the published one
    agreement: str
    paper: str  # the verdict of the paper's own table, with its count
    difference: str  # at the link, in points with its interval; empty where nothing was measured
    details: tuple[tuple[str, str], ...]  # (name, words), those that there are


@dataclass(frozen=True)
class ClaimSheet:
    """A file of claims as printed."""

    title: str
    first: tuple[tuple[str, str], ...]  # what is decided, what is not, the cheapest next step
    headline: str  # "9 sentences: 2 supported, 3 refuted, 4 undecided"
    head: tuple[str, ...]  # what was measured, and what the verdicts are about
    link: str  # "Weakest link", as the column that has it is called
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]


def lay_out_claims(judgement: Judgement) -> ClaimSheet:
    """Everything that a printed judgement says."""
    counts = [(sum(judged.verdict == verdict for judged in judgement.claims), verdict) for verdict in VERDICTS]
    share = say.share_of(judgement.claims, judgement)
    return ClaimSheet(
        title=f"Claims of {judgement.file.source}",
        first=_first(judgement),
        headline=f"{counted(judgement.claims, 'sentence')}: "
        + ", ".join(f"{count} {word}" for count, word in counts)
        + f", at {share} of the published training" * bool(share),
        head=_head(judgement),
        link=" or ".join(dict.fromkeys(say.link_name(judged.claim) for judged in judgement.claims)),
        blocks=tuple(_block(judged, judgement) for judged in judgement.claims),
        notes=_notes(judgement),
    )


def _first(judgement: Judgement) -> tuple[tuple[str, str], ...]:
    decided = [one for one in judgement.claims if one.verdict != "undecided"]
    share, tested = say.share_of(decided, judgement), [t.estimate for one in decided for t in one.tested]
    at = f" ({scope_of(tested)}{f', at {share} of the published training' * bool(share)})" if decided else ""
    open_ones = [one for one in judgement.claims if one.verdict == "undecided"]
    ahead = [(outlook(one, judgement.cells), one) for one in open_ones]
    steps = [(o.seconds or 0.0, sum(e.more for e in o.extensions), i) for i, (o, _) in enumerate(ahead) if o.extensions]
    never = dict.fromkeys(o.never for o, _ in ahead if o.never)
    step = f"no number of episodes alone: {'; '.join(never)}" if open_ones else "none is needed"
    if steps:
        cheapest, one = ahead[min(steps)[2]]
        step = f"for {one.claim.id}, {say.to_decide(cheapest, judgement)}"
    return (
        ("Decided", (", ".join(f"{one.claim.id} {one.verdict}" for one in decided) or "nothing") + at),
        ("Not decided", ", ".join(one.claim.id for one in open_ones) or "nothing"),
        ("Next step", step),
    )


def _head(judgement: Judgement) -> tuple[str, ...]:
    e, seeds = judgement.experiment, judgement.seeds
    listed = ", ".join(map(str, seeds))
    measured = (
        f"Measured on {e.dataset}, split {e.split} ({e.n_base_classes} base, {e.n_novel_classes} novel classes), "
        f"protocol {e.protocol}, {e.spent}, {e.model}, seed{'s' if len(seeds) > 1 else ''} {listed}."
    )
    about = "One training seed: every verdict is about these checkpoints, not about the methods."
    if len(seeds) > 1:
        about = f"{len(seeds)} training seeds: verdicts are about the methods as trained here, at this budget."
    lines = [measured, about, e.dataset_note]
    if judgement.published and judgement.other_data:
        lines.append(f"The paper's own table is of {judgement.published.dataset}, not of {e.dataset}.")
    return tuple(line for line in lines if line)


def _block(judged: JudgedClaim, judgement: Judgement) -> Block:
    claim, ahead = judged.claim, outlook(judged, judgement.cells)
    details = (
        ("Reading", f"{claim.reading} {say.scope(claim)}"),
        ("Paper's table", say.paper_in_full(judged.paper) if judged.paper else ""),
        ("Measured", say.measured(judged, judgement)),
        (say.link_name(claim), say.turns_on(judged, judgement.seeds)),
        ("Power", say.power(judged, ahead)),
        ("To decide", say.to_decide(ahead, judgement)),
        ("Incomplete", say.listed(judged.missing)),
        ("Agreement", say.agreement(judged, judgement) if judged.paper else ""),
    )
    return Block(
        id=claim.id,
        label=f"claim-{anchor(claim.id)}",
        sentence=f"“{claim.sentence}”",
        where=f"{claim.where}; implied" if claim.implied else claim.where,
        verdict=judged.verdict,
        at=say.at(judged, judgement),
        agreement=say.agreement(judged, judgement),
        paper=say.paper(judged.paper) if judged.paper else "no table",
        difference=say.difference(judged),
        details=tuple((name, words) for name, words in details if words),
    )


def _notes(judgement: Judgement) -> tuple[str, ...]:
    covered = "episodes only" if len(judgement.seeds) == 1 else "episodes and training seeds"
    tested = [one for judged in judgement.claims for one in judged.tested]
    lent = ", and borrow from other pairs what they tell of the seeds" * any(t.in_family != t.estimate for t in tested)
    margin = sorted({100 * judged.claim.margin for judged in judgement.claims})
    notes = [
        f"Intervals are two-sided, and cover {covered}, {scope_of(t.estimate for t in tested)}; that of a link is 95 % "
        "for all comparisons of its sentence at once, since it is chosen among them. n: shared episodes.",
        "supported: every comparison is significantly true, each by a one-sided paired t test at 5 % "
        "(intersection-union). refuted: at least one is significantly false after Holm's correction. undecided: "
        "neither, or what is needed was not measured whole. Where only some comparisons are claimed, the two tests "
        "change places. Each sentence is judged by itself, with its own 5 %. Counts of comparisons shown "
        f"true and shown false are after Holm's correction, both, over the comparisons of that sentence{lent}: `bench "
        "compare` and † correct for all pairs of a setting, so that there the same pair can be not separated.",
        "A one-sided test at 5 % goes with a 90 % interval of one comparison: a link's interval can reach past 0 where "
        "the test is passed.",
        f"Power is for a true difference of {' or '.join(f'{m:g}' for m in margin)} "
        f"{'point' if margin == [1.0] else 'points'}, fixed beforehand: not for the difference that was observed. "
        "Testing again after every few episodes more would raise the error rates: choose their number once.",
    ]
    if judgement.published:
        notes.append(
            f"Paper's table: {judgement.published.title}, taken at its printed digits. Without intervals or numbers of "
            "episodes, it can only be in order or not. What is marked (paper) was not measured here."
        )
    return (*notes, "docs/statistics.md explains each word.")
