"""The main process and its workers, by what they say to each other."""

import multiprocessing
import os
import signal
import threading

import pytest

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
