"""[model] backbone: what it changes in identities, in a run, and in what a table says."""

import json
from dataclasses import replace

import pytest
import torch

from fewshot_bench.config import Config, load
from fewshot_bench.data.pretraining import seen_in_pretraining
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.grid import cells, check_settings, resolve
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import content_of
from fewshot_bench.methods.backbones import BACKBONES, Backbone
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.resnets import ResNet12
from fewshot_bench.running import events, runner


@pytest.fixture(autouse=True)
def _a_narrow_resnet12(monkeypatch):
    """ResNet-12 at widths that a test can pay for."""

    def build(p, generator):
        return ResNet12(p.in_channels, p.image_size, generator, p.drop_block, widths=(4, 4, 6, 6))

    monkeypatch.setitem(BACKBONES, "resnet12", Backbone("ResNet-12", 16, build, settings=("drop_block",)))


def with_model(**changes) -> Config:
    return replace(load(), model=replace(load().model, **changes))


def of(images, **model) -> list[Cell]:
    return cells(resolve(with_model(**model), Selection(grid="full")), images)


# --- identity


def test_a_backbone_names_a_training_and_what_it_does_not_have_does_not(full_size):
    def key(**model) -> str:
        return of(full_size, **model)[0].training.key

    resnet12 = key(backbone="resnet12")
    assert resnet12 != key() == key(backbone="conv4")
    assert key(filters=64) != key()
    assert key(backbone="resnet12", filters=64) == resnet12
    assert key(backbone="resnet12", drop_block=0.1) != resnet12
    off, on = of(full_size)[0].training, of(full_size, backbone="resnet12", drop_block=0.1)[0].training
    assert (off.identity["backbone"], on.identity["backbone"]) == ("conv4", "resnet12")
    assert "drop_block" not in off.identity
    assert on.identity["drop_block"] == 0.1
    assert on.identity["filters"] == 0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"backbone": "resnet-12"}, r"\[model\] backbone: unknown backbone 'resnet-12': did you mean 'resnet12'"),
        ({"drop_block": 0.1}, r"\[model\] drop_block = 0.1: Conv-4 has no DropBlock; set it to 0, or .* resnet12"),
        ({"backbone": "resnet18", "drop_block": 0.1}, r"drop_block = 0.1: ResNet-18 has no DropBlock"),
    ],
)
def test_a_backbone_that_is_none_is_refused_before_any_data(model, said):
    with pytest.raises(UsageError, match=said):
        check_settings(resolve(with_model(**model), Selection(grid="full")))


def test_images_too_small_for_the_backbone_are_refused(full_size):
    assert of(full_size, backbone="resnet12")
    with pytest.raises(UsageError, match="16x16 pixels, but ResNet-18 needs squares of at least 17: set image_size"):
        of(full_size, backbone="resnet18")


# --- training with DropBlock


@pytest.fixture
def dropping(make_training):
    return replace(make_training("protonet", iterations=6, train_way=5), backbone="resnet12", drop_block=0.3, filters=0)


def finish(training, lab) -> events.Trained:
    *_, end = runner.train(training, lab)
    assert isinstance(end, events.Trained)
    return end


def test_a_stopped_training_with_drop_block_ends_where_an_unstopped_one_does(dropping, make_lab):
    state = torch.get_rng_state()
    whole = finish(dropping, make_lab(checkpoints="whole"))
    again = finish(dropping, make_lab(checkpoints="again"))
    count = iter(range(1, 100))
    with pytest.raises(runner.Stopped):
        finish(dropping, make_lab(lambda: next(count) in (1, 4), checkpoints="stopped"))
    torch.rand(5)  # another process would draw other numbers
    stopped = finish(dropping, make_lab(checkpoints="stopped"))
    assert whole.checkpoint == again.checkpoint == stopped.checkpoint
    assert finish(replace(dropping, drop_block=0.0), make_lab(checkpoints="none")).checkpoint != whole.checkpoint
    torch.set_rng_state(state)


def test_training_with_drop_block_leaves_the_global_generator_alone(dropping, make_lab):
    state = torch.get_rng_state()
    finish(dropping, make_lab())
    assert torch.equal(state, torch.get_rng_state())


def test_a_loaded_method_drops_nothing(dropping, make_lab, images):
    lab = make_lab()
    method = runner.load(dropping, finish(dropping, lab).checkpoint, lab)
    batch = lab.gallery.pick(torch.arange(10))
    assert isinstance(method, ProtoNet)
    trunk, weights = method.trunk, method.trunk.weights(1)
    assert torch.equal(trunk(weights, batch[None]), trunk(weights, batch[None]))
    method.train()
    assert not torch.equal(trunk(weights, batch[None]), trunk(weights, batch[None]))


def test_steps_that_draw_are_not_done_again(dropping, make_lab):
    """Masks drawn anew in the backward pass would make a wrong gradient."""
    lab = replace(make_lab(), recompute=True)
    assert not runner.build(dropping, lab).execution.recompute
    assert runner.build(replace(dropping, drop_block=0.0), lab).execution.recompute


# --- the whole way


@pytest.fixture
def deep(place):
    place.add('[model]\nbackbone = "resnet12"\ndrop_block = 0.1\n')
    text = (place.folder / "bench.toml").read_text().replace("[model]\nfilters = 4\n", "", 1)
    (place.folder / "bench.toml").write_text(text)
    return place


