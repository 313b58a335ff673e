"""CIFAR-FS and FC100: the 100 classes of CIFAR-100, split by Bertinetto et al. 2019 and by Oreshkin et al. 2018.

CIFAR-100 (Krizhevsky 2009) comes as `cifar-100-python.tar.gz`, with the folder `cifar-100-python` in it. Its files
`train`, `test` and `meta` are pickles, read under the guard. An archive's checksum must be the one
that torchvision knows; a folder of other files in this layout is read, too, and the note says that they are others. A
class has its 500 images of `train` first, then its 100 of `test`.
"""

import hashlib
import json
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_bench.data import splits
from fewshot_bench.data.format import ImageSink, ImageStore, Labels, Progress, Tree, stamp
from fewshot_bench.data.formats.pickled_values import entry, integers_of
from fewshot_bench.data.labels import FEWEST_IMAGES, PARTS, labels_of
from fewshot_bench.data.readers import guarded
from fewshot_bench.data.readers.downloads import Downloaded, fetch
from fewshot_bench.data.readers.image_decoding import resized
from fewshot_bench.data.readers.unpickling import unpickle_from
from fewshot_bench.errors import DataError

FOLDER, ARCHIVE = "cifar-100-python", "cifar-100-python.tar.gz"
FILES = ("train", "test", "meta")
SIDE = 32  # pixels
MAX_FILE_BYTES = 256 << 20  # of `train`, which has 155 MB
PROGRESS_EVERY = 256  # images

_NOT_PUBLISHED = "is not the file as it was published (its MD5 differs): fetch it again"
_NAMES_KEY = "fine_label_names"
_SPLITS = {"cifar-fs": "bertinetto", "fc100": "oreshkin"}


class Cifar100Format:
    """CIFAR-FS or FC100 from files that are there already (see `format.Format`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.EXPECTS = f"the name {name!r}: downloaded on first use; {name}:FOLDER where {FOLDER}(.tar.gz) lies"

    def recognises(self, _tree: Tree) -> bool:
        """Whether it is this split: files fit both, see `UnsplitFormat`."""
        return False

    def find(self, tree: Tree) -> "Cifar100Source":
        """The data set at a path. Raises DataError when it does not lie there."""
        files = _locate(tree.path)
        if files is None:
            raise DataError(f"{tree.path} holds neither {FOLDER} nor {ARCHIVE}")
        return Cifar100Source(name=self._name, files=files)


class UnsplitFormat:
    """CIFAR-100 as it was published, which has no classes that are new."""

    EXPECTS = f"not by itself: cifar-fs:FOLDER or fc100:FOLDER, where {FOLDER}(.tar.gz) lies"

    def recognises(self, tree: Tree) -> bool:
        """Whether CIFAR-100 lies there."""
        return _locate(tree.path) is not None

    def find(self, tree: Tree) -> "Cifar100Source":
        """Raises DataError: two splits are in use."""
        ways = f"cifar-fs:{tree.path} or fc100:{tree.path}"
        raise DataError(f"{tree.path} holds CIFAR-100, whose classes are split in two ways: say {ways}")


@dataclass(frozen=True, kw_only=True)
class Cifar100Source(Downloaded):
    """CIFAR-FS or FC100 (see `format.Source`).

    name: a key of _SPLITS
    files: the archive, or the folder that comes in it; None: to be downloaded
    """

    name: str
    files: Path | None = None

    @property
    def where(self) -> str:
        """The path, or the name."""
        return str(self.files or self.name)

    def state(self) -> str:
        """The same wherever an archive lies: its checksum admits one content only."""
        facts: list[Any] = [splits.lists(_SPLITS[self.name])]
        if self.files is not None and self.files.is_dir():
            try:
                facts += [str(self.files), *(stamp((self.files / name).stat()) for name in FILES)]
            except FileNotFoundError as error:
                raise DataError(f"{error.filename} is missing") from None
            except OSError as error:
                raise DataError(f"{error.filename}: {error.strerror}") from None
        return f"{self.name} 1 {hashlib.sha256(json.dumps(facts).encode()).hexdigest()}"

    def decode(self, sink: ImageStore, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into the sink, class by class, under the guard; see `format.Source.decode`."""
        path = self.files or self._download(progress)
        return guarded.read(_Files(self.name, path, _checksums()), sink, image_size, progress)

    def _download(self, progress: Progress) -> Path:
        from torchvision.datasets import CIFAR100

        return fetch(CIFAR100.url, CIFAR100.tgz_md5, self.downloads, progress)


