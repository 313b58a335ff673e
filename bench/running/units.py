"""The units of work of a run, and where a process does them: train one model; evaluate one cell.

Each yields events, the last of which says how it ended; a failure is an event, too, so that the others go on.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from fewshot_bench import machine
from fewshot_bench.data import open_images
from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import BenchError, DataError, DeviceFailed
from fewshot_bench.experiment.identity import Training
from fewshot_bench.experiment.plan import PlannedCell, PlannedTraining
from fewshot_bench.experiment.records import TrainingProgress
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.registry import register
from fewshot_bench.methods.strangers import contained, in_one_line
from fewshot_bench.running import events, runner
from fewshot_bench.running.checkpoint import Checkpoints, Unusable
from fewshot_bench.running.device import prepare
from fewshot_bench.running.events import Event, TrainingEvent
from fewshot_bench.running.returned import BrokenMethod
from fewshot_bench.running.runner import Laboratory, Stopped, WeightsGone
from fewshot_bench.running.signals import AtOnce
from fewshot_bench.running.tasks import Gallery


@dataclass(frozen=True)
class CellJob:
    """One cell, and the weights that it needs."""

    planned: PlannedCell
    checkpoint: str


Item = PlannedTraining | CellJob
DEVICE_ERRORS = (torch.OutOfMemoryError, torch.AcceleratorError)  # a GPU's state; nothing against the work itself
T = TypeVar("T")
EMPTY = TrainingProgress(0, 0, 0.0, 0, "")


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
    novel_source: str = ""  # of the novel classes, where they are another data set's; and what it was planned for
    novel_fingerprint: str = ""
    recompute: bool = False
    registered: Mapping[str, type[Method]] = field(default_factory=dict)  # in the process that sends this to another

    def open(self, should_stop: Callable[[], bool]) -> Laboratory:
        """The laboratory, in this process."""
        for name, method in self.registered.items():
            register(name, method)
        device = torch.device(self.device)
        prepare(device, self.threads)
        gallery = Gallery(self._images(self.source, self.fingerprint), device)
        novel = Gallery(self._images(self.novel_source, self.novel_fingerprint), device) if self.novel_source else None
        return Laboratory(gallery, Checkpoints(self.checkpoints), device, should_stop, self.recompute, novel)

    def _images(self, source: str, fingerprint: str) -> ImageSet:
        images = open_images(source, self.cache, self.image_size)
        if images.fingerprint != fingerprint:
            raise DataError(f"{source} has changed since this run began; start it again")
        return images


def do(item: Item, lab: Laboratory) -> Iterator[Event]:
    """The events of one item. Raises Stopped when asked to stop, BenchError for what ends the whole run."""
    return _evaluate(item, lab) if isinstance(item, CellJob) else _train(item, lab)


def _train(todo: PlannedTraining, lab: Laboratory) -> Iterator[Event]:
    yield events.Started(todo.training)
    progress = EMPTY
    try:
        for event in _each(_from_any_state(todo.training, lab)):
            progress = progress if isinstance(event, events.Warned) else event.progress
            if isinstance(event, events.TrainingFailed):
                lab.checkpoints.drop_partial(todo.training.key)
            yield event
    except (BenchError, Stopped):
        raise
    except DEVICE_ERRORS as error:
        raise DeviceFailed(in_one_line(error)) from None
    except BrokenMethod as error:
        lab.checkpoints.drop_partial(todo.training.key)
        yield events.TrainingFailed(todo.training, progress, str(error))
    except Exception as error:  # noqa: BLE001  # a method's own code may raise anything
        if _is_environment(error):
            yield events.NotDone(todo.cells, in_one_line(error))
            return
        lab.checkpoints.drop_partial(todo.training.key)
        reason = f"training broke after iteration {progress.iteration}: {in_one_line(error)}"
        yield events.TrainingFailed(todo.training, progress, reason, traceback.format_exc())


def _from_any_state(training: Training, lab: Laboratory) -> Iterator[TrainingEvent | events.Warned]:
    """A training, from where it was stopped if it can be."""
    try:
        yield from runner.train(training, lab)
    except Unusable as error:  # before its first step
        yield events.Warned(str(error))
        yield from runner.train(training, lab)


def _evaluate(job: CellJob, lab: Laboratory) -> Iterator[Event]:
    planned, n_done, started = job.planned, job.planned.n_done, time.monotonic()
    try:
        with contained(AtOnce):
            method = _trained(job, lab)
            runner.embed(planned.cell, method, lab)
        once_seconds = time.monotonic() - started
        for chunk in _each(runner.evaluate(planned.cell, method, lab, n_done)):
            yield events.Evaluated(planned, chunk, time.monotonic() - started, once_seconds)
            n_done, started, once_seconds = n_done + len(chunk), time.monotonic(), 0.0
        yield events.CellFinished(planned)
    except (BenchError, Stopped):
        raise
    except DEVICE_ERRORS as error:
        raise DeviceFailed(in_one_line(error)) from None
    except (FloatingPointError, BrokenMethod) as error:
        yield events.CellFailed(planned, str(error))
    except WeightsGone as error:
        yield events.WeightsLost(planned, str(error))
    except Exception as error:  # noqa: BLE001  # as above
        if _is_environment(error):
            yield events.NotDone((planned,), in_one_line(error))
            return
        reason = f"evaluation broke in or after episode {n_done}: {in_one_line(error)}"
        yield events.CellFailed(planned, reason, traceback.format_exc())


def _each(told: Iterator[T]) -> Iterator[T]:
    """What a generator yields, whose code may raise anything: here, and not where a caller that has enough ends it."""
    while True:
        with contained(AtOnce):
            one = next(told, None)
        if one is None:
            return
        yield one


def _trained(job: CellJob, lab: Laboratory) -> Method:
    """The method of a cell; that of the cell before it stays loaded, as cells of one training follow each other."""
    training, rule = job.planned.cell.training, job.planned.cell.adaptation
    key = training.key, job.checkpoint, bool(rule and rule.head)
    if key not in lab.loaded:
        lab.loaded.clear()
        lab.loaded[key] = runner.load(training, job.checkpoint, lab, rule)
    return lab.loaded[key]


def _is_environment(error: Exception) -> bool:
    """Whether it is what a machine lacks, or a person took away, and nothing against the work itself."""
    return isinstance(error, OSError) or machine.lacks_memory(error)
