"""How much memory a training will take: the tensors of one step on small images, counted."""

import dataclasses
import functools
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.identity import Training
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.experiment.selection import Means
from fewshot_bench.methods.backbones import find_backbone
from fewshot_bench.methods.cost import Blank, one_thread
from fewshot_bench.methods.execution import Execution
from fewshot_bench.methods.registry import find_method
from fewshot_bench.methods.strangers import contained
from fewshot_bench.running.device import prepare, process_bytes
from fewshot_bench.running.recording import device_of
from fewshot_bench.running.runner import execution_of

# A process on a CPU needs more than its tensors: oneDNN's copies in other layouts, and blocks that are kept and not
# returned. Measured for transfer, ProtoNet, MAML, Reptile, meta-transfer at 32 and 84 pixels: 1.2 to 2 times as much.
CPU_SHARE = 1.5


def memory_of(chosen: Chosen, plan: Plan, means: Means) -> dict[str, int]:
    """Training key -> the bytes that it will take, about."""
    config, device = chosen.request.config, device_of(chosen, means)
    prepare(device, threads=1)
    return {
        t.key: predicted_bytes(t, device, execution_of(t, device, config.run.recompute))
        for t in (todo.training for todo in plan.todo)
    }


def predicted_bytes(training: Training, device: torch.device, execution: Execution) -> int:
    """About the peak memory of a training: of the whole process on a CPU, of the tensors on a GPU.

    0 where its first step fails: the training itself will say why.
    """
    own = own_bytes()  # before the step, whose memory stays with the process
    try:
        with contained():
            tensors = step_bytes(training, execution)
    except Exception:  # noqa: BLE001  # of a method of anyone's
        return 0
    return int(own + CPU_SHARE * tensors) if device.type == "cpu" else tensors


def step_bytes(training: Training, execution: Execution) -> int:
    """The most bytes of tensors that exist at any moment of one step.

    A step is taken on the smallest images that the backbone can see. What is not shaped like a weight grows with the
    pixels: for Conv-4 at 84 pixels this is within 3 % of a step at full size. What a backbone resizes is as it will be.
    """
    backbone, small = find_backbone(training.backbone), training.image_size
    if "input_size" not in backbone.settings:
        small = min(small, backbone.smallest)
    problem = dataclasses.replace(training.problem, image_size=small)
    method = find_method(training.method)(problem, training.settings)
    method.execution = dataclasses.replace(execution, recorded=False)
    with one_thread(), _Living(method.parameters(), (training.image_size / small) ** 2) as living:
        method.step(Blank(training.in_channels, small))
    return int(living.most_bytes)


@functools.cache
def own_bytes() -> int:
    """What this process took when first asked, with the libraries that a worker loads, too; 0 where none can tell."""
    return process_bytes("VmRSS")


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made inside the block, as long as they live.

    scale: how much larger the real ones are that are not shaped like one of the weights
    """

    def __init__(self, weights: Iterable[Tensor], scale: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._weights, self._scale = {tuple(w.shape) for w in weights}, scale
        self._known: dict[int, float] = {}
        self.bytes = self.most_bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        name = storage._cdata
        if name not in self._known:
            shape = tuple(tensor.shape)
            as_weight = shape in self._weights or shape[1:] in self._weights  # one, or one a task
            self._known[name] = storage.nbytes() * (1.0 if as_weight else self._scale)
            self.bytes += self._known[name]
            self.most_bytes = max(self.most_bytes, self.bytes)
            weakref.finalize(storage, self._gone, name)

    def _gone(self, name: int) -> None:
        self.bytes -= self._known.pop(name)
