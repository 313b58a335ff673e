"""Where the units of work are done: in this process, or in several, each with its own threads and device."""

import multiprocessing
import os
import queue
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from fewshot_bench import device as machine
from fewshot_bench.checkpoint import Checkpoints
from fewshot_bench.data import open_images
from fewshot_bench.errors import BenchError
from fewshot_bench.plan import Plan, PlannedTraining
from fewshot_bench.runner import Laboratory, Stopped
from fewshot_bench.tasks import Gallery
from fewshot_bench.work import CellJob, Event, Item, Trained, WorkerLost, do


@dataclass(frozen=True)
class Workplace:
    """What a process needs to set up its laboratory; small, so that it can be sent to one."""

    source: str
    cache: Path
    image_size: int | None
    checkpoints: Path
    device: str
    threads: int  # of each process

    def open(self, should_stop: Callable[[], bool]) -> Laboratory:
        """The laboratory, in this process."""
        device = torch.device(self.device)
        machine.prepare(device, self.threads)
        images = open_images(self.source, self.cache, self.image_size)
        return Laboratory(images, Gallery(images, device), Checkpoints(self.checkpoints), device, should_stop)


class Queue:
    """What is left to do. A training's cells join when it is trained."""

    def __init__(self, plan: Plan, checkpoints: Checkpoints) -> None:
        self._trainings: deque[Item] = deque()
        self._cells: deque[Item] = deque()
        for todo in plan.todo:
            stored = todo.stored
            if stored and stored.state == "finished" and checkpoints.has(stored.checkpoint):
                self.trained(todo, stored.checkpoint)
            else:
                self._trainings.append(todo)

    def __bool__(self) -> bool:
        return bool(self._trainings or self._cells)

    def next(self, *, cells_first: bool) -> Item:
        """The next item. Cells first shows results early; trainings first keeps several workers busy to the end."""
        first, second = (self._cells, self._trainings) if cells_first else (self._trainings, self._cells)
        return (first or second).popleft()

    def trained(self, todo: PlannedTraining, checkpoint: str) -> None:
        """The cells of a training can be evaluated now."""
        self._cells.extend(CellJob(planned, checkpoint) for planned in todo.cells)


def run_here(plan: Plan, place: Workplace, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Do everything in this process. Raises Stopped when asked to."""
    lab = place.open(should_stop)
    left = Queue(plan, lab.checkpoints)
    while left:
        for event in do(left.next(cells_first=True), lab):
            if isinstance(event, Trained):
                left.trained(event.todo, event.checkpoint)
            yield event


def run_in_workers(plan: Plan, place: Workplace, should_stop: Callable[[], bool], jobs: int) -> Iterator[Event]:
    """Do everything in `jobs` processes. Raises Stopped, when asked to, after they have saved their state."""
    context = multiprocessing.get_context("spawn")
    events, stop = context.Queue(), context.Event()
    left = Queue(plan, Checkpoints(place.checkpoints))
    workers = [_Worker(context, number, place, events, stop) for number in range(jobs)]
    by_number = {w.number: w for w in workers}
    try:
        while left or any(w.item for w in workers):
            if should_stop():
                stop.set()
            for worker in workers:
                if left and worker.item is None and not stop.is_set():
                    worker.give(left.next(cells_first=False))
            if stop.is_set() and not any(w.item for w in workers):
                raise Stopped
            try:
                number, event = events.get(timeout=0.2)
            except queue.Empty:
                for worker in workers:
                    if (lost := worker.lost()) is not None:
                        yield lost
                continue
            if event is None:  # the worker is free
                by_number[number].item = None
                continue
            if isinstance(event, BenchError):
                raise event
            if isinstance(event, Trained):
                left.trained(event.todo, event.checkpoint)
            yield event
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


class _Worker:
    """One worker process, and what it has in hand."""

    def __init__(self, context: Any, number: int, place: Workplace, events: Any, stop: Any) -> None:
        self.number = number
        self.item: Item | None = None
        self._context, self._place, self._events, self._stop = context, place, events, stop
        self._start()

    def _start(self) -> None:
        self._items = self._context.Queue()
        self.process: BaseProcess = self._context.Process(
            target=_work, args=(self.number, self._place, self._items, self._events, self._stop), daemon=True
        )
        self.process.start()

    def give(self, item: Item) -> None:
        self.item = item
        self._items.put(item)

    def lost(self) -> WorkerLost | None:
        """What it had in hand if it died; a new process takes its place."""
        if self.item is None or self.process.is_alive():
            return None
        lost = WorkerLost(self.item, self.process.exitcode or 0)
        self.item = None
        self._start()
        return lost


def _work(number: int, place: Workplace, items: Any, events: Any, stop: Any) -> None:
    """A worker process: items in, events out, until it is killed. The main process alone heeds signals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main = os.getppid()

    def should_stop() -> bool:
        return bool(stop.is_set()) or os.getppid() != main  # the main process may have been killed

    lab = place.open(should_stop)
    while True:
        try:
            item = items.get(timeout=1)
        except queue.Empty:
            if os.getppid() != main:
                return
            continue
        try:
            for event in do(item, lab):
                events.put((number, event))
        except Stopped:
            pass
        except BenchError as error:
            events.put((number, error))
        events.put((number, None))
