"""Stopping a run by a signal."""

import signal
from types import FrameType


class StopOnSignal:
    """Ctrl-C, SIGTERM or SIGHUP once: stop at the next safe point. Twice: at once; what was stored is safe anyway."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> None:
        heeded = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
            heeded.append(signal.SIGHUP)
        self._before = {s: signal.signal(s, self._note) for s in heeded}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
