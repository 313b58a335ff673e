"""ResNet-12 and ResNet-18 as trunks: against torchvision and a plain network, and under every method."""

import dataclasses

import pytest
import torch
import torchvision
from torch import Tensor, nn

from fewshot_bench.methods.backbones import BACKBONES, make_trunk
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.resnets import ModuleTrunk, ResNet12, ResNet18
from fewshot_bench.methods.trunk import Trunk

PROBLEM = Problem(1, 16, 0, 8, 4, 3, 2, 10, 5, backbone="narrow")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(*shape: int, seed: int = 0) -> Tensor:
    """Few grey levels, so that pooling windows tie, as they do on real and on drawn images."""
    return torch.randint(0, 3, shape, generator=seeded(seed)).float() / 2


# --- the networks


def test_resnet12_has_the_published_number_of_parameters():
    """Lee et al. 2019 and Tian et al. 2020 say 12.4 million; here each layer's are counted by hand."""
    expected, channels = 0, 3
    for width in (64, 160, 320, 640):
        expected += 9 * channels * width + 2 * 9 * width * width  # three convolutions
        expected += channels * width  # the shortcut
        expected += 4 * 2 * width  # scale and shift of four batch-norms
        channels = width
    trunk = make_trunk(dataclasses.replace(PROBLEM, in_channels=3, image_size=84, backbone="resnet12"), seeded())
    assert sum(p.numel() for p in trunk.parameters()) == expected
    assert round(expected / 1e6, 1) == 12.4
    assert trunk.n_features == 640


def test_resnet18_has_torchvision_s_parameters_but_the_last_layer_s():
    theirs = torchvision.models.resnet18(weights=None)
    trunk = make_trunk(dataclasses.replace(PROBLEM, in_channels=3, image_size=32, backbone="resnet18"), seeded())
    expected = sum(p.numel() for p in theirs.parameters()) - 1000 * 513
    assert sum(p.numel() for p in trunk.parameters()) == expected
    assert round(expected / 1e6, 1) == 11.2
    assert trunk.n_features == theirs.fc.in_features


@pytest.mark.parametrize("size", [17, 32])
def test_resnet18_computes_what_torchvision_s_does(size):
    trunk, theirs = ResNet18(3, seeded()), torchvision.models.resnet18(weights=None)
    theirs.fc = nn.Identity()
    theirs.load_state_dict(trunk.net.state_dict(), strict=False)  # without its counters of batches
    trunk.double()
    theirs.double()
    images, observed = pixels(6, 3, size, size).double(), []
    in_training = trunk(trunk.weights(1), images[None], None, observed)
    torch.testing.assert_close(in_training[0], theirs(images), rtol=1e-9, atol=1e-9)
    trunk.track(observed)
    for (mean, _), norm in zip(
        trunk.running_buffers(), (m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)), strict=True
    ):
        torch.testing.assert_close(mean, norm.running_mean, rtol=1e-9, atol=1e-9)
        # torch keeps the unbiased variance, which is another where a map is small: take ours
        norm.running_var.copy_(trunk.running_buffers()[[id(m) for m in _norms(theirs)].index(id(norm))][1])
    in_evaluation = trunk(trunk.weights(1), images[None], trunk.running_moments(1))
    torch.testing.assert_close(in_evaluation[0], theirs.eval()(images), rtol=1e-9, atol=1e-9)


