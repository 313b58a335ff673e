"""Recompute a stored cell from its weights and the episode bank: is every answer the stored one?"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import DatabaseError, NothingSelected
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.files import cache_folder, temporary_folder
from fewshot_bench.machine import cores
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.registry import origins
from fewshot_bench.replay.discordance import SHAKES, EpisodeReplay, Listener, Replay, compare, shaken, tolerance
from fewshot_bench.replay.rebuild import Progress, Stored, code_of, novel_at_hand, rebuild
from fewshot_bench.results.provenance import collect
from fewshot_bench.running import device as machine
from fewshot_bench.running import runner
from fewshot_bench.running.checkpoint import Checkpoints
from fewshot_bench.running.events import Trained, TrainingFailed
from fewshot_bench.running.returned import BrokenMethod, blaming
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Gallery

Circumstances = tuple[tuple[str, str, str], ...]  # what differs from a stored run: name, then, now
ROUNDING = ("torch", "numpy", "system", "processor", "device", "threads")  # facts of a run that can change rounding


def replay(stored: Stored, images: ImageSet, checkpoints: Checkpoints, episodes: range, progress: Progress) -> Replay:
    """Test again on the stored weights. Raises DatabaseError if they are gone; writes nothing."""
    checkpoint = stored.facts.training["checkpoint"]
    if not checkpoints.has(checkpoint):
        raise DatabaseError(
            f"the weights of {stored.name}, {checkpoint[:12]}....safetensors, are missing or damaged; "
            "--retrain makes them again"
        )
    return _test(stored, images, (checkpoints, checkpoint), episodes, progress)


def retrain(stored: Stored, images: ImageSet, episodes: range, progress: Progress) -> Replay:
    """Train from scratch in a folder that is then removed, and test on those weights."""
    training = rebuild(stored).training
    if training.weights:
        raise NothingSelected(
            f"{stored.name} starts from a file that is known by its content alone, {training.weights}"
        )
    with temporary_folder() as folder:
        checkpoints = Checkpoints(folder)
        lab, circumstances = _laboratory(stored, stored.training_run, images, checkpoints)
        progress(f"train {stored.name}", 0, training.iterations)  # the first news may take minutes
        try:
            with blaming(training.method):
                for event in runner.train(training, lab):
                    progress(f"train {stored.name}", event.progress.iteration, training.iterations)
        except BrokenMethod as error:
            reason = str(error)
        else:
            if isinstance(event, Trained):
                return _test(stored, images, (checkpoints, event.checkpoint), episodes, progress)
            reason = event.reason if isinstance(event, TrainingFailed) else "the training has no end"
    return Replay(
        stored.facts.cell["key"], stored.name, stored.facts.training["checkpoint"], "", (), reason, circumstances
    )


def _test(
    stored: Stored, images: ImageSet, weights: tuple[Checkpoints, str], episodes: range, progress: Progress
) -> Replay:
    """Test on the weights of that SHA-256."""
    cell = dataclasses.replace(rebuild(stored), n_episodes=episodes.stop)
    lab, circumstances = _laboratory(stored, stored.facts.run, images, weights[0])
    replayed: list[EpisodeReplay] = []
    broke = ""
    progress(f"test {stored.name}", 0, len(episodes))
    try:
        with blaming(cell.training.method):
            for episode in _replayed(stored, cell, weights[1], lab, episodes.start):
                replayed.append(episode)
                progress(f"test {stored.name}", len(replayed), len(episodes))
    except (FloatingPointError, BrokenMethod) as error:
        broke = str(error)
    return Replay(
        key=cell.key,
        name=stored.name,
        stored_weights=stored.facts.training["checkpoint"],
        weights=weights[1],
        episodes=tuple(replayed),
        broke=broke,
        circumstances=circumstances,
    )


def _replayed(stored: Stored, cell: Cell, weights: str, lab: Laboratory, first: int) -> Iterator[EpisodeReplay]:
    def load() -> Method:
        try:
            return runner.load(cell.training, weights, lab, cell.adaptation)
        except (KeyError, RuntimeError) as error:  # tensors of other names or shapes
            raise NothingSelected(f"the weights do not fit this code's {cell.training.method}: {error}") from None

    listener, others = Listener(load()), list[Listener]()
    for chunk in runner.evaluate(cell, listener.as_method(), lab, first):
        for now in chunk:
            then, answers, logits = stored.facts.episodes[now.number], stored.answers.get(now.number), listener.next()
            replayed = compare(then, answers, now, logits)
            if not replayed.by_rounding and replayed.id == replayed.stored_id:
                others = others or [Listener(shaken(load(), seed)) for seed in range(SHAKES)]
                alone = dataclasses.replace(cell, n_episodes=now.number + 1)
                replayed = compare(then, answers, now, logits, _tolerance(alone, logits, others, lab))
            yield replayed


def _tolerance(cell: Cell, logits: NDArray[np.float64], others: list[Listener], lab: Laboratory) -> float:
    """What rounding can do in the cell's last episode."""
    try:
        for other in others:
            list(runner.evaluate(cell, other.as_method(), lab, cell.n_episodes - 1))
    except FloatingPointError:  # on the brink: anything
        return 1.0
    return tolerance(logits, [other.last() for other in others])


def _laboratory(
    stored: Stored, run: dict[str, Any], images: ImageSet, checkpoints: Checkpoints
) -> tuple[Laboratory, Circumstances]:
    """A laboratory with the device and the threads of a run, as far as they are here, and what differs from then."""
    threads = min(int(run["facts"].get("threads", 1)), cores())  # another's file may name any number
    on_gpu = run["facts"].get("device", "cpu") != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    machine.prepare(device, threads)
    named = origins([stored.facts.training["identity"]["method"]])
    plugins = {f"method {name}": origin for name, origin in named.items()}
    here = collect("", machine.describe(device), threads, 1, plugins)
    pairs = [
        (name, _all(r["facts"].get(name, "?") for r in stored.runs), here.facts[name]) for name in (*ROUNDING, *plugins)
    ]
    pairs.append(("code", _all(map(code_of, stored.runs)), code_of(dataclasses.asdict(here))))
    differs = [pair for pair in pairs if pair[1] != pair[2] or "uncommitted" in pair[1]]  # which may be others now
    other = novel_at_hand(stored, cache_folder())
    novel = Gallery(other, device) if other else None
    lab = Laboratory(Gallery(images, device), checkpoints, device, lambda: False, novel=novel)
    return lab, tuple(differs)


def _all(values: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(values))
