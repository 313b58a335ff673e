"""The cache: decoded once, shared by processes, repaired when damaged, honest when the disk is full."""

import errno
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from fewshot_bench import machine
from fewshot_bench.data import open_images
from fewshot_bench.data.cache import content_fingerprint, load
from fewshot_bench.data.format import Labels
from fewshot_bench.errors import DataError


@pytest.fixture
def undecodable(monkeypatch):
    """From here on, whatever decodes an image fails the test."""

    def forbid():
        def decode(*_):
            raise AssertionError("decoded although it was in the cache")

        monkeypatch.setattr("fewshot_bench.data.readers.image_decoding.read_image", decode)

    return forbid


@pytest.mark.parametrize("packed", [False, True])
def test_the_second_opening_does_not_decode(photos, tmp_path, cache, undecodable, packed):
    path = photos.as_archive(tmp_path / "set.tar") if packed else photos.as_folder(tmp_path / "set")
    first = open_images(str(path), cache)
    undecodable()
    second = open_images(str(path), cache)
    assert second.fingerprint == first.fingerprint
    assert (second.name, second.note, second.parts) == (first.name, first.note, first.parts)
    assert isinstance(second.images, np.memmap)
    assert not second.images.flags.writeable
    np.testing.assert_array_equal(second.images, first.images)


def test_an_image_replaced_in_place_is_noticed(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")
    before = open_images(str(folder), cache).fingerprint
    image = folder / "images" / "cow0000.jpg"
    times = image.stat()
    data = bytearray(image.read_bytes())
    data[-30] ^= 0x01
    image.write_bytes(data)  # same name, same size,
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))  # same modification time
    assert open_images(str(folder), cache).fingerprint != before


def test_each_image_size_has_its_own_folder(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")
    shapes = [open_images(str(folder), cache, image_size=size).images.shape for size in (None, 8, 9, None)]
    assert shapes == [(15, 3, 10, 12), (15, 3, 8, 8), (15, 3, 9, 9), (15, 3, 10, 12)]
    assert len(list(cache.iterdir())) == 3


def _edit_meta(**changes):
    def edit(folder):
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | changes))

    return edit


def _edit_header(name: str, old: bytes, new: bytes):
    def edit(folder):
        data = (folder / name).read_bytes()
        assert old in data[:100]
        (folder / name).write_bytes(data.replace(old, new, 1))

    return edit


DAMAGE = {
    "images cut short": lambda folder: os.truncate(folder / "images.npy", 2000),
    "images empty": lambda folder: os.truncate(folder / "images.npy", 0),
    "images missing": lambda folder: (folder / "images.npy").unlink(),
    "images of another shape": lambda folder: np.save(folder / "images.npy", np.zeros((9, 1, 2, 2), "u1")),
    "images not an array": lambda folder: (folder / "images.npy").write_bytes(b"\x80\x04K\x00." * 50),
    "images with an open header": _edit_header("images.npy", b"(", b" "),
    "class ids with an open header": _edit_header("class_ids.npy", b"(", b" "),
    "class ids beyond all memory": _edit_header("class_ids.npy", b"(15,), }" + b" " * 12, b"(150000000000000,), }"),
    "meta nested": lambda folder: (folder / "meta.json").write_text("[" * 200_000),
    "meta beyond all numbers": _edit_meta(parts={"train": [float("inf")]}),
    "class ids missing": lambda folder: (folder / "class_ids.npy").unlink(),
    "class ids changed": lambda folder: np.save(folder / "class_ids.npy", np.zeros(15, np.int64)),
    "meta empty": lambda folder: (folder / "meta.json").write_text(""),
    "meta half": lambda folder: os.truncate(folder / "meta.json", 100),
    "meta not an object": lambda folder: (folder / "meta.json").write_text("[1, 2]"),
    "meta not text": lambda folder: (folder / "meta.json").write_bytes(b"\xff\xfe\x00"),
    "meta of another layout": _edit_meta(layout=0),
    "meta without parts": _edit_meta(parts={}),
    "meta with odd parts": _edit_meta(parts=["train"]),
    "everything missing": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_prepared_again(photos, tmp_path, cache, damage):
    folder = photos.as_folder(tmp_path / "set")
    before = open_images(str(folder), cache).fingerprint
    (prepared,) = cache.iterdir()
    DAMAGE[damage](prepared)
    assert load(prepared) is None
    assert open_images(str(folder), cache).fingerprint == before
    assert list(cache.iterdir()) == [prepared]
    assert load(prepared) is not None


OPEN = """
import os, signal, sys
from pathlib import Path
from fewshot_bench.data import open_images
from fewshot_bench.errors import DataError

def progress(text, done, total):
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "full":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    print(open_images(sys.argv[1], Path(sys.argv[2]), progress=progress).fingerprint)
except DataError as error:
    sys.exit(f"DataError: {error}")
"""


@pytest.fixture
def start(processes, cache):
    return lambda source, how="": processes.begin(OPEN, str(source), str(cache), how)


def no_locks(*_):
    raise OSError("this file system has none")


def test_the_loser_of_a_race_uses_the_winners_folder(photos, tmp_path, cache, monkeypatch):
    folder = photos.as_folder(tmp_path / "set")
    monkeypatch.setattr(fcntl, "flock", no_locks)

    def other_process_wins(*_):
        open_images(str(folder), cache)

    images = open_images(str(folder), cache, progress=other_process_wins)
    (prepared,) = cache.iterdir()
    assert isinstance(images.images, np.memmap)
    assert images.images.filename == prepared / "images.npy"


def test_a_killed_preparation_is_harmless_and_removed(photos, tmp_path, cache, start):
    source = photos.as_folder(tmp_path / "set")
    assert start(source, "die").wait() == -signal.SIGKILL
    (leftover,) = cache.glob(".preparing.*.tmp")
    *_, token, end = leftover.name.split(".")
    at_work = leftover.with_name(f".preparing.{machine.host()}.{machine.process()}.{token}.{end}")
    elsewhere = leftover.with_name(leftover.name.replace(machine.host(), "elsewhere-00000000"))
    for other in (at_work, elsewhere):
        shutil.copytree(leftover, other)
        os.utime(other, (0, 0))  # whatever a clock says

    open_images(str(source), cache)
    assert not leftover.exists()
    assert at_work.exists()
    assert elsewhere.exists()


def without_right(monkeypatch, name: str) -> None:
    """Files of that name are another user's: they may be neither opened nor removed, whoever runs the tests."""

    def unless_theirs(do):
        def done(path, *words, **named):
            if str(path).endswith(name):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return do(path, *words, **named)

        return done

    monkeypatch.setattr(os, "open", unless_theirs(os.open))
    monkeypatch.setattr(Path, "read_text", unless_theirs(Path.read_text))
    monkeypatch.setattr(Path, "unlink", unless_theirs(Path.unlink))


def test_the_lock_of_another_user_does_not_keep_the_cache_closed(photos, tmp_path, cache, monkeypatch):
    folder = str(photos.as_folder(tmp_path / "set"))
    without_right(monkeypatch, ".lock")
    assert len(open_images(folder, cache).images) == 15
    assert len(list(cache.iterdir())) == 1


def test_it_is_enough_that_the_lock_of_another_user_can_be_read(photos, tmp_path, cache, monkeypatch):
    folder, opened, open_ = str(photos.as_folder(tmp_path / "set")), [], os.open

    def to_read(path, flags, *words, **named):
        if str(path).endswith(".lock"):
            opened.append(flags)
            if flags & os.O_RDWR:
                raise PermissionError
            os.close(open_(path, os.O_CREAT, 0o666))
        return open_(path, flags, *words, **named)

    monkeypatch.setattr(os, "open", to_read)
    locked, flock = [], fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lambda file, how: locked.append(flock(file, how)))
    open_images(folder, cache)
    assert (len(opened), len(locked)) == (2, 1)


