"""Weights on disk: written whole or not at all, named by their content, and never trusted blindly."""

import errno
import hashlib
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fewshot_bench.errors import BenchError
from fewshot_bench.running.checkpoint import Checkpoints, Unusable
from fewshot_bench.running.weights import bring

KEY, ANOTHER = SimpleNamespace(key="key", identity={"n": 1}), SimpleNamespace(key="another", identity={"n": 2})
STATE = {"w": torch.arange(6.0).view(2, 3), "iteration": torch.tensor(5)}
OTHER = {"w": torch.ones(2, 3), "iteration": torch.tensor(6)}


@pytest.fixture
def checkpoints(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def only_file(tmp_path):
    (path,) = (tmp_path / "checkpoints").iterdir()
    return path


def test_a_partial_state_comes_back_and_is_replaced(checkpoints, tmp_path):
    assert checkpoints.load_partial(KEY) is None
    checkpoints.save_partial(KEY, STATE)
    assert same(checkpoints.load_partial(KEY), STATE)
    checkpoints.save_partial(KEY, OTHER)
    assert same(checkpoints.load_partial(KEY), OTHER)
    assert checkpoints.load_partial(ANOTHER) is None
    assert only_file(tmp_path).name == "key.partial"  # nothing temporary is left


def test_a_dropped_partial_state_is_gone(checkpoints):
    checkpoints.save_partial(KEY, STATE)
    checkpoints.drop_partial("key")
    assert checkpoints.load_partial(KEY) is None
    checkpoints.drop_partial("key")  # twice is no error


def test_finished_weights_are_named_by_their_content(checkpoints, tmp_path):
    sha256 = checkpoints.save_finished(STATE)
    path = only_file(tmp_path)
    assert path.name == f"{sha256}.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert checkpoints.has(sha256)
    assert same(checkpoints.load_finished(sha256), STATE)
    assert checkpoints.save_finished(dict(reversed(STATE.items()))) == sha256
    assert checkpoints.save_finished(OTHER) != sha256
    assert checkpoints.load_finished("0" * 64) is None
    assert not checkpoints.has("0" * 64)


@pytest.mark.parametrize("kind", ["partial", "finished"])
@pytest.mark.parametrize("damage", ["flip a bit", "cut the end", "empty it", "another file"])
def test_a_damaged_file_is_no_state(kind, damage, checkpoints, tmp_path):
    if kind == "partial":
        checkpoints.save_partial(KEY, STATE)
    else:
        sha256 = checkpoints.save_finished(STATE)
    path = only_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip a bit":
        content[-1] ^= 1  # in the weights, where safetensors would not notice
    path.write_bytes({"cut the end": content[:-8], "empty it": b"", "another file": b"<html>"}.get(damage, content))
    if kind == "finished":
        assert checkpoints.load_finished(sha256) is None
        return
    with pytest.raises(Unusable, match=r"it is damaged: it was not used and is now key\.partial\.unusable"):
        checkpoints.load_partial(KEY)
    assert checkpoints.load_partial(KEY) is None
    assert only_file(tmp_path).name == "key.partial.unusable"  # not thrown away


def test_a_pickle_with_the_right_name_is_not_executed(checkpoints, tmp_path):
    payload = b"cos\nsystem\n(S'touch pwned'\ntR."
    sha256 = hashlib.sha256(payload).hexdigest()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{sha256}.safetensors").write_bytes(payload)
    assert checkpoints.load_finished(sha256) is None
    assert not (tmp_path / "pwned").exists()


def test_a_failed_write_leaves_the_old_state(checkpoints, tmp_path, monkeypatch):
    checkpoints.save_partial(KEY, STATE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError) as error:
        checkpoints.save_partial(KEY, OTHER)
    assert "No space left on device" in str(error.value)
    assert "\n" not in str(error.value)
    assert same(checkpoints.load_partial(KEY), STATE)
    assert only_file(tmp_path).name == "key.partial"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        checkpoints = Checkpoints(folder)
        assert checkpoints.load_partial(KEY) is None
        with pytest.raises(BenchError, match=r"cannot be written \(.*\); make room or choose another --out"):
            checkpoints.save_partial(KEY, STATE)


def test_the_state_of_another_training_is_not_used(checkpoints, tmp_path):
    checkpoints.save_partial(KEY, STATE)
    checkpoints.save_partial(ANOTHER, OTHER)
    folder = tmp_path / "checkpoints"
    (folder / "key.partial").rename(folder / "aside")
    (folder / "another.partial").rename(folder / "key.partial")
    (folder / "aside").rename(folder / "another.partial")
    for training, owner in ((KEY, "another"), (ANOTHER, "key")):
        with pytest.raises(Unusable, match=f"it is the state of {owner}: it was not used"):
            checkpoints.load_partial(training)


def test_the_state_of_another_identity_is_not_used(checkpoints):
    checkpoints.save_partial(KEY, STATE)
    with pytest.raises(Unusable, match="it was not used"):
        checkpoints.load_partial(SimpleNamespace(key="key", identity={"n": 3}))


@pytest.mark.parametrize("header", [b"", b"[1]", b"\xff\xfe{{", b'{"__metadata__":[1]}'])
def test_a_header_that_is_none_is_not_used_though_its_hash_is_right(header, checkpoints, tmp_path):
    checkpoints.save_partial(KEY, STATE)
    content = len(header).to_bytes(8, "little") + header
    only_file(tmp_path).write_bytes(hashlib.sha256(content).hexdigest().encode() + content)
    with pytest.raises(Unusable, match="it was not used"):
        checkpoints.load_partial(KEY)


def test_a_pipe_in_place_of_a_state_is_not_waited_for(checkpoints, tmp_path):
    checkpoints.save_partial(KEY, STATE)
    path = only_file(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Unusable, match="it is damaged: it was not used"):
        checkpoints.load_partial(KEY)
    assert not path.exists()


def test_a_state_of_any_size_is_not_read_into_memory(checkpoints, tmp_path):
    checkpoints.save_partial(KEY, STATE)
    with only_file(tmp_path).open("r+b") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(Unusable, match="it is damaged: it was not used"):
        checkpoints.load_partial(KEY)


def test_weights_are_regular_files_whose_header_accounts_for_every_byte(tmp_path):
    """What a stranger puts in their place is not waited for and not read into memory."""
    checkpoints = Checkpoints(tmp_path)
    sha256 = checkpoints.save_finished({"a": torch.ones(3)})
    path = tmp_path / f"{sha256}.safetensors"
    whole = path.read_bytes()
    assert checkpoints.has(sha256)

    def put(content: bytes, size: int) -> None:
        path.unlink()
        with path.open("wb") as file:
            file.write(content)
            file.truncate(size)

    began = time.process_time()
    for content, size in ((b"", 200 * 2**30), (whole, 200 * 2**30), (whole, 2**31), (whole, len(whole) - 1),
                          ((2**62).to_bytes(8, "little"), 100), (b"\x05\0\0\0\0\0\0\0[[[[[", 13),
                          (b'\x0b\0\0\0\0\0\0\0{"a": null}', 19), (b"", 0)):  # fmt: skip
        put(content, size)
        assert not checkpoints.has(sha256)
        assert bring([sha256], None, tmp_path).missing == (sha256,)
    path.unlink()
    os.mkfifo(path)
    assert not checkpoints.has(sha256)
    path.unlink()
    path.mkdir()
    assert not checkpoints.has(sha256)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere/x")])
def test_what_is_no_file_is_not_written_to(put, checkpoints, tmp_path):
    """A pipe would be waited for; and it is not for us to remove what somebody put there."""
    sha256 = checkpoints.save_finished(STATE)
    path = only_file(tmp_path)
    path.unlink()
    put(path)
    with pytest.raises(BenchError, match=rf"{sha256}\.safetensors: it is no file, .*; move it away"):
        checkpoints.save_finished(STATE)
    assert os.path.lexists(path)


def test_a_file_that_we_may_not_read_is_neither_missing_nor_damaged(checkpoints, monkeypatch):
    """Its training would begin anew, and what is in it would be overwritten."""
    checkpoints.save_partial(KEY, STATE)
    sha256 = checkpoints.save_finished(STATE)

    def no(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", no)
    monkeypatch.setattr(Path, "read_bytes", no)
    for reading in (lambda: checkpoints.load_partial(KEY), lambda: checkpoints.has(sha256)):
        with pytest.raises(BenchError, match=r"cannot be read \(Permission denied\); make it readable or move it away"):
            reading()


def test_a_damaged_state_that_cannot_be_put_aside_ends_the_run(checkpoints, tmp_path):
    """It is not the method's failure."""
    checkpoints.save_partial(KEY, STATE)
    only_file(tmp_path).write_bytes(b"")
    (tmp_path / "checkpoints" / "key.partial.unusable").mkdir()
    with pytest.raises(BenchError, match=r"key\.partial: it is damaged, and cannot be moved \(.*\); move it away"):
        checkpoints.load_partial(KEY)
