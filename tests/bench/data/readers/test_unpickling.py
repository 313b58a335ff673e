"""Pickles are read without executing anything: what is written in the wild comes back, all else is refused.

The hostile files come in two corpora. Those of EXECUTING make a file when Python's own unpickler opens them,
which a test proves, so that the others prove something. Those of CRAFTED are written instruction by instruction.
"""

import codecs
import collections
import functools
import importlib
import io
import marshal
import operator
import os
import pathlib
import pickle
import resource
import runpy
import shutil
import struct
import subprocess
import sys
import time
import timeit
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fewshot_bench.data.formats.pickled_values import images_of
from fewshot_bench.data.readers.unpickling import unpickle, unpickle_from
from fewshot_bench.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Call:
    """Pickles as a call of a function; itself usable as the function of another call."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __call__(self):
        raise AssertionError("only its pickle is called")

    def __reduce__(self):
        return self.reduced


def call(function, *args):
    return Call(function, args)


def script(sentinel: Path) -> str:
    return f"open({str(sentinel)!r}, 'w').close()"


def in_object_array(item):
    array = np.empty(1, object)
    array[0] = item
    return array


def in_record(item):
    record = np.zeros(1, [("a", object)])
    record["a"][0] = item
    return record


def saved_by_numpy(at: Path):
    np.save(at.with_suffix(".npy"), in_object_array(touching(at)), allow_pickle=True)
    return call(np.load, str(at.with_suffix(".npy")), None, True)


def written_script(at: Path):
    at.with_suffix(".py").write_text(script(at))
    return call(runpy.run_path, str(at.with_suffix(".py")))


def touching(at: Path):
    return call(os.system, f"touch {at}")


# the path of a file that must not appear -> an object whose pickle makes it
EXECUTING = {
    "os.system": touching,
    "os.mkdir": lambda at: call(os.mkdir, str(at)),
    "subprocess.call": lambda at: call(subprocess.call, ["touch", str(at)]),
    "subprocess.check_output": lambda at: call(subprocess.check_output, ["touch", str(at)]),
    "subprocess.run": lambda at: call(subprocess.run, ["touch", str(at)]),
    "eval": lambda at: call(eval, script(at)),
    "exec": lambda at: call(exec, script(at)),
    "open": lambda at: call(open, str(at), "w"),
    "exec of compile": lambda at: call(exec, call(compile, script(at), "x", "exec")),
    "getattr of __import__": lambda at: call(call(getattr, call(__import__, "os"), "mkdir"), str(at)),
    "getattr of import_module": lambda at: call(call(getattr, call(importlib.import_module, "os"), "mkdir"), str(at)),
    "functools.partial": lambda at: call(functools.partial(os.mkdir, str(at))),
    "functools.reduce": lambda at: call(functools.reduce, operator.add, call(list, call(map, os.mkdir, [str(at)]))),
    "operator.attrgetter": lambda at: call(
        call(operator.attrgetter("mkdir"), call(importlib.import_module, "os")), str(at)
    ),
    "operator.methodcaller": lambda at: call(operator.methodcaller("touch"), pathlib.PosixPath(at)),
    "pathlib.Path.touch": lambda at: call(pathlib.Path.touch, pathlib.PosixPath(at)),
    "codecs.open": lambda at: call(codecs.open, str(at), "w"),
    "shutil.copy": lambda at: call(shutil.copy, __file__, str(at)),
    "list of map": lambda at: call(list, call(map, os.mkdir, [str(at)])),
    "set of map": lambda at: call(set, call(map, os.mkdir, [str(at)])),
    "types.FunctionType": lambda at: call(
        call(
            call(getattr, call(__import__, "types"), "FunctionType"),
            call(marshal.loads, marshal.dumps(compile(script(at), "x", "exec"))),
            {},
        )
    ),
    "pickle.loads": lambda at: call(pickle.loads, pickle.dumps(touching(at))),
    "timeit": lambda at: call(timeit.timeit, script(at), "pass", timeit.default_timer, 1),
    "runpy": written_script,
    "numpy.load": saved_by_numpy,
    "numpy.savetxt": lambda at: call(np.savetxt, str(at), [1]),
    "numpy.memmap": lambda at: call(np.memmap, str(at), "u1", "w+", 0, (4,)),
    "numpy.ndarray.tofile": lambda at: call(np.ndarray.tofile, np.zeros(3), str(at)),
    "numpy.frompyfunc": lambda at: call(call(np.frompyfunc, exec, 1, 1), script(at)),
    "object array": lambda at: in_object_array(touching(at)),
    "record with an object": lambda at: in_record(touching(at)),
    "nested containers": lambda at: {"data": [({"a": (1, [touching(at)])},)], "labels": []},
    "beside good data": lambda at: {"data": np.zeros((2, 4, 4, 3), "u1"), "labels": [0, touching(at)]},
    "key of a dictionary": lambda at: {touching(at): 1},
    "in an OrderedDict": lambda at: collections.OrderedDict(data=touching(at)),
    "state setter": lambda at: Call(str, (script(at),), {}, None, None, eval),
    "state of an OrderedDict": lambda at: Call(collections.OrderedDict, (), touching(at)),
    "list items": lambda at: Call(collections.deque, (), None, iter([touching(at)])),
    "dictionary items": lambda at: Call(collections.OrderedDict, (), None, None, iter([("a", touching(at))])),
}


def unpickle_data(data, where):
    return unpickle_from(io.BytesIO(data), where)


def opened(data: bytes):
    """What a layout does first with a file."""
    return images_of(unpickle_data(data, "set.pkl"), "data", Path("set.pkl"))


def refused(data: bytes) -> str:
    """The message; the processor's time, as the clock would measure what else the machine does."""
    before = time.process_time()
    with pytest.raises(DataError) as error:
        opened(data)
    assert time.process_time() - before < 1
    message = str(error.value)
    assert message.startswith("set.pkl")
    assert "\n" not in message
    assert len(message) < 400
    return message


