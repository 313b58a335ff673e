"""An alarm, the check that found it, and the words that alarms share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.wording import cell_name, p_value

# advice of more than one check
EDITED = "the database was edited or is damaged: restore a copy, or evaluate the cell again"
ONE_SEED = "count them as one seed, and look at whether the training uses its seed"


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


def rung(kind: str, looked_at: str, advice: str, found: Iterable[tuple[str, str]], notes: Iterable[str] = ()) -> Check:
    """A check with an alarm for each (where, what was found there)."""
    return Check(kind, looked_at, tuple(Alarm(kind, where, text, advice) for where, text in found), tuple(notes))


def name(cell: CellScore) -> str:
    """ "maml 5-way 1-shot seed 0"."""
    return cell_name(*cell.place)


def seeds_text(seeds: Sequence[int]) -> str:
    """ "seed 0", "seeds 0, 1, 2"."""
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def p_text(p: float, family: str) -> str:
    """ "p = 0.0031, corrected for 63 cells"."""
    shown = p_value(p)
    return f"p {shown if shown.startswith('<') else f'= {shown}'}, corrected for {family}"
