"""Shorter numbers in products are a setting that names a result; full single precision is the default."""

from dataclasses import replace

import pytest
import torch

from fewshot_bench.experiment.episodes import Setting
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.registry import METHODS
from fewshot_bench.running import runner
from fewshot_bench.running.device import arithmetic


@pytest.mark.parametrize("name", list(METHODS))
def test_bfloat16_trains_and_tests_every_method_and_names_it(name, make_training, make_lab):
    small = {"train_way": 5, "meta_batch": 2, "inner_steps": 2}
    settings = {key: value for key, value in small.items() if hasattr(METHODS[name].Settings(), key)}
    exact = make_training(name, iterations=3, **settings)
    short = replace(exact, numerics="bfloat16")
    assert short.key != exact.key
    lab, weights = make_lab(), []
    for training in (exact, short):
        checkpoint = list(runner.train(training, lab))[-1].checkpoint
        method = runner.load(training, checkpoint, lab)
        cell = Cell(name, training, "paper", Setting(4, 2, 3), 0, Adaptation(steps=2), 3)
        assert sum(len(chunk) for chunk in runner.evaluate(cell, method, lab, 0)) == 3
        weights.append(torch.cat([p.detach().flatten() for p in method.parameters()]))
    assert weights[1].dtype == torch.float32
    assert not torch.equal(*weights)
    torch.testing.assert_close(weights[1], weights[0], atol=0.05, rtol=0)


def test_numbers_are_short_inside_the_block_only():
    a = torch.full((2, 2), 1 / 3)
    exact = a @ a
    with arithmetic("bfloat16", torch.device("cpu")):
        assert (a @ a).dtype == torch.bfloat16
    assert torch.equal(a @ a, exact)
    with arithmetic("float32", torch.device("cpu")):
        assert torch.equal(a @ a, exact)
    with arithmetic("tf32", torch.device("cpu")):
        assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_tf32_on_a_cpu_is_refused(place, bench):
    config = place.folder / "bench.toml"
    config.write_text(config.read_text().replace("[model]", "[model]\nnumerics = 'tf32'"))
    ran = bench("run", "-q", "--device", "cpu")
    assert (ran.code, "needs an NVIDIA GPU, and this run has none" in ran.err) == (2, True)
