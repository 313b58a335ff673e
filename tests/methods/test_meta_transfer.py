"""Algorithm 1's identities, bit for bit, and the readings that its settings name."""

import pytest
import torch

from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.later import mentioned
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.meta_transfer import (
    MamlMetaTransfer,
    MamlMetaTransferSettings,
    ReptileMetaTransfer,
    ReptileMetaTransferSettings,
)
from fewshot_bench.methods.reptile import Reptile, ReptileSettings
from fewshot_bench.methods.supervised import instances
from fewshot_bench.methods.transfer import Transfer, TransferSettings
from fewshot_bench.running.tasks import BaseClasses, Gallery

PROBLEM = Problem(1, 16, 4, 8, 3, 2, 4, 6, 5)
KINDS = {
    "maml": (MamlMetaTransfer, MamlMetaTransferSettings, Maml, MamlSettings),
    "reptile": (ReptileMetaTransfer, ReptileMetaTransferSettings, Reptile, ReptileSettings),
}
SMALL = {"meta_batch": 2, "inner_steps": 2}
pytestmark = pytest.mark.parametrize("kind", list(KINDS))


def run(method, images, steps=4, wrap=lambda source: source):
    source = BaseClasses(images.parts["train"], Gallery(images, torch.device("cpu")), ["mtl"])
    for _ in range(steps):
        method.step(wrap(source))
    return method


@pytest.fixture(scope="module")
def defaults(images):
    """Of each kind one that was trained as its settings are by default."""
    return {kind: run(joint(PROBLEM, settings(**SMALL)), images) for kind, (joint, settings, _, _) in KINDS.items()}


def parameters(module) -> list:
    return [p.detach() for p in module.parameters()]


def equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(parameters(a), parameters(b), strict=True))


@pytest.mark.parametrize("trunk_step", ["literal", "full"])
def test_beta_one_is_the_meta_learner(kind, trunk_step, images):
    joint, joint_settings, meta, settings = KINDS[kind]
    mine = run(joint(PROBLEM, joint_settings(beta=1.0, **SMALL, trunk_step=trunk_step)), images)
    theirs = run(meta(PROBLEM, settings(**SMALL)), images)
    assert equal(mine.meta.trunk, theirs.trunk)
    assert equal(mine.meta.head, theirs.head)


@pytest.mark.parametrize("trunk_step", ["literal", "full"])
def test_beta_zero_is_the_transfer_baseline(kind, trunk_step, images):
    joint, joint_settings, _, _ = KINDS[kind]
    own = {"supervised_data": "iid", "supervised_batch": 16} | SMALL
    settings = joint_settings(beta=0.0, trunk_step=trunk_step, **own)
    mine = run(joint(PROBLEM, settings), images)
    theirs = run(Transfer(PROBLEM, TransferSettings(batch_size=16)), images)
    assert equal(mine.transfer.trunk, theirs.trunk)
    assert equal(mine.transfer.head, theirs.head)


def test_between_them_it_is_neither(kind, images, defaults):
    _, _, meta, settings = KINDS[kind]
    assert not equal(defaults[kind].meta.trunk, run(meta(PROBLEM, settings(**SMALL)), images).trunk)


def test_line_ten_is_the_weighted_average_of_two_separate_updates(kind, images):
    joint, joint_settings, _, _ = KINDS[kind]
    beta = 0.3
    ends = {b: run(joint(PROBLEM, joint_settings(beta=b, **SMALL)), images, steps=1) for b in (0.0, beta, 1.0)}
    for low, mid, high in zip(*(parameters(ends[b]) for b in (0.0, beta, 1.0)), strict=True):
        torch.testing.assert_close(mid, beta * high + (1 - beta) * low, rtol=1e-6, atol=1e-7)


def test_full_steps_of_the_trunk_are_the_sum_of_both_where_beta_is_a_half(kind, images):
    joint, joint_settings, _, _ = KINDS[kind]
    start, *ends = (
        parameters(run(joint(PROBLEM, joint_settings(**SMALL, **choice)), images, steps).trunk)
        for steps, choice in ((0, {}), (1, {"beta": 1.0}), (1, {"beta": 0.0}), (1, {"trunk_step": "full"}))
    )
    for old, meta, supervised, full in zip(start, *ends, strict=True):
        torch.testing.assert_close(full - old, (meta - old) + (supervised - old), rtol=1e-4, atol=1e-7)


def test_the_supervised_rate_falls_to_zero_where_it_is_told_to(kind, images):
    joint, joint_settings, _, _ = KINDS[kind]
    method = joint(PROBLEM, joint_settings(**SMALL, supervised_decay="linear"))
    rates = []
    for _ in range(PROBLEM.iterations):
        run(method, images, steps=1)
        rates.append(method.optimizers["supervised"].param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3 * left / 6 for left in (6, 5, 4, 3, 2, 1)])


def test_choices_that_came_later_are_mentioned_only_where_they_are_on(kind):
    _, settings, _, _ = KINDS[kind]
    off = mentioned(settings())
    assert not {"trunk_step", "supervised_decay"} & off.keys()
    assert mentioned(settings(trunk_step="full")) == off | {"trunk_step": "full"}


def test_with_sgd_averaging_parameters_equals_averaging_gradients(kind, images, in_double):
    joint, joint_settings, _, _ = KINDS[kind]
    # for Reptile the outer step falls; at the first iteration it is `outer_step`
    own = {"optimizer": "sgd", "lr": 0.05} if kind == "maml" else {"outer_step": 0.05}
    ends = [
        run(
            joint(
                PROBLEM,
                joint_settings(
                    average=average,
                    supervised_optimizer="sgd",
                    supervised_lr=0.05,
                    beta=0.4,
                    **SMALL,
                    **own,
                ),
            ).double(),
            images,
            steps=1,
            wrap=in_double,
        )
        for average in ("parameters", "gradients")
    ]
    for a, b in zip(*(parameters(e) for e in ends), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_supervised_data_are_the_tasks_own_instances_with_their_base_labels(kind, images):
    joint, joint_settings, _, _ = KINDS[kind]
    method = joint(PROBLEM, joint_settings(**SMALL))
    source = BaseClasses(images.parts["train"], Gallery(images, torch.device("cpu")), ["mtl"])
    episodes = method.meta.draw(source)
    batch, labels = instances(episodes)
    everything = torch.from_numpy(images.images).float() / 255
    for image, label in zip(batch, labels, strict=True):
        found = (everything == image).flatten(1).all(1).nonzero().flatten()
        assert images.class_ids[int(found[0])] == label
    assert len(batch) == episodes.support_labels.numel() + episodes.query_labels.numel()


@pytest.mark.parametrize(
    "setting",
    [
        {"supervised_at": "new"},
        {"head_step": "full"},
        {"trunk_step": "full"},
        {"supervised_decay": "linear"},
        {"average": "gradients"},
        {"supervised_data": "iid"},
    ],
)
def test_each_reading_of_the_algorithm_gives_other_weights(kind, setting, images, defaults):
    joint, joint_settings, _, _ = KINDS[kind]
    other = run(joint(PROBLEM, joint_settings(**SMALL, **setting)), images)
    assert not equal(defaults[kind], other)
