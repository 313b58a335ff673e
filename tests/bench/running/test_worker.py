"""The main process and its workers, by what they say to each other."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from fewshot_bench import machine
from fewshot_bench.errors import BenchError
from fewshot_bench.running import worker
from fewshot_bench.running.events import Warned
from fewshot_bench.running.signals import StopOnSignal


def test_a_worker_goes_on_when_what_it_said_is_recorded(monkeypatch):
    """A state saved before that would lose it if both were killed then."""
    reached = []

    def do(item, lab):
        for number in range(3):
            reached.append(number)
            yield Warned(str(number))

    monkeypatch.setattr(worker, "do", do)
    monkeypatch.setattr(worker, "_live_with_parent", lambda main, signs: None)
    ours, its_end = multiprocessing.Pipe()
    place = type("Place", (), {"open": lambda self, should_stop: "a laboratory"})()
    working = threading.Thread(target=worker._work, args=(place, its_end, [0, 0], os.getppid()))
    working.start()
    ours.send("item")
    for number in range(3):
        assert ours.recv() == Warned(str(number))
        assert not ours.poll(0.05)
        assert reached[-1] == number
        ours.send(None)
    assert ours.recv() is None
    ours.close()
    working.join()


def test_one_that_is_stopped_while_it_imports_its_libraries_is_noticed_as_soon():
    """It has minutes for that only as long as it works at it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    watched = object.__new__(worker.Worker)
    silent = {"_signs": [0, 0], "_seen": 0, "_silent": worker.SILENT_SECONDS + 1, "_busy": 0.0}
    vars(watched).update(silent, process=SimpleNamespace(pid=process.pid), _looked_at=time.monotonic())
    assert watched._overdue(stopping=False, timeout=None) == ""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert "did not answer for 30 s" in watched._overdue(stopping=False, timeout=None)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("lacking", ["RawArray", "Pipe", "Process"])
def test_one_that_the_machine_does_not_give_is_one_line(lacking, monkeypatch):
    """Where no process, pipe or shared memory is left, the output was said to be what cannot be written."""

    def no_room(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "/dev/shm/x")

    monkeypatch.setattr(multiprocessing.get_context("spawn"), lacking, no_room)
    with pytest.raises(BenchError) as error:
        worker.Worker(None)
    why = "/dev/shm/x: Read-only file system"
    assert str(error.value).startswith(f"a worker process could not be begun ({why}): run the same command again with")


def test_the_time_of_one_that_always_has_something_to_say_passes_too(monkeypatch):
    """It was counted only where a worker said nothing for a while, so that `--timeout` came several times too late."""
    now, watched = [0.0], object.__new__(worker.Worker)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    connection = SimpleNamespace(recv=lambda: Warned("a step"), send=lambda what: None)
    vars(watched).update(connection=connection, process=SimpleNamespace(pid=0), _signs=[1, 0], _seen=0, _looked_at=0.0)
    vars(watched).update(_silent=0.0, _busy=0.0, _late=False, _cut=False)
    asked = []
    for _ in range(7):
        now[0] += 0.5
        assert [*watched.received(ready=True, stopping=False, timeout=3.0)] == [Warned("a step")]
        asked.append(watched._signs[1])
    assert asked == [0] * 6 + [1]


def test_only_ctrl_c_hurries_the_end_and_only_once():
    """`timeout` and `scancel` ask a process twice, by itself and by its group."""
    stop = StopOnSignal()
    with stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert stop.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 143


def test_a_worker_beats_on_when_memory_is_short(monkeypatch):
    """Else it is taken for stopped, and its unit is begun again."""
    signs, paused = [0], []

    def pause(_: float) -> None:
        paused.append(1)
        if len(paused) == 3:
            monkeypatch.setattr(os, "getppid", lambda: -1)  # its parent is gone
        raise MemoryError

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(machine, "pause", pause)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(SystemExit):
        worker._beat(signs, os.getppid())
    assert signs == [3]
