"""An alarm, the check that found it, and the words that alarms share."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass

from fewshot_bench.tables.scores import CellScore


@dataclass(frozen=True)
class Alarm:
    """One thing to look at. It says that something is strange, not that it is wrong."""

    kind: str  # the check that rang, e.g. "below chance"
    where: str  # e.g. "maml 5-way 1-shot seed 0"
    text: str  # what was found: one sentence without its full stop
    advice: str  # what to do: likewise


@dataclass(frozen=True)
class Check:
    """One kind of alarm that was looked for."""

    kind: str
    looked_at: str  # e.g. "63 cells"; a check that had nothing to look at says so
    alarms: tuple[Alarm, ...] = ()
    notes: tuple[str, ...] = ()  # worth a line, but no alarm

    @property
    def empty(self) -> bool:
        """Whether there was nothing to look at."""
        return self.looked_at.startswith("0 ")


def name(cell: CellScore) -> str:
    """ "maml 5-way 1-shot seed 0"."""
    return f"{cell.variant} {cell.n_way}-way {cell.n_shot}-shot seed {cell.seed}"


def counted(things: Sized, one: str, several: str = "") -> str:
    """ "1 cell", "63 cells"."""
    return f"{len(things)} {one if len(things) == 1 else several or one + 's'}"


def seeds_text(seeds: Sequence[int]) -> str:
    """ "seed 0", "seeds 0, 1, 2"."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def p_text(p: float, family: str) -> str:
    """ "p = 0.0031, corrected for 63 cells"."""
    return f"p {'< 0.0001' if p < 0.0001 else f'= {p:.4f}'}, corrected for {family}"
