"""The embedded set: the same bytes everywhere, balanced, and honest about what it is."""

import numpy as np
import pytest

from fewshot_bench.data import open_images
from fewshot_bench.data.formats import strokes

# Changes whenever a constant or the drawing changes; results from before are not comparable then.
FINGERPRINT = "0fea48ac0f1dfb0a9d588ecfdf506fcdeef9494d4aafa6f41814aabf7cc1146a"


@pytest.fixture(scope="module")
def images(shared_cache):
    return open_images("strokes", shared_cache)


def test_shape_and_parts(images):
    assert images.images.shape == (15000, 1, 28, 28)
    assert images.images.dtype == np.uint8
    assert {part: len(c) for part, c in images.parts.items()} == {"train": 64, "val": 16, "test": 20}
    assert len(set(images.class_names)) == 100
    assert (np.bincount(images.class_ids) == 150).all()


def test_the_bytes_are_the_same_on_every_machine(images):
    assert images.fingerprint == FINGERPRINT


def test_a_class_is_drawn_alike_each_time_and_alone(images):
    again = strokes.draw_class(71)
    np.testing.assert_array_equal(again, strokes.draw_class(71))
    np.testing.assert_array_equal(again, images.images[71 * 150 : 72 * 150, 0])


def test_drawing_leaves_the_global_generator_alone():
    np.random.seed(0)
    expected = np.random.bytes(16)
    np.random.seed(0)
    strokes.draw_class(0)
    assert np.random.bytes(16) == expected


def test_no_two_images_are_equal(images):
    assert len(np.unique(np.asarray(images.images).reshape(15000, -1), axis=0)) == 15000


def test_every_image_has_ink(images):
    ink = np.asarray(images.images).reshape(15000, -1).mean(axis=1) / 255
    assert ink.min() > 0.04
    assert ink.max() < 0.5


def test_an_image_is_nearer_to_its_own_class_than_to_most_others(images):
    pixels = np.asarray(images.images, np.float64).reshape(100, 150, -1)
    means = pixels[:, 75:].mean(axis=1)  # (100, 784)
    distances = ((pixels[:, :1] - means) ** 2).sum(axis=2)  # (100 images, 100 classes): the first of each class
    rank = (distances < np.diag(distances)[:, None]).sum(axis=1)
    assert np.median(rank) < 10, "classes must be told apart"
    assert (rank > 0).sum() > 10, "but not by the mean image alone"


def test_it_declares_its_family(images):
    assert images.family == "characters"


def test_the_note_says_that_it_is_synthetic(images):
    assert "Synthetic" in images.note
    assert "say nothing about photographs" in images.note


def test_it_can_be_had_in_another_size(images, tmp_path, monkeypatch):
    drawn = images.images.reshape(100, 150, 28, 28)
    monkeypatch.setattr(strokes, "draw_class", drawn.__getitem__)  # as it draws them: see above
    resized = open_images("strokes", tmp_path, image_size=12)
    assert resized.images.shape == (15000, 1, 12, 12)


def test_bell_is_standard():
    words = np.random.Philox(key=1).random_raw(200_000)
    sample = strokes._bell(words)
    assert abs(sample.mean()) < 0.01
    assert abs(sample.std() - 1) < 0.01
    assert abs(sample).max() < 3.5
