"""Claims -> verdicts: what was measured against each sentence, and whether the paper's own table says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fewshot_bench.tables.claims.file import Claim, ClaimFile
from fewshot_bench.tables.claims.measuring import Cells, Tested, cells_of, measure
from fewshot_bench.tables.claims.paper import PaperReading, read_paper
from fewshot_bench.tables.papers import PublishedTable
from fewshot_bench.tables.scores import Experiment, Results
from fewshot_bench.tables.statistics.estimate import ALPHA, holm

Verdict = Literal["supported", "refuted", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("supported", "refuted", "undecided")
Agreement = Literal["agrees", "disagrees", "not decided", "no table"]


@dataclass(frozen=True)
class JudgedClaim:
    """One sentence with its verdict.

    An "all" claim is supported by intersection-union (Berger 1982): each hypothesis significantly true at ALPHA,
    without correction, because all of them must be. It is refuted where one is significantly false after Holm's
    correction (1979), because any one of them would do. For "some" the two change sides.
    """

    claim: Claim
    verdict: Verdict
    tested: tuple[Tested, ...]  # one a hypothesis, in their order
    n_true: int  # hypotheses shown to be true, by the test that the verdict rests on
    n_false: int  # and to be false
    paper: PaperReading | None  # None where the source has no table here

    @property
    def link(self) -> Tested | None:
        """The hypothesis that the verdict turns on; None where nothing was measured.

        Of "all" it is the one nearest to failing, the chain's weakest link; of "some" the one nearest to holding.
        """
        measured = [t for t in self.tested if t.estimate]
        if self.claim.quantifier == "all":
            return min(measured, key=lambda t: (t.p_false, -t.p_true), default=None)
        return min(measured, key=lambda t: (t.p_true, -t.p_false), default=None)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the claim needs and was not measured whole."""
        return tuple(dict.fromkeys(reason for t in self.tested for reason in t.missing))

    @property
    def agreement(self) -> Agreement:
        """Whether the measurements and the paper's own table say the same of the sentence."""
        if self.paper is None:
            return "no table"
        if self.verdict == "undecided" or self.paper.verdict == "open":
            return "not decided"
        return "agrees" if (self.verdict == "supported") == (self.paper.verdict == "holds") else "disagrees"


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
        return self.published is not None and _plain(self.published.dataset) != _plain(self.experiment.dataset)


def judge(file: ClaimFile, results: Results, published: Sequence[PublishedTable] = ()) -> Judgement:
    """Judge every claim of a file; `published` are the tables among which the file's own is looked up."""
    cells = cells_of(results)
    table = next((table for table in published if table.id == file.published), None)
    new_classes = results.experiment.new_classes
    claims = tuple(judge_claim(c, cells, results.seeds, table, new_classes=new_classes) for c in file.claims)
    return Judgement(file, results.experiment, results.seeds, cells, table, claims)


def judge_claim(
    claim: Claim, cells: Cells, seeds: Sequence[int], table: PublishedTable | None, *, new_classes: bool = True
) -> JudgedClaim:
    """Judge one claim on the cells that are there.

    A hypothesis that was not measured keeps its place in the family, with p = 1. One that was measured in part can
    show that a claim of "all" is false, or one of "some" true, but carries no verdict that needs every hypothesis.
    """
    tested = tuple(measure(hypothesis, cells, seeds, new_classes=new_classes) for hypothesis in claim.hypotheses)
    whole, every = not any(t.missing for t in tested), len(tested)
    n_true = _n_shown([t.p_true for t in tested], each=claim.quantifier == "all")
    n_false = _n_shown([t.p_false for t in tested], each=claim.quantifier == "some")
    if claim.quantifier == "all":
        supported, refuted = whole and n_true == every, n_false > 0
    else:
        supported, refuted = n_true > 0, whole and n_false == every
    verdict: Verdict = "supported" if supported else "refuted" if refuted else "undecided"
    return JudgedClaim(claim, verdict, tested, n_true, n_false, read_paper(claim, table) if table else None)


def _n_shown(p_values: Sequence[float], each: bool) -> int:
    """How many are significant: each by itself, or after Holm's correction over all of them."""
    if min(p_values) > ALPHA:  # no correction makes it smaller
        return 0
    return sum(p <= ALPHA for p in (p_values if each else holm(p_values)))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
