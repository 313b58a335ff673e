"""The machine that this runs on; which process this is among those of all machines, and whether one is gone."""

import ctypes
import errno
import functools
import hashlib
import mmap
import os
import re
import select
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

BEGIN_SECONDS = 10.0  # in which a thread has long begun, on a busy machine too
PR_SET_PDEATHSIG = 1  # prctl(2)
LITTLE_BYTES = 2**28  # of memory: a few of a convolution's buffers
FEW_FILES = 4  # SQLite opens a database, its journal and their folder
MORE_FILES = "too few files may be open at once: raise the limit (ulimit -n)"
# torch's RuntimeErrors say so, and the ImportError of a library that does not fit, which may be larger
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "DefaultCPUAllocator", "failed to map segment")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def host() -> str:
    """The machine's name, and what tells this start of it (and this container) from others of the name."""
    text = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60] or "host"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        of = boot + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: nothing is ever known to be gone there
        of = ""
    return f"{text}-{hashlib.sha256(of.encode()).hexdigest()[:8]}"


def process() -> str:
    """This process on its host: its number, and when it started, since numbers come again."""
    pid = os.getpid()
    return f"{pid}-{_started(pid) or 0}"


def is_gone(at: str, named: str) -> bool:
    """Whether the process `named` (see `process`) of the host `at` is known to have ended."""
    pid, _, started = named.partition("-")
    if at != host() or not pid.isdigit() or started in ("", "0"):
        return False
    return _started(int(pid)) != started


def lacks_memory(error: Exception) -> bool:
    """Whether an error says it, or so little is left that whatever goes wrong may go wrong for that."""
    said = str(error) if isinstance(error, RuntimeError | ImportError) else ""
    if isinstance(error, MemoryError) or any(words in said for words in OUT_OF_MEMORY):
        return True
    try:
        mmap.mmap(-1, LITTLE_BYTES).close()
    except (OSError, ValueError):
        return True
    return False


def lacks_files() -> bool:
    """Whether so few more files may be open that what cannot be opened may be so for that; SQLite does not say it."""
    try:
        with ExitStack() as stack:
            for _ in range(FEW_FILES):
                stack.enter_context(Path(os.devnull).open("rb"))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def lead_nowhere(number: int) -> None:
    """What is written to a file descriptor goes nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


class Background(Thread):
    """A thread beside the work that ends with it. `start` raises MemoryError where there is no room to begin.

    A plain thread's waits for ever for one that has no memory to say that it has begun.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(daemon=True, **given)
        self._started = _Begun()


class _Begun(Event):
    def wait(self, timeout: float | None = None) -> bool:
        if not super().wait(timeout or BEGIN_SECONDS):
            raise MemoryError("a thread could not begin")
        return True


def pause(seconds: float) -> None:
    """Sleep for a span, not until a moment: Python's own goes wrong where a program feigns the clocks (libfaketime)."""
    select.select([], [], [], seconds)


def end_with_parent(by: int) -> None:
    """Have a signal come when the parent of this process dies, even if this one is stopped; on Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)


def in_words(host: str, process: str) -> str:
    """A process for people: its number and machine."""
    return f"process {process.partition('-')[0]} of {host.rpartition('-')[0]}"


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process of this machine, as far as is known."""
    return _status(pid)[0] in ("T", "t")


def _started(pid: int) -> str | None:
    """When a process of this machine started, in its clock's ticks; None where it has ended."""
    fields = _status(pid)
    return None if fields[0] in "ZX" else fields[19]


def _status(pid: int) -> list[str]:
    """What the system says of a process, its state first; "X" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ["X"]
