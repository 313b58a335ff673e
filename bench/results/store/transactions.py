"""A transaction as a function, so that it can be done again when the server was away."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.store.engine import explained, is_gone

LONGEST_PAUSE_SECONDS = 15.0
# SQLSTATE of a server that shuts down, starts or has no connection left, and of two transactions in each other's way
PASSING = ("08", "57P0", "53300", "40001", "40P01")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Patience:
    """How long a server that is away is waited for, and who is told."""

    seconds: float = 0.0
    tell: Callable[[str], None] = lambda _: None


class Database(Protocol):
    """Has an engine, a name that may be shown, and patience."""

    engine: Engine
    where: str
    patience: Patience


S = TypeVar("S", bound=Database)


def transaction(method: Callable[Concatenate[S, Connection, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method over a connection one transaction, done again, as long as there is patience, while the server is
    away. So doing it twice must be as good as once: the first one's end may be all that was lost.
    """  # fmt: skip

    @functools.wraps(method)
    def transacted(self: S, *words: P.args, **named: P.kwargs) -> R:
        began, pause = time.monotonic(), 0.25
        while True:
            try:
                with explained(self.where), self.engine.begin() as connection:
                    return method(self, connection, *words, **named)
            except DatabaseError as error:
                if is_gone(self.where):
                    again = "bring it back, or begin anew with the same command"
                    raise DatabaseError(f"{self.where}: the file was moved or deleted; {again}") from error
                if not self.patience.seconds or not _passes(error.__cause__):
                    raise
                if time.monotonic() - began > self.patience.seconds:
                    waited = f"{self.patience.seconds:.0f} s were waited"
                    again = "run the same command again, what was stored is safe"
                    raise DatabaseError(f"{error}; {waited}: {again}") from error
            if pause == 0.25:
                self.patience.tell(f"the database's server is away; trying again for {self.patience.seconds:.0f} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    return transacted  # type: ignore[return-value]  # `self` comes by position, as methods are called


def _passes(error: Any) -> bool:
    """Whether it is the server that failed, for a while, and not what was asked of it."""
    if not isinstance(error, DBAPIError) or "sqlite" in type(error.orig).__module__:
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # no answer at all
        return type(error.orig).__name__ == "OperationalError" or error.connection_invalidated
    return str(state).startswith(PASSING)
