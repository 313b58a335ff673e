"""Lists and folders as spreadsheets, Windows and other people write them: read, or refused with a way out."""

import json
import shlex
import zipfile

import numpy as np
import pytest

from fewshot_bench.data import find_source, open_images, recognise
from fewshot_bench.data.labels import labels_of, twins
from fewshot_bench.errors import DataError

ENCODINGS = {
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16 with a mark": lambda text: text.encode("utf-16"),
    "utf-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16, big end first, without a mark": lambda text: text.encode("utf-16-be"),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
}
DIALECTS = {
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "quoted": lambda text: "\n".join(",".join(f'"{c}"' for c in row.split(",")) for row in text.splitlines()),
    "quoted, semicolons": lambda text: "\n".join(";".join(f'"{c}"' for c in row.split(",")) for row in text.split()),
    "blanks after the comma": lambda text: text.replace(",", ", "),
    "blanks everywhere": lambda text: text.replace(",", " , ").replace("\n", " \n "),
    "quoted after a blank": lambda text: "\n".join(f'{a}, "{b}"' for a, b in (r.split(",") for r in text.split())),
    "rows of nothing": lambda text: text + "\n,\n , \n",
    "capitals in the header": lambda text: text.replace("filename,label", "Filename,LABEL").replace("class_", "Class_"),
}


def fails(source, cache, *pieces):
    with pytest.raises(DataError) as error:
        open_images(str(source), cache)
    message = str(error.value)
    assert message.isprintable()
    for piece in pieces:
        assert piece in message
    return message


def with_lists(files, change):
    """The same files, their lists changed."""
    return {name: data if name.endswith(".jpg") else change(data.decode()) for name, data in files.items()}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("archived", [False, True])
def test_text_as_it_comes(photos, layouts, layout, tmp_path, cache, encoding, archived):
    files = layouts.files(layout, photos)
    expected = open_images(str(layouts.write(tmp_path / "plain", files)), cache).fingerprint
    changed = layouts.write(tmp_path / ("set.zip" if archived else "set"), with_lists(files, ENCODINGS[encoding]))
    assert open_images(str(changed), cache).fingerprint == expected


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("layout", ["easyfsl-csv", "class-folders, split.csv", "miniimagenet-csv"])
def test_tables_as_they_come(photos, layouts, tmp_path, cache, layout, dialect):
    if layout == "miniimagenet-csv":
        files = {f"images/{name}": data for name, data in photos.files.items()}
        files |= {name: text.encode() for name, text in photos.csvs.items()}
    else:
        files = layouts.files(layout, photos)
    expected = open_images(str(layouts.write(tmp_path / "plain", files)), cache).fingerprint
    changed = with_lists(files, lambda text: DIALECTS[dialect](text).encode())
    assert open_images(str(layouts.write(tmp_path / "set", changed)), cache).fingerprint == expected


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"a\x00\xff", b"\x00\xd8\x00", b'class_name,image_name\n"', b"\r\r"]
)
def test_what_is_no_text_is_one_line(photos, layouts, tmp_path, cache, content):
    folder = layouts.write(tmp_path / "set", layouts.files("easyfsl-csv", photos) | {"val.csv": content})
    assert "\n" not in fails(folder, cache, "val.csv")


def test_a_header_of_100_000_columns_is_no_work(photos, layouts, tmp_path, cache):
    header = ",".join(["class_name", "image_name", *(f"x{i}" for i in range(100_000))])
    folder = layouts.write(tmp_path / "set", layouts.files("easyfsl-csv", photos) | {"val.csv": header.encode()})
    fails(folder, cache, "val.csv names no images")


def test_a_column_that_is_there_twice(photos, layouts, tmp_path, cache):
    files = layouts.files("easyfsl-csv", photos)
    twice = files["val.csv"].replace(b"class_name,image_name", b"class_name,image_name,image_name")
    folder = layouts.write(tmp_path / "set", files | {"val.csv": twice})
    fails(folder, cache, "val.csv: the header has 'image_name' more than once")


