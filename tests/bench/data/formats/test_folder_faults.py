"""What can be wrong with folders of images and their lists, each told in one line that names it."""

import io
import json
import os

import pytest
from PIL import Image

from fewshot_bench.data import open_images
from fewshot_bench.errors import DataError


def _put(name, data):
    return lambda files: files.update({name: data})


def _rename(old, new):
    def change(files):
        for name in [name for name in files if name.startswith(old)]:
            files[new + name.removeprefix(old)] = files.pop(name)

    return change


def _remove(start):
    def change(files):
        for name in [name for name in files if name.startswith(start)]:
            del files[name]

    return change


def _edit(name, old, new):
    def change(files):
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


def _json(name, **changes):
    def change(files):
        files[name] = json.dumps(json.loads(files[name]) | changes).encode()

    return change


def _tiff():
    out = io.BytesIO()
    Image.new("RGB", (12, 10)).save(out, "TIFF")
    return out.getvalue()


HTML = b"<!DOCTYPE html>\n<html><title>Quota exceeded</title></html>"
TOO_DEEP = b'{"label_names": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"

# layout, what is done to a sound set, pieces of the message that follows
FAULTS = {
    "class that a terminal obeys": (
        "split-folders",
        _rename("test/bee/", "test/\x1b[31mbee/"),
        ["set", "'\\x1b[31mbee' cannot be the name of a class"],
    ),
    "class with a long name": (
        "easyfsl-csv",
        _edit("test.csv", b"\nbee,", b"\n" + b"b" * 201 + b","),
        ["test.csv, row 2", "'bbbbbbbbbb", "cannot be the name of a class"],
    ),
    "class list that is one endless line": (
        "bertinetto",
        _edit("splits/ravi/test.txt", b"bee", b"b" * 10_000_000),
        ["test.txt, line 1", "'bbbbbbbbbb", "cannot be the name of a class"],
    ),
    "no val": ("split-folders", _remove("val/"), ["val is missing", "train/, val/, test/"]),
    "only train": ("split-folders", lambda f: (_remove("val/")(f), _remove("test/")(f)), ["val is missing"]),
    "two vals": ("split-folders", _put("valid/a/b.jpg", b""), ["valid", "'val'", "both mean"]),
    "no classes in val": (
        "split-folders",
        lambda f: (_remove("val/")(f), _put("val/a.jpg", b"")(f)),
        ["val holds no class folders"],
    ),
    "class in two parts": ("split-folders", _rename("test/bee/", "test/ant/"), ["test/ant: ", "'ant'", "train/ant"]),
    "empty class": ("split-folders", _put("val/void/notes.txt", b"-"), ["val/void holds no images (.bmp, "]),
    "class of one": ("split-folders", _put("val/one/1.jpg", b"-"), ["val/one: ", "'one' has only 1 image"]),
    "folder in class": ("split-folders", _put("val/cow/a/1.jpg", b"-"), ["val/cow/a is a folder in a class folder"]),
    "unread kind": ("split-folders", _put("val/cow/1.TIF", _tiff()), ["val/cow/1.TIF", "not read", "PNG"]),
    "other unread kinds": ("split-folders", _put("val/cow/1.Jpe", b"-"), ["val/cow/1.Jpe", "not read", "PNG"]),
    "dev for val": (
        "split-folders",
        _rename("val/", "dev/"),
        ["val is missing", "; if it is 'dev', call that val; ", "move some classes"],
    ),
    "class called images": (
        "class-folders, split.csv",
        lambda f: (_rename("cow/", "images/")(f), _remove("split")(f)),
        ["train.csv is missing", "; if 'images' is a class, name class-folders:"],
    ),
    "classes called data and splits": (
        "class-folders, split.csv",
        lambda f: (_rename("cow/", "data/")(f), _rename("elk/", "splits/")(f), _remove("split.csv")(f)),
        ["splits holds no folder", "; if these are classes, name class-folders:"],
    ),
    "tiff called jpg": ("split-folders", _put("val/cow/1.jpg", _tiff()), ["val/cow/1.jpg", "is not a JPEG, PNG"]),
    "line in a name": ("split-folders", _put("val/cow/1\n2.png", b"-"), [r"val/cow/1\n2.png", "is not a JPEG"]),
    "accents twice": (
        "split-folders",
        lambda f: (_put("val/\xe4/1.png", b"")(f), _put("val/a\u0308/1.png", b"")(f)),
        ["another folder has the same name", "accents"],
    ),
    "no test.txt": ("bertinetto", _remove("splits/ravi/test"), ["splits/ravi/test.txt is missing"]),
    "no split": ("bertinetto", _rename("splits/ravi/", "splits/ravi/x/"), ["splits holds no folder with train.txt"]),
    "no data for class": ("bertinetto", _put("splits/ravi/val.txt", b"cow\n\nyak\n"), ["val.txt, line 3", "data/yak"]),
    "class out of data": ("bertinetto", _put("splits/ravi/val.txt", b"../../x\n"), ["val.txt, line 1", "data/../../x"]),
    "line twice": ("bertinetto", _put("splits/ravi/val.txt", b"cow\ncow\n"), ["val.txt, line 2", "val.txt, line 1"]),
    "line in two lists": (
        "bertinetto",
        _put("splits/ravi/val.txt", b"cow\ndog\n"),
        ["val.txt, line 2", "'dog' is in train already", "train.txt, line 1"],
    ),
    "empty list": ("bertinetto", _put("splits/ravi/val.txt", b"\n"), ["val.txt names no classes"]),
    "html list": ("bertinetto", _put("splits/ravi/val.txt", HTML), ["val.txt is a web page"]),
    "no row": ("class-folders, split.csv", _edit("split.csv", b"\ncow,val", b""), ["split.csv has no row", "'cow'"]),
    "row twice": ("class-folders, split.csv", _edit("split.csv", b"elk", b"cow"), ["split.csv, row 6", "'cow'", "val"]),
    "no folder": ("class-folders, split.csv", _edit("split.csv", b"cow", b"yak"), ["split.csv, row 4", "'yak'"]),
    "no part": ("class-folders, split.csv", _edit("split.csv", b"cow,val", b"cow,fun"), ["split.csv, row 4", "'fun'"]),
    "empty part": ("class-folders, split.csv", _edit("split.csv", b",val", b",test"), ["puts no class into val"]),
    "split header": (
        "class-folders, split.csv",
        _edit("split.csv", b"class", b"name"),
        ["header must be 'class,part'"],
    ),
    "two classes": (
        "class-folders, split.csv",
        lambda f: [_remove(start)(f) for start in ("ant", "bee", "cow", "split")],
        ["2 class folders", "need 3"],
    ),
    "no novel": ("chen-json, relative", _remove("novel.json"), ["novel.json is missing"]),
    "no json": ("chen-json, relative", _put("val.json", b"{'a'}"), ["val.json is not JSON"]),
    "deep json": ("chen-json, relative", _put("val.json", TOO_DEEP), ["val.json is not JSON"]),
    "list": ("chen-json, relative", _put("val.json", b"[1]"), ["val.json holds no list 'label_names'"]),
    "long number": ("chen-json, relative", _put("val.json", b"[" + b"1" * 5000 + b"]"), ["val.json is not JSON"]),
    "lengths": ("chen-json, relative", _json("val.json", image_labels=[2]), ["3 image_names but 1 image_labels"]),
    "label": ("chen-json, relative", _json("val.json", image_labels=[2, 2, 5]), ["val.json, image 3", "'5'", "0 to 4"]),
    "label true": ("chen-json, relative", _json("val.json", image_labels=[2, True, 2]), ["image 2", "'True'"]),
    "label names": ("chen-json, relative", _json("val.json", label_names=["a", "a", "b"]), ["'a' twice"]),
    "label name": ("chen-json, relative", _json("val.json", label_names=["a", 7, "b"]), ["label_names 2", "'7'"]),
    "surrogate": ("chen-json, relative", _json("val.json", label_names=["a", "\ud800"]), ["label_names 2", "Unicode"]),
    "image name": ("chen-json, relative", _json("val.json", image_names=["a", None, 1]), ["val.json, image 1", "'a'"]),
    "out": (
        "chen-json, relative",
        _json("val.json", image_names=["../../etc/passwd"] * 3),
        ["val.json, image 1: no file 'etc/passwd'", "put the class folders beside"],
    ),
    "image again": (
        "chen-json, relative",
        _json("val.json", image_names=["cow/cow0000.jpg"] * 3),
        ["val.json, image 2", "is listed before", "image 1"],
    ),
    "ambiguous": (
        "chen-json, of another machine",
        _put("old/cow/cow0000.jpg", b"-"),
        ["val.json, image", "more than once", "CUB/images/cow/cow0000.jpg", "old/cow/cow0000.jpg"],
    ),
    "no val.csv": ("easyfsl-csv", _remove("val.csv"), ["val.csv is missing"]),
    "other header": (
        "easyfsl-csv",
        _edit("val.csv", b"class_name", b"class"),
        ["val.csv: the header must be 'class_name,image_name', not 'class,image_name'"],
    ),
    "no such image": ("easyfsl-csv", _edit("val.csv", b"cow0001", b"cow0009"), ["val.csv, row 3", "cow/cow0009.jpg"]),
    "no image name": ("easyfsl-csv", _edit("val.csv", b"cow0001.jpg", b""), ["val.csv, row 3", "an empty image_name"]),
    "parent": ("easyfsl-csv", _edit("val.csv", b"cow,", b"..,"), ["val.csv, row 2", "stay inside the data set"]),
    "absolute": ("easyfsl-csv", _edit("val.csv", b"cow,", b"/etc,"), ["val.csv, row 2", "stay inside the data set"]),
    "long name": ("easyfsl-csv", _edit("val.csv", b"cow0001", b"x" * 999), ["val.csv, row 3", "xxx"]),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", ["set", "set.zip"])
def test_a_fault_is_one_line_that_names_the_file(photos, layouts, tmp_path, cache, fault, shape):
    layout, change, pieces = FAULTS[fault]
    files = layouts.files(layout, photos)
    change(files)
    with pytest.raises(DataError) as error:
        open_images(str(layouts.write(tmp_path / shape, files)), cache)
    message = str(error.value)
    assert "\n" not in message
    assert "set" in message
    for piece in pieces:
        assert piece in message
    assert not list(cache.glob("*")), "a failed preparation leaves nothing behind"


@pytest.fixture
def folder(photos, layouts, tmp_path):
    return layouts.write(tmp_path / "set", layouts.files("split-folders", photos))


def _message(folder, cache):
    with pytest.raises(DataError) as error:
        open_images(str(folder), cache)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_links_inside_the_data_set_are_followed(folder, cache):
    before = open_images(str(folder), cache).fingerprint
    (folder / "all").mkdir()
    (folder / "val/cow/cow0000.jpg").rename(folder / "all/x.jpg")
    (folder / "val/cow/cow0000.jpg").symlink_to(folder / "all/x.jpg")
    assert open_images(str(folder), cache).fingerprint == before


def test_the_same_file_twice_is_refused(folder, cache):
    (folder / "val/cow/copy.jpg").symlink_to(folder / "train/dog/dog0001.jpg")
    assert "'train/dog/dog0001.jpg'" in _message(folder, cache)
    (folder / "val/cow/copy.jpg").unlink()
    (folder / "val/yak").symlink_to(folder / "val/cow")
    assert "is the same file as 'val/cow/cow0000.jpg'" in _message(folder, cache)


def test_a_link_to_nothing_and_a_pipe(folder, cache):
    (folder / "val/cow/x.jpg").symlink_to("y.jpg")
    assert "val/cow/x.jpg" in _message(folder, cache)
    (folder / "val/cow/x.jpg").unlink()
    os.mkfifo(folder / "val/cow/x.jpg")
    assert "x.jpg': is not a regular file" in _message(folder, cache)


def test_a_pipe_for_a_list_is_not_waited_for(photos, layouts, tmp_path, cache):
    folder = layouts.write(tmp_path / "set", layouts.files("class-folders, split.csv", photos))
    (folder / "split.csv").unlink()
    os.mkfifo(folder / "split.csv")
    assert "split.csv is not a regular file" in _message(folder, cache)


def test_folders_in_a_circle(photos, layouts, tmp_path, cache):
    folder = layouts.write(tmp_path / "set", layouts.files("chen-json, relative", photos))
    (folder / "loop").symlink_to(folder)
    assert "more than 8 deep" in _message(folder, cache)


def test_a_folder_that_cannot_be_read(folder, cache, monkeypatch):
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith("cow"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert _message(folder, cache) == f"{folder}/val/cow: Permission denied"


@pytest.mark.parametrize("where", ["class", "file"])
def test_a_name_that_is_not_utf8(folder, cache, where):
    name = os.fsdecode(b"caf\xe9")
    path = folder / "val" / name / "1.jpg" if where == "class" else folder / "val/cow" / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"-")
    message = _message(folder, cache)
    assert r"caf\udce9" in message
    message.encode()
    assert "not UTF-8: rename it" in message


def test_an_archive_in_no_known_layout(layouts, tmp_path, cache):
    archive = layouts.write(tmp_path / "set.zip", {"readme.txt": b"x"})
    assert "set.zip is in no known layout: it holds 1 .txt file; `bench data list`" in _message(archive, cache)
