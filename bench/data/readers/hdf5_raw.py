"""Values in an HDF5 file, fetched by their addresses: what the HDF5 library should not do on files from elsewhere.

On damaged files version 2.0 loops forever or crashes while it follows byte strings, and it unpacks a chunk to whatever
size it has. The layout is that of the HDF5 File Format Specification 3.0, sections III.E and VII.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.readers.image_decoding import MAX_IMAGE_BYTES
from fewshot_bench.errors import DataError

REFERENCE_BYTES = 16

_REFERENCE = struct.Struct("<IQI")  # length of a byte string, its heap's address in the file, its number there
_HEAP = struct.Struct("<4sB3xQ")  # "GCOL", version, size
_OBJECT = struct.Struct("<HHIQ")  # number, references to it, reserved, size
_MAX_READS = 4  # times the file's size: nothing in it is needed more than twice


@dataclass(frozen=True)
class Chunk:
    """A block of an array: the index of its first value, where it is in the file, and whether zlib packed it."""

    offset: tuple[int, ...]
    at: int
    size: int
    packed: bool


class RawFile:
    """The bytes of a file. Everything raises DataError, which begins with `where`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._left = _MAX_READS * self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def byte_strings(self, at: int, count: int, where: str) -> Iterator[bytes]:
        """`count` byte strings of variable length: at `at` are references into heaps elsewhere in the file."""
        heaps: dict[int, dict[int, tuple[int, int]]] = {}
        for number in range(count):
            here = f"{where}, image {number}"
            reference = self._bytes(at + number * REFERENCE_BYTES, REFERENCE_BYTES, here)
            length, heap_at, index = _REFERENCE.unpack(reference)
            if heap_at not in heaps:
                heaps[heap_at] = self._heap(heap_at, here)
            start, size = heaps[heap_at].get(index, (0, -1))
            if not 0 < length <= min(size, MAX_IMAGE_BYTES):
                raise DataError(f"{here} is damaged: its {length:,} bytes are not in the file")
            yield self._bytes(start, length, here)

    def array(
        self, shape: tuple[int, ...], block: tuple[int, ...], chunks: list[Chunk], where: str
    ) -> NDArray[np.uint8]:
        """An array of `shape` from its chunks, each of the shape `block`, which lie at all multiples of it."""
        values = np.zeros(shape, np.uint8)
        size = int(np.prod(block))
        for chunk in chunks:
            data = self._bytes(chunk.at, chunk.size, where)
            if chunk.packed:
                try:
                    data = zlib.decompressobj().decompress(data, size + 1)
                except zlib.error as error:
                    raise DataError(f"{where} is damaged ({error})") from None
            if len(data) != size:
                raise DataError(f"{where} is damaged: a chunk does not unpack to its {size:,} bytes")
            place = tuple(slice(start, start + step) for start, step in zip(chunk.offset, block, strict=True))
            target = values[place]
            target[...] = np.frombuffer(data, np.uint8).reshape(block)[tuple(slice(n) for n in target.shape)]
        return values

    def _heap(self, at: int, where: str) -> dict[int, tuple[int, int]]:
        """number -> (where it starts, its size) of each byte string in a heap."""
        magic, version, size = _HEAP.unpack(self._bytes(at, _HEAP.size, where))
        if magic != b"GCOL" or version != 1:
            raise DataError(f"{where} is damaged: there is no heap at byte {at:,}")
        found: dict[int, tuple[int, int]] = {}
        place, end = at + _HEAP.size, at + size
        while place + _OBJECT.size <= end:
            number, _, _, length = _OBJECT.unpack(self._bytes(place, _OBJECT.size, where))
            if number == 0:  # the free space at the end
                break
            found[number] = (place + _OBJECT.size, length)
            place += _OBJECT.size + (length + 7) // 8 * 8
        return found

    def _bytes(self, at: int, size: int, where: str) -> bytes:
        self._left -= size
        if at + size > self._size or self._left < 0:
            raise DataError(f"{where} is damaged: it points beyond the end of the file, or to what others point to")
        self._file.seek(at)
        return self._file.read(size)
