"""The machine that a run computes on: device, threads, memory."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import get_args

import torch

from fewshot_bench.config import MOST_PROCESSES, Device, Numerics, choose
from fewshot_bench.errors import UsageError
from fewshot_bench.machine import cores


def choose_device(name: str, numerics: Numerics) -> torch.device:
    """auto, cpu or cuda as a device. Raises UsageError for another, or what needs a GPU that is not there."""
    choose(name, dict.fromkeys(get_args(Device)), "unknown device")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: there is no CUDA GPU that this torch can use; use --device auto or cpu")
    device = torch.device("cuda" if available and name != "cpu" else "cpu")
    if numerics == "tf32" and device.type != "cuda":
        raise UsageError('[model] numerics = "tf32" needs an NVIDIA GPU, and this run has none; use "float32"')
    return device


def choose_jobs(device: torch.device, jobs: int, threads: int, n_cells: int) -> int:
    """How many worker processes; 0 asks for one a core, or one for a GPU.

    Raises UsageError where they and their threads are more than a machine has room for: it could not even say so.
    """
    chosen = min(jobs or (1 if device.type == "cuda" else cores()), max(n_cells, 1))
    if threads * chosen > 8 * MOST_PROCESSES:
        raise UsageError(f"{chosen} processes of {threads} threads are too many: choose fewer --jobs or --threads")
    return chosen


def prepare(device: torch.device, threads: int) -> None:
    """Set this process's threads, exact float32 and, on Linux, how it keeps memory."""
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    if sys.platform == "linux" and device.type == "cpu":
        # keep all memory instead of handing it back to the system after a layer or a step: the next would wait for
        # fresh zeroed pages (training ProtoNet took 1.2 to 2 times as long)
        m_trim_threshold, m_mmap_max = -1, -4
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # glibc
            libc.mallopt(m_mmap_max, 0)  # from the heap alone
            libc.mallopt(m_trim_threshold, -1)  # never given back


@contextmanager
def alone() -> Iterator[None]:
    """Torch's modes and switches inside are those of a process of our own, and in the end what the caller's were.

    A script or notebook may have switched gradients off, or be in another dtype or on another device.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    tf32, deterministic = (matmul.allow_tf32, cudnn.allow_tf32), cudnn.deterministic
    n_threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(mode=False))
            modes.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":  # naming the CPU slows every call down
                modes.enter_context(torch.device("cpu"))
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
        cudnn.deterministic = deterministic
        matmul.allow_tf32, cudnn.allow_tf32 = tf32


@contextmanager
def arithmetic(numerics: Numerics, device: torch.device) -> Iterator[None]:
    """Compute with these numbers inside the block.

    float32: exact single precision. tf32: an NVIDIA GPU's products of matrices and convolutions with a 10-bit
    mantissa. bfloat16: such products in bfloat16 (torch's autocast), everything else in single precision.
    """
    on = numerics == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        # without autocast's cache of converted weights, which would outlive their change in a recorded step
        with torch.autocast(device.type, torch.bfloat16, enabled=numerics == "bfloat16", cache_enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def describe(device: torch.device) -> str:
    """The device in words, for provenance."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class PeakMemory:
    """The largest amount of memory in use since it was made: the GPU's, or on a CPU the process's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif sys.platform == "linux":
            libc = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)  # what earlier trainings kept is not this one's
            with suppress(OSError):  # a container may forbid it: the peak then covers the whole process
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM

    def read(self) -> int:
        """Bytes."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return process_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def process_bytes(name: str) -> int:
    """Memory of this process by its name in Linux's /proc: VmRSS is what it takes now, VmHWM the most it ever took.

    0 where the system does not tell.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
