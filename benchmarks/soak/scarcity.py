"""No room on the disk, no memory, and a clock that is wrong: one line, and the same command goes on."""

import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.contest.environments import ROOT
from benchmarks.soak.company import n_begun, twice
from benchmarks.soak.little import Content, Little
from benchmarks.soak.victim import Victim, workers_of
from fewshot_bench import cli

KB, MB = 2**10, 2**20
ENDINGS = (0, 1, 2, 4, 6)  # exit codes of a run that says what is wrong
ROOM = {"database": 120, "checkpoints": 40, "cache": 40, "report": 200}  # KB that are too few
MEMORY_MB = (1, 4, 16, 48, 96)  # beyond what the process has
CLOCKS = ("+0", "+1d", "-1d", "+0")
CLOCKED = """
import os, sys
from pathlib import Path
from benchmarks.soak import company, victim
note, *clocks = sys.argv[1:]
sys.argv = ["bench", "run", "--jobs", "1"]
for clock in clocks:
    if not os.fork():  # each looks at its own clock from now on
        os.environ["FAKETIME_TIMESTAMP_FILE"] = clock
        victim.often()
        company.noting(Path(note))()
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for _ in clocks))
"""


def no_disk() -> str:
    """Why no disk can be filled; empty where one can."""
    return "" if os.geteuid() == 0 else "no full disk tried: only root can mount a small one"


def fill_disk(little: Little, wanted: Content, what: str, rng: random.Random) -> tuple[int | None, list[str]]:
    """How a command ends whose disk has too little room, and what goes wrong then and after there is room again."""
    with little.temporary() as place:
        folder = {"cache": place.folder / "cache", "checkpoints": place.out / "checkpoints"}.get(what, place.out)
        here = replace(place, cache=folder) if what == "cache" else place
        words = ("report",) if what == "report" else ("run",)
        spare = rng.randrange(4, ROOM[what]) * KB
        with small_disk(folder) as resize:
            if what == "report":
                assert Victim(here, "run").wait() == 0
            resize(spare)
            short = Victim(here, *words)
            faults = one_line(short)
            resize(64 * MB)
            faults += Victim(here, *words).faults() + place.faults(wanted)
        return short.wait(), [f"{spare // KB} KB for the {what}: {fault}" for fault in faults]


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A folder with a disk of its own, in memory; what is yielded leaves it so many free bytes. Needs root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "soak", str(folder)], check=True, capture_output=True)

    def resize(free: int) -> None:
        taken = os.statvfs(folder)
        n_bytes = (taken.f_blocks - taken.f_bfree) * taken.f_frsize + free
        subprocess.run(["mount", "-o", f"remount,size={n_bytes}", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def one_line(run: Victim) -> list[str]:
    """What is wrong with how a run tells that something is."""
    faults, lines = run.faults(ENDINGS), run.said().splitlines()
    told = [line for line in lines if line.startswith("bench: error: ")]
    if run.wait() not in (0, 4) and (len(told) != 1 or lines[-1] != told[0]):
        faults.append(f"not one line in the end: {lines[-3:]}")
    return faults


def limit_memory(little: Little, wanted: Content, jobs: int, more_mb: int) -> tuple[int | None, list[str]]:
    """How a run ends that, or whose workers, may take so much more memory than they have; what goes wrong then."""

    def act() -> None:
        if jobs == 1:
            _limit(os.getpid(), more_mb)
        cli.main()

    with little.temporary() as place:
        run = Victim(place, "run", "--jobs", str(jobs), act=act)
        while jobs > 1 and not (place.out / "checkpoints").exists() and run.wait(0.01) is None:
            pass  # until they are at work
        for worker in workers_of(run.pid):
            _limit(worker, more_mb)
        faults = one_line(run) + Victim(place, "run").faults() + place.faults(wanted)
        return run.wait(), [f"{more_mb} MB more for {jobs} jobs: {fault}" for fault in faults]


def _limit(pid: int, more_mb: int) -> None:
    n_pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    n_bytes = n_pages * resource.getpagesize() + more_mb * MB
    resource.prlimit(pid, resource.RLIMIT_AS, (n_bytes, n_bytes))


def turn_clocks(little: Little, wanted: Content, kind: str, *, jump: bool) -> list[str]:
    """What goes wrong where the clocks of two runs at once are two days apart; jump: or change again and again."""
    with little.temporary(kind) as place:
        clocks, note = [place.folder / f"clock{number}" for number in range(2)], place.folder / "begun"
        for clock, offset in zip(clocks, CLOCKS[1:], strict=False):
            clock.write_text(offset, encoding="ascii")
        runs = Victim(place, act=lambda: _exec_clocked(note, clocks, jump=jump))
        for number in range(1, len(CLOCKS) if jump else 0):
            while n_begun(note) < little.part(15 * number) and runs.wait(0.01) is None:
                pass
            for clock, offset in zip(clocks, (CLOCKS[number], CLOCKS[-number - 1]), strict=True):
                clock.write_text(offset, encoding="ascii")
        faults, n_twice = [*runs.faults(), *place.faults(wanted)], twice(note)
        faults += [f"{n_twice} units were begun twice"] if n_twice else []
        return faults + [f"it took {seconds} s" for seconds in place.seconds() if not 0 <= seconds < 3600]


def _exec_clocked(note: Path, clocks: list[Path], *, jump: bool) -> None:
    """Become runs whose clocks are set by files."""
    faked = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clocks[0]),
        "FAKETIME_NO_CACHE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    if jump:  # as when a person or a server sets the clock; without this the monotonic one would jump, too
        faked["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    os.execve(sys.executable, [sys.executable, "-c", CLOCKED, str(note), *map(str, clocks)], os.environ | faked)


def no_clock() -> str:
    """Why no clock can be turned; empty where one can."""
    return "" if library() else "not tried: libfaketime is not installed (Debian's package faketime)"


def library() -> Path | None:
    """libfaketime, where it is installed."""
    return next(iter(Path("/usr/lib").glob("**/faketime/libfaketime.so.1")), None)
