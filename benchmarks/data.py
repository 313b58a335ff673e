"""How fast images come: preparing a data set, opening it again, and episodes against a DataLoader that decodes.

    python -m benchmarks.data [--write] [--json FILE]      or `make benchmark-data`

Writes class folders of JPEG files into a temporary folder (38,400 of 84x84 pixels: the size of miniImageNet's training
classes), prepares them as `bench run --data` does, and then takes the same episodes from both sides in turns, in one
process with one thread; the DataLoader may have worker processes besides. Both sides' pixels are compared first.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from benchmarks import data_table, photographs
from benchmarks.contest.report import placed
from fewshot_bench.config import AugmentationConfig
from fewshot_bench.data import ImageSet, open_images
from fewshot_bench.experiment.episodes import Sampler, Setting
from fewshot_bench.methods.interface import Episodes
from fewshot_bench.results import provenance
from fewshot_bench.running import device
from fewshot_bench.running.augmentation import WORDS, augment
from fewshot_bench.running.tasks import Gallery
from fewshot_bench.seeding import Stream

EPISODE = Setting(n_way=5, n_shot=5, n_query=15)
DRAWN = (EPISODE, Setting(20, 5, 15), Setting(35, 100, 15))
WORKERS = (0, 2)
AUGMENTATION = AugmentationConfig(crop_padding=8, flip=True, jitter=0.4)

PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurements.md"


class Files(Dataset[Tensor]):
    """Image files, each decoded when it is asked for, as torchvision's users write it."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = [str(path) for path in paths]
        self.to_tensor = ToTensor()

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """A photograph (3, H, W) in [0, 1]."""
        with Image.open(self.paths[index]) as image:
            tensor: Tensor = self.to_tensor(image.convert("RGB"))
        return tensor


class EpisodeIndices:
    """A batch sampler without an end: each batch is an episode's images."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def __iter__(self) -> Iterator[list[int]]:
        """Support, then query images of episode 0, 1, ..."""
        number = 0
        while True:
            yield indices(self._sampler, number).tolist()
            number += 1


def indices(sampler: Sampler, number: int) -> NDArray[np.int64]:
    """The images of an episode (100,), support first."""
    drawn = sampler.draw(number, EPISODE)
    return np.concatenate([drawn.support, drawn.query])


def from_memory_map(images: ImageSet, sampler: Sampler) -> Callable[[], Episodes]:
    """Our side: the next episode as tensors, labels and all."""
    gallery, class_index, numbers = Gallery(images, torch.device("cpu")), np.arange(len(images.class_names)), [0]

    def take() -> Episodes:
        numbers[0] += 1
        return gallery.collate([sampler.draw(numbers[0], EPISODE)], class_index)

    return take


def from_files(files: Files, sampler: Sampler, n_workers: int) -> Callable[[], Tensor]:
    """The other side: the next episode's images as one tensor."""
    batches = iter(DataLoader(files, batch_sampler=EpisodeIndices(sampler), num_workers=n_workers))
    return lambda: next(batches)


def files_of(images: ImageSet, folder: Path) -> list[Path]:
    """The file of each image."""
    return [file for name in images.class_names for file in sorted((folder / name).iterdir())]


def check_same(images: ImageSet, files: Files, sampler: Sampler) -> None:
    """Stop unless both sides give the same pixels."""
    gallery = Gallery(images, torch.device("cpu"))
    for number in range(3):
        chosen = indices(sampler, number)
        if not torch.equal(gallery.pick(torch.from_numpy(chosen)), torch.stack([files[i] for i in chosen.tolist()])):
            raise SystemExit("the two sides give different pixels: nothing is measured")


def rate(take: Callable[[], object], unmeasured: int, seconds: float) -> tuple[float, float]:
    """Episodes a second, and a second of this process's processor time, of one turn.

    Before it the episodes that workers hold ready are taken, which cost nothing.
    """
    for _ in range(unmeasured):
        take()
    started, processor, count = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - started) < seconds:
        take()
        count += 1
    return count / spent, count / (time.process_time() - processor)


