"""The built-in controls: what they share, what they cost, and that a setting that is off names nothing."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_bench.config import Config, load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.grid import cells, resolve
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.methods.cost import image_passes, one_thread
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.registry import METHODS


def of(config: Config, images, grid: str, **chosen) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in cells(resolve(config, Selection(grid=grid, **chosen)), images):
        found.setdefault(cell.variant, []).append(cell)
    return found


@pytest.fixture(scope="module")
def controls(full_size) -> dict[str, list[Cell]]:
    return of(load(), full_size, "controls")


def test_heads_on_frozen_features_share_transfer_s_training(controls):
    heads = ["transfer-centroid", "transfer-logistic", "transfer-cosine"]
    keys = {cell.training.key for name in ["transfer", *heads] for cell in controls[name]}
    assert len(keys) == 1
    assert len({cell.key for name in ["transfer", *heads] for cell in controls[name]}) == 4 * 9
    assert {cell.adaptation.head for name in heads for cell in controls[name] if cell.adaptation} == {
        "centroid", "logistic", "cosine",
    }  # fmt: skip
    assert controls["baseline++"][0].training.key not in keys


def test_a_head_s_result_does_not_depend_on_the_rule_of_the_others(controls, full_size):
    short = of(load(), full_size, "controls", budget="smoke", methods=("transfer-logistic",))
    assert short["transfer-logistic"][0].adaptation == controls["transfer-logistic"][0].adaptation


def test_no_control_changes_what_the_full_grid_names(controls, full_size):
    full = of(load(), full_size, "full")
    shared = full.keys() & controls.keys()
    assert {"transfer", "protonet", "maml", "maml-mtl", "reptile", "reptile-mtl"} <= shared
    assert all([c.key for c in full[name]] == [c.key for c in controls[name]] for name in shared)


def test_what_is_matched_costs_as_much_as_meta_transfer(controls):
    """Within a step's images: iterations are whole."""

    def cost(name: str) -> tuple[float, float]:
        training = controls[name][0].training
        a_step = image_passes(METHODS[training.method], training.settings, training.problem)
        return a_step * training.iterations, a_step

    pairs = {"maml-equal": "maml-mtl", "pretrained-maml": "maml-mtl", "transfer-equal": "maml-mtl",
             "reptile-equal": "reptile-mtl", "pretrained-reptile": "reptile-mtl", "r2d2": "protonet",
             "meta-baseline": "transfer"}  # fmt: skip
    for name, like in pairs.items():
        (mine, a_step), (theirs, _) = cost(name), cost(like)
        assert mine == pytest.approx(theirs, abs=a_step), name
    assert controls["pretrained-maml"][0].training.iterations == 2 * controls["maml-mtl"][0].training.iterations


COSTS: dict[str, tuple[dict[str, Any], float]] = {
    "transfer": ({"batch_size": 8}, 8),
    "protonet": ({}, 5 * (2 + 4)),
    "maml": ({"meta_batch": 2, "inner_steps": 3}, 2 * (3 * 10 + 10 + 20)),  # support again, for the queries' moments
    "anil": ({"meta_batch": 2, "inner_steps": 3}, 2 * (10 + 20)),
    "reptile": ({"meta_batch": 2, "inner_steps": 3, "inner_batch": 4}, 2 * 3 * 4),
    "maml-mtl": ({"meta_batch": 2, "inner_steps": 3}, 2 * (60 + 10 + 20)),
    "pretrained-maml": ({"meta_batch": 2, "inner_steps": 3}, 2 * (60 + 10 + 20) / 2),
    "meta-baseline": ({"supervised_batch": 8, "pretraining": 0.75}, 0.75 * 8 + 0.25 * 4 * 30),
}


@pytest.mark.parametrize("name", COSTS)
def test_images_are_counted_each_time_they_pass(name):
    settings, expected = COSTS[name]
    problem = Problem(3, 84, 64, 64, 5, 2, 4, 1, 0, "resnet12")
    assert image_passes(METHODS[name], METHODS[name].Settings(**settings), problem) == pytest.approx(expected)


def test_the_page_s_costs_are_counted():
    page = (Path(__file__).parents[3] / "docs/controls.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| ([0-9,]+) \| [0-9,]+ \|$", page, re.MULTILINE)
    assert len(rows) == 6
    for name, passes in rows:
        settings = METHODS[name].Settings()
        n_way, n_shot = METHODS[name].training_setting(settings, 5, 5)
        problem = Problem(1, 16, 1, 64, n_way, n_shot, 15, 1, 0)
        assert image_passes(METHODS[name], settings, problem) == int(passes.replace(",", "")), name


def test_a_cost_that_cannot_be_taken_is_one_line(full_size):
    config = load()
    config.methods["mine"] = {"method": "maml", "cost_of": "maml-equal"}
    with pytest.raises(UsageError, match=r"\[methods.mine\] cost_of = 'maml-equal': that one itself names another"):
        of(config, full_size, "full", methods=("mine",))
    config.methods["mine"] = {"method": "maml", "cost_of": "mamal"}
    with pytest.raises(UsageError, match=r"\[methods.mine\] cost_of: unknown variant 'mamal'"):
        of(config, full_size, "full", methods=("mine",))


def test_beta_goes_from_one_parent_to_the_other(full_size):
    found = of(load(), full_size, "beta")
    betas = [getattr(found[name][0].training.settings, "beta", 1) for name in list(found)[:5]]
    assert betas == [0, 0.25, 0.5, 0.75, 1]


def test_what_is_only_counted_takes_one_thread(monkeypatch):
    """On cores that are busy, more would wait for each other."""
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with one_thread():
        assert seen == [1]
    assert seen == [1, 7]
