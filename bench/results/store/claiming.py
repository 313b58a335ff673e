"""Who is at which unit of work: claims in the database, so that runs on any machines share one grid.

An owner counts on as long as it lives. Who waits for its claims watches that counter over the own clock's time, never
a date: an owner whose counter stood still is dead, and so is a process of this machine that is not there.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe

from sqlalchemy import Connection, delete, select, update

from fewshot_bench import machine
from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.provenance import now
from fewshot_bench.results.store.checksums import Row, check_seal, sealed
from fewshot_bench.results.store.schema import cells, claims, owners, trainings
from fewshot_bench.results.store.transactions import Database, patient, transaction
from fewshot_bench.results.store.writing import insert_new

BEAT_SECONDS = 3.0
DEAD_SECONDS = 30.0  # a counter that stood still this long
LOOK_SECONDS = 10.0  # of it a look tells, at most: since the one before the server, or who looks, may have been away


@dataclass(frozen=True)
class UnitState:
    """How far a unit is that was claimed just now."""

    state: str = ""  # of a training: "", running, finished, failed
    checkpoint: str = ""
    n_episodes: int = 0  # of a cell
    reason: str = ""  # of a failure


@dataclass
class _Watched:
    """What was seen of an owner, by this process's clock."""

    counter: int
    looked_at: float
    stood_still: float = 0.0  # seconds


class Claims(Database):
    """What one process holds, and what it sees of the others."""

    def __init__(self, where: str, run_id: int) -> None:
        super().__init__(where, write=True)
        self._run_id, self._id = run_id, secrets.token_hex(16)
        self._watched: dict[str, _Watched] = {}
        self._ended, self._end = Pipe(duplex=False)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Counts on until the context ends, and then gives everything back."""
        self._beat()
        beating = machine.Background(target=self._beat_on, name="claims")
        beating.start()
        try:
            yield
        finally:
            self._end.send(None)
            beating.join()
            with patient(0, lambda _: None), suppress(DatabaseError):  # they look dead soon
                self._leave()

    @transaction
    def claim(self, c: Connection, unit: tuple[str, str], name: str) -> UnitState | None:
        """How far a unit is, which is ours now; None while another has it. unit: its kind and key."""
        self._count_on(c)
        kind, key = unit
        row = {"unit": f"{kind} {key}", "owner": self._id, "name": name, "since": now()}
        if not insert_new(c, claims, [sealed(row)]):
            holder = c.execute(select(claims.c.owner).where(claims.c.unit == row["unit"])).scalar()
            if holder != self._id:
                return None
        if kind == "training":
            query = select(trainings.c.state, trainings.c.checkpoint, trainings.c.reason)
            training = c.execute(query.where(trainings.c.key == key)).first()
            return UnitState(training.state, training.checkpoint, 0, training.reason) if training else UnitState()
        cell = c.execute(select(cells.c.n_episodes, cells.c.reason).where(cells.c.key == key)).first()
        return UnitState(n_episodes=cell.n_episodes, reason=cell.reason) if cell else UnitState()

    @transaction
    def release(self, c: Connection, unit: tuple[str, str]) -> None:
        """Give a unit back."""
        c.execute(delete(claims).where((claims.c.unit == " ".join(unit)) & (claims.c.owner == self._id)))

    @transaction
    def of_others(self, c: Connection) -> dict[str, str]:
        """Unit -> who holds it, in words."""
        return {unit["unit"]: _who(owner) for unit, owner in held(self.where, c) if owner["id"] != self._id}

    @transaction
    def bury_the_dead(self, c: Connection) -> None:
        """Take the claims of owners that have died."""
        for owner in c.execute(select(owners).where(owners.c.id != self._id)).all():
            if not self._is_dead(owner.id, owner.host, owner.process, owner.counter):
                continue
            unchanged = (owners.c.id == owner.id) & (owners.c.counter == owner.counter)
            if c.execute(select(owners.c.id).where(unchanged).with_for_update()).first():
                c.execute(delete(claims).where(claims.c.owner == owner.id))
                c.execute(delete(owners).where(owners.c.id == owner.id))

    def _is_dead(self, owner: str, host: str, process: str, counter: int) -> bool:
        if machine.is_gone(host, process):
            return True
        seen = self._watched.get(owner)
        if seen is None or seen.counter != counter:
            self._watched[owner] = _Watched(counter, time.monotonic())
            return False
        now = time.monotonic()
        seen.stood_still += min(now - seen.looked_at, LOOK_SECONDS)
        seen.looked_at = now
        return seen.stood_still > DEAD_SECONDS

    @transaction
    def _beat(self, c: Connection) -> None:
        self._count_on(c)

    def _count_on(self, c: Connection) -> None:
        """Who was taken for dead, as after a long stop, goes on; what it had claimed may be done twice."""
        counted = update(owners).where(owners.c.id == self._id).values(counter=owners.c.counter + 1)
        if not c.execute(counted.returning(owners.c.id)).first():
            here = {"host": machine.host(), "process": machine.process(), "counter": 0}
            insert_new(c, owners, [sealed({"id": self._id, "run_id": self._run_id} | here)])

    @transaction
    def _leave(self, c: Connection) -> None:
        c.execute(delete(claims).where(claims.c.owner == self._id))
        c.execute(delete(owners).where(owners.c.id == self._id))

    def _beat_on(self) -> None:
        while True:
            with suppress(DatabaseError, MemoryError):  # who writes results, or works, says so
                if self._ended.poll(BEAT_SECONDS):
                    return
                self._beat()


def held(where: str, c: Connection) -> list[tuple[Row, Row]]:
    """Every claim and its owner. Raises DatabaseError where one is not as it was stored."""
    query = select(claims, owners).join(owners, owners.c.id == claims.c.owner, isouter=True)
    n, found = len(claims.c), []
    for row in c.execute(query.order_by(claims.c.since, claims.c.name)).all():
        claim, owner = (
            dict(zip(claims.c.keys(), row[:n], strict=True)),
            dict(zip(owners.c.keys(), row[n:], strict=True)),
        )
        check_seal(where, claims, claim)
        check_seal(where, owners, owner)
        found.append((claim, owner))
    return found


def at_work(where: str, c: Connection) -> list[dict[str, str]]:
    """Name of the unit, since when, and who: claims of all but those who are known to be gone."""
    return [
        {"name": claim["name"], "since": claim["since"], "who": _who(owner)}
        for claim, owner in held(where, c)
        if not machine.is_gone(owner["host"], owner["process"])
    ]


def _who(owner: Row) -> str:
    return machine.in_words(owner["host"], owner["process"])
