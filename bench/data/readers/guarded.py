"""A guard around files from strangers: they are read in a process of its own, under limits that the system enforces.

What pickle, h5py and pyarrow do with a file that was made to do harm, or is damaged, is not ours to foresee: they may
take all memory, never end, or crash. Here that ends a process that holds nothing, and one line says which file
exceeded which limit. The process is given a description of the data set, writes the images into one .npy file, and
answers in JSON, which the caller checks. It knows no password: its environment is made anew.

Limits are the system's (`resource`); where it has none (Windows), only the time limit holds.
"""

import errno
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import Labels, Progress
from fewshot_bench.data.readers.faults import impostor, reason
from fewshot_bench.errors import BenchError, DataError, UsageError

if TYPE_CHECKING:
    from fewshot_bench.data.image_arrays import ImageArrays

MEMORY_BYTES = 1 << 30  # of a reader, and besides
MEMORY_FACTOR = 2  # times the largest file: a pickle's arrays are in memory as a whole, once as text and once as bytes
CPU_SECONDS = 20  # and besides
CPU_SECONDS_A_GIB = 300  # of files: half a million small PNG files a GiB are decoded in 100
WALL_FACTOR = 4  # times the processor time: disks may be slow
OUTPUT_BYTES = 64 << 30  # of the images as they are kept; tieredImageNet at 84×84 pixels has 16.5 GB
OPEN_FILES = 64
LONGEST_NAME = 4096  # of a file, of which a reader says that it reads it
ANSWER_BYTES = 256 << 20  # of a reader's answer: the class of each of 10,000,000 images, names and all

_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "HOME", "TZ")
_SUSPICION = "it is damaged, or made to do harm; what is read and how is in docs/data.md"
_ERRORS: dict[str, type[BenchError]] = {"DataError": DataError, "UsageError": UsageError}


@dataclass(frozen=True)
class Limits:
    """What a reader may take."""

    memory_bytes: int
    cpu_seconds: int
    output_bytes: int

    @property
    def wall_seconds(self) -> int:
        """From its start to its end."""
        return WALL_FACTOR * self.cpu_seconds


def limits_for(files: tuple[Path, ...]) -> Limits:
    """The limits for a reader of some files: a fixed part, and what honest files of their size need."""
    sizes = [path.stat().st_size for path in files if path.exists()]
    return Limits(
        MEMORY_BYTES + MEMORY_FACTOR * max(sizes, default=0),
        CPU_SECONDS + CPU_SECONDS_A_GIB * sum(sizes) // (1 << 30),
        OUTPUT_BYTES,
    )


def read(source: "ImageArrays", sink: ImageFile, image_size: int | None, progress: Progress) -> Labels:
    """What `source.fill` does, in a process with limits. Raises DataError or UsageError, in one line."""
    limits = limits_for(source.files)
    with tempfile.TemporaryDirectory(prefix="fewshot-bench-", dir=sink.folder) as folder:
        images = Path(folder) / "images.npy"
        labels = _answer(source, (images, image_size, limits), progress)
        sink.adopt(images)
    return labels


