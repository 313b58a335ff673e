"""How a step is carried out: what changes its speed and memory, and of its result the rounding at most."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Input = Any  # a tensor, or a named tuple of tensors
Replay = Callable[[], None]  # does again what was recorded, into the same tensors
Recorder = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]

WARM_UP = 3  # plain calls before a recording: libraries choose their kernels and the pool grows


@dataclass(frozen=True)
class Execution:
    """How a method's steps are carried out.

    tasks_at_once: tasks folded into one pass. On a CPU that only takes memory; on a GPU launches cost more.
    recompute: second-order steps are computed again in the backward pass, not kept: memory is then flat in the
        number of inner steps, for about a third more time.
    recorded: gradients are a CUDA graph, launched as one.
    """

    tasks_at_once: int = 1
    recompute: bool = False
    recorded: bool = False


def cuda_graph(function: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
    """The function's kernels as a CUDA graph, and the tensor into which every replay writes its result."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function()
    return graph.replay, output


class Recorded:
    """A function that sets a module's gradients, called plainly at first, then recorded once and replayed.

    What the function reads must be its inputs or the module's own tensors: a number of the host would be recorded
    as it was. Inputs of other shapes than the recorded ones are computed plainly.
    """

    def __init__(self, module: nn.Module, record: Recorder = cuda_graph) -> None:
        self._parameters, self._record = list(module.parameters()), record
        self._n_calls, self._fails = 0, False
        self._replay: Replay | None = None

    def __call__(self, function: Callable[..., Tensor], *inputs: Input) -> Tensor:
        """The function's result, always the same function; the parameters' gradients are set."""
        self._n_calls += 1
        if self._n_calls <= WARM_UP:
            return _beside(function, inputs)
        if self._replay is None and not self._fails:
            self._start(function, inputs)
        if self._replay is None:
            return function(*inputs)
        given, kept = _tensors(inputs), _tensors(self._inputs)
        if [value.shape for value in given] != [value.shape for value in kept]:
            return function(*inputs)
        for own, value in zip(kept, given, strict=True):
            own.copy_(value, non_blocking=True)
        self._replay()
        for p, gradient in zip(self._parameters, self._gradients, strict=True):
            p.grad = gradient
        return self._output.clone()

    def _start(self, function: Callable[..., Tensor], inputs: tuple[Input, ...]) -> None:
        """Record the function; where that fails nothing was computed, and plain calls go on from the same state."""
        self._inputs = tuple(_copy(value) for value in inputs)
        try:
            self._replay, self._output = self._record(lambda: function(*self._inputs))
        except RuntimeError as error:
            self._fails = True
            warnings.warn(f"steps are launched kernel by kernel, as no CUDA graph could be made: {error}", stacklevel=4)
        self._gradients = [p.grad for p in self._parameters]


def _tensors(inputs: tuple[Input, ...]) -> list[Tensor]:
    return [tensor for value in inputs for tensor in (value if isinstance(value, tuple) else (value,))]


def _copy(value: Input) -> Input:
    return type(value)(*map(torch.clone, value)) if isinstance(value, tuple) else value.clone()


@functools.cache
def _side_stream() -> torch.cuda.Stream:
    """One for all: memory belongs to the stream that it was first used on."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _beside(function: Callable[..., Tensor], inputs: tuple[Input, ...]) -> Tensor:
    """The function's result, on a GPU computed on another stream, as a recording needs it to be done before."""
    if not _tensors(inputs)[0].is_cuda:
        return function(*inputs)
    stream = _side_stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = function(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    return result
