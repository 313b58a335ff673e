"""config -> trainings and cells: how many there are, and what their names depend on."""

import dataclasses
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fewshot_bench.config import AugmentationConfig, Config, load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.grid import cells, resolve
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.protonet import ProtoNetSettings
from fewshot_bench.methods.transfer import TransferSettings

# written out in full, so that the keys below change only when what names a result changes
TRAINING = Training(
    method="transfer",
    versions=(1, 1, 1),
    settings=TransferSettings(lr=0.001, batch_size=64, optimizer="adam", frozen=False, norm="support"),
    fingerprint="f" * 64,
    base_parts=("train",),
    in_channels=1,
    image_size=28,
    filters=32,
    n_base_classes=64,
    n_way=0,
    n_shot=0,
    n_query=0,
    iterations=1500,
    seed=0,
)
CROPS = AugmentationConfig(crop_padding=4)
ADAPTATION = Adaptation(lr_per_way=0.01, steps=10, full_batch=200, batch_size=64, batches=50, epochs=2)
CELL = Cell("transfer", TRAINING, "paper", Setting(5, 1, 15), 0, ADAPTATION, 100)


def of(config: Config, images, grid: str = "full", **chosen) -> list[Cell]:
    return cells(resolve(config, Selection(grid=grid, **chosen)), images)


def with_variant(config: Config, name: str, table: dict) -> Config:
    return replace(config, methods=config.methods | {name: table})


def trainings(found: list[Cell]) -> set[str]:
    return {cell.training.key for cell in found}


def test_one_training_a_method_serves_the_whole_grid(full_size):
    found = of(load(), full_size)
    assert len(found) == len({cell.key for cell in found}) == 7 * 3 * 3
    assert len(trainings(found)) == 7
    assert {(c.setting.n_way, c.setting.n_shot) for c in found} == {
        (way, shot) for way in (5, 20, 35) for shot in (1, 5, 100)
    }


def test_matched_trains_for_each_setting_that_its_training_episodes_tell_apart(full_size):
    """MAML, FOMAML and MAML-MTL: 3 ways x shots 1, 5 and 15 (100 capped); Reptile and Reptile-MTL train with
    15 shots whatever the test's: 3 ways; ProtoNet trains 20-way for 5 ways too: 2 x 3; transfer: 1."""
    found = of(load(), full_size, protocol="matched")
    assert len(found) == 63
    assert len(trainings(found)) == 3 * 9 + 2 * 3 + 6 + 1
    maml = {c.setting: (c.training.n_way, c.training.n_shot) for c in found if c.variant == "maml"}
    assert maml[Setting(35, 100, 15)] == (35, 15)
    assert maml[Setting(5, 1, 15)] == (5, 1)


def test_seeds_multiply_trainings_and_cells(full_size):
    found = of(load(), full_size, seeds=(0, 1, 2))
    assert len(found) == 3 * 63
    assert len(trainings(found)) == 3 * 7


def test_some_methods_of_a_grid_have_its_first_seed_alone(full_size):
    grid = replace(load().grids["full"], methods=("maml",), one_seed=("reptile",), ways=(5,), shots=(1,), seeds=(3, 4))
    config = replace(load(), grids=load().grids | {"full": grid})
    assert [c.name for c in of(config, full_size)] == ["maml-5w1s-s3", "reptile-5w1s-s3", "maml-5w1s-s4"]
    assert [c.name for c in of(config, full_size, seeds=(4,))] == ["maml-5w1s-s4"]
    assert of(config, full_size, methods=("reptile",), seeds=(4,)) == []


def test_evidence_is_three_seeds_of_the_seven_and_of_what_decides_and_one_of_the_other_controls(full_size):
    found = cells(resolve(load(), Selection(grid="evidence")), full_size)
    seeds = {v: {c.training.seed for c in found if c.variant == v} for v in {c.variant for c in found}}
    heads = {"transfer-centroid", "transfer-logistic", "transfer-cosine"}
    thrice = {*load().grids["full"].methods, *heads, "untrained", "pretrained-maml", "pretrained-reptile"}
    assert {v for v, own in seeds.items() if own == {0, 1, 2}} == thrice
    assert {v for v, own in seeds.items() if own == {0}} == seeds.keys() - thrice
    assert set(load().grids["controls"].methods) <= seeds.keys()
    assert len({c.training.key for c in found if c.variant in heads | {"transfer"}}) == 3  # one a seed


def test_fewer_episodes_at_more_ways_are_the_first_of_the_same(full_size):
    fewer, more = of(load(), full_size), of(load(), full_size, episodes=60)
    assert [c.key for c in fewer] == [c.key for c in more]
    assert {c.n_episodes for c in fewer if (c.setting.n_way, c.setting.n_shot) == (35, 5)} < set(range(60))


