"""The episode bank: every method faces the same episodes, whatever the order, process or number of shots."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Episode, Sampler, Setting, bank
from fewshot_bench.seeding import Stream, derive_seed, digest, shuffled, smallest

WAY, QUERY = 5, 4


def draw(images, index: int, n_shot: int = 3, n_way: int = WAY, split: str = "paper", seed: int = 0):
    return bank(images, split, n_way, QUERY, seed).draw(index, Setting(n_way, n_shot, QUERY))


def same(a: Episode, b: Episode) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def support_of(episode: Episode, label: int) -> set[int]:
    return set(episode.support[episode.support_labels == label].tolist())


def test_shapes_labels_and_classes_agree(images):
    for index in range(20):
        e = draw(images, index)
        assert [len(field) for field in e] == [WAY, WAY * 3, WAY * 3, WAY * QUERY, WAY * QUERY]
        assert np.array_equal(e.classes[e.support_labels], images.class_ids[e.support])
        assert np.array_equal(e.classes[e.query_labels], images.class_ids[e.query])
        assert np.bincount(e.support_labels).tolist() == [3] * WAY
        assert np.bincount(e.query_labels).tolist() == [QUERY] * WAY
        assert len(set(e.classes.tolist())) == WAY


@pytest.mark.parametrize("n_shot", [1, 5, 26])  # 26 + 4 queries are all the images of a class
def test_no_image_comes_twice(images, n_shot):
    for index in range(10):
        e = draw(images, index, n_shot)
        drawn = [*e.support.tolist(), *e.query.tolist()]
        assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("split", ["paper", "ravi", "ravi-val"])
def test_no_base_class_is_ever_novel(images, split):
    novel = set(images.split(split).novel)
    assert not novel & set(images.split(split).base)
    drawn = {c for i in range(50) for c in draw(images, i, split=split).classes.tolist()}
    assert drawn == novel  # all of them, and only they


def test_shots_are_nested(images):
    for index in range(10):
        few, more, many = (draw(images, index, n_shot) for n_shot in (1, 5, 20))
        for e in (more, many):
            assert np.array_equal(few.classes, e.classes)
            assert np.array_equal(few.query, e.query)
            assert np.array_equal(few.query_labels, e.query_labels)
        for label in range(WAY):
            assert support_of(few, label) < support_of(more, label) < support_of(many, label)


def test_the_support_set_is_shuffled(images):
    """So that consecutive slices of it are random mini-batches."""
    orders = {tuple(draw(images, i).support_labels.tolist()) for i in range(10)}
    assert len(orders) == 10
    assert tuple(np.arange(WAY).repeat(3)) not in orders


def test_more_episodes_change_none_and_order_does_not_matter(images):
    setting = Setting(WAY, 3, QUERY)
    forwards, backwards = bank(images, "paper", WAY, QUERY, 0), bank(images, "paper", WAY, QUERY, 0)
    first = [forwards.draw(i, setting) for i in range(8)]
    last = [backwards.draw(i, setting) for i in reversed(range(100))][::-1]
    assert all(same(a, b) for a, b in zip(first, last, strict=False))


@pytest.mark.parametrize(("n_shot", "sizes"), [(1, [40] * 6), (20, [40] * 6), (3, [7, 40, 8, 9, 33, 7])])
def test_images_are_picked_as_a_whole_shuffled_class_would_give_them(n_shot, sizes):
    """The drawing in so many words: a random order of each class, whose first ones are the queries."""
    ids = np.arange(len(sizes)).repeat(sizes)
    pixels, names = np.zeros((len(ids), 1, 1, 1), np.uint8), tuple("abcdef")
    images = ImageSet("uneven", "", pixels, ids, names, {"train": tuple(range(6))}, "uneven")
    stream, setting = Stream("plain"), Setting(WAY, n_shot, QUERY)
    for index in range(50):
        words = stream.words(index, 6 + WAY * (max(sizes) + n_shot))
        chosen = shuffled(words[:6])[:WAY]
        starts = range(6, 6 + WAY * max(sizes), max(sizes))
        orders = [
            images.images_of_class[c][shuffled(words[start : start + sizes[c]])]
            for start, c in zip(starts, chosen, strict=True)
        ]
        place = shuffled(words[6 + WAY * max(sizes) :])
        e = Sampler(images, tuple(range(6)), stream).draw(index, setting)
        assert e.classes.tolist() == chosen.tolist()
        assert e.query.tolist() == np.concatenate([order[:QUERY] for order in orders]).tolist()
        support = np.concatenate([order[QUERY : QUERY + n_shot] for order in orders])
        assert e.support.tolist() == support[place].tolist()


@pytest.mark.parametrize("n_values", [2, 50, 2**64 - 1])
def test_the_smallest_are_those_that_sorting_puts_first(n_values):
    """Ties, too, stand in the order in which they came."""
    for seed in range(20):
        words = Stream("ties", seed).words(0, 5 * 60).reshape(5, 60) % np.uint64(n_values)
        for count in (1, 7, 59, 60):
            expected = [shuffled(row)[:count].tolist() for row in words]
            assert smallest(words, count).tolist() == expected


def test_labels_are_permuted(images):
    """Over many episodes every class stands at every label: no method can learn what label 0 means."""
    n = 600
    places = np.zeros((len(images.class_names), WAY), dtype=int)
    for index in range(n):
        places[draw(images, index).classes, range(WAY)] += 1
    novel = list(images.split("paper").novel)
    expected = n / len(novel)  # 37.5 times; a standard deviation of 6
    assert places.sum() == places[novel].sum() == n * WAY
    assert (np.abs(places[novel] - expected) < 5 * expected**0.5).all()


def test_every_part_of_the_identity_gives_other_episodes(images, full_size):
    ids = [
        draw(images, 0).id,
        draw(images, 1).id,
        draw(images, 0, n_way=6).id,
        draw(images, 0, split="ravi").id,
        draw(images, 0, seed=1).id,
        bank(images, "paper", WAY, 3, 0).draw(0, Setting(WAY, 3, 3)).id,
        draw(full_size, 0).id,
    ]
    assert len(set(ids)) == len(ids)


def test_ids_name_episodes(images):
    ids = {draw(images, i, n_shot).id for i in range(200) for n_shot in (1, 5)}
    assert len(ids) == 400
    e = draw(images, 0)
    assert e.id == draw(images, 0).id
    swapped = e._replace(support_labels=e.support_labels[::-1])
    assert swapped.id != e.id


IDS = [
    "4dd329a227c31871",
    "aa7d00269f4ce664",
    "991604b22227e95c",
]


def test_ids_are_what_they_were(full_size):
    assert [draw(full_size, i, 5).id for i in range(3)] == IDS


@pytest.mark.parametrize("hash_seed", ["1", "random"])
def test_another_process_draws_the_same(hash_seed, full_size):
    code = """
