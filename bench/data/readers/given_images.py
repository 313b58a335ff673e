"""Images as a user gives them, brought to the pixels that a data set has: same decoding, channels and size."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fewshot_bench.data.readers.faults import read_bounded, reason
from fewshot_bench.data.readers.image_decoding import (
    MAX_IMAGE_BYTES,
    damage_named,
    is_turned,
    pixels_of,
    quiet_pillow,
    read_image,
    resized_pixels,
    turned_text,
)
from fewshot_bench.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.float32]  # (C, H, W): bytes, or floats in [0, 1]
GREY_OR_COLOUR = (1, 3)


def given_images(images: Any, shape: tuple[int, int], *, inverted: bool = False) -> Iterator[Pixels]:
    """Images one by one, (C, side, side), whatever they come as. Raises DataError, which names the image.

    images: a file's path or a PIL image, or a sequence of them or of arrays or tensors; or one array or tensor
        (N, H, W), (N, C, H, W) or (N, H, W, C). Numbers are bytes, or floats in [0, 1] of the right size.
    shape: (C, side) of the data set. Others are resized as it was, grey ones repeated to colour.
    inverted: whether the data set's files were (Omniglot's ink is bright); arrays are taken as they are
    """
    _check_several(images, shape[0])
    one = isinstance(images, str | PathLike | Image.Image)
    try:
        several = iter([images] if one else images)
    except TypeError:  # an array without dimensions, too
        raise DataError(f"images are a {type(images).__name__}: give files, PIL images, or arrays of them") from None
    for number, image in enumerate(several):
        with quiet_pillow():
            found = _given(image, f"image {number}", shape, inverted=inverted)
        yield found


def _check_several(images: Any, channels: int) -> None:
    """Raise DataError for one image (H, W, C) or (C, H, W), whose rows or colours would be taken for images."""
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) == 3 and (shape[2] in GREY_OR_COLOUR or (channels == 3 and shape[0] == 3)):
        raise DataError(f"images are one array {shape}: give one image as [image], several grey ones as (N, 1, H, W)")


def turned_files(files: Iterable[Path]) -> str:
    """Which of some image files are read as stored although EXIF would turn them, in words; or nothing."""
    with quiet_pillow():
        return turned_text([str(file) for file in files if is_turned(read_bounded(file, MAX_IMAGE_BYTES))])


def _given(image: Any, where: str, shape: tuple[int, int], *, inverted: bool) -> Pixels:
    channels, side = shape
    if isinstance(image, str | PathLike):
        where = str(image)
        with suppress(OSError):  # who reads it says why it cannot be looked at
            if not Path(where).is_file():  # a pipe would be waited for
                raise DataError(f"{where} is not a file")
        pixels: Pixels = read_image(read_bounded(Path(where), MAX_IMAGE_BYTES), where, side)
    elif isinstance(image, Image.Image):
        with damage_named(where):  # it is only read now
            pixels = pixels_of(image, where, side)
    else:
        return _with_channels(_of_array(image, where, side), where, channels)
    return _with_channels(255 - pixels if inverted else pixels, where, channels)


def _of_array(image: Any, where: str, side: int) -> Pixels:
    """An array or tensor (H, W), (C, H, W) or (H, W, C)."""
    try:
        if hasattr(image, "is_floating_point"):  # a tensor, of whose floats bfloat16 is none of numpy's
            image = image.detach().cpu()
            image = image.float() if image.is_floating_point() else image
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:  # lists of several lengths, a sparse or empty tensor
        raise DataError(f"{where} is no image: {reason(error)}") from None
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] not in GREY_OR_COLOUR and array.shape[2] in GREY_OR_COLOUR:
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] not in GREY_OR_COLOUR or 0 in array.shape:
        raise DataError(
            f"{where} has the shape {np.shape(array)}: an image is (H, W), (C, H, W) or (H, W, C), C 1 or 3"
        )
    if array.dtype == np.uint8:
        return array if array.shape[1:] == (side, side) else resized_pixels(array, side)
    if array.dtype.kind != "f":
        raise DataError(f"{where} has numbers of type {array.dtype}: give bytes (uint8), or floats in [0, 1]")
    if not ((array >= 0) & (array <= 1)).all():  # also refuses nan
        raise DataError(f"{where} has floats outside [0, 1]: divide them by 255, or give bytes (uint8)")
    if array.shape[1:] != (side, side):
        raise DataError(
            f"{where} has {array.shape[2]}×{array.shape[1]} floats, not {side}×{side}: only bytes are resized"
        )
    return np.asarray(array, np.float32)


def _with_channels(pixels: Pixels, where: str, channels: int) -> Pixels:
    """Grey as colour where the data set has colour; colour as grey only where nothing is lost."""
    if len(pixels) > channels:
        if (pixels != pixels[:1]).any():
            raise DataError(f"{where} is a colour image, but the model was trained on grey ones: convert it")
        return pixels[:1]
    return pixels.repeat(channels // len(pixels), axis=0)
