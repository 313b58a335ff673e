"""Claims -> verdicts: what was measured against each sentence, and whether the paper's own table says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fewshot_bench.tables.claims.file import Claim, ClaimFile
from fewshot_bench.tables.claims.measuring import NONE, Cells, Spreads, Tested, cells_of, measure
from fewshot_bench.tables.claims.paper import PaperReading, read_paper
from fewshot_bench.tables.pairs import corrected, spreads_of
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.scores import Experiment, Results
from fewshot_bench.tables.statistics.estimate import ALPHA, holm
from fewshot_bench.tables.wording import bare_name

Verdict = Literal["supported", "refuted", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("supported", "refuted", "undecided")
Agreement = Literal["agrees", "agrees in part", "disagrees", "not decided", "no table"]


@dataclass(frozen=True)
class JudgedClaim:
    """One sentence with its verdict.

    An "all" claim is supported by intersection-union (Berger 1982): each hypothesis significantly true at ALPHA,
    without correction, because all of them must be. It is refuted where one is significantly false after Holm's
    correction (1979), because any one of them would do. For "some" the two change sides. What is corrected borrows
    from the other pairs of its setting what the seeds vary by, as `bench compare` does.
    """

    claim: Claim
    verdict: Verdict
    tested: tuple[Tested, ...]  # one a hypothesis, in their order
    paper: PaperReading | None  # None where the source has no table here

    @cached_property
    def shown(self) -> tuple[bool | None, ...]:
        """Of each hypothesis whether it is shown true or false by itself, both after Holm."""
        both = zip(after_holm(self.tested, true=True), after_holm(self.tested, true=False), strict=True)
        return tuple(True if p <= ALPHA else False if q <= ALPHA else None for p, q in both)

    @property
    def n_true(self) -> int:
        """Hypotheses shown to be true, each by itself."""
        return self.shown.count(True)

    @property
    def n_false(self) -> int:
        """And to be false."""
        return self.shown.count(False)

    @property
    def n_open(self) -> int:
        """And neither."""
        return self.shown.count(None)

    @property
    def link(self) -> Tested | None:
        """The hypothesis that the verdict turns on; None where nothing was measured.

        Of "all" it is the one nearest to failing, the chain's weakest link; of "some" the one nearest to holding.
        """
        all_of = self.claim.quantifier == "all"
        p_values = after_holm(self.tested, true=not all_of)
        measured = [
            (p, *((t.p_false, -t.p_true) if all_of else (t.p_true, -t.p_false)), i)
            for i, (p, t) in enumerate(zip(p_values, self.tested, strict=True))
            if t.estimate
        ]
        return self.tested[min(measured)[-1]] if measured else None

    @property
    def link_interval(self) -> tuple[float, float] | None:
        """Of the link's difference; 95 % for all hypotheses at once, since the link is chosen by what was measured.

        Nor narrower than the one-sided test of its own seeds: without 0 in it the link is shown.
        """
        if not self.link or not self.link.estimate or not self.link.in_family:
            return None
        corrected, own = (1 - ALPHA / len(self.tested), 1 - 2 * ALPHA)
        pair = (self.link.in_family.interval(corrected, within=1.0), self.link.estimate.interval(own, within=1.0))
        return min(low for low, _ in pair), max(high for _, high in pair)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the claim needs and was not measured whole."""
        return tuple(dict.fromkeys(reason for t in self.tested for reason in t.missing))

    @property
    def agreement(self) -> Agreement:
        """Whether the measurements and the paper's own table say the same: of the sentence, and of each comparison."""
        if self.paper is None:
            return "no table"
        if self.verdict == "undecided" or self.paper.verdict == "open":
            return "not decided"
        if (self.verdict == "supported") != (self.paper.verdict == "holds"):
            return "disagrees"
        return "agrees in part" if self.n_opposite else "agrees"

    @property
    def n_opposite(self) -> int:
        """Comparisons that are shown here to be the other way than the paper printed them."""
        here = {t.hypothesis: shown for t, shown in zip(self.tested, self.shown, strict=True)}
        printed = self.paper.printed if self.paper else ()
        return sum(here[one.hypothesis] is (not one.holds) for one in printed)


@dataclass(frozen=True)
class Judgement:
    """All sentences of a file, judged on one set of results."""

    file: ClaimFile
    experiment: Experiment
    seeds: tuple[int, ...]
    cells: Cells
    published: PublishedTable | None
    claims: tuple[JudgedClaim, ...]

    @property
    def other_data(self) -> bool:
        """Whether the paper's table is of data with another name."""
        return self.published is not None and bare_name(self.published.dataset) != bare_name(self.experiment.dataset)


def judge(file: ClaimFile, results: Results, published: Sequence[PublishedTable] = ()) -> Judgement:
    """Judge every claim of a file; `published` are the tables among which the file's own is looked up."""
    cells = cells_of(results)
    table = next((table for table in published if table.id == file.published), None)
    spreads, new_classes = spreads_of(results), results.experiment.new_classes
    claims = tuple(judge_claim(c, cells, results.seeds, table, spreads, new_classes=new_classes) for c in file.claims)
    return Judgement(file, results.experiment, results.seeds, cells, table, claims)


def judge_claim(
    claim: Claim,
    cells: Cells,
    seeds: Sequence[int],
    table: PublishedTable | None,
    spreads: Spreads = NONE,
    *,
    new_classes: bool = True,
) -> JudgedClaim:
    """Judge one claim on the cells that are there.

    A hypothesis that was not measured keeps its place in the family, with p = 1. One that was measured in part can
    show that a claim of "all" is false, or one of "some" true, but carries no verdict that needs every hypothesis.
    """
    lending = spreads if len(claim.hypotheses) > 1 else NONE  # one alone is not corrected
    tested = tuple(measure(h, cells, seeds, lending, new_classes=new_classes) for h in claim.hypotheses)
    whole = not any(t.missing for t in tested)
    all_true, all_false = (whole and max(p) <= ALPHA for p in ([t.p_true for t in tested], [t.p_false for t in tested]))
    if claim.quantifier == "all":
        supported, refuted = all_true, min(after_holm(tested, true=False)) <= ALPHA
    else:
        supported, refuted = min(after_holm(tested, true=True)) <= ALPHA, all_false
    verdict: Verdict = "supported" if supported else "refuted" if refuted else "undecided"
    return JudgedClaim(claim, verdict, tested, read_paper(claim, table) if table else None)


def after_holm(tested: Sequence[Tested], *, true: bool) -> list[float]:
    """The p-values of showing each hypothesis true, or false, after Holm's correction over all of them."""
    in_family = holm([t.in_family_true if true else t.in_family_false for t in tested])
    return [corrected(t.p_true if true else t.p_false, p) for t, p in zip(tested, in_family, strict=True)]
