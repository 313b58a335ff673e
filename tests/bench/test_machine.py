"""What the machine lacks is an error, not a wait."""

import pytest

from fewshot_bench import machine


def test_a_thread_that_has_no_room_to_begin_is_not_waited_for(monkeypatch):
    """It is what little memory does: the thread ends before it says that it began."""
    monkeypatch.setattr(machine, "BEGIN_SECONDS", 0.05)
    monkeypatch.setattr(machine.Background, "_bootstrap", lambda _: None)
    with pytest.raises(MemoryError, match="could not begin"):
        machine.Background(target=print).start()


def test_a_thread_in_the_background_can_be_waited_for():
    done = []
    beside = machine.Background(target=done.append, args=(1,))
    beside.start()
    beside.join()
    assert (done, beside.daemon) == ([1], True)
