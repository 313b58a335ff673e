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
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_bench.data import splits
from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import Labels, Progress, Tree, stamp
from fewshot_bench.data.formats.pickled_values import entry, integers_of, pixels_of, texts_of
from fewshot_bench.data.image_arrays import Content, ImageArrays, Shelf
from fewshot_bench.data.labels import PARTS
from fewshot_bench.data.readers.downloads import Downloaded, fetch
from fewshot_bench.data.readers.faults import read_bounded
from fewshot_bench.data.readers.unpickling import unpickle_from
from fewshot_bench.errors import DataError

FOLDER, ARCHIVE = "cifar-100-python", "cifar-100-python.tar.gz"
FILES = ("train", "test", "meta")
SIDE = 32  # pixels
MAX_FILE_BYTES = 256 << 20  # of `train`, which has 155 MB

_NOT_PUBLISHED = "is not the file as it was published (its MD5 differs): fetch it again"
_NAMES_KEY = "fine_label_names"
_SPLITS = {"cifar-fs": "bertinetto", "fc100": "oreshkin"}


class Cifar100Format:
    """CIFAR-FS or FC100 from files that are there already, which fit both (see `format.Format`, `UnsplitFormat`)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.EXPECTS = f"the name {name!r}: downloaded on first use; {name}:FOLDER where {FOLDER}(.tar.gz) lies"

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
        facts: list[Any] = [splits.standard(_SPLITS[self.name]).parts]
        if self.files is not None and self.files.is_dir():
            try:
                facts += [str(self.files), *(stamp((self.files / name).stat()) for name in FILES)]
            except FileNotFoundError as error:
                raise DataError(f"{error.filename} is missing") from None
            except OSError as error:
                raise DataError(f"{error.filename}: {error.strerror}") from None
        return f"{self.name} 1 {hashlib.sha256(json.dumps(facts).encode()).hexdigest()}"

    def decode(self, sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
        """Put every image into the sink, class by class, under the guard; see `format.Source.decode`."""
        path = self.files or self._download(progress)
        files = tuple(path / name for name in FILES) if path.is_dir() else (path,)
        read = partial(_read, path, _checksums(), splits.standard(_SPLITS[self.name]).parts)
        return ImageArrays(path, files, read, "CIFAR-100").decode(sink, image_size, progress)

    def _download(self, progress: Progress) -> Path:
        from torchvision.datasets import CIFAR100

        return fetch(CIFAR100.url, CIFAR100.tgz_md5, self.downloads, progress)


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


def _read(path: Path, checksums: dict[str, str], parts: dict[str, tuple[str, ...]]) -> Content:
    """The images of `train`, then of `test`; a remark where the files are not those that were published.

    Raises DataError for an archive that is not the published one, and for files in another layout.
    """
    if path.is_dir():
        contents = {name: _content(path / name) for name in FILES}
    else:
        contents = _archive_contents(path, checksums[ARCHIVE])
    others = [n for n in FILES if hashlib.md5(contents[n], usedforsecurity=False).hexdigest() != checksums[n]]
    remark = f"Not the published files: the MD5 of {', '.join(others)} differs." if others else ""
    read: dict[str, Any] = {name: unpickle_from(BytesIO(contents[name]), str(path / name)) for name in FILES}
    names = texts_of(entry(read["meta"], _NAMES_KEY, path / "meta"), f"{path / 'meta'}: {_NAMES_KEY!r}")
    if sorted(names) != sorted(name for part in PARTS for name in parts[part]):
        raise DataError(f"{path}: its classes are not those of CIFAR-100")
    shelves = tuple(_shelf(read[name], path / name, names) for name in ("train", "test"))
    return Content({part: tuple(sorted(parts[part])) for part in PARTS}, shelves, encoded=False, remark=remark)


def _content(path: Path) -> bytes:
    """The bytes of a file of the folder."""
    if not path.is_file():
        raise DataError(f"{path} is missing")
    return read_bounded(path, MAX_FILE_BYTES)


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


def _shelf(content: Any, path: Path, names: list[str]) -> Shelf:
    """The images of `train` or `test`."""
    data = entry(content, "data", path)
    labels = integers_of(entry(content, "fine_labels", path), f"{path}: 'fine_labels'")
    wanted = (len(labels), 3 * SIDE * SIDE)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != wanted:
        raise DataError(f"{path}: 'data' is not an array of {wanted[0]} x {wanted[1]} uint8")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise DataError(f"{path}: 'fine_labels' are not numbers from 0 to {len(names) - 1}")
    images = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)  # (n, H, W, 3)
    return Shelf(str(path), tuple(names[label] for label in labels.tolist()), partial(pixels_of, images, path))
