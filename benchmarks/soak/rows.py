"""The rows of the table: what is done to the little experiment, how often, and what is counted."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks import clusters
from benchmarks.postgresql import Server
from benchmarks.soak import company, damage, engines, scarcity, weights
from benchmarks.soak.kills import Kills
from benchmarks.soak.little import KINDS, Content, Little

TENTH = 0.1
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass
class Soak:
    """What every row needs, and what it finds wrong."""

    little: Little
    server: Server
    wanted: Content  # of a run that nobody disturbs
    rng: random.Random
    share: float = 1.0  # of the whole soak
    faults: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> tuple[int, ...]:
        """Worker processes: in a share that is a test of others, none besides the run's own."""
        return (1, 2) if self.share >= TENTH else (1,)

    def of(self, n: int) -> int:
        """How many of n are done."""
        return max(1, round(n * self.share))

    def some(self, *axes: Iterable[Any], times: int = 1) -> list[tuple[Any, ...]]:
        """Every combination so many times, or the share of them, drawn; in the order of the axes."""
        cases = list(itertools.product(*axes)) * times
        drawn = sorted(self.rng.sample(range(len(cases)), self.of(len(cases))))
        return [cases[i] for i in drawn]

    def unless_wrong(self, figure: str, good: str) -> str:
        """The figure, with what may be said of it where nothing is wrong."""
        return figure if self.faults else figure + good


def kills(soak: Soak) -> str:
    """kill -9 of the group, of the main process only, of a worker only"""
    found = Kills(soak.little, soak.wanted, soak.rng, soak.jobs)
    found.kill(soak.of(300))
    soak.faults += found.faults
    by = Counter[str]()
    for name, n in found.n.items():
        by.update(dict.fromkeys(name.split(", "), n))
    n_orphans = sum("left behind" in fault for fault in found.faults)
    said = ", ".join(f"{word} {n}" for word, n in sorted(by.items()))
    return f"{found.n.total()} kills, {found.n_on_write} on a write; {n_orphans} orphans ({said})"


def runs_at_once(soak: Soak) -> str:
    """2 and 4 runs of one grid at once"""
    n_twice = Counter[int]()
    for kind, n_runs in (cases := soak.some(KINDS, (2, 4), times=4)):
        n, faults = company.share(soak.little, soak.wanted, kind, n_runs)
        n_twice[n] += 1
        soak.faults += faults + ([f"{kind}: {n_runs} runs did {n} units twice"] if n >= n_runs else [])
    return f"{len(cases)} grids; units done twice: {_told(n_twice)}"


def outages(soak: Soak) -> str:
    """server stopped in immediate mode under two runs"""
    n, jobs = soak.of(9), (soak.jobs * 2)[:2]
    for _ in range(n):
        soak.faults += company.outage(soak.little, soak.wanted, soak.server, jobs, soak.rng)
    return soak.unless_wrong(f"{n} grids", ", each noticed it and went on by itself")


def writers(soak: Soak) -> str:
    """8 and 16 writers at once; 8 first users of a database at once"""
    rates = []
    for kind, n in soak.some(KINDS, (8, 16)):
        rate, faults = company.write(soak.little, kind, n)
        rates.append(f"{TITLES[kind]} {n} writers {rate:,.0f} rows/s")
        soak.faults += faults
    for kind, n in (created := soak.some(KINDS, (8,), times=20)):
        soak.faults += company.create(soak.little, kind, n)
    return f"{', '.join(rates)}; {len(created)} databases made by 8 at once"


def databases(soak: Soak) -> str:
    """databases changed: bits flipped, pages zeroed, the end cut off, values edited in every column"""
    told = []
    for kind, n in zip(KINDS, (200, 80), strict=True) if soak.share >= TENTH else [("sqlite", 200)]:
        found, faults = damage.mutate(soak.little, kind, soak.of(n), soak.rng, plots=soak.share >= TENTH)
        soak.faults += faults
        told.append(f"{TITLES[kind]} {found.total()}: {_told(found)}")
    return "; ".join(told)


def checkpoints(soak: Soak) -> str:
    """checkpoints cut, flipped, exchanged, of another training"""
    n, faults = weights.damage(soak.little, soak.wanted, soak.of(40), soak.rng)
    soak.faults += faults
    return soak.unless_wrong(f"{n} files", ", each named; none used")


def disks(soak: Soak) -> str:
    """disk full for database, checkpoints, cache, report"""
    if told := scarcity.no_disk():
        return told
    codes = Counter[str]()
    for (what,) in soak.some(scarcity.ROOM, times=5):
        code, faults = scarcity.fill_disk(soak.little, soak.wanted, what, soak.rng)
        codes[f"exit {code}"] += 1
        soak.faults += faults
    return soak.unless_wrong(
        f"{codes.total()} ({_told(codes)})", "; each one line, and with room the same command went on"
    )


def memory(soak: Soak) -> str:
    """memory limits in five steps"""
    codes = Counter[str]()
    for jobs, limit in soak.some(soak.jobs, scarcity.MEMORY_MB):
        code, faults = scarcity.limit_memory(soak.little, soak.wanted, jobs, limit)
        codes[f"exit {code}"] += 1
        soak.faults += faults
    return soak.unless_wrong(
        f"{codes.total()} ({_told(codes)})", "; each one line, and with memory the same command went on"
    )


def clocks(soak: Soak) -> str:
    """clocks of two runs at once two days apart, or jumping by a day (libfaketime)"""
    if told := scarcity.no_clock():
        return told
    for kind, jump in (cases := soak.some(KINDS, (False, True))):
        soak.faults += scarcity.turn_clocks(soak.little, soak.wanted, kind, jump=jump)
    return soak.unless_wrong(f"{len(cases)} grids", ", every unit once, no negative duration")


def slurm(soak: Soak) -> str:
    """through Slurm: kill -9 of units, whole jobs, drivers; server stopped; preempted; cancelled"""
    return clusters.no_slurm() or _through("slurm", soak)


def dask(soak: Soak) -> str:
    """through Dask: kill -9 of units, workers, drivers; server stopped; a worker told to end; cancelled"""
    return _through("dask", soak)


def _through(engine: str, soak: Soak) -> str:
    extent = engines.LONG if soak.share >= TENTH else engines.SHORT
    n, wanted = Counter[str](), engines.undisturbed(soak.little, extent)
    with engines.cluster(engine, soak.little) as found:
        for (fault,) in soak.some(engines.FAULTS):
            soak.faults += engines.disturb(soak.little, soak.server, wanted, found, fault, soak.rng, extent)
            n[fault] += extent.times(fault)
    return soak.unless_wrong(_told(n), ", each grid ended in the bits of a local run")


def _told(counted: Counter[Any]) -> str:
    return ", ".join(f"{n} × {what}" for what, n in sorted(counted.items(), key=lambda pair: str(pair[0])))


ROWS: dict[str, Callable[[Soak], str]] = {
    row.__name__.replace("_", "-"): row
    for row in (kills, runs_at_once, outages, writers, databases, checkpoints, disks, memory, clocks, slurm, dask)
}
ON_ENGINES = ("slurm", "dask")  # filled where they are named
