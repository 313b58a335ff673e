"""Every layout of image files: the same array whatever the layout, from folders and from archives."""

import io
import os
import unicodedata
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import find_source, open_images, recognise, splits
from fewshot_bench.data.cache import open_cached
from fewshot_bench.data.formats.class_folders import random_parts
from fewshot_bench.errors import DataError

ARCHIVES = [(f"set{suffix}", top) for suffix in (".zip", ".tar", ".tar.xz") for top in ("", "cifar100/", "./")]


def _silent(*_):
    pass


@pytest.mark.parametrize(("shape", "top"), [("set", ""), ("set.tar.gz", "a/b/"), *ARCHIVES])
def test_every_layout_gives_pillows_own_pixels_in_sorted_order(photos, layouts, layout, tmp_path, cache, shape, top):
    path = layouts.write(tmp_path / shape, layouts.files(layout, photos), top)
    images = open_images(str(path), cache)

    assert images.name == "set"
    assert images.class_names == ("ant", "dog", "cow", "bee", "elk")  # train, val, test; sorted within each
    assert images.parts == {"train": (0, 1), "val": (2,), "test": (3, 4)}
    assert images.class_ids.tolist() == [c for c in range(5) for _ in range(3)]
    files = [f"{name}{number:04d}.jpg" for name in images.class_names for number in range(3)]
    expected = [np.asarray(Image.open(io.BytesIO(photos.files[file]))).transpose(2, 0, 1) for file in files]
    np.testing.assert_array_equal(images.images, expected)  # (15, 3, 10, 12)


def test_a_layout_is_recognised_and_can_be_forced(photos, layouts, layout, tmp_path, cache):
    name = layout.partition(",")[0]
    files = layouts.files(layout, photos)
    folder, archive = layouts.write(tmp_path / "set", files), layouts.write(tmp_path / "set.zip", files)
    assert [recognise(str(path))[0] for path in (folder, archive)] == [name, "archive"]
    found = [open_cached(cache, find_source(f"{name}:{path}"), None, _silent) for path in (folder, archive)]
    ravi = open_images(str(photos.as_folder(tmp_path / "ravi")), cache)
    assert found[0].fingerprint == found[1].fingerprint == ravi.fingerprint


def test_images_in_a_zip_beside_the_lists(photos, layouts, tmp_path, cache):
    files = layouts.files("easyfsl-csv, images/", photos)
    expected = open_images(str(layouts.write(tmp_path / "whole", files)), cache).fingerprint
    for suffix in (".zip", ".tar.gz"):
        folder = layouts.write(tmp_path / suffix[1:4], {name: files[name] for name in files if name.endswith("csv")})
        layouts.write(folder / f"images{suffix}", {name: files[name] for name in files if name.endswith("jpg")})
        assert open_images(str(folder), cache).fingerprint == expected


