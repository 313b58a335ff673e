"""Augmentation: torchvision's operations with parameters that only an image's place in a draw decides."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from fewshot_bench.config import NO_AUGMENTATION, AugmentationConfig
from fewshot_bench.running import runner
from fewshot_bench.running.augmentation import WORDS, augment, parameters
from fewshot_bench.running.tasks import BaseClasses, Gallery
from fewshot_bench.seeding import Stream

ALL = AugmentationConfig(crop_padding=4, flip=True, jitter=0.4)
CPU = torch.device("cpu")


def words_of(n: int, index: int = 0):
    return Stream("test").words(index, n * WORDS).reshape(n, WORDS)


def photographs(n: int, channels: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, channels, 12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def one_by_one(images: Tensor, words, config: AugmentationConfig) -> Tensor:
    """Each image by torchvision's own functions."""
    changed = []
    for image, (top, left, flip, brightness, contrast, saturation) in zip(
        images, parameters(words, config).tolist(), strict=True
    ):
        padded = functional.pad(image, [config.crop_padding], padding_mode="reflect")
        out = functional.crop(padded, int(top), int(left), *image.shape[-2:])
        if config.flip and flip:
            out = functional.horizontal_flip(out)
        out = functional.adjust_contrast(functional.adjust_brightness(out, brightness), contrast)
        changed.append(functional.adjust_saturation(out, saturation) if len(image) == 3 else out)
    return torch.stack(changed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "config",
    [ALL, *(replace(NO_AUGMENTATION, **{name: getattr(ALL, name)}) for name in ("crop_padding", "flip", "jitter"))],
)
def test_all_at_once_is_torchvision_one_by_one(config, channels):
    images, words = photographs(50, channels), words_of(50)
    found, expected = augment(images, words, config), one_by_one(images, words, config)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert not torch.equal(found, images)
    torch.testing.assert_close(augment(images.float(), words, config).double(), expected, rtol=0, atol=2e-6)


def test_pixels_stay_in_range_and_the_given_images_as_they_were():
    images = photographs(50, dtype=torch.float32)
    before = images.clone()
    changed = augment(images, words_of(50), ALL)
    assert torch.equal(images, before)
    assert (changed.shape, changed.dtype, changed.is_contiguous()) == (images.shape, torch.float32, True)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_parameters_cover_their_ranges_evenly():
    top, left, flip, *factors = parameters(words_of(9000), ALL).unbind(1)
    for offset in (top, left):
        counts = torch.bincount(offset.long(), minlength=9)
        assert len(counts) == 9
        assert (counts - 1000).abs().max() < 5 * 30  # a standard deviation is 30
    assert abs(flip.mean() - 0.5) < 0.03
    for factor in factors:
        assert factor.min() >= 0.6
        assert factor.max() < 1.4
        assert abs(factor.mean() - 1) < 5 * 0.231 / 9000**0.5  # uniform: the standard deviation is 0.8 / sqrt(12)
    assert torch.corrcoef(torch.stack([top, left, flip, *factors])).fill_diagonal_(0).abs().max() < 0.05


def test_one_setting_does_not_move_another():
    both, crops = parameters(words_of(99), ALL), parameters(words_of(99), replace(ALL, flip=False, jitter=0.0))
    assert torch.equal(both[:, :2], crops[:, :2])


def source(images, config: AugmentationConfig = ALL, seed: int = 0) -> BaseClasses:
    return BaseClasses(images.parts["train"], Gallery(images, CPU), ["augmented", seed], config)


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_training_episodes_and_batches_are_changed_and_their_labels_are_not(images):
    plain, changed = source(images, NO_AUGMENTATION), source(images)
    before, after = plain.episodes(2, 4, 3, 2), changed.episodes(2, 4, 3, 2)
    expected = words_of_episodes(2, 4 * 5)
    assert same(before[1::2], after[1::2])
    assert torch.equal(after.query_images, augment(before.query_images, expected[:, :8], ALL))
    assert torch.equal(after.support_images, augment(before.support_images, expected[:, 8:], ALL))
    assert not torch.equal(before.support_images, after.support_images)
    (batch, labels), (changed_batch, changed_labels) = plain.batch(9), changed.batch(9)
    assert torch.equal(labels, changed_labels)
    assert not torch.equal(batch, changed_batch)


