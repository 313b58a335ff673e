"""On a GPU whole meta-batches are folded into one pass and steps are CUDA graphs: the CPU's results up to rounding."""

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting, bank
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.execution import WARM_UP, Execution
from fewshot_bench.methods.interface import Problem
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running.tasks import BaseClasses, Gallery

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


STEPS = WARM_UP + 3


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", list(METHODS))
def test_steps_and_a_prediction_agree_with_the_cpu(name, recorded, images, in_double):
    method_type = METHODS[name]
    settings = method_type.Settings()
    n_way, n_shot = method_type.training_setting(settings, 4, 3)
    problem = Problem(1, 16, 8, 8, min(n_way, 8), n_shot, 5, 10, 1)
    ends = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        method = method_type(problem, settings).double().to(device)
        if device.type == "cuda":
            method.execution = Execution(tasks_at_once=64, recorded=recorded)
        gallery = Gallery(images, device)
        source = in_double(BaseClasses(images, images.parts["train"], gallery, ["gpu"]))
        for _ in range(STEPS):
            method.step(source)
        sampler = bank(images, "paper", 4, 5, 0)
        drawn = [sampler.draw(i, Setting(4, 3, 5)) for i in range(3)]
        episodes = gallery.collate(drawn, torch.arange(len(images.class_names)).numpy())
        in_doubles = (f.double() if f.is_floating_point() else f for f in episodes)
        logits = method.predict(type(episodes)(*in_doubles), Adaptation())
        ends.append([*(p.detach().cpu() for p in method.parameters()), logits.cpu()])
    for cpu, gpu in zip(*ends, strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-6, atol=1e-6)
