"""What `bench doctor` asks of stored models: do queries see each other, do labels reach them by another way?

Nothing here writes to the results database.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.errors import BenchError
from fewshot_bench.experiment.episodes import Episode, bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.interface import Episodes, Method
from fewshot_bench.methods.strangers import contained, in_one_line
from fewshot_bench.results.store import Reader
from fewshot_bench.running import runner
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.tasks import Features, Gallery, class_index
from fewshot_bench.seeding import Stream, shuffled
from fewshot_bench.tables.alarms.alarm import Alarm, Check
from fewshot_bench.tables.alarms.implausible import permuted_labels
from fewshot_bench.tables.scores import CellScore
from fewshot_bench.tables.wording import counted

CONTROL_EPISODES = 50  # of each model, in the label-permutation control
# A logit may change by this share of the logits' standard deviation. Measured: 0 in the modes "support" and "running",
# 2 to 4 in "transductive"
ROUNDING = 1e-3
T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """A finished training, and the cell that tests it at the least cost."""

    cell: Cell
    checkpoint: str  # SHA-256
    seconds_per_episode: float  # as stored; 0 where nothing is

    @property
    def name(self) -> str:
        """ "maml seed 0, trained on 5-way 5-shot"."""
        training = self.cell.training
        return f"{self.cell.variant} seed {training.seed}, trained on {training.trained_on}"


def stored_models(cells: Iterable[Cell], reader: Reader) -> list[Model]:
    """Every finished training behind some cells."""
    trainings, stored = reader.trainings(), reader.cells()
    cheapest: dict[str, Cell] = {}
    for cell in cells:
        known = cheapest.setdefault(cell.training.key, cell)
        if cell.setting.n_images < known.setting.n_images:
            cheapest[cell.training.key] = cell
    models = []
    for key, cell in cheapest.items():
        if key in trainings and trainings[key].checkpoint:
            tested = stored.get(cell.key)
            pace = tested.seconds / tested.n_episodes if tested and tested.n_episodes else 0.0
            models.append(Model(cell, trainings[key].checkpoint, pace))
    return models


def one_a_column(models: Sequence[Model]) -> list[Model]:
    """The cheapest model of each variant and seed: where every setting has a training of its own, one is enough."""
    found: dict[tuple[str, int], Model] = {}
    for model in sorted(models, key=lambda model: model.cell.setting.n_images):
        found.setdefault((model.cell.variant, model.cell.training.seed), model)
    return [model for model in models if model in found.values()]


def queries_apart(models: Sequence[Model], lab: Laboratory) -> Check:
    """Models whose logits for a query change with the other queries, though their norm mode says that they do not.

    One episode each, as it is and with every other query replaced by its negative.
    """

    def look(model: Model) -> tuple[float, int]:
        method = runner.load(model.cell.training, model.checkpoint, lab, model.cell.adaptation)
        return influence(method, _first_episode(model.cell, lab), model.cell.adaptation or Adaptation())

    kind = "queries see each other"
    seen, alarms, notes = _each(kind, models, look)
    for model, (share, n_changed) in seen:
        norm = getattr(model.cell.training.settings, "norm", "")
        what = f"a logit by up to {share:.2g} of their spread, and {n_changed} answers"
        if norm == "transductive":
            notes.append(f"{model.name}: transductive, as its norm says: other queries change {what}")
        elif share > ROUNDING:
            text = f"other queries change {what}" + (f", though its norm is {norm!r}" if norm else "")
            advice = "its accuracy is transductive: say so, or mend its predict"
            alarms.append(Alarm(kind, model.name, text, advice))
    return Check(kind, f"{counted(seen, 'model')}, an episode each", tuple(alarms), tuple(notes))


def influence(method: Method, episodes: Episodes, rule: Adaptation) -> tuple[float, int]:
    """What other queries do to a query: (the largest change of a logit, how many answers change).

    The change is in standard deviations of all logits. Raises FloatingPointError for logits that are not finite.
    """
    logits = method.predict(episodes, rule)
    largest, n_changed = 0.0, 0
    for kept in (0, 1):
        queries = episodes.query_images.clone()
        queries[:, 1 - kept :: 2] = 1 - queries[:, 1 - kept :: 2]
        before, after = logits[:, kept::2], method.predict(episodes._replace(query_images=queries), rule)[:, kept::2]
        change = float((after - before).abs().max())
        if not math.isfinite(change):
            raise FloatingPointError("logits are not finite")
        largest = max(largest, change)
        n_changed += int((after.argmax(-1) != before.argmax(-1)).sum())
    return largest / max(float(logits.std()), 1e-12), n_changed


class PermutedLabels(Gallery):
    """Hands out every episode with the labels of its support set shuffled over the images.

    All permutations are equally likely, those that leave labels in place too: chance is then exactly 1 / n_way.
    """

    def collate(
        self, episodes: list[Episode], class_index: NDArray[np.int64], features: Features | None = None
    ) -> Episodes:
        """See `Gallery.collate`."""
        permuted = [
            e._replace(support_labels=e.support_labels[shuffled(_PERMUTATIONS.words(int(e.id, 16), len(e.support)))])
            for e in episodes
        ]
        return super().collate(permuted, class_index, features)


_PERMUTATIONS = Stream("label permutation")


def label_control(models: Sequence[Model], lab: Laboratory, say: Callable[[str], None]) -> Check:
    """The label-permutation control: without labels that mean anything, every model must be at chance.

    The models are evaluated as in a run, in the same code, on the first episodes of the bank.
    """
    permuted = replace(lab, novel=PermutedLabels(lab.tested.images, lab.device))

    def score(model: Model) -> CellScore:
        say(model.name)
        cell = replace(model.cell, n_episodes=CONTROL_EPISODES)
        method = runner.load(cell.training, model.checkpoint, lab, cell.adaptation)
        results = tuple(result for chunk in runner.evaluate(cell, method, permuted, 0) for result in chunk)
        return CellScore(*cell.place, cell.key, "done", episodes=results)

    scored, alarms, notes = _each("permuted labels", models, score)
    check = permuted_labels([score for _, score in scored])
    looked_at = f"{counted(scored, 'model')}, {CONTROL_EPISODES} episodes each"
    return replace(check, looked_at=looked_at, alarms=(*check.alarms, *alarms), notes=tuple(notes))


def _each(
    kind: str, models: Sequence[Model], look: Callable[[Model], T]
) -> tuple[list[tuple[Model, T]], list[Alarm], list[str]]:
    """What a look at each model gives; an alarm for one that breaks, a note for one whose weights are gone."""
    seen, alarms, notes = [], [], []
    for model in models:
        try:
            with contained():
                seen.append((model, look(model)))
        except BenchError:
            raise
        except FileNotFoundError as error:
            notes.append(f"{model.name}: not looked at: {error}")
        except Exception as error:  # noqa: BLE001  # a method may raise anything, and hides no other model
            text = f"it cannot be evaluated: {in_one_line(error)}"
            alarms.append(Alarm(kind, model.name, text, "mend its predict, or train it again"))
    return seen, alarms, notes


def _first_episode(cell: Cell, lab: Laboratory) -> Episodes:
    """Episode 0 of a cell, on the device."""
    images = lab.tested.images
    sampler = bank(images, cell.split, cell.setting.n_way, cell.setting.n_query, cell.bank_seed)
    return lab.tested.collate([sampler.draw(0, cell.setting)], class_index(images, images.split(cell.split).novel))