LOAD_ALL = """
import pickle, sys
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            pickle.load(file)
    except Exception:
        pass
"""


def test_the_corpus_executes_where_nothing_prevents_it(tmp_path):
    assert len(EXECUTING) >= 25
    made, files = {}, []
    for name, payload in EXECUTING.items():
        for protocol in PROTOCOLS:
            made[name, protocol] = tmp_path / f"made{len(made)}"
            files.append(tmp_path / f"file{len(made)}")
            files[-1].write_bytes(pickle.dumps(payload(made[name, protocol]), protocol))
    subprocess.run([sys.executable, "-c", LOAD_ALL, *files], check=True, capture_output=True, timeout=600)
    assert [key for key, path in made.items() if not path.exists()] == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("payload", EXECUTING)
def test_nothing_is_executed(tmp_path, payload, protocol):
    data = pickle.dumps(EXECUTING[payload](tmp_path / "made"), protocol)
    with pytest.raises(DataError):
        unpickle_data(data, "set.pkl")
    refused(data)
    assert not (tmp_path / "made").exists()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def laughs(last: bytes = b"") -> bytes:
    """Forty lists, each of ten times the one before: 10**40 items in 2 KB."""
    return b"(lp0\n0" + b"".join(b"(" + b"g%d\n" % i * 10 + b"lp%d\n0" % (i + 1) for i in range(40)) + last


U1 = b"cnumpy\ndtype\n(" + text("u1") + b"I00\nI01\ntR"
U1_BUILT = U1 + b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
ORDERED = b"ccollections\nOrderedDict\n)R"
COMMAND = b"S'touch made'\n"
BOMB_STEPS = 260_000


def array(shape: bytes, dtype: bytes = U1_BUILT, data: bytes = b"U\x04abcd") -> bytes:
    return EMPTY_ARRAY + b"(K\x01" + shape + dtype + b"I00\n" + data + b"tb"