def _answer(source: "ImageArrays", task: tuple[Path, int | None, Limits], progress: Progress) -> Labels:
    limits = task[2]
    told: dict[str, Any] = {"reading": source.where}
    process = subprocess.Popen(
        [sys.executable, "-c", "from fewshot_bench.data.readers import guarded; guarded.serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    )
    assert process.stdin
    assert process.stdout
    started = time.monotonic()
    timer = Timer(limits.wall_seconds, process.kill)
    timer.start()
    try:
        with suppress(BrokenPipeError):
            pickle.dump((source, *task), process.stdin)
            process.stdin.close()
        _listen(process.stdout, progress, told)
        code = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    if error := told.get("error"):
        raise _ERRORS.get(str(error), DataError)(str(told.get("says")))
    if "labels" not in told or code:
        raise DataError(_ended(str(told["reading"])[:LONGEST_NAME], code, time.monotonic() - started, limits))
    return _labels(told["labels"], source.where)


def _environment() -> dict[str, str]:
    """What a reader is told of its surroundings: where its code is, one thread, and no secrets."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    once = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)  # "" is the working folder
    return kept | once | {"PYTHONPATH": path, "ARROW_DEFAULT_MEMORY_POOL": "system", "HDF5_PLUGIN_PATH": os.devnull}


def _listen(stream: IO[bytes], progress: Progress, told: dict[str, Any]) -> None:
    """Note what a reader says, up to its last word; nothing but the file that it was reading where it just ended."""
    while line := stream.readline(ANSWER_BYTES):
        try:
            said = dict(json.loads(line))
            if "progress" in said:
                text, done, total = said["progress"]
                progress(str(text), int(done), int(total))
                continue
        except (ValueError, TypeError, RecursionError):
            return
        told |= said


def _ended(where: str, code: int, seconds: float, limits: Limits) -> str:
    """Why a reader ended without an answer."""
    if seconds >= limits.wall_seconds or code == -getattr(signal, "SIGXCPU", 0):
        what = f"took more than {limits.cpu_seconds:,} s of processor time, or {limits.wall_seconds:,} s in all"
    elif code == -getattr(signal, "SIGKILL", 0):  # not by a fault of its own: those have signals of theirs
        return (
            f"{where}: its reader was killed, as the system does where memory is short: run the same command again; if "
            f"that happens again, {_SUSPICION}"
        )
    else:
        what = f"crashed its reader (exit code {code})"
    return f"{where} {what}: {_SUSPICION}"


def _labels(said: Any, where: str) -> Labels:
    """What a reader said of the images, checked."""
    try:
        names = tuple(str(name) for name in said["class_names"])
        counts = [int(count) for count in said["counts"]]
        parts = {str(part): tuple(int(c) for c in classes) for part, classes in said["parts"].items()}
        if len(counts) != len(names) or min(counts) < 1:
            raise ValueError
        class_ids = np.repeat(np.arange(len(names), dtype=np.int64), counts)
        left_out, turned = str(said["left_out"]), str(said["turned"])
        return Labels(str(said["note"]), class_ids, names, parts, left_out=left_out, turned=turned)
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError):
        raise DataError(f"{where}: its reader gave an invalid answer") from None


_starts: Callable[[str], None] | None = None  # of a reader, for its last words


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Read a file of arrays inside. Raises DataError unless it is a regular file that holds data.

    Whatever else a library raises of it is such a line, too; a lack of memory is the guard's to tell, who knows how
    much there was. kind: what it should be, "HDF5"
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is not a regular file")
        with path.open("rb") as file:
            if problem := impostor(file.read(512)):
                raise DataError(f"{path} {problem}")
        if _starts:
            _starts(str(path))
        yield
    except (BenchError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # of a damaged file the libraries raise nearly anything
        if strerror := getattr(error, "strerror", None):
            raise DataError(f"{path}: {strerror}") from None
        raise DataError(f"{path} is damaged or not a {kind} file ({reason(error)})") from None


def serve() -> None:
    """The reader's side: limits first, then one data set from standard input."""
    global _starts
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints is no answer
    source, images, image_size, limits = pickle.load(sys.stdin.buffer)  # our own words
    _limit(limits)
    file = source.where

    def starts(path: str) -> None:
        nonlocal file
        file = path
        _say(out, {"reading": file})

    _starts = starts
    try:
        with ImageFile(images) as sink:
            labels = source.fill(sink, image_size, lambda *said: _say(out, {"progress": said}))
            sink.finish()
        counts = np.bincount(labels.class_ids, minlength=len(labels.class_names)).tolist()
        named = {name: getattr(labels, name) for name in ("note", "class_names", "parts", "left_out", "turned")}
        _say(out, {"labels": named | {"counts": counts}})
    except (BenchError, MemoryError, OSError) as error:
        kind = type(error).__name__ if isinstance(error, BenchError) else "DataError"
        _say(out, {"error": kind, "says": _said(error, file, source.where, limits)})


def _said(error: BenchError | MemoryError | OSError, file: str, where: str, limits: Limits) -> str:
    """The line for what a reader raised. where: the data set"""
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{file} needs more than {limits.memory_bytes >> 20:,} MiB of memory to be read: {_SUSPICION}"
    if error.errno == errno.EFBIG and _is_held_to(limits):
        return f"{where} gave more than {limits.output_bytes:,} bytes of images: {_SUSPICION}"
    if error.filename is None and error.errno is not None:  # of the output: a full disk
        return f"the images of {where} cannot be written: {error.strerror}; make room, or set another BENCH_CACHE"
    return f"{error.filename or where}: {error.strerror or error}"


def _is_held_to(limits: Limits) -> bool:
    """Whether how much may be written is what we set, and no lower limit that was there before."""
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] == limits.output_bytes


def _say(out: IO[bytes], answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def _limit(limits: Limits) -> None:
    """Let the system hold this process to its limits, for good. Memory-mapped files do not count as memory."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for name, value in (
        ("RLIMIT_DATA", limits.memory_bytes),
        ("RLIMIT_CPU", limits.cpu_seconds),
        ("RLIMIT_FSIZE", limits.output_bytes),
        ("RLIMIT_NOFILE", OPEN_FILES),
        ("RLIMIT_CORE", 0),
    ):
        if (which := getattr(resource, name, None)) is not None:
            hard = value + (name == "RLIMIT_CPU")  # at the hard one the system kills without saying why
            most = resource.getrlimit(which)[1]  # what somebody set for all of us cannot be raised
            below = [n if most == resource.RLIM_INFINITY else min(n, most) for n in (value, hard)]
            resource.setrlimit(which, (below[0], below[1]))
