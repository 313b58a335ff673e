"""What a grid costs on 1, 8 and 64 GPUs, simulated from an export's durations in the order in which jobs are given out.

    python -m benchmarks.cluster EXPORT [SEEDS ...]     # EXPORT: what `bench export` wrote, of one device

A training's seconds are its recorded seconds a step times the updates of the budget `paper`; a cell's are its recorded
seconds an episode times the episodes of that budget. Every seed takes what the first one took. Queues, start-up and the
database take no time.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from fewshot_bench.config import load
from fewshot_bench.experiment.plan import Work, wall_seconds

GPUS = (1, 8, 64)
HEADING = "| seeds | trainings | cells | 1 GPU | 8 GPUs | 64 GPUs | as whole trainings, 64 GPUs |"


def work_of(export: Path) -> list[Work]:
    """Of one seed: each training's seconds and its cells'."""
    rows, budget = pd.read_csv(export).drop_duplicates("cell_key"), load().budgets["paper"]
    found: dict[str, tuple[float, list[float]]] = {}
    episodes = pd.read_csv(export, usecols=["cell_key"]).value_counts()
    rows = rows[rows["seed"] == rows["seed"].min()]
    for row in rows.itertuples():
        training, cell = json.loads(str(row.training_facts)), json.loads(str(row.cell_facts))
        updates = budget.iterations.get(str(row.method), budget.iterations["other"])
        step_seconds = training["seconds"] / training["iteration"] if training["iteration"] else 0.0  # untrained
        episode_seconds = cell["seconds"] / int(episodes[str(row.cell_key)])
        _, cells = found.setdefault(str(row.training_key), (step_seconds * updates, []))
        cells.append(episode_seconds * budget.episodes_at(int(str(row.n_way)), int(str(row.n_shot))))
    return [(seconds, tuple(cells)) for seconds, cells in found.values()]


def table(work: list[Work], seeds: list[int]) -> str:
    """The page's table."""
    lines = [HEADING, "|" + "---|" * HEADING.count("| ")]
    for n in seeds:
        units = work * n
        hours = [wall_seconds(units, gpus) / 3600 for gpus in GPUS]
        whole = wall_seconds([(seconds + sum(cells), ()) for seconds, cells in units], GPUS[-1]) / 3600
        told = [f"{hour:.1f} h ({hours[0] / hour:.1f}×)" for hour in (*hours, whole)]
        lines.append(f"| {n} | {len(units)} | {sum(len(cells) for _, cells in units)} | {' | '.join(told)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(work_of(Path(sys.argv[1])), [int(word) for word in sys.argv[2:]] or [1, 3, 10]))