def test_the_images_of_csv_files_may_lie_behind_a_link(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")
    before = open_images(str(folder), cache).fingerprint
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    assert open_images(str(folder), cache).fingerprint == before


def test_what_is_no_image_or_hidden_is_ignored(photos, layouts, layout, tmp_path, cache):
    files = layouts.files(layout, photos)
    before = open_images(str(layouts.write(tmp_path / "a", files)), cache).fingerprint
    for name in [name for name in files if name.endswith(".jpg")]:
        folder = name.rpartition("/")[0]
        for rubbish in ("Thumbs.db", ".DS_Store", "._a.jpg", "notes.txt", "@eaDir/a.jpg", ".thumbnails/a.jpg"):
            files[f"{folder}/{rubbish}"] = b"no image"
        files[f"__MACOSX/{folder}/._a.jpg"] = b"no image"
    assert open_images(str(layouts.write(tmp_path / "b", files)), cache).fingerprint == before
    assert open_images(str(layouts.write(tmp_path / "b.zip", files)), cache).fingerprint == before


STRAYS = {  # layout -> what lies with the images, and what is told of it
    "split-folders": (
        ["train/dog/a.jpeg.bak", "train/a.png", "b.tif", "eval/ox/a.png", "README", "lists.json", "train/notes.pdf"],
        "Folders left out, as they are called like no part: 1 ('eval'). "
        "Files left out, as they are not called like images: 1 ('train/dog/a.jpeg.bak'). "
        "Images left out, as they lie in no class folder: 2 ('b.tif', 'train/a.png').",
    ),
    "class-folders, split.csv": (
        ["dog/image", "cow/a.dng", "a.png", "LICENSE"],
        "Files left out, as they are not called like images: 2 ('cow/a.dng', 'dog/image'). "
        "Images left out, as they lie in no class folder: 1 ('a.png').",
    ),
    "bertinetto": (
        ["data/ox/a.png", "data/a.png", "data/dog/image"],
        "Class folders left out, as it does not list them: 1. "
        "Files left out, as they are not called like images: 1 ('data/dog/image'). "
        "Images left out, as they lie in no class folder: 1 ('data/a.png').",
    ),
}


@pytest.mark.parametrize("name", STRAYS)
@pytest.mark.parametrize("shape", ["set", "set.zip"])
def test_what_lies_with_the_images_and_is_not_read_is_told(photos, layouts, tmp_path, cache, name, shape):
    files, (strays, told) = layouts.files(name, photos), STRAYS[name]
    sound = open_images(str(layouts.write(tmp_path / f"sound-{shape}", files)), cache)
    assert sound.left_out == ""
    found = open_images(str(layouts.write(tmp_path / shape, files | dict.fromkeys(strays, b"-"))), cache)
    assert found.fingerprint == sound.fingerprint
    assert found.left_out == told
    assert found.note.endswith(told)


def test_grey_and_colour_and_several_kinds_of_file(layouts, tmp_path, cache):
    grey, colour = (Image.fromarray(np.arange(108, dtype=np.uint8).reshape(6, 6, 3)).convert(m) for m in ("L", "RGB"))
    kinds = [("a.PNG", "PNG"), ("b.webp", "WEBP"), ("c.bmp", "BMP"), ("d.Gif", "GIF"), ("e.JPEG", "JPEG")]
    files = {}
    for part in ("train", "val", "test"):
        for name, kind in kinds:
            out = io.BytesIO()
            (colour if kind == "BMP" else grey).save(out, kind, **({"lossless": True} if kind == "WEBP" else {}))
            files[f"{part}/{part}-class/{name}"] = out.getvalue()
    images = open_images(str(layouts.write(tmp_path / "set", files)), cache).images
    assert images.shape == (15, 3, 6, 6)
    np.testing.assert_array_equal(images[0], np.broadcast_to(np.asarray(grey), (3, 6, 6)))
    np.testing.assert_array_equal(images[2], np.asarray(colour).transpose(2, 0, 1))


NAMES = ["Ärger", "日本", "🐈", "a b", "x,y", "n01 & <b>", "ümlaut.d"]


def test_names_of_any_unicode(photos, layouts, tmp_path, cache):
    data = next(iter(photos.files.values()))
    parts = ["train", "val", "test", "train", "train", "train", "train"]
    files = {f"{part}/{name}/{name}{n}.jpg": data for part, name in zip(parts, NAMES, strict=True) for n in range(2)}
    composed = open_images(str(layouts.write(tmp_path / "a", files)), cache)
    assert set(composed.class_names) == set(NAMES)
    spelt_as_macos = {unicodedata.normalize("NFD", name): data for name, data in files.items()}
    assert spelt_as_macos.keys() != files.keys()
    for path in (tmp_path / "b", tmp_path / "b.zip"):
        decomposed = open_images(str(layouts.write(path, spelt_as_macos)), cache)
        assert decomposed.class_names == composed.class_names
        assert decomposed.fingerprint == composed.fingerprint


def test_the_order_is_not_that_of_the_file_system(photos, layouts, layout, tmp_path, cache, monkeypatch):
    files = layouts.files(layout, photos)
    folder = str(layouts.write(tmp_path / "set", files))
    before, state = open_images(folder, cache / "1").fingerprint, find_source(folder).state()
    scandir = os.scandir

    @contextmanager
    def backwards(path="."):
        with scandir(path) as found:
            yield iter(sorted(found, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr(os, "scandir", backwards)
    assert open_images(folder, cache / "2").fingerprint == before
    assert find_source(folder).state() == state


def test_several_splits_are_chosen_by_path(photos, layouts, tmp_path, cache):
    files = layouts.files("bertinetto", photos)
    files |= {name.replace("/ravi/", "/mine/"): data for name, data in files.items() if "/ravi/" in name}
    files["splits/mine/train.txt"], files["splits/mine/test.txt"] = b"bee\nelk", b"ant\r\ndog\r\n\r\n"
    files["splits/notes/readme.txt"] = b"no split"
    folder = layouts.write(tmp_path / "set", files)
    with pytest.raises(DataError, match=r"set/splits holds several splits \('mine', 'ravi'\): name the folder of one"):
        open_images(str(folder), cache)
    mine = open_images(str(folder / "splits" / "mine"), cache)
    ravi = open_images(str(folder / "splits" / "ravi"), cache)
    assert (mine.class_names, mine.name) == (("bee", "elk", "cow", "ant", "dog"), "set")
    assert mine.note.endswith("The split is splits/mine.")
    files["splits/mine/test.txt"] = b"ant"
    layouts.write(tmp_path / "set", files)
    fewer = open_images(str(folder / "splits" / "mine"), cache)
    assert fewer.note.endswith("The split is splits/mine. Class folders left out, as it does not list them: 1.")
    assert ravi.class_names == ("ant", "dog", "cow", "bee", "elk")
    with pytest.raises(DataError, match=r"several splits \('mine', 'ravi'\): unpack the archive, and name the folder"):
        open_images(str(layouts.write(tmp_path / "set.zip", files)), cache)


def test_without_a_split_file_classes_are_split_by_a_seed_of_their_names(photos, layouts, tmp_path, cache):
    files = {
        name: data for name, data in layouts.files("class-folders, split.csv", photos).items() if "csv" not in name
    }
    np.random.seed(1)
    first = open_images(str(layouts.write(tmp_path / "a", files)), cache)
    np.random.seed(2)
    second = open_images(str(layouts.write(tmp_path / "b.tar", dict(reversed(files.items())))), cache)
    assert first.fingerprint == second.fingerprint
    assert {part: len(classes) for part, classes in first.parts.items()} == {"train": 3, "val": 1, "test": 1}
    assert "split at random" in first.note
    assert "not a published split" in first.note


def test_without_a_split_file_the_classes_of_miniimagenet_are_split_as_published(photos, layouts, tmp_path, cache):
    parts, data = splits.standard("ravi").parts, list(photos.files.values())
    files = {f"{name}/{i}.jpg": data[i] for names in parts.values() for name in names for i in range(2)}
    found = open_images(str(layouts.write(tmp_path / "a", files)), cache)
    for part, names in parts.items():
        assert [found.class_names[c] for c in found.parts[part]] == sorted(names)
    assert "Split by class as by Ravi & Larochelle 2017: the classes are those of miniImageNet." in found.note
    one_more = files | {"n00000001/0.jpg": data[0], "n00000001/1.jpg": data[1]}
    assert "split at random" in open_images(str(layouts.write(tmp_path / "b", one_more)), cache).note


def test_classes_that_are_published_in_two_splits_are_split_by_neither():
    cifar = {name for names in splits.standard("bertinetto").parts.values() for name in names}
    assert cifar == {name for names in splits.standard("oreshkin").parts.values() for name in names}
    assert splits.of_classes(cifar) is None


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(3, (1, 1, 1)), (5, (3, 1, 1)), (100, (64, 16, 20)), (200, (128, 32, 40)), (1623, (1038, 260, 325))],
)
def test_a_random_split_has_64_16_20_percent(n, sizes):
    classes = [f"c{i:04d}" for i in range(n)]
    found = random_parts(classes[::-1])
    assert Counter(found.values()) == dict(zip(("train", "val", "test"), sizes, strict=True))
    assert found == random_parts(classes), "whatever order they are found in"


def test_a_random_split_never_changes():
    found = random_parts([f"class{i}" for i in range(10)])
    new = {"class1": "val", "class6": "val", "class4": "test", "class5": "test"}
    assert {c: part for c, part in found.items() if part != "train"} == new


def test_random_splits_of_other_classes_differ():
    splits = {
        tuple(part for _, part in sorted(random_parts([f"{a}{i:02d}" for i in range(25)]).items())) for a in "abcdef"
    }
    assert len(splits) == 6
