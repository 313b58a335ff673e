"""Stopping a run by a signal."""

import signal
from types import FrameType


class AtOnce(KeyboardInterrupt):
    """A person pressed Ctrl-C a second time."""


class StopOnSignal:
    """Ctrl-C, SIGTERM or SIGHUP: stop at the next safe point. Ctrl-C after that: at once; what is stored is safe.

    More of them do not disturb that: who was asked twice is ending its worker processes. Nor does another SIGTERM or
    SIGHUP, since `timeout`, `scancel` and a closing terminal send theirs to the process and to its group.
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
