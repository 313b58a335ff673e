"""The instructions of a pickle, protocols 0 to 5, with their arguments.

Lengths are compared with what the file has left before anything is read, so a length that lies costs nothing.
Byte strings, and the strings of Python 2, are `bytes`, or views of the data when they are long.
"""

import codecs
import mmap
import pickle
import struct
from collections.abc import Callable, Iterator
from typing import Any

from fewshot_bench.data.readers.reconstruction import Data, Refused

_MAX_INTEGER_BYTES = 9  # 64 bits and a sign
_MAX_LINE = 300  # of numbers and names in text
_SHORT = 255  # bytes; longer byte strings are views

# What calls something that the file names, or needs something outside of the file.
_REFUSED = {
    getattr(pickle, name)[0]: name
    for name in (
        *("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"),
        *("PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"),
    )
}


class Stream:
    """Reads instructions one after the other; at: the byte that comes next."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self.at = 0
        self._data, self._view = data, memoryview(data)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Yield (instruction, its argument) without end: whoever follows them stops at STOP.

        Raises Refused for what is truncated, no instruction, or one that could execute something.
        """
        view, readers = self._view, READERS
        while True:
            start = self.at
            if start >= len(view):
                raise Refused("is truncated: it ends too early")
            code = view[start]
            self.at = start + 1
            read = readers.get(code)
            if read is not None:
                yield code, read(self)
            elif code in _WITHOUT_ARGUMENT:
                yield code, None
            elif code in _REFUSED:
                raise Refused(f"uses the pickle instruction {_REFUSED[code]}, which arrays do not need: not executed")
            elif start == 0:
                raise Refused(f"is not a pickle (its first byte is 0x{code:02x})")
            else:
                raise Refused(f"is a damaged pickle (at byte {start:,})")

    def number(self, size: int, signed: bool = False) -> int:
        """The integer in the next bytes."""
        return int.from_bytes(self._take(size), "little", signed=signed)

    def byte(self) -> int:
        """The next byte as a number."""
        at = self.at
        if at >= len(self._view):
            raise Refused("is truncated: it ends too early")
        self.at = at + 1
        return self._view[at]

    def integer(self, size: int) -> int:
        """An integer of any size, as long as it is a sensible one."""
        if size > _MAX_INTEGER_BYTES:
            raise Refused(f"holds an integer of {size:,} bytes")
        return self.number(size, signed=True)

    def double(self) -> float:
        """A float in eight bytes."""
        value: float = struct.unpack(">d", self._take(8))[0]
        return value

    def text(self, prefix: int) -> str:
        """Text after its length, which is in `prefix` bytes."""
        return str(self._take(self.number(prefix)), "utf-8", "surrogatepass")

    def data(self, prefix: int, signed: bool = False) -> Data:
        """Bytes after their length, which is in `prefix` bytes."""
        data = self._take(self.number(prefix, signed))
        return bytes(data) if len(data) <= _SHORT else data

    def line(self, longest: int = _MAX_LINE) -> bytes:
        """The bytes up to the end of the line."""
        end = self._data.find(b"\n", self.at, self.at + longest)
        if end < 0:
            raise Refused("is truncated or has an overlong line")
        line = bytes(self._view[self.at : end])
        self.at = end + 1
        return line

    def decimal(self) -> int:
        """An integer, or a boolean, written as text."""
        line = self.line(30).removesuffix(b"L")
        return line == b"01" if line in (b"00", b"01") else int(line)

    def name(self) -> tuple[str, str]:
        """Module and name, a line each."""
        return str(self.line(), "utf-8"), str(self.line(), "utf-8")

    def quoted(self) -> bytes:
        """A string of Python 2 as its source code would have it."""
        line = self.line(len(self._view))
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise Refused("is damaged: a string without its quotes")
        data: bytes = codecs.escape_decode(line[1:-1])[0]
        return data

    def escaped(self) -> str:
        """Text with its special characters escaped."""
        return str(self.line(len(self._view)), "raw-unicode-escape")

    def protocol(self) -> None:
        """The announcement of the protocol, which changes nothing."""
        if (protocol := self.number(1)) > pickle.HIGHEST_PROTOCOL:
            raise Refused(f"is a pickle of the unknown protocol {protocol}")

    def frame(self) -> None:
        """The announcement of a frame, which changes nothing."""
        if self.number(8) > len(self._view) - self.at:
            raise Refused("is truncated: a frame goes beyond its end")

    def _take(self, size: int) -> memoryview:
        end = self.at + size
        if not self.at <= end <= len(self._view):
            raise Refused("is truncated: it ends too early")
        taken = self._view[self.at : end]
        self.at = end
        return taken


_Reader = Callable[[Stream], Any]


def _by_code(readers: dict[bytes, _Reader]) -> dict[int, _Reader]:
    return {code[0]: read for code, read in readers.items()}


VALUES = _by_code(  # instructions that push their argument
    {
        pickle.NONE: lambda _: None,
        pickle.NEWTRUE: lambda _: True,
        pickle.NEWFALSE: lambda _: False,
        pickle.BININT1: Stream.byte,
        pickle.BININT2: lambda s: s.number(2),
        pickle.BININT: lambda s: s.number(4, signed=True),
        pickle.LONG1: lambda s: s.integer(s.byte()),
        pickle.LONG4: lambda s: s.integer(s.number(4)),
        pickle.INT: Stream.decimal,
        pickle.LONG: Stream.decimal,
        pickle.FLOAT: lambda s: float(s.line()),
        pickle.BINFLOAT: Stream.double,
        pickle.STRING: Stream.quoted,
        pickle.SHORT_BINSTRING: lambda s: s.data(1),
        pickle.BINSTRING: lambda s: s.data(4, signed=True),
        pickle.SHORT_BINBYTES: lambda s: s.data(1),
        pickle.BINBYTES: lambda s: s.data(4),
        pickle.BINBYTES8: lambda s: s.data(8),
        pickle.BYTEARRAY8: lambda s: s.data(8),
        pickle.UNICODE: Stream.escaped,
        pickle.SHORT_BINUNICODE: lambda s: s.text(1),
        pickle.BINUNICODE: lambda s: s.text(4),
        pickle.BINUNICODE8: lambda s: s.text(8),
        pickle.EMPTY_LIST: lambda _: [],
        pickle.EMPTY_DICT: lambda _: {},
        pickle.EMPTY_SET: lambda _: set(),
        pickle.EMPTY_TUPLE: lambda _: (),
    }
)
READERS = VALUES | _by_code(
    {
        pickle.PROTO: Stream.protocol,
        pickle.FRAME: Stream.frame,
        pickle.GLOBAL: Stream.name,
        pickle.GET: Stream.decimal,
        pickle.BINGET: Stream.byte,
        pickle.LONG_BINGET: lambda s: s.number(4),
        pickle.PUT: Stream.decimal,
        pickle.BINPUT: Stream.byte,
        pickle.LONG_BINPUT: lambda s: s.number(4),
        pickle.TUPLE1: lambda _: 1,
        pickle.TUPLE2: lambda _: 2,
        pickle.TUPLE3: lambda _: 3,
    }
)
_WITHOUT_ARGUMENT = frozenset(
    code[0]
    for code in (
        *(pickle.MARK, pickle.STOP, pickle.POP, pickle.POP_MARK, pickle.DUP, pickle.MEMOIZE),
        *(pickle.LIST, pickle.DICT, pickle.TUPLE, pickle.FROZENSET),
        *(pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.ADDITEMS),
        *(pickle.REDUCE, pickle.BUILD, pickle.STACK_GLOBAL),
    )
)