@dataclass(frozen=True)
class _Files:
    """What is read under the guard. checksums: MD5 of the archive and of each file, as they were published"""

    name: str
    path: Path
    checksums: dict[str, str]

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.path / name for name in FILES) if self.path.is_dir() else (self.path,)

    def fill(self, sink: ImageSink, image_size: int | None, progress: Progress) -> Labels:
        """See `guarded.Guarded`."""
        images, labels, names, remark = _read(self.path, self.checksums)
        lists = splits.lists(_SPLITS[self.name])
        order = [name for part in PARTS for name in sorted(lists[part])]
        if sorted(order) != sorted(names):
            raise DataError(f"{self.where}: its classes are not those of CIFAR-100")
        indices = [np.flatnonzero(labels == names.index(name)) for name in order]
        if small := [name for name, own in zip(order, indices, strict=True) if len(own) < FEWEST_IMAGES]:
            raise DataError(f"{self.where}: class {small[0]!r} has fewer than {FEWEST_IMAGES} images")
        for place, index in enumerate(np.concatenate(indices)):
            pixels = images[index]
            if image_size and image_size != SIDE:
                pixels = np.asarray(resized(Image.fromarray(pixels.transpose(1, 2, 0)), image_size)).transpose(2, 0, 1)
            sink.put(place, pixels)
            if (place + 1) % PROGRESS_EVERY == 0 or place + 1 == len(labels):
                progress("reading images", place + 1, len(labels))
        class_ids = np.repeat(np.arange(len(order), dtype=np.int64), [len(own) for own in indices])
        return labels_of({part: sorted(lists[part]) for part in PARTS}, class_ids, "CIFAR-100", remark)


def _checksums() -> dict[str, str]:
    """MD5 of the archive and of the files in it, as torchvision knows them."""
    from torchvision.datasets import CIFAR100  # here: it takes seconds to import

    meta = (CIFAR100.meta["filename"], CIFAR100.meta["md5"])
    return dict([*CIFAR100.train_list, *CIFAR100.test_list, meta, (ARCHIVE, CIFAR100.tgz_md5)])


def _locate(path: Path) -> Path | None:
    """The archive or folder of CIFAR-100 at a path or directly below it."""
    for place in (path / FOLDER, path):
        if place.name == FOLDER and place.is_dir():
            return place
    for place in (path / ARCHIVE, path):
        if place.name == ARCHIVE and place.is_file():
            return place
    return None


def _read(files: Path, checksums: dict[str, str]) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...], str]:
    """Images (n, 3, 32, 32) and labels (n,) of `train`, then of `test`, the name of each label, and a remark.

    Raises DataError for an archive that is not the published one, and for files in another layout.
    """
    if files.is_dir():
        contents = {name: _content(files / name) for name in FILES}
    else:
        contents = _archive_contents(files, checksums[ARCHIVE])
    others = [n for n in FILES if hashlib.md5(contents[n], usedforsecurity=False).hexdigest() != checksums[n]]
    remark = f"Not the published files: the MD5 of {', '.join(others)} differs." if others else ""
    read: dict[str, Any] = {name: unpickle_from(BytesIO(contents[name]), str(files / name)) for name in FILES}
    images, labels = zip(*(_part(read[name], files / name) for name in ("train", "test")), strict=True)
    names = entry(read["meta"], _NAMES_KEY, files / "meta")
    if not isinstance(names, list | tuple) or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{files / 'meta'}: {_NAMES_KEY!r} is no list of names")
    return np.concatenate(images), np.concatenate(labels), tuple(_text(name) for name in names), remark


def _content(path: Path) -> bytes:
    """The bytes of a file of the folder."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{path} is missing, or larger than {MAX_FILE_BYTES >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def _archive_contents(archive: Path, checksum: str) -> dict[str, bytes]:
    """The files in the archive by name, read into memory: nothing is unpacked to a disk."""
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != checksum:  # before gzip and tar see it
            hint = f"or, if it was packed anew, unpack it and name its folder {FOLDER}"
            raise DataError(f"{archive} {_NOT_PUBLISHED}, {hint}")
        with tarfile.open(archive) as tar:
            return {name: _member(tar, f"{FOLDER}/{name}") for name in FILES}
    except OSError as error:
        raise DataError(f"{archive}: {error.strerror}") from None


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    return content.read() if content else b""


def _part(content: Any, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 3, 32, 32) and labels (n,) of `train` or `test`."""
    data = entry(content, "data", path)
    labels = integers_of(entry(content, "fine_labels", path), f"{path}: 'fine_labels'")
    wanted = (len(labels), 3 * SIDE * SIDE)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != wanted:
        raise DataError(f"{path}: 'data' is no array of {wanted[0]} x {wanted[1]} uint8")
    return data.reshape(-1, 3, SIDE, SIDE), labels


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else str(name, "latin1")
