"""The regression check: what became of each cell of a baseline, and of each variant's cells together.

A cell is compared by the strongest means that the baseline allows: bit for bit on the shared episodes, else paired on
them, else by mean and standard deviation. docs/statistics.md#verdicts explains each verdict.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from fewshot_bench.tables.check.baseline import (
    Baseline,
    BaselineCell,
    Place,
    episodes_sha256,
    experiment_identity,
    stored_cell,
)
from fewshot_bench.tables.scores import CellScore, Results
from fewshot_bench.tables.statistics.changes import TIE, Change, difference, equivalent, of_change, of_changes
from fewshot_bench.tables.statistics.estimate import ALPHA, Estimate, holm
from fewshot_bench.tables.wording import conflict, setting_name

Verdict = Literal["worse", "improved", "undecided", "not comparable", "equivalent", "identical"]
VERDICTS: tuple[Verdict, ...] = ("worse", "improved", "undecided", "not comparable", "equivalent", "identical")
MARGIN = 0.005  # smaller changes do not matter, unless told otherwise
OTHER_EXPERIMENT = "another experiment"
OTHER_VERSION = "another version of the code"
ONE_EPISODE = "one episode: nothing tells a change from chance"


@dataclass(frozen=True)
class Finding:
    """What became of one cell, or of a variant's cells together; accuracies are fractions."""

    variant: str
    setting: str  # "5-way 1-shot seed 0", or "all 9 settings"
    verdict: Verdict
    reason: str = ""  # where no test says it, or what should be known besides
    cell: Place | None = None  # None for a variant's cells together
    key: str = ""  # of the cell, as measured
    before: float | None = None  # over the episodes that are compared
    after: float | None = None
    estimate: Estimate | None = None  # of the change; None where nothing is tested
    p: float | None = None  # two-sided, that nothing changed; corrected for the whole check (Holm)
    n_episodes: int = 0  # that are compared: the shared ones, else those of the side that has fewer
    n_queries: int = 0  # in them
    change: Change | None = field(default=None, repr=False, compare=False)  # None where no episode is shared

    @property
    def name(self) -> str:
        """ "maml 5-way 1-shot seed 0" or "maml, all 9 settings"."""
        return f"{self.variant}{' ' if self.cell else ', '}{self.setting}"

    @property
    def paired(self) -> bool:
        """Whether it was compared episode by episode."""
        return self.change is not None or self.cell is None

    @property
    def difference(self) -> float | None:
        """After minus before; None where either is absent."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class RegressionReport:
    """All findings: the cells in the order of the baseline, those that it does not have, and the variants."""

    cells: tuple[Finding, ...]
    variants: tuple[Finding, ...]
    margin: float  # a fraction
    strict: bool  # whether undecided is no success
    notes: tuple[str, ...]  # what differs between the experiments, and what could not be done

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of the variants and of the cells."""
        return self.variants + self.cells

    @property
    def exit_code(self) -> int:
        """3 when anything is worse, 5 when no cell could be compared, 7 when `strict` and undecided, else 0."""
        found = {finding.verdict for finding in self.findings}
        if "worse" in found:
            return 3
        if found <= {"not comparable"}:
            return 5
        return 7 if self.strict and "undecided" in found else 0


def count_verdicts(findings: Sequence[Finding]) -> dict[Verdict, int]:
    """How many got each verdict, every verdict named."""
    counted = Counter(finding.verdict for finding in findings)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def compare(results: Results, baseline: Baseline, margin: float = MARGIN, strict: bool = False) -> RegressionReport:
    """Judge every cell, and every variant over its cells; `margin` is a fraction in [0, 1]."""
    if not 0.0 <= margin <= 1.0:
        raise ValueError(f"margin is a fraction from 0 to 1, not {margin}")
    measured = {cell.place: cell for cell in results.cells}
    cells = [compare_cell(old, measured.pop(old.place, None)) for old in baseline.cells]
    cells += [
        Finding(place[0], _setting(place), "not comparable", "not in the baseline", place, cell.key)
        for place, cell in measured.items()
    ]
    cells, variants = judge(cells, margin)
    return RegressionReport(tuple(cells), tuple(variants), margin, strict, _notes(results, baseline, cells))


def judge(cells: Sequence[Finding], margin: float) -> tuple[list[Finding], list[Finding]]:
    """The cells, and each variant over its cells, with their verdicts; one family for Holm's correction."""
    variants = [found for name in dict.fromkeys(cell.variant for cell in cells) if (found := together(name, cells))]
    every = [*cells, *variants]
    p_values = iter(holm([finding.estimate.p_value() for finding in every if finding.estimate]))
    judged = [_judged(finding, next(p_values), margin) if finding.estimate else finding for finding in every]
    return judged[: len(cells)], judged[len(cells) :]


def _judged(finding: Finding, p: float, margin: float) -> Finding:
    """A change beyond chance that matters; else one that is shown not to matter; else it stays undecided.

    The first two exclude each other: what is equivalent lies inside the margin, what is worse or improved does not.
    """
    estimate = finding.estimate
    assert estimate is not None
    verdict: Verdict = "undecided"
    if p <= ALPHA and abs(estimate.mean) >= margin - TIE:
        verdict = "improved" if estimate.mean > 0 else "worse"
    elif finding.before is not None and equivalent(estimate, margin, finding.before):
        verdict = "equivalent"
    return replace(finding, verdict=verdict, p=p)


