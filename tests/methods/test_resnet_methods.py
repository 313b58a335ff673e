"""Every method on a residual trunk: the contract, and MAML's gradient against slow references."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_bench.data.images import ImageSet
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.backbones import BACKBONES
from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.maml import Maml, MamlSettings
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running.tasks import BaseClasses, Gallery

pytestmark = pytest.mark.usefixtures("narrow")

CPU = torch.device("cpu")
PROBLEM = Problem(1, 16, 0, 8, 4, 3, 2, 10, 5, backbone="narrow")
RULE = Adaptation(lr_per_way=0.01, steps=2)
NORMS = ["support", "transductive", "running"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(name: str, seed: int = 5, backbone: str = "narrow", size=(4, 3, 2), **overrides):
    """size: ways, shots and queries a class of its training"""
    small = {"train_way": 5, "train_shot": 4, "batch_size": 8, "meta_batch": 2, "inner_steps": 1} | overrides
    known = {f.name for f in dataclasses.fields(METHODS[name].Settings)}
    settings = METHODS[name].Settings(**{k: v for k, v in small.items() if k in known})
    n_way, n_shot = METHODS[name].training_setting(settings, *size[:2])
    n_pixels = max(16, BACKBONES[backbone].smallest)
    problem = Problem(1, n_pixels, 0, 8, n_way, n_shot, size[2], 4, seed, backbone)
    return METHODS[name](problem, settings)


def source_for(images) -> BaseClasses:
    return BaseClasses(images.parts["train"], Gallery(images, CPU), ["test"])


def trained(name: str, images, **overrides):
    method, source = make(name, **overrides), source_for(images)
    method.step(source)
    return method.eval()


def episodes_of(images, n_tasks: int = 2, size=(4, 2, 3)) -> Episodes:
    sampler = bank(images, "paper", 4, 3, 0)
    drawn = [sampler.draw(i, Setting(*size)) for i in range(n_tasks)]
    return Gallery(images, CPU).collate(drawn, torch.arange(len(images.class_names)).numpy())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(params=list(METHODS))
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("norm", NORMS)
def test_predict_repeats_and_sees_other_queries_only_if_transductive(name, images, norm):
    method, episodes = trained(name, images, norm=norm), episodes_of(images)
    before = method.training_state()
    logits = method.predict(episodes, RULE)
    assert logits.shape == (2, 12, 4)
    assert logits.isfinite().all()
    assert same(before, method.training_state())
    assert torch.equal(logits, method.predict(episodes, RULE))
    alone = torch.cat([method.predict(e, RULE) for e in episodes.split(1)])
    torch.testing.assert_close(logits, alone, rtol=1e-3, atol=1e-4)
    queries = episodes.query_images.clone()
    queries[:, 1:] = 0.5 * queries[:, 1:].flip(1)
    others = method.predict(episodes._replace(query_images=queries), RULE)[:, 0]
    transductive = getattr(method.settings, "norm", "") == "transductive"
    assert torch.allclose(logits[:, 0], others, rtol=1e-4, atol=1e-4) != transductive
    queries[:, 0] = 1 - queries[:, 0]
    itself = method.predict(episodes._replace(query_images=queries), RULE)[:, 0]
    assert not torch.allclose(others, itself, atol=1e-3)


def test_a_restored_method_goes_on_as_if_never_stopped(name, images):
    whole, first, source = make(name, norm="running"), make(name, norm="running"), source_for(images)
    start, straight = whole.training_state(), source_for(images)
    for _ in range(3):
        whole.step(straight)
    first.step(source)
    second = make(name, seed=9, norm="running").load_training_state(first.training_state())
    second.step(source)
    second.step(source)
    assert same(whole.training_state(), second.training_state())
    moved = [k for k, v in whole.training_state().items() if not torch.equal(v, start.get(k, v))]
    assert any(".net." in k for k in moved)
    assert any("running" in k for k in moved) == hasattr(whole.settings, "norm")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet12", "resnet18"])
def test_a_full_size_network_takes_a_step_and_predicts(name, backbone):
    images = small_photographs(max(16, BACKBONES[backbone].smallest))
    small = {"meta_batch": 1, "train_way": 2, "train_shot": 2, "batch_size": 2, "supervised_batch": 2}
    method = make(name, backbone=backbone, size=(2, 1, 1), **small)
    losses = method.step(source_for(images))
    assert losses["loss"].isfinite()
    assert method.eval().predict(episodes_of(images, 1, (2, 1, 1)), Adaptation(steps=1)).shape == (1, 2, 2)


def small_photographs(size: int):
    names = tuple(f"class{i:02d}" for i in range(24))
    parts = {"train": tuple(range(8)), "val": tuple(range(8, 16)), "test": tuple(range(16, 24))}
    noise = torch.randint(0, 256, (24 * 10, 1, size, size), generator=seeded(), dtype=torch.uint8).numpy()
    return ImageSet("noise", "Noise.", noise, torch.arange(24).repeat_interleave(10).numpy(), names, parts, "noise")


# --- gradients


def pixels(*shape: int, seed: int = 0) -> Tensor:
    """Few grey levels, so that pooling windows tie, as they do on real and on drawn images."""
    return torch.randint(0, 3, shape, generator=seeded(seed)).double() / 2


def tied_episodes() -> Episodes:
    labels = torch.arange(4).repeat(3).expand(2, -1)
    support, queries = pixels(2, 12, 1, 16, 16), pixels(2, 8, 1, 16, 16, seed=1)
    return Episodes(support, labels, queries, torch.arange(4).repeat(2).expand(2, -1), torch.arange(4).expand(2, -1))


@pytest.mark.parametrize("first_order", [False, True])
def test_maml_gradient_equals_the_plain_network_s(first_order, plain_resnet12):
    def plain_logits(w: dict[str, Tensor], x: Tensor, n: int | None = None) -> Tensor:
        return plain_resnet12(w, x, n) @ w["head_weight"].T + w["head_bias"]

    settings = MamlSettings(first_order=first_order, inner_steps=2, inner_lr_per_way=0.1 / 4, meta_batch=2)
    method, episodes = Maml(PROBLEM, settings).double(), tied_episodes()
    mine = dict(method.trunk.named_parameters()) | dict(method.head.named_parameters())
    gradients_of_mine = torch.autograd.grad(method.query_loss(episodes).mean(), list(mine.values()))
    start = {name: p.detach().clone().requires_grad_() for name, p in mine.items()}
    total = torch.zeros((), dtype=torch.float64)
    for t in range(2):
        w = start
        for _ in range(2):
            loss = F.cross_entropy(plain_logits(w, episodes.support_images[t]), episodes.support_labels[t])
            gradients = torch.autograd.grad(loss, list(w.values()), create_graph=not first_order)
            w = {name: p - 0.1 * g for (name, p), g in zip(w.items(), gradients, strict=True)}
        both = torch.cat([episodes.support_images[t], episodes.query_images[t]])
        total = total + F.cross_entropy(plain_logits(w, both, 12)[12:], episodes.query_labels[t]) / 2
    expected = torch.autograd.grad(total, list(start.values()))
    for name, a, b in zip(mine, gradients_of_mine, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("drop_block", [0.0, 0.3])
def test_second_order_gradient_is_the_slope_of_the_query_loss(drop_block):
    """Central differences know nothing of autograd. Under one seed DropBlock's masks are constants."""
    problem = dataclasses.replace(PROBLEM, drop_block=drop_block)
    method = Maml(problem, MamlSettings(inner_steps=2, inner_lr_per_way=0.1 / 4, meta_batch=2)).double()
    episodes, g, step = tied_episodes(), seeded(3), 1e-8  # so short that no activation crosses LeakyReLU's kink

    def loss(of: Maml) -> Tensor:
        torch.manual_seed(7)
        return of.query_loss(episodes).mean()

    parameters = dict(method.named_parameters())
    gradients = torch.autograd.grad(loss(method), list(parameters.values()))
    directions = {n: torch.randn(p.shape, generator=g, dtype=p.dtype) for n, p in parameters.items()}
    expected = sum(float((x * directions[n]).sum()) for n, x in zip(parameters, gradients, strict=True))
    slope = 0.0
    for sign in (1, -1):
        moved = copy.deepcopy(method)
        with torch.no_grad():
            for n, p in moved.named_parameters():
                p.add_(sign * step * directions[n])
        slope += sign * float(loss(moved).detach()) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-4)
