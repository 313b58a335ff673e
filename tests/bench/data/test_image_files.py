"""Archives of pickles, HDF5, .npz and Parquet files: read as their folders are, and nothing stays behind."""

import errno
import io
import json
import pickle
import shutil
import tarfile
import tempfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import open_images
from fewshot_bench.data.readers import archive_trees
from fewshot_bench.errors import DataError

CLASSES = {"train": ("ant", "bee"), "val": ("cow",), "test": ("dog", "elk")}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files; every test must leave it empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def npz(pixels):
    out = io.BytesIO()
    np.savez(out, images=pixels[..., ::-1])
    return out.getvalue()


def hdf5(classes, pixels):
    h5py = pytest.importorskip("h5py")
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for number, name in enumerate(classes):
            file.create_dataset(f"datasets/{name}", data=pixels[3 * number : 3 * number + 3])
    return out.getvalue()


def parquet(classes, pixels):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    labels = [name for name in classes for _ in range(3)]
    out = io.BytesIO()
    pq.write_table(pa.table({"image": [{"bytes": png(p), "path": ""} for p in pixels], "label": labels}), out)
    return out.getvalue()


def cache_pickle(part, classes, pixels):
    indices = {name: [3 * number, 3 * number + 1, 3 * number + 2] for number, name in enumerate(classes)}
    return {f"mini-imagenet-cache-{part}.pkl": pickle.dumps({"image_data": pixels, "class_dict": indices})}


def label_pickle(part, classes, pixels):
    content = {"data": pixels, "labels": ids(classes), "catname2label": {c: i for i, c in enumerate(classes)}}
    stem = part.replace("train", "train_phase_train")
    return {f"miniImageNet_category_split_{stem}.pickle": pickle.dumps(content)}


def tiered_labels(part, classes):
    content = {"label_specific": ids(classes), "label_specific_str": classes, "label_general_str": [part]}
    return {f"{part}_labels.pkl": pickle.dumps(content)}


def tiered_pngs(part, classes, pixels):
    images = pickle.dumps([np.frombuffer(png(image), np.uint8) for image in pixels])
    return {f"{part}_images_png.pkl": images} | tiered_labels(part, classes)


def tiered_npz(part, classes, pixels):
    return {f"{part}_images.npz": npz(pixels)} | tiered_labels(part, classes)


def torchmeta(part, classes, pixels):
    return {f"{part}_data.hdf5": hdf5(classes, pixels), f"{part}_labels.json": json.dumps(classes).encode()}


def ids(classes):
    return [number for number in range(len(classes)) for _ in range(3)]


WRITERS = {  # format -> (part, its classes, three images of each) -> name -> bytes
    "miniimagenet-cache": cache_pickle,
    "label-pickles": label_pickle,
    "tiered-imagenet": tiered_pngs,
    "tiered-imagenet, npz": tiered_npz,
    "torchmeta-hdf5": torchmeta,
    "hf-parquet": lambda part, *images: {f"data/{part}-0.parquet": parquet(*images)},
    "hf-parquet, converted": lambda part, *images: {f"{part}/0000.parquet": parquet(*images)},
}


def files_of(kind):
    """name -> bytes of the same 15 images in one of the formats."""
    rng = np.random.default_rng(0)
    files: dict[str, bytes] = {}
    for part, classes in CLASSES.items():
        files |= WRITERS[kind](part, classes, rng.integers(0, 256, (3 * len(classes), 5, 4, 3), np.uint8))
    return files


@pytest.mark.parametrize(("suffix", "top"), [(".tar", ""), (".tar.gz", "a/b/"), (".zip", "./top/")])
@pytest.mark.parametrize("kind", WRITERS)
def test_an_archive_is_read_as_its_folder_is(tmp_path, cache, layouts, kind, suffix, top):
    files = files_of(kind)
    folder = layouts.write(tmp_path / "folder", files)
    archive = layouts.write(tmp_path / f"set{suffix}", files | {"README.md": b"# images"}, top)
    expected, found = open_images(str(folder), cache), open_images(str(archive), cache)
    assert found.fingerprint == expected.fingerprint
    assert found.name == "set"
    assert found.note.startswith("15 images in 5 classes (2/1/2), read from set.")
    layouts_found = [json.loads(meta.read_text())["archive_layout"] for meta in cache.glob("*/meta.json")]
    assert sorted(layouts_found) == ["", kind.partition(",")[0]]


