"""CIFAR-FS and FC100 from CIFAR-100's files: downloaded or at hand, and never opened by Python's unpickler."""

import hashlib
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR100

from fewshot_bench.data import find_source, open_images
from fewshot_bench.data.splits import standard
from fewshot_bench.errors import DataError

FILES = ("train", "test", "meta")
NAMES = tuple(sorted(sum(standard("bertinetto").parts.values(), ())))  # in its labels' order
PER_CLASS = {"train": 5, "test": 1}  # instead of 500 and 100
SPLIT_OF = {"cifar-fs": "bertinetto", "fc100": "oreshkin"}


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2 did, whose pickles CIFAR-100's files are."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    write: Callable[[bytes], None]
    memoize: Callable[[object], None]

    def save_string(self, text):
        """As `save_str` of Python 2."""
        raw = text.encode("latin1") if isinstance(text, str) else text
        size = len(raw)
        self.write((b"U" + bytes([size]) if size < 256 else b"T" + size.to_bytes(4, "little")) + raw)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


def like_python_2(content, path):
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with `cifar-100-python` and its archive, and the images (n, 3, 32, 32) and labels of each file."""
    root = tmp_path_factory.mktemp("cifar")
    folder, rng, content = root / "cifar-100-python", np.random.default_rng(0), {}
    folder.mkdir()
    for file, count in PER_CLASS.items():
        labels = np.repeat(np.arange(100), count)
        rng.shuffle(labels)
        images = rng.integers(0, 256, (len(labels), 3, 32, 32), np.uint8)
        content[file] = images, labels
        stored = {
            "filenames": [f"{NAMES[label]}_s_{i:06d}.png" for i, label in enumerate(labels)],
            "batch_label": f"{file}ing batch 1 of 1",
            "fine_labels": labels.tolist(),
            "coarse_labels": (labels // 5).tolist(),
            "data": images.reshape(-1, 3072),
        }
        like_python_2(stored, folder / file)
    like_python_2({"fine_label_names": list(NAMES), "coarse_label_names": ["fish"] * 20}, folder / "meta")
    with tarfile.open(root / "cifar-100-python.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(folder, "cifar-100-python")
    return root, content


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def publish(monkeypatch, root):
    """Make the files in a folder the published ones."""
    folder = root / "cifar-100-python"
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5(root / "cifar-100-python.tar.gz"))
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5(folder / "train")]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5(folder / "test")]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5(folder / "meta")})


@pytest.fixture
def published(made, monkeypatch):
    """The folder, whose files' checksums count as those of the real ones."""
    publish(monkeypatch, made[0])
    return made[0]


@pytest.fixture
def serve(web_address, monkeypatch):
    """Serves a folder on this machine as the place that CIFAR-100 is downloaded from."""
    return lambda folder: monkeypatch.setattr(CIFAR100, "url", f"{web_address(folder)}/cifar-100-python.tar.gz")


def expected(content, split):
    """(n, 3, 32, 32): train, val, test; classes by name, the images of `train` before those of `test`."""
    rows = []
    for part in ("train", "val", "test"):
        for name in sorted(standard(split).parts[part]):
            for file in ("train", "test"):
                images, labels = content[file]
                rows += [image for image, label in zip(images, labels, strict=True) if NAMES[label] == name]
    return np.stack(rows)


@pytest.mark.parametrize("name", ["cifar-fs", "fc100"])
@pytest.mark.parametrize("at", ["", "cifar-100-python", "cifar-100-python.tar.gz"])
def test_every_image_comes_back_from_files_at_hand(name, at, published, made, tmp_path):
    found = open_images(f"{name}:{published / at}", tmp_path)
    assert np.array_equal(found.images, expected(made[1], SPLIT_OF[name]))
    assert np.array_equal(found.class_ids, np.repeat(np.arange(100), 6))
    for part, classes in found.parts.items():
        assert [found.class_names[c] for c in classes] == sorted(standard(SPLIT_OF[name]).parts[part])
    assert found.name == name
    counts = {"cifar-fs": "64/16/20", "fc100": "60/20/20"}[name]
    assert found.note == f"600 images in 100 classes ({counts}), read from CIFAR-100."
    assert found.standard
    assert found.standard.exact
    assert found.split(SPLIT_OF[name]).name == "ravi"


