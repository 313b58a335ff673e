"""What can be wrong with a data set, each told in one line that names the file (and the row)."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import open_images
from fewshot_bench.data.readers.faults import read_bounded
from fewshot_bench.errors import DataError

HTML = b"<!DOCTYPE html>\n<html><title>Quota exceeded</title></html>"


def _change_csv(name, old, new):
    def change(photos):
        assert old in photos.csvs[name]
        photos.csvs[name] = photos.csvs[name].replace(old, new, 1)

    return change


def _change_file(name, change):
    def change_photos(photos):
        photos.files[name] = change(photos.files[name])

    return change_photos


def _png(mode, size):
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    return out.getvalue()


# what is done to a sound set, and pieces of the message that follows
FAULTS = {
    "header": (_change_csv("val.csv", "filename", "file"), ["val.csv", "header", "'file,label'"]),
    "empty csv": (lambda p: p.csvs.update({"val.csv": ""}), ["val.csv is empty"]),
    "no rows": (lambda p: p.csvs.update({"val.csv": "filename,label\n"}), ["val.csv names no images"]),
    "html csv": (lambda p: p.csvs.update({"val.csv": HTML.decode()}), ["val.csv", "web page", "download"]),
    "columns": (_change_csv("test.csv", "bee0002.jpg,bee", "bee0002.jpg"), ["test.csv, row 2", "columns"]),
    "empty label": (_change_csv("test.csv", "bee0002.jpg,bee", "bee0002.jpg,"), ["test.csv, row 2", "label"]),
    "quotes": (_change_csv("test.csv", "bee0002.jpg", '"bee'), ["test.csv, row"]),
    "row without file": (
        _change_csv("val.csv", "cow0001.jpg", "cow0009.jpg"),
        ["val.csv, row 3", "no ", "cow0009.jpg"],
    ),
    "parent path": (_change_csv("val.csv", "cow0001.jpg", "../cow.jpg"), ["val.csv, row 3", "'../cow.jpg'"]),
    "absolute path": (
        _change_csv("val.csv", "cow0001.jpg", "/etc/passwd"),
        ["val.csv, row 3", "/etc/passwd"],
    ),
    "backslashes": (_change_csv("val.csv", "cow0001.jpg", "..\\x.jpg"), ["val.csv, row 3", "inside images/"]),
    "null": (_change_csv("val.csv", "cow0001.jpg", "c\0w.jpg"), ["val.csv, row 3"]),
    "class in two parts": (
        _change_csv("test.csv", "elk0000.jpg,elk", "elk0000.jpg,cow"),
        ["test.csv, row 7", "'cow'", "val", "val.csv, row 2"],
    ),
    "file twice": (
        _change_csv("train.csv", "dog0001.jpg", "dog0002.jpg"),
        ["train.csv, row 4", "'dog0002.jpg'", "train.csv, row 2"],
    ),
    "file in two parts": (
        _change_csv("test.csv", "elk0000.jpg", "dog0002.jpg"),
        ["test.csv, row 7", "'dog0002.jpg'", "train.csv, row 2"],
    ),
    "class of one": (
        lambda p: p.csvs.update({"val.csv": "filename,label\ncow0000.jpg,cow\n"}),
        ["val.csv, row 2", "'cow'", "1 image", "needs 2"],
    ),
    "cut image": (_change_file("bee0000.jpg", lambda data: data[:-150]), ["bee0000.jpg", "truncated"]),
    "empty image": (_change_file("bee0000.jpg", lambda _: b""), ["bee0000.jpg", "empty"]),
    "html image": (_change_file("bee0000.jpg", lambda _: HTML), ["bee0000.jpg", "web page"]),
    "git lfs": (
        _change_file("bee0000.jpg", lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ["bee0000.jpg", "Git LFS"],
    ),
    "no image": (_change_file("bee0000.jpg", lambda _: bytes(99)), ["bee0000.jpg", "is not a JPEG, PNG"]),
    "postscript": (_change_file("bee0000.jpg", lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n"), ["not a JPEG"]),
    "16 bits": (_change_file("bee0000.jpg", lambda _: _png("I;16", (12, 10))), ["bee0000.jpg", "8 bits"]),
    "other size": (
        _change_file("bee0000.jpg", lambda _: _png("RGB", (5, 4))),
        ["bee0000.jpg", "5×4", "12×10", "image_size"],
    ),
    "huge": (_change_file("bee0000.jpg", lambda _: _png("1", (5000, 5000))), ["bee0000.jpg", "5000×5000"]),
    "bomb": (_change_file("bee0000.jpg", lambda _: _png("1", (9500, 9500))), ["bee0000.jpg", "pixels"]),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_fault_is_one_line_that_names_the_file(photos, tmp_path, cache, fault, packed):
    change, pieces = FAULTS[fault]
    change(photos)
    path = photos.as_archive(tmp_path / "set.tar.gz") if packed else photos.as_folder(tmp_path / "set")
    with pytest.raises(DataError) as error:
        open_images(str(path), cache)
    message = str(error.value)
    assert "\n" not in message
    assert "set" in message
    for piece in pieces:
        assert piece in message
    assert not list(cache.glob("*")), "a failed preparation leaves nothing behind"


@pytest.mark.parametrize("name", ["train.csv", "val.csv", "test.csv"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_csv_is_named(photos, tmp_path, cache, name, packed):
    del photos.csvs[name]
    path = photos.as_archive(tmp_path / "set.tar") if packed else photos.as_folder(tmp_path / "set")
    with pytest.raises(DataError, match=name):
        open_images(str(path), cache)


def test_a_csv_that_is_not_utf8(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")
    (folder / "val.csv").write_bytes("filename,label\ncow.jpg,Kühe\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"val\.csv, row 2 is not UTF-8 text: .* Latin-1"):
        open_images(str(folder), cache)


def test_no_images_at_all(photos, tmp_path, cache):
    folder = photos.write_csvs(tmp_path / "set")
    with pytest.raises(DataError, match="no images/ folder and no images"):
        open_images(str(folder), cache)


def test_data_that_changes_while_it_is_read(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")

    def meddle(*_):
        (folder / "images" / "cow0001.jpg").write_bytes(photos.files["cow0002.jpg"])

    with pytest.raises(DataError, match="changed while it was being read"):
        open_images(str(folder), cache, progress=meddle)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("stroke", "did you mean 'strokes'"),
        ("nothing-like-it", "known: cifar-fs, fc100, omniglot, strokes"),
        ("/nowhere/at/all", "there is no /nowhere/at/all; `bench data list`"),
        ("x" * 300, "too long"),
    ],
)
def test_an_unknown_source(cache, source, message):
    with pytest.raises(DataError, match=message):
        open_images(source, cache)


def test_a_folder_in_no_known_layout(tmp_path, cache):
    for name in ("a.txt", "b.TXT", "notes", "c.\x1b", "d.xml", "e.yaml", "f.log", "dog/cow/a.txt", "cat/b.txt"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    with pytest.raises(DataError) as error:
        open_images(str(tmp_path / "set"), cache)
    assert str(error.value) == (
        f"{tmp_path}/set is in no known layout: it holds 2 folders, 2 .txt files, 2 other files, 1 .xml file, "
        "2 more files; `bench data list` shows what can be read"
    )


def test_an_empty_folder_and_a_lone_file(tmp_path, cache):
    with pytest.raises(DataError, match="it holds nothing; `bench data list`"):
        open_images(str(tmp_path), cache)
    (tmp_path / "set.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"set\.pkl is a file in no known format \(of several files, name their folder"):
        open_images(str(tmp_path / "set.pkl"), cache)


@pytest.mark.parametrize("image_size", [0, -1, 5000])
def test_an_impossible_image_size(cache, image_size):
    with pytest.raises(DataError, match=f"image_size = {image_size} is not between"):
        open_images("strokes", cache, image_size=image_size)


def test_a_hostile_name_cannot_write_to_the_terminal(photos, tmp_path, cache):
    photos.csvs["val.csv"] = "filename,label\n\x1b[2Jcow.jpg,cow\n\x1b[2Jcalf.jpg,cow\n"
    with pytest.raises(DataError) as error:
        open_images(str(photos.as_folder(tmp_path / "set")), cache)
    assert "\x1b" not in str(error.value)


def test_a_large_photograph_is_fine_when_resized(photos, tmp_path, cache):
    photos.files["bee0000.jpg"] = _png("RGB", (1500, 1200))
    images = open_images(str(photos.as_folder(tmp_path / "set")), cache, image_size=8)
    assert images.images.shape == (15, 3, 8, 8)
    assert not np.asarray(images.images[9]).any()  # bee0000 is black


def test_a_small_file_needs_little_memory_however_large_it_might_be(tmp_path):
    (tmp_path / "test.csv").write_bytes(b"filename,label\n")
    tracemalloc.start()
    try:
        assert read_bounded(tmp_path / "test.csv", 2**28) == b"filename,label\n"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