def compare_cell(old: BaselineCell, cell: CellScore | None) -> Finding:
    """One cell against its baseline. What has an estimate is still to be judged."""
    found = Finding(old.score.variant, _setting(old.place), "not comparable", cell=old.place, before=old.accuracy.mean)
    if cell is None:
        return replace(found, reason="not in the measured grid")
    found = replace(found, key=cell.key)
    if cell.key != old.score.key and not (old.score.lineage and old.score.lineage == cell.lineage):
        return replace(found, reason=OTHER_EXPERIMENT)
    if cell.state == "failed":
        return replace(found, verdict="worse", reason=f"failed: {cell.reason}")
    if cell.state == "missing" or not cell.episodes:
        return replace(found, reason="not measured")
    change = shared_change(old, cell)
    found = with_change(found, change) if change else _by_means(found, old, cell)
    if found.verdict == "undecided" and found.estimate is None:
        return replace(found, reason=ONE_EPISODE)
    return replace(found, reason=OTHER_VERSION if cell.key != old.score.key else "")


def _setting(place: Place) -> str:
    return f"{setting_name(*place[1:3])} seed {place[3]}"


def shared_change(old: BaselineCell, cell: CellScore) -> Change | None:
    """What became of the episodes that both have, by their ids; None where there is none."""
    was = {episode.episode_id: episode.n_correct for episode in old.score.episodes}
    rows = [(e.number, was[e.episode_id], e.n_correct, e.n_queries) for e in cell.episodes if e.episode_id in was]
    return Change(cell.n_way, *np.array(rows, dtype=np.int64).T) if rows else None


def with_change(found: Finding, change: Change) -> Finding:
    """The finding for a cell whose episodes can be paired."""
    same = not change.gained.any()
    return replace(
        found,
        verdict="identical" if same else "undecided",
        before=float((change.before / change.n_queries).mean()),
        after=float((change.after / change.n_queries).mean()),
        estimate=None if same else of_change(change),
        n_episodes=len(change.numbers),
        n_queries=int(change.n_queries.sum()),
        change=change,
    )


def _by_means(found: Finding, old: BaselineCell, cell: CellScore) -> Finding:
    """The finding for a cell without shared episodes: by means and deviations, as of two independent samples."""
    new = stored_cell(cell)
    first = sorted(cell.episodes, key=lambda episode: episode.number)[: old.accuracy.n]
    same = episodes_sha256(first) == old.episodes_sha256
    n_episodes, most = min(old.accuracy.n, new.accuracy.n), cell.most_queries
    return replace(
        found,
        verdict="identical" if same else "undecided",
        after=new.accuracy.mean,
        estimate=None if same else difference(old.accuracy, new.accuracy, 1 / most),
        n_episodes=n_episodes,
        n_queries=n_episodes * most,
    )


def together(variant: str, cells: Sequence[Finding]) -> Finding | None:
    """A variant's cells as one finding, by `of_changes`; None where fewer than two have shared episodes.

    It finds a change across the board that no single small cell can show.
    """
    own = [cell for cell in cells if cell.variant == variant]
    changes = [cell.change for cell in own if cell.change is not None]
    if len(changes) < 2:
        return None
    what = "settings" if len({cell.cell[3] for cell in own if cell.cell}) == 1 else "cells"
    n_queries = sum(int(change.n_queries.sum()) for change in changes)
    same = not any(change.gained.any() for change in changes)
    return Finding(
        variant,
        f"all {len(own)} {what}" if len(changes) == len(own) else f"{len(changes)} of {len(own)} {what}",
        "identical" if same else "undecided",
        before=sum(int(change.before.sum()) for change in changes) / n_queries,
        after=sum(int(change.after.sum()) for change in changes) / n_queries,
        estimate=None if same else of_changes(changes),
        n_episodes=sum(len(change.numbers) for change in changes),
        n_queries=n_queries,
    )


def _notes(results: Results, baseline: Baseline, cells: Sequence[Finding]) -> tuple[str, ...]:
    measured = experiment_identity(results.experiment)
    notes = [
        f"{name}: baseline {was!r}, measured {measured[name]!r}"
        for name, was in baseline.identity.items()
        if was != measured[name]
    ]
    before, after = {cell.place: cell.score for cell in baseline.cells}, {cell.place: cell for cell in results.cells}
    same_key = [f.cell for f in cells if f.cell and f.change and f.change.gained.any() and f.key == before[f.cell].key]
    same_weights = sum(bool(before[at].weights) and before[at].weights == after[at].weights for at in same_key)
    notes += filter(None, [conflict(len(same_key), same_weights, "the baseline")])
    if others := sum(cell.reason == OTHER_VERSION for cell in cells):
        notes.append(f"{others} cells were made by {OTHER_VERSION}: their keys differ, what they stand for does not")
    stored = {cell.place: cell.accuracy.n for cell in baseline.cells}
    if fewer := sum(bool(found.n_episodes) and found.n_episodes < stored[found.cell] for found in cells if found.cell):
        notes.append(f"{fewer} cells have only some of the baseline's episodes: what both have is compared")
    if unpaired := sum(found.after is not None and not found.paired for found in cells):
        old = any(not cell.score.episodes for cell in baseline.cells)
        why = "the baseline keeps no episodes (schema 1; --write makes a new one)" if old else "no episode is shared"
        notes.append(f"{unpaired} cells are compared by means and deviations, and variants without them: {why}")
    return tuple(notes)
