"""How long a variant trains: as its budget says, as it says itself, or at the cost of another variant. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fewshot_bench.config import MOST_ITERATIONS, Budget
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.asking import asking, training_setting_of
from fewshot_bench.methods.cost import image_passes
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.registry import find_method

if TYPE_CHECKING:
    from fewshot_bench.experiment.grid import Variant

MOST_FACTOR = 1_000_000  # more was mistyped


@dataclass(frozen=True)
class Spent:
    """What a variant may set beside its method's settings; the rest is inherited."""

    adaptation: dict[str, Any] = field(default_factory=dict)  # in place of [adaptation]'s and the budget's
    iterations: int | None = field(default=None, metadata={"min": 0, "max": MOST_ITERATIONS})  # outer updates
    iterations_factor: float = field(default=1.0, metadata={"max": MOST_FACTOR})  # times the budget's or `cost_of`'s
    cost_of: str = ""  # a variant: as many images forward and backward in all as its training, in place of the budget's

    @property
    def own(self) -> bool:
        """Whether it says itself how long it trains."""
        return self.iterations is not None or self.iterations_factor != 1 or bool(self.cost_of)


def refuse_twice(keys: Collection[str], where: str) -> None:
    """Raise UsageError where a table says in two ways how long a variant trains."""
    for other in ("iterations_factor", "cost_of"):
        if "iterations" in keys and other in keys:
            raise UsageError(f"[{where}] has both iterations and {other}, which contradict each other: leave one out")


def iterations(
    budget: Budget, chosen: "Variant", like: "Variant | None" = None, size: tuple[int, int, int] = (0, 0, 0)
) -> int:
    """Outer updates of a variant; like: the one whose cost it has, if it names one.

    size: (n_way, n_shot, n_query) of training episodes as the protocol says. Raises UsageError.
    """
    spent = chosen.spent
    if spent.iterations is not None:
        return spent.iterations
    if like is None:
        found = round(budget.iterations_of(chosen.method) * spent.iterations_factor)
    else:
        cost = iterations(budget, like) * _passes(like, size)
        found = max(1, round(spent.iterations_factor * cost / _passes(chosen, size)))
    if found > MOST_ITERATIONS:
        raise UsageError(
            f"[methods.{chosen.name}] would train for {found:,} iterations, more than {MOST_ITERATIONS:,}: give it a "
            "smaller iterations_factor"
        )
    return found


def _passes(variant: "Variant", size: tuple[int, int, int]) -> float:
    """Images forward and backward in a step."""
    method = find_method(variant.method)
    with asking(f"[methods.{variant.name}]", variant.method):
        n_way, n_shot = training_setting_of(method, variant.settings, size[:2])
        problem = Problem(1, 1, 1, n_way or 1, n_way, n_shot, size[2] if n_way else 0, 1, 0)
        found = image_passes(method, variant.settings, problem)
    if not found:
        raise UsageError(f"[methods.{variant.name}] passes no image through a backbone: it has no cost to compare")
    return found
