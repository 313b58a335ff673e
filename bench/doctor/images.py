"""What is strange in a data set before anything is trained: blank images, small classes, an unpublished split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.describing import chunks, class_samples
from fewshot_bench.data.images import ImageSet
from fewshot_bench.doctor.copies import EXAMPLES, equal_images, place
from fewshot_bench.experiment.episodes import Setting, lack
from fewshot_bench.tables.alarms.alarm import Alarm, Check, rung
from fewshot_bench.tables.wording import counted

NEARLY_BLANK = 2.0  # of 255: standard deviation of the pixels, in every channel, of an image that shows next to nothing
UNEVEN = 2  # times as many images in the largest class as in the smallest


def first_notes(images: ImageSet, names: Sequence[str]) -> list[tuple[str, str]]:
    """(kind, a line) of what to know of images before training on them, as their files show it.

    names: of the image files, where there are such
    """
    found = [("left out", images.left_out), ("copies", equal_images(images, names)), ("EXIF", _turned(images, names))]
    return [(kind, note) for kind, note in found if note]


def turned_images(images: ImageSet, names: Sequence[str]) -> Check:
    """Photographs that a viewer turns and this program does not (a note); see docs/data.md."""
    turned = _turned(images, names)
    return Check("EXIF orientation", f"{len(images.images):,} image files", notes=(turned,) if turned else ())


def _turned(images: ImageSet, names: Sequence[str]) -> str:
    if images.turned is not None or not names:
        return images.turned or ""
    return (
        "not known, as an earlier version decoded them: remove the folder that they are prepared in, and prepare again"
    )


def blank_images(images: ImageSet, names: Sequence[str] = ()) -> Check:
    """Images of a single colour (an alarm), or nearly so (a note). names: of the image files, where there are such"""
    spread = np.concatenate([_spread(chunk) for chunk in chunks(images.images)])
    blank, faint = np.flatnonzero(spread == 0), np.flatnonzero((spread > 0) & (spread < NEARLY_BLANK))
    text = f"{counted(blank, 'image')} of a single colour{_shown(blank, images, names)}"
    advice = "take out what shows nothing, or fetch it again: it counts as an example of its class"
    note = f"{counted(faint, 'image')} of nearly a single colour{_shown(faint, images, names)}"
    found, notes = [(images.name, text)] if len(blank) else [], (note,) if len(faint) else ()
    return rung("blank images", f"{len(images.images):,} images", advice, found, notes)


def class_sizes(images: ImageSet, split_name: str, grid: str, wanted: Sequence[Setting], training: Setting) -> Check:
    """Whether the classes have enough images for the wanted settings, those of a grid, and for training episodes.

    It rings where none of the wanted settings is possible, or training is not; that some are not is a note.
    """
    split, kind = images.split(split_name), "class sizes"
    impossible = [why for s in wanted if (why := lack(images, split.novel, s, f"novel classes in {split_name!r}"))]
    untrainable = lack(images, split.base, training, f"base classes in {split_name!r}")
    alarms, notes = [], []
    if impossible and len(impossible) == len(wanted):
        advice = "take another split, add images, or leave out the smallest classes"
        alarms.append(
            Alarm(kind, f"split {split_name}", f"no setting of grid {grid!r} is possible: {impossible[0]}", advice)
        )
    elif impossible:
        lacking = f"{len(impossible)} of the {len(wanted)} settings of grid {grid!r}"
        notes.append(f"{lacking} are not possible, e.g. {impossible[0]}")
    if untrainable:
        advice = "lower way, shot or query of [training] in bench.toml"
        alarms.append(Alarm(kind, f"split {split_name}", f"no training episode is possible: {untrainable}", advice))
    sizes = [len(own) for own in images.images_of_class]
    if max(sizes) >= UNEVEN * min(sizes):
        small, large = (images.class_names[i] for i in (int(np.argmin(sizes)), int(np.argmax(sizes))))
        notes.append(f"classes differ in size: {small!r} has {min(sizes):,} images, {large!r} {max(sizes):,}")
    return Check(kind, f"{len(sizes)} classes", tuple(alarms), tuple(notes))


def published_classes(images: ImageSet) -> Check:
    """Whether classes that have a published split are split so; it rings where they are not."""
    kind, match = "published classes", images.standard
    if match is None:
        return Check(kind, "no published split has these classes")
    if match.exact:
        return Check(kind, images.standard_note)
    advice = "compare no number on it with a published one, or split the classes as published (docs/data.md)"
    return rung(kind, match.standard.data_set, advice, [(images.name, images.standard_note)])


def _spread(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,) standard deviation of each image's pixels, in the channel where it is largest; 0 exactly where it is 0."""
    pixels = images.reshape(*images.shape[:2], -1)
    count = pixels.shape[2]
    total = pixels.sum(axis=2, dtype=np.int64)
    squares = np.square(pixels, dtype=np.uint16).sum(axis=2, dtype=np.int64)
    spread: NDArray[np.float64] = np.sqrt(count * squares - total**2).max(axis=1) / count
    return spread


def _shown(found: NDArray[np.int64], images: ImageSet, names: Sequence[str]) -> str:
    """ ": dog[3], cat[17], ..."."""
    return ": " + ", ".join(
        [place(int(i), images, names) for i in found[:EXAMPLES]] + ["..."] * (len(found) > EXAMPLES)
    )


def picture(images: ImageSet, split: str, n_classes: int, n_images: int) -> bytes:
    """A PNG to look at: random images of random classes, base and novel ones."""
    from fewshot_bench.reports.contact_sheet import contact_sheet  # here: matplotlib takes 0.3 s to import

    samples = class_samples(images, split, n_classes, n_images)
    return contact_sheet(f"{images.name}: random classes, random images (split {split})", samples)
