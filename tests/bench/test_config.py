"""bench.toml: the packaged file is complete, its comments are true, and a user's file lies over it."""

import dataclasses
import re
import tomllib
import typing
from pathlib import Path

import pytest

from fewshot_bench.config import AugmentationConfig, Budget, Config, GridConfig, config_file, load, packaged_text
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.grid import variant
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.registry import METHODS

SECTIONS = {
    "run": typing.get_type_hints(Config)["run"],
    "data": typing.get_type_hints(Config)["data"],
    "episodes": typing.get_type_hints(Config)["episodes"],
    "model": typing.get_type_hints(Config)["model"],
    "training": typing.get_type_hints(Config)["training"],
    "augmentation": typing.get_type_hints(Config)["augmentation"],
    "adaptation": Adaptation,
}


def written(text: str, tmp_path) -> Config:
    path = tmp_path / "bench.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_every_key_stands_in_the_packaged_file():
    tables = tomllib.loads(packaged_text())
    assert set(tables) == {f.name for f in dataclasses.fields(Config)}
    for section, cls in SECTIONS.items():
        assert set(tables[section]) == {f.name for f in dataclasses.fields(cls)}
    for name, cls in (("budgets", Budget), ("grids", GridConfig)):
        for entry in tables[name].values():
            assert set(entry) == {f.name for f in dataclasses.fields(cls)}
    assert set(tables["grids"]) >= {"full", "paper", "smoke"}
    assert set(tables["budgets"]) >= {"smoke", "quick", "paper"}


def test_every_single_key_has_a_comment():
    section = ""
    for line in packaged_text().splitlines():
        if line.startswith("["):
            section = line.split("]")[0].strip("[")
        elif section in SECTIONS and "=" in line and not line.startswith("#"):
            assert "  # " in line, f"[{section}] {line}"


def test_the_file_holds_the_defaults_of_the_code():
    assert load().adaptation == dataclasses.asdict(Adaptation())
    assert load().augmentation == AugmentationConfig()
    # every registered method is a variant under its own name and with its own defaults
    for name, method in METHODS.items():
        found = variant(load(), name)
        assert (found.method, found.settings) == (name, method.Settings())


def commented_settings() -> dict[str, dict[str, list]]:
    """method -> setting -> the values in the comments below [methods.NAME]; the first one is the default."""
    found: dict[str, dict[str, list]] = {}
    blocks = re.findall(r"\[methods\.([\w-]+)\].*\n((?:method = .*\n)?)((?:#.*\n)*)", packaged_text())
    for name, _, comments in blocks:
        text = " ".join(line.strip("# ") for line in comments.splitlines())
        for key, alternatives in re.findall(r"(\w+) = ((?:[^,|]+)(?: \| [^,|]+)*)", text):
            values = [tomllib.loads(f"x = {value}")["x"] for value in alternatives.split(" | ")]
            found.setdefault(name, {})[key] = values
    return found


@pytest.mark.parametrize("name", list(METHODS))
def test_the_comments_name_every_setting_with_its_default(name):
    comments = commented_settings()
    told = comments.get(name, {})
    if name.endswith("-mtl"):  # "MAML's settings and", "the same"
        told = comments[name.removesuffix("-mtl")] | comments["maml-mtl"]
    settings = METHODS[name].Settings
    hints = typing.get_type_hints(settings)
    assert {f.name for f in dataclasses.fields(settings)} == set(told)
    for key, default in dataclasses.asdict(settings()).items():
        assert told[key][0] == default, key
        if len(told[key]) > 1:
            assert set(told[key]) == set(typing.get_args(hints[key])), key


def test_a_file_of_ones_own_changes_what_it_names_and_nothing_else(tmp_path):
    own = written('[run]\ndevice = "cpu"\n[budgets.quick]\nepisodes = { 5 = 7 }\n', tmp_path)
    assert own.run == dataclasses.replace(load().run, device="cpu")
    of_all_ways = {at: n for at, n in load().budgets["quick"].episodes.items() if "w" not in at}
    assert own.budgets["quick"].episodes == of_all_ways | {"5": 7}
    assert own.budgets["quick"].iterations == load().budgets["quick"].iterations
    assert (own.grids, own.methods) == (load().grids, load().methods)


