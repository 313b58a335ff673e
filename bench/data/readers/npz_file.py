"""One array of images in an .npz file, read image by image.

`np.load` would ask for the whole array's memory, as large as its header says it is. Here the member is unpacked as a
stream: memory is that of one image, whether it was packed by `np.savez` or `np.savez_compressed`.
"""

import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.image_arrays import check_shape
from fewshot_bench.data.readers.archives import ALWAYS_ALLOWED_BYTES, MAX_RATIO
from fewshot_bench.data.readers.faults import reason
from fewshot_bench.data.readers.guarded import reading
from fewshot_bench.errors import DataError

MAX_BYTES = 16 << 30  # of the array: tieredImageNet's largest has 9.5 GB
MAX_HEADER = 10_000  # characters

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz_images(path: Path, key: str) -> Iterator[NDArray[np.uint8]]:
    """The images (H, W, C), C 1 or 3, of the array (n, H, W, C) uint8 called `key`. Raises DataError."""
    with reading(path, ".npz"), zipfile.ZipFile(path) as members, members.open(_member(members, key, path)) as stream:
        shape = _shape(stream, f"{path}: {key!r}")
        size = math.prod(shape[1:])
        for _ in range(shape[0]):
            data = stream.read(size)
            if len(data) < size:
                raise DataError(f"{path} is truncated: {key!r} ends too early")
            yield np.frombuffer(data, np.uint8).reshape(shape[1:])
        if stream.read(1):  # and so to the end, where the checksum is
            raise DataError(f"{path}: {key!r} is longer than its header says")


def _member(members: zipfile.ZipFile, key: str, path: Path) -> zipfile.ZipInfo:
    """The file in the .npz that holds the array."""
    found = [member for member in members.infolist() if member.filename == f"{key}.npy"]
    if len(found) != 1:
        known = ", ".join(repr(name[:30]) for name in members.namelist()[:5]) or "nothing"
        raise DataError(f"{path} has no single {key!r}, only {known}")
    member = found[0]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {key!r} is packed in a way that numpy does not use")
    if member.file_size > min(MAX_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * member.compress_size)):
        raise DataError(f"{path}: {key!r} unpacks to {member.file_size:,} bytes, more than such a file holds")
    return member


def _shape(stream: IO[bytes], where: str) -> tuple[int, ...]:
    """The shape of the array whose pixels come next in the stream."""
    read = _HEADERS.get(np.lib.format.read_magic(stream))
    if read is None:
        raise DataError(f"{where} is of an unknown version of .npy")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a header by Python 2
            shape, fortran_order, dtype = read(stream, max_header_size=MAX_HEADER)
    except Exception as error:  # noqa: BLE001  # numpy reads it as Python: SyntaxError, TokenError, RecursionError
        raise DataError(f"{where} has a damaged header ({reason(error)})") from None
    if fortran_order:  # an image's pixels are then strewn over the whole array
        raise DataError(f"{where} is stored in Fortran order: save np.ascontiguousarray of it")
    if dtype != np.uint8 or len(shape) != 4 or any(type(n) is not int or n < 1 for n in shape):
        raise DataError(f"{where} has the type {dtype} and shape {shape}, not uint8 and (images, height, width, 3)")
    check_shape(shape[1:], where)
    return shape
