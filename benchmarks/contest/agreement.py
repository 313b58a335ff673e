"""Are the gradients right? All sides' against plain PyTorch's, entry by entry, in float64, on images that tie."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from benchmarks.contest.conversation import WorkerFailed
from benchmarks.contest.work import Work

REFERENCE = "plain"
# Of a tensor's largest entry. Sums in another order differ by about 1e-14; Reptile's inner Adam divides by gradients
# as small as its epsilon, 1e-8, and so makes 1e-12 of it.
TOLERANCE = 1e-10


class Asked(Protocol):
    """What answers for a side: `conversation.Worker`, in a process of its own."""

    def ask(self, question: str, **details: Any) -> dict[str, Any]:
        """See `Worker.ask`."""
        ...


def difference(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """The largest |mine - theirs| over all entries, each in units of its tensor's largest entry in `theirs`.

    Infinite where a tensor is missing or something is not a number.
    """
    if mine.keys() != theirs.keys():
        return float("inf")
    worst = 0.0
    for name, expected in theirs.items():
        relative = float((mine[name] - expected).abs().max() / expected.abs().max())
        worst = max(worst, relative if relative == relative else float("inf"))
    return worst


def compare(workers: Mapping[str, Asked], work: Work, images: Path) -> tuple[dict[str, float | str], float]:
    """Each side's `difference` or why there is none, and the share of tied windows.

    workers: of the sides that have the method, REFERENCE among them; images: a file of `Tasks`.
    """
    import torch

    small = {"work": dataclasses.asdict(work.smaller()), "images": str(images)}
    gradients: dict[str, dict[str, Tensor]] = {}
    found: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side, worker in workers.items():
            file = Path(folder) / f"{side}.pt"
            try:
                worker.ask("gradient", **small, into=str(file))
                gradients[side] = torch.load(file)
            except WorkerFailed as error:
                found[side] = str(error)
    reference = gradients[REFERENCE]
    found |= {side: difference(mine, reference) for side, mine in gradients.items()}
    return found, workers[REFERENCE].ask("tied", **small)["share"]


def is_right(outcome: float | str) -> bool:
    """Whether a side's gradients may be called the same."""
    return isinstance(outcome, float) and outcome <= TOLERANCE