ALIKE = {  # what the class `bee` of the test part is called -> what it is too like
    "capitals": ("Dog", "dog"),
    "Unicode form": ("e\u0301lan", "élan"),
    "wide letters": ("ｄｏｇ", "dog"),
    "a blank more": ("my  dog", "my dog"),
    "a blank at an end": ("dog ", "dog"),
    "sharp s": ("STRASSE", "straße"),
    "an I of Turkish": ("ıdil", "IDIL"),
    "zeros before": ("7", "007"),
    "zeros behind": ("7.0", "7"),
}


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("part", ["train", "test"])
def test_classes_that_differ_in_what_nobody_sees(photos, layouts, tmp_path, cache, kind, part):
    """In folders, by which part they are in; accents spelled in two ways are one name before they come here."""
    files = {}
    for name, data in layouts.files("split-folders", photos).items():
        files[name.replace("/dog/", f"/{ALIKE[kind][1]}/").replace("test/bee/", f"{part}/{ALIKE[kind][0]}/")] = data
    message = fails(layouts.write(tmp_path / "set", files), cache)
    if kind == "Unicode form":
        assert "spelling of its accents" in message or "is in train already" in message
    else:
        assert f"{ALIKE[kind][0]!r}" in message
        assert f"{ALIKE[kind][1]!r}" in message
        assert "differ only in capitals, blanks, Unicode form or how a number is written" in message


def test_labels_in_lists_that_differ_in_capitals(photos, layouts, tmp_path, cache):
    photos.csvs["test.csv"] = photos.csvs["test.csv"].replace(",bee", ",DOG")
    fails(photos.as_folder(tmp_path / "set"), cache, "test.csv, row 2", "'DOG'", "'dog'", "train.csv, row 2")


def test_labels_in_lists_lose_their_blanks(photos, tmp_path, cache):
    expected = open_images(str(photos.as_folder(tmp_path / "plain")), cache)
    photos.csvs["test.csv"] = photos.csvs["test.csv"].replace(",bee", ", bee").replace(",elk", ",elk ")
    found = open_images(str(photos.as_folder(tmp_path / "set")), cache)
    assert found.class_names == expected.class_names
    photos.csvs["test.csv"] = photos.csvs["test.csv"].replace(", bee", ", dog")
    fails(photos.as_folder(tmp_path / "leak"), cache, "class 'dog' is in train already")


def test_labels_of_any_format_are_looked_at():
    parts = {"train": ["dog", "ant"], "val": ["cow"], "test": ["Ant"]}
    with pytest.raises(DataError, match="set: the classes 'ant' and 'Ant' differ only in capitals"):
        labels_of(parts, np.repeat(np.arange(4), 2), "set")
    assert twins(["a", "b", "a b", "ab", "a-b"]) is None
    for unseen in "\u034f\u3164\ufe0f\u2800\uffa0":  # printable, with nothing to be seen
        assert twins(["ant", f"ant{unseen}"]) == ("ant", f"ant{unseen}")


