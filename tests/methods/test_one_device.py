"""On a GPU, held without one: nothing mixes devices, nothing waits for the host, each draw is one copy.

Everything is computed on torch's device "meta", which has shapes and no numbers: only the host's own part is done. Each
operator is looked at: whether its inputs lie together, and whether it hands something to the host or takes it there.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewshot_bench.config import AugmentationConfig
from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods import frozen
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.frozen import HEADS, Frozen
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.running.tasks import BaseClasses, Features, Gallery, class_index

META = torch.device("meta")
SMALL = {"train_way": 5, "train_shot": 3, "batch_size": 8, "meta_batch": 2, "inner_steps": 1}
RULE = Adaptation(steps=1, full_batch=8, batch_size=6, batches=1, epochs=1)
WAITS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "allclose")


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch):
    """Which is of real devices alone."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)


@pytest.fixture(autouse=True)
def _printed_tensors_wait(monkeypatch):
    """No operator shows it on "meta"."""

    def printed(x, **_):
        raise Fault("printing a tensor waits for the host")

    monkeypatch.setattr(torch._tensor_str, "_str", printed)


class Fault(AssertionError):
    """What a GPU would not do, or would wait for."""


class OneDevice(TorchDispatchMode):
    """Raises Fault where an operator mixes devices or makes the host wait; counts copies to the device."""

    def __init__(self):
        super().__init__()
        self.copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there, here = (any(x.is_meta is on for x in given if x.dim() or on) for on in (True, False))
        indexed = name.startswith(("index", "_unsafe_index")) and any(x.dtype == torch.bool for x in given[1:])
        if there and (name in WAITS or indexed):
            raise Fault(f"{name} waits for the host")
        if name == "_to_copy" and kwargs.get("device") is not None:
            self._copied(given[0].is_meta, kwargs["device"].type == "meta", kwargs.get("non_blocking"), name)
        elif name == "copy_":
            self._copied(given[1].is_meta, given[0].is_meta, args[2] if len(args) > 2 else False, name)
        elif there and here:
            raise Fault(f"{name} mixes devices: {[(x.device.type, tuple(x.shape)) for x in given]}")
        elif name == "lift_fresh" and there:
            raise Fault("a tensor is made of the host's numbers on the device, which waits: make it there, or copy it")
        return func(*args, **kwargs)

    def _copied(self, from_device, to_device, non_blocking, name):
        if from_device and not to_device:
            raise Fault(f"{name} to the host waits for it")
        if to_device and not from_device:
            if not non_blocking:
                raise Fault(f"{name} to the device blocks: non_blocking=True")
            self.copies += 1


def make(name, backbone="conv4", **more):
    method = METHODS[name]
    known = {f.name for f in dataclasses.fields(method.Settings)}
    settings = method.Settings(**{k: v for k, v in (SMALL | more).items() if k in known})
    n_way, n_shot = method.training_setting(settings, 4, 2)
    made = method(Problem(1, 16, 4, 8, n_way, n_shot, 3, 10, 1, backbone), settings).to(META)
    made.execution = Execution(tasks_at_once=64)
    return made


def source_of(images, augmentation=None):
    classes, gallery = images.parts["train"], Gallery(images, META)
    return BaseClasses(classes, gallery, ["meta"], *([augmentation] if augmentation else []))


def novel(images, gallery, n_way, n_shot, features=None):
    sampler = bank(images, "paper", n_way, 3, 0)
    drawn = [sampler.draw(i, Setting(n_way, n_shot, 3)) for i in range(2)]
    return gallery.collate(drawn, class_index(images, images.split("paper").novel), features)


CASES = [
    *((name, {"norm": norm}) for name in METHODS for norm in ("support", "running")),
    *((name, {"norm": "transductive"}) for name in ("transfer", "protonet", "maml")),
    ("transfer", {"frozen": True, "norm": "running"}),
    ("transfer", {"optimizer": "sgd"}),
    ("maml", {"first_order": True, "inner_batch": 3}),
    ("reptile", {"inner_optimizer": "sgd"}),
    ("maml-mtl", {"supervised_data": "iid", "average": "gradients"}),
    ("reptile-mtl", {"supervised_at": "new", "head_step": "full"}),
    *((name, {"backbone": "narrow"}) for name in ("transfer", "protonet")),
]


