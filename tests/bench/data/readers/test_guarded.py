"""The guard: whatever a reader does under it, the caller lives, and one line says what happened."""

import errno
import os
import pickle
import re
import resource
import signal
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fewshot_bench.data import open_images
from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.format import Labels
from fewshot_bench.data.readers import guarded
from fewshot_bench.errors import DataError, UsageError

SECRET = "BENCH_DB"


@dataclass(frozen=True)
class Reader:
    """A data set whose reading goes wrong in one way."""

    how: str
    files: tuple[Path, ...] = ()

    where = "set"

    def fill(self, sink, image_size, progress):  # noqa: C901  # a list of cases
        """Do it, then give two images."""
        match self.how:
            case "memory":
                bytearray(3 << 30)
            case "processor":
                while True:
                    pass
            case "crash":
                os.abort()
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "silence":
                os._exit(0)
            case "disk":
                sink._file.write(bytes(1 << 20))
                sink._file.flush()
            case "data":
                raise DataError("set: row 3 is wrong")
            case "usage":
                raise UsageError("set: h5py is missing")
            case "recursion":
                self.fill(sink, image_size, progress)
            case "secret":
                raise DataError(f"told {os.environ.get(SECRET)}")
            case "files":
                held = [Path(os.devnull).open() for _ in range(1000)]  # noqa: SIM115
                raise AssertionError(len(held))
        progress("reading images", 2, 2)
        for index in range(2):
            sink.put(index, np.full((3, 4, 4), index, np.uint8))
        labels = Labels("A note.", np.array([0, 0]), ("a",), {"train": (0,), "val": (), "test": ()})
        return replace(labels, left_out="A file.", turned="An image.")


def read(reader, tmp_path, told=None):
    with ImageFile(tmp_path / "images.npy") as sink:
        labels = guarded.read(reader, sink, None, lambda *said: told.append(said) if told is not None else None)
        sink.finish()
    return labels, np.load(tmp_path / "images.npy")


def test_what_is_read_comes_back_with_its_progress(tmp_path):
    told: list[tuple[str, int, int]] = []
    labels, images = read(Reader("well"), tmp_path, told)
    assert (labels.note, labels.class_names, labels.class_ids.tolist()) == ("A note.", ("a",), [0, 0])
    assert (labels.left_out, labels.turned) == ("A file.", "An image.")
    assert images.shape == (2, 3, 4, 4)
    assert images[1].max() == 1
    assert told == [("reading images", 2, 2)]
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("memory", "set needs more than 1,024 MiB of memory to be read"),
        ("processor", "set took more than 1 s of processor time"),
        ("crash", "set crashed its reader"),
        ("killed", "set: its reader was killed, as the system does where memory is short: run the same command again"),
        ("silence", "set crashed its reader"),
        ("disk", "set gave more than"),
        ("recursion", "set"),
        ("data", "set: row 3 is wrong"),
        ("files", "Too many open files"),
    ],
)
def test_what_goes_wrong_is_one_line(how, says, tmp_path, monkeypatch):
    monkeypatch.setattr(guarded, "CPU_SECONDS", 1 if how == "processor" else 30)
    monkeypatch.setattr(guarded, "OUTPUT_BYTES", 1 << 16 if how == "disk" else 1 << 30)
    with pytest.raises(DataError) as error:
        read(Reader(how), tmp_path)
    assert says in str(error.value)
    assert str(error.value).isprintable()


def test_limits_that_are_set_already_are_kept_to(monkeypatch):
    """Who may not raise them was told that the file is made to do harm."""
    most, held = {resource.RLIMIT_NOFILE: 32, resource.RLIMIT_CPU: 10}, {}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1, most.get(which, resource.RLIM_INFINITY)))
    monkeypatch.setattr(resource, "setrlimit", held.__setitem__)
    guarded._limit(guarded.Limits(1 << 30, 20, 1 << 20))
    assert held[resource.RLIMIT_NOFILE] == (32, 32)
    assert held[resource.RLIMIT_CPU] == (10, 10)
    assert held[resource.RLIMIT_FSIZE] == (1 << 20, 1 << 20)


