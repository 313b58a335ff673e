"""Claims against the paper's own printed table: arithmetic, without episodes, intervals or tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fewshot_bench.tables.claims.file import Claim, Hypothesis, Place
from fewshot_bench.tables.papers import PublishedTable


@dataclass(frozen=True)
class PrintedDifference:
    """One hypothesis, as far as two printed numbers tell."""

    hypothesis: Hypothesis
    difference: float  # a fraction, rounded so that equal digits give 0

    @property
    def holds(self) -> bool:
        """Whether the printed numbers are in the claimed order."""
        return self.difference > 0 or (self.difference == 0 and self.hypothesis.or_equal)

    @property
    def setting(self) -> tuple[int, int]:
        """(n_way, n_shot), of more shots where it compares two numbers of them."""
        return self.hypothesis.higher.n_way, self.hypothesis.higher.n_shot


@dataclass(frozen=True)
class PaperReading:
    """A claim against the printed table."""

    verdict: Literal["holds", "not in that order", "open"]  # open: the numbers that would tell are not printed
    printed: tuple[PrintedDifference, ...]
    n_absent: int  # hypotheses about which the table says nothing

    @property
    def n_holding(self) -> int:
        """Hypotheses that the printed numbers bear out."""
        return sum(one.holds for one in self.printed)

    @property
    def settings(self) -> tuple[int, int]:
        """In how many settings all printed differences hold, and how many settings there are."""
        all_settings = {one.setting for one in self.printed}
        return len(all_settings - {one.setting for one in self.contradictions}), len(all_settings)

    @property
    def contradictions(self) -> tuple[PrintedDifference, ...]:
        """The printed differences that do not hold, the largest first."""
        return tuple(sorted((one for one in self.printed if not one.holds), key=lambda one: one.difference))

    @property
    def smallest(self) -> PrintedDifference | None:
        """The smallest of the differences that hold."""
        return min((one for one in self.printed if one.holds), key=lambda one: one.difference, default=None)


def read_paper(claim: Claim, table: PublishedTable) -> PaperReading:
    """Take the printed numbers at their word."""
    found = [(h, _value(table, h.higher), _lower_value(table, h)) for h in claim.hypotheses]
    printed = tuple(
        PrintedDifference(h, round(high - low, 9)) for h, high, low in found if high is not None and low is not None
    )
    return PaperReading(_verdict(claim, printed), printed, len(found) - len(printed))


def _verdict(claim: Claim, printed: Sequence[PrintedDifference]) -> Literal["holds", "not in that order", "open"]:
    """Decided as far as the printed ones decide it, whatever the others are."""
    complete = len(printed) == len(claim.hypotheses)
    if claim.quantifier == "all":
        return "not in that order" if not all(one.holds for one in printed) else "holds" if complete else "open"
    return "holds" if any(one.holds for one in printed) else "not in that order" if complete else "open"


def _lower_value(table: PublishedTable, hypothesis: Hypothesis) -> float | None:
    return _value(table, hypothesis.lower) if hypothesis.lower else 1 / hypothesis.higher.n_way


def _value(table: PublishedTable, place: Place) -> float | None:
    try:
        return table.value(place.variant, place.n_way, place.n_shot).accuracy
    except KeyError:
        return None
