"""Reads pickles of arrays, numbers, text and containers without executing anything.

Python's unpickler imports and calls whatever a file names, so opening a pickle from elsewhere means running
its author's program. This is a machine of its own for the instructions of protocols 0 to 5. It imports
nothing, looks no attribute up and calls nothing that a file names: the names that numpy's arrays need are in
`reconstruction`, all others are refused. Arrays are views of the mapped file and are not copied (except from
protocols 0 to 2 written by Python 3, which hide bytes in text), so no length in a file makes it allocate more
than the file holds.
"""

import mmap
import pickle
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewshot_bench.data.readers.faults import impostor, reason
from fewshot_bench.data.readers.pickle_stream import VALUES, Stream
from fewshot_bench.data.readers.reconstruction import Data, Name, Refused, Unbuilt, find_name, key_of, make_set
from fewshot_bench.errors import DataError

MAX_FILE_BYTES = 8 << 30  # miniImageNet's 38,400 images have 0.8 GB, four times that as escaped text
MAX_STEPS = 700_000  # instructions, of a large file; 38,400 labels take 17 each where they take most
FEWEST_STEPS = 250_000  # of a small one
BYTES_PER_STEP = 100  # for each of which there is one more: the images are what makes a file large

_STOP, _MARK = pickle.STOP[0], pickle.MARK[0]
_COSTLY_STEPS = 3  # that these count for more: they are slow or need memory, and a data set has few of them
_COSTLY = frozenset(
    code[0]
    for code in (
        *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.EMPTY_SET, pickle.FROZENSET),
        *(pickle.BINSTRING, pickle.BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8),
    )
)
_PUTS = frozenset((pickle.PUT[0], pickle.BINPUT[0], pickle.LONG_BINPUT[0]))


