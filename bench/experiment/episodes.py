"""The episode bank: every method faces the same episodes.

Episode i of a setting is a pure function of (data fingerprint, split, n_way, n_query, bank seed, i). Shots
are nested: the classes, their labels and the query set are the same at 1, 5 and 100 shots, and the 5-shot
support contains the 1-shot support. More episodes extend the bank and change none.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.images import ImageSet
from fewshot_bench.seeding import Stream, shuffled, smallest
from fewshot_bench.tables.wording import setting_name

BANK_VERSION = 1  # raise it when the drawing below changes: every result then gets a new identity


@dataclass(frozen=True)
class Setting:
    """The size of an episode."""

    n_way: int
    n_shot: int
    n_query: int

    def __str__(self) -> str:
        return setting_name(self.n_way, self.n_shot)

    @property
    def n_images(self) -> int:
        """Support and query together."""
        return self.n_way * (self.n_shot + self.n_query)


class Episode(NamedTuple):
    """One episode as indices into the image set; labels are 0..n_way-1."""

    classes: NDArray[np.int64]  # (n_way,): label j stands for class classes[j]
    support: NDArray[np.int64]  # (n_way*n_shot,) images, in a random order
    support_labels: NDArray[np.int64]
    query: NDArray[np.int64]  # (n_way*n_query,) images, label by label
    query_labels: NDArray[np.int64]

    @property
    def id(self) -> str:
        """16 hex digits that name classes, label order and images: equal ids mean equal episodes."""
        parts = (self.classes, self.support, self.support_labels, self.query)
        return hashlib.sha256(b"".join(a.astype("<i8").tobytes() for a in parts)).hexdigest()[:16]


class Sampler:
    """Draws episodes over some classes of an image set, from a stream of its own."""

    def __init__(self, images: ImageSet, classes: tuple[int, ...], stream: Stream) -> None:
        self._classes = np.array(classes, dtype=np.int64)
        images_of = [images.images_of_class[c] for c in classes]
        self._sizes = np.array([len(own) for own in images_of])
        self._most = int(self._sizes.max())
        self._images_of = np.stack([np.resize(own, self._most) for own in images_of])  # (n_classes, most)
        self._stream = stream

    def draw_classes(self, index: int, n_way: int) -> NDArray[np.int64]:
        """The places among the sampler's classes (n_way,) of episode number `index`: label j is the j-th."""
        return shuffled(self._stream.words(index, len(self._classes)))[:n_way]

    def draw(self, index: int, setting: Setting) -> Episode:
        """Episode number `index` in a setting that `lack` finds nothing against."""
        n_way, n_shot, n_query = setting.n_way, setting.n_shot, setting.n_query
        # words: one a class to choose classes, one an image to choose images, one a support image for its place
        n_classes = len(self._classes)
        words = self._stream.words(index, n_classes + n_way * (self._most + n_shot))
        chosen = shuffled(words[:n_classes])[:n_way]  # their order is the label permutation
        image_words = words[n_classes : n_classes + n_way * self._most].reshape(n_way, self._most)
        if self._sizes[chosen].min() < self._most:  # words for images that a smaller class does not have: never chosen
            absent = np.arange(self._most) >= self._sizes[chosen, None]
            image_words = np.where(absent, np.uint64(2**64 - 1), image_words)
        picked = self._images_of[chosen[:, None], smallest(image_words, n_query + n_shot)]
        order = shuffled(words[n_classes + n_way * self._most :])
        labels = np.arange(n_way, dtype=np.int64)
        return Episode(
            classes=self._classes[chosen],
            support=picked[:, n_query:].ravel()[order],
            support_labels=labels.repeat(n_shot)[order],
            query=picked[:, :n_query].ravel(),
            query_labels=labels.repeat(n_query),
        )


def bank(images: ImageSet, split: str, n_way: int, n_query: int, bank_seed: int) -> Sampler:
    """The bank's episodes over the split's novel classes. Shots are no part of it: that nests them."""
    stream = Stream("episode bank", BANK_VERSION, images.fingerprint, split, n_way, n_query, bank_seed)
    return Sampler(images, images.split(split).novel, stream)


def lack(images: ImageSet, classes: tuple[int, ...], setting: Setting, what: str) -> str:
    """Why the classes cannot give such an episode, with the numbers; empty where they can.

    what: names the classes in the message, e.g. "novel classes of split 'ravi'"
    """
    if setting.n_way > len(classes):
        return f"{setting} needs {setting.n_way} classes, but there are {len(classes)} {what}"
    fewest = min(classes, key=lambda c: len(images.images_of_class[c]))
    have, need = len(images.images_of_class[fewest]), setting.n_shot + setting.n_query
    if need <= have:
        return ""
    name = images.class_names[fewest]
    return (
        f"{setting} with {setting.n_query} queries a class needs {need} images a class, but class {name!r}, one of the "
        f"{what}, has {have}"
    )
