"""How long a user waits for `bench --help`, `bench status` and `bench report` where much is stored.

    python -m benchmarks.startup [--rounds N]

Fills a database in a temporary folder with made-up results of the whole grid `full` at three training seeds (63 cells
of 600 episodes each a seed, all answers kept), then calls the commands in turns, each in a process of its own, and
prints the median and the longest of each. The data set is prepared beforehand: it is read from the cache, as in every
run but the first.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.experiment.records import EpisodeResult, TrainingProgress, pack_answers
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.results import provenance
from fewshot_bench.results.store import Writer

SEEDS = (0, 1, 2)
N_EPISODES = 600
N_POINTS = 20  # of each training's curve
LIMITS_SECONDS = {("--help",): 0.5, ("status",): 1.0, ("report", "--quiet"): 5.0}
CONFIG = f"""
[run]
grid = "full"
budget = "made-up"
device = "cpu"
[budgets.made-up]
iterations = {{ other = {N_POINTS} }}
episodes = {{ 1 = {N_EPISODES} }}
adaptation = {{}}
[grids.full]
seeds = {list(SEEDS)}
"""


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
    rates = rng.normal(rng.uniform(0.3, 0.6), 0.05, N_EPISODES)
    found = []
    for number, rate in enumerate(rates):
        guessed = rng.integers(0, n_way, labels.size)
        given = np.where(rng.random(labels.size) < rate, labels, guessed)
        episode_id = f"{n_way:04x}{n_shot:04x}{number:08x}"  # the same for every method and seed
        answers = pack_answers(given, n_way)
        found.append(EpisodeResult(number, episode_id, int((given == labels).sum()), labels.size, answers))
    return found


def measure(folder: Path, n_rounds: int) -> dict[tuple[str, ...], list[float]]:
    """Seconds of each command by the clock, once a round; the round before the first is not counted."""
    environment = {name: value for name, value in os.environ.items() if name != "BENCH_DB"}
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for counted in range(n_rounds + 1):
        for words in LIMITS_SECONDS:
            started = time.perf_counter()
            command = [sys.executable, "-m", "fewshot_bench", *words]
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
            if counted:
                seconds[words].append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    n_rounds = parser.parse_args().rounds
    os.environ.pop("BENCH_DB", None)  # results of the user's own are not to be added to
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench.toml").write_text(CONFIG, encoding="utf-8")
        fill(choose(Selection(config=folder / "bench.toml", out=folder / "out")))
        print(f"{'':24}{'median':>8}{'longest':>9}{'limit':>8}   seconds, of {n_rounds} rounds")
        for words, taken in measure(folder, n_rounds).items():
            command = " ".join(("bench", *words))
            print(f"{command:24}{statistics.median(taken):8.2f}{max(taken):9.2f}{LIMITS_SECONDS[words]:8.1f}")


if __name__ == "__main__":
    main()
