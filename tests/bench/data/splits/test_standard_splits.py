"""The shipped class lists, and what is said of data sets whose classes are in them."""

import re
import tomllib
from importlib.resources import files

import numpy as np
import pytest

from fewshot_bench.data import splits
from fewshot_bench.data.images import SPLITS, STANDARD_SPLITS, ImageSet
from fewshot_bench.data.splits import NAMES, compare, recognise, standard
from fewshot_bench.errors import UsageError

SIZES = {
    "ravi": (64, 16, 20),
    "bertinetto": (64, 16, 20),
    "oreshkin": (60, 20, 20),
    "vinyals": (1028, 172, 423),
    "ren": (351, 97, 160),
}


def grouped(name):
    return tomllib.loads((files(splits) / f"{name}.toml").read_text(encoding="utf-8"))


def moved(name, *moves):
    """The lists of a split after moves (part to take from, part to put into, how many)."""
    parts = {part: list(names) for part, names in standard(name).parts.items()}
    for source, target, count in moves:
        parts[target] += [parts[source].pop() for _ in range(count)]
    return {part: tuple(names) for part, names in parts.items()}


def data_set(parts, name="photos"):
    """An ImageSet without images of these classes."""
    names = tuple(label for part in ("train", "val", "test") for label in parts[part])
    bounds = np.cumsum([0, *(len(parts[part]) for part in ("train", "val", "test"))])
    return ImageSet(
        name=name,
        note="",
        images=np.zeros((0, 1, 4, 4), np.uint8),
        class_ids=np.zeros(0, np.int64),
        class_names=names,
        parts={part: tuple(range(bounds[i], bounds[i + 1])) for i, part in enumerate(("train", "val", "test"))},
        fingerprint="0" * 64,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_listed_once(name):
    parts = standard(name).parts
    assert tuple(map(len, parts.values())) == SIZES[name]
    names = sum(parts.values(), ())
    assert len(set(names)) == len(names)
    key = {re.sub(r"[^0-9a-z]+", "_", label.lower()) for label in names}
    assert len(key) == len(names)  # no two differ in spelling alone


@pytest.mark.parametrize("name", ["oreshkin", "ren"])
def test_the_parts_share_no_superclass(name):
    content = grouped(name)
    superclasses = [key for part in ("train", "val", "test") for key in content[part]]
    assert len(superclasses) == len(set(superclasses)) == {"oreshkin": 20, "ren": 34}[name]


def test_fc100_has_five_classes_in_each_superclass():
    content = grouped("oreshkin")
    assert {len(names.split()) for part in ("train", "val", "test") for names in content[part].values()} == {5}


def test_cifar_fs_and_fc100_have_the_same_classes():
    assert set(sum(standard("bertinetto").parts.values(), ())) == set(sum(standard("oreshkin").parts.values(), ()))


def test_omniglot_has_fifty_alphabets_of_which_one_is_in_two_parts():
    alphabets = [{name.split("/")[0] for name in names} for names in standard("vinyals").parts.values()]
    assert len(set.union(*alphabets)) == 50
    assert [sorted(a & b) for a, b in zip(alphabets, alphabets[1:] + alphabets[:1], strict=True)] == [
        [],
        [],
        ["Gurmukhi"],
    ]


def recognised(parts):
    match = recognise(parts)
    assert match
    return match


@pytest.mark.parametrize("name", NAMES)
def test_a_split_is_recognised_whatever_the_order(name):
    parts = {part: names[::-1] for part, names in standard(name).parts.items()}
    match = recognised(parts)
    assert match.exact
    assert match.standard.name == name
    assert match.sentence() == f"classes split as by {standard(name).authors} ({standard(name).data_set})"


def test_other_spellings_of_the_names_are_known():
    cifar = {
        part: tuple(name.replace("_", " ").title() for name in names)
        for part, names in standard("bertinetto").parts.items()
    }
    assert recognised(cifar).exact
    turned = {
        part: tuple(f"{name}/rot{turn:03d}" for name in names for turn in (0, 90, 180, 270))
        for part, names in standard("vinyals").parts.items()
    }
    assert recognised(turned).exact


def test_a_rotation_in_another_part_is_a_difference():
    turned = {
        part: tuple(f"{name}/rot{turn:03d}" for name in names for turn in (0, 90))
        for part, names in standard("vinyals").parts.items()
    }
    turned |= {"train": (*turned["train"], turned["test"][-1]), "test": turned["test"][:-1]}
    match = recognised(turned)
    assert match.leaked == (standard("vinyals").parts["test"][-1],)


def test_known_classes_split_otherwise_are_said():
    match = recognised(moved("ravi", ("test", "train", 3), ("val", "test", 2)))
    assert not match.exact
    last = standard("ravi").parts["test"][-3:]
    assert match.leaked == last
    assert match.moved == standard("ravi").parts["val"][-2:]
    said = match.sentence()
    assert said.startswith("classes of miniImageNet, but NOT split as by Ravi & Larochelle 2017: ")
    assert f"3 of its test classes are trained on ({', '.join(last)})" in said
    assert "2 of its classes are in another part" in said


def test_a_class_that_is_missing_or_added_is_said():
    parts = standard("ravi").parts | {"val": (*standard("ravi").parts["val"][1:], "n00000000")}
    said = recognised(parts).sentence()
    assert "1 of its classes is missing" in said
    assert "1 of the classes here is not of it (n00000000)" in said


def test_of_two_splits_of_the_same_classes_the_nearer_is_named():
    assert recognised(moved("oreshkin", ("val", "test", 1))).standard.name == "oreshkin"
    assert recognised(moved("bertinetto", ("val", "test", 1))).standard.name == "bertinetto"


@pytest.mark.parametrize(
    "parts",
    [
        {"train": ("dog", "ant"), "val": ("cow",), "test": ("bee", "elk")},
        {part: names[:5] for part, names in standard("ravi").parts.items()},
        {part: names[: len(names) * 4 // 5] for part, names in standard("ravi").parts.items()},
    ],
)
def test_other_classes_are_none(parts):
    assert recognise(parts) is None
    assert data_set(parts).standard_note == ""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ravi"])
def test_the_standards_name_is_a_split_of_data_that_is_split_so(name):
    images = data_set(standard(name).parts)
    assert images.split(name) == images.split("ravi")
    assert images.split(f"{name}-val") == images.split("ravi-val")
    assert images.split(name).name == "ravi"
    assert images.standard_note == f"classes split as by {standard(name).authors} ({standard(name).data_set})"


def test_the_standards_name_is_refused_where_classes_differ():
    images = data_set(moved("bertinetto", ("test", "train", 5)))
    with pytest.raises(UsageError) as error:
        images.split("bertinetto")
    first = ", ".join(standard("bertinetto").parts["test"][-5:-2])
    assert str(error.value) == (
        "split 'bertinetto' is that of Bertinetto et al. 2019 (CIFAR-FS), but of photos 5 classes differ "
        f"({first}, ...): 'ravi' takes the parts as they are"
    )
    assert images.split("ravi").base == images.parts["train"]
    with pytest.raises(UsageError, match=r"photos has other classes: 'ravi-val' takes"):
        images.split("vinyals-val")


def test_an_unknown_split_is_told_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'bertinetto'"):
        data_set(standard("ravi").parts).split("bertineto")


def test_every_split_has_one_canonical_name():
    assert set(STANDARD_SPLITS.values()) == {"ravi", "ravi-val"} <= set(SPLITS)
    assert not set(STANDARD_SPLITS) & set(SPLITS)


def test_comparing_with_a_split_of_other_classes():
    match = compare({"train": ("dog",), "val": ("cow",), "test": ("elk",)}, "ravi")
    assert (len(match.missing), match.foreign) == (100, ("dog", "cow", "elk"))
