"""The memory that a training will take is told before it starts."""

import functools
import json
from dataclasses import replace

import pytest
import torch

from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.transfer import Transfer
from fewshot_bench.running.memory import own_bytes, predicted_bytes, step_bytes

PLAIN = Execution()


def test_small_images_tell_what_large_ones_take(make_training):
    """Measured at 16 pixels for 48; against tensors of 48 pixels, counted by autograd's own hooks."""
    training = replace(make_training("transfer"), image_size=48)
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    method = Transfer(training.problem, training.settings)
    images = torch.rand(1, 64, 1, 48, 48)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = method.trunk(method.trunk.weights(1), images)
    assert features.requires_grad
    assert 0.95 * sum(kept.values()) < step_bytes(training, PLAIN) < 3 * sum(kept.values())


def test_memory_grows_with_inner_steps_unless_they_are_recomputed(make_training):
    @functools.cache
    def step(n, recompute):
        return step_bytes(make_training("maml", inner_steps=n, meta_batch=2), Execution(recompute=recompute))

    assert step(6, False) - step(3, False) > 0.8 * (step(3, False) - step(1, False)) > 0
    assert step(6, True) < 1.1 * step(3, True) < step(3, False)


def test_folded_tasks_take_their_multiple(make_training):
    training = make_training("maml", first_order=True)
    alone, folded = step_bytes(training, PLAIN), step_bytes(training, Execution(tasks_at_once=64))
    assert 2.5 * alone < folded < 4.5 * alone  # 4 tasks; the images are all there either way


def test_a_process_is_more_than_its_tensors(make_training):
    training = make_training("transfer")
    on_gpu = predicted_bytes(training, torch.device("cuda"), PLAIN)
    assert on_gpu == step_bytes(training, PLAIN)
    assert own_bytes() > 50 << 20
    assert predicted_bytes(training, torch.device("cpu"), PLAIN) > own_bytes() + on_gpu - (10 << 20)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_plan_tells_it(words, place, bench):
    ran = bench("run", "-n", *words)
    if words:
        told = [t["expected_memory_bytes"] for t in json.loads(ran.out)["trainings"]]
        assert told
        assert all(100 << 20 < n < 10 << 30 for n in told)
    else:
        assert "memory" in ran.out
        assert "GiB" in ran.out
