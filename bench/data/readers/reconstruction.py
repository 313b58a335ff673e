"""What the few names that a pickle may use stand for: arrays and numbers of numpy, byte strings, containers.

None of numpy's own functions for this is called. Each name stands for a function here that checks what it is
given and can do one thing only, so a pickle cannot reach anything that is not written in this file.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Data = bytes | memoryview

MAX_KEY_LENGTH = 1000
MAX_KEY_NUMBER = 1 << 31  # integers below it cannot be chosen so that they fill a dictionary with collisions

_NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_BYTE_ORDERS = ("<", ">", "|", b"<", b">", b"|")
_MAX_DIMENSIONS = 32


class Refused(Exception):
    """What is wrong with a pickle, to be read after its name.

    Nothing but text and numbers of the file is ever shown: a small file can hold lists that are endless to print.
    """


class Unbuilt:
    """An array or a type of number that was announced and gets its content from a BUILD instruction.

    dtype: the type announced; None for an array
    built: what it became
    """

    def __init__(self, dtype: "np.dtype[Any] | None") -> None:
        self.dtype = dtype
        self.built: NDArray[Any] | np.dtype[Any] | None = None

    def build(self, state: object) -> "NDArray[Any] | np.dtype[Any]":
        """Take the content. Raises Refused for anything but a plain array or type of number."""
        if self.built is not None or not isinstance(state, tuple):
            raise Refused("is damaged: it builds an array from something else")
        self.built = _array_of(state) if self.dtype is None else _dtype_of(self.dtype, state)
        return self.built


class Name:
    """A name that a pickle may use."""

    def __init__(self, make: Callable[[tuple[Any, ...]], Any] | None) -> None:
        self.make = make  # arguments -> what it stands for; None if it is no function


def find_name(module: object, name: object) -> Name:
    """What a name stands for. Raises Refused unless it is in the list."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise Refused("is damaged: it asks for something without a name")
    found = _NAMES.get((module, name))
    if found is None:
        asked = f"{module[:60]}.{name[:60]}"
        raise Refused(
            f"asks for {asked!r}: only arrays of numbers and plain containers are read, and nothing is executed"
        )
    return found


def key_of(value: object) -> str | int:
    """A key of a dictionary or member of a set: text, also where Python 2 wrote bytes, or a small integer."""
    if isinstance(value, Data) and len(value) <= MAX_KEY_LENGTH:
        return str(value, "latin1")
    if isinstance(value, str) and len(value) <= MAX_KEY_LENGTH:
        return value
    if isinstance(value, int) and abs(value) < MAX_KEY_NUMBER:
        return value
    raise Refused(f"has a dictionary or set with an unusual key ({type(value).__name__})")


def make_set(items: object) -> set[str | int]:
    """A set of text and small integers."""
    if not isinstance(items, list | tuple):
        raise Refused("is damaged: it makes a set of something that is no list")
    return {key_of(item) for item in items}


def _make_set(args: tuple[Any, ...]) -> set[str | int]:
    return make_set(*args) if args else set()


def _make_dict(args: tuple[Any, ...]) -> dict[str | int, Any]:
    """An OrderedDict: empty, or from the [key, value] pairs that Python 2 wrote."""
    pairs = args[0] if args else []
    if len(args) > 1 or not isinstance(pairs, list | tuple):
        raise Refused("is damaged: a dictionary of something that is no list of pairs")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Refused("is damaged: a dictionary of something that is no list of pairs")
    return {key_of(key): value for key, value in pairs}


def _make_bytes(args: tuple[Any, ...]) -> Data:
    """Bytes as protocols 0 to 2 hold them: in text of the characters 0 to 255."""
    if not args:
        return b""
    if len(args) == 1 and isinstance(args[0], Data):
        return args[0]
    if len(args) == 2 and isinstance(args[0], str) and args[1] in ("latin1", "latin-1"):
        return args[0].encode("latin1")
    raise Refused("is damaged: bytes of something that is no text")


def _make_array(args: tuple[Any, ...]) -> Unbuilt:
    """An array still without content; the size asked for here is always replaced later."""
    if not args or args[0] is not _NDARRAY:
        raise Refused("holds something like an array that is none")
    return Unbuilt(None)


def _make_dtype(args: tuple[Any, ...]) -> Unbuilt:
    code = args[0] if args else ""
    code = str(code, "latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or code not in _NUMBERS:
        kind = "objects" if isinstance(code, str) and code[:1] == "O" else "something else"
        raise Refused(f"holds an array of {kind}: only arrays of numbers are read")
    return Unbuilt(np.dtype(code))


def _make_number(args: tuple[Any, ...]) -> int | float | bool:
    """A single number of numpy's: (its type, its bytes)."""
    dtype, data = args
    number: int | float | bool = _view(data, dtype, (), "C").item()
    return number


def _make_from_buffer(args: tuple[Any, ...]) -> NDArray[Any]:
    """An array as protocol 5 holds it: (bytes, type, shape, order), and for "K" the order of the axes."""
    data, dtype, shape, order, *axes = args
    if order == "K" and len(axes) == 1:
        return _view(data, dtype, shape, "C").transpose(_integers(axes[0]))
    return _view(data, dtype, shape, order)


def _array_of(state: tuple[Any, ...]) -> NDArray[Any]:
    version, shape, dtype, fortran, data = state
    if version != 1:
        raise Refused("holds an array in an unknown way")
    return _view(data, dtype, shape, "F" if fortran else "C")


def _dtype_of(dtype: "np.dtype[Any]", state: tuple[Any, ...]) -> "np.dtype[Any]":
    """The type with its byte order; structured types, subarrays and metadata are refused."""
    version, order, *fields = state
    if version != 3 or len(fields) != 6 or any(field is not None for field in fields[:3]):
        raise Refused("holds an array of records: only arrays of numbers are read")
    if not isinstance(order, str | bytes) or order not in _BYTE_ORDERS:
        raise Refused("is damaged: an array of an unknown byte order")
    return dtype.newbyteorder(">" if order in (">", b">") else "<")  # "|", of single bytes, has none


def _view(data: object, dtype: object, shape: object, order: object) -> NDArray[Any]:
    """An array over bytes that are there already: a size that they do not have is refused, not allocated."""
    if not isinstance(dtype, np.dtype) or not isinstance(data, Data) or order not in ("C", "F"):
        raise Refused("is damaged: an array without bytes or without a type of number")
    sizes = _integers(shape)
    wanted = math.prod(sizes) * dtype.itemsize
    if wanted != len(data):
        raise Refused(f"is damaged: an array of {wanted:,} bytes is given {len(data):,}")
    return np.ndarray(sizes, dtype, data, order="F" if order == "F" else "C")


def _integers(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise Refused("is damaged: an array without a shape")
    for size in shape:
        if type(size) is not int or size < 0:
            raise Refused("is damaged: an array with an impossible shape")
    return shape


_NDARRAY = Name(None)
_NAMES: dict[tuple[str, str], Name] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Name(_make_dtype),
    ("_codecs", "encode"): Name(_make_bytes),
    ("collections", "OrderedDict"): Name(_make_dict),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = Name(_make_array)
    _NAMES[f"{_core}.multiarray", "scalar"] = Name(_make_number)
    _NAMES[f"{_core}.numeric", "_frombuffer"] = Name(_make_from_buffer)
for _builtins in ("__builtin__", "builtins"):  # Python 2 and Python 3
    _NAMES[_builtins, "set"] = _NAMES[_builtins, "frozenset"] = Name(_make_set)
    _NAMES[_builtins, "bytes"] = _NAMES[_builtins, "bytearray"] = Name(_make_bytes)
