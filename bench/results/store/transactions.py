"""A transaction as a function, so that it can be done again when the server was away."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from fewshot_bench import machine
from fewshot_bench.errors import DatabaseError, NoResultsYet, OldSchema
from fewshot_bench.results.passwords import without_password
from fewshot_bench.results.store.engine import explained, is_gone, open_engine

LONGEST_PAUSE_SECONDS = 3.0
LIMITED = ("55P03", "57014")  # SQLSTATE of what took longer than the server allows, or waited so long for others
# SQLSTATE of a server that shuts down, starts or has no connection left, and of two transactions in each other's way
PASSING = ("08", "57P0", "53300", "40001", "40P01", "25P03")
# of a refused connection only the words come: a dropped database or user, or a changed password, is not waited for
REFUSALS = ("does not exist", "authentication failed", "no pg_hba.conf entry")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class _Patience:
    seconds: float
    tell: Callable[[str], None]
    given_up: Callable[[], bool]


_patience: list[_Patience] = []  # of this process, the innermost last


@contextmanager
def patient(
    seconds: float, tell: Callable[[str], None], given_up: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Inside, the main thread waits this long for a server that is away or a file that is held, until `given_up`.

    tell: is told once an outage; another thread fails at once
    """
    _patience.append(_Patience(seconds, tell, given_up))
    try:
        yield
    finally:
        _patience.pop()


class Database:
    """A results database that is open; `transaction` makes methods of it."""

    def __init__(self, where: str, *, write: bool) -> None:
        self.where = without_password(where)
        self.engine = _patiently(lambda: open_engine(where, write=write))


def upgrade(where: str) -> None:
    """Bring a database of an older schema, if there is one, to the newest. Raises as `open_engine` does."""
    with suppress(NoResultsYet):
        try:
            _patiently(lambda: open_engine(where, write=False))
        except OldSchema:
            _patiently(lambda: open_engine(where, write=True))


D = TypeVar("D", bound=Database)


def transaction(method: Callable[Concatenate[D, Connection, P], R]) -> Callable[Concatenate[D, P], R]:
    """Make a method over a connection one transaction, done again, as long as there is patience, while the database
    cannot be reached. So doing it twice must be as good as once: the first one's end may be all that was lost.
    """  # fmt: skip

    @functools.wraps(method)
    def transacted(self: D, *words: P.args, **named: P.kwargs) -> R:
        def once() -> R:
            try:
                with explained(self.where), self.engine.begin() as connection:
                    return method(self, connection, *words, **named)
            except DatabaseError as error:
                if not is_gone(self.where):
                    raise
                again = "bring it back, or begin anew with the same command"
                raise DatabaseError(f"{self.where}: the file was moved or deleted; {again}") from error

        return _patiently(once)

    return transacted  # type: ignore[return-value]  # `self` comes by position, as methods are called


def _patiently(once: Callable[[], R]) -> R:
    began, pause = time.monotonic(), 0.25
    while True:
        try:
            return once()
        except DatabaseError as error:
            is_main = threading.current_thread() is threading.main_thread()
            trouble = _passing(error.__cause__)
            if not _patience or not is_main or not trouble:
                raise
            waited, patience = time.monotonic() - began, _patience[-1]
            if waited > patience.seconds or patience.given_up():
                again = "run the same command again, what was stored is safe"
                raise DatabaseError(f"{error}; {waited:.0f} s of waiting: {again}") from error
        if pause == 0.25:
            patience.tell(f"{trouble}; trying again for {patience.seconds:.0f} s")
        machine.pause(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _passing(error: Any) -> str:
    """What keeps us from the database for a while, through nobody's fault; empty where it is what was asked of it."""
    if not isinstance(error, DBAPIError):
        return ""
    if "sqlite" in type(error.orig).__module__:  # a run that was stopped by a signal
        return "another process holds the database" if "locked" in str(error.orig) else ""
    state = getattr(error.orig, "sqlstate", None)
    no_answer = isinstance(error, OperationalError) or error.connection_invalidated  # or not in time
    if state is None and any(words in str(error.orig) for words in REFUSALS):
        return ""
    if state in LIMITED:
        return "the database's server ended what it was asked"
    away = no_answer if state is None else str(state).startswith(PASSING)
    return "the database's server is away" if away else ""
