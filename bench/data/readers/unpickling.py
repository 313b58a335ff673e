"""Reads pickles of arrays, numbers, text and containers: Python's own unpickler, with a list of what a file may name.

Python's unpickler imports and calls whatever a file names, so opening a pickle from elsewhere means running its
author's program. Here a file may name what numpy's arrays and plain containers need, and nothing else. numpy's own
functions are not called either: they believe what they are told of a type's inside, so that bytes of the file can pass
for objects in memory. The few stand-ins below check it. Memory and time are the guard's: see `guarded`.
"""

import codecs
import math
import mmap
import pickle
import warnings
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fewshot_bench.data.readers.faults import reason
from fewshot_bench.data.readers.guarded import reading
from fewshot_bench.errors import DataError

_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
LONG_BYTES = 1 << 20
MOST_DIMENSIONS, MOST_NUMBERS = 32, 2**48  # of an array, even of an empty one
_CONTAINERS = (set, frozenset, bytes, bytearray)


def unpickle(path: Path) -> Any:
    """The content of a pickle: None, numbers, str, bytes, lists, tuples, dicts, sets and arrays of numbers.

    The strings of Python 2 are `bytes`; keys of the outermost dictionary, and of those in it, are str where they were
    bytes. Callers check the types of what they get. What follows the end of the pickle is ignored. Raises DataError, in
    one line that names the file, for all else.
    """
    with reading(path, "pickle"), path.open("rb") as file:
        return unpickle_from(_Mapped(file), str(path))


def unpickle_from(file: "IO[bytes] | _Mapped", where: str) -> Any:
    """The same for an open file; where: its name in messages."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in strings of Python 2
            content = _Unpickler(file, encoding="bytes").load()
    except _Refused as refused:
        raise DataError(f"{where} {refused}") from None
    except MemoryError:  # the guard knows how much there was
        raise
    except Exception as error:  # noqa: BLE001  # of a damaged pickle the unpickler raises nearly anything
        what = "is not a pickle, or a damaged one" if "invalid load key" in str(error) else "is a damaged pickle"
        raise DataError(f"{where} {what} ({reason(error)})") from None
    if isinstance(content, _Type | _Name):
        raise DataError(f"{where} is a damaged pickle (it ends with something unfinished)")
    return _with_text_keys(content, 2)


class _Refused(Exception):
    """What is wrong with a pickle, to be read after its name."""


class _Mapped:
    """A file whose long pieces are views of the mapped file: what is read only to be decoded takes no memory."""

    def __init__(self, file: BufferedReader) -> None:
        self.peek, self.readline, self.readinto = file.peek, file.readline, file.readinto
        self._file = file
        self._content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def read(self, size: int) -> Any:  # bytes, or a view of them
        """The next bytes, as few as there are."""
        if size < LONG_BYTES:
            return self._file.read(size)
        start = self._file.tell()
        piece = self._content[start : start + size]
        self._file.seek(start + len(piece))
        return piece


class _Name:
    """What a name in a pickle stands for: it can be called, and nothing in it can be set."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise _Refused("sets the state of something that is not an array, which is refused")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for. Raises _Refused unless it is in the list."""
        if (module, name) not in _NAMES:
            asked = f"{module[:60]}.{name[:60]}"
            raise _Refused(
                f"asks for {asked!r}: only arrays of numbers and plain containers are read, and nothing is executed"
            )
        return _NAMES[module, name]

    def persistent_load(self, _: Any) -> Any:
        raise _Refused("refers to something outside of it: only arrays of numbers and plain containers are read")


