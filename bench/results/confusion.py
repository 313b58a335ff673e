"""Which classes the answers to single queries confuse."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.records import Answers, unpack_answers
from fewshot_bench.tables.statistics.classes import ClassAnswers


class Classes:
    """Which novel classes, counted from 0, the labels of a bank's episodes stand for."""

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self._drawn: dict[tuple[str, int, int, int], NDArray[np.int64]] = {}

    def of(self, cell: Cell, n_episodes: int) -> NDArray[np.int64]:
        """(n_episodes, n_way) for the first n_episodes; equal at every shot, so drawn once a way."""
        split, setting = cell.split, cell.setting
        place = (split, setting.n_way, setting.n_query, cell.bank_seed)
        if len(self._drawn.get(place, ())) < n_episodes:
            sampler = bank(self._images, *place)
            self._drawn[place] = np.stack([sampler.draw_classes(i, setting.n_way) for i in range(n_episodes)])
        return self._drawn[place][:n_episodes]

    def count(self, split: str) -> int:
        """How many novel classes a split has."""
        return len(self._images.split(split).novel)


def class_answers(cell: Cell, answers: Mapping[int, Answers], classes: Classes) -> ClassAnswers | None:
    """What a cell's first episodes took the novel classes for; None where their answers were not kept."""
    n_way, n_query = cell.setting.n_way, cell.setting.n_query
    n_episodes = next((i for i in range(cell.n_episodes) if i not in answers), cell.n_episodes)
    if not n_episodes:
        return None
    labels = unpack_answers(b"".join(answers[i] for i in range(n_episodes)), n_way)  # queries stand label by label
    n_classes = classes.count(cell.split)
    return ClassAnswers(classes.of(cell, n_episodes), labels.reshape(n_episodes, n_way, n_query), n_classes)
