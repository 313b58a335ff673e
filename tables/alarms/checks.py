"""Sanity alarms: what in a table of results cannot be, or should not be, as it is.

These need nothing but the results. What needs the images or the models is in `bench doctor`.
"""

from collections.abc import Iterable

from fewshot_bench.tables.alarms import implausible, sameness
from fewshot_bench.tables.alarms.alarm import Check
from fewshot_bench.tables.scores import COUNTED, CellScore

CHECKS = (
    implausible.below_chance,
    implausible.falls_with_shots,
    implausible.all_or_nothing,
    implausible.no_spread,
    implausible.contradicted,
    sameness.other_episodes,
    sameness.other_backbone,
    sameness.equal_seeds,
    sameness.equal_variants,
)


def checks(cells: Iterable[CellScore]) -> tuple[Check, ...]:
    """All checks of one table's cells; those without episodes are passed over."""
    with_episodes = [cell for cell in cells if cell.state in COUNTED and cell.episodes]
    return tuple(check(with_episodes) for check in CHECKS)