def _norms(net: nn.Module) -> list[nn.Module]:
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("n", [None, 5])
@pytest.mark.parametrize("size", [16, 37])
def test_resnet12_computes_what_the_papers_say(size, n, narrow, plain_resnet12):
    trunk = narrow(size=size).double()
    images = pixels(7, 1, size, size).double()
    expected = plain_resnet12(dict(trunk.named_parameters()), images, n)
    torch.testing.assert_close(trunk(trunk.weights(1), images[None], n)[0], expected, rtol=1e-9, atol=1e-9)
    with torch.no_grad():  # another way is taken there
        torch.testing.assert_close(trunk(trunk.weights(1), images[None], n)[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", BACKBONES)
def test_too_small_an_image_is_refused(name):
    smallest = BACKBONES[name].smallest
    problem = dataclasses.replace(PROBLEM, image_size=smallest - 1, backbone=name)
    with pytest.raises(ValueError, match=f"{smallest - 1} pixels are fewer than {smallest}"):
        make_trunk(problem, seeded())


def test_a_network_with_other_buffers_is_refused():
    with pytest.raises(ValueError, match="TaskNorm"):
        ModuleTrunk(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), 2)


# --- what every trunk must do


@pytest.fixture(params=["conv4", "narrow", "resnet18"])
def trunk(request, narrow) -> Trunk:
    size = max(16, BACKBONES[request.param].smallest)
    return make_trunk(dataclasses.replace(PROBLEM, image_size=size, filters=4, backbone=request.param), seeded())


def of_size(trunk: Trunk, n_tasks: int, n: int) -> Tensor:
    size = 17 if isinstance(trunk, ResNet18) else 16
    return pixels(n_tasks, n, 1, size, size)


def shaken(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other weights for every task."""
    g = seeded(3)
    return {name: w + 0.05 * torch.randn(w.shape, generator=g) for name, w in weights.items()}


@pytest.mark.parametrize("by", [None, 3, "running"])
def test_tasks_at_once_equal_one_by_one(trunk, by):
    weights, images, observed, alone = shaken(trunk.weights(3)), of_size(trunk, 3, 5), [], []
    trunk.track([(mean + 0.1, variance * 2) for mean, variance in trunk.running_moments(2)])

    def run(weights, images, observed):
        statistics = trunk.running_moments(len(images)) if by == "running" else by
        return trunk(weights, images, statistics, observed)

    with torch.no_grad():
        together = run(weights, images, observed)
        for t in range(3):
            seen = []
            own = {name: w[t : t + 1] for name, w in weights.items()}
            torch.testing.assert_close(together[t : t + 1], run(own, images[t : t + 1], seen), rtol=1e-3, atol=1e-4)
            alone.append(seen)
    assert together.shape == (3, 5, trunk.n_features)
    for layer, parts in zip(observed, zip(*alone, strict=True), strict=True):
        for moments, of_tasks in zip(layer, zip(*parts, strict=True), strict=True):
            torch.testing.assert_close(moments, torch.cat(of_tasks), rtol=1e-3, atol=1e-4)


def test_initial_weights_come_from_the_generator_alone(trunk):
    size = 17 if isinstance(trunk, ResNet18) else 16
    before = torch.get_rng_state()
    name = {"Conv4": "conv4", "ResNet12": "narrow", "ResNet18": "resnet18"}[type(trunk).__name__]
    problem = dataclasses.replace(PROBLEM, image_size=size, filters=4, backbone=name)
    again, other = make_trunk(problem, seeded()), make_trunk(problem, seeded(1))
    assert torch.equal(before, torch.get_rng_state())
    for (name, a), b, c in zip(trunk.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert torch.equal(a, c) == (a.dim() == 1), name  # scales and shifts are the same for all
    assert all(mean.eq(0).all() and variance.eq(1).all() for mean, variance in trunk.running_buffers())


def test_convolutions_keep_the_scale_of_what_flows_back():
    """He et al. 2015, fan-out: the variance of a weight is 2 / (outputs that an input reaches)."""
    weight = dict(ResNet12(1, 16, seeded()).named_parameters())["net.1.body.3.weight"]
    assert weight.shape == (160, 160, 3, 3)
    assert float(weight.detach().var()) == pytest.approx(2 / (160 * 9), rel=0.02)


# --- DropBlock


def test_drop_block_drops_squares_in_training_only_and_by_the_seed(narrow):
    """ResNet-12 at 80 pixels: maps of 10 and of 5 pixels, where a square is the whole map."""
    trunk, images = narrow(drop_block=0.3, size=80), pixels(1, 8, 1, 80, 80)
    assert [type(m).__name__ for m in trunk.net.modules()].count("DropBlock2d") == 2
    weights, dropped = trunk.weights(1), []
    trunk.net[3].register_forward_hook(lambda module, inputs, output: dropped.append(output.detach()))
    with torch.no_grad():
        torch.manual_seed(1)
        once = trunk(weights, images)
        torch.manual_seed(1)
        again = trunk(weights, images)
        torch.manual_seed(2)
        other = trunk(weights, images)
        trunk.eval()
        before = torch.get_rng_state()
        evaluated = trunk(weights, images)
        without = narrow(size=80)(weights, images)
    assert torch.equal(once, again)
    assert not torch.allclose(once, other)
    assert torch.equal(evaluated, without)
    assert torch.equal(before, torch.get_rng_state())
    maps = torch.cat(dropped[:3:2]).eq(0).flatten(2).float().mean(-1)  # the share of each 5x5 map that is gone
    assert maps.unique().tolist() == [0, 1]
    assert 0.15 < float(maps.mean()) < 0.45  # 128 maps, each gone with probability 0.3


def test_drop_block_fits_the_maps_of_small_images(narrow):
    for size in (16, 28, 32, 84):
        assert narrow(drop_block=0.1, size=size)(narrow().weights(1), pixels(1, 2, 1, size, size)).isfinite().all()


def test_drop_block_is_off_unless_asked_for(narrow):
    assert not any(type(m).__name__ == "DropBlock2d" for m in narrow().net.modules())