@pytest.mark.parametrize(("name", "more"), CASES, ids=lambda part: str(part))
def test_a_step_copies_its_draws_alone_and_waits_for_nothing(name, more, images, narrow):
    method, source = make(name, **more), source_of(images)
    with OneDevice() as seen:
        losses = method.step(source)
    assert all(loss.is_meta for loss in losses.values())
    assert seen.copies == (2 if more.get("supervised_data") == "iid" else 1)


@pytest.mark.parametrize(("name", "more"), [*CASES, ("maml", {"trained_head": True})], ids=lambda part: str(part))
def test_a_prediction_copies_nothing_and_waits_for_nothing(name, more, images, narrow):
    n_way, n_shot = (4, 2) if "trained_head" in more else (3, 4)  # 8 images, all at once; 12, in batches
    method, episodes = make(name, **more).eval(), novel(images, Gallery(images, META), n_way, n_shot)
    with OneDevice() as seen:
        logits = method.predict(episodes, RULE)
    assert (logits.shape, seen.copies) == ((2, n_way * 3, n_way), 0)


@pytest.mark.parametrize("name", ["protonet", "transfer"])
def test_features_are_made_and_classified_where_they_are(name, images):
    method, gallery = make(name, frozen=True, norm="running").eval(), Gallery(images, META)
    indices = np.concatenate([images.images_of_class[c] for c in images.split("paper").novel])
    with OneDevice() as seen:
        features = Features(method.embed, indices, gallery)
        assert method.classify(novel(images, gallery, 4, 2, features), RULE).shape == (2, 12, 4)
    assert seen.copies == 4  # two pieces of images, what became of them, and the episodes


@pytest.mark.parametrize("head", list(HEADS))
def test_a_head_is_fitted_where_the_features_are(head, images, monkeypatch):
    monkeypatch.setattr(frozen, "BATCHES", 1)
    method = Frozen(make("transfer"), source_of(images))
    episodes = novel(images, Gallery(images, META), 4, 2)
    with OneDevice() as seen:
        assert method.predict(episodes, Adaptation(head=head)).shape == (2, 12, 4)
    assert seen.copies == (head == "cosine")  # whose initial weights are drawn on the host


@pytest.mark.parametrize("name", ["transfer", "maml"])
def test_augmentation_waits_for_nothing_either(name, images):
    method, source = make(name), source_of(images, AugmentationConfig(crop_padding=2, flip=True, jitter=0.4))
    with OneDevice() as seen:
        method.step(source)
    assert seen.copies == (2 if name == "transfer" else 3)  # and of its random numbers: once for each tensor of images


FAULTS = {
    "mixes devices": lambda x: x + torch.ones(len(x)),
    "mixes devices: ": lambda x: x[torch.arange(2)],
    "_local_scalar_dense waits": lambda x: x.sum().item(),
    "_local_scalar_dense waits ": lambda x: float(x.mean()),
    "(is_nonzero|_local_scalar_dense) waits": lambda x: bool(x.sum() > 0),
    "to the host waits": lambda x: x.cpu(),
    "printing a tensor waits": lambda x: f"{x}",
    "nonzero waits": lambda x: x.nonzero(),
    "index waits": lambda x: x[x > 0],
    "equal waits": lambda x: torch.equal(x, x),
    "to the device blocks": lambda x: torch.ones(3).to(META),
    "copy_ to the device blocks": lambda x: x.copy_(torch.ones(len(x))),
    "made of the host's numbers": lambda x: torch.tensor([1.0, 2.0], device=META),
}


@pytest.mark.parametrize("said", list(FAULTS))
def test_a_planted_fault_is_found(said, images, monkeypatch):
    method, source = make("transfer"), source_of(images)
    kept = Transfer.backward

    def backward(self, *inputs):
        FAULTS[said](torch.ones(4, device=META))
        return kept(self, *inputs)

    monkeypatch.setattr(Transfer, "backward", backward)
    with pytest.raises(Fault, match=said.rstrip(": ")), OneDevice():
        method.step(source)


def test_a_second_copy_is_counted(images):
    method, source = make("transfer"), source_of(images)
    with OneDevice() as seen:
        torch.ones(3).to(META, non_blocking=True)
        method.step(source)
    assert seen.copies == 2
