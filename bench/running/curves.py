"""What is kept of a training as it goes: losses, seconds, memory; all of it resumable."""

import time

import torch
from torch import Tensor

from fewshot_bench.running.device import PeakMemory

LARGEST = 1e300  # of a loss, as stored


class Losses:
    """Losses since the last point of the curves, on the device until someone looks."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def __len__(self) -> int:
        return max((len(v) for v in self._values.values()), default=0)

    def add(self, losses: dict[str, Tensor]) -> None:
        """Those of one step."""
        for name, value in losses.items():
            self._values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """The mean of each loss."""
        return {name: float(torch.stack(values).mean()) for name, values in self._values.items()}

    def first_not_finite(self) -> int | None:
        """Index of the first step with a loss that is not finite, or too large to be kept."""
        small = [torch.stack(v).double().abs() <= LARGEST for v in self._values.values()]  # which nan is not
        bad = [steps.logical_not().nonzero().flatten() for steps in small]
        found = [int(b[0]) for b in bad if len(b)]
        return min(found) if found else None

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {f"pending/{name}": torch.stack(values).cpu() for name, values in self._values.items()}

    def load_state(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Continue where `state()` was taken."""
        self._values = {
            key.removeprefix("pending/"): list(value.to(device).unbind())
            for key, value in state.items()
            if key.startswith("pending/")
        }


class Clock:
    """Seconds and peak memory of a training, over all the runs that it took."""

    def __init__(self, device: torch.device) -> None:
        self._before, self._peak_before = 0.0, 0
        self._started, self._peak = time.monotonic(), PeakMemory(device)

    def seconds(self) -> float:
        """Of all runs together."""
        return self._before + time.monotonic() - self._started

    def peak_bytes(self) -> int:
        """The largest of all runs."""
        return max(self._peak_before, self._peak.read())

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {
            "clock/seconds": torch.tensor(self.seconds(), dtype=torch.float64),
            "clock/peak": torch.tensor(self.peak_bytes()),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue where `state()` was taken."""
        self._before, self._peak_before = float(state["clock/seconds"]), int(state["clock/peak"])
