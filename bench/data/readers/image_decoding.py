"""From the bytes of an image file to pixels: what is accepted, how it is converted, and many at once.

An image is grey (1 channel) or RGB. CMYK, palette and YCbCr images become RGB, transparency is dropped, and
colour profiles and the EXIF orientation are ignored on purpose: the published preparations of miniImageNet
ignore them too, and the pixel array should be what the file stores. Of an animation the first frame counts.
"""

import io
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from fewshot_bench.data.format import ImageSink, Progress
from fewshot_bench.data.readers.faults import TOLD, impostor, read_bounded, reason, shown, told
from fewshot_bench.errors import DataError
from fewshot_bench.machine import cores
from fewshot_bench.tables.wording import counted

# What the scripts use that made the published miniImageNet files: resize((84, 84), resample=Image.LANCZOS)
RESAMPLER = "lanczos"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # none that starts another program, as EPS does
MAX_IMAGE_BYTES = 64 << 20
MAX_PIXELS = 8192**2  # of a file that is resized: more than a camera has is a mistake or an attack
MAX_WEBP_PIXELS = MAX_PIXELS // 4  # its library keeps 16 bytes of each
LARGE_PIXELS = 4096**2  # images of more are decoded one at a time: each takes up to 200 MB
MAX_SCANS = 1000  # of a JPEG, which has about ten: each takes 15 ms of the largest image, and may have 100 bytes
MAX_STORED_PIXELS = 1024**2  # of a file kept as it is: 50,000 of these need 150 GB already
CHUNK = 32  # images a task: enough to outweigh handing it over, few enough to bound the memory
CHUNK_BYTES = 4 << 20  # of files that are in memory: a task with more takes no further image
AHEAD_BYTES = 128 << 20  # of files in memory, decoded or about to be

WORKERS = min(8, cores())  # threads
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_MARKER, _SCAN = 0xFF, 0xDA
_PNG_START, _PNG_PIXELS, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IDAT", b"IEND"
_one_large = Lock()


class Encoded(NamedTuple):
    """An image file still to be decoded: its place in the array, its name in messages, its bytes or path."""

    place: int
    where: str
    content: bytes | Path


class Decoded(NamedTuple):
    """The same file decoded; pixels: (C, H, W) uint8; turned: whether EXIF says that it lies on its side or head."""

    place: int
    where: str
    pixels: NDArray[np.uint8]
    turned: bool = False


def read_image(data: bytes, where: str, image_size: int | None = None) -> NDArray[np.uint8]:
    """Decode one image file.

    data: the bytes of the file; where: its name in messages
    image_size: side in pixels of the square to resize to, None for as stored
    Returns (C, H, W) uint8; C is 1 for a grey image and 3 otherwise. Raises DataError.
    """
    if problem := impostor(data):
        raise DataError(f"{where} {problem}")
    if len(data) > MAX_IMAGE_BYTES:
        raise DataError(f"{where} is larger than {MAX_IMAGE_BYTES >> 20} MiB")
    if data.startswith(_JPEG_START) and data.count(bytes([_MARKER, _SCAN])) > MAX_SCANS:
        raise DataError(f"{where} is a JPEG of more than {MAX_SCANS:,} scans, which would take minutes")
    with damage_named(where), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        pixels = pixels_of(image, where, image_size)
    if not _ends(data):
        raise DataError(f"{where} is damaged or truncated (its end is zeros or something else, not that of a JPEG)")
    if not _checksums_fit(data):
        raise DataError(f"{where} is damaged or truncated (a checksum in it does not fit its pixels)")
    return pixels


@contextmanager
def damage_named(where: str) -> Iterator[None]:
    """Raise DataError, naming the image, for whatever Pillow raises of it inside."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{where} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{where} has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # noqa: BLE001  # of damaged images Pillow raises nearly anything
        raise DataError(f"{where} is damaged or truncated ({reason(error)})") from None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Pillow warns of nothing: broken EXIF blocks and transparency are not used, too many pixels are an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _ends(data: bytes) -> bool:
    """Whether a JPEG's image has an end, of which Pillow says nothing where bytes follow; True for other formats.

    A download that was broken off may have its size already, and zeros in it. Cameras write more behind the end.
    """
    if not data.startswith(_JPEG_START) or data.endswith(_JPEG_END):
        return True
    at = len(_JPEG_START)
    while at + 4 <= len(data) and data[at] == _MARKER:
        if data[at + 1] == _SCAN:  # in what follows the end's mark stands for nothing else
            return data.find(_JPEG_END, at) >= 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4])  # also past a preview, which has an end of its own
    return True


def _checksums_fit(data: bytes) -> bool:
    """Whether a PNG's pixels are those that were written, which Pillow does not check; True for other formats.

    Without it zeros in place of the rest of a file, even of nearly all of it, pass for pixels.
    """
    if not data.startswith(_PNG_START):
        return True
    at, kind = len(_PNG_START), b""
    while at < len(data) and kind != _PNG_END:  # a piece: its size, kind, content, checksum of kind and content
        kind, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4])
        checksum = int.from_bytes(data[end : end + 4])
        if kind == _PNG_PIXELS and zlib.crc32(memoryview(data)[at + 4 : end]) != checksum:
            return False
        at = end + 4
    return True


def resized(image: Image.Image, image_size: int) -> Image.Image:
    """The whole image squeezed into a square of image_size pixels, as miniImageNet's preparation does."""
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS)