def words_of_episodes(n_tasks: int, n_images: int):
    stream = Stream("augmentation of training episodes", ["augmented", 0])
    words = [stream.words(i, n_images * WORDS).reshape(n_images, WORDS) for i in range(n_tasks)]
    return np.stack(words)


def test_the_same_images_in_another_draw_are_changed_otherwise(images):
    every = images.parts["train"]
    one_class = BaseClasses(every[:1], Gallery(images, CPU), ["few"], ALL)
    n = len(images.images_of_class[every[0]])
    assert not same(one_class.batch(n), one_class.batch(n))
    seen = torch.cat([source(images, seed=seed).batch(50)[0] for seed in range(2)])
    assert len(torch.unique(seen.flatten(1), dim=0)) == 100


def test_the_order_of_draws_and_their_number_at_once_do_not_matter(images):
    together, alone = source(images), source(images)
    alone.batch(5)
    alone.batch(7)
    parts = [alone.episodes(1, 4, 3, 2) for _ in range(3)]
    assert same(together.episodes(3, 4, 3, 2), [torch.cat(fields) for fields in zip(*parts, strict=True)])
    together.batch(5)
    assert same(together.batch(7), (lambda s: (s.batch(5), s.batch(7))[1])(source(images)))


def test_more_shots_do_not_change_the_queries(images):
    assert torch.equal(
        source(images).episodes(1, 4, 1, 2).query_images, source(images).episodes(1, 4, 3, 2).query_images
    )


def test_a_resumed_source_goes_on_with_the_same_pixels(images):
    whole, first, second = source(images), source(images), source(images)
    for some in (whole, first):
        some.episodes(3, 4, 3, 2)
        some.batch(5)
    second.load_state(first.state())
    assert same(whole.episodes(2, 4, 3, 2), second.episodes(2, 4, 3, 2))
    assert same(whole.batch(5), second.batch(5))


@pytest.mark.parametrize(("name", "settings"), [("transfer", {}), ("protonet", {"train_way": 5})])
def test_a_training_stopped_and_resumed_is_uninterrupted_bit_for_bit(name, settings, make_training, make_lab):
    training = replace(make_training(name, iterations=9, **settings), augmentation=ALL)
    *_, whole = runner.train(training, make_lab(checkpoints="whole"))
    count = iter(range(9))
    with pytest.raises(runner.Stopped):
        list(runner.train(training, make_lab(lambda: next(count) == 4)))
    *_, resumed = runner.train(training, make_lab())
    assert resumed.checkpoint == whole.checkpoint
    *_, plain = runner.train(replace(training, augmentation=NO_AUGMENTATION), make_lab(checkpoints="plain"))
    assert plain.checkpoint != whole.checkpoint


def test_test_episodes_are_not_augmented(cell, make_lab):
    """The same weights answer the same, whatever the training images went through."""
    lab = make_lab()
    method = runner.build(cell.training, lab)
    augmented = replace(cell, training=replace(cell.training, augmentation=ALL))
    assert list(runner.evaluate(cell, method, lab, 0)) == list(runner.evaluate(augmented, method, lab, 0))


def test_results_name_it_and_are_repeated_from_the_database_alone(place, bench):
    assert bench("run", "-q", "--method", "protonet", "--shot", "1").code == 0
    place.add("\n[augmentation]\ncrop_padding = 2\nflip = true\njitter = 0.3\n")
    assert bench("run", "-q", "--method", "protonet", "--shot", "1").code == 0
    words = "(crops moved by up to 2 pixels, horizontal flips, colour jitter of 0.3)"
    assert f"training images augmented {words}" in bench("report", "--format", "markdown", "--method", "protonet").out
    with closing(sqlite3.connect(place.database)) as connection, connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM cells")]
    (place.folder / "bench.toml").unlink()
    assert len(keys) == 2
    for key in keys:
        assert "identical" in bench("replay", key, "--retrain").out
