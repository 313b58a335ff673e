"""One worker process, watched: it says that it lives, and whoever does not is ended."""

import multiprocessing
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from fewshot_bench import machine
from fewshot_bench.errors import BenchError
from fewshot_bench.running.events import Event
from fewshot_bench.running.runner import Laboratory, Stopped
from fewshot_bench.running.units import Item, Workplace, do

BEAT_SECONDS = 1.0
START_SECONDS = 300.0  # for its libraries
SILENT_SECONDS = 30.0  # a worker that did not beat this long is stopped, by a person or the machine
STOPPING_SECONDS = 10.0  # the same, once the run was asked to stop
GRACE_SECONDS = 30.0  # beyond --timeout, to save its state
DEAF_TO = {signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])}


@dataclass(frozen=True)
class Ended:
    """A worker has nothing in hand any more."""

    item: Item
    reason: str = ""  # why it is not done, where it is not
    lost: bool = False  # with the process: another try may succeed


class Worker:
    """A process, and what it has in hand. A pipe each: one that dies leaves no lock behind."""

    def __init__(self, place: Workplace) -> None:
        self.item: Item | None = None
        self._place = place
        self._start()

    def _start(self) -> None:
        """Raises BenchError where the machine gives no process, no pipe or no memory to share."""
        try:
            self._begin()
        except OSError as error:
            lacking = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            again = "run the same command again with fewer --jobs; with --jobs 1 none is needed"
            raise BenchError(f"a worker process could not be begun ({lacking}): {again}") from None

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, its_end = context.Pipe()
        with socket.socket(fileno=os.dup(self.connection.fileno())) as ours:  # it may be stopped in mid-message
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(SILENT_SECONDS), 0))
        self._signs = context.RawArray("q", 2)  # how often it beat; whether it is to stop
        self._seen, self._looked_at = 0, time.monotonic()
        self._silent = self._busy = 0.0
        self._late = self._cut = False  # beyond its time; stopped for it
        words = (self._place, its_end, self._signs, os.getpid())
        self.process: BaseProcess = context.Process(target=_work, args=words, daemon=True)
        # signals reach the whole process group, while a worker still imports its libraries, too: it inherits deafness
        resource_tracker.ensure_running()  # it would take the block away again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
        try:
            with _without_script():
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its_end.close()

    def give(self, item: Item) -> None:
        """Hand it a unit."""
        self.item, self._signs[1] = item, 0
        self._silent = self._busy = 0.0
        self._late = self._cut = False
        self._send(item)

    def ask_to_stop(self) -> None:
        """At the next safe point."""
        self._signs[1] = 1

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.join()

    def _send(self, what: Item | None) -> None:
        with suppress(OSError):  # it is dead: `received` finds out
            self.connection.send(what)

    def received(self, *, ready: bool, stopping: bool, timeout: float | None) -> Iterator[Event | Exception | Ended]:
        """What it says, if it does; the end of its unit comes last. timeout: seconds for a unit."""
        if stopping and not self._signs[0]:  # it still imports its libraries: nothing was begun
            self.kill()
            yield Stopped()
            yield Ended(self._taken())
            return
        reason = self._overdue(stopping, timeout)  # its time passes while it says much, too
        if reason and not ready:
            self.kill()
            yield self._replaced(reason, restart=not stopping)
        if not ready:
            return
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(1.0)  # for its exit code
            self.kill()
            yield self._replaced(f"a worker process died (exit code {self.process.exitcode})", restart=not stopping)
            return
        if said is None:  # it is free
            yield Ended(self._taken(), self._too_long(timeout) if self._cut else "")
        elif isinstance(said, Stopped) and self._late and not stopping:
            self._cut = True
        else:
            yield said
            if not isinstance(said, Exception):
                self._send(None)  # it is recorded

    def _overdue(self, stopping: bool, timeout: float | None) -> str:
        """Why it is to be ended. Time passes only while we look: we may have been stopped ourselves."""
        now, beats = time.monotonic(), self._signs[0]
        passed, self._looked_at = min(now - self._looked_at, BEAT_SECONDS), now
        self._silent = 0.0 if beats != self._seen else self._silent + passed
        self._busy, self._seen = self._busy + passed * bool(beats), beats  # not while it imports its libraries
        if timeout and self._busy > timeout and not self._late:
            self._late = True
            self.ask_to_stop()
        if timeout and self._busy > timeout + GRACE_SECONDS:
            return self._too_long(timeout)
        begun = beats or machine.is_stopped(self.process.pid or 0)
        patience = (STOPPING_SECONDS if stopping else SILENT_SECONDS) if begun else START_SECONDS
        return f"a worker process did not answer for {patience:g} s and was ended" if self._silent > patience else ""

    def _too_long(self, timeout: float | None) -> str:
        return f"it took longer than --timeout {timeout:g} s"

    def _taken(self) -> Item:
        item, self.item = self.item, None
        assert item is not None
        return item

    def _replaced(self, reason: str, *, restart: bool) -> Ended:
        """Its unit is lost; a new process takes its place."""
        ended = Ended(self._taken(), reason, lost=not self._late)
        if restart:
            self._start()
        return ended


@contextmanager
def _without_script() -> Iterator[None]:
    """A process that starts now imports nothing of the script that called us: its top level must not run again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _work(place: Workplace, connection: "Connection[Any, Any]", signs: Any, main: int) -> None:
    """A worker process: items in, events out, until the main process ends. That one alone heeds signals.

    An event is waited for until it is recorded: a state that was saved before would lose it if the run were killed.
    """
    _live_with_parent(main, signs)
    lab: Laboratory | None = None
    with suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            try:
                lab = lab or place.open(lambda: bool(signs[1]))
                for event in do(item, lab):
                    connection.send(event)
                    connection.recv()
            except (Stopped, BenchError) as error:
                connection.send(error)
            except Exception as error:  # noqa: BLE001  # what `do` does not explain is the worker's own set-up
                connection.send(BenchError(f"a worker process could not start: {type(error).__name__}: {error}"))
            connection.send(None)


def _live_with_parent(main: int, signs: Any) -> None:
    """Beat, and end when the main process does."""
    machine.Background(target=_beat, args=(signs, main)).start()
    machine.end_with_parent(signal.SIGKILL)


def _beat(signs: Any, main: int) -> None:
    while True:
        with suppress(MemoryError):  # the work's own, which passes: a worker that does not beat is taken for stopped
            if os.getppid() != main:
                os._exit(1)
            signs[0] += 1
            machine.pause(BEAT_SECONDS)