def unpickle(path: Path, max_bytes: int = MAX_FILE_BYTES, max_steps: int = MAX_STEPS) -> Any:
    """The content of a pickle: None, numbers, str, byte strings, lists, tuples, dicts, sets and arrays.

    max_bytes: largest file that is read; max_steps: most instructions that are followed
    Byte strings, and the strings of Python 2, are `bytes`, or views of the file when longer than 255 bytes;
    keys of dictionaries and members of sets are always str (from latin-1) or int. Arrays are read-only, of
    booleans, integers or floats. Callers check the types of what they get. What follows the end of the pickle
    is ignored. Raises DataError, in one line that names the file, for all else.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is not a regular file")
        if status.st_size > max_bytes:
            raise DataError(f"{path} is larger than {max_bytes / (1 << 20):,.0f} MiB")
        with path.open("rb") as file:
            if problem := impostor(file.read(512)):
                raise DataError(f"{path} {problem}")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return unpickle_data(data, str(path), max_steps)


def unpickle_data(data: mmap.mmap | bytes, where: str, max_steps: int = MAX_STEPS) -> Any:
    """The same for a pickle in memory; where: its name in messages."""
    stream = Stream(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # odd escapes in strings of Python 2
            return _Machine(len(data), max_steps).follow(stream)
    except Refused as refused:
        raise DataError(f"{where} {refused}") from None
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{where} is a damaged pickle (near byte {stream.at:,}: {reason(error)[:100]})") from None


class _Machine:
    """The stack and memo of one pickle. A mark puts the stack aside, so nothing below it can be reached."""

    def __init__(self, size: int, max_steps: int) -> None:
        self._stack: list[Any] = []
        self._aside: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps_left = min(max_steps, FEWEST_STEPS + size // BYTES_PER_STEP)
        self._bytes_left = 2 * size + (1 << 20)  # to give to names: a memo must not multiply the work

    def follow(self, stream: Stream) -> Any:
        """Follow the instructions to the end and give what is on top of the stack then."""
        for code, argument in stream:
            self._steps_left -= 1
            if self._steps_left < 0 or code in _COSTLY:
                self._spend(_COSTLY_STEPS)
            if code in VALUES:
                self._stack.append(argument)
            elif code == _MARK:
                self._aside.append(self._stack)
                self._stack = []
            elif code in _PUTS:
                self._memo[argument] = self._stack[-1]
            elif code == _STOP:
                break
            else:
                _INSTRUCTIONS[code](self, argument)
        result = self._stack.pop()
        if isinstance(result, Name | Unbuilt):
            raise Refused("is damaged: it ends with something unfinished")
        return result

    def _spend(self, steps: int, size: int = 0) -> None:
        self._steps_left -= steps
        self._bytes_left -= size
        if self._steps_left < 0 or self._bytes_left < 0:
            raise Refused("has more instructions than any data set of its size needs")

    def _above_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._aside.pop()
        return items

    def _last(self, kind: type[Any]) -> Any:
        last = self._stack[-1]
        if type(last) is not kind:
            raise Refused(f"is damaged: it uses a {type(last).__name__} as a {kind.__name__}")
        return last

    def _announcement(self, _: None) -> None:
        pass  # PROTO and FRAME, which the stream has checked

    def _pop(self, _: None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._above_mark()  # a mark that lies on top

    def _pop_mark(self, _: None) -> None:
        self._above_mark()

    def _dup(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def _memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        """Give what was put there; what was built since, as it is now."""
        value = self._memo[index]
        built = value.built if type(value) is Unbuilt else None
        self._stack.append(value if built is None else built)

    def _tuple_of(self, size: int) -> None:
        if size > len(self._stack):
            raise Refused("is damaged: a tuple of more than there is")
        self._stack[-size:] = [tuple(self._stack[-size:])]

    def _make_list(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append(items)

    def _make_tuple(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append(tuple(items))

    def _make_frozenset(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append(make_set(items))

    def _make_dict(self, _: None) -> None:
        items = self._above_mark()
        self._stack.append({})
        self._set(items)

    def _append(self, _: None) -> None:
        item = self._stack.pop()
        self._last(list).append(item)

    def _appends(self, _: None) -> None:
        items = self._above_mark()
        self._last(list).extend(items)

    def _add_items(self, _: None) -> None:
        items = self._above_mark()
        self._last(set).update(make_set(items))

    def _set_item(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def _set_items(self, _: None) -> None:
        self._set(self._above_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def _global(self, name: tuple[object, object]) -> None:
        self._stack.append(find_name(*name))

    def _stack_global(self, _: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._global((module, name))

    def _reduce(self, _: None) -> None:
        """What a name stands for, given its arguments."""
        args = self._stack.pop()
        name = self._stack.pop()
        if type(name) is not Name or type(args) is not tuple or name.make is None:
            raise Refused("is damaged: it calls something that is no function")
        for argument in args:
            if isinstance(argument, str | Data):
                self._spend(0, len(argument))
            elif isinstance(argument, list | tuple):
                self._spend(len(argument))
        self._stack.append(name.make(args))

    def _build(self, _: None) -> None:
        """The content of an array or type of number; nothing else has any."""
        state = self._stack.pop()
        target = self._stack.pop()
        if type(target) is not Unbuilt:
            raise Refused("sets the inside of something that is no array: not done")
        self._stack.append(target.build(state))


_METHODS: dict[bytes, Callable[[_Machine, Any], None]] = {
    pickle.PROTO: _Machine._announcement,
    pickle.FRAME: _Machine._announcement,
    pickle.POP: _Machine._pop,
    pickle.POP_MARK: _Machine._pop_mark,
    pickle.DUP: _Machine._dup,
    pickle.MEMOIZE: _Machine._memoize,
    pickle.GET: _Machine._get,
    pickle.BINGET: _Machine._get,
    pickle.LONG_BINGET: _Machine._get,
    pickle.TUPLE1: _Machine._tuple_of,
    pickle.TUPLE2: _Machine._tuple_of,
    pickle.TUPLE3: _Machine._tuple_of,
    pickle.LIST: _Machine._make_list,
    pickle.TUPLE: _Machine._make_tuple,
    pickle.FROZENSET: _Machine._make_frozenset,
    pickle.DICT: _Machine._make_dict,
    pickle.APPEND: _Machine._append,
    pickle.APPENDS: _Machine._appends,
    pickle.ADDITEMS: _Machine._add_items,
    pickle.SETITEM: _Machine._set_item,
    pickle.SETITEMS: _Machine._set_items,
    pickle.GLOBAL: _Machine._global,
    pickle.STACK_GLOBAL: _Machine._stack_global,
    pickle.REDUCE: _Machine._reduce,
    pickle.BUILD: _Machine._build,
}
_INSTRUCTIONS = {code[0]: method for code, method in _METHODS.items()}