def test_a_lower_limit_of_somebody_else_is_not_the_files_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    error, limits = OSError(errno.EFBIG, "File too large"), guarded.Limits(1 << 30, 20, 1 << 20)
    said = "the images of set cannot be written: File too large; make room, or set another BENCH_CACHE"
    assert guarded._said(error, "set/a.pkl", "set", limits) == said


def test_a_missing_library_is_the_users_to_install(tmp_path):
    with pytest.raises(UsageError, match="h5py is missing"):
        read(Reader("usage"), tmp_path)


def test_a_reader_knows_no_password(tmp_path, monkeypatch):
    monkeypatch.setenv(SECRET, "postgresql://me:secret@host/db")
    with pytest.raises(DataError, match="told None"):
        read(Reader("secret"), tmp_path)


def test_memory_allowed_grows_with_the_largest_file(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(3 << 30)
    (tmp_path / "small").write_bytes(bytes(100))
    files = (tmp_path / "large", tmp_path / "small")
    assert guarded.limits_for(files).memory_bytes == guarded.MEMORY_BYTES + guarded.MEMORY_FACTOR * (3 << 30)
    assert guarded.limits_for(files).cpu_seconds == guarded.CPU_SECONDS + 3 * guarded.CPU_SECONDS_A_GIB


def cache_pickles(folder, train):
    """miniImageNet's cache pickles, the first of which is what a stranger wrote."""
    folder.mkdir()
    for part in ("train", "val", "test"):
        honest = {"image_data": np.zeros((4, 8, 8, 3), np.uint8), "class_dict": {part: [0, 1, 2, 3]}}
        (folder / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(honest, 2))
    with (folder / "mini-imagenet-cache-train.pkl").open("wb") as file:
        train(file)
    return folder


def sparse_text(file):
    """100 MiB of zeros, which are text, then a character that makes four bytes of each: 400 MiB."""
    tail = "\U0001f600".encode()
    file.write(b"\x80\x04\x8d" + struct.pack("<Q", (100 << 20) + len(tail)))
    file.seek(100 << 20, 1)
    file.write(tail + b".")


def many_copies(file):
    """One text in the memo, encoded again and again, all kept."""
    text = b"X" + (999_999).to_bytes(4, "little") + b"a" * 999_999
    file.write(
        b"c_codecs\nencode\np0\n0" + text + b"p1\n0X\x06\x00\x00\x00latin1p2\n0(" + b"g0\n(g1\ng2\ntR" * 5000 + b"t."
    )


def many_sets(file):
    """One long list in the memo, made a set again and again."""
    file.write(b"c__builtin__\nset\np0\n0(" + b"K\x01" * 100_000 + b"lp1\n0(" + b"g0\n(g1\ntR" * 50_000 + b"t.")


def huge_memo(file):
    """The fourth billionth place in the memo."""
    file.write(b"Nr\xff\xff\xff\xff.")


def a_hash_of_years(file):
    """A key of pairs of pairs, 2**60 of them, of which a hash is asked."""
    pairs = b")\x940" + b"".join(b"h%ch%c\x86\x940" % (i, i) for i in range(60))
    file.write(b"\x80\x04}" + pairs + b"h<K\x01s.")


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (sparse_text, r"needs more than 456 MiB of memory"),
        (many_copies, r"needs more than 25\d MiB of memory"),
        (many_sets, r"(needs more than 256 MiB of memory|took more than 1 s of processor time)"),
        (huge_memo, r"needs more than 256 MiB of memory"),
        (a_hash_of_years, r"took more than 1 s of processor time"),
    ],
)
def test_a_pickle_that_grows_ends_at_its_limit(train, says, tmp_path, monkeypatch):
    """The line names the file and the limit, here a fourth of what it is: what grows takes a fourth of the time."""
    monkeypatch.setattr(guarded, "MEMORY_BYTES", 256 << 20)
    monkeypatch.setattr(guarded, "CPU_SECONDS", 1 if train in (many_sets, a_hash_of_years) else 5)
    folder = cache_pickles(tmp_path / "set", train)
    with pytest.raises(DataError, match=f"^{re.escape(str(folder / 'mini-imagenet-cache-train.pkl'))} {says}"):
        open_images(str(folder), tmp_path / "cache")