def test_a_variant_is_replaced_whole(tmp_path):
    own = written('[methods.fomaml]\nmethod = "maml"\ninner_lr = 0.1\n', tmp_path)
    assert own.methods["fomaml"] == {"method": "maml", "inner_lr": 0.1}  # first_order is gone
    assert own.methods["maml"] == load().methods["maml"]


def test_grids_budgets_and_variants_of_ones_own(tmp_path):
    own = written(
        '[grids.mine]\nmethods = ["mine"]\nways = [2]\nshots = [3]\nseeds = [4]\nbudget = "tiny"\n'
        "[budgets.tiny]\niterations = { other = 1, maml = 2 }\n"
        "episodes = { 1 = 5, 10 = 3 }\nadaptation = {}\n"
        '[methods.mine]\nmethod = "maml"\n',
        tmp_path,
    )
    assert own.grids["mine"] == GridConfig(("mine",), (2,), (3,), (4,), "tiny", "")
    budget = own.budgets["tiny"]
    assert [budget.iterations_of(m) for m in ("maml", "reptile")] == [2, 1]
    assert [budget.episodes_at(way, n) for way in (2, 35) for n in (1, 9, 10, 100)] == [5, 5, 3, 3] * 2


def test_episodes_by_ways_and_shots(tmp_path):
    """Of the entries that a setting reaches, the one with the most ways counts, and of those with most shots."""
    own = written(
        "[budgets.tiny]\niterations = { other = 1 }\nadaptation = {}\n"
        "episodes = { 1 = 60, 50 = 6, 20w1s = 15, 20w50s = 4, 35w5s = 9 }\n",
        tmp_path,
    )
    at = {(way, shot): own.budgets["tiny"].episodes_at(way, shot) for way in (5, 20, 35) for shot in (1, 5, 100)}
    assert list(at.values()) == [60, 60, 6, 15, 15, 4, 15, 9, 9]


def test_episodes_that_name_no_ways_hold_at_all_of_them(tmp_path):
    """As in files from before ways could be named."""
    own = written("[budgets.quick]\nepisodes = { 1 = 60, 50 = 6 }\n", tmp_path).budgets["quick"]
    assert [own.episodes_at(way, shot) for way in (5, 20, 35) for shot in (1, 5, 100)] == [60, 60, 6] * 3


def test_an_entry_for_some_ways_leaves_the_others(tmp_path):
    own, packaged = (b.budgets["quick"] for b in (written("[budgets.quick.episodes]\n20w1s = 9\n", tmp_path), load()))
    assert own.episodes == packaged.episodes | {"20w1s": 9}


def test_an_empty_file_is_the_packaged_one(tmp_path):
    assert written("", tmp_path) == load()


def test_whole_numbers_serve_as_numbers(tmp_path):
    own = written('[methods.maml]\nmethod = "maml"\nlr = 1\n', tmp_path)
    assert repr(variant(own, "maml").settings.lr) == "1.0"


def test_errors_name_the_file(tmp_path):
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path / 'bench.toml'}: ")):
        written("[run]\nthreads = -1\n", tmp_path)


def test_a_link_to_nothing_is_not_taken_for_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file(None) is None
    Path("bench.toml").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"^bench\.toml: cannot be read: No such file or directory"):
        load(config_file(None))


def test_settings_of_the_command_line_lie_over_the_file(tmp_path):
    path = tmp_path / "bench.toml"
    path.write_text("[data]\nimage_size = 40\nsplit = 'ravi'\n", encoding="utf-8")
    words = ("data.image_size=28", "methods.maml.inner_steps=10", "run.out = here", "grids.smoke.ways=[5, 7]")
    config = load(path, words)
    assert (config.data.image_size, config.data.split, config.run.out) == (28, "ravi", "here")
    assert config.grids["smoke"].ways == (5, 7)
    assert config.methods["maml"] == load().methods["maml"] | {"inner_steps": 10}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "data.image_sise=28",
            "with --set data.image_sise=28: [data] has no key 'image_sise': did you mean 'image_size'?",
        ),
        ("data.image_size=big", "[data] image_size = 'big' must be a whole number"),
        ("model.filters=0", "must be at least 1"),
        ("run=3", "run = 3 must be a section [run]"),
        ("image_size", "expected KEY=VALUE"),
        ("[data]", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("a b=3", "expected KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(word, said):
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        load(None, [word])
    assert "\n" not in str(error.value)
