"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): 1,623 characters of 50 alphabets, 20 drawings each, turned four ways.

Comes as `images_background.zip` and `images_evaluation.zip`, with `<alphabet>/<character>/<drawing>.png` in a folder
of the same name; one archive with both folders is read as well. The classes are split as by Vinyals et al. 2016,
which crosses these two; each character makes four classes, turned counter-clockwise by 0, 90, 180 and 270 degrees, as
in "Greek/character01/rot090", all in one part. Ink is white on black, unlike in the files, so that an empty pixel is
0.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data import splits
from fewshot_bench.data.format import ImageSink, Labels, Progress, Tree, stamp
from fewshot_bench.data.labels import PARTS, Listing, Row, labels_of
from fewshot_bench.data.readers.archive_trees import Archive
from fewshot_bench.data.readers.downloads import Downloaded, fetch
from fewshot_bench.data.readers.image_decoding import Encoded, decode_into
from fewshot_bench.data.readers.trees import Folder
from fewshot_bench.errors import DataError

NAME = "omniglot"
EXPECTS = (
    f"the name {NAME!r}: downloaded on first use; a folder with images_background and images_evaluation, "
    "each a folder or a .zip"
)

SETS = ("images_background", "images_evaluation")
DRAWINGS = 20  # of each character
TURNS = 4  # by 90 degrees each


def _turned(character: str, turn: int) -> str:
    """The class of a character turned so many times by 90 degrees."""
    return f"{character}/rot{90 * turn:03d}"


def n_base_classes() -> int:
    """By which it is known from a folder of one's own that is called like it."""
    return TURNS * len(splits.standard("vinyals").parts["train"])


def recognises(tree: Tree) -> bool:
    """Whether a folder holds a part of Omniglot, or an archive both or one."""
    found = tree.entries()
    if isinstance(tree, Archive):
        return set(SETS) <= set(found.folders) or _is_half(tree)
    return any(name in found.folders or f"{name}.zip" in found.files for name in SETS)


def find(tree: Tree) -> "OmniglotSource":
    """The data set in a folder or archive. Raises DataError when half of it is missing."""
    folder = tree.path
    if isinstance(tree, Archive):
        if _is_half(tree):
            raise DataError(f"{folder} is half of Omniglot: name the folder with {' and '.join(SETS)}")
        return OmniglotSource(folder=folder, files=(folder,))
    files = [(name, _locate(folder, name)) for name in SETS]
    for name, path in files:
        if path is None:
            raise DataError(f"{folder} has neither {name} nor {name}.zip, and Omniglot is in both {' and '.join(SETS)}")
    follow_links = isinstance(tree, Folder) and tree.follow_links
    return OmniglotSource(folder=folder, files=tuple(path for _, path in files if path), follow_links=follow_links)


def _is_half(tree: Archive) -> bool:
    lists = splits.standard("vinyals").parts.values()
    alphabets = {character.partition("/")[0] for characters in lists for character in characters}
    return tree.name in SETS and not alphabets.isdisjoint(tree.entries().folders)


