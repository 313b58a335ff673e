"""Limits: docs/data.md has the numbers of the code, and what exceeds one is one line that takes no memory first."""

import io
import struct
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from fewshot_bench.data import MAX_IMAGE_SIZE, labels, open_images
from fewshot_bench.data.formats import chen_json, cifar100
from fewshot_bench.data.readers import (
    archive_trees,
    archives,
    downloads,
    guarded,
    hdf5_file,
    image_decoding,
    npz_file,
    parquet_file,
)
from fewshot_bench.errors import DataError
from fewshot_bench.results.exchange import long_file

PAGE = Path(__file__).parents[3] / "docs" / "data.md"


def size(n_bytes: int) -> str:
    return f"{n_bytes >> 30} GiB" if n_bytes >= 1 << 30 else f"{n_bytes >> 20} MiB"


ROWS = {
    "a list, or all lists in an archive": size(labels.MAX_LIST_BYTES),
    "rows of a list; values of one in JSON": f"{labels.MAX_ROWS:,}; {labels.MAX_VALUES:,}",
    "a class's name; a path": f"{labels.MAX_NAME_LENGTH}; {labels.MAX_PATH_LENGTH:,} characters",
    "an image file": size(image_decoding.MAX_IMAGE_BYTES),
    "pixels of an image that is resized, of a WebP; of one that is kept as stored": (
        f"{image_decoding.MAX_PIXELS:,}, {image_decoding.MAX_WEBP_PIXELS:,}; {image_decoding.MAX_STORED_PIXELS:,}"
    ),
    "members of an archive; of them files of many images": f"{archives.MAX_MEMBERS:,}; {archive_trees.MAX_FILES:,}",
    "the side that images are resized to": f"{MAX_IMAGE_SIZE:,} pixels",
    "folders deep, in an archive; below a folder with Chen's lists": (
        f"{archive_trees.MAX_DEPTH}; {chen_json.MAX_DEPTH}"
    ),
    "what an archive unpacks to": (
        f"{size(archives.ALWAYS_ALLOWED_BYTES)}, or {archives.MAX_RATIO} times its size if that is more"
    ),
    "the array in an `.npz`": (
        f"the same, and {size(npz_file.MAX_BYTES)}; {npz_file.MAX_HEADER:,} letters of its header"
    ),
    "a class in HDF5": size(hdf5_file.MAX_CLASS_BYTES),
    "rows of a Parquet file; a row group of it; a label": (
        f"{parquet_file.MAX_ROWS:,}; {size(parquet_file.MAX_GROUP_BYTES)}; {parquet_file.MAX_NAME_BYTES:,} bytes"
    ),
    "what a Parquet file unpacks to": (
        f"{size(parquet_file.ALWAYS_ALLOWED_BYTES)}, or {archives.MAX_RATIO} times its size if that is more"
    ),
    "a file of CIFAR-100": size(cifar100.MAX_FILE_BYTES),
    "a download": f"{size(downloads.MAX_BYTES)}, an hour",
    f"a line of a table for `bench import`, or {long_file.ROWS} rows of a Parquet file": (
        f"{long_file.LONGEST_LINE - 1:,} letters"
    ),
    "memory": f"{size(guarded.MEMORY_BYTES)} and twice the largest file",
    "processor time": f"{guarded.CPU_SECONDS} s and {guarded.CPU_SECONDS_A_GIB} s a GiB of files",
    "images, as they are kept": size(guarded.OUTPUT_BYTES),
    "open files": f"{guarded.OPEN_FILES}",
}


def test_the_page_has_the_numbers_of_the_code():
    page = PAGE.read_text(encoding="utf-8")
    assert [f"| {what} | {most} |" for what, most in ROWS.items() if f"| {what} | {most} |" not in page] == []
    assert (downloads.LONGEST_SECONDS, guarded.MEMORY_FACTOR, guarded.WALL_FACTOR) == (3600, 2, 4)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG file whose header says that it is so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


