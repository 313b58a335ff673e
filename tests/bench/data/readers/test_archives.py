"""Archives made to do harm, or damaged on the way."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from itertools import product

import pytest

from fewshot_bench.data import open_images
from fewshot_bench.data.readers import archives
from fewshot_bench.errors import DataError


def _members(archive):
    return dict(archives.read_members(archive, lambda name: name))


def _with(archive, *kinds):
    with tarfile.open(archive, "w") as tar:
        for kind in kinds:
            info = tarfile.TarInfo("images/x.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    return archive


def test_devices_and_folders_are_passed_over(tmp_path):
    assert _members(_with(tmp_path / "a.tar", tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_that_is_wanted_is_refused_and_others_are_passed_over(kind, tmp_path):
    archive = _with(tmp_path / "a.tar", kind)
    with pytest.raises(
        DataError, match=r"a\.tar: 'images/x\.jpg' is a link, which is not followed: pack what it leads"
    ):
        _members(archive)
    assert dict(archives.read_members(archive, lambda name: None)) == {}


def test_nothing_is_written_outside_the_cache(photos, tmp_path, cache):
    photos.files["../../escaped.jpg"] = b"x"
    photos.files["/escaped.jpg"] = b"x"
    archive = photos.as_archive(tmp_path / "set.tar")
    open_images(str(archive), cache)
    assert {path.name for path in tmp_path.iterdir()} == {"set.tar", "cache"}


def test_a_member_twice_is_refused(photos, tmp_path, cache):
    archive = photos.as_archive(tmp_path / "set.tar")
    with tarfile.open(archive, "a") as tar:
        info = tarfile.TarInfo("images/cow0000.jpg")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"set\.tar holds 'cow0000\.jpg' twice"):
        open_images(str(archive), cache)


def test_a_member_that_claims_a_terabyte_is_not_waited_for(tmp_path):
    info = tarfile.TarInfo("images/x.jpg")
    info.size = 1 << 40
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(20_480))
    with pytest.raises(DataError, match=r"a\.tar is a damaged or incomplete archive \(it ends too early\)"):
        list(archives.read_members(tmp_path / "a.tar", lambda _: None))


@pytest.mark.parametrize(
    ("damage", "suffix"),
    [
        *product(("truncated", "empty", "html", "noise"), (".tar", ".tar.xz", ".tar.gz")),
        *product(("flipped",), (".tar.xz", ".tar.gz")),  # a plain tar has no checksum over its content
    ],
)
def test_a_damaged_archive_is_named(photos, tmp_path, cache, suffix, damage):
    folder = photos.as_folder_with_archive(tmp_path / "set", suffix)
    archive = folder / f"images{suffix}"
    data = bytearray(archive.read_bytes())
    if damage == "flipped":
        data[len(data) // 3] ^= 0xFF
    archive.write_bytes(
        {
            "truncated": data[: len(data) // 2],
            "flipped": data,
            "empty": b"",
            "html": b"<html>Too many requests</html>",
            "noise": bytes(range(256)) * 40,
        }[damage]
    )
    with pytest.raises(DataError, match=rf"images{suffix}") as error:
        open_images(str(folder), cache)
    assert "\n" not in str(error.value)


def test_what_packs_an_archive_is_told_by_its_content(photos, tmp_path, cache):
    expected = open_images(str(photos.as_archive(tmp_path / "a.tar.xz")), cache).fingerprint
    (tmp_path / "a.tar.xz").rename(tmp_path / "b.tar.gz")
    assert open_images(str(tmp_path / "b.tar.gz"), cache).fingerprint == expected


def test_an_archive_that_unpacks_to_far_too_much(photos, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    photos.files["padding.bin"] = bytes(8 << 20)
    archive = photos.as_archive(tmp_path / "set.tar.xz")
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        open_images(str(archive), cache)


def test_a_member_that_is_too_large(photos, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    photos.files["cow0000.jpg"] += bytes(1000)
    with pytest.raises(DataError, match=r"'images/cow0000\.jpg' is larger than"):
        open_images(str(photos.as_archive(tmp_path / "set.tar")), cache)


def test_too_many_members(photos, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    with pytest.raises(DataError, match="more than 10 members"):
        open_images(str(photos.as_archive(tmp_path / "set.tar")), cache)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_oversized_header_is_not_read_into_memory(tmp_path, kind):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 1 << 33
    archive = tmp_path / "a.tar"
    archive.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(DataError, match="a header of 8,589,934,592 bytes"):
        _members(archive)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("cut off between members", "empty header"),
        ("cut off in a header", "truncated header"),
        ("a damaged header", "bad checksum"),
        ("zeros in place of a header", "there are data after its end"),
    ],
)
def test_a_tar_that_ends_before_its_last_member_is_refused(tmp_path, suffix, fault, reason):
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        for number in range(4):
            tar.addfile(tarfile.TarInfo(f"{number}.jpg"))
    whole, third = (tmp_path / "whole.tar").read_bytes(), 2 * tarfile.BLOCKSIZE
    changed = {
        "cut off between members": whole[:third],
        "cut off in a header": whole[: third + 100],
        "a damaged header": whole[:third] + b"X" + whole[third + 1 :],
        "zeros in place of a header": whole[:third] + bytes(tarfile.BLOCKSIZE) + whole[third + tarfile.BLOCKSIZE :],
    }[fault]
    pack: dict[str, Callable[[bytes], bytes]] = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.xz": lzma.compress}
    (archive := tmp_path / f"set{suffix}").write_bytes(pack[suffix](changed))
    with pytest.raises(DataError, match=rf"set{suffix} is a damaged or incomplete archive \({reason}\)"):
        _members(archive)
