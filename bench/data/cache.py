"""The cache: each data set decoded once into a memory-mapped array, in a folder of its own.

`<cache>/<digest>/` holds images.npy (n, C, H, W) uint8, class_ids.npy (n,) int64 and meta.json. The digest
covers the source's state (see `Source.state`), the image size and the layout of this folder, so changed
data means another folder. A folder appears by one rename and is never changed afterwards. Of several processes
that need the same data one prepares it and the others wait; where several do (a file system without locks), the
first rename wins and the others discard theirs. What a killed process leaves behind the next one there removes.
Folders of data that has changed since stay until the user deletes them.
"""

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL
from numpy.typing import NDArray

from fewshot_bench import machine
from fewshot_bench.data.format import Labels, Progress, Source
from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.readers.image_decoding import RESAMPLER
from fewshot_bench.errors import DataError
from fewshot_bench.files import as_text, remove_leftovers, temporary

LAYOUT = 2  # raise it when what lies in a folder of the cache changes
BUFFER_BYTES = 1 << 20  # of images that are written together
Decoded = Callable[[Source, ImageSet], None]  # told of a data set that was decoded just now
HEADER_BYTES = 128  # what numpy pads the header of any four-dimensional uint8 array to


def open_cached(
    cache: Path, source: Source, image_size: int | None, progress: Progress, decoded: Decoded | None = None
) -> ImageSet:
    """The decoded data set, from the cache if it is there and intact, otherwise prepared now.

    cache: a folder, created when missing; image_size: side in pixels to resize to, None for as stored
    decoded: told of what is prepared now
    Raises DataError for data that cannot be used, and when the cache cannot be written.
    """
    state = source.state()
    folder = folder_of(cache, state, image_size)
    found = _loaded(folder)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f".{folder.name}.lock"):
            if (found := _loaded(folder)) is not None:
                return found
            found = _prepared(folder, source, state, image_size, progress)
    except OSError as error:
        advice = "make room, or set BENCH_CACHE to a folder that can be written"
        if machine.lacks_files():
            advice = machine.MORE_FILES
        raise DataError(f"cannot prepare the data set in {cache}: {error.strerror or error}; {advice}") from None
    if decoded:
        decoded(source, found)
    return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the system takes the lock from who is killed. Without locks, several at a time."""
    with ExitStack() as stack:
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):  # to wait for another user's it is enough to read it
            with suppress(PermissionError, FileNotFoundError):
                file = stack.enter_context(os.fdopen(os.open(path, flags, 0o666), "rb"))
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
                break
        try:
            yield
        finally:
            with suppress(OSError):  # another user's; and who waits for it may prepare beside who comes now: see above
                path.unlink()


def _prepared(folder: Path, source: Source, state: str, image_size: int | None, progress: Progress) -> ImageSet:
    cache = folder.parent
    made = temporary(cache / "preparing")
    try:
        remove_leftovers(cache)
        made.mkdir(parents=True)
        with ImageFile(made / "images.npy") as sink:
            labels = source.decode(sink, image_size, progress)
            sink.finish()
        if source.state() != state:
            raise DataError(f"{source.where} changed while it was being read: run the command again")
        _describe(made, source, labels, image_size)
        prepared = load(made)
        if prepared is None:
            raise DataError(f"{made} was written but cannot be read back: is the disk in order?")
        _publish(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return load(folder) or prepared  # the latter while another process repairs the same folder


def folder_of(cache: Path, state: str, image_size: int | None) -> Path:
    """The folder of the cache in which a data set of this state lies, or will lie; see `Source.state`."""
    key = [LAYOUT, state, image_size, RESAMPLER if image_size else None]
    return cache / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def load(folder: Path) -> ImageSet | None:
    """As `_loaded`; None also for what another user keeps to himself."""
    with suppress(DataError):
        return _loaded(folder)
    return None


def _loaded(folder: Path) -> ImageSet | None:
    """The data set in a folder of the cache, its images memory-mapped; None when it is missing or damaged.

    Sizes, types and ranges are checked, not the pixels: reading all of them would take longer than a second.
    `content_fingerprint` is the check for those. Raises DataError where we may not read it.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        class_ids = np.load(folder / "class_ids.npy", allow_pickle=False)
        found = ImageSet(
            name=as_text(str(meta["name"])),
            note=as_text(str(meta["note"])),
            images=images,
            class_ids=class_ids,
            class_names=tuple(str(name) for name in meta["class_names"]),
            parts={str(part): tuple(int(c) for c in classes) for part, classes in meta["parts"].items()},
            fingerprint=str(meta["fingerprint"]),
            family=str(meta["family"]),
            left_out=str(meta.get("left_out", "")),
            turned=meta.get("turned"),
        )
        intact = (
            meta["layout"] == LAYOUT
            and list(images.shape) == meta["shape"]
            and hashlib.sha256(class_ids.tobytes()).hexdigest() == meta["class_ids_sha256"]
            and (images.dtype, class_ids.dtype) == (np.uint8, np.int64)
            and sorted(sum(found.parts.values(), ())) == list(range(len(found.class_names)))
        )
    except PermissionError as error:  # preparing it again would take it from whose it is
        advice = "let its owner allow it, or set BENCH_CACHE to a folder of your own"
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); {advice}") from None
    except Exception:  # noqa: BLE001  # of a damaged file numpy and json raise nearly anything
        return None
    return found if intact else None