import numpy as np
from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Setting, bank
images = ImageSet("full", "", np.zeros((12000, 1, 1, 1), np.uint8), np.arange(100).repeat(120),
    tuple(map(str, range(100))), {"train": tuple(range(64)), "val": tuple(range(64, 80)),
    "test": tuple(range(80, 100))}, "full")
print(*(bank(images, "paper", 5, 4, 0).draw(i, Setting(5, 5, 4)).id for i in (2, 0, 1)))
"""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [IDS[2], IDS[0], IDS[1]]


def test_the_shared_generators_are_neither_used_nor_moved(images):
    def states() -> list:
        return [random.getstate(), *map(str, np.random.get_state()), *torch.get_rng_state().tolist()]

    before = states()
    first = draw(images, 0)
    assert states() == before
    np.random.random()
    assert states() != before  # so that the line above can fail
    assert same(first, draw(images, 0))


def test_seeds_come_from_what_they_are_for():
    assert derive_seed("weights", 0) == derive_seed("weights", 0)
    purposes: list[tuple[str | int, ...]]
    purposes = [("weights", 0), ("weights", 1), ("episodes", 0), ("weights", "0"), ("weights",)]
    assert len({derive_seed(*p) for p in purposes}) == len(purposes)
    assert all(0 <= derive_seed("x", i) < 2**63 for i in range(1000))


def test_digests_do_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [1.5, None, "é"]}) == digest({"b": [1.5, None, "é"], "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        digest({"a": float("nan")})