def fails(archive, cache):
    with pytest.raises(DataError) as error:
        open_images(str(archive), cache)
    assert str(error.value).isprintable()
    assert not list(cache.glob("*"))
    return str(error.value)


def test_a_fault_names_the_archive_and_the_file(tmp_path, cache, layouts):
    files = files_of("tiered-imagenet") | {"val_labels.pkl": b"<html>"}
    archive = layouts.write(tmp_path / "set.tar", files)
    assert fails(archive, cache).startswith(f"{archive}: val_labels.pkl is a web page")


def test_a_missing_file_is_named(tmp_path, cache, layouts):
    files = files_of("miniimagenet-cache")
    del files["mini-imagenet-cache-val.pkl"]
    archive = layouts.write(tmp_path / "set.zip", files)
    assert fails(archive, cache).startswith(f"{archive}: mini-imagenet-cache-val.pkl is missing: expected a folder")


def test_a_file_that_is_there_twice(tmp_path, cache, layouts):
    archive = layouts.write(tmp_path / "set.tar", files_of("miniimagenet-cache"))
    with tarfile.open(archive, "a") as tar:
        tar.addfile(tarfile.TarInfo("./mini-imagenet-cache-val.pkl"))
    assert fails(archive, cache) == f"{archive} holds 'mini-imagenet-cache-val.pkl' twice"


def test_paths_out_of_the_archive_are_passed_over(tmp_path, cache, layouts):
    files = files_of("miniimagenet-cache")
    expected = open_images(str(layouts.write(tmp_path / "a.tar", files)), cache).fingerprint
    archive = layouts.write(tmp_path / "b.tar", files)
    with tarfile.open(archive, "a") as tar:
        for name in ("../escaped.pkl", "/escaped.pkl", f"{tmp_path}/escaped.pkl", "x/../../escaped.pkl"):
            tar.addfile(tarfile.TarInfo(name))
    assert open_images(str(archive), cache).fingerprint == expected
    assert not list(tmp_path.rglob("*escaped*"))


def test_names_that_cannot_be_unpacked(tmp_path, cache, layouts):
    archive = layouts.write(tmp_path / "set.zip", files_of("miniimagenet-cache"))
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("a.pkl", b"")
        members.writestr("a.pkl/b.pkl", b"")
    assert fails(archive, cache).startswith(f"{archive}: a.pkl/b.pkl has a name that cannot be unpacked")


def test_a_full_disk(tmp_path, cache, layouts, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = layouts.write(tmp_path / "set.tar", files_of("miniimagenet-cache"))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    assert fails(archive, cache) == (
        f"{archive} cannot be unpacked into a temporary folder (No space left on device): "
        "unpack it yourself and name its folder, or let TMPDIR name a larger disk"
    )


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".zip"])
def test_a_damaged_archive_is_named(tmp_path, cache, layouts, suffix):
    archive = layouts.write(tmp_path / f"set{suffix}", files_of("miniimagenet-cache"))
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    assert fails(archive, cache).startswith(f"{archive} is a damaged or incomplete archive")


def test_too_many_files(tmp_path, cache, layouts, monkeypatch):
    monkeypatch.setattr(archive_trees, "MAX_FILES", 2)
    archive = layouts.write(tmp_path / "set.tar", files_of("miniimagenet-cache"))
    assert fails(archive, cache) == f"{archive} holds more than 2 files of data"


def test_other_pickles_beside_images_do_no_harm(tmp_path, cache, photos, layouts):
    files = layouts.files("split-folders", photos)
    expected = open_images(str(layouts.write(tmp_path / "a.tar", files)), cache).fingerprint
    archive = layouts.write(tmp_path / "b.tar", files | {"notes.pkl": b"anything", "train_labels.json": b"x"})
    assert open_images(str(archive), cache).fingerprint == expected