def test_characters_are_trained_and_fitted_as_published_for_them(full_size):
    characters = replace(full_size, family="characters")
    config = replace(load(), methods=load().methods | {"own": {"method": "maml", "inner_steps": 3}})
    names = ("maml", "fomaml", "reptile", "transfer", "protonet", "own")
    there, here = (of(config, images, methods=names, ways=(20,), shots=(1,)) for images in (full_size, characters))
    before, after = ({c.variant: c for c in found} for found in (there, here))
    for variant in ("maml", "fomaml", "own"):
        settings, rule = after[variant].training.settings, after[variant].adaptation
        assert (settings.inner_rate(5), settings.inner_rate(20)) == (2.0, 2.0)  # 5 x 0.4, 20 x 0.1
        assert settings.inner_steps == (3 if variant == "own" else 1)
        assert rule is not None
        assert (rule.rate(5), rule.rate(20), rule.rate(2), rule.steps) == (2.0, 2.0, 0.8, 3)
        assert before[variant].training.settings.inner_rate(5) == 0.05
    assert after["reptile"].training.n_shot == after["reptile"].training.settings.train_shot == 10
    for variant in ("maml", "reptile"):
        assert after[variant].key != before[variant].key
        assert after[variant].training.key != before[variant].training.key
    for variant in ("transfer", "protonet"):
        assert after[variant].key == before[variant].key
    assert of(config, replace(full_size, family="drawings"), methods=names, ways=(20,), shots=(1,)) == there


def test_a_variants_own_keys_count_before_its_familys_those_of_its_rule_too(full_size):
    own = {"method": "maml", "inner_steps": 3, "adaptation": {"steps": 50}}
    (cell,) = of(
        with_variant(load(), "own", own),
        replace(full_size, family="characters"),
        methods=("own",),
        ways=(5,),
        shots=(1,),
    )
    assert (cell.training.settings.inner_steps, cell.training.settings.inner_lr_per_way) == (3, 0.4)
    assert cell.adaptation == Adaptation(steps=50, lr_per_way=0.4, lr_most=2.0)


def test_as_much_as_another_variant_costs_is_counted_on_the_same_data(full_size):
    """An update of MAML passes 900 images forward and backward; on characters, with one inner step, 500."""
    updates = {}
    for family in ("", "characters"):
        methods, images = ("transfer-equal", "maml-mtl"), replace(full_size, family=family)
        found = of(load(), images, methods=methods, ways=(5,), shots=(1,))
        equal, mtl = (c.training.iterations for c in found)
        updates[family] = equal * 64 / mtl
    assert updates[""] == pytest.approx(1300, rel=0.001)
    assert updates["characters"] == pytest.approx(900, rel=0.001)


def test_photographs_keep_their_keys(full_size):
    """Digest of all keys that the three grids had before there were families, at the published budgets."""
    found = [c for grid in ("full", "controls", "beta") for c in of(load(), full_size, grid=grid, budget="paper")]
    keys = "".join(f"{c.name}{c.training.key}{c.key}" for c in found)
    assert sha256(keys.encode()).hexdigest() == "a50cd05e0eeb6ddd8bf3b56b62b215b4521b787a0e4bab770bcd6be4b5c6c180"


def test_options_narrow_a_grid(full_size):
    found = of(load(), full_size, methods=("maml",), ways=(20,), shots=(1, 5), seeds=(3,), budget="smoke")
    assert [cell.name for cell in found] == ["maml-20w1s-s3", "maml-20w5s-s3"]
    assert {cell.n_episodes for cell in found} == {load().budgets["smoke"].episodes_at(5, 1)}
    assert found[0].training.iterations == load().budgets["smoke"].iterations["maml"]


def test_a_grid_may_name_budget_and_protocol(full_size):
    request = resolve(load(), Selection(grid="paper"))
    assert (request.budget, request.protocol) == ("paper", "matched")
    assert resolve(load(), Selection(grid="paper", budget="smoke", protocol="single")).budget == "smoke"
    assert resolve(load(), Selection(grid="full")).budget == load().run.budget


def test_splits_with_the_same_base_classes_share_trainings_but_no_cells(full_size):
    paper = of(load(), full_size, ways=(5,))
    tuning = of(load(), full_size, ways=(5,), split="ravi-val")
    assert trainings(paper) == trainings(tuning)
    assert not {c.key for c in paper} & {c.key for c in tuning}


def test_equal_variants_share_trainings_and_cells(full_size):
    config = with_variant(load(), "again", {"method": "maml"})
    found = of(config, full_size, methods=("maml", "again"), ways=(5,), shots=(1,))
    assert len(found) == 2
    assert len(trainings(found)) == len({c.key for c in found}) == 1


def test_keys_are_what_they_were():
    assert TRAINING.key == "edc7f56733612df1"
    assert CELL.key == "c01c7fc8148f119f"
    protonet = replace(
        TRAINING,
        method="protonet",
        settings=ProtoNetSettings(train_way=20, lr=0.001, halve_every=2000, norm="running"),
        n_way=20,
        n_shot=5,
        n_query=15,
    )
    assert replace(CELL, variant="protonet", training=protonet, adaptation=None).key == "63f9b529214ea445"


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Training)])
def test_every_field_of_a_training_names_it(field):
    value = getattr(TRAINING, field)
    other = {
        str: f"{value}x",
        int: 7,
        float: 0.5,
        tuple: ("train", "val"),
        AugmentationConfig: CROPS,
        type(None): "sha256:0",
    }.get(type(value))
    changes: dict[str, Any] = {field: other or replace(value, lr=0.5)}
    changed = replace(TRAINING, **changes)
    assert changed.key != TRAINING.key
    assert replace(CELL, training=changed).key != CELL.key


