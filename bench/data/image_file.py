"""Writes an array of images to a .npy file one image at a time, in any order, without holding the array."""

import io
import os
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 128  # what numpy pads the header of any four-dimensional uint8 array to


class ImageFile:
    """An (n, C, H, W) uint8 array on its way to the disk; usable with `with`.

    Plain writes instead of a memory map: a full disk is then an OSError, and not a signal that kills the
    process. C is 1 as long as every image is grey; the first colour image makes it 3, and grey ones are
    repeated three times.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self._shape: tuple[int, ...] | None = None
        self._written: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Store one image, (C, H, W) uint8 with C 1 or 3. Raises OSError when the disk is full."""
        if self._shape is None:
            self._shape = pixels.shape
        elif pixels.shape[0] > self._shape[0]:
            self._widen(pixels.shape[0], self._shape)
        image = np.broadcast_to(pixels, self._shape)
        self._file.seek(HEADER_BYTES + index * image.size)
        self._file.write(image.tobytes())
        self._written.append(index)

    def finish(self) -> None:
        """Write the header and wait for the disk. Raises RuntimeError when an image is missing."""
        count = len(self._written)
        if self._shape is None or sorted(self._written) != list(range(count)):
            raise RuntimeError(f"{self._path}: the {count} images written leave gaps")
        header = io.BytesIO()
        shape = (count, *self._shape)  # (n, C, H, W)
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        if len(header.getvalue()) != HEADER_BYTES:
            raise RuntimeError(f"numpy's header for {shape} is not {HEADER_BYTES} bytes")
        self._file.seek(0)
        self._file.write(header.getvalue())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _widen(self, channels: int, old_shape: tuple[int, ...]) -> None:
        """Copy the grey images written so far into a new file with more channels."""
        old, indices = self._file, self._written
        wide = self._path.with_suffix(".wide")
        self._file, self._shape, self._written = wide.open("w+b"), (channels, *old_shape[1:]), []
        size = int(np.prod(old_shape))
        with old:
            for index in indices:
                old.seek(HEADER_BYTES + index * size)
                self.put(index, np.frombuffer(old.read(size), np.uint8).reshape(old_shape))
        wide.replace(self._path)