def resized_pixels(pixels: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """The same for (C, H, W) uint8; C is 1 or 3."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return _channels_first(resized(image, image_size))


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.asarray(image)  # (H, W) or (H, W, 3)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)  # (C, H, W)


def decode_into(
    sink: ImageSink, files: Iterable[Encoded], total: int, image_size: int | None, progress: Progress
) -> list[tuple[int, str]]:
    """Decode image files into a sink, in parallel, holding only a few chunks of them in memory.

    total: how many files there are, for the progress report. Raises DataError when sizes differ although image_size is
    None, and at the end for all files that cannot be used: a person mends them together.

    Threads, not processes: Pillow releases the interpreter lock while it decodes and resamples, and there is
    nothing to pickle and nothing to guard in the caller's main module. Two threads bring photographs of
    500×375 pixels to 84×84 in 0.54 of one thread's time; on 32×32 pixels they gain nothing.
    """
    with quiet_pillow(), ThreadPoolExecutor(WORKERS) as pool:
        try:
            return put_all(sink, _decoded(pool, files, image_size), total, partial(progress, "decoding images"))
        finally:
            pool.shutdown(cancel_futures=True)


def put_all(
    sink: ImageSink, chunks: Iterable[Sequence[Decoded | DataError]], total: int, progress: Callable[[int, int], None]
) -> list[tuple[int, str]]:
    """Put images into a sink until one cannot be used; the others are then only looked at. Raises as `decode_into`.

    Returns place and name of those that EXIF would turn, in the order of their places.
    """
    first: Decoded | None = None
    faults: list[str] = []
    turned: list[tuple[int, str]] = []
    done = n_faults = 0
    for chunk in chunks:
        for image in chunk:
            if isinstance(image, DataError):
                n_faults += 1
                faults += [str(image)] if n_faults <= TOLD else []
            elif not n_faults:
                first = first or image
                if image.pixels.shape[1:] != first.pixels.shape[1:]:
                    raise DataError(
                        f"{image.where} has {_size(image)} pixels but {first.where} has {_size(first)}: "
                        "set `image_size` to bring all images to one size"
                    )
                sink.put(image.place, image.pixels)
                turned += [(image.place, image.where)] if image.turned else []
        done += len(chunk)
        progress(done, total)
    if n_faults:
        raise DataError(told(faults, n_faults, "images cannot be used"))
    return sorted(turned)


def turned_text(names: Sequence[str]) -> str:
    """ "2 photographs read as stored, which EXIF would turn: a.jpg, b.jpg", or nothing."""
    told = ", ".join(map(shown, names[:TOLD]))
    more = f", and {len(names) - TOLD:,} more" if len(names) > TOLD else ""
    return f"{counted(names, 'photograph')} read as stored, which EXIF would turn: {told}{more}" if names else ""


def is_turned(data: bytes) -> bool:
    """Whether EXIF says that the image in a file lies on its side or head; False for what is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # noqa: BLE001  # of damaged EXIF blocks Pillow raises nearly anything
        return False


def _size(image: Decoded) -> str:
    """Width × height, as people write it."""
    return f"{image.pixels.shape[2]}×{image.pixels.shape[1]}"


def _decoded(
    pool: ThreadPoolExecutor, files: Iterable[Encoded], image_size: int | None
) -> Iterator[list[Decoded | DataError]]:
    """The files decoded, in their order, a few chunks ahead of who takes them."""
    waiting: deque[tuple[int, Future[list[Decoded | DataError]]]] = deque()  # with their bytes in memory
    for n_bytes, chunk in _chunks(files):
        waiting.append((n_bytes, pool.submit(_decode_chunk, chunk, image_size)))
        while len(waiting) > WORKERS + 1 or sum(held for held, _ in waiting) > AHEAD_BYTES:
            yield waiting.popleft()[1].result()
    while waiting:
        yield waiting.popleft()[1].result()


def _chunks(files: Iterable[Encoded]) -> Iterator[tuple[int, list[Encoded]]]:
    """The files in tasks for one thread each, with the bytes of those that are in memory."""
    chunk: list[Encoded] = []
    n_bytes = 0
    for file in files:
        chunk.append(file)
        n_bytes += len(file.content) if isinstance(file.content, bytes) else 0
        if len(chunk) == CHUNK or n_bytes > CHUNK_BYTES:
            yield n_bytes, chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield n_bytes, chunk


def _decode_chunk(files: list[Encoded], image_size: int | None) -> list[Decoded | DataError]:
    decoded: list[Decoded | DataError] = []
    for file in files:
        try:
            data = file.content if isinstance(file.content, bytes) else read_bounded(file.content, MAX_IMAGE_BYTES)
            pixels = read_image(data, file.where, image_size)
            decoded.append(Decoded(file.place, file.where, pixels, is_turned(data)))
        except DataError as error:
            decoded.append(DataError(str(error)))  # as it was raised it would keep the file in memory
    return decoded


def pixels_of(image: Image.Image, where: str, image_size: int | None) -> NDArray[np.uint8]:
    """Check an opened image, of which only the header is read so far, and convert it to (C, H, W) uint8."""
    limit = MAX_STORED_PIXELS if not image_size else MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if image.width * image.height > limit:
        hint = "" if image_size else ": set `image_size` to resize the images"
        raise DataError(f"{where} has {image.width}×{image.height} pixels, more than {limit:,}{hint}")
    if 0 in image.size:
        raise DataError(f"{where} has no pixels: it is {image.width}×{image.height}")
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        raise DataError(f"{where} has pixels of mode {image.mode}: convert it to 8 bits a channel")
    with _one_large if image.width * image.height > LARGE_PIXELS else nullcontext():
        mode = "L" if image.mode in _GREY_MODES else "RGB"
        converted = image if image.mode == mode else image.convert(mode)  # which would copy
        return _channels_first(resized(converted, image_size) if image_size else converted)
