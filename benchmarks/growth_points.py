"""One point of a growth curve: work of a size, carried out in this process with one thread."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch._dynamo  # Adam does at its first step; here it is done once, before the processes are forked
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from fewshot_bench.config import load
from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.grid import variant
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.registry import find_method
from fewshot_bench.running import device, memory, runner
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.tasks import BaseClasses, Gallery

CPU = torch.device("cpu")
N_QUERY = 15  # a class
BATCH = 64  # images of transfer
N_BASE, N_NOVEL = 64, 40  # classes
READING_SECONDS = 0.8  # the least that the repetitions of a point take together
LONG_SECONDS = 1.5  # two repetitions are enough of what takes longer
TRAINED = ("transfer", "protonet", "maml", "fomaml", "reptile")
RECOMPUTED, TESTED, LOOKED_UP, EMBEDDED = "maml, recomputed", "maml, tested", "protonet, tested", "protonet, embedding"


@dataclass(frozen=True)
class Point:
    """A training step of a method, or a test of a trained one, and its size."""

    work: str  # of TRAINED, or one of the four others
    n_way: int = 5
    n_shot: int = 5
    steps: int = 5  # inner steps in training, adaptation steps at test
    filters: int = 32
    pixels: int = 32
    n_tasks: int = 1  # in a meta-batch; batches of transfer in one; episodes of a test; novel classes to embed

    @property
    def trains(self) -> bool:
        """Whether it is a training step."""
        return self.work in (*TRAINED, RECOMPUTED)


class Measured(NamedTuple):
    """What a point took. Everything but the memory is of one repetition."""

    seconds: float  # of the processor: the least of the repetitions
    images: int  # that passed through the network; for LOOKED_UP, whose features were looked up
    operations: int  # of convolutions and matrix products, forwards and backwards
    bytes: int  # of tensors that operators read and wrote
    calls: int  # of operators
    peak_bytes: int  # of the process
    own_bytes: int  # of the process before
    predicted_bytes: int  # of the process, as `bench run -n` tells it; 0 for a test

    @property
    def added_bytes(self) -> int:
        """What the work itself took."""
        return self.peak_bytes - self.own_bytes


def measure(point: Point) -> Measured:
    """The point in this process, which should do nothing else. Sets its threads."""
    device.prepare(CPU, threads=1)
    predicted = 0
    if point.trains:
        training, execution = training_of(point), Execution(recompute=point.work == RECOMPUTED)
        predicted = memory.predicted_bytes(training, CPU, execution)
        method, work = stepping(training, execution)
    else:
        method, work = evaluating(point)
    peak = device.PeakMemory(CPU)  # gives back to the system what all this has left
    own = memory.own_bytes()
    with Counts(method) as counts:
        work()
    if point.work == LOOKED_UP:
        counts.images = point.n_tasks * point.n_way * (point.n_shot + N_QUERY)
    seconds = least_seconds(work)
    return Measured(seconds, counts.images, counts.operations, counts.bytes, counts.calls, peak.read(), own, predicted)


def training_of(point: Point) -> Training:
    """The training whose step, or whose model, the point is about."""
    chosen = variant(load(None), point.work.partition(",")[0])
    sizes = {
        "train_way": point.n_way,
        "inner_steps": point.steps,
        "meta_batch": point.n_tasks if point.trains else 1,
        "batch_size": BATCH * point.n_tasks if point.trains else BATCH,
    }
    known = {field.name for field in dataclasses.fields(chosen.settings)}
    settings = dataclasses.replace(chosen.settings, **{name: sizes[name] for name in sizes.keys() & known})
    n_way, n_shot = find_method(chosen.method).training_setting(settings, point.n_way, point.n_shot)
    return Training(
        method=chosen.method, versions=(), settings=settings, fingerprint="noise", base_parts=("train",),
        in_channels=3, image_size=point.pixels, filters=point.filters, n_base_classes=N_BASE,
        n_way=n_way, n_shot=n_shot, n_query=N_QUERY if n_way else 0, iterations=10**6, seed=0,
    )  # fmt: skip


def stepping(training: Training, execution: Execution) -> tuple[Method, Callable[[], object]]:
    """A method, and its next training step, on noise."""
    images = noise(training.image_size, training.n_shot + N_QUERY)
    source = BaseClasses(images.parts["train"], Gallery(images, CPU), training.data_identity)
    method = find_method(training.method)(training.problem, training.settings)
    method.execution = execution
    return method, lambda: method.step(source)


def evaluating(point: Point) -> tuple[Method, Callable[[], object]]:
    """A method, and a test of it over the point's episodes; for EMBEDDED what comes before one. On noise."""
    images, n_episodes = noise(point.pixels, point.n_shot + N_QUERY), point.n_tasks
    if point.work == EMBEDDED:
        images = dataclasses.replace(images, parts=images.parts | {"test": images.parts["test"][: point.n_tasks]})
    training = training_of(point)
    lab = runner.Laboratory(Gallery(images, CPU), Checkpoints(Path("unused")), CPU, lambda: False)
    method = runner.build(training, lab).eval()
    rule = Adaptation(steps=point.steps)
    cell = Cell("", training, "ravi", Setting(point.n_way, point.n_shot, N_QUERY), 0, rule, n_episodes)
    small = dataclasses.replace(cell, setting=Setting(2, 1, 1), n_episodes=1)
    list(runner.evaluate(small, method, lab, 0))  # what is done once: libraries load, a ProtoNet embeds all images

    def embed() -> object:
        lab.embedded.clear()
        return runner.embed(cell, method, lab)

    return method, embed if point.work == EMBEDDED else lambda: list(runner.evaluate(cell, method, lab, 0))


def noise(pixels: int, per_class: int) -> ImageSet:
    """A data set in memory whose images say nothing."""
    n = N_BASE + N_NOVEL
    images = np.random.default_rng(0).integers(0, 256, (n * per_class, 3, pixels, pixels), np.uint8)
    parts = {"train": tuple(range(N_BASE)), "val": (), "test": tuple(range(N_BASE, n))}
    return ImageSet("noise", "", images, np.arange(n).repeat(per_class), tuple(map(str, range(n))), parts, "noise")


class Counts(TorchDispatchMode):
    """Counts what is computed inside the block, and the images that pass through a method's trunk."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.images = self.operations = self.bytes = self.calls = 0
        self._hook = method.get_submodule("trunk").register_forward_pre_hook(self._pass)

    def __exit__(self, *error: Any) -> None:
        """See `TorchDispatchMode`."""
        self._hook.remove()
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `TorchDispatchMode`. A view computes nothing."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        if not func.is_view:
            self.calls += 1
            self.bytes += sum(leaf.nbytes for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, Tensor))
        if func.overloadpacket in flop_registry:
            self.operations += flop_registry[func.overloadpacket](*args, **kwargs, out_val=made)
        return made

    def _pass(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        images: Tensor = given[1]  # (T, N, C, H, W)
        self.images += images.shape[0] * images.shape[1]


def least_seconds(work: Callable[[], object]) -> float:
    """Of the processor, for the work done once: the least of at least two times, which others disturb least."""
    taken: list[float] = []
    while len(taken) < 2 or (sum(taken) < READING_SECONDS and max(taken) < LONG_SECONDS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)