def easyfsl_json(files, root="/home/me/data/birds/images/"):
    """easyfsl's lists beside class folders, as for CUB."""
    parts = {"train": ("dog", "ant"), "val": ("cow",), "test": ("bee", "elk")}
    lists = {
        f"{part}.json": json.dumps({"class_names": names, "class_roots": [root + name for name in names]}).encode()
        for part, names in parts.items()
    }
    return lists | {f"images/{name[:3]}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize("root", ["/home/me/data/birds/images/", "./data/CUB/images/", "C:\\CUB\\", "images/", "../x/"])
def test_class_lists_of_easyfsl_are_read(photos, layouts, tmp_path, cache, root):
    expected = open_images(str(layouts.write(tmp_path / "plain", layouts.files("split-folders", photos))), cache)
    files = easyfsl_json(photos.files, root)
    if not root.endswith("images/"):
        files = {name.removeprefix("images/"): data for name, data in files.items()}
    folder, archive = layouts.write(tmp_path / "set", files), layouts.write(tmp_path / "set.tar", files, "top/")
    assert recognise(str(folder))[0] == "easyfsl-json"
    for source in (folder, archive):
        found = open_images(str(source), cache)
        assert found.fingerprint == expected.fingerprint
        assert "at random" not in found.note
        assert found.left_out == ""


def test_folders_that_no_class_list_of_easyfsl_names_are_told(photos, layouts, tmp_path, cache):
    files = easyfsl_json(photos.files) | {"images/yak/a.png": b"-", "images/cow/a": b"-"}
    found = open_images(str(layouts.write(tmp_path / "set", files)), cache)
    assert found.left_out == (
        "Folders left out, as no list names them: 1 ('images/yak'). "
        "Files left out, as they are not called like images: 1 ('images/cow/a')."
    )


JSON_FAULTS = {
    "no classes": (b'{"class_names": [], "class_roots": []}', "names no classes"),
    "not JSON": (b"{", "is not JSON"),
    "nested": (b'{"class_roots":' + b"[" * 50_000, "is not JSON"),
    "no lists": (b'{"class_names": {}, "class_roots": 7}', "holds no list 'class_names'"),
    "numbers": (b'{"class_names": ["cow"], "class_roots": [7]}', "'7' is not a name"),
    "of two lengths": (b'{"class_names": ["cow"], "class_roots": ["cow", "x"]}', "1 class_names but 2 class_roots"),
    "twice": (
        b'{"class_names": ["cow", "cow "], "class_roots": ["images/cow", "images/cow"]}',
        "class 2: 'cow' is listed before",
    ),
    "no folder": (b'{"class_names": ["cow"], "class_roots": ["/x/yak"]}', "class 1: there is no folder 'yak'"),
    "a zero byte": (b'{"class_names": ["cow"], "class_roots": ["c\\u0000w"]}', r"class 1: there is no folder 'c\x00w'"),
    "too long": (b'{"class_names": ["cow"], "class_roots": ["%s"]}' % (b"a" * 2000), "too long for a path"),
    "upwards": (b'{"class_names": ["cow"], "class_roots": ["../.."]}', "class 1: there is no folder '../..'"),
}


@pytest.mark.parametrize("fault", JSON_FAULTS)
def test_faults_of_class_lists_are_named(photos, layouts, tmp_path, cache, fault):
    content, piece = JSON_FAULTS[fault]
    folder = layouts.write(tmp_path / "set", easyfsl_json(photos.files) | {"val.json": content})
    fails(folder, cache, "val.json", piece)


@pytest.mark.parametrize("spelling", [str.title, str.upper, lambda part: f" {part} "])
def test_parts_in_a_split_file_may_be_in_capitals(photos, layouts, tmp_path, cache, spelling):
    files = layouts.files("class-folders, split.csv", photos)
    expected = open_images(str(layouts.write(tmp_path / "plain", files)), cache).fingerprint
    rows = [row.split(",") for row in files["split.csv"].decode().splitlines()]
    files["split.csv"] = "\n".join(",".join([c, p if p == "part" else spelling(p)]) for c, p in rows).encode()
    assert open_images(str(layouts.write(tmp_path / "set", files)), cache).fingerprint == expected


def test_a_zip_with_backslashes(photos, layouts, layout, tmp_path, cache):
    files = layouts.files(layout, photos)
    expected = open_images(str(layouts.write(tmp_path / "plain", files)), cache).fingerprint
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as members:
        members.writestr("photos\\", b"")
        members.writestr("..\\escaped.csv", b"x")
        for name, data in files.items():
            members.writestr("photos\\" + name.replace("/", "\\"), data)
    assert open_images(str(tmp_path / "set.zip"), cache).fingerprint == expected


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["x.jpg", "x.pkl", "train.csv"])
def test_a_member_a_thousand_folders_deep(photos, layouts, tmp_path, cache, suffix, name):
    files = layouts.files("split-folders", photos) | {"a/" * 1000 + name: b"x"}
    archive = layouts.write(tmp_path / f"set{suffix}", files)
    assert len(fails(archive, cache, str(archive), "more than 64 folders deep")) < 300


# What is refused says what to type instead


def test_the_top_folder_of_cub_names_its_images(photos, layouts, tmp_path, cache):
    files = {f"images/{name[:3]}/{name}": data for name, data in photos.files.items()}
    files |= {"images.txt": b"1 x", "classes.txt": b"1 x", "parts/parts.txt": b"1 x", "attributes/a.txt": b"1"}
    folder = layouts.write(tmp_path / "CUB_200_2011", files)
    fails(folder, cache, f"name {folder / 'images'} as the data", "split.csv")
    assert len(open_images(str(folder / "images"), cache).class_names) == 5
    fails(layouts.write(tmp_path / "CUB.zip", files, "CUB/"), cache, "unpack it and name")