# name -> (the instructions without their protocol, a piece of the message)
CRAFTED = {
    "INST": (b"(" + COMMAND + b"ios\nsystem\n.", "os.system"),
    "OBJ": (b"(cos\nsystem\n" + COMMAND + b"o.", "os.system"),
    "OBJ of an allowed name": (b"(cnumpy\nndarray\nK\x01o.", "like an array"),
    "NEWOBJ": (b"cnumpy\nndarray\nK\x01\x85\x81.", "NEWOBJ"),
    "NEWOBJ_EX": (b"cnumpy\nndarray\nK\x01\x85}\x92.", "NEWOBJ_EX"),
    "GLOBAL": (b"cposix\nsystem\n(" + COMMAND + b"tR.", "posix.system"),
    "GLOBAL, dotted": (b"cnumpy\nndarray.tofile\n.", "ndarray.tofile"),
    "GLOBAL, dotted module": (b"cnumpy.lib.npyio\nload\n.", "npyio.load"),
    "GLOBAL of _codecs": (b"c_codecs\nlookup\n(" + text("os") + b"tR.", "_codecs.lookup"),
    "GLOBAL of builtins": (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
    "GLOBAL of __builtin__": (b"c__builtin__\neval\n.", "__builtin__.eval"),
    "GLOBAL, odd letters": (b"c\x1b[2Jos\nsyst\x00em\n.", "asks for"),
    "GLOBAL, not UTF-8": (b"c\xff\xfe\nx\n.", "damaged"),
    "STACK_GLOBAL": (text("os") + text("system") + b"\x93(" + COMMAND + b"tR.", "os.system"),
    "STACK_GLOBAL, dotted": (text("numpy") + text("ndarray.dump") + b"\x93.", "ndarray.dump"),
    "STACK_GLOBAL of numbers": (b"K\x01K\x02\x93.", "damaged"),
    "STACK_GLOBAL of endless lists": (laughs(b"g40\n" * 2 + b"\x93."), "damaged"),
    "multiarray.fromfile": (b"cnumpy.core.multiarray\nfromfile\n.", "multiarray.fromfile"),
    "multiarray.frombuffer": (b"cnumpy._core.multiarray\nfrombuffer\n.", "multiarray.frombuffer"),
    "multiarray.set_typeDict": (b"cnumpy.core.multiarray\nset_typeDict\n.", "set_typeDict"),
    "memmap": (b"cnumpy\nmemmap\n.", "numpy.memmap"),
    "_reconstruct of a memmap": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmemmap\n(K\x00tU\x01btR.",
        "numpy.memmap",
    ),
    "_reconstruct of a dtype": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tU\x01btR.",
        "like an array",
    ),
    "EXT1": (b"\x82\x01.", "extension code"),
    "EXT2": (b"\x83\x01\x01.", "extension code"),
    "EXT4": (b"\x84\x01\x01\x01\x01.", "extension code"),
    "PERSID": (b"Pmade\n.", "outside of it"),
    "BINPERSID": (b"K\x01Q.", "outside of it"),
    "NEXT_BUFFER": (b"\x97.", "out-of-band"),
    "READONLY_BUFFER": (b"C\x01a\x98.", "holds a bytes"),
    "BUILD, __class__": (ORDERED + b"}" + text("__class__") + b"K\x01sb.", "damaged"),
    "BUILD, __dict__": (ORDERED + b"}" + text("__dict__") + b"}sb.", "damaged"),
    "BUILD, __setstate__": (ORDERED + b"}" + text("__setstate__") + b"cos\nsystem\nsb" + COMMAND + b"b.", "os.sys"),
    "BUILD, slots": (ORDERED + b"N}" + text("clear") + b"K\x01s\x86b.", "read-only"),
    "BUILD of a list": (b"]K\x01b.", "damaged"),
    "BUILD of a class": (b"cnumpy\nndarray\n}" + text("__reduce__") + b"Nsb.", "the state of"),
    "BUILD of an array, twice": (
        array(b"(K\x04t") + b"(K\x01(K\x04t" + U1_BUILT + b"I00\nU\x04abcdtb.",
        "unknown form",
    ),
    "BUILD of an array in the memo": (
        EMPTY_ARRAY + b"q\x000" + (b"h\x00(K\x01(K\x04t" + U1_BUILT + b"I00\nU\x04abcdtb") * 2 + b".",
        "unknown form",
    ),
    "REDUCE of a list": (b"](tR.", "not callable"),
    "REDUCE of a class": (b"cnumpy\nndarray\n(K\x04tR.", "like an array"),
    "REDUCE without a tuple": (b"ccollections\nOrderedDict\n]R.", "must be a tuple"),
    "object array": (
        array(b"(K\x01t", b"cnumpy\ndtype\n(" + text("O8") + b"I00\nI01\ntR", b"(lcos\nsystem\na") + b".",
        "objects",
    ),
    "object number": (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(" + text("O8") + b"I00\nI01\ntRK\x01tR.",
        "objects",
    ),
    "record array": (
        array(b"(K\x04t", b"cnumpy\ndtype\n(" + text("V1") + b"I00\nI01\ntR") + b".",
        "only arrays of numbers",
    ),
    "fields in the state of a number": (
        U1 + b"(K\x03" + text("|") + b"N(" + text("a") + b"t}K\x01K\x01K\x00tb.",
        "records",
    ),
    "type of endless lists": (b"cnumpy\ndtype\n(" + laughs(b"g40\n") + b"tR.", "something else"),
    "array of 8 GB": (array(b"(J\x00\x00\x00\x7ft") + b".", "2,130,706,432 bytes is given 4"),
    "array of 10**18 GB": (array(b"(" + b"J\x00\x00\x00\x7f" * 4 + b"t") + b".", "impossible shape"),
    "array of endless emptiness": (
        array(b"(" + b"J\x00\x00\x00\x7f" * 4 + b"K\x00t", data=b"U\x00") + b".",
        "impossible shape",
    ),
    "array of negative size": (array(b"(J\xff\xff\xff\xffJ\xfc\xff\xff\xfft") + b".", "impossible shape"),
    "array of 99 dimensions": (array(b"(" + b"K\x01" * 98 + b"K\x04t") + b".", "impossible shape"),
    "array without content": (EMPTY_ARRAY + b".", "not a dictionary"),
    "array of an unbuilt type": (array(b"(K\x04t", U1) + b".", "not a dictionary"),
    "array over a list": (array(b"(K\x04t", data=b"]") + b".", "without bytes"),
    "array of a version of lists": (
        EMPTY_ARRAY + b"(" + laughs(b"g40\n") + b"(K\x04t" + U1_BUILT + b"I00\nU\x04abcdtb.",
        "unknown form",
    ),
    "array, _frombuffer": (
        b"cnumpy.core.numeric\n_frombuffer\n(C\x04abcd" + U1_BUILT + b"(J\x00\x00\x00\x7ft" + text("C") + b"tR.",
        "is given 4",
    ),
    "array, odd order of axes": (
        b"cnumpy._core.numeric\n_frombuffer\n(C\x04abcd" + U1_BUILT + b"(K\x04t" + text("K") + b"(K\x07ttR.",
        "damaged",
    ),
    "bytes of a number": (b"c__builtin__\nbytes\n(J\x00\x00\x00\x7ftR.", "something that is not one"),
    "bytearray of a number": (b"cbuiltins\nbytearray\n(J\x00\x00\x00\x7ftR.", "something that is not one"),
    "another codec": (b"c_codecs\nencode\n(" + text("a") + text("zip") + b"tR.", "not text"),
    "huge LONG1": (b"\x8a\xff" + b"\x7f" * 255 + b".", "holds a int"),
    "huge LONG4, absent": (b"\x8b\xff\xff\xff\x7f.", "truncated"),
    "huge LONG4, there": (b"\x8b\x40\x42\x0f\x00" + b"\x7f" * 1_000_000 + b".", "holds a int"),
    "negative LONG4": (b"\x8b\xff\xff\xff\xff.", "negative byte count"),
    "huge LONG": (b"L" + b"9" * 1_000_000 + b"L\n.", "limit"),
    "huge INT": (b"I" + b"9" * 1_000_000 + b"\n.", "damaged"),
    "huge FLOAT": (b"F" + b"9" * 1_000_000 + b"\n.", "damaged"),
    "huge name": (b"c" + b"a" * 1_000_000 + b"\nb\n.", "asks for"),
    "huge BINBYTES": (b"B\xff\xff\xff\xff.", "damaged"),
    "huge BINBYTES8": (b"\x8e" + b"\xff" * 7 + b"\x7f.", "too large"),
    "huge BINUNICODE": (b"X\xff\xff\xff\xff.", "truncated"),
    "huge BINUNICODE8": (b"\x8d" + b"\xff" * 8 + b".", "maximum size"),
    "huge BYTEARRAY8": (b"\x96\x00\x00\x00\x00\x01\x00\x00\x00.", "damaged"),
    "negative BINSTRING": (b"T\xff\xff\xff\xff.", "truncated"),
    "negative memo": (b"Np-1\n0g-2\n.", "damaged"),
    "frame beyond the end": (b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", "damaged"),
    "frame too short": (b"\x95\x01\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.", "os.system"),
    "deep lists": (b"]" * 50_000 + b"a" * 49_999 + b".", "list"),
    "deep tuples": (b")" + b"\x85" * 60_000 + b".", "tuple"),
    "deep marks": (b"(" * 60_000 + b".", "damaged"),
    "deep dictionaries": (b"}" + b"K\x01}" * 40_000 + b"s" * 40_000 + b".", "has no 'data'"),
    "a list in itself": (b"]q\x00h\x00a.", "list"),
    "endless lists": (laughs(b"g40\n."), "list"),
    "endless lists as data": (b"}" + text("data") + laughs(b"g40\ns."), "'data' is a list"),
    "endless lists as a key": (b"}" + laughs(b"g40\nNs."), "unhashable"),
    "endless lists in a set": (b"\x8f(" + laughs(b"g40\n\x90."), "unhashable"),
    "a long key": (b"}" + text("a" * 2000) + b"Ns.", "has no 'data'"),
    "colliding keys": (
        b"}(" + b"".join(b"\x8a\x09" + (i * (2**61 - 1)).to_bytes(9, "little") + b"N" for i in range(1, 9)) + b"u.",
        "has no 'data'",
    ),
    "a key without a value": (b"}(K\x01u.", "damaged"),
    "too many numbers": (b"(" + b"K\x01" * BOMB_STEPS + b"l.", "holds a list"),
    "too many names": (b"(" + b"cnumpy\nndarray\n" * 70_000 + b"l.", "holds a list"),
    "too many in the memo": (b"N" + b"\x94" * BOMB_STEPS + b".", "holds a NoneType"),
    "empty stack": (b"0.", "damaged"),
    "stack below a mark": (b"K\x01(R.", "damaged"),
    "unknown protocol": (b"\x80\xffN.", "protocol: 255"),
    "unknown instruction": (b"N\xff.", "damaged"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_refused_at_once(name, protocol):
    instructions, piece = CRAFTED[name]
    message = refused((b"\x80" + bytes([protocol]) if protocol > 1 else b"") + instructions)
    assert piece in message
    assert message.isprintable()


MEASURE = """
import resource, sys
from pathlib import Path
from fewshot_bench.data.readers.unpickling import unpickle
from fewshot_bench.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        unpickle(Path(path))
    except DataError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_no_crafted_file_takes_much_memory(tmp_path):
    files = []
    for instructions, _ in CRAFTED.values():
        files.append(tmp_path / f"file{len(files)}")
        files[-1].write_bytes(instructions)
    done = subprocess.run([sys.executable, "-c", MEASURE, *files], check=True, capture_output=True, text=True)
    assert int(done.stdout) / 1024 < 150  # MiB


RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 6, 3), np.uint8)
GOOD = {
    "C order": IMAGES,
    "Fortran order": np.asfortranarray(IMAGES),
    "axes in another order": IMAGES.transpose(0, 2, 1, 3),
    "big-endian": RNG.integers(-9, 9, 7).astype(">i4"),
    "booleans": np.array([True, False, True]),
    "half floats": np.array([1.5, -2], np.float16),
    "one number": np.array(3),
    "no numbers": np.zeros((0, 4), np.float32),
}
PLAIN: dict[str, Any] = {
    "labels": [0, 1, 255, 256, 65535, 65536, -1, -129, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63)],
    "numbers of numpy": [1, 2.5, True],
    "floats": [0.1, -1e300, float("inf")],
    "text": ["", "n01532829", "Kühe", "\ud83d\ude00", "\ud800", "a\\b\n'\""],
    "bytes": [b"", b"\x00\xff\n'\\", bytes(range(256)) * 3],
    "nothing": [None, True, False],
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {"a": [1]}, {5: "b"}],
    "sets": [set(), {1, 2}, {"a", 3}],
    "same twice": [[1]] * 2,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", GOOD)
def test_arrays_come_back(name, protocol):
    data = pickle.dumps({"data": GOOD[name]}, protocol)
    array = unpickle_data(data, "set.pkl")["data"]
    assert array.dtype.newbyteorder("=") == GOOD[name].dtype.newbyteorder("=")  # numpy turns bytes round as it reads
    np.testing.assert_array_equal(array, GOOD[name], strict=False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back(name, protocol):
    written = PLAIN[name]
    if name == "numbers of numpy":
        written = [np.int64(1), np.float32(2.5), np.bool_(True)]
    found = unpickle_data(pickle.dumps(written, protocol), "set.pkl")
    assert found == PLAIN[name]
    assert [type(item) for item in found if not isinstance(item, memoryview)] == [
        type(item) for item, same in zip(PLAIN[name], found, strict=True) if not isinstance(same, memoryview)
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_containers_come_back_as_plain_ones(protocol):
    written = [collections.OrderedDict(a=1, b=2), frozenset([1, "x"]), bytearray(b"ab"), bytearray()]
    found = unpickle_data(pickle.dumps(written, protocol), "set.pkl")
    assert found == [{"a": 1, "b": 2}, {1, "x"}, b"ab", b""]


@pytest.mark.parametrize("modules", [("numpy.core", "numpy._core"), ("numpy._core", "numpy.core")])
@pytest.mark.parametrize("protocol", [0, 2])
def test_numpy_1_and_numpy_2_have_their_own_names(modules, protocol):
    data = pickle.dumps(IMAGES, protocol)
    data = data.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", modules[0].encode())
    np.testing.assert_array_equal(unpickle_data(data, "set.pkl"), IMAGES)


# pickle.dumps({"data": numpy.arange(6, dtype="u1").reshape(2, 3), "labels": [7, 9], "names": ["a", u"b"]}) of Python 2
PYTHON_2 = {
    0: (
        b"(dp0\nS'labels'\np1\n(lp2\nI7\naI9\nasS'names'\np3\n(lp4\nS'a'\np5\naVb\np6\nasS'data'\np7\n"
        b"cnumpy.core.multiarray\n_reconstruct\np8\n(cnumpy\nndarray\np9\n(I0\ntp10\nS'b'\np11\ntp12\nRp13\n"
        b"(I1\n(I2\nI3\ntp14\ncnumpy\ndtype\np15\n(S'u1'\np16\nI0\nI1\ntp17\nRp18\n"
        b"(I3\nS'|'\np19\nNNNI-1\nI-1\nI0\ntp20\nbI00\nS'\\x00\\x01\\x02\\x03\\x04\\x05'\np21\ntp22\nbs."
    ),
    2: (
        b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(K\x07K\x09eU\x05namesq\x03]q\x04(U\x01aq\x05X\x01\x00\x00\x00bq\x06e"
        b"U\x04dataq\x07cnumpy.core.multiarray\n_reconstruct\nq\x08cnumpy\nndarray\nq\tK\x00\x85q\nU\x01bq\x0b"
        b"\x87q\x0cRq\r(K\x01K\x02K\x03\x86q\x0ecnumpy\ndtype\nq\x0fU\x02u1q\x10K\x00K\x01\x87q\x11Rq\x12"
        b"(K\x03U\x01|q\x13NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89U\x06\x00\x01\x02\x03\x04\x05q\x15"
        b"tq\x16bu."
    ),
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_python_2(protocol):
    found = unpickle_data(PYTHON_2[protocol], "set.pkl")
    expected = pickle.loads(PYTHON_2[protocol], encoding="latin1")
    assert sorted(found) == sorted(expected) == ["data", "labels", "names"]
    assert (found["labels"], found["names"]) == ([7, 9], [b"a", "b"])
    np.testing.assert_array_equal(found["data"], expected["data"], strict=True)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_numpys_own_numbers_as_labels_of_a_whole_miniimagenet(protocol):
    labels = [np.int64(label) for label in range(38_400)]
    data = pickle.dumps(labels, protocol) + bytes(60 << 20)  # half as large as its images at 32×32 would be
    assert unpickle_data(data, "set.pkl") == list(range(38_400))


def test_an_array_outlives_its_file(tmp_path):
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps({"data": IMAGES}, 4))
    array = unpickle(path)["data"]
    path.unlink()
    np.testing.assert_array_equal(array, IMAGES)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_truncated_file(protocol):
    data = pickle.dumps({"data": IMAGES[:1, :2, :2], "labels": [1, 2, 300]}, protocol)
    assert len(opened(data)) == 1
    for end in range(1, len(data)):
        refused(data[:end])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"<!DOCTYPE html>\n<html><title>Google Drive - Virus scan warning</title>",
            "web page (HTML).*download failed",
        ),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0", "is not a pickle"),
        (b"PK\x03\x04", "pickle"),
        (b"\x1f\x8b\x08", "is not a pickle"),
    ],
)
def test_a_file_that_is_no_pickle(tmp_path, data, message):
    (tmp_path / "set.pkl").write_bytes(data)
    with pytest.raises(DataError, match=rf"set\.pkl.*{message.replace('(', '.').replace(')', '.')}"):
        unpickle(tmp_path / "set.pkl")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        unpickle(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="not a regular file"):
        unpickle(tmp_path)
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(DataError, match="not a regular file"):
        unpickle(tmp_path / "pipe.pkl")


def test_what_follows_the_end_is_not_read(tmp_path):
    data = pickle.dumps([1]) + pickle.dumps(touching(tmp_path / "made"))
    assert unpickle_data(data, "set.pkl") == [1]
    assert not (tmp_path / "made").exists()


SEEDS = [pickle.dumps({"data": IMAGES[:1, :1], "labels": [1, np.int64(2)], "s": {"a"}}, p) for p in PROTOCOLS]


@pytest.fixture(scope="module")
def _little_memory():
    """As under the guard: a changed byte may ask for a memo of gigabytes."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    used = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line).split()[1])
    resource.setrlimit(resource.RLIMIT_DATA, ((used << 10) + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.usefixtures("_little_memory")
@given(
    seed=st.sampled_from(SEEDS + list(PYTHON_2.values())),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255), st.sampled_from("rid")), max_size=8),
)
@example(seed=b"S'\\d'\n.", changes=[])
def test_a_changed_file_is_read_or_refused_and_never_anything_else(seed, changes):
    data = bytearray(seed)
    for at, byte, kind in changes:
        at %= len(data)
        data[at : at + (kind != "i")] = b"" if kind == "d" else bytes([byte])
    message = "set.pkl"
    try:
        unpickle_data(bytes(data), "set.pkl")
    except DataError as error:
        message = str(error)
    except MemoryError:  # the guard says so
        pass
    assert message.startswith("set.pkl")
    assert "\n" not in message
