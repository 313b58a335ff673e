"""What methods train on: two numbered streams over the base classes, which can be resumed anywhere."""

import pytest
import torch

from fewshot_bench.running.tasks import BaseClasses, Gallery


@pytest.fixture
def source(images) -> BaseClasses:
    return make(images)


def make(images, seed: int = 0) -> BaseClasses:
    return BaseClasses(images.parts["train"], Gallery(images, torch.device("cpu")), ["tasks", seed])


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def index_of(image, images) -> int:
    everything = torch.from_numpy(images.images).float() / 255
    (found,) = (everything == image).flatten(1).all(1).nonzero().flatten().tolist()
    return found


def test_images_are_floats_of_their_own_class(source, images):
    e = source.episodes(2, 4, 3, 2)
    assert e.support_images.shape == (2, 12, 1, 16, 16)
    assert e.query_images.shape == (2, 8, 1, 16, 16)
    assert (e.support_images.dtype, e.support_images.max() <= 1) == (torch.float32, True)
    # class_ids count within the base classes, which here come first
    for t in range(2):
        for image, label in zip(e.support_images[t], e.support_labels[t], strict=True):
            assert images.class_ids[index_of(image, images)] == e.class_ids[t, label]
    assert e.class_ids.max() < len(images.parts["train"])


def test_batches_are_labelled_by_base_class(source, images):
    batch, labels = source.batch(200)
    assert (batch.shape, labels.dtype) == ((200, 1, 16, 16), torch.int64)
    assert set(labels.tolist()) == set(range(len(images.parts["train"])))
    for image, label in zip(batch[:20], labels, strict=False):
        assert images.class_ids[index_of(image, images)] == label


def test_labels_count_within_the_classes_that_were_given(images):
    """Novel classes would be counted from 0, too: nothing depends on where base classes stand in the data."""
    late = images.parts["test"]
    source = BaseClasses(late, Gallery(images, torch.device("cpu")), ["late"])
    assert set(source.batch(200)[1].tolist()) == set(range(len(late)))
    assert set(source.episodes(20, 3, 1, 1).class_ids.flatten().tolist()) == set(range(len(late)))


def test_the_streams_do_not_touch_each_other(images):
    plain, mixed = make(images), make(images)
    for _ in range(3):
        mixed.batch(7)
        assert same(plain.episodes(2, 4, 3, 2), mixed.episodes(2, 4, 3, 2))
    plain = make(images)
    for _ in range(3):
        plain.batch(7)
    assert same(plain.batch(7), mixed.batch(7))


def test_the_next_draw_is_another_one(source):
    assert not same(source.episodes(1, 4, 3, 2), source.episodes(1, 4, 3, 2))
    assert not same(source.batch(7), source.batch(7))


def test_episodes_at_once_are_episodes_one_by_one(images):
    together, alone = make(images), make(images)
    parts = [alone.episodes(1, 4, 3, 2) for _ in range(3)]
    assert same(together.episodes(3, 4, 3, 2), [torch.cat(fields) for fields in zip(*parts, strict=True)])


def test_a_resumed_source_goes_on_where_it_was(images):
    whole, first = make(images), make(images)
    for source in (whole, first):
        source.episodes(3, 4, 3, 2)
        source.batch(5)
    second = make(images)
    second.load_state(first.state())
    assert same(whole.episodes(2, 4, 3, 2), second.episodes(2, 4, 3, 2))
    assert same(whole.batch(5), second.batch(5))
    assert whole.images_drawn == second.images_drawn


def test_images_are_counted(source):
    assert source.images_drawn == 0
    source.episodes(3, 4, 5, 2)
    assert source.images_drawn == 3 * 4 * (5 + 2)
    source.batch(9)
    assert source.images_drawn == 84 + 9


def test_another_identity_is_another_stream(images):
    assert not same(make(images).batch(7), make(images, seed=1).batch(7))
    assert not same(make(images).episodes(1, 4, 3, 2), make(images, seed=1).episodes(1, 4, 3, 2))