def test_the_archive_alone_will_do(published, made, tmp_path):
    shutil.copy(published / "cifar-100-python.tar.gz", tmp_path)
    found = open_images(f"cifar-fs:{tmp_path}", tmp_path / "cache")
    assert np.array_equal(found.images, expected(made[1], "bertinetto"))


def test_images_are_resized_as_photographs_are(published, made, tmp_path):
    found = open_images(f"cifar-fs:{published}", tmp_path, image_size=20)
    first = Image.fromarray(expected(made[1], "bertinetto")[0].transpose(1, 2, 0)).resize(
        (20, 20), Image.Resampling.LANCZOS
    )
    assert found.images.shape == (600, 3, 20, 20)
    assert np.array_equal(found.images[0], np.asarray(first).transpose(2, 0, 1))


def test_the_name_downloads_once_and_the_cache_serves_both_ways(published, made, serve, tmp_path, capfd):
    serve(published)
    steps = []
    found = open_images("cifar-fs", tmp_path, progress=lambda *step: steps.append(step))
    assert np.array_equal(found.images, expected(made[1], "bertinetto"))
    assert steps[:2] == [("downloading cifar-100-python.tar.gz", done, 1) for done in (0, 1)]
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["cifar-100-python.tar.gz"]
    assert capfd.readouterr().err == ""  # torchvision's own bar would cut through ours

    steps.clear()
    open_images("fc100", tmp_path, progress=lambda *step: steps.append(step))
    assert not [step for step in steps if step[0].startswith("downloading")]

    shutil.rmtree(tmp_path / "downloads")
    assert open_images("cifar-fs", tmp_path).fingerprint == found.fingerprint
    assert open_images(f"cifar-fs:{published}", tmp_path).fingerprint == found.fingerprint


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def hostile(made, tmp_path, file):
    """A copy in which one file is a program instead."""
    folder = tmp_path / "copy" / "cifar-100-python"
    shutil.copytree(made[0] / "cifar-100-python", folder)
    (folder / file).write_bytes(pickle.dumps({"data": Payload(tmp_path / "executed")}))
    with tarfile.open(tmp_path / "copy" / "cifar-100-python.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(folder, "cifar-100-python")
    return tmp_path / "copy"


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("file", FILES)
def test_a_program_in_place_of_a_file_is_not_executed(file, made, tmp_path):
    root = hostile(made, tmp_path, file)
    with pytest.raises(DataError, match=rf"copy/cifar-100-python/{file} asks for '.*': .*, and nothing is executed"):
        open_images(f"cifar-fs:{root / 'cifar-100-python'}", tmp_path / "cache")
    archive = root / "cifar-100-python.tar.gz"
    with pytest.raises(DataError, match=rf"{archive} is not the file as it was published \(its MD5 differs\)"):
        open_images(f"cifar-fs:{archive}", tmp_path / "cache")
    assert not (tmp_path / "executed").exists()


def test_other_files_in_a_folder_are_read_and_said_to_be_others(made, tmp_path):
    folder = tmp_path / "cifar-100-python"
    shutil.copytree(made[0] / "cifar-100-python", folder)
    found = open_images(f"cifar-fs:{folder}", tmp_path / "cache")
    assert np.array_equal(found.images, expected(made[1], "bertinetto"))
    assert found.note.endswith("Not the published files: the MD5 of train, test, meta differs.")
    content = pickle.loads((folder / "test").read_bytes(), encoding="bytes")
    content[b"fine_labels"] = [0 for _ in content[b"fine_labels"]]
    (folder / "test").write_bytes(pickle.dumps(content, protocol=2))
    changed = open_images(f"cifar-fs:{folder}", tmp_path / "cache")  # what lies in the cache is not what lies there
    assert changed.fingerprint != found.fingerprint
    shutil.copy(folder / "test", folder / "train")
    with pytest.raises(DataError, match=r"has only 0 image"):
        open_images(f"cifar-fs:{folder}", tmp_path / "cache")


def test_an_archive_that_was_packed_anew_is_told_the_way_out(published, tmp_path):
    (tmp_path / "anew").mkdir()
    with tarfile.open(tmp_path / "anew" / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(published / "cifar-100-python", "cifar-100-python")
    with pytest.raises(DataError, match=r"or, if it was packed anew, unpack it and name its folder cifar-100-python"):
        open_images(f"fc100:{tmp_path / 'anew'}", tmp_path / "cache")
    shutil.unpack_archive(tmp_path / "anew" / "cifar-100-python.tar.gz", tmp_path, filter="data")
    assert open_images(f"fc100:{tmp_path / 'cifar-100-python'}", tmp_path / "cache").images.shape == (600, 3, 32, 32)


@pytest.mark.parametrize("file", FILES)
def test_even_with_the_right_checksum_nothing_is_executed(file, made, tmp_path, monkeypatch):
    root = hostile(made, tmp_path, file)
    publish(monkeypatch, root)
    with pytest.raises(DataError, match=f"cifar-100-python.tar.gz/{file} asks for .*nothing is executed"):
        open_images(f"cifar-fs:{root / 'cifar-100-python.tar.gz'}", tmp_path / "cache")
    assert not (tmp_path / "executed").exists()
    pickle.loads((root / "cifar-100-python" / file).read_bytes())  # the payload works where it is let
    assert (tmp_path / "executed").exists()


@pytest.mark.usefixtures("published")
def test_a_download_with_another_checksum_is_not_kept(made, serve, tmp_path):
    serve(hostile(made, tmp_path, "train"))
    with pytest.raises(DataError, match="is not the published file") as error:
        open_images("cifar-fs", tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []
    assert not (tmp_path / "executed").exists()


def test_without_a_network_one_line_says_what_to_do(published, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR100, "url", "http://127.0.0.1:9/cifar-100-python.tar.gz")  # nobody listens there
    with pytest.raises(DataError) as error:
        open_images("cifar-fs", tmp_path)
    downloads = tmp_path / "downloads"
    assert str(error.value) == (
        f"cannot download http://127.0.0.1:9/cifar-100-python.tar.gz to {downloads} (Connection refused): "
        "fetch it by other means and put it there"
    )
    assert list(downloads.iterdir()) == []
    shutil.copy(published / "cifar-100-python.tar.gz", downloads)
    assert open_images("cifar-fs", tmp_path).images.shape == (600, 3, 32, 32)  # as the line says


@pytest.mark.usefixtures("published")
def test_a_server_that_lacks_the_file(serve, tmp_path):
    serve(tmp_path)
    with pytest.raises(DataError, match=r"\(HTTP Error 404: File not found\): fetch it by other means"):
        open_images("fc100", tmp_path / "cache")


@pytest.mark.parametrize("at", ["", "cifar-100-python", "cifar-100-python.tar.gz"])
def test_a_bare_path_is_told_the_two_splits(at, made):
    path = made[0] / at
    with pytest.raises(DataError, match=f"split in two ways: say cifar-fs:{path} or fc100:{path}"):
        find_source(str(path))


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(DataError, match=r"holds neither cifar-100-python nor cifar-100-python\.tar\.gz"):
        find_source(f"fc100:{tmp_path}")


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(file, made, tmp_path):
    root = hostile(made, tmp_path, file)
    (root / "cifar-100-python" / file).unlink()
    with pytest.raises(DataError, match=f"cifar-100-python/{file} is missing"):
        open_images(f"fc100:{root}", tmp_path / "cache")
