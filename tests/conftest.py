"""What many tests share: a tiny data set in memory, and one thread so that results are the same everywhere."""

import atexit
import gc
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["OMP_NUM_THREADS"] = "1"  # of torch and, before it is loaded, numpy; in processes that tests begin, too

import numpy as np
import pytest
from hypothesis import settings

from benchmarks.processes import Processes
from fewshot_bench.data.images import ImageSet
from fewshot_bench.methods import names

if TYPE_CHECKING:  # who only hands out tests, or runs those of tables, need not wait for torch
    import torch

    from fewshot_bench.methods.interface import Episodes
    from fewshot_bench.running.tasks import BaseClasses

# in a fresh clone two workers compile what they import to bytecode: one begins with torch, the other with these
OTHERS = ("scipy.stats", "pandas", "matplotlib.axes", "sqlalchemy", "alembic")
if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
    for name in OTHERS:
        importlib.import_module(name)

# files of tests, and of servers that they begin, lie in memory where there is room, since each commit waits for a disk
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 2**31:
    for name in ("PYTEST_DEBUG_TEMPROOT", "TMPDIR"):
        os.environ.setdefault(name, str(MEMORY))
    tempfile.tempdir = None  # pytest has asked where it is already

# the same examples everywhere, none of them remembered, and however long a busy machine takes for one
settings.register_profile("everywhere", deadline=None, derandomize=True, database=None)
settings.load_profile("everywhere")


gc.disable()  # while all is imported, and then it is left alone: going through it took a twentieth of the tests' time


def pytest_collection_finish() -> None:
    """Look for garbage from now on, among what tests make."""
    gc.freeze()
    gc.set_threshold(700, 10, 100)  # what lives longer, as modules imported since, seldom: it took a fifteenth more
    gc.enable()
    # libraries complain of what is left when Python ends; not before, as pytest goes through all of it ten times
    atexit.register(gc.unfreeze)


@pytest.fixture(scope="module", autouse=True)
def house_alone() -> Iterator[None]:
    """Methods of packages that are installed here by chance are tested by test_contract.py alone."""
    installed, find = [entry for entries in names.declared().values() for entry in entries], names._declared

    def declared(places: tuple[tuple[str, int], ...]) -> dict[str, list[EntryPoint]]:
        others = {name: [e for e in entries if e not in installed] for name, entries in find(places).items()}
        return {name: entries for name, entries in others.items() if entries}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names, "_declared", declared)
        yield


def easy_images(n_classes: int = 24, per_class: int = 30, size: int = 16, channels: int = 1) -> ImageSet:
    """Classes that differ by a fixed pattern under noise: easy for anything that learns at all."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (n_classes, 1, channels, size // 4, size // 4))
    patterns = patterns.repeat(4, axis=-1).repeat(4, axis=-2)  # blocks, which convolutions can see
    noise = rng.normal(0, 40, (n_classes, per_class, channels, size, size))
    images = np.clip(patterns + noise, 0, 255).astype(np.uint8).reshape(-1, channels, size, size)
    part = n_classes // 3
    return ImageSet(
        name="easy",
        note="Random block patterns under noise.",
        images=images,
        class_ids=np.arange(n_classes).repeat(per_class).astype(np.int64),
        class_names=tuple(f"class{i:02d}" for i in range(n_classes)),
        parts={
            "train": tuple(range(part)),
            "val": tuple(range(part, 2 * part)),
            "test": tuple(range(2 * part, n_classes)),
        },
        fingerprint="easy",
    )


@pytest.fixture(scope="session")
def images() -> ImageSet:
    return easy_images()


class InDouble:
    """A task source in float64, where the order of summation hides."""

    def __init__(self, source: "BaseClasses") -> None:
        self._source = source

    def episodes(self, n_tasks: int, n_way: int, n_shot: int, n_query: int) -> "Episodes":
        e = self._source.episodes(n_tasks, n_way, n_shot, n_query)
        return e._replace(support_images=e.support_images.double(), query_images=e.query_images.double())

    def batch(self, size: int) -> "tuple[torch.Tensor, torch.Tensor]":
        images, labels = self._source.batch(size)
        return images.double(), labels


@pytest.fixture(scope="session")
def in_double() -> type[InDouble]:
    return InDouble


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One cache for all workers: drawing the strokes, and reading what BENCH_REAL_DATA names, takes seconds."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "shared-cache"


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Begins Python processes."""
    made = Processes()
    yield made
    made.close()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a package on the path, outside the repository, with its module and its entry points, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def install(package: str, code: str, **declared: str) -> Path:
        info, module = tmp_path / "site" / f"{package}-1.2.dist-info", tmp_path / "site" / f"{package}.py"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"{name.replace('_', '-')} = {place}" for name, place in declared.items()]
        (info / "entry_points.txt").write_text("\n".join(["[fewshot_bench.methods]", *lines]))
        module.write_text(code)
        monkeypatch.delitem(sys.modules, package, raising=False)
        return module

    return install
