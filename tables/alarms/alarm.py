"""An alarm, the check that found it, and the words that alarms share."""

from collections.abc import Sequence
from dataclasses import dataclass

from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.wording import cell_name, p_value


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
    return cell_name(cell.variant, cell.n_way, cell.n_shot, cell.seed)


def seeds_text(seeds: Sequence[int]) -> str:
    """ "seed 0", "seeds 0, 1, 2"."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def p_text(p: float, family: str) -> str:
    """ "p = 0.0031, corrected for 63 cells"."""
    shown = p_value(p)
    return f"p {shown if shown.startswith('<') else f'= {shown}'}, corrected for {family}"
