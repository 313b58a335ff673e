"""Which novel images of a shipped table's data set are also elsewhere in it, and what the results are without them.

python -m benchmarks.known_duplicates DATA     names them in tables/measured/: for a split's novel classes, at full size
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data import ImageSet, open_images
from fewshot_bench.data.duplicates import find_pictures
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.records import Answers, unpack_answers
from fewshot_bench.files import cache_folder
from fewshot_bench.results.reading_back import FOLDER
from fewshot_bench.results.store import Reader


@dataclass(frozen=True)
class Duplicate:
    """A novel image, and others that show the same picture; an image is its class, and its number in that class."""

    image: tuple[str, int]
    others: list[tuple[str, int]]
    kind: str  # where the others are: "base", "novel" (another novel class) or "same" class


def known(name: str) -> list[Duplicate]:
    """Of the data set of a shipped table."""
    listed = json.loads(_file(name).read_text(encoding="utf-8"))
    return [Duplicate(tuple(one["image"]), [tuple(o) for o in one["others"]], one["kind"]) for one in listed]


def found(images: ImageSet, split: str) -> list[Duplicate]:
    """Of a data set as it is decoded now."""
    classes, picture, ids = images.split(split), find_pictures(images.images).picture, images.class_ids
    duplicates = []
    for i in np.flatnonzero((np.bincount(picture)[picture] > 1) & np.isin(ids, classes.novel)):
        twins = np.flatnonzero(picture == picture[i])
        others = twins[twins != i]
        in_base, elsewhere = np.isin(ids[others], classes.base).any(), (ids[others] != ids[i]).any()
        kind = "base" if in_base else "novel" if elsewhere else "same"
        duplicates.append(Duplicate(_named(images, int(i)), [_named(images, int(o)) for o in others], kind))
    return duplicates


def without(chosen: Chosen, duplicates: Iterable[Duplicate]) -> dict[Cell, tuple[float, float]]:
    """Accuracy of each stored cell over all its queries, and over those that are none of these images.

    Fractions, means over episodes. In the support the images stay: hardly a 35-way 100-shot episode has none of them.
    """
    images = chosen.novel
    left_out = np.array([_index(images, duplicate.image) for duplicate in duplicates])

    @cache  # the cells of a setting share their episodes
    def asked(split: str, setting: Setting, bank_seed: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The right labels of an episode's queries, and which of them stay."""
        episode = bank(images, split, setting.n_way, setting.n_query, bank_seed).draw(number, setting)
        return episode.query_labels, ~np.isin(episode.query, left_out)

    def accuracies(cell: Cell, answers: dict[int, Answers]) -> tuple[float, float]:
        every, rest = [], []
        for number, packed in answers.items():
            labels, stays = asked(cell.split, cell.setting, cell.bank_seed, number)
            right = unpack_answers(packed, cell.setting.n_way) == labels
            every.append(right.mean())
            rest.append(right[stays].mean())
        return float(np.mean(every)), float(np.mean(rest))

    stored = Reader(chosen.database).answers([cell.key for cell in chosen.cells])
    return {cell: accuracies(cell, stored[cell.key]) for cell in chosen.cells if stored.get(cell.key)}


def _named(images: ImageSet, image: int) -> tuple[str, int]:
    c = int(images.class_ids[image])
    return images.class_names[c], int(np.searchsorted(images.images_of_class[c], image))


def _index(images: ImageSet, image: tuple[str, int]) -> int:
    name, number = image
    return int(images.images_of_class[images.class_names.index(name)][number])


def _file(name: str) -> Path:
    return FOLDER / f"{name}-duplicates.json"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.known_duplicates")
    parser.add_argument("data", metavar="DATA", help="the data set: a folder or an archive")
    parser.add_argument("--split", default="paper")
    parser.add_argument("--table", default="miniimagenet-32", help="the shipped table whose data set it is")
    options = parser.parse_args()
    duplicates = found(open_images(options.data, cache_folder()), options.split)
    lines = ",\n".join(json.dumps(asdict(duplicate)) for duplicate in duplicates)
    _file(options.table).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(duplicates)} images of novel classes are also elsewhere")


if __name__ == "__main__":
    main()
