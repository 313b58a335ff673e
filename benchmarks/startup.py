"""How long a user waits for `bench --help`, `bench status` and `bench report` where much is stored.

    python -m benchmarks.startup [--rounds N] [--size SIZE]

Fills a database in a temporary folder with made-up results, all answers kept: of the whole grid `full` at three
training seeds (63 cells of 600 episodes each a seed), or 6,300 cells of 20 episodes, which are 100 seeds of it or 100
variants at 7 seeds. Then calls the commands in turns, each in a process of its own, and prints the median and the
longest of each, and how large the report is. The data set is prepared beforehand: it is read from the cache, as in
every run but the first.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.experiment.records import TrainingProgress, pack_answers
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.results import provenance
from fewshot_bench.results.store import Writer
from fewshot_bench.tables.scores import EpisodeResult

N_POINTS = 20  # of each training's curve


class Taken(NamedTuple):
    """By the clock, and of the processor."""

    seconds: float
    processor: float


class Size(NamedTuple):
    """How much is stored, and how long each command may take of the processor."""

    n_seeds: int
    n_episodes: int
    n_variants: int | None  # made-up ones in place of the grid's seven
    status_seconds: float
    report_seconds: float

    @property
    def config(self) -> str:
        """For bench.toml: the grid `full` at this size."""
        names = [f"transfer-{number:03d}" for number in range(self.n_variants or 0)]
        methods = f"methods = {names}" if names else ""
        variants = [f'[methods.{n}]\nmethod = "transfer"\nlr = {(i + 1) / 1e5}' for i, n in enumerate(names)]
        return f"""
[run]
grid = "full"
budget = "made-up"
device = "cpu"
[budgets.made-up]
iterations = {{ other = {N_POINTS} }}
episodes = {{ 1 = {self.n_episodes} }}
adaptation = {{}}
[grids.full]
seeds = {list(range(self.n_seeds))}
{methods}
""" + "\n".join(variants)


SIZES = {
    "usual": Size(3, 600, None, 0.5, 5.0),
    "seeds": Size(100, 20, None, 1.0, 20.0),
    "variants": Size(7, 20, 100, 1.0, 20.0),
}


def fill(chosen: Chosen) -> None:
    """Store made-up results of every chosen cell, right as often as chance and a rate of the cell's own have it."""
    rng = np.random.default_rng(0)
    writer = Writer(chosen.database, provenance.collect("benchmarks.startup", "cpu", threads=1, jobs=1))
    for training in {cell.training.key: cell.training for cell in chosen.cells}.values():
        _train(writer, training, rng)
    for cell in chosen.cells:
        writer.record_episodes(cell, f"made-up {cell.name}", chosen.command(cell), _episodes(cell, rng), seconds=60.0)
    writer.end_run(exit_code=0)


def _train(writer: Writer, training: Training, rng: np.random.Generator) -> None:
    writer.start_training(training)
    for iteration in range(1, N_POINTS + 1):
        progress = TrainingProgress(iteration, 100 * iteration, 10.0 * iteration, 10**8, "cpu")
        writer.record_progress(training, progress, {"loss": 1 / iteration + rng.uniform(0, 0.1)})
    writer.finish_training(training, progress, rng.bytes(32).hex())


def _episodes(cell: Cell, rng: np.random.Generator) -> list[EpisodeResult]:
    n_way, n_shot, n_query = cell.setting.n_way, cell.setting.n_shot, cell.setting.n_query
    labels = np.arange(n_way).repeat(n_query)
    rates = rng.normal(rng.uniform(0.3, 0.6), 0.05, cell.n_episodes)
    found = []
    for number, rate in enumerate(rates):
        guessed = rng.integers(0, n_way, labels.size)
        given = np.where(rng.random(labels.size) < rate, labels, guessed)
        episode_id = f"{n_way:04x}{n_shot:04x}{number:08x}"  # the same for every method and seed
        answers = pack_answers(given, n_way)
        found.append(EpisodeResult(number, episode_id, int((given == labels).sum()), labels.size, answers))
    return found


def measure(folder: Path, commands: Iterable[tuple[str, ...]], n_rounds: int) -> dict[tuple[str, ...], list[Taken]]:
    """What each command takes, once a round; the round before the first is not counted."""
    environment = {name: value for name, value in os.environ.items() if name != "BENCH_DB"}
    taken: dict[tuple[str, ...], list[Taken]] = defaultdict(list)
    for counted in range(n_rounds + 1):
        for words in commands:
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "fewshot_bench", *words]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if counted:
                taken[words].append(Taken(time.perf_counter() - started, processor))
    return taken


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=SIZES, default="usual")
    options = parser.parse_args()
    size, n_rounds = SIZES[options.size], options.rounds
    limits = {("--help",): 0.5, ("list", "methods"): 0.5, ("status",): size.status_seconds,
              ("report", "--quiet"): size.report_seconds}  # fmt: skip
    os.environ.pop("BENCH_DB", None)  # results of the user's own are not to be added to
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench.toml").write_text(size.config, encoding="utf-8")
        chosen = choose(Selection(config=folder / "bench.toml", out=folder / "out"))
        fill(chosen)
        print(f"{len(chosen.cells):,} cells of {size.n_episodes} episodes; seconds, of {n_rounds} rounds")
        print(f"{'':24}{'median':>8}{'longest':>9}{'processor':>11}{'limit':>7}")
        for words, rounds in measure(folder, limits, n_rounds).items():
            seconds = [taken.seconds for taken in rounds]
            processor = statistics.median(taken.processor for taken in rounds)
            told = f"{statistics.median(seconds):8.2f}{max(seconds):9.2f}{processor:11.2f}{limits[words]:7.1f}"
            print(f"{' '.join(('bench', *words)):24}{told}")
        print(f"report.html: {(folder / 'out' / 'report.html').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
