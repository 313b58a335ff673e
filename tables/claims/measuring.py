"""Hypotheses -> one-sided tests on the episodes that their two cells share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from fewshot_bench.tables.claims.file import Hypothesis, Place
from fewshot_bench.tables.pairs import by_seed, differences, estimate_of
from fewshot_bench.tables.scores import CellScore, Results, cells_by_place, shared_accuracies
from fewshot_bench.tables.statistics.estimate import Estimate, Values
from fewshot_bench.tables.statistics.seeds import Spread, lent
from fewshot_bench.tables.summary import p_below_chance

Cells = Mapping[Place, Sequence[CellScore]]  # one cell a seed
Spreads = Mapping[tuple[int, int], Spread | None]  # of each setting
NONE: Spreads = MappingProxyType({})


@dataclass(frozen=True)
class Tested:
    """One hypothesis against what was measured; differences are fractions, above 0 where it is true."""

    hypothesis: Hypothesis
    seeds: tuple[int, ...]  # that both cells have
    n_episodes: int  # that all of them share
    estimate: Estimate | None  # of the difference; None where too little was measured
    missing: tuple[str, ...]  # what is not complete; empty where nothing is missing
    in_family: Estimate | None = None  # as the tests take it that are corrected, see `pairs.Comparison`
    guessing: float = 0.0  # "above chance": the least p-value that "below chance" can have, see `p_below_chance`

    @cached_property
    def p_true(self) -> float:
        """Small where the difference is shown to be above 0; 1 where nothing was measured."""
        return _p_value(self.estimate, "greater")

    @cached_property
    def p_false(self) -> float:
        """Small where the difference is shown to be below 0; 1 where nothing was measured."""
        return max(self.guessing, _p_value(self.estimate, "less"))

    @property
    def in_family_true(self) -> float:
        """As `p_true`, before a correction for the family."""
        return _p_value(self.in_family, "greater")

    @property
    def in_family_false(self) -> float:
        """As `p_false`, before a correction for the family."""
        return max(self.guessing, _p_value(self.in_family, "less"))


def _p_value(estimate: Estimate | None, alternative: Literal["greater", "less"]) -> float:
    return estimate.p_value(alternative=alternative) if estimate else 1.0


def cells_of(results: Results) -> Cells:
    """The cells of each place, a cell a seed."""
    return {Place(*place): cells for place, cells in cells_by_place(results).items()}


def measure(
    hypothesis: Hypothesis, cells: Cells, seeds: Sequence[int], spreads: Spreads = NONE, *, new_classes: bool = True
) -> Tested:
    """Test a hypothesis on the cells that are there; `seeds` are those that it needs, and vary as `spreads` says.

    Where several are needed and only one is there, nothing is tested: the verdict would be about methods.
    """
    sides = [side for side in (hypothesis.higher, hypothesis.lower) if side]
    missing = [reason for side in sides if (reason := _incomplete(side, cells.get(side, ()), seeds))]
    higher = cells.get(hypothesis.higher, ())
    lower = cells.get(hypothesis.lower, ()) if hypothesis.lower else ()
    shared, values = _above(hypothesis, higher, lower)
    if len(shared) < min(2, len(seeds)):  # one checkpoint of each tells nothing of methods
        values = values[:0]
    estimate = estimate_of(values, shared, higher, lower, new_classes=new_classes)
    wanted = min((len(cell.episodes) for cell in (*higher, *lower)), default=0)
    if not missing and (values.shape[1] < wanted or not estimate):
        both = " and ".join(str(side) for side in sides)
        missing.append(f"{both}: {values.shape[1]} shared episodes" if len(sides) > 1 else f"{both}: one episode")
    guesses = () if hypothesis.lower else higher
    worse = max((p_below_chance(cell.episodes, 1 / cell.n_way) for cell in guesses), default=0.0)
    in_family = lent(estimate, _spread_for(hypothesis, spreads), values.shape[1])
    return Tested(hypothesis, shared, values.shape[1], estimate, tuple(missing), in_family, worse)


def _spread_for(hypothesis: Hypothesis, spreads: Spreads) -> Spread | None:
    """Of two variants in one setting; of one variant, in two settings or against chance, no other pair tells."""
    higher, lower = hypothesis.higher, hypothesis.lower
    settings = {(side.n_way, side.n_shot) for side in (higher, lower) if side}
    return spreads.get(settings.pop()) if lower and lower.variant != higher.variant and len(settings) == 1 else None


def _above(
    hypothesis: Hypothesis, higher: Sequence[CellScore], lower: Sequence[CellScore]
) -> tuple[tuple[int, ...], Values]:
    """The seeds of both sides, and (S, E) by how much the higher is above the lower, or above chance."""
    if hypothesis.lower:
        return differences(higher, lower, by_number=hypothesis.lower.n_shot != hypothesis.higher.n_shot)
    seeds = by_seed(higher)
    values = shared_accuracies([seeds[seed] for seed in sorted(seeds)])
    return tuple(sorted(seeds)), values - 1 / hypothesis.higher.n_way


def _incomplete(place: Place, cells: Sequence[CellScore], seeds: Sequence[int]) -> str:
    """Why a place's cells cannot carry a verdict that needs all of them; empty where they can."""
    told = {cell.seed: "" if cell.state == "done" else cell.reason or _state(cell) for cell in cells}
    reasons = {seed: told.get(seed, "not selected") for seed in seeds}
    if not any(reasons.values()):
        return ""
    if len(set(reasons.values())) == 1:
        return f"{place}: {reasons[seeds[0]]}"
    by_reason = {reason: [str(seed) for seed in seeds if reasons[seed] == reason] for reason in reasons.values()}
    told_of = [f"seed{'s' * (len(of) > 1)} {', '.join(of)} {why}" for why, of in by_reason.items() if why]
    return f"{place}: {'; '.join(told_of)}"


def _state(cell: CellScore) -> str:
    if cell.state == "partial":
        return f"{len(cell.episodes)} of {cell.n_episodes_wanted} episodes"
    return "not measured" if cell.state == "missing" else cell.state
