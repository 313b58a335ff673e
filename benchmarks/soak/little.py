"""The little experiment that the soak runs, breaks and compares: four trainings, eight cells, seconds of work."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.postgresql import Server
from benchmarks.soak.older import url
from fewshot_bench.results.store.salvage import examine

CONFIG = """
[run]
grid = "little"
budget = "little"
device = "cpu"
threads = 1
jobs = 1
server_wait_seconds = 60
[data]
source = {source!r}
[episodes]
n_query = 3
[model]
filters = 4
[training]
way = 4
shot = 2
query = 3
[adaptation]
steps = 2
batches = 2
[budgets.little]
iterations = {{ other = {iterations} }}
episodes = {{ 1 = {episodes} }}
adaptation = {{}}
[grids.little]
methods = ["transfer", "protonet"]
ways = [4]
shots = [1, 5]
seeds = {seeds}
[methods.protonet]
method = "protonet"
train_way = 5
"""
# everything that was measured: all but times, machines and who did it
MEASURED = {
    "trainings": "SELECT key, state, iteration, images_seen, checkpoint, reason FROM trainings ORDER BY 1",
    "cells": "SELECT key, variant, n_episodes, sha256, reason, answers_sum FROM cells ORDER BY 1",
    "episodes": "SELECT cell_key, number, episode_id, n_correct, n_queries FROM episodes ORDER BY 1, 2",
    "answers": "SELECT cell_key, number, labels FROM answers ORDER BY 1, 2",
    "curves": "SELECT training_key, iteration, name, value FROM curves ORDER BY 1, 2, 3",
}
Content = dict[str, list[tuple[Any, ...]]]
VARIANTS, SEEDS = ("transfer", "protonet"), (0, 1)
KINDS = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Place:
    """A folder with a bench.toml, and the database that its runs write."""

    folder: Path
    where: str
    cache: Path

    @property
    def out(self) -> Path:
        """Where runs keep what they make."""
        return self.folder / "out"

    @property
    def kind(self) -> str:
        """Of its database."""
        return "PostgreSQL" if "://" in self.where else "SQLite"

    def content(self) -> Content:
        """Everything that was measured; nothing where there is no database yet."""
        if "://" not in self.where and (not Path(self.where).exists() or not Path(self.where).stat().st_size):
            return {name: [] for name in MEASURED}
        engine = create_engine(url(self.where), poolclass=NullPool)
        with engine.connect() as c:
            if not c.dialect.has_table(c, "cells"):
                return {name: [] for name in MEASURED}
            rows = {name: c.execute(text(query)).all() for name, query in MEASURED.items()}
        return {
            n: [tuple(bytes(v) if isinstance(v, memoryview) else v for v in r) for r in found]
            for n, found in rows.items()
        }

    def seconds(self) -> list[float]:
        """What trainings and cells took."""
        engine = create_engine(url(self.where), poolclass=NullPool)
        with engine.connect() as c:
            return [*c.execute(text("SELECT seconds FROM trainings UNION ALL SELECT seconds FROM cells")).scalars()]

    def faults(self, wanted: Content) -> list[str]:
        """How the end differs from that of a run that nobody disturbed; nothing where it does not."""
        found, said = self.content(), []
        for name, rows in wanted.items():
            lost, more = set(rows) - set(found[name]), set(found[name]) - set(rows)
            said += (
                [f"{name}: {len(lost)} lost, {len(more)} more, e.g. {sorted(lost | more)[0]}"] if lost or more else []
            )
        said += [f"{self.where}: damaged: {line}" for line in examine(self.where).damage]
        weights = {row[4] for row in wanted["trainings"]}
        for path in (self.out / "checkpoints").iterdir():
            if path.suffix == ".unusable" or path.name.startswith("shared-by-"):  # put aside, and said; an engine's
                continue
            if path.suffix != ".safetensors" or hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
                said.append(f"left over: {path.name}")
            weights.discard(path.stem)
        return said + [f"weights lost: {sha256}" for sha256 in sorted(weights)]


class Little:
    """Makes places, each with the same experiment."""

    def __init__(self, folder: Path, server: Server | None, seeds: Sequence[int] = SEEDS) -> None:
        """seeds: with one of them it has half of the trainings and cells."""
        self.folder, self.server, self.seeds, self._number = folder, server, seeds, 0
        _photographs(folder / "photos")

    def place(self, kind: str = "sqlite", *, iterations: int = 6, episodes: int = 6) -> Place:
        """A new one; kind: of its database."""
        self._number += 1
        folder = self.folder / f"place{self._number}"
        folder.mkdir()
        written = CONFIG.format(
            source=str(self.folder / "photos"), iterations=iterations, episodes=episodes, seeds=[*self.seeds]
        )
        (folder / "bench.toml").write_text(written, encoding="utf-8")
        if kind == "sqlite":
            return Place(folder, str(folder / "out" / "results.sqlite"), self.folder / "cache")
        assert self.server is not None
        return Place(folder, self.server.database(f"soak{self._number}"), self.folder / "cache")

    def part(self, n: int) -> int:
        """How many of n things, which happen to the whole experiment, happen to this one."""
        return n * len(self.seeds) // len(SEEDS)

    @contextmanager
    def temporary(self, kind: str = "sqlite", **options: int) -> Iterator[Place]:
        """A place that is gone in the end."""
        place = self.place(kind, **options)
        yield place
        shutil.rmtree(place.folder)


def _photographs(folder: Path) -> None:
    """13 classes of 12 grey images of 16 pixels, in miniImageNet's layout."""
    (folder / "images").mkdir(parents=True)
    rng, number = np.random.default_rng(0), 0
    for part, n_classes in (("train", 6), ("val", 3), ("test", 4)):
        rows = ["filename,label"]
        for _ in range(n_classes):
            number += 1
            pattern = rng.integers(0, 200, (16, 16))
            for i in range(12):
                pixels = (pattern + rng.integers(0, 56, (16, 16))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "images" / f"c{number:02d}_{i:02d}.png")
                rows.append(f"c{number:02d}_{i:02d}.png,class{number:02d}")
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
