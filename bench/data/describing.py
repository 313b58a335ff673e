"""What a person wants to know of a data set before training on it: its numbers, its splits and some of its images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data import cache
from fewshot_bench.data.images import SPLITS, ImageSet
from fewshot_bench.seeding import Stream, shuffled

if TYPE_CHECKING:
    from fewshot_bench.reports.contact_sheet import ClassSample

CHUNK = 256  # images looked at together: bounds memory


@dataclass(frozen=True)
class Prepared:
    """A data set in the cache.

    image_shape: (C, H, W); archive_layout: the layout found in an archive, "" for what is no archive
    size_bytes: on the disk
    """

    name: str
    n_images: int
    image_shape: tuple[int, ...]
    n_classes: int
    fingerprint: str
    source: str
    archive_layout: str
    folder: str
    size_bytes: int

    @property
    def size_text(self) -> str:
        """ "84×84 colour": width × height, as people write it."""
        channels, height, width = self.image_shape
        return f"{width}×{height} {'grey' if channels == 1 else 'colour'}"


@dataclass(frozen=True)
class SplitSize:
    """What a split offers: episodes of at most `most_way` classes and `most_shot` examples of each.

    Both are 0 where some class has too few images for the queries and one example.
    """

    name: str
    base_parts: tuple[str, ...]
    novel_parts: tuple[str, ...]
    n_base_classes: int
    n_novel_classes: int
    n_query: int
    most_way: int
    most_shot: int

    @property
    def text(self) -> str:
        """ "64 base classes (train), 36 novel (val, test); up to 36-way 485-shot (15 queries a class)"."""
        base, novel = (", ".join(parts) for parts in (self.base_parts, self.novel_parts))
        most = f"up to {self.most_way}-way {self.most_shot}-shot" if self.most_shot else "too few images"
        classes = f"{self.n_base_classes} base classes ({base}), {self.n_novel_classes} novel ({novel})"
        return f"{classes}; {most} ({self.n_query} queries a class)"


@dataclass(frozen=True)
class Pixels:
    """Mean and standard deviation of all pixels of each channel, 0 black to 1 white."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Description:
    """All that `describe` finds out.

    n_classes: part -> how many; images_per_class: smallest, median, largest
    standard: which published split the classes have, "" for classes of none
    """

    format: str
    prepared: Prepared
    n_classes: dict[str, int]
    images_per_class: tuple[int, float, int]
    pixels: Pixels
    splits: tuple[SplitSize, ...]
    note: str
    standard: str

    def lines(self) -> list[tuple[str, str]]:
        """(what, its value) for people."""
        p = self.prepared
        least, median, most = self.images_per_class
        parts = ", ".join(f"{n} {part}" for part, n in self.n_classes.items())
        return [
            ("name", p.name),
            ("format", self.format),
            ("from", p.source),
            ("prepared", f"{p.folder} ({p.size_bytes / 2**20:,.0f} MiB)"),
            ("fingerprint", p.fingerprint),
            ("images", f"{p.n_images:,}"),
            ("size", p.size_text),
            ("classes", f"{p.n_classes:,}: {parts}"),
            (
                "a class has",
                f"{least:,} images" if least == most else f"{least:,} to {most:,} images, median {median:,g}",
            ),
            ("pixels", f"mean {_channels(self.pixels.mean)}, standard deviation {_channels(self.pixels.std)}"),
            ("note", self.note),
            *([("published", self.standard)] if self.standard else []),
            *((f"split {split.name}", split.text) for split in self.splits),
        ]


def describe(images: ImageSet, found: Prepared, format_name: str, splits: Sequence[str], n_query: int) -> Description:
    """Everything worth knowing of a data set; reads all pixels once.

    found: where it lies in the cache; splits: those to look at; n_query: queries a class of the largest episodes
    """
    sizes = [len(own) for own in images.images_of_class]
    return Description(
        format=format_name,
        prepared=found,
        n_classes={part: len(classes) for part, classes in images.parts.items()},
        images_per_class=(min(sizes), float(np.median(sizes)), max(sizes)),
        pixels=pixels(images),
        splits=tuple(split_size(images, name, n_query) for name in splits),
        note=images.note,
        standard=images.standard_note,
    )


