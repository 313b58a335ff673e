"""The soak: faults of every kind, again and again, and a table of what came of them.

    python -m benchmarks.soak [--share 0.1] [--rows kills clocks] [--write]      or `make soak`
    python -m benchmarks.soak --rows slurm dask [--write]
    python -m benchmarks.soak --render

Two rows of the table are filled at a time: half an hour on two cores. Those on engines are filled where they are named.
What is done is drawn from --seed. With --write every figure goes to benchmarks/results/soak.jsonl, and the newest of
each row to docs/reliability.md. Exit code 1 where something was lost, done twice, or wrong without a word.
"""

import argparse
import ctypes
import multiprocessing
import os
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.data import origin
from benchmarks.postgresql import server
from benchmarks.soak.little import SEEDS, Little
from benchmarks.soak.record import Row, markdown, render
from benchmarks.soak.rows import ON_ENGINES, ROWS, TENTH, Soak
from benchmarks.soak.victim import Victim
from fewshot_bench.machine import end_with_parent

PR_SET_CHILD_SUBREAPER = 36  # prctl(2): whose parent was killed becomes our child, so that its time is known
LANES = (  # a half of the work each, long rows last
    ("slurm", "clocks", "checkpoints", "disks", "memory", "databases"),
    ("dask", "runs-at-once", "outages", "writers", "kills"),
)


def fill(names: list[str], share: float, seed: int, write: bool, origin: dict[str, Any]) -> list[Row]:
    """These rows, in a process of its own. origin: what `Row` has of it"""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    end_with_parent(signal.SIGKILL)
    rows = []
    with tempfile.TemporaryDirectory(prefix="soak") as folder, server() as postgresql:
        whole = share >= TENTH or "outages" in names  # whose runs must last until the server has stopped
        little = Little(Path(folder), postgresql, SEEDS if whole else SEEDS[:1])
        with little.temporary() as place:
            undisturbed = Victim(place, "run")
            assert undisturbed.wait() == 0, undisturbed.said()
            wanted = place.content()
        for name in names:
            soak = Soak(little, postgresql, wanted, random.Random(f"{seed} {name}"), share)
            began, began_processor = time.monotonic(), _processor_seconds()
            figure = ROWS[name](soak)
            took, took_processor = time.monotonic() - began, _processor_seconds() - began_processor
            row = Row(name, str(ROWS[name].__doc__), figure, soak.faults, took, took_processor, **origin)
            print("\n".join([f"{name}: {figure}", *row.faults]), file=sys.stderr, flush=True)
            rows.append(row)
            if write:
                row.keep()
    return rows


def _processor_seconds() -> float:
    """Of this process and of all that ended below it."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def run(names: list[str], share: float, seed: int, *, write: bool) -> list[Row]:
    """Fill the rows, two at a time."""
    about, command = origin(), shlex.join(["python", "-m", "benchmarks.soak", *sys.argv[1:]])
    machine = f"{about['machine']['processor']}, {about['machine']['cores']} cores"
    known = {"command": command, "machine": machine} | {name: about[name] for name in ("commit", "measured_at", "load")}
    lanes = [[name for name in lane if name in names] for lane in LANES]
    lanes = [lane for lane in lanes if lane]
    with ProcessPoolExecutor(len(lanes), mp_context=multiprocessing.get_context("fork")) as pool:
        filling = pool.map(partial(fill, share=share, seed=seed, write=write, origin=known), lanes)
        rows = {row.name: row for filled in filling for row in filled}
    return [rows[name] for name in ROWS if name in rows]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS),
                        default=[row for row in ROWS if row not in ON_ENGINES])  # fmt: skip
    parser.add_argument("--share", type=float, default=1.0, help="of the whole soak; every row does one thing at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the figures, and write docs/reliability.md")
    parser.add_argument("--render", action="store_true", help="only write docs/reliability.md, from what was kept")
    options = parser.parse_args()
    if options.write and options.share != 1:
        parser.error("--write needs the whole soak: leave out --share")
    rows = [] if options.render else run(options.rows, options.share, options.seed, write=options.write)
    if options.render or options.write:
        render(ROWS)
    if rows:
        print(markdown(rows))
    sys.exit(1 if any(row.faults for row in rows) else 0)


if __name__ == "__main__":
    main()