def test_what_another_user_keeps_to_himself_is_left_to_him(photos, tmp_path, cache, monkeypatch):
    """It was taken for damaged, and moved away under whoever had prepared it."""
    folder = str(photos.as_folder(tmp_path / "set"))
    open_images(folder, cache)
    (prepared,) = cache.iterdir()
    without_right(monkeypatch, "meta.json")
    said = rf"{prepared}/meta.json: cannot be read \(Permission denied\); .* or set BENCH_CACHE to a folder of your own"
    with pytest.raises(DataError, match=said):
        open_images(folder, cache)
    assert load(prepared) is None
    assert list(cache.iterdir()) == [prepared]


def test_a_full_disk_is_one_line_that_names_the_cache(photos, tmp_path, cache, start):
    _, message = start(photos.as_folder(tmp_path / "set"), "full").communicate()
    assert message.startswith(f"DataError: cannot prepare the data set in {cache}: File too large")
    assert message.count("\n") == 1
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written(photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = tmp_path / "file" / "cache"
    with pytest.raises(
        DataError, match=f"cannot prepare the data set in {cache}: Not a directory; make room, or set BENCH_CACHE"
    ):
        open_images(str(photos.as_folder(tmp_path / "set")), cache)


def test_an_interrupted_preparation_leaves_nothing(photos, tmp_path, cache):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(str(photos.as_folder(tmp_path / "set")), cache, progress=interrupt)
    assert not list(cache.iterdir())


def test_the_stored_fingerprint_can_be_checked(photos, tmp_path, cache):
    found = open_images(str(photos.as_folder(tmp_path / "set")), cache)
    labels = Labels("", found.class_ids, found.class_names, found.parts)
    assert content_fingerprint(found.images, labels) == found.fingerprint
    changed = np.array(found.images)
    changed[3, 0, 0, 0] ^= 1
    assert content_fingerprint(changed, labels) != found.fingerprint


def test_processes_that_need_it_at_once_decode_it_once(photos, tmp_path, cache, processes, monkeypatch):
    folder = photos.as_folder(tmp_path / "set")
    code = (
        "import sys, pathlib\nfrom fewshot_bench.data import open_images\n"
        "from fewshot_bench.data.readers import image_decoding\nread = image_decoding.read_image\n"
        "def counted(*words):\n    print('decoded')\n    return read(*words)\n"
        "image_decoding.read_image = counted\n"
        "print(open_images(sys.argv[1], pathlib.Path(sys.argv[2])).fingerprint)\n"
    )
    begun = [processes.begin(code, str(folder), str(cache)) for _ in range(4)]
    said = [process.communicate()[0].splitlines() for process in begun]
    assert sum(lines.count("decoded") for lines in said) == 15
    assert len({lines[-1] for lines in said}) == 1
    assert len(list(cache.iterdir())) == 1
