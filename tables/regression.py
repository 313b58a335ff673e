"""The regression check: measured cells against a baseline, one verdict a cell."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fewshot_bench.tables.baseline import (
    IDENTITY,
    BaselineCell,
    experiment_identity,
    make_baseline,
    read_baseline,
    stored_cell,
)
from fewshot_bench.tables.scores import CellScore, Results
from fewshot_bench.tables.statistics.sampler import difference_half_width

__all__ = ["VERDICTS", "CellVerdict", "RegressionReport", "Verdict", "compare", "make_baseline"]

Verdict = Literal["identical", "within margin", "better", "worse", "not comparable"]
VERDICTS: tuple[Verdict, ...] = ("identical", "within margin", "better", "worse", "not comparable")


@dataclass(frozen=True)
class CellVerdict:
    """One cell against its baseline; accuracies, their difference and the margin are fractions."""

    variant: str
    n_way: int
    n_shot: int
    seed: int
    verdict: Verdict
    reason: str = ""  # why it is not comparable, or worse without a number
    baseline_mean: float | None = None
    mean: float | None = None
    margin: float | None = None  # differences up to this much decide nothing

    @property
    def name(self) -> str:
        """ "maml 5-way 1-shot seed 0"."""
        return f"{self.variant} {self.n_way}-way {self.n_shot}-shot seed {self.seed}"

    @property
    def difference(self) -> float | None:
        """Measured minus baseline; None where either is absent."""
        if self.mean is None or self.baseline_mean is None:
            return None
        return self.mean - self.baseline_mean


@dataclass(frozen=True)
class RegressionReport:
    """All verdicts, in the order of the baseline; cells that it does not have follow."""

    verdicts: tuple[CellVerdict, ...]
    min_margin: float  # a fraction
    experiment_differences: tuple[str, ...]  # "fingerprint: baseline 'a', measured 'b'"

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many cells got each verdict."""
        counted = Counter(verdict.verdict for verdict in self.verdicts)
        return {verdict: counted[verdict] for verdict in VERDICTS}

    @property
    def exit_code(self) -> int:
        """3 when a cell is worse, 5 when nothing could be compared, else 0."""
        if self.counts["worse"]:
            return 3
        return 5 if self.counts["not comparable"] == len(self.verdicts) else 0


def compare(results: Results, baseline: Mapping[str, Any], min_margin: float = 0.0) -> RegressionReport:
    """Judge every cell; raises BaselineError on a document that is no baseline.

    The margin of a cell is the half-width of the 95 % interval of a difference of two means with the stored
    standard deviations and numbers of episodes, as if the episodes were drawn anew: of cells that only
    fluctuate, one in forty comes out worse. `min_margin` (a fraction in [0, 1]) is the least difference that
    matters.
    """
    if not 0.0 <= min_margin <= 1.0:
        raise ValueError(f"min_margin is a fraction from 0 to 1, not {min_margin}")
    identity, stored = read_baseline(baseline)
    measured = {(cell.variant, cell.n_way, cell.n_shot, cell.seed): cell for cell in results.cells}
    verdicts = [_judge(cell, measured.pop(cell.place, None), min_margin) for cell in stored]
    verdicts += [
        CellVerdict(*place, "not comparable", "not in the baseline", mean=_mean(cell))
        for place, cell in measured.items()
    ]
    return RegressionReport(tuple(verdicts), min_margin, _differences(identity, results))


def _judge(old: BaselineCell, cell: CellScore | None, min_margin: float) -> CellVerdict:
    if cell is not None and cell.state == "failed" and cell.key == old.key:
        return CellVerdict(*old.place, "worse", f"failed: {cell.reason}", baseline_mean=old.mean)
    hindrance = _hindrance(old, cell)
    if cell is None or hindrance:
        mean = None if cell is None else _mean(cell)
        return CellVerdict(*old.place, "not comparable", hindrance or "not measured", baseline_mean=old.mean, mean=mean)
    new = stored_cell(cell)
    if new.episodes_sha256 == old.episodes_sha256:
        return CellVerdict(*old.place, "identical", "", old.mean, new.mean, 0.0)
    chance = difference_half_width(old.sample, new.sample)
    if chance is None:
        reason = "one episode tells nothing about chance differences"
        return CellVerdict(*old.place, "not comparable", reason, old.mean, new.mean)
    margin = max(min_margin, chance)
    difference = new.mean - old.mean
    verdict: Verdict = "within margin"
    if abs(difference) > margin:
        verdict = "better" if difference > 0 else "worse"
    return CellVerdict(*old.place, verdict, "", old.mean, new.mean, margin)


def _hindrance(old: BaselineCell, cell: CellScore | None) -> str:
    """Why two accuracies must not be compared; empty where they may."""
    if cell is None:
        return "not in the measured grid"
    if cell.state != "done":
        return f"{cell.state}: {cell.reason}" if cell.reason else cell.state
    if not cell.episodes:
        return "no episodes stored"
    if cell.key != old.key:
        return f"another experiment: key {cell.key}, baseline {old.key}"
    return ""


def _mean(cell: CellScore) -> float | None:
    return stored_cell(cell).mean if cell.state == "done" and cell.episodes else None


def _differences(identity: Mapping[str, str], results: Results) -> tuple[str, ...]:
    measured = experiment_identity(results.experiment)
    return tuple(
        f"{name}: baseline {identity[name]!r}, measured {measured[name]!r}"
        for name in IDENTITY
        if identity[name] != measured[name]
    )