def test_a_grid_on_a_resnet_runs_and_says_so(deep, bench):
    assert bench("run", "-q").code == 0
    page = bench("report", "--format", "markdown")
    assert "budget tiny" in page.out, page
    assert ", ResNet-12, DropBlock 0.1." in page.out, page
    assert "ResNet-12, DropBlock 0.1" in bench("report", "--format", "latex").out
    rows = json.loads(bench("report", "--format", "json").out)["rows"]
    replayed = bench("replay", rows[0]["cells"][1]["seeds"][0]["key"], "--retrain")
    assert replayed.code == 0, replayed


@pytest.fixture
def pretrained(place):
    """A grid on a small network of timm with weights from a file."""
    import timm

    net = timm.create_model("test_efficientnet", pretrained=False)
    torch.save(net.state_dict(), place.folder / "net.pth")
    text = (place.folder / "bench.toml").read_text().replace("[model]\nfilters = 4\n", "", 1)
    model = f'[model]\nbackbone = "timm:test_efficientnet"\ninput_size = 32\nweights = "{place.folder / "net.pth"}"\n'
    (place.folder / "bench.toml").write_text(text)
    place.add(model + 'pretrained_on = "imagenet"\n')
    place.add('[methods.as-it-is]\nmethod = "transfer"\niterations = 0\nadaptation = { head = "centroid" }\n')
    return place


def test_a_pretrained_network_runs_and_its_tables_say_what_it_has_seen(pretrained, bench):
    assert bench("run", "-q", "--method", "protonet,as-it-is").code == 0
    assert "as-it-is" in bench("report", "--format", "markdown", "--method", "as-it-is").out
    page = bench("report", "--format", "markdown", "--method", "protonet").out
    assert "images resized to 32 pixels, starting from net.pth" in page
    assert "Pretrained on imagenet: none of the " in page
    weights = f"--set=model.weights=sha256:{content_of(pretrained.folder / 'net.pth')}"
    (pretrained.folder / "net.pth").rename(pretrained.folder / "moved.pth")
    assert "as-it-is" in bench("report", "--format", "markdown", "--method", "as-it-is", weights).out  # read without it
    ran = bench("run", "-q", "--method", "protonet", "--seed", "7", weights)  # not trained
    assert ran.code != 0
    assert "to train, name the file" in ran.err
    assert "Traceback" not in ran.err
    text = (pretrained.folder / "bench.toml").read_text()
    (pretrained.folder / "bench.toml").write_text(text.replace("net.pth", "moved.pth").replace('"imagenet"', '""'))
    again = bench("report", "--format", "json", "--method", "protonet").out
    assert "nobody said on what" in again
    key = json.loads(again)["rows"][0]["cells"][0]["seeds"][0]["key"]
    assert bench("replay", key).code == 0, "wherever the file lies, and whether it is there"
    refused = bench("replay", key, "--retrain")
    assert (refused.code, "known by its content alone" in refused.err) == (5, True)


def test_weights_count_by_their_content(full_size, tmp_path):
    import timm

    net = timm.create_model("test_efficientnet", pretrained=False)

    def key(name: str, **more) -> str:
        chosen = {"backbone": "timm:test_efficientnet", "weights": str(tmp_path / name)} | more
        return of(full_size, **chosen)[0].training.key

    for name in ("one.pth", "copy.pth"):
        torch.save({k: torch.zeros_like(v) for k, v in net.state_dict().items()}, tmp_path / name)
    torch.save(net.state_dict(), tmp_path / "other.pth")
    (tmp_path / "copy.pth").write_bytes((tmp_path / "one.pth").read_bytes())
    assert key("one.pth") == key("copy.pth") == key("one.pth", pretrained_on="imagenet")
    others = key("other.pth"), key("one.pth", input_size=64), key("one.pth", normalisation="inception")
    assert len({key("one.pth"), *others}) == 4
    assert "weights" not in of(full_size)[0].training.identity


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"backbone": "timm:no_such"}, r"\[model\] backbone = 'timm:no_such': timm has no network 'no_such'"),
        ({"weights": "net.pth"}, r"\[model\] weights: Conv-4 has no such choice"),
        ({"normalisation": "clip"}, r"\[model\] normalisation: Conv-4 has no such choice"),
        ({"backbone": "resnet12", "input_size": 64}, r"\[model\] input_size: ResNet-12 has no such choice"),
        ({"backbone": "timm:test_resnet", "weights": "no.pth"}, r"\[model\] weights = 'no.pth' is not a file"),
        ({"backbone": "timm:test_resnet", "weights": __file__}, r"\[model\] weights: .* holds no weights that can be"),
    ],
)
def test_a_network_that_cannot_be_made_is_refused_before_any_data(model, said):
    with pytest.raises(UsageError, match=said):
        check_settings(resolve(with_model(**model), Selection(grid="full")))


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("imagenet", "WARNING: pretrained on imagenet, which holds 16 of the 16 novel classes"),
        ("ImageNet-21k", "WARNING: pretrained on ImageNet-21k, which holds 16"),
        ("places365", "Pretrained on places365: whether it holds the novel classes is not known here."),
        ("", "nobody said on what"),
    ],
)
def test_networks_that_have_seen_the_novel_classes_are_told_from_a_declared_list(origin, said, images):
    named = replace(images, class_names=tuple(f"n{i:08d}" for i in range(len(images.class_names))))
    model = replace(load().model, weights="net.pth", pretrained_on=origin)
    assert said in seen_in_pretraining(model, named, named.split("paper"))
