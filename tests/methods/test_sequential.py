"""Pretrain, then meta-learn: each stage is the method that it names, bit for bit."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from fewshot_bench.methods.contract import EasyImages
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.meta_baseline import CosinePrototypes, MetaBaseline, MetaBaselineSettings
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.sequential import (
    PretrainedMaml,
    PretrainedMamlSettings,
    PretrainedReptile,
    PretrainedReptileSettings,
)
from fewshot_bench.methods.transfer import Transfer, TransferSettings

PROBLEM = Problem(1, 16, 4, 24, 3, 2, 4, 6, 5)
KINDS: dict[str, tuple[Any, Any, Any, Any, dict[str, Any]]] = {
    "maml": (PretrainedMaml, PretrainedMamlSettings, Maml, MamlSettings, {"meta_batch": 2}),
    "reptile": (PretrainedReptile, PretrainedReptileSettings, Reptile, ReptileSettings, {"meta_batch": 2}),
    "meta-baseline": (MetaBaseline, MetaBaselineSettings, CosinePrototypes, MetaBaselineSettings, {"pretraining": 0.5}),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_half_of_the_steps_are_transfer_s_and_half_the_learner_s_from_there(kind):
    whole, settings, learner, own, small = KINDS[kind]
    supervised: dict[str, Any] = {"supervised_data": "iid", "supervised_batch": 8}
    method, source = whole(PROBLEM, settings(**supervised, **small)), EasyImages()
    norm = method.settings.norm
    transfer, same = Transfer(PROBLEM, TransferSettings(batch_size=8, norm=norm)), EasyImages()
    for _ in range(3):
        method.step(source)
        transfer.step(same)
    assert_equal(method.trunk, transfer.trunk)
    alone = learner(replace(PROBLEM, iterations=3), own(**small))
    alone.trunk.load_state_dict(transfer.trunk.state_dict())
    for _ in range(3):
        method.step(source)
        alone.step(same)
    assert_equal(method.meta, alone)
    assert method.iteration == 6


def test_pretraining_on_tasks_takes_their_instances():
    """As many images a step as meta-transfer's supervised stream: those of a meta-batch, support and queries."""
    method = PretrainedMaml(PROBLEM, PretrainedMamlSettings(meta_batch=2))
    source, transfer = EasyImages(), Transfer(PROBLEM, TransferSettings())
    method.step(source)
    episodes = EasyImages().episodes(2, 3, 2, 4)
    images = torch.cat([episodes.support_images, episodes.query_images], 1).flatten(0, 1)  # (2*18, 1, 16, 16)
    within = torch.cat([episodes.support_labels, episodes.query_labels], 1)
    transfer.gradients(images, episodes.class_ids.gather(1, within).flatten())
    transfer.optimizers["outer"].step()
    assert_equal(method.trunk, transfer.trunk)


def assert_equal(a: torch.nn.Module, b: torch.nn.Module) -> None:
    mine, theirs = a.state_dict(), b.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