class _Array(np.ndarray):
    """An array that gets its content from a BUILD instruction, once, from bytes that are there."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, fortran, data = state
        if version != 1 or self.ndim or self.dtype != np.uint8:
            raise _Refused("holds an array in an unknown form")
        sizes, kind = _shape(shape), _kind(dtype)
        _check_size(sizes, kind, data)
        super().__setstate__((1, sizes, kind, bool(fortran), bytes(data)))  # type: ignore[arg-type]  # stubs: np.bool


class _Type:
    """A type of number that gets its byte order from a BUILD instruction."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        code = str(code, "latin1") if isinstance(code, bytes) else code
        if not isinstance(code, str) or code not in _NUMBERS:
            kind = "objects" if isinstance(code, str) and code[:1] == "O" else "something else"
            raise _Refused(f"holds an array of {kind}: only arrays of numbers are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        version, order, *fields = state
        if version != 3 or len(fields) != 6 or any(field is not None for field in fields[:3]):
            raise _Refused("holds an array of records: only arrays of numbers are read")
        self.dtype = self.dtype.newbyteorder(">" if order in (">", b">") else "<")  # "|", of single bytes, has none


def _reconstruct(kind: Any, *_: Any) -> NDArray[Any]:
    """An array still without content; the size asked for here is always replaced later."""
    if kind is not _ndarray:
        raise _Refused("holds an object that only looks like an array")
    return np.zeros((), np.uint8).view(_Array)


def _scalar(dtype: Any, data: Any) -> Any:
    kind = _kind(dtype)
    _check_size((), kind, data)
    return np.frombuffer(data, kind)[0].item()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> NDArray[Any]:
    """An array as protocol 5 holds it; for the order "K" with the order of its axes."""
    kind, sizes = _kind(dtype), _shape(shape)
    _check_size(sizes, kind, data)
    array = np.frombuffer(data, kind)
    if order == "K" and axes is not None:
        return array.reshape(sizes).transpose(axes)
    return array.reshape(sizes, order="F" if order == "F" else "C")


def _encode(text: str = "", encoding: str = "latin1") -> bytes:
    """Bytes as protocols 0 to 2 hold them: in text of the characters 0 to 255."""
    if encoding not in ("latin1", "latin-1"):
        raise _Refused("is damaged: bytes made of something that is not text")
    return codecs.encode(text, "latin1")


def _plain(kind: type) -> Callable[..., Any]:
    """A container's constructor that takes a container, and no number that would be its size."""

    def make(*items: Any) -> Any:
        if len(items) == 2 and kind in (bytes, bytearray):
            return _encode(*items)
        if len(items) > 1 or not all(isinstance(item, list | tuple | set | frozenset | bytes) for item in items):
            raise _Refused("is damaged: a container made of something that is not one")
        return kind(*items)

    return make


def _kind(dtype: Any) -> "np.dtype[Any]":
    if not isinstance(dtype, _Type):
        raise _Refused("is damaged: an array without a type of number")
    return dtype.dtype


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise _Refused("is damaged: an array with an impossible shape")
    if math.prod(n or 1 for n in shape) > MOST_NUMBERS:
        raise _Refused("is damaged: an array with an impossible shape")
    return shape


def _check_size(shape: tuple[int, ...], kind: "np.dtype[Any]", data: Any) -> None:
    """A size that the bytes do not have is refused, not allocated."""
    if not isinstance(data, bytes | bytearray):
        raise _Refused("is damaged: an array without bytes")
    if (wanted := kind.itemsize * math.prod(shape)) != len(data):
        raise _Refused(f"is damaged: an array of {wanted:,} bytes is given {len(data):,}")


def _with_text_keys(content: Any, depth: int) -> Any:
    if not isinstance(content, dict) or not depth:
        return content
    return {
        str(key, "latin1") if isinstance(key, bytes) else key: _with_text_keys(value, depth - 1)
        for key, value in content.items()
    }


def _no_function(*_: Any) -> Any:
    raise _Refused("holds an object that only looks like an array")


_ndarray = _Name(_no_function)
_NAMES: dict[tuple[str, str], _Name] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Name(_Type),
    ("_codecs", "encode"): _Name(_encode),
    ("collections", "OrderedDict"): _Name(dict),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Name(_reconstruct)
    _NAMES[f"{_core}.multiarray", "scalar"] = _Name(_scalar)
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _Name(_from_buffer)
for _builtins in ("__builtin__", "builtins"):  # Python 2 and Python 3
    for _container in _CONTAINERS:
        _NAMES[_builtins, _container.__name__] = _Name(_plain(_container))
