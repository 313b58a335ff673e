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


def test_whoever_asks_more_than_twice_does_not_disturb_the_end():
    stop = StopOnSignal()
    with stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 143
