"""Tuning of the rule by which methods are fitted at test: one procedure and one number of candidates for all of them.

Models are trained on a part of the base classes and fitted to tasks of the others (split `inner`); the candidates of
[tuning] are compared on the same episodes. Trainings and episodes are ordinary ones of the results database, so that a
tuning goes on after any interruption. Novel classes are never looked at.
"""

import dataclasses
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from fewshot_bench.config import TuningGroup, config_file, load
from fewshot_bench.data.cache import Decoded
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.grid import fitted_at_test
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.records import StoredCell
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import as_text
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.later import mentioned
from fewshot_bench.results.provenance import now
from fewshot_bench.results.store import Reader
from fewshot_bench.settings import build
from fewshot_bench.tables.parsing import toml_line
from fewshot_bench.tables.scores import EpisodeResult
from fewshot_bench.tables.summary import over_episodes

WAYS = 5  # of which [tuning] counts the episodes


@dataclass(frozen=True)
class Candidate:
    """One rule for one variant in one group of settings."""

    variant: str
    n_way: int
    group: str  # of [tuning]
    rule: Mapping[str, Any]
    cells: tuple[Cell, ...]  # one a number of shots

    @property
    def images(self) -> int:
        """That are passed through the network, there and back, to fit it to one task of each setting."""
        return sum(
            math.prod(c.adaptation.schedule(c.setting.n_way * c.setting.n_shot)) for c in self.cells if c.adaptation
        )


@dataclass(frozen=True)
class Score:
    """What a candidate came to; accuracies are fractions."""

    candidate: Candidate
    accuracy: float  # the mean over its settings
    half_width: float | None  # of its 95 % interval over other episodes
    interval: tuple[float, float] | None  # which it is where that is not accuracy ± half_width: near 0 and 1
    n_episodes: int
    seconds: float  # of testing


@dataclass(frozen=True)
class Tuning:
    """What is tuned: the candidates, and the cells that tell how good they are."""

    chosen: Chosen
    candidates: tuple[Candidate, ...]
    groups: Mapping[str, TuningGroup]

    def scores(self) -> list[Score]:
        """Of all candidates, best first within a variant and group; of equally good ones the cheaper first.

        Raises NothingSelected where a cell is not done.
        """
        reader = Reader(self.chosen.database)
        stored = reader.cells()
        episodes = reader.episodes(cell.key for c in self.candidates for cell in c.cells if cell.key in stored)
        order = {place: i for i, place in enumerate(dict.fromkeys(map(_place, self.candidates)))}
        found = [_score(candidate, stored, episodes) for candidate in self.candidates]
        return sorted(found, key=lambda s: (order[_place(s.candidate)], -s.accuracy, s.candidate.images))

    def entry(self, score: Score) -> dict[str, Any]:
        """A candidate's rule, resolved, and what it came to, as the file has them."""
        candidate = score.candidate
        return {
            "variant": candidate.variant,
            "n_way": candidate.n_way,
            "from_shot": self.groups[candidate.group].from_shot,
            "adaptation": mentioned(candidate.cells[0].adaptation),
            "accuracy": round(score.accuracy, 6),
            "half_width": None if score.half_width is None else round(score.half_width, 6),
            "n_episodes": score.n_episodes,
        }


def _score(
    candidate: Candidate, stored: Mapping[str, StoredCell], episodes: Mapping[str, tuple[EpisodeResult, ...]]
) -> Score:
    """An episode's queries are the same whatever the shots: its accuracies are averaged first."""
    results = [episodes.get(cell.key, ())[: cell.n_episodes] for cell in candidate.cells]
    for cell, result in zip(candidate.cells, results, strict=True):
        if len(result) < cell.n_episodes:
            raise NothingSelected(f"{cell.name} has no result: nothing is chosen while some candidates are not tried")
    accuracies = np.array([[r.n_correct / r.n_queries for r in result] for result in results]).mean(0)  # (episodes,)
    step = 1 / (results[0][0].n_queries * len(results))
    cells = [stored[cell.key] for cell in candidate.cells]
    seconds = sum(c.seconds * len(accuracies) / c.n_episodes for c in cells)
    return Score(candidate, *over_episodes(accuracies, step, len(results)), len(accuracies), seconds)


def best_of(scores: list[Score]) -> list[Score]:
    """The first of each variant and group."""
    return list({_place(s.candidate): s for s in reversed(scores)}.values())[::-1]