def test_a_folder_beside_one_file_is_named(photos, layouts, tmp_path, cache):
    files = {f"CUB/images/{name[:3]}/{name}": data for name, data in photos.files.items()} | {
        "attributes.txt": b"1 x\n"
    }
    folder = layouts.write(tmp_path / "set", files)
    fails(folder, cache, f"it holds 1 folder, 1 .txt file: name {folder / 'CUB'} if the data lie there")
    fails(layouts.write(tmp_path / "set.tar", files), cache, "unpack it, and name 'CUB' if the data lie there")


def test_the_same_classes_in_train_and_val(photos, layouts, tmp_path, cache):
    files: dict[str, bytes] = {}
    for name, data in photos.files.items():
        files |= {f"{part}/{name[:3]}/{name}": data for part in ("train", "val", "test")}
    folder = layouts.write(tmp_path / "set", files)
    message = fails(folder, cache, f"{folder}/val/ant: class 'ant' is in train already", "and 4 more are")
    (way,) = [word for word in message.split() if word.startswith("class-folders:")]
    assert len(open_images(way, cache).class_names) == 5


def test_train_and_val_of_the_same_classes_and_no_test(photos, layouts, tmp_path, cache):
    files = {f"{part}/{name[:3]}/{name}": data for name, data in photos.files.items() for part in ("train", "val")}
    folder = layouts.write(tmp_path / "set", files)
    fails(folder, cache, "is in train already", f"class-folders:{folder}/train")


@pytest.mark.parametrize("name", ["train.txt", "val.json", "novel.csv", "Split.csv", "TRAIN.TXT"])
def test_lists_beside_class_folders_are_not_passed_over(photos, layouts, tmp_path, cache, name):
    """A split at random in their place would be a wrong one that nobody notices."""
    files = {f"{name[:3]}/{name}": data for name, data in photos.files.items()}
    folder = layouts.write(tmp_path / "set", files | {name: b"[]"})
    fails(
        folder, cache, f"{folder / name} is not read", "write split.csv (header class,part) beside it, or move it away"
    )


def test_no_val_part(photos, layouts, tmp_path, cache):
    files = {name.replace("val/", "train/"): data for name, data in layouts.files("split-folders", photos).items()}
    folder = layouts.write(tmp_path / "my set", files)
    commands = fails(folder, cache, "val is missing").partition("`")[2].partition("`")[0]
    for command in commands.split("; "):
        words = shlex.split(command)
        if words[0] == "mkdir":
            (folder / "val").mkdir()
        assert words[-1] == str(folder / "val")
    assert shlex.split(commands.split("; ")[1]) == ["mv", str(folder / "train/ant"), str(folder / "val")]
    (folder / "train/ant").rename(folder / "val/ant")
    assert len(open_images(str(folder), cache).class_names) == 5


@pytest.mark.parametrize("target", ["an image", "a class", "a part", "a list"])
def test_links_out_are_followed_where_a_user_says_so(photos, layouts, tmp_path, cache, target):
    files = layouts.files("class-folders, split.csv" if target == "a list" else "split-folders", photos)
    folder = layouts.write(tmp_path / "set", files)
    expected = open_images(str(folder), cache).fingerprint
    at = {"an image": "val/cow/cow0000.jpg", "a class": "val/cow", "a part": "val", "a list": "split.csv"}[target]
    (folder / at).rename(tmp_path / "elsewhere")
    (folder / at).symlink_to(tmp_path / "elsewhere")
    message = fails(folder, cache, f"{folder / at} is a link out of {folder}, which is not followed")
    way = message.partition("name the data ")[2].split()[0]
    assert way == f"linked:{folder}"
    assert open_images(way, cache).fingerprint == expected
    format_name = recognise(way)[0]
    assert open_images(f"linked:{format_name}:{folder}", cache).fingerprint == expected
    assert find_source(way).where == str(folder)


def test_links_out_beside_an_archive_of_images_are_followed_where_a_user_says_so(photos, tmp_path, cache):
    folder = photos.as_folder_with_archive(tmp_path / "set")
    expected = open_images(str(folder), cache).fingerprint
    (folder / "val.csv").rename(tmp_path / "elsewhere.csv")
    (folder / "val.csv").symlink_to(tmp_path / "elsewhere.csv")
    fails(folder, cache, f"name the data linked:{folder}")
    assert open_images(f"linked:{folder}", cache).fingerprint == expected
