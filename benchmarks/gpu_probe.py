"""How fast every method trains and is tested on this GPU, on random images: one line each, a failing one its error.

Run by `benchmarks/gpu.py --probe`, which finds the package. Steps are timed over at least a moment, launched kernel by
kernel ("plain") and as CUDA graphs; of a test, one pass of as many episodes as the runner takes at once.
"""

import argparse
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fewshot_bench.config import load
from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.grid import cells, resolve
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.methods.execution import WARM_UP
from fewshot_bench.running import device as machine
from fewshot_bench.running import runner
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Gallery

PARTS = {"train": 64, "val": 16, "test": 20}  # classes
PER_CLASS = 120  # images: 100 shots and the queries
MOMENT_SECONDS = 0.25
AT_ONCE = 5  # steps between two waits for the device
TRAINED = ((84, 32, True), (32, 32, True), (84, 64, True), (32, 64, True), (84, 32, False), (32, 32, False))
TESTED = (84, 32)  # pixels


def random_images(size: int) -> ImageSet:
    """100 classes that nobody can learn, as large as photographs."""
    n_classes = sum(PARTS.values())
    pixels = np.random.default_rng(0).integers(0, 256, (n_classes * PER_CLASS, 3, size, size), dtype=np.uint8)
    ends = np.cumsum([0, *PARTS.values()])
    return ImageSet(
        name=f"random-{size}",
        note="Random pixels.",
        images=pixels,
        class_ids=np.arange(n_classes).repeat(PER_CLASS),
        class_names=tuple(f"c{i}" for i in range(n_classes)),
        parts={part: tuple(range(ends[i], ends[i + 1])) for i, part in enumerate(PARTS)},
        fingerprint=f"random-{size}",
    )


def of_grid(images: ImageSet, filters: int, out: Path) -> dict[str, list[Cell]]:
    """The cells of every variant of the full grid at the published budget."""
    config = load(None)
    config = replace(config, model=replace(config.model, filters=filters))
    found: dict[str, list[Cell]] = {}
    for cell in cells(resolve(config, Selection(grid="full", budget="paper", out=out)), images):
        found.setdefault(cell.variant, []).append(cell)
    return found


def seconds_each(work: Callable[[], object], device: torch.device) -> float:
    """The mean seconds of a repetition, over at least a moment."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < MOMENT_SECONDS:
        for _ in range(AT_ONCE):  # the host runs ahead of the device, as in a training, but not by a second
            work()
        wait()
        count += AT_ONCE
    return (time.perf_counter() - started) / count


def training_line(cell: Cell, lab: Laboratory, *, recorded: bool) -> str:
    """Iterations a second of a variant's training, and its peak memory."""
    training, peak = cell.training, machine.PeakMemory(lab.device)
    method = runner.build(training, lab)
    method.execution = replace(method.execution, recorded=recorded and method.execution.recorded)
    source = lab.base_classes(training, training.augmentation)
    for _ in range(WARM_UP + 2):
        method.step(source)
    seconds = seconds_each(lambda: method.step(source), lab.device)
    hours = seconds * training.iterations / 3600
    return f"{1 / seconds:9.1f} it/s {hours:7.2f} h for {training.iterations} {peak.read() / 2**30:6.2f} GiB"


def test_line(cell: Cell, lab: Laboratory) -> str:
    """Seconds that a variant's cell takes."""
    method = runner.build(cell.training, lab).eval()
    next(runner.evaluate(cell, method, lab, 0))  # libraries choose their kernels; features are embedded
    peak, started = machine.PeakMemory(lab.device), time.perf_counter()
    n_episodes = len(next(runner.evaluate(cell, method, lab, 0)))
    seconds = (time.perf_counter() - started) / n_episodes
    return (
        f"{seconds * cell.n_episodes:9.2f} s for {cell.n_episodes} episodes, {n_episodes} at once "
        f"{peak.read() / 2**30:6.2f} GiB"
    )


def lines(device: torch.device, out: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """What is measured, in this order, under its name."""
    labs = {
        size: Laboratory(Gallery(images, device), Checkpoints(out), device, lambda: False)
        for size in sorted({size for size, _, _ in TRAINED} | set(TESTED))
        for images in [random_images(size)]
    }
    for size, filters, recorded in TRAINED:
        for variant, of_variant in of_grid(labs[size].gallery.images, filters, out).items():
            name = f"train {size:>2} px {filters} filters {'graph' if recorded else 'plain'} {variant:<12}"
            yield name, partial(training_line, of_variant[0], labs[size], recorded=recorded)
    for size in TESTED:
        for variant, of_variant in of_grid(labs[size].gallery.images, 32, out).items():
            if variant in ("transfer", "protonet", "maml"):  # the others are tested as MAML is
                for cell in of_variant:
                    name = f"test  {size:>2} px 32 filters {variant:<9} {cell.setting.n_way:>2}w{cell.setting.n_shot}s"
                    yield name, partial(test_line, cell, labs[size])


def main() -> None:
    """Print the lines; after --seconds the others are named and not measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=85.0)
    asked, started = parser.parse_args(), time.monotonic()
    device = torch.device(asked.device)
    machine.prepare(device, 1)
    print(f"{machine.describe(device)}, torch {torch.__version__}", flush=True)
    left = 0
    for name, measure in lines(device, asked.out / "probe"):
        if time.monotonic() - started > asked.seconds:
            left += 1
            continue
        try:
            print(name, measure(), flush=True)
        except Exception as error:  # noqa: BLE001  # of whatever kind: the next one is measured
            print(name, f"FAILED {type(error).__name__}: {' '.join(str(error).split())[:300]}", flush=True)
            traceback.print_exc()
    print(f"{time.monotonic() - started:.0f} s; {left} lines were not reached", flush=True)


if __name__ == "__main__":
    main()
