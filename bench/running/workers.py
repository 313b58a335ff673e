"""Units of work done in several processes, each with its own threads and device."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import wait

from fewshot_bench.errors import BenchError, UsageError
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.machine import pause
from fewshot_bench.methods.registry import importable, registered
from fewshot_bench.running.events import Event, NotDone, Warned
from fewshot_bench.running.queue import PAUSE_SECONDS, Events, Queue, cells_of, name_of
from fewshot_bench.running.runner import Stopped
from fewshot_bench.running.units import Workplace
from fewshot_bench.running.worker import Ended, Worker


def for_workers(place: Workplace, plan: Plan) -> Workplace:
    """A workplace as another process needs it, with the methods of the plan that only this process knows.

    Raises UsageError where the other cannot import one.
    """
    found = {name: method for name, method in registered().items() if name in {t.training.method for t in plan.todo}}
    for name, method in found.items():
        if not importable(method):
            raise UsageError(
                f"the method {name!r} is a class of this process alone ({method.__module__}.{method.__qualname__}), "
                "which worker processes cannot import: use jobs=1, or move it and its settings into a module"
            )
    return replace(place, registered=found)


def run_in_workers(
    place: Workplace, should_stop: Callable[[], bool], left: Queue, jobs: int, timeout: float | None
) -> Events:
    """Do everything in `jobs` processes. Raises Stopped, when asked to, after they have saved their state.

    timeout: seconds of a training or cell, which is then stopped and not done
    """
    workers: list[Worker] = []
    ended: list[Exception] = []
    not_saved = False
    try:
        workers += (Worker(place) for _ in range(jobs))
        while left or left.news or any(w.item for w in workers):
            stopping = should_stop() or bool(ended)
            _hand_out(left, workers, stopping)
            yield from left.told()
            if stopping and not any(w.item for w in workers):
                break
            for said in _received(workers, stopping, timeout):
                event = _after(said, left, stopping) if isinstance(said, Ended) else said
                not_saved = not_saved or (isinstance(said, Ended) and isinstance(event, NotDone))
                if isinstance(event, Exception):  # Stopped with its work in hand, or what ends the whole run
                    ended.append(event)
                elif event:
                    yield left.heeded(event)
        if ended or (should_stop() and (left or not_saved)):
            raise next((e for e in ended if isinstance(e, BenchError)), Stopped())
    finally:
        for worker in workers:
            worker.kill()


def _hand_out(left: Queue, workers: list[Worker], stopping: bool) -> None:
    for worker in workers:
        if stopping:
            worker.ask_to_stop()
        elif worker.item is None and (item := left.take(cells_first=False)):
            worker.give(item)


def _after(ended: Ended, left: Queue, stopping: bool) -> Event | None:
    """What is to be said when a worker is through with its unit."""
    if ended.lost and not stopping and left.begin_again(ended.item):
        return Warned(f"{ended.reason}; begun again: {name_of(ended.item)}")
    left.over(ended.item)
    return NotDone(cells_of(ended.item), ended.reason) if ended.reason else None


def _received(workers: list[Worker], stopping: bool, timeout: float | None) -> Iterator[Event | Exception | Ended]:
    """What the workers say within a moment."""
    busy = [worker for worker in workers if worker.item]
    if not busy:
        pause(PAUSE_SECONDS)
    ready = wait([worker.connection for worker in busy], timeout=PAUSE_SECONDS)
    for worker in busy:
        yield from worker.received(ready=worker.connection in ready, stopping=stopping, timeout=timeout)
