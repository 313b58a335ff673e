"""The contact sheet: the right pixels at the right places, whatever the images' size and their classes' names."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.reports.contact_sheet import GAP, LETTER, LINE, ClassSample, contact_sheet
from fewshot_bench.reports.report import documents, report_html

HEADING = 3 * LINE // 2


def samples(channels: int = 3, side: int = 28, names=("ant", "dog", "elk"), n: int = 2) -> list[ClassSample]:
    """Two base classes and a novel one, of random pixels."""
    rng = np.random.default_rng(0)
    kinds = (("base", "train"), ("base", "train"), ("novel", "test"))
    return [
        ClassSample(name, kind, part, rng.integers(0, 256, (n, channels, side, side), np.uint8))
        for name, (kind, part) in zip(names, kinds, strict=True)
    ]


def opened(png: bytes) -> np.ndarray:
    """(H, W, 3)"""
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "times"), [(28, 3), (32, 3), (84, 1), (1, 84)])
def test_every_pixel_is_there(channels, side, times):
    shown = samples(channels, side)
    picture = opened(contact_sheet("photos", shown))
    left = LETTER * len("ant (train)")
    height = side * times
    tops = [LINE + HEADING, LINE + HEADING + height + GAP, LINE + 2 * (HEADING + height + GAP)]
    tops[2] = tops[1] + height + GAP + HEADING
    for top, sample in zip(tops, shown, strict=True):
        for i, image in enumerate(sample.images):
            x = left + i * (height + GAP)
            expected = np.broadcast_to(image, (3, side, side)).transpose(1, 2, 0).repeat(times, 0).repeat(times, 1)
            np.testing.assert_array_equal(picture[top : top + height, x : x + height], expected)
    assert (picture[-GAP:] == 255).all()  # nothing is cut off at the bottom


def test_large_and_oblong_images_are_shrunk_as_they_are():
    image = np.zeros((1, 3, 100, 200), np.uint8)
    image[:, 0, :, 100:] = 200
    picture = opened(contact_sheet("x", [ClassSample("a", "base", "train", image)]))
    top, left = LINE + HEADING, LETTER * len("a (train)")
    shown = picture[top : top + 42, left : left + 84]
    assert (shown[:, :41] == 0).all()
    assert (shown[:, 43:] == (200, 0, 0)).all()


def test_the_same_samples_give_the_same_bytes():
    assert contact_sheet("x", samples()) == contact_sheet("x", samples())


@pytest.mark.parametrize("name", ["犬", "a$b$", "x" * 200, "line\nbreak \x1b[2J", "<b>&amp;</b>"])
def test_any_name_is_drawn(name):
    """Warnings are errors here: a script that the font lacks must not print one."""
    plain, named = (opened(contact_sheet("x", samples(names=(first, "dog", "elk")))) for first in ("ant", name))
    assert named.shape[0] == plain.shape[0]
    assert named.shape[1] <= plain.shape[1] + LETTER * 30


def test_a_strip_for_a_page_shows_the_images():
    [first, *_] = samples(side=64, n=3)
    first.images[:] = first.images[:, :, :1, :1]  # plain, so that JPEG keeps them
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(first.uri.removeprefix("data:image/jpeg;base64,")))))
    assert strip.shape == (64, 3 * 64 + 2, 3)
    for i, image in enumerate(first.images):
        middle = strip[32, 65 * i + 32].astype(int)
        assert np.abs(middle - image[:, 0, 0]).max() <= 4


def test_the_report_shows_the_images(make_results, tmp_path):
    results = make_results(("maml", "protonet"), ((5, 1), (5, 5)))
    shown = samples(names=("<i>ant</i>", "dog", "elk"))
    html = report_html(results, samples=shown)
    assert "The images" in html
    assert "<i>ant" not in html
    assert html.count('src="data:image/jpeg;base64,') == 3
    assert html.index("Base classes: trained on") < html.index('alt="2 images of class dog"')
    assert html.index("Novel classes: adapted to") < html.index('alt="2 images of class elk"')
    assert documents(results, samples=shown)["report.html"].decode() == html


def test_a_report_without_images_has_no_empty_section(make_results):
    html = report_html(make_results(("maml", "protonet"), ((5, 1), (5, 5))))
    assert "The images" not in html
    assert "image/jpeg" not in html