BOMBS = {
    "resized": (png(8193, 8192), 16, "has 8193×8192 pixels, more than 67,108,864"),
    "as stored": (png(1025, 1024), None, "has 1025×1024 pixels, more than 1,048,576: set `image_size`"),
    "enormous": (png(2**31 - 1, 2**31 - 1), 16, "has "),
    "a long text": (png(4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(32 << 20)))), 16, "is damaged"),
    "a file": (png(4, 4) + bytes(64 << 20), 16, "larger than 64 MiB"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_image_is_refused_before_it_is_decoded(kind):
    data, image_size, says = BOMBS[kind]
    tracemalloc.start()
    with pytest.raises(DataError, match=says):
        image_decoding.read_image(data, "a.png", image_size)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_what_is_wrong_with_an_image_does_not_keep_its_file_in_memory():
    (error,) = image_decoding._decode_chunk([image_decoding.Encoded(0, "a.png", bytes(100))], None)
    assert isinstance(error, DataError)
    assert (error.__traceback__, error.__context__) == (None, None)


def test_a_list_of_members_is_not_kept(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo()
        for number in range(3000):
            info.name = f"{number}.png"
            tar.addfile(info)
    tracemalloc.start()
    assert list(archives.read_members(tmp_path / "a.tar.gz", lambda _: None)) == []
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def test_of_an_animation_one_frame_is_decoded():
    out = io.BytesIO()
    frames = [Image.new("P", (16, 16), i) for i in range(50)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert image_decoding.read_image(out.getvalue(), "a.gif").shape == (3, 16, 16)


def _add_sparse(archive, name, kind):
    """A member of 512 bytes that claims a terabyte of nothing."""
    with tarfile.open(archive, "a") as tar:
        info = tarfile.TarInfo(name)
        info.size = 512
        if kind == "PAX":
            info.pax_headers = {
                "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name,
                "GNU.sparse.realsize": str(1 << 40),
            }  # fmt: skip
            tar.addfile(info, io.BytesIO(b"0\n".ljust(512, b"\0")))
        else:
            info.type = tarfile.GNUTYPE_SPARSE
            head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
            head[386:410], head[483:495] = b"%011o\0%011o\0" % (0, 512), b"77777777777\0"
            head[148:156] = b" " * 8
            head[148:156] = b"%06o\0 " % sum(head)
            tar.fileobj.write(bytes(head) + bytes(512))
            tar.offset += 1024


@pytest.mark.parametrize("kind", ["GNU", "PAX"])
def test_sparse_members_of_an_archive_are_passed_over(kind, photos, tmp_path, cache):
    archive = photos.as_archive(tmp_path / "set.tar")
    _add_sparse(archive, "images/sparse.jpg", kind)
    assert len(open_images(str(archive), cache).images) == 15


@pytest.mark.parametrize("kind", ["GNU", "PAX"])
def test_a_sparse_member_that_is_wanted_is_refused(kind, photos, layouts, tmp_path, cache):
    archive = layouts.write(tmp_path / "set.tar", layouts.files("split-folders", photos))
    _add_sparse(archive, "train/dog/sparse.jpg", kind)
    with pytest.raises(DataError, match=r"set\.tar: 'train/dog/sparse\.jpg' is stored with holes, which are not read"):
        open_images(str(archive), cache)


def test_a_name_that_is_no_path(photos, tmp_path, cache):
    photos.files["x" * 60_000 + ".jpg"] = b"x"
    with pytest.raises(DataError, match=r"set\.tar: 'images/x*'\.\.\. is too long for a path: 60,011 characters"):
        open_images(str(photos.as_archive(tmp_path / "set.tar")), cache)


def test_a_list_in_json_with_too_many_values(photos, layouts, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(labels, "MAX_VALUES", 1000)
    files = layouts.files("chen-json, relative", photos)
    files["val.json"] = b'{"label_names": [' + b"[]," * 500 + b"[]]}"
    folder = layouts.write(tmp_path / "set", files)
    with pytest.raises(DataError, match=r"val\.json has more than 1,000 values"):
        open_images(str(folder), cache)