def tuning_of(
    selection: Selection,
    progress: Callable[[str, int, int], None] | None = None,
    decoded: Decoded | None = None,
) -> Tuning:
    """What is to be tried for the chosen variants. Raises UsageError for invalid words, NothingSelected for none.

    selection: its ways and shots narrow [tuning]'s; progress, decoded: see `choose`
    """
    for name in ("split", "rules", "episodes", "novel_data"):
        if getattr(selection, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning here: [tuning] of bench.toml says what is tried"
            )
    config = load(config_file(selection.config), selection.settings)
    groups = config.tuning
    declared = {name: dict.fromkeys(n for g in groups.values() for n in getattr(g, name)) for name in ("ways", "shots")}
    ways, shots = (
        tuple(n for n in declared[name] if not only or n in only)
        for name, only in (("ways", selection.ways), ("shots", selection.shots))
    )
    split = f"inner{max(declared['ways'])}"  # whatever is narrowed: trainings are shared
    inner = replace(selection, split=split, ways=ways, shots=shots, seeds=selection.seeds[:1] or (0,), rules="")
    inner = replace(inner, novel_data="")  # tuned where it is trained, whatever it is tested on
    inner = replace(inner, methods=fitted_at_test(config, inner))
    if not (ways and shots and inner.methods):
        raise NothingSelected(
            "there is nothing to tune: [tuning] has no such ways or shots, or no such method is fitted"
        )
    chosen = choose(inner, progress, skip_unusable=True, decoded=decoded)
    candidates = tuple(c for name, group in groups.items() for c in _candidates(chosen, name, group))
    cells = [cell for candidate in candidates for cell in candidate.cells]
    return Tuning(replace(chosen, cells=cells, instead=_command(selection)), candidates, groups)


def _candidates(chosen: Chosen, name: str, group: TuningGroup) -> Iterator[Candidate]:
    cells = [c for c in chosen.cells if c.setting.n_shot in group.shots]
    for variant, n_way in product(dict.fromkeys(c.variant for c in cells), group.ways):
        fitted = [c for c in cells if (c.variant, c.setting.n_way) == (variant, n_way)]
        for number, rule in enumerate(group.rules):
            tried = tuple(
                replace(
                    cell,
                    variant=f"{variant}:{name}{number}",
                    adaptation=build(Adaptation, dataclasses.asdict(cell.adaptation) | rule, f"tuning.{name} rules"),
                    n_episodes=math.ceil(group.episodes * WAYS / n_way),
                )
                for cell in fitted
                if cell.adaptation
            )
            if tried:
                yield Candidate(variant, n_way, name, rule, tried)


def document(tuning: Tuning, scores: list[Score]) -> str:
    """The file that `bench run --rules` reads: the rules chosen, and everything they were chosen from."""
    chosen, best = tuning.chosen, best_of(scores)
    trainings = Reader(chosen.database).trainings()
    used = {c.training.key: (s.candidate.variant, c.training) for s in scores for c in s.candidate.cells}
    lines = [
        "# How each method is fitted at test, chosen among the candidates below by one procedure for all: the highest",
        "# accuracy on episodes of base classes that the model was not trained on. Novel classes were not looked at.",
        "# Made by `bench tune`; used by `bench run --rules FILE`. accuracy, half_width (of 95 %): fractions.",
        f"command = {json.dumps(chosen.instead)}",
        f"made_at = {json.dumps(now())}",
        f"data = {json.dumps(chosen.images.name)}",
        f"fingerprint = {json.dumps(chosen.images.fingerprint)}",
        f"split = {json.dumps(chosen.request.split)}",
        f"budget = {json.dumps(chosen.request.budget)}",
        f"training_seconds = {sum(trainings[key].seconds for key in used):.1f}",
        f"testing_seconds = {sum(s.seconds for s in scores):.1f}",
        f"n_candidates = {len(scores)}",
    ]
    for score in best:
        lines += ["", "[[rules]]", *_lines(tuning.entry(score))]
    for score in scores:
        keys = [cell.key for cell in score.candidate.cells]
        lines += [
            "",
            "[[candidates]]",
            *_lines(tuning.entry(score)),
            f"cells = {toml_line(keys)}",
            f"seconds = {score.seconds:.1f}",
        ]
    for key, (variant, training) in used.items():
        told = {
            "variant": variant,
            "key": key,
            "seed": training.seed,
            "iterations": training.iterations,
            "seconds": round(trainings[key].seconds, 1),
        }
        lines += ["", "[[trainings]]", *_lines(told)]
    return "\n".join(lines) + "\n"


def _lines(entry: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {toml_line(value)}" for name, value in entry.items() if value is not None]


def _place(candidate: Candidate) -> tuple[str, int, str]:
    return candidate.variant, candidate.n_way, candidate.group


def _command(selection: Selection) -> str:
    """The command that does it again."""
    words = ["bench", "tune"]
    given = {
        "--config": selection.config,
        "--grid": selection.grid,
        "--data": selection.data,
        "--budget": selection.budget,
        "--protocol": selection.protocol,
        "--method": selection.methods,
        "--way": selection.ways,
        "--shot": selection.shots,
        "--seed": selection.seeds,
        "-k": selection.expression,
        "--out": selection.out,
    }
    for option, value in given.items():
        if value:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return as_text(shlex.join(words + [word for text in selection.settings for word in ("--set", text)]))
