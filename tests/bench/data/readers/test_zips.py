"""Zip archives of image folders: the same caps as for tars, and what is peculiar to zips."""

import zipfile

import pytest

from fewshot_bench.data import open_images
from fewshot_bench.data.readers import archives
from fewshot_bench.errors import DataError

HTML = b"<!DOCTYPE html>\n<html><title>Quota exceeded</title></html>"


def _message(archive, cache):
    with pytest.raises(DataError) as error:
        open_images(str(archive), cache)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_paths_out_are_passed_over_and_links_refused(photos, layouts, tmp_path, cache):
    archive = layouts.write(tmp_path / "set.zip", layouts.files("split-folders", photos))
    before = open_images(str(archive), cache).fingerprint
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("../val/cow/y.jpg", b"x")
        members.writestr("/val/cow/z.jpg", b"x")
    assert open_images(str(archive), cache).fingerprint == before
    with zipfile.ZipFile(archive, "a") as members:
        link = zipfile.ZipInfo("val/cow/x.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        members.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"'val/cow/x\.jpg' is a link, which is not followed"):
        open_images(str(archive), cache)


@pytest.mark.parametrize("damage", ["cut", "flipped", "encrypted", "html"])
def test_damage_is_named(photos, layouts, tmp_path, cache, damage):
    archive = layouts.write(tmp_path / "set.zip", layouts.files("split-folders", photos))
    data = bytearray(archive.read_bytes())
    if damage == "flipped":
        data[100] ^= 0xFF
    elif damage == "encrypted":
        data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes({"cut": data[:500], "html": HTML}.get(damage, data))
    message = _message(archive, cache)
    assert {"encrypted": "is encrypted", "html": "web page"}.get(damage, "damaged or incomplete") in message


def test_caps(photos, layouts, tmp_path, cache, monkeypatch):
    files = layouts.files("split-folders", photos)
    archive = layouts.write(tmp_path / "set.zip", files | {"val/cow/x.jpg": bytes(8 << 20)})
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    assert "unpacks to more than" in _message(archive, cache)
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1 << 20)
    assert "val/cow/x.jpg' is larger than 1 MiB" in _message(archive, cache)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    assert "more than 10 members" in _message(archive, cache)


def test_names_of_macos_are_utf8_without_saying_so(photos, layouts, tmp_path, cache):
    files = {name.replace("cow", "kuh-ü"): data for name, data in layouts.files("split-folders", photos).items()}
    archive = layouts.write(tmp_path / "set.zip", files)
    data = archive.read_bytes()
    for flag in (b"PK\3\4\x14\0\0\x08", b"PK\1\2\x14\3\x14\0\0\x08"):
        assert flag in data
        data = data.replace(flag, flag[:-1] + b"\0")
    archive.write_bytes(data)
    assert open_images(str(archive), cache).class_names[2] == "kuh-ü"