def in_turns(images: ImageSet, files: Files, rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Of every side, once a round, episodes a second and, without workers, a second of processor time."""
    sampler = Sampler(images, tuple(range(len(images.class_names))), Stream("benchmark"))
    check_same(images, files, sampler)
    sides: dict[str, tuple[Callable[[], object], int]] = {"memory map": (from_memory_map(images, sampler), 1)}
    for n in WORKERS:
        sides[f"DataLoader, {n} workers"] = (from_files(files, sampler, n), 1 + 2 * n)
    measured: dict[str, dict[str, list[float]]] = {name: {"second": [], "processor second": []} for name in sides}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, (take, unmeasured) in sides.items():
            by_clock, by_processor = rate(take, unmeasured, seconds)
            measured[name]["second"].append(by_clock)
            if unmeasured == 1:  # no workers, whose time this process does not know
                measured[name]["processor second"].append(by_processor)
    return measured


def draw_microseconds(n_classes: int, per_class: int) -> dict[str, float]:
    """How long drawing an episode's indices takes, in each setting: the median of 9 times 50."""
    n = n_classes * per_class
    names = tuple(map(str, range(n_classes)))
    images = ImageSet("", "", np.zeros((n, 1, 1, 1), np.uint8), np.arange(n_classes).repeat(per_class), names, {}, "")
    sampler = Sampler(images, tuple(range(n_classes)), Stream("benchmark"))
    possible = [s for s in DRAWN if s.n_way <= n_classes and s.n_shot + s.n_query <= per_class]
    return {str(s): 1e6 * seconds_of(lambda s=s: sampler.draw(7, s), times=50) for s in possible}  # type: ignore[misc]


def augmented_per_second(side: int) -> float:
    """Colour images that are cropped, flipped and jittered in a second, 100 at once."""
    images = torch.rand(100, 3, side, side, generator=torch.Generator().manual_seed(0))
    stream = Stream("benchmark")
    return 100 / seconds_of(
        lambda: augment(images, stream.words(0, 100 * WORDS).reshape(100, WORDS), AUGMENTATION), times=5
    )


def seconds_of(work: Callable[[], object], times: int) -> float:
    """Of the processor, for one call: the median of 9 repetitions, after one that is not counted."""
    taken = []
    for _ in range(10):
        started = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - started) / times)
    return statistics.median(taken[1:])


def measure(n_classes: int, per_class: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Everything, in a temporary folder that is removed again."""
    with tempfile.TemporaryDirectory(prefix="benchmark-data-") as folder:
        source, cache = Path(folder) / "photographs", Path(folder) / "cache"
        print(f"writing {n_classes * per_class:,} files", file=sys.stderr)
        file_bytes = photographs.write(source, n_classes, per_class)
        os.sync()  # so that writing them out is not measured as preparing
        print("preparing", file=sys.stderr)
        started = time.perf_counter()
        open_images(str(source), cache)
        prepared = time.perf_counter()
        images = open_images(str(source), cache)
        opened = time.perf_counter()
        episodes = in_turns(images, Files(files_of(images, source)), rounds, seconds)
        return {
            "images": len(images.images),
            "classes": n_classes,
            "file_bytes": file_bytes,
            "prepare_seconds": prepared - started,
            "open_again_seconds": opened - prepared,
            "episodes_per": episodes,
            "draw_microseconds": {str(n): draw_microseconds(n_classes, n) for n in (500, 600)},
            "augmented_images_per_second": {f"3x{side}x{side}": augmented_per_second(side) for side in (32, 84)},
        }


def origin() -> dict[str, Any]:
    """By which code and on which machine; `load`: processes that wanted a core in the minute before."""
    here = provenance.collect("", "cpu", 1, 0)
    commit = here.git_commit[:12] + ("-dirty" if here.git_dirty else "")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"commit": commit, "measured_at": here.started_at, "load": load, "machine": here.facts}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--classes", type=int, default=64)
    parser.add_argument("--per-class", type=int, default=600, help="images in each class")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each side in each round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measured number")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/measurements.md")
    options = parser.parse_args()
    device.prepare(torch.device("cpu"), threads=1)  # as each process of `bench run`
    measured = origin() | measure(options.classes, options.per_class, options.rounds, options.seconds)
    text = data_table.as_markdown(measured)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if options.write:
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), text, "data"), encoding="utf-8")


if __name__ == "__main__":
    main()
