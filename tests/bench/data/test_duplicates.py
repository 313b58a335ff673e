"""Copies are found however they were saved again; different pictures are not taken for copies."""

import io
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fewshot_bench.data import open_images
from fewshot_bench.data.duplicates import find_pictures
from fewshot_bench.data.images import ImageSet
from fewshot_bench.doctor.copies import across, copies

REAL_DATA = os.environ.get("BENCH_REAL_DATA")


def pictures(n, channels=3, size=32, seed=0) -> np.ndarray:
    """(n, channels, size, size): smooth random pictures, as different as photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, channels, 6, 6), np.uint8)
    resized = [
        [np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BICUBIC)) for c in i] for i in coarse
    ]
    return np.array(resized)


def changed(pixels: np.ndarray, change) -> np.ndarray:
    """A picture (C, H, W) after some change to it as an image file."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    return np.asarray(change(image)).transpose(2, 0, 1)


def as_jpeg(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=70)
    return Image.open(out)


CHANGES = {
    "jpeg": as_jpeg,
    "resized": lambda image: image.resize((84, 84), Image.Resampling.BICUBIC).resize((32, 32), Image.Resampling.BOX),
    "darker": lambda image: image.point(lambda value: value * 0.8),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def groups(numbers: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(numbers == n).tolist() for n in np.unique(numbers) if (numbers == n).sum() > 1]


def image_set(images: np.ndarray, class_ids: list[int]) -> ImageSet:
    """Four classes: ant and bee to train on, cow and dog new."""
    parts = {"train": (0, 1), "val": (2,), "test": (3,)}
    return ImageSet("set", "", images, np.array(class_ids), ("ant", "bee", "cow", "dog"), parts, "set")


def of_split(images: ImageSet, name: str):
    return copies(images, images.split(name))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_the_same_picture_but_not_the_same_content(change):
    images = pictures(50)
    images[40] = changed(images[3], change)
    found = find_pictures(images)
    assert groups(found.content) == []
    assert groups(found.picture) == [[3, 40]]


@pytest.mark.parametrize("shape", [(1, 16), (1, 28), (3, 32), (3, 84)])
def test_equal_images_are_found_at_every_size(shape):
    images = pictures(30, *shape)
    images[[7, 20]] = images[2]
    found = find_pictures(images)
    assert groups(found.content) == groups(found.picture) == [[2, 7, 20]]


def test_a_mirrored_or_inverted_picture_is_another():
    images = pictures(20)
    images[11], images[12] = images[1][:, :, ::-1], 255 - images[2]
    assert groups(find_pictures(images).picture) == []


def test_plain_images_are_the_same_only_when_equal():
    """Without a pattern there is nothing to correlate; and many equal ones must not become many pairs."""
    images = np.zeros((3000, 1, 16, 16), np.uint8)
    images[1000:2000], images[2000:] = 90, 200
    found = find_pictures(images)
    assert [len(group) for group in groups(found.picture)] == [1000] * 3


def test_different_pictures_stay_different():
    found = find_pictures(pictures(3000, 1, 28))
    assert len(np.unique(found.picture)) == 3000


def test_a_picture_in_a_base_and_a_novel_class_rings():
    images = pictures(40)
    class_ids = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
    images[25] = images[4]
    images[33] = changed(images[12], as_jpeg)
    leaks, mixes, repeats = of_split(image_set(images, class_ids), "paper")
    (alarm,) = leaks.alarms
    assert (alarm.kind, alarm.where) == ("duplicates of base images", "split paper")
    assert alarm.text == (
        "2 of 20 images of novel classes are in a base class, too (1 equal to the byte): "
        "cow[5] = ant[4], dog[3] ~ bee[2]"
    )
    assert mixes.alarms == ()
    assert repeats.notes == ()
    # with `ravi`, cow is no class at all
    assert of_split(image_set(images, class_ids), "ravi")[0].alarms[0].text.startswith("1 of 10 images")


def test_a_picture_in_two_classes_of_a_kind_rings_and_one_twice_in_a_class_is_told():
    images = pictures(40)
    class_ids = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
    images[15], images[38] = images[5], images[20]  # ant and bee, cow and dog
    images[27], images[8] = images[26], images[7]  # in cow, which is told, and in ant, which does no harm
    leaks, mixes, repeats = of_split(image_set(images, class_ids), "paper")
    assert leaks.alarms == ()
    assert "4 images are in two base classes or in two novel ones (4 equal to the byte)" in mixes.alarms[0].text
    assert "ant[5] = bee[5]" in mixes.alarms[0].text
    assert repeats.alarms == ()
    assert repeats.notes[0].startswith("1 image of novel classes repeats")
    assert repeats.notes[0].endswith("cow[7] = cow[6]")


def test_many_copies_are_counted_and_a_few_are_named():
    images = pictures(40)
    images[20:30] = images[:10]
    (alarm,) = of_split(image_set(images, [0] * 20 + [2] * 20), "paper")[0].alarms
    assert alarm.text.startswith("10 of 20 images")
    assert alarm.text.endswith("cow[2] = ant[2], ...")


def test_a_picture_that_was_trained_on_in_another_data_set_rings():
    class_ids = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
    ours, theirs = pictures(40), pictures(40, seed=1)
    theirs[25] = ours[4]  # cow there, ant here
    theirs[3] = ours[3]  # a base class there: nobody is tested on it
    joined = across(image_set(ours, class_ids), replace(image_set(theirs, class_ids), name="theirs"), "paper")
    leaks, mixes, _ = copies(*joined)
    assert "1 of 20 images of novel classes are in a base class, too (1 equal" in leaks.alarms[0].text
    assert leaks.alarms[0].text.endswith(f"theirs/cow[5] = {image_set(ours, class_ids).name}/ant[4]")
    assert mixes.alarms == ()


def test_clean_data_is_silent(images):
    found = of_split(images, "paper")
    assert [check.alarms + check.notes for check in found] == [()] * 3
    assert {check.looked_at for check in found} == {"720 images"}


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA, reason="BENCH_REAL_DATA names no data set")
def test_copies_among_real_photographs(shared_cache):
    """Planted copies are found; without them nearly every photograph is its own, within 20 s for 50,000 of 32x32."""
    photographs = np.array(open_images(str(REAL_DATA), shared_cache).images)
    start = time.process_time()
    n_pictures = len(np.unique(find_pictures(photographs).picture))
    assert time.process_time() - start < 20 * len(photographs) / 50_000 + 5
    assert n_pictures > 0.999 * len(photographs)
    some = photographs[:: len(photographs) // 500]
    expected = {"jpeg": 0.95, "resized": 0.99, "darker": 0.99, "grey": 0.95}
    for name, change in CHANGES.items():
        both = np.concatenate([some, [changed(pixels, change) for pixels in some]])
        found = find_pictures(both).picture
        assert (found[: len(some)] == found[len(some) :]).mean() >= expected[name], name
