"""Images and operations of an update, against numbers worked out by hand before this code was written."""

import dataclasses

import pytest

from benchmarks.contest.work import METHODS, SHAPES, SMALLER, Work


@pytest.mark.parametrize(
    ("method", "shape", "changes", "giga"),
    [
        ("maml", "32x32x3", {}, 38),
        ("maml", "32x32x3", {"filters": 64}, 143),
        ("maml", "84x84x3", {}, 261),
        ("maml", "84x84x3", {"filters": 64}, 981),
        ("fomaml", "84x84x3", {}, 121.5),
        ("reptile", "84x84x3", {"n_tasks": 4, "inner_steps": 5, "inner_batch": 25}, 75.9),
    ],
)
def test_the_fewest_operations(method, shape, changes, giga):
    work = dataclasses.replace(Work.of(method, shape), **changes)
    assert work.flops / 1e9 == pytest.approx(giga, rel=0.005)


def test_operations_of_one_convolution_written_out():
    """One image, one filter: the four layers are 16, 8, 4 and 2 pixels wide."""
    work = Work("supervised", 16, 1, 1, n_way=2, batch=1)
    assert work.flops == 2 * 9 * (2 * 16**2 + 3 * (8**2 + 4**2 + 2**2))


@pytest.mark.parametrize(
    ("method", "images"),
    [("maml", 4 * (25 * 5 + 75)), ("fomaml", 800), ("reptile", 5 * 8 * 10), ("protonet", 400), ("supervised", 64)],
)
def test_images_count_as_often_as_they_pass(method, images):
    assert Work.of(method, "28x28x1").images == images


def test_what_is_compared_is_smaller_and_nothing_else():
    assert SMALLER.keys() == METHODS.keys()
    for method in METHODS:
        for shape in SHAPES:
            work = Work.of(method, shape)
            small = work.smaller()
            assert small.images < work.images
            assert (small.shape, small.filters, small.inner_steps) == (work.shape, work.filters, work.inner_steps)