def prepared(folder: Path) -> Prepared | None:
    """What lies in a folder of the cache; None where that is no data set, or a damaged one."""
    images = cache.load(folder)
    if images is None:
        return None
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return Prepared(
        name=images.name,
        n_images=len(images.images),
        image_shape=images.images.shape[1:],
        n_classes=len(images.class_names),
        fingerprint=images.fingerprint,
        source=str(meta.get("source", "")),
        archive_layout=str(meta.get("archive_layout", "")),
        folder=str(folder),
        size_bytes=sum(file.stat().st_size for file in folder.iterdir()),
    )


def prepared_sets(folder: Path) -> list[Prepared]:
    """Every data set in a cache, by name."""
    found = map(prepared, cache.folders_of(folder))
    return sorted((one for one in found if one), key=lambda one: (one.name, one.source, one.image_shape))


def split_size(images: ImageSet, name: str, n_query: int) -> SplitSize:
    """What a named split offers with `n_query` queries a class. Raises UsageError for an unknown split."""
    split = images.split(name)
    most_shot = max(0, min(len(images.images_of_class[c]) for c in split.novel) - n_query)
    return SplitSize(
        name=name,
        base_parts=split.base_parts,
        novel_parts=SPLITS[split.name][1],
        n_base_classes=len(split.base),
        n_novel_classes=len(split.novel),
        n_query=n_query,
        most_way=len(split.novel) if most_shot else 0,
        most_shot=most_shot,
    )


def pixels(images: ImageSet) -> Pixels:
    """Mean and standard deviation of the pixels; exact, as integers are summed."""
    n_channels = images.images.shape[1]
    total, squares = np.zeros(n_channels, np.uint64), np.zeros(n_channels, np.uint64)
    for chunk in chunks(images.images):
        total += chunk.sum(axis=(0, 2, 3), dtype=np.uint64)
        squares += np.square(chunk, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.uint64)
    count = images.images.size // n_channels
    means = [int(n) / count for n in total]
    spreads = [max(0.0, int(n) / count - mean**2) ** 0.5 for n, mean in zip(squares, means, strict=True)]
    return Pixels(tuple(mean / 255 for mean in means), tuple(spread / 255 for spread in spreads))


def chunks(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Images (n, C, H, W) a few at a time."""
    for start in range(0, len(images), CHUNK):
        yield images[start : start + CHUNK]


def class_samples(images: ImageSet, split: str, n_classes: int, n_images: int) -> list[ClassSample]:
    """Some images of some base and of some novel classes of a split; the same on every machine.

    n_classes: of base and of novel classes each, at most; n_images: of a class, at most
    """
    from fewshot_bench.reports.contact_sheet import ClassSample  # here: matplotlib takes 0.3 s to import

    chosen = images.split(split)
    part_of = {c: part for part, classes in images.parts.items() for c in classes}
    samples = []
    for kind, classes in (("base", chosen.base), ("novel", chosen.novel)):
        stream = Stream("contact sheet", images.fingerprint, kind, *sorted(classes))
        for place in sorted(_drawn(stream, 0, len(classes), n_classes)):
            c = classes[place]
            own = images.images_of_class[c]
            drawn = own[sorted(_drawn(stream, 1 + c, len(own), n_images))]
            samples.append(ClassSample(images.class_names[c], kind, part_of[c], images.images[drawn]))
    return samples


def _channels(values: Sequence[float]) -> str:
    """ "0.484 0.450 0.394": one number a channel."""
    return " ".join(f"{value:.3f}" for value in values)


def _drawn(stream: Stream, index: int, n: int, count: int) -> list[int]:
    """At most `count` different numbers below n."""
    drawn: list[int] = shuffled(stream.words(index, n))[:count].tolist()
    return drawn
