"""Split `inner`: what is tuned on it depends on no novel class, whose images are not even there in these tests."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from fewshot_bench.data import open_images
from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment import choosing
from fewshot_bench.experiment.episodes import bank
from fewshot_bench.running import units

TUNING = """
[tuning.few]
ways = [4]
shots = [1, 2]
episodes = 3
rules = [{ steps = 1 }, { steps = 2 }]
[tuning.many]
ways = [4]
shots = [5]
from_shot = 4
episodes = 2
rules = [{ steps = 1 }, { lr_per_way = 0.02, optimizer = "adam" }]
"""


def opened_without_novel_images(*words) -> ImageSet:
    """A data set as it is prepared, but of its images those of the base classes alone: any other is an IndexError."""
    images = open_images(*words)
    n = int(np.isin(images.class_ids, images.parts["train"]).sum())
    assert set(images.class_ids[:n]) == set(images.parts["train"])  # they stand first
    return replace(images, images=np.array(images.images[:n]), class_ids=images.class_ids[:n])


@pytest.fixture
def without_novel_images(monkeypatch):
    for module in (choosing, units):
        monkeypatch.setattr(module, "open_images", opened_without_novel_images)


def test_tuning_needs_no_image_of_a_novel_class(place, bench, without_novel_images):
    place.add(TUNING)
    told = bench("tune", "--method", "transfer", "-o", "tuned.toml")
    assert (told.code, told.err.splitlines()[-1]) == (0, "tuned.toml is written. Use it: bench run --rules tuned.toml")
    rules = tomllib.loads((place.folder / "tuned.toml").read_text())["rules"]
    assert [(rule["variant"], rule["n_way"], rule["from_shot"]) for rule in rules] == [
        ("transfer", 4, 1),
        ("transfer", 4, 4),
    ]
    assert bench("run", "-q", "--method", "transfer").code == 2  # what is reported does need them


def test_nothing_but_base_classes_is_in_inner(full_size):
    for n_novel in (2, 35, 62):
        inner = full_size.split(f"inner{n_novel}")
        assert set(inner.base) | set(inner.novel) == set(full_size.parts["train"])
        assert (len(inner.novel), len(inner.base)) == (n_novel, 64 - n_novel)
        drawn = {int(c) for i in range(50) for c in bank(full_size, inner.name, 2, 15, 0).draw_classes(i, 2)}
        assert drawn <= set(range(n_novel))


def test_a_class_stays_where_it_is_whatever_other_parts_hold(full_size):
    """Where a base class goes depends on its name alone; larger inner splits hold the smaller ones."""
    fewer = replace(full_size, parts={"train": full_size.parts["train"], "val": (), "test": (99,)}, fingerprint="other")
    assert fewer.split("inner35") == full_size.split("inner35")
    assert set(full_size.split("inner5").novel) < set(full_size.split("inner35").novel)


def test_too_few_base_classes_are_counted(full_size):
    with pytest.raises(UsageError, match=r"'inner63': full has 64 base classes, too few to tune on 63 and train on"):
        full_size.split("inner63")
