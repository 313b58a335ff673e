"""The layout `images/` + three CSV files: the same array from a folder and from archives."""

import io

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import labels, open_images
from fewshot_bench.errors import DataError

LAYOUTS = {
    "folder": lambda photos, at: photos.as_folder(at / "set"),
    "folder + tar.xz": lambda photos, at: photos.as_folder_with_archive(at / "set"),
    "folder + tar.gz": lambda photos, at: photos.as_folder_with_archive(at / "set", ".tar.gz"),
    "folder + tar": lambda photos, at: photos.as_folder_with_archive(at / "set", ".tar"),
    "folder + flat tar": lambda photos, at: photos.as_folder_with_archive(at / "set", ".tar", prefix="./"),
    "tar": lambda photos, at: photos.as_archive(at / "set.tar"),
    "tar.xz with a top folder": lambda photos, at: photos.as_archive(at / "set.tar.xz", top="set/"),
    "tgz from .": lambda photos, at: photos.as_archive(at / "set.tgz", top="./"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_pillows_own_pixels_in_sorted_order(photos, tmp_path, cache, layout):
    images = open_images(str(LAYOUTS[layout](photos, tmp_path)), cache)

    assert images.name == "set"
    assert images.class_names == ("ant", "dog", "cow", "bee", "elk")  # train, val, test; sorted within each
    assert images.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert images.class_ids.tolist() == [c for c in range(5) for _ in range(3)]
    assert images.images.dtype == np.uint8
    files = [f"{name}{number:04d}.jpg" for name in images.class_names for number in range(3)]
    expected = [np.asarray(Image.open(io.BytesIO(photos.files[file]))).transpose(2, 0, 1) for file in files]
    np.testing.assert_array_equal(images.images, expected)  # (15, 3, 10, 12)


def test_the_fingerprint_depends_on_content_only(photos, tmp_path, cache):
    fingerprints = set()
    for number, write in enumerate(LAYOUTS.values()):
        at = tmp_path / str(number)
        at.mkdir()
        fingerprints.add(open_images(str(write(photos, at)), cache / str(number)).fingerprint)
    assert len(fingerprints) == 1


def test_a_list_with_too_many_rows(photos, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(labels, "MAX_ROWS", 7)
    open_images(str(photos.as_folder(tmp_path / "seven")), cache)
    photos.csvs["test.csv"] += "\n"  # an empty row has its cost, too
    with pytest.raises(DataError, match=r"eight/test\.csv has more than 7 rows"):
        open_images(str(photos.as_folder(tmp_path / "eight")), cache)


@pytest.mark.parametrize("change", ["pixel", "class name", "part"])
def test_the_fingerprint_notices(photos, tmp_path, cache, change):
    before = open_images(str(photos.as_folder(tmp_path / "before")), cache).fingerprint
    if change == "pixel":
        first = next(iter(photos.files))
        picture = np.array(Image.open(io.BytesIO(photos.files[first])))
        out = io.BytesIO()
        Image.fromarray(255 - picture).save(out, "JPEG")
        photos.files[first] = out.getvalue()
    elif change == "class name":
        photos.csvs["val.csv"] = photos.csvs["val.csv"].replace(",cow", ",cat")
    else:
        photos.csvs["val.csv"], photos.csvs["test.csv"] = photos.csvs["test.csv"], photos.csvs["val.csv"]
    assert open_images(str(photos.as_folder(tmp_path / "after")), cache).fingerprint != before


def test_image_size_resizes_with_lanczos_to_a_square(photos, tmp_path, cache):
    images = open_images(str(photos.as_folder(tmp_path / "set")), cache, image_size=7)
    picture = Image.open(io.BytesIO(photos.files["ant0000.jpg"]))
    expected = np.asarray(picture.resize((7, 7), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    np.testing.assert_array_equal(images.images[0], expected)


def test_files_that_no_csv_names_are_ignored(photos, tmp_path, cache):
    before = open_images(str(photos.as_folder(tmp_path / "a")), cache).fingerprint
    photos.files["notes.txt"] = b"no image"
    assert open_images(str(photos.as_folder(tmp_path / "b")), cache).fingerprint == before
    assert open_images(str(photos.as_archive(tmp_path / "b.tar")), cache).fingerprint == before


def test_a_byte_order_mark_extra_columns_and_blank_lines_are_fine(photos, tmp_path, cache):
    before = open_images(str(photos.as_folder(tmp_path / "a")), cache).fingerprint
    lines = photos.csvs["val.csv"].splitlines()
    lines = [lines[0] + ",note", *(f'{line},"a, b"' for line in lines[1:]), ""]
    photos.csvs["val.csv"] = "\ufeff" + "\r\n".join(lines)
    assert open_images(str(photos.as_folder(tmp_path / "b")), cache).fingerprint == before


def test_files_may_lie_in_folders_below_images(photos, tmp_path, cache):
    before = open_images(str(photos.as_folder(tmp_path / "a")), cache).fingerprint
    photos.csvs = {name: text.replace("cow0", "farm/cow0") for name, text in photos.csvs.items()}
    photos.files = {name.replace("cow0", "farm/cow0"): data for name, data in photos.files.items()}
    assert open_images(str(photos.as_archive(tmp_path / "b.tar")), cache).fingerprint == before


def test_progress_ends_at_the_total(photos, tmp_path, cache):
    calls = []
    open_images(str(photos.as_folder(tmp_path / "set")), cache, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("decoding images", 15, 15)