def find(cache: Path, fingerprint: str) -> ImageSet | None:
    """The data set of that content, wherever it came from; None where it is not prepared."""
    found = map(load, folders_of(cache))
    return next((images for images in found if images and images.fingerprint == fingerprint), None)


def folders_of(cache: Path) -> list[Path]:
    """Where data sets lie in a cache; none where there is no cache yet, or we may not look into it."""
    try:
        return sorted(path for path in cache.iterdir() if path.name[0] != "." and path.is_dir())
    except OSError:
        return []


def content_fingerprint(images: NDArray[np.uint8], labels: Labels) -> str:
    """SHA-256 over shape, class names, parts, class ids and pixels, and nothing else.

    images: (n, C, H, W) uint8. Two machines, or a folder and an archive of it, give the same fingerprint as
    long as their JPEG decoders give the same pixels.
    """
    head = {"shape": images.shape, "class_names": labels.class_names, "parts": labels.parts}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    digest.update(labels.class_ids.astype("<i8").tobytes())
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024]).data)
    return digest.hexdigest()


def _describe(folder: Path, source: Source, labels: Labels, image_size: int | None) -> None:
    """Write the class ids and meta.json beside the images. Raises OSError."""
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    if len(labels.class_ids) != len(images) or (np.diff(labels.class_ids) < 0).any():
        raise RuntimeError(f"{source.where}: {len(images)} images do not fit their class ids")
    np.save(folder / "class_ids.npy", labels.class_ids)
    meta: dict[str, Any] = {
        "layout": LAYOUT,
        "name": source.name,
        "note": labels.note,
        "archive_layout": labels.layout,
        "family": labels.family,
        "left_out": labels.left_out,
        "turned": labels.turned,
        "class_names": labels.class_names,
        "parts": labels.parts,
        "fingerprint": content_fingerprint(images, labels),
        "class_ids_sha256": hashlib.sha256(labels.class_ids.tobytes()).hexdigest(),
        "shape": images.shape,
        "image_size": image_size,
        "resampler": RESAMPLER if image_size else None,
        "source": source.where,
        "pillow": PIL.__version__,
        "numpy": np.__version__,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _publish(made: Path, folder: Path) -> None:
    """Give a prepared folder its name, unless another process was first. Raises OSError."""
    if load(folder) is not None:
        return
    with suppress(FileNotFoundError):  # a damaged folder is in the way, as renaming never replaces one
        aside = folder.rename(temporary(folder))
        shutil.rmtree(aside, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError as error:  # a non-empty folder of that name: another process was faster
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


class ImageFile:
    """An (n, C, H, W) uint8 array on its way to a .npy file, image by image in any order; usable with `with`.

    Plain writes instead of a memory map: a full disk is then an OSError, and not a signal that kills the
    process. C is 1 as long as every image is grey; the first colour image makes it 3, and grey ones are
    repeated three times.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b", BUFFER_BYTES)
        self._shape: tuple[int, ...] | None = None
        self._image = np.empty(0, np.uint8)  # the next, as it is written
        self._written: list[int] = []
        self._next = -1  # where the file stands: to be told so again makes it write what it has
        self._adopted = False

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
        if self._image.shape != self._shape:
            self._image = np.empty(self._shape, np.uint8)
        np.copyto(self._image, pixels)  # in half the time that `tobytes` of a transposed array takes
        if index != self._next:
            self._file.seek(HEADER_BYTES + index * self._image.size)
        self._file.write(self._image.data)
        self._next = index + 1
        self._written.append(index)

    @property
    def folder(self) -> Path:
        """Where the file is: a folder to write into meanwhile."""
        return self._path.parent

    def adopt(self, images: Path) -> None:
        """Take all images at once, from a finished file in `folder`; nothing more can be put then. Raises DataError."""
        try:
            found = np.load(images, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError):
            raise DataError(f"{images} was written but cannot be read back") from None
        if found.dtype != np.uint8 or found.ndim != 4 or found.shape[1] not in (1, 3):
            raise DataError(f"{images} was written but holds no images")
        images.replace(self._path)
        self._adopted = True

    def finish(self) -> None:
        """Write the header and wait for the disk. Raises RuntimeError when an image is missing."""
        if self._adopted:
            return
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
        self._file, self._shape = wide.open("w+b", BUFFER_BYTES), (channels, *old_shape[1:])
        self._written, self._next = [], -1
        size = int(np.prod(old_shape))
        with old:
            for index in indices:
                old.seek(HEADER_BYTES + index * size)
                self.put(index, np.frombuffer(old.read(size), np.uint8).reshape(old_shape))
        wide.replace(self._path)
