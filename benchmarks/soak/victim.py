"""A `bench` command in a process of its own, forked from one that has its libraries, and what strikes it."""

import functools
import itertools
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401  # imported here, once, as what follows
import scipy.stats  # noqa: F401
import torch._dynamo  # noqa: F401  # what optimisers import
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.processes import fork_workers
from benchmarks.soak.little import Place
from fewshot_bench import cli
from fewshot_bench.cli import run_screen  # noqa: F401  # as above
from fewshot_bench.running import recording, runner
from fewshot_bench.running.runner import Laboratory
from fewshot_bench.running.units import Workplace

PATIENCE_SECONDS = 600.0
ORPHANED_SECONDS = 10.0  # what lives this long after its run is an orphan


class Victim:
    """A command under way, in a process group of its own."""

    def __init__(self, place: Place, *words: str, act: Callable[[], None] = cli.main) -> None:
        self.log = place.folder / f"log{time.monotonic_ns()}"
        self._code: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(place, self.log, words, act)

    def strike(self, target: str, rng: random.Random) -> None:
        """Kill -9 from outside."""
        if target == "worker":
            if workers := workers_of(self.pid):
                os.kill(rng.choice(workers), signal.SIGKILL)
        else:
            (os.killpg if target == "group" else os.kill)(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """The exit code, negative for a signal; None where it goes on."""
        patience = time.monotonic() + seconds
        while self._code is None and time.monotonic() < patience:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
        return self._code

    def orphans(self) -> int:
        """How many of its processes outlived it for long; they are ended."""
        patience = time.monotonic() + ORPHANED_SECONDS
        while found := of_group(self.pid):
            if time.monotonic() > patience:
                os.killpg(self.pid, signal.SIGKILL)
                return len(found)
            time.sleep(0.01)
        return 0

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def faults(self, codes: tuple[int, ...] = (0,)) -> list[str]:
        """What is wrong with how it ends, which is waited for."""
        code, said = self.wait(), self.said()
        left = self.orphans()
        wrong = [f"{left} processes left behind"] if left else []
        if "Traceback" in said:
            wrong.append(f"exit {code}: {said[said.index('Traceback') :][:1500]}")
        elif code not in codes:
            wrong.append(f"exit {code}: {said[-600:]}")
        return wrong


def _become(place: Place, log: Path, words: tuple[str, ...], act: Callable[[], None]) -> None:
    code = 99
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1), os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(place.folder)
        os.environ["BENCH_CACHE"] = str(place.cache)
        os.environ.pop("BENCH_DB", None)
        if "://" in place.where:
            os.environ["BENCH_DB"] = place.where
        sys.argv = ["bench", *words]
        often()
        act()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001  # whatever it is
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def often() -> None:
    """Save and record as often as can be."""
    runner.SAVE_SECONDS = runner.CHUNK_SECONDS = 0.0


@dataclass(frozen=True)
class Hit:
    """A kill -9 at the n-th time that a process passes a point."""

    point: str  # "step" of a training, "checkpoint" written, "record" changed in the database
    number: int
    target: str  # "group", "main" or "worker"
    note: Path  # is made when it strikes, and it strikes once

    def act(self) -> None:
        """`bench`, to be struck."""
        self.arm(main=True)
        fork_workers()
        vars(recording)["Workplace"] = functools.partial(Armed, hit=self)  # what a run makes its own with
        cli.main()

    def arm(self, *, main: bool) -> None:
        """In the process that is to be struck, or whose others are."""
        count = itertools.count(1)

        def passed() -> None:
            if next(count) == self.number and not self.note.exists():
                self.note.touch()
                self._strike()

        def writes(_: Any, __: Any, statement: str, *___: Any) -> None:
            if statement.split(None, 1)[0] in ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP"):
                passed()

        if self.point == "step":
            runner._step = _before(runner._step, passed)
        elif self.point == "checkpoint":
            os.fsync = _before(os.fsync, passed)
        elif main:
            event.listen(Engine, "commit", lambda _: passed())
            event.listen(Engine, "before_cursor_execute", writes)

    def _strike(self) -> None:
        main, pid = os.getpgrp(), os.getpid()  # the command leads its group
        if self.target == "worker":
            victims = [pid] if pid != main else workers_of(main)[:1]
        else:
            victims = [-main if self.target == "group" else main]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        if self.target != "worker":
            time.sleep(60)  # it is on its way


def _before(function: Callable[..., Any], call: Callable[[], None]) -> Callable[..., Any]:
    def called(*words: Any, **named: Any) -> Any:
        call()
        return function(*words, **named)

    return called


@dataclass(frozen=True)
class Armed(Workplace):
    """A workplace whose processes save all the time and are struck."""

    hit: Hit | None = None

    def open(self, should_stop: Callable[[], bool]) -> Laboratory:
        """Armed; in the main process it is already."""
        often()
        if self.hit and os.getpid() != os.getpgrp():
            self.hit.arm(main=False)
        return super().open(should_stop)


def workers_of(pid: int) -> list[int]:
    """The worker processes of a run."""
    return [process for process in of_group(pid) if process != pid and not _is_tracker(process)]


def _is_tracker(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return True


def of_group(group: int) -> list[int]:
    """Processes of a group that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found
