"""Table -> how the variants rank over its settings. Blocks are settings, never episodes: those overlap."""

from dataclasses import dataclass

import numpy as np

from fewshot_bench.tables.statistics.estimate import ALPHA
from fewshot_bench.tables.statistics.ranks import against_first, critical_difference, friedman_p, mean_ranks
from fewshot_bench.tables.summary import Table

FEWEST_SETTINGS, FEWEST_VARIANTS = 3, 3


@dataclass(frozen=True)
class Ranked:
    """One variant."""

    variant: str
    mean_rank: float  # 1 is best
    p: float | None  # against the best-ranked, over all pairs (Nemenyi); None where Friedman's test finds nothing


@dataclass(frozen=True)
class Ranking:
    """All variants, the best-ranked first."""

    ranked: tuple[Ranked, ...]
    settings: tuple[tuple[int, int], ...]  # the blocks: (n_way, n_shot) where every variant has a number
    friedman_p: float
    critical_difference: float  # in ranks (Nemenyi)
    left_out: tuple[tuple[int, int], ...] = ()  # the other settings
    seeds: tuple[int, ...] = ()  # that the accuracies are means over

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Neighbours in the order of ranks whose ends the critical difference does not separate; the longest ones.

        It is asked only where Friedman's test finds a difference (Demsar 2006); else all are one group.
        """
        if self.friedman_p > ALPHA:
            return (tuple(r.variant for r in self.ranked),)
        ranks = [r.mean_rank for r in self.ranked]
        spans = [
            (first, max(last for last, rank in enumerate(ranks) if rank - ranks[first] <= self.critical_difference))
            for first in range(len(ranks))
        ]
        longest = [span for i, span in enumerate(spans) if span[1] > span[0] and (not i or span[1] > spans[i - 1][1])]
        return tuple(tuple(r.variant for r in self.ranked[first : last + 1]) for first, last in longest)

    @property
    def separates(self) -> bool:
        """Whether any two variants are separated."""
        return self.groups != (tuple(r.variant for r in self.ranked),)

    @property
    def words(self) -> str:
        """What was ranked, what the ranks say, and how little so few blocks can say."""
        n, k = len(self.settings), len(self.ranked)
        told = f"Mean ranks over {n} settings" + (f" of {n + len(self.left_out)}, " if self.left_out else ". ")
        told += "those where every variant is done. " if self.left_out else ""
        told += "One training seed: checkpoints are ranked, not methods. " if len(self.seeds) == 1 else ""
        told += f"Friedman: p = {self.friedman_p:.2g}. "
        needed = f"With {n} settings and {k} variants, mean ranks closer than {self.critical_difference:.2f} are "
        if self.friedman_p > ALPHA:
            return told + f"{needed}never separated (Nemenyi, 5 %), and here no difference is shown at all."
        told += f"{needed}not separated (Nemenyi, 5 %)"
        return told + ("." if self.separates else f"; that is so for every pair of the {k}.")


CAUTION = (
    "Ranks speak of these classes alone: `bench compare A B` tests for classes like these. "
    "Settings of one table share novel classes, and under one protocol checkpoints: they are not independent blocks. "
    "Variants that differ by the luck of their trainings alone are called different far more often than in 5 %."
)


def rank(table: Table) -> Ranking | None:
    """The ranking over the settings in which every variant is done; None for fewer than three of either."""
    rows = [row for row in table.rows if all(cell.state == "done" and cell.mean is not None for cell in row.cells)]
    if len(rows) < FEWEST_SETTINGS or len(table.variants) < FEWEST_VARIANTS:
        return None
    values = np.array([[cell.mean for cell in row.cells] for row in rows], dtype=float)
    ranks = mean_ranks(values).tolist()
    overall = friedman_p(values)
    p_values = against_first(ranks, len(rows)) if overall <= ALPHA else [None] * len(ranks)
    listed = [Ranked(*each) for each in zip(table.variants, ranks, p_values, strict=True)]
    return Ranking(
        ranked=tuple(sorted(listed, key=lambda r: r.mean_rank)),
        settings=tuple((row.n_way, row.n_shot) for row in rows),
        friedman_p=overall,
        critical_difference=critical_difference(len(listed), len(rows)),
        left_out=tuple((row.n_way, row.n_shot) for row in table.rows if row not in rows),
        seeds=table.seeds,
    )
