"""How long a pool of workers takes for trainings and, once each is over, its cells: trainings first, longest first."""

import heapq
from collections.abc import Iterable

Work = tuple[float, tuple[float, ...]]  # seconds of a training, and of each of its cells


def wall_seconds(work: Iterable[Work], jobs: int) -> float:
    """Seconds until `jobs` workers are through with everything."""
    trainings = sorted(work, key=lambda one: one[0] + max(one[1], default=0.0))  # the next one is the last
    cells: list[float] = []  # negative: the longest first
    at_work: list[tuple[float, tuple[float, ...]]] = []  # when a worker is free, and the cells that can begin then
    now = 0.0
    while trainings or cells or at_work:
        while len(at_work) < jobs and (trainings or cells):
            seconds, followers = trainings.pop() if trainings else (-heapq.heappop(cells), ())
            heapq.heappush(at_work, (now + seconds, followers))
        now, followers = heapq.heappop(at_work)
        for seconds in followers:
            heapq.heappush(cells, -seconds)
    return now
