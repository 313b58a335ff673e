"""Colour modes, grey sets, and the file that the pixels are written to."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from fewshot_bench.data import open_images
from fewshot_bench.data.cache import ImageFile
from fewshot_bench.data.readers import image_decoding
from fewshot_bench.data.readers.image_decoding import Encoded, decode_into, read_image
from fewshot_bench.errors import DataError


def _encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, image_format, **options)
    return out.getvalue()


def _gradient(mode: str) -> Image.Image:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("mode", "image_format", "channels"),
    [
        ("L", "PNG", 1),
        ("L", "JPEG", 1),
        ("1", "PNG", 1),
        ("LA", "PNG", 1),
        ("RGB", "JPEG", 3),
        ("RGB", "WEBP", 3),
        ("RGBA", "PNG", 3),
        ("P", "PNG", 3),
        ("P", "GIF", 3),
        ("CMYK", "JPEG", 3),
        ("RGB", "BMP", 3),
    ],
)
def test_every_mode_becomes_grey_or_rgb(mode, image_format, channels):
    data = _encoded(_gradient(mode), image_format)
    pixels = read_image(data, "a file")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L" if channels == 1 else "RGB"))
    assert pixels.shape == (channels, 6, 8)
    np.testing.assert_array_equal(pixels, np.atleast_3d(expected).transpose(2, 0, 1))


def test_the_exif_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90°
    turned = read_image(_encoded(_gradient("RGB"), "JPEG", exif=exif), "a file")
    np.testing.assert_array_equal(turned, read_image(_encoded(_gradient("RGB"), "JPEG"), "a file"))


def test_a_photograph_of_50_megapixels_is_resized():
    data = _encoded(Image.new("L", (8160, 6120), 77), "JPEG")
    assert (read_image(data, "x", 4) == np.full((1, 4, 4), 77)).all()


class _Counting:
    """A sink that notes how many files were taken from the source before the first image came out."""

    def __init__(self):
        self.taken, self.taken_first = 0, None

    def put(self, *_):
        """Take an image."""
        self.taken_first = self.taken if self.taken_first is None else self.taken_first


@pytest.mark.parametrize(("n_bytes", "most"), [(5 << 20, 1), (3 << 20, 2), (0, 32)])
def test_few_large_files_are_in_memory_at_once(monkeypatch, n_bytes, most):
    monkeypatch.setattr(image_decoding, "cores", lambda: 2)
    sink, image = _Counting(), _encoded(Image.new("L", (4, 4)), "PNG")

    def files():
        for index in range(200):
            sink.taken += 1
            yield Encoded(index, "x", image + bytes(n_bytes))

    decode_into(sink, files(), 200, None, lambda *_: None)
    assert sink.taken_first == 4 * most  # two threads, one task to come each, and one to be taken


def test_a_set_of_grey_images_has_one_channel(photos, tmp_path, cache):
    photos.files = {name: _encoded(_gradient("L"), "PNG") for name in photos.files}
    images = open_images(str(photos.as_folder(tmp_path / "set")), cache)
    assert images.images.shape == (15, 1, 6, 8)
    np.testing.assert_array_equal(images.images[7, 0], np.asarray(_gradient("L")))


@pytest.mark.parametrize("coloured", ["ant0000.jpg", "cow0001.jpg", "elk0002.jpg"])
def test_one_colour_image_makes_the_whole_set_rgb(photos, tmp_path, cache, coloured):
    photos.files = {name: _encoded(_gradient("L"), "PNG") for name in photos.files}
    photos.files[coloured] = _encoded(_gradient("RGB"), "PNG")
    images = open_images(str(photos.as_folder(tmp_path / "set")), cache)
    assert images.images.shape == (15, 3, 6, 8)
    position = [f"{c}{i:04d}.jpg" for c in images.class_names for i in range(3)].index(coloured)
    for i, image in enumerate(images.images):
        expected = _gradient("RGB" if i == position else "L").convert("RGB")
        np.testing.assert_array_equal(image, np.asarray(expected).transpose(2, 0, 1))


def test_an_image_file_is_what_numpy_would_save(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), np.uint8)
    with ImageFile(tmp_path / "a.npy") as file:
        for index in (3, 0, 6, 1, 2, 5, 4):
            file.put(index, array[index])
        file.finish()
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("indices", [(), (0, 2), (0, 0)])
def test_an_image_file_with_gaps_is_refused(tmp_path, indices):
    with ImageFile(tmp_path / "a.npy") as file:
        for index in indices:
            file.put(index, np.zeros((1, 2, 2), np.uint8))
        with pytest.raises(RuntimeError, match="gaps"):
            file.finish()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_exif_would_turn(kind):
    for orientation in (None, 0, 1, 2, 3, 6, 8, 9):
        exif, out = Image.Exif(), io.BytesIO()
        if orientation is not None:
            exif[ExifTags.Base.Orientation] = orientation
        Image.new("RGB", (4, 4)).save(out, kind, exif=exif)
        assert image_decoding.is_turned(out.getvalue()) == (orientation in (2, 3, 6, 8))
    damaged = out.getvalue().replace(b"MM\0*", b"MM\xff*")
    assert not image_decoding.is_turned(damaged)
    assert not image_decoding.is_turned(b"no image")


def test_missing_files_are_named_together(photos, tmp_path, cache):
    folder = photos.as_folder(tmp_path / "set")
    for number in range(3):
        (folder / f"images/dog{number:04d}.jpg").unlink()
    with pytest.raises(DataError, match="3 listed files are missing: ") as error:
        open_images(str(folder), cache)
    assert str(error.value).count("there is no file") == 3


def _jpeg(**options):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return _encoded(Image.fromarray(pixels), "JPEG", **options)


def test_a_jpeg_that_ends_in_zeros_is_truncated():
    preview = _jpeg()
    app1 = b"\xff\xe1" + (len(preview) + 2).to_bytes(2) + preview  # with an end of its own
    whole = preview[:2] + app1 + preview[2:]
    third = 2 + len(app1) + len(preview) // 3
    for data in (preview[: len(preview) // 3] + bytes(5000), whole[:third] + bytes(5000), preview[:-2] + bytes(3)):
        with pytest.raises(DataError, match=r"^x is damaged or truncated"):
            read_image(data, "x")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"\xff\xda" * 20}])
@pytest.mark.parametrize("behind", [b"", bytes(100), b"\xff\xda\xff\xe1 a film"])
def test_what_follows_a_jpegs_end_does_no_harm(options, behind):
    data = _jpeg(**options)
    np.testing.assert_array_equal(read_image(data + behind, "x"), read_image(data, "x"))


def test_a_png_with_zeros_in_place_of_its_rest_is_damaged():
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC)
    data = _encoded(image, "PNG")
    np.testing.assert_array_equal(read_image(data, "x"), np.asarray(image).transpose(2, 0, 1))
    np.testing.assert_array_equal(read_image(data + b"IDAT" * 9, "x"), read_image(data, "x"))  # behind its end
    for kept in (len(data) // 10, len(data) // 2, len(data) - 40):
        with pytest.raises(DataError, match=r"^x is damaged or truncated \(a checksum in it does not fit its pixels\)"):
            read_image(data[:kept] + bytes(len(data) - kept), "x")


def test_a_jpeg_of_countless_scans_is_not_waited_for():
    data = _jpeg(progressive=True)
    first, second = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)][1:3]
    scan = data[first:second]
    most = image_decoding.MAX_SCANS - data.count(b"\xff\xda")
    np.testing.assert_array_equal(read_image(data[:first] + scan * most + data[first:], "x"), read_image(data, "x"))
    with pytest.raises(DataError, match=r"^x is a JPEG of more than 1,000 scans"):
        read_image(data[:first] + scan * (most + 1) + data[first:], "x")