def test_augmentation_names_a_training_only_where_it_is_on():
    assert replace(TRAINING, augmentation=AugmentationConfig()).key == TRAINING.key
    assert "augmentation" not in TRAINING.identity
    on = [CROPS, AugmentationConfig(crop_padding=5), AugmentationConfig(flip=True), AugmentationConfig(jitter=0.1)]
    assert len({replace(TRAINING, augmentation=a).key for a in on} | {TRAINING.key}) == 5


def test_a_crop_of_nothing_but_reflections_is_refused(full_size):
    def cropped(padding: int) -> Config:
        return replace(load(), augmentation=AugmentationConfig(crop_padding=padding))

    assert of(cropped(15), full_size)[0].training.augmentation.crop_padding == 15
    with pytest.raises(UsageError, match=r"\[augmentation\] crop_padding = 16 must be less than 16: .*full have 16x16"):
        of(cropped(16), full_size)


@pytest.mark.parametrize(
    "change",
    [
        {"split": "ravi"},
        {"setting": Setting(6, 1, 15)},
        {"setting": Setting(5, 2, 15)},
        {"setting": Setting(5, 1, 14)},
        {"bank_seed": 1},
        {"adaptation": replace(ADAPTATION, steps=11)},
        {"adaptation": None},
    ],
)
def test_what_changes_a_result_changes_its_name(change):
    assert replace(CELL, **change).key != CELL.key
    assert replace(CELL, **change).training.key == CELL.training.key


@pytest.mark.parametrize("change", [{"variant": "another"}, {"n_episodes": 101}])
def test_what_changes_no_result_changes_no_name(change):
    assert replace(CELL, **change).key == CELL.key


def test_machine_folder_and_data_path_change_no_name(full_size):
    elsewhere = replace(
        load(),
        run=replace(load().run, device="cuda", threads=7, out="elsewhere"),
        data=replace(load().data, source="/another/copy"),
    )
    assert [c.key for c in of(elsewhere, full_size)] == [c.key for c in of(load(), full_size)]


def test_only_methods_that_adapt_are_named_by_the_adaptation(full_size):
    other = replace(load(), adaptation=load().adaptation | {"steps": 3})
    for a, b in zip(of(load(), full_size), of(other, full_size), strict=True):
        assert (a.key == b.key) == (a.variant == "protonet")


def test_methods_with_one_seed_see_the_same_data_and_start_from_the_same_trunk(full_size):
    found = of(load(), full_size, ways=(5,), shots=(1,))
    assert len({repr(c.training.data_identity) for c in found}) == 1
    assert len({c.training.problem.seed for c in found}) == 1
    assert of(load(), full_size, seeds=(1,))[0].training.problem.seed != found[0].training.problem.seed


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"ways": (35,), "split": "ravi"}, ["35-way", "35 classes", "there are 20", "'ravi'"]),
        ({"ways": (37,)}, ["37-way", "37 classes", "there are 36", "'paper'"]),
        ({"shots": (110,)}, ["110-shot", "15 queries", "125 images", "has 120"]),
        ({"ways": (5, 80), "protocol": "matched"}, ["80-way", "there are 36"]),
    ],
)
def test_a_setting_that_the_data_cannot_serve_names_the_numbers(chosen, said, full_size):
    with pytest.raises(UsageError) as error:
        of(load(), full_size, **chosen)
    assert [words for words in said if words not in str(error.value)] == [], error.value


def test_a_training_that_the_data_cannot_serve_names_the_numbers(full_size):
    config = with_variant(load(), "wide", {"method": "protonet", "train_way": 65})
    with pytest.raises(UsageError, match=r"65-way .* there are 64 base classes .* to train wide on"):
        of(config, full_size, methods=("wide",))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"grid": "ful"}, "unknown grid 'ful': did you mean 'full'"),
        ({"methods": ("mamll",)}, "unknown method 'mamll': did you mean 'maml'"),
        ({"budget": "quik"}, "unknown budget 'quik': did you mean 'quick'"),
        ({"split": "papre"}, "unknown split 'papre': did you mean 'paper'"),
    ],
)
def test_names_that_are_none(chosen, said, full_size):
    with pytest.raises(UsageError, match=said):
        of(load(), full_size, **chosen)


def test_a_registered_method_without_a_variant_is_one_with_its_default_settings(full_size):
    config = load()
    config = replace(config, methods={name: table for name, table in config.methods.items() if name != "protonet"})
    (cell,) = of(config, full_size, methods=("protonet",), ways=(5,), shots=(1,), seeds=(0,))
    assert (cell.variant, cell.training.method, cell.training.settings) == ("protonet", "protonet", ProtoNetSettings())
    with pytest.raises(UsageError, match=r"unknown method 'protonett': did you mean 'protonet'\?"):
        of(load(), full_size, methods=("protonett",))