def _locate(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.zip"):
        if path.exists():
            return path
    return None


@dataclass(frozen=True, kw_only=True)
class OmniglotSource(Downloaded):
    """Omniglot (see `format.Source`).

    folder, files: where it lies, and the folder or archive of each of SETS; None and () to download it
    """

    name: str = NAME
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    follow_links: bool = False

    @property
    def where(self) -> str:
        """The path, or the name."""
        return str(self.folder or self.name)

    def state(self) -> str:
        """A digest over the class lists and, of a folder, over the size and times of every file."""
        digest = hashlib.sha256(json.dumps([NAME, 1, self.where, splits.standard("vinyals").parts]).encode())
        for tree in self._trees(self.files):
            if isinstance(tree, Archive):
                digest.update(stamp(tree.path.stat()).encode())
            else:
                rows = Listing(tuple(_rows(tree)), {})
                digest.update("".join([json.dumps(rows.rows), *tree.stamps(rows)]).encode())
        return digest.hexdigest()

    def decode(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """Decode every drawing, invert it and turn it four ways; see `Source.decode`."""
        lists = splits.standard("vinyals").parts
        characters = [character for part in PARTS for character in sorted(lists[part])]
        drawings = self._drawings(self.files or self._download(progress), characters)
        decode_into(_Turning(sink), drawings, len(characters) * DRAWINGS, image_size, progress)
        classes = {part: [_turned(c, turn) for c in sorted(lists[part]) for turn in range(TURNS)] for part in PARTS}
        class_ids = np.repeat(np.arange(TURNS * len(characters), dtype=np.int64), DRAWINGS)
        read_from = f"Omniglot: {len(characters):,} characters, each turned {TURNS} ways"
        return replace(labels_of(classes, class_ids, read_from), family="characters")

    def _drawings(self, files: tuple[Path, ...], characters: list[str]) -> Iterator[Encoded]:
        """Every drawing with its place: characters in this order, drawings by file name. Raises DataError."""
        trees = self._trees(files)
        listings = [Listing(tuple(_rows(tree)), {}) for tree in trees]
        self._check(Counter(row.label for listing in listings for row in listing.rows), characters)
        first = {character: i * DRAWINGS for i, character in enumerate(characters)}
        seen: Counter[str] = Counter()
        for tree, listing in zip(trees, listings, strict=True):
            places = []
            for row in listing.rows:
                places.append(first[row.label] + seen[row.label])
                seen[row.label] += 1
            for drawing in tree.encoded(listing):
                yield drawing._replace(place=places[drawing.place])

    def _trees(self, files: tuple[Path, ...]) -> list[Archive | Folder]:
        """Each of SETS; its alphabets lie at the top, in an archive below `images_background/`."""
        return [Folder(path, self.follow_links) if path.is_dir() else Archive(path) for path in files]

    def _check(self, found: Counter[str], characters: list[str]) -> None:
        """Whether each character is there with all its drawings, and no other."""
        for character in characters:
            if found[character] != DRAWINGS:
                raise DataError(
                    f"{self.where}: character {character!r} has {found[character]} drawings, not {DRAWINGS}: "
                    f"unpack or fetch {' and '.join(SETS)} again"
                )
        for character in found.keys() - set(characters):
            raise DataError(f"{self.where}: {character!r} is not a character of Omniglot")

    def _download(self, progress: Progress) -> tuple[Path, ...]:
        from torchvision.datasets import Omniglot  # here: it takes seconds to import

        prefix, checksums = Omniglot.download_url_prefix, Omniglot.zips_md5
        return tuple(fetch(f"{prefix}/{name}.zip", checksums[name], self.downloads, progress) for name in SETS)


class _Turning:
    """Takes the drawings one by one and puts each, inverted, into a sink four times."""

    def __init__(self, sink: ImageSink) -> None:
        self._sink = sink

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Store a drawing, (C, H, W) uint8, as one of each of its character's four classes."""
        if pixels.shape[1] != pixels.shape[2]:
            raise DataError("Omniglot's drawings must be square to be turned: set `image_size`")
        character, drawing = divmod(index, DRAWINGS)
        ink = 255 - pixels
        for turn in range(TURNS):
            place = (TURNS * character + turn) * DRAWINGS + drawing
            self._sink.put(place, np.rot90(ink, turn, axes=(1, 2)))


def _alphabets(tree: Archive | Folder) -> list[str]:
    """The folders of the alphabets."""
    if isinstance(tree, Archive) and set(SETS) <= set(tree.entries().folders):
        return [f"{name}/{alphabet}" for name in SETS for alphabet in tree.entries(name).folders]
    return list(tree.entries().folders)


def _rows(tree: Archive | Folder) -> Iterator[Row]:
    """Every drawing, its class the character: "Greek/character01"."""
    for alphabet in _alphabets(tree):
        for character in tree.entries(alphabet).folders:
            folder = f"{alphabet}/{character}"
            label, where = "/".join(folder.split("/")[-2:]), tree.show(folder)
            for file in tree.entries(folder).files:
                if file.endswith(".png"):
                    yield Row(f"{folder}/{file}", label, where)
