"""Stopping a run by a signal."""

import select
import signal
import threading
from contextlib import suppress
from types import FrameType

from fewshot_bench import machine

UNREAD_SECONDS = 5.0  # who reads nothing for so long is not waited for by a run that is to stop


class AtOnce(KeyboardInterrupt):
    """A person pressed Ctrl-C a second time."""


class StopOnSignal:
    """Ctrl-C, SIGTERM or SIGHUP: stop at the next safe point. Ctrl-C after that: at once; what is stored is safe.

    More of them do not disturb that: who was asked twice is ending its worker processes. Nor does another SIGTERM or
    SIGHUP, since `timeout`, `scancel` and a closing terminal send theirs to the process and to its group. Who prints
    into a full pipe that nobody reads stops, too: what is printed then goes nowhere.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._twice = False

    def __enter__(self) -> None:
        heeded = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
            heeded.append(signal.SIGHUP)
        self._before = {s: signal.signal(s, self._note) for s in heeded}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """Of a run that it stopped, as shells have it."""
        return 128 + (self.signal or signal.SIGINT)

    def asked(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
        elif number == signal.SIGINT and not self._twice:
            self._twice = True
            raise AtOnce
        _let_go_of_unread()


def _let_go_of_unread() -> None:
    """Let what nobody takes go nowhere: the write that the signal interrupted is repeated, to what is there now."""
    unread = [number for number in (1, 2) if not _is_read(number)]
    for number in unread:
        machine.lead_nowhere(number)
    for thread in threading.enumerate() if unread else ():  # a heartbeat may wait there, and hold the screen's lock
        if thread is not threading.current_thread() and thread.ident:
            signal.pthread_kill(thread.ident, signal.SIGTERM)


def _is_read(number: int) -> bool:
    """Whether what is printed there is taken, a pipe's end or a terminal that was not halted; a file always is."""
    with suppress(OSError, ValueError):  # it is closed
        return bool(select.select([], [number], [], UNREAD_SECONDS)[1])
    return True
