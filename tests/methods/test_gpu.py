"""On a GPU whole meta-batches are folded into one pass and steps are CUDA graphs: the CPU's results up to rounding."""

import dataclasses

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import WARM_UP, Execution
from fewshot_bench.methods.interface import Episodes, Problem
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running import device as machine
from fewshot_bench.running.tasks import BaseClasses, Gallery, as_floats

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


STEPS = 2 * (WARM_UP + 2)  # enough for a graph of each half of a method of two halves
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _as_a_run_computes():
    machine.prepare(CUDA, torch.get_num_threads())


def make(name, device, *, recorded=False, **settings):
    method_type = METHODS[name]
    known, settings = {f.name for f in dataclasses.fields(method_type.Settings)}, {"pretraining": 0.5} | settings
    chosen = method_type.Settings(**{key: value for key, value in settings.items() if key in known})
    n_way, n_shot = method_type.training_setting(chosen, 4, 3)
    method = method_type(Problem(1, 16, 8, 8, min(n_way, 8), n_shot, 5, STEPS, 1), chosen).to(device)
    if device.type == "cuda":
        method.execution = Execution(tasks_at_once=64, recorded=recorded)
    return method


def source_of(images, device):
    return BaseClasses(images.parts["train"], Gallery(images, device), ["gpu"])


def novel(images, device):
    sampler = bank(images, "paper", 4, 5, 0)
    drawn = [sampler.draw(i, Setting(4, 3, 5)) for i in range(3)]
    return Gallery(images, device).collate(drawn, torch.arange(len(images.class_names)).numpy())


def assert_recorded(method):
    """Every gradient of the method, and of those that it is made of, is replayed from a graph."""
    graphs = [one for part in (method, *method.children()) for one in getattr(part, "_recorded", {}).values()]
    assert graphs
    assert all(one._replay for one in graphs)


def test_images_have_the_same_bits_everywhere():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_floats(pixels.to(CUDA)).cpu(), as_floats(pixels))


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", list(METHODS))
def test_steps_and_a_prediction_agree_with_the_cpu(name, recorded, images, in_double):
    ends = []
    for device in (CPU, CUDA):
        method, source = make(name, device, recorded=recorded).double(), in_double(source_of(images, device))
        for _ in range(STEPS):
            method.step(source)
        episodes = Episodes(*(f.double() if f.is_floating_point() else f for f in novel(images, device)))
        logits = method.predict(episodes, Adaptation())
        ends.append([*(p.detach().cpu() for p in method.parameters()), logits.cpu()])
    if recorded:
        assert_recorded(method)
    for cpu, gpu in zip(*ends, strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("norm", ["support", "running"])
@pytest.mark.parametrize("name", list(METHODS))
def test_nothing_waits_for_the_host(name, norm, images):
    method, source, episodes = make(name, CUDA, recorded=True, norm=norm), source_of(images, CUDA), novel(images, CUDA)
    for _ in range(STEPS):
        method.step(source)
    assert_recorded(method)
    method.predict(episodes, Adaptation())
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            method.step(source)
            method.execution = dataclasses.replace(method.execution, recorded=not method.execution.recorded)
        method.predict(episodes, Adaptation())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_resumed_training_has_the_same_bits(name, images):
    whole, source = make(name, CUDA, recorded=True), source_of(images, CUDA)
    for _ in range(STEPS):
        whole.step(source)
    rest = source_of(images, CUDA)
    rest.load_state(source.state())
    resumed = make(name, CUDA, recorded=True).load_training_state(whole.training_state())
    for _ in range(STEPS):
        whole.step(source)
        resumed.step(rest)
    state, other = whole.training_state(), resumed.training_state()
    assert all(torch.equal(state[key], other[key]) for key in state)
