"""The soak: faults of every kind, again and again, and a table of what came of them.

    python -m benchmarks.soak [--share 0.1] [--rows kills clocks] [--write]      or `make soak`

Half an hour on two cores. What is done is drawn from --seed. With --write the table goes to docs/reliability.md.
Exit code 1 where something was lost, done twice, or wrong without a word.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.contest.environments import ROOT
from benchmarks.contest.report import placed
from benchmarks.data import origin
from benchmarks.postgresql import server
from benchmarks.soak.little import Little
from benchmarks.soak.rows import ROWS, Soak
from benchmarks.soak.victim import Victim

PAGE = ROOT / "docs" / "reliability.md"
MARKER = "soak"


def run(names: list[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Lines of the table, and all that is wrong."""
    lines, faults = ["| what | how often, and what came of it | wrong | minutes |", "| :--- | :--- | ---: | ---: |"], []
    with tempfile.TemporaryDirectory(prefix="soak") as folder, server() as postgresql:
        little = Little(Path(folder), postgresql)
        with little.temporary() as place:
            undisturbed = Victim(place, "run")
            assert undisturbed.wait() == 0, undisturbed.said()
            wanted = place.content()
        for name in names:
            soak = Soak(little, postgresql, wanted, random.Random(f"{seed} {name}"), share)
            started = time.monotonic()
            figure = ROWS[name](soak)
            minutes = (time.monotonic() - started) / 60
            lines.append(f"| {ROWS[name].__doc__} | {figure} | {len(soak.faults)} | {minutes:.1f} |")
            faults += [f"{name}: {fault}" for fault in soak.faults]
            print("\n".join([lines[-1], *soak.faults]), file=sys.stderr, flush=True)
    return lines, faults


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--share", type=float, default=1.0, help="of the whole soak; every row does one thing at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args()
    about = origin()
    lines, faults = run(options.rows, options.share, options.seed)
    command = "python -m benchmarks.soak" + (f" --share {options.share}" if options.share != 1 else "")
    machine = about["machine"]
    measured = (
        f"`{command} --seed {options.seed}`, commit {about['commit'] or 'unknown'}, {about['measured_at'][:10]}; "
        f"{machine['processor']}, {machine['cores']} cores."
    )
    section = "\n".join([measured, "", *lines])
    print(section)
    if options.write:
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), section, MARKER), encoding="utf-8")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
