"""Images in an HDF5 file, read by h5py.

An HDF5 file can point to other files, ask for plugins and declare arrays that it does not hold: that is refused before
anything is read. On damaged files the library may crash or never end, which is the guard's business (see `guarded`).
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.image_arrays import Stored, check_shape
from fewshot_bench.data.readers.faults import library
from fewshot_bench.data.readers.guarded import reading
from fewshot_bench.errors import DataError

MAX_CLASS_BYTES = 1 << 30  # of one class; miniImageNet's have 13 MB
BATCH_BYTES = 4 << 20  # read at once of an array in one piece
ZLIB, SHUFFLE = 1, 2  # the library's own filters, by their numbers in the format
REFERENCE_BYTES = 16  # of a byte string of variable length


@dataclass(frozen=True)
class ClassImages:
    """The images of one class; place: their array's path in the file; encoded: image files, and not pixels."""

    place: str
    count: int
    encoded: bool


def class_images(path: Path, places: Mapping[str, str]) -> dict[str, ClassImages]:
    """Class -> the images in the array at its place, which is checked and not read yet. Raises DataError."""
    with _opened(path) as file:
        return {name: _images(file, path, place) for name, place in places.items()}


def count_members(path: Path, places: Iterable[str]) -> int:
    """How much lies in the groups that some arrays are in. Raises DataError."""
    groups = {place.rpartition("/")[0] for place in places}
    with _opened(path) as file:
        return sum(len(_at(file, path, group)) for group in groups)


def stored_images(path: Path, classes: Mapping[str, ClassImages]) -> Iterator[Stored]:
    """The images of some classes, one after the other: (H, W, C), or image files. Raises DataError naming one."""
    with _opened(path) as file:
        for name, images in classes.items():
            if _images(file, path, images.place) != images:
                raise DataError(f"{path} changed while it was being read: run the command again")
            array, where = _at(file, path, images.place), f"{path}: {images.place[:80]!r}"
            contents = (array[i].tobytes() for i in range(len(array))) if images.encoded else _pixels(array, where)
            for number, content in enumerate(contents):
                yield Stored(f"{path}: class {name!r}, image {number}", content)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    h5py = library("h5py", path, "HDF5")
    with reading(path, "HDF5"), h5py.File(path, "r", locking=False) as file:
        yield file


def _images(file: Any, path: Path, place: str) -> ClassImages:
    """What lies at a place, checked."""
    h5py = library("h5py", path, "HDF5")
    array, where = _at(file, path, place), f"{path}: {place[:80]!r}"
    _check_storage(h5py, array, where)
    encoded = h5py.check_vlen_dtype(array.dtype) == np.dtype(np.uint8) and array.ndim == 1
    if encoded:
        if array.chunks or array.id.get_storage_size() != len(array) * REFERENCE_BYTES:
            raise DataError(f"{where} is not stored in one piece, or not at all")
    elif array.dtype != np.uint8 or array.ndim != 4:
        raise DataError(
            f"{where} has the type {array.dtype} and shape {array.shape}, not uint8 and (images, height, width, 3)"
        )
    else:
        check_shape(array.shape[1:], where)
        _check_sizes(array, where)
    if not len(array):
        raise DataError(f"{where} holds no images")
    return ClassImages(place, len(array), encoded)


def _pixels(array: Any, where: str) -> Iterator[NDArray[np.uint8] | bytes]:
    if array.chunks:
        yield from _unpacked(array, where)
    else:
        at_once = max(1, BATCH_BYTES // math.prod(array.shape[1:]))
        for start in range(0, len(array), at_once):
            yield from array[start : start + at_once]


def _at(file: Any, path: Path, place: str) -> Any:
    """What lies at a path in the file, reached through no link but plain membership."""
    h5py = library("h5py", path, "HDF5")
    found, where = file, f"{path}: {place[:80]!r}"
    for name in place.split("/"):
        links = found.id.links if isinstance(found, h5py.Group) else None
        if not links or name in ("", ".") or not links.exists(name.encode()):
            raise DataError(f"{where} is missing in the file")
        if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise DataError(f"{where} is a link to elsewhere, which is not followed")
        found = found[name]
    return found


def _check_storage(h5py: Any, array: Any, where: str) -> None:
    """Refuse arrays whose values lie in other files, or behind filters other than the library's own zlib."""
    if not isinstance(array, h5py.Dataset):
        raise DataError(f"{where} is not an array")
    plan = array.id.get_create_plist()
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) or plan.get_external_count():
        raise DataError(f"{where} keeps its values elsewhere (virtual, external or compact), which is not followed")
    if any(plan.get_filter(i)[0] not in (ZLIB, SHUFFLE) for i in range(plan.get_nfilters())):
        raise DataError(f"{where} is packed by a filter other than gzip: `h5repack -f NONE` unpacks it")


def _unpacked(array: Any, where: str) -> NDArray[np.uint8]:
    """An array from its chunks, unpacked here: the library takes whatever size a chunk unpacks to.

    A filter that sorts bytes by their place in a value does nothing to single bytes.
    """
    plan, size = array.id.get_create_plist(), math.prod(array.chunks)
    if array.id.get_num_chunks() != math.prod(-(-n // step) for n, step in zip(array.shape, array.chunks, strict=True)):
        raise DataError(f"{where} has chunks that are missing or out of place")
    deflate = [plan.get_filter(i)[0] == ZLIB for i in range(plan.get_nfilters())]
    values = np.zeros(array.shape, np.uint8)
    for place in array.iter_chunks():
        skipped, data = array.id.read_direct_chunk(tuple(part.start for part in place))
        if any(on and not skipped >> i & 1 for i, on in enumerate(deflate)):
            try:
                data = zlib.decompressobj().decompress(data, size + 1)
            except zlib.error as error:
                raise DataError(f"{where} is damaged ({error})") from None
        if len(data) != size:
            raise DataError(f"{where} is damaged: a chunk does not unpack to its {size:,} bytes")
        target = values[place]
        target[...] = np.frombuffer(data, np.uint8).reshape(array.chunks)[tuple(slice(n) for n in target.shape)]
    return values


def _check_sizes(array: Any, where: str) -> None:
    """Refuse an array that declares more than a class has, or more than is there."""
    declared = math.prod(array.shape)  # as whole numbers: h5py's own product overflows
    if declared > MAX_CLASS_BYTES:
        raise DataError(f"{where} declares {declared:,} bytes, more than a class may have ({MAX_CLASS_BYTES:,})")
    if array.chunks and math.prod(array.chunks) > MAX_CLASS_BYTES:
        raise DataError(f"{where} has chunks of more than {MAX_CLASS_BYTES:,} bytes")
    if not array.chunks and array.id.get_storage_size() != declared:
        raise DataError(f"{where} declares {declared:,} bytes and holds {array.id.get_storage_size():,}")
