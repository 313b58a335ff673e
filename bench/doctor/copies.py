"""Which pictures of a data set stand where they must not: in a base and a novel class, or in two classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.duplicates import Pictures, contents, find_pictures
from fewshot_bench.data.images import ClassSplit, ImageSet
from fewshot_bench.data.readers.faults import shown
from fewshot_bench.tables.alarms.alarm import Check, rung
from fewshot_bench.tables.wording import counted

TOLD = 10  # equal images that a line names
EXAMPLES = 3  # that an alarm names


@dataclass(frozen=True)
class Twins:
    """An image, and one that shows the same picture."""

    image: int
    copy: int
    equal: bool  # to the byte


def across(images: ImageSet, other: ImageSet, split_name: str) -> tuple[ImageSet, ClassSplit]:
    """The base classes of one data set and the novel ones of another, as one to look for copies in."""
    split, sides = images.split(split_name), ((images, "base"), (other, "novel"))
    pixels, class_ids, kinds = [], [], []
    names = list[str]()
    for of, kind in sides:
        classes = getattr(of.split(split_name), kind)
        members = [of.images_of_class[c] for c in classes]
        pixels.append(of.images[np.concatenate(members)])
        class_ids += [np.full(len(own), len(names) + n) for n, own in enumerate(members)]
        kinds.append(tuple(range(len(names), len(names) + len(classes))))
        names += [f"{of.name}/{of.class_names[c]}" for c in classes]
    joined = replace(
        images, images=np.concatenate(pixels), class_ids=np.concatenate(class_ids), class_names=tuple(names), parts={}
    )
    return joined, replace(split, base=kinds[0], novel=kinds[1])


def copies(images: ImageSet, split: ClassSplit, names: Sequence[str] = ()) -> tuple[Check, Check, Check]:
    """Pictures in a base and a novel class of a split; in two classes of a kind; twice in a novel class (a note).

    names: of the image files, where there are such
    """
    pictures = find_pictures(images.images)
    is_base, is_novel = (np.isin(images.class_ids, classes) for classes in (split.base, split.novel))
    leaked, mixed, repeated = [], [], []
    for members in _groups(pictures.picture):
        base, novel = members[is_base[members]], members[is_novel[members]]
        leaked += [_twins(i, base, pictures) for i in novel if len(base)]
        for kind in (base, novel):
            for i in kind:
                other = images.class_ids[kind] != images.class_ids[i]
                mixed += [_twins(i, kind[other], pictures)] if other.any() else []
                earlier = kind[~other & (kind < i)]
                repeated += [_twins(i, earlier, pictures)] if is_novel[i] and len(earlier) else []
    looked_at, where = f"{len(images.images):,} images", f"split {split.name}"
    advice = "take them out of one side: the models were trained on pictures that they are tested on"
    text = f"{len(leaked):,} of {int(is_novel.sum()):,} images of novel classes are in a base class, too"
    found = [(where, text + _shown(leaked, images, names))] if leaked else []
    leaks = rung("duplicates of base images", looked_at, advice, found)
    advice = "take them out of one class: whatever is answered, one of them counts as wrong"
    text = f"{len(mixed):,} images are in two base classes or in two novel ones"
    found = [(where, text + _shown(mixed, images, names))] if mixed else []
    mixes = rung("duplicates across classes", looked_at, advice, found)
    verb = "repeats" if len(repeated) == 1 else "repeat"
    note = f"{counted(repeated, 'image')} of novel classes {verb} another of the class: one can be support, one query"
    notes = (note + _shown(repeated, images, names),) if repeated else ()
    return leaks, mixes, Check("duplicates within a class", looked_at, notes=notes)


def equal_images(images: ImageSet, names: Sequence[str]) -> str:
    """ "2 images equal to the byte to another: a.jpg = b.jpg", or nothing; near ones are not looked for."""
    content, first = contents(images.images)
    again = np.flatnonzero(first[content] != np.arange(len(content)))
    told = [f"{place(int(i), images, names)} = {place(int(first[content[i]]), images, names)}" for i in again[:TOLD]]
    more = f", and {len(again) - TOLD:,} more" if len(again) > TOLD else ""
    return f"{counted(again, 'image')} equal to the byte to another: {', '.join(told)}{more}" if told else ""


def _twins(image: np.int64, others: NDArray[np.int64], pictures: Pictures) -> Twins:
    """An image with one of its copies: an equal one if there is one."""
    equal = others[pictures.content[others] == pictures.content[image]]
    return Twins(int(image), int(equal[0] if len(equal) else others[0]), bool(len(equal)))


def _groups(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices that share a number, ascending, where there are several."""
    order = np.argsort(numbers, kind="stable")
    bounds = np.flatnonzero(np.diff(numbers[order])) + 1
    return [group for group in np.split(order, bounds) if len(group) > 1]


def _shown(twins: Sequence[Twins], images: ImageSet, names: Sequence[str]) -> str:
    """ " (6 equal to the byte): dog[3] = cat[17], ..."; the equal ones first, each pair once, ~ for a near copy."""
    once: dict[frozenset[int], str] = {}
    for t in sorted(twins, key=lambda t: not t.equal):
        told = f"{place(t.image, images, names)} {'=' if t.equal else '~'} {place(t.copy, images, names)}"
        once.setdefault(frozenset((t.image, t.copy)), told)
    more = ", ..." if len(once) > EXAMPLES else ""
    return f" ({sum(t.equal for t in twins):,} equal to the byte): {', '.join(list(once.values())[:EXAMPLES])}{more}"


def place(image: int, images: ImageSet, names: Sequence[str] = ()) -> str:
    """The image's file, or "dog[3]": number 3, from 0, of its class; on one line, whatever that is called."""
    if names:
        return shown(names[image])
    c = int(images.class_ids[image])
    return f"{shown(images.class_names[c])}[{int(np.searchsorted(images.images_of_class[c], image))}]"
