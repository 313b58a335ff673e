"""Weights on disk: written whole or not at all, named by their content, and never trusted blindly."""

import hashlib
import os

import pytest
import torch

from fewshot_bench.errors import BenchError
from fewshot_bench.running.checkpoint import Checkpoints

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
    assert checkpoints.load_partial("key") is None
    checkpoints.save_partial("key", STATE)
    assert same(checkpoints.load_partial("key"), STATE)
    checkpoints.save_partial("key", OTHER)
    assert same(checkpoints.load_partial("key"), OTHER)
    assert checkpoints.load_partial("another") is None
    assert only_file(tmp_path).name == "key.partial"  # nothing temporary is left


def test_a_dropped_partial_state_is_gone(checkpoints):
    checkpoints.save_partial("key", STATE)
    checkpoints.drop_partial("key")
    assert checkpoints.load_partial("key") is None
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
        checkpoints.save_partial("key", STATE)
    else:
        sha256 = checkpoints.save_finished(STATE)
    path = only_file(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip a bit":
        content[-1] ^= 1  # in the weights, where safetensors would not notice
    path.write_bytes({"cut the end": content[:-8], "empty it": b"", "another file": b"<html>"}.get(damage, content))
    found = checkpoints.load_partial("key") if kind == "partial" else checkpoints.load_finished(sha256)
    assert found is None


def test_a_pickle_with_the_right_name_is_not_executed(checkpoints, tmp_path):
    payload = b"cos\nsystem\n(S'touch pwned'\ntR."
    sha256 = hashlib.sha256(payload).hexdigest()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{sha256}.safetensors").write_bytes(payload)
    assert checkpoints.load_finished(sha256) is None
    assert not (tmp_path / "pwned").exists()


def test_a_failed_write_leaves_the_old_state(checkpoints, tmp_path, monkeypatch):
    checkpoints.save_partial("key", STATE)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError) as error:
        checkpoints.save_partial("key", OTHER)
    assert "No space left on device" in str(error.value)
    assert "\n" not in str(error.value)
    assert same(checkpoints.load_partial("key"), STATE)
    assert only_file(tmp_path).name == "key.partial"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        checkpoints = Checkpoints(folder)
        assert checkpoints.load_partial("key") is None
        with pytest.raises(BenchError, match=r"cannot be written \(.*\); make room or choose another --out"):
            checkpoints.save_partial("key", STATE)
