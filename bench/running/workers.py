"""Where the units of work are done: in this process, or in several, each with its own threads and device."""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from fewshot_bench.data import open_images
from fewshot_bench.errors import BenchError, DataError, UsageError
from fewshot_bench.experiment.identity import Training
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.registry import importable, register, registered
from fewshot_bench.running import device as machine
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.events import Event, Trained, WorkerLost
from fewshot_bench.running.runner import Laboratory, Stopped
from fewshot_bench.running.tasks import Gallery
from fewshot_bench.running.units import CellJob, Item, do

Events = Generator[Event, None, None]


@dataclass(frozen=True)
class Workplace:
    """What a process needs to set up its laboratory; small, so that it can be sent to one."""

    source: str
    cache: Path
    image_size: int | None
    checkpoints: Path
    device: str
    threads: int  # of each process
    fingerprint: str  # of the data that was planned for
    recompute: bool = False
    registered: Mapping[str, type[Method]] = field(default_factory=dict)  # in the process that sends this to another

    def open(self, should_stop: Callable[[], bool]) -> Laboratory:
        """The laboratory, in this process."""
        for name, method in self.registered.items():
            register(name, method)
        device = torch.device(self.device)
        machine.prepare(device, self.threads)
        images = open_images(self.source, self.cache, self.image_size)
        if images.fingerprint != self.fingerprint:
            raise DataError(f"{self.source} has changed since this run began; start it again")
        gallery, checkpoints = Gallery(images, device), Checkpoints(self.checkpoints)
        return Laboratory(images, gallery, checkpoints, device, should_stop, self.recompute)


class Queue:
    """What is left to do. A training's cells join when it is trained."""

    def __init__(self, plan: Plan, checkpoints: Checkpoints) -> None:
        self._trainings: deque[Item] = deque()
        self._cells: deque[Item] = deque()
        self._waiting = {todo.training.key: todo.cells for todo in plan.todo}
        for todo in plan.todo:
            stored = todo.stored
            if stored and stored.state == "finished" and checkpoints.has(stored.checkpoint):
                self.trained(todo.training, stored.checkpoint)
            else:
                self._trainings.append(todo)

    def __bool__(self) -> bool:
        return bool(self._trainings or self._cells)

    def next(self, *, cells_first: bool) -> Item:
        """The next item. Cells first shows results early; trainings first keeps several workers busy to the end."""
        first, second = (self._cells, self._trainings) if cells_first else (self._trainings, self._cells)
        return (first or second).popleft()

    def trained(self, training: Training, checkpoint: str) -> None:
        """The cells of a training can be evaluated now."""
        self._cells.extend(CellJob(planned, checkpoint) for planned in self._waiting[training.key])


def run_here(plan: Plan, place: Workplace, should_stop: Callable[[], bool]) -> Events:
    """Do everything in this process. Raises Stopped when asked to."""
    lab = place.open(should_stop)
    left = Queue(plan, lab.checkpoints)
    while left:
        for event in do(left.next(cells_first=True), lab):
            if isinstance(event, Trained):
                left.trained(event.training, event.checkpoint)
            yield event


def run_in_workers(plan: Plan, place: Workplace, should_stop: Callable[[], bool], jobs: int) -> Events:
    """Do everything in `jobs` processes. Raises Stopped, when asked to, after they have saved their state."""
    place = replace(place, registered=_registered(plan))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    left = Queue(plan, Checkpoints(place.checkpoints))
    workers = [_Worker(context, place, stop) for _ in range(jobs)]
    ended: list[Exception] = []
    lost = False
    try:
        while left or any(w.item for w in workers):
            if should_stop() or ended:
                stop.set()
            if not stop.is_set():
                _hand_out(left, workers)
            elif not any(w.item for w in workers):
                break
            for event in _received(workers, restart=not stop.is_set()):
                if isinstance(event, Exception):  # Stopped with its work in hand, or what ends the whole run
                    ended.append(event)
                    continue
                if isinstance(event, Trained):
                    left.trained(event.training, event.checkpoint)
                lost = lost or isinstance(event, WorkerLost)
                yield event
        if ended or (stop.is_set() and (left or lost)):
            raise next((e for e in ended if isinstance(e, BenchError)), Stopped())
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _hand_out(left: Queue, workers: "list[_Worker]") -> None:
    for worker in workers:
        if left and worker.item is None:
            worker.give(left.next(cells_first=False))


def _registered(plan: Plan) -> dict[str, type[Method]]:
    """The methods of the plan that only this process knows. Raises UsageError where another cannot import one."""
    found = {name: method for name, method in registered().items() if name in {t.training.method for t in plan.todo}}
    for name, method in found.items():
        if not importable(method):
            raise UsageError(
                f"the method {name!r} is a class of this process alone ({method.__module__}.{method.__qualname__}), "
                "which worker processes cannot import: use jobs=1, or move it and its settings into a module"
            )
    return found


def _received(workers: "list[_Worker]", *, restart: bool) -> Iterator[Event | Exception]:
    """What the workers say within a moment; a dead one's work is reported lost."""
    ready = wait([w.connection for w in workers if w.item], timeout=0.2)
    for worker in workers:
        if worker.connection not in ready:
            continue
        try:
            event = worker.connection.recv()
        except (EOFError, OSError):
            yield worker.lose(restart=restart)
            continue
        if event is None:  # it is free
            worker.item = None
        else:
            yield event


class _Worker:
    """One worker process, and what it has in hand. A pipe each: one that dies leaves no lock behind."""

    def __init__(self, context: SpawnContext, place: Workplace, stop: Any) -> None:
        self.item: Item | None = None
        self._context, self._place, self._stop = context, place, stop
        self._start()

    def _start(self) -> None:
        self.connection, its_end = self._context.Pipe()
        self.process: BaseProcess = self._context.Process(
            target=_work, args=(self._place, its_end, self._stop), daemon=True
        )
        # Ctrl-C reaches the whole process group, while a worker still imports its libraries, too: it inherits deafness
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with _without_script():
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        its_end.close()

    def give(self, item: Item) -> None:
        self.item = item
        with suppress(OSError):  # it is dead: the next `_received` finds out
            self.connection.send(item)

    def lose(self, *, restart: bool) -> WorkerLost:
        """Its work is lost; a new process takes its place."""
        self.process.join()
        assert self.item is not None
        cells = (self.item.planned,) if isinstance(self.item, CellJob) else self.item.cells
        lost = WorkerLost(cells, self.process.exitcode or 0)
        self.item = None
        if restart:
            self._start()
        return lost


@contextmanager
def _without_script() -> Iterator[None]:
    """A process that starts now imports nothing of the script that called us: its top level must not run again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _work(place: Workplace, connection: "Connection[Any, Any]", stop: Any) -> None:
    """A worker process: items in, events out, until the main process ends. That one alone heeds signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main = os.getppid()

    def should_stop() -> bool:
        if os.getppid() != main:  # it was killed: to save a state now could lose what it has not recorded before it
            os._exit(1)
        return bool(stop.is_set())

    lab: Laboratory | None = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            item = connection.recv()
            try:
                lab = lab or place.open(should_stop)
                for event in do(item, lab):
                    connection.send(event)
            except (Stopped, BenchError) as error:
                connection.send(error)
            except Exception as error:  # noqa: BLE001  # what `do` does not explain is the worker's own set-up
                connection.send(BenchError(f"a worker process could not start: {type(error).__name__}: {error}"))
            connection.send(None)
